"""list: the stacks of the account, with the buckets and settings of those in this region."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass

from s3agg import engine
from s3agg.aws.refusals import describing_errors
from s3agg.aws.session import Aws
from s3agg.aws.snapshot import Snapshot
from s3agg.errors import S3aggError
from s3agg.live import items
from s3agg.resources.event_filter import EventFilter
from s3agg.settings import Names, Settings
from s3agg.stack import declared
from s3agg.stack.asked_for import stored_options, untagged_billing
from s3agg.stack.chosen import StackSettings
from s3agg.stack.elsewhere import Located, all_stacks
from s3agg.stack.version import MadeBy


@dataclass(frozen=True)
class AttachedBucket:
    """A bucket that the table stores as attached, with its event filter; see EventFilter."""

    name: str
    prefixes: Sequence[str]
    suffixes: Sequence[str]
    events: Sequence[str]
    via: str


@dataclass(frozen=True)
class ListedStack:
    """One stack. `buckets` and `settings` are None in another region, or if they could not be read."""

    stack: str
    region: str
    buckets: Sequence[AttachedBucket] | None = None
    settings: StackSettings | None = None


@dataclass(frozen=True)
class Stacks:
    """The stacks that `list` shows, first those of `region`; the fields are those of its JSON."""

    region: str
    account: str
    stacks: Sequence[ListedStack]


def read(aws: Aws) -> Stacks:
    """Read the stacks of the account. Raises S3aggError if they cannot be listed."""
    place = aws.place  # check the credentials first
    found = all_stacks(aws)
    here = [each for each in found if each.region == place.region]
    others = [ListedStack(each.stack, each.region) for each in found if each.region != place.region]
    return Stacks(
        place.region, place.account, [*aws.side_by_side(lambda each: _listed(aws, each), here), *others]
    )


def _listed(aws: Aws, located: Located) -> ListedStack:
    """Read a stack's buckets and settings. A failure is only a warning, so that the others are shown."""
    try:
        return _read(aws, located)
    except S3aggError as error:
        aws.warn(f"Could not read the buckets and settings of stack {located.stack}.", error)
        return ListedStack(located.stack, located.region)


def _read(aws: Aws, located: Located) -> ListedStack:
    """Read the table alone: three calls a stack. `status` reads all resources, with about 40 calls."""
    names = Names(located.stack)
    bare = declared.make(aws.place, names, Settings(), {})
    found = engine.find(Snapshot(aws), [bare.table])
    if found.ours(bare.table) is None:
        raise S3aggError(f"The stack has no table {names.table}")
    kept = stored_options(aws, bare, found, adopt=False)
    settings = Settings.declared({}, kept, untagged_billing(bare, found, kept))
    with describing_errors(f"reading the items of table {names.table}"):
        activity = items.read_all(aws, names.table)
    filters = {
        name: EventFilter(*astuple(each.event_filter))
        for name, each in sorted(activity.items())
        if each.event_filter is not None  # perhaps in the older form, which equals none of this version's
    }
    made_by = MadeBy.of(bare.table, found)
    return ListedStack(
        located.stack,
        located.region,
        [
            AttachedBucket(name, each.prefixes, each.suffixes, each.events, each.via)
            for name, each in filters.items()
        ],
        StackSettings.of(
            declared.make(aws.place, names, settings, filters), made_by.version if made_by else None
        ),
    )
