"""The file shares of the attached buckets: what create, status and test-upload tell of them, and change.

The refresh function looks shares up once an hour. So a share that is new can be unknown to it for so long.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from s3agg.aws.clock import to_ms
from s3agg.aws.refusals import describing_errors
from s3agg.aws.session import Aws
from s3agg.errors import Advice, S3aggError
from s3agg.live import file_shares, item_writes
from s3agg.live.file_shares import FileShare, Lookup, Shares
from s3agg.settings import SHARES_FRESH_S
from s3agg.stack.deployed import Deployment


def look_up(aws: Aws) -> Lookup | S3aggError:
    """Look the account's shares up, or return why that is impossible: it stops no command."""
    try:
        return Lookup(aws)
    except S3aggError as error:
        return error


def of_buckets(aws: Aws, lookup: Lookup | S3aggError, buckets: Sequence[str]) -> Shares | None:
    """Return the shares of each bucket; None after a warning if they are unknown."""
    if not buckets:
        return {}
    try:
        if isinstance(lookup, S3aggError):
            raise lookup
        return lookup.of(buckets)
    except S3aggError as error:
        aws.warn("Could not look up the file shares.", error)
        return None


def warnings(deployment: Deployment, shares: Shares) -> Iterator[S3aggError]:
    """Yield why files may not show although the stack works."""
    if without := [bucket for bucket, found in shares.items() if not found]:
        yield nothing_to_refresh(deployment.place.region, without)
    several = [bucket for bucket, found in shares.items() if len({each.gateway for each in found}) > 1]
    if several and not deployment.stack.settings.include_gateway_writes:
        yield S3aggError(
            f"The file shares of {named(several)} are on several gateways, and the stack ignores"
            " the gateways' own writes. A file written through one gateway does not show on the others",
            "To refresh after such writes too, run",
            Advice("create", options={"include-gateway-writes": None}),
        )


def changes(deployment: Deployment, shares: Shares, now: int) -> Iterator[S3aggError]:
    """Yield which shares are new or gone since the refresh function looked; `now` in ms since 1970."""
    for bucket, found in shares.items():
        activity = deployment.activity_of(bucket)
        new = file_shares.unknown(shares, activity)
        if new and activity.shares_found is not None:
            left_s = to_ms(activity.shares_found) / 1000 + SHARES_FRESH_S - now / 1000
            when = f", in {math.ceil(left_s / 60)} min at the latest" if left_s > 0 else ""
            yield S3aggError(
                f"{words(new)} of bucket {bucket} {is_or_are(new)} new. Refreshes include"
                f" {'it' if len(new) == 1 else 'them'} from the next lookup on{when}",
                "To make the stack look now, run",
                Advice("create"),
            )
        there = {each.arn for each in found}
        if gone := [FileShare(arn, "") for arn in activity.shares if arn not in there]:
            yield S3aggError(
                f"{words(gone)} of bucket {bucket} {is_or_are(gone)} gone",
                f"The next refresh leaves {'it' if len(gone) == 1 else 'them'} out",
            )


def make_known(aws: Aws, deployment: Deployment, shares: Shares) -> None:
    """Make the refresh function look the shares up in its next round, where a share is unknown to it."""
    table = deployment.stack.table.name
    new = {
        bucket: unknown
        for bucket in shares
        if (unknown := file_shares.unknown(shares, deployment.activity_of(bucket)))
    }
    with describing_errors(f"making new file shares known in table {table}"):
        aws.side_by_side(lambda bucket: item_writes.look_up_again(aws, table, bucket), list(new))
    for bucket, found in new.items():
        aws.warn(
            f"{words(found)} of bucket {bucket} {is_or_are(found)} new. The next refresh includes"
            f" {'it' if len(found) == 1 else 'them'}."
        )


def nothing_to_refresh(region: str, buckets: Sequence[str]) -> S3aggError:
    """A warning about buckets without a share in the region (FACTS 40)."""
    them, each = ("it", "it") if len(buckets) == 1 else ("them", "each")
    return S3aggError(
        f"No file share in {region} is mapped to {named(buckets)}, so nothing can be refreshed for {them}",
        "A stack refreshes no gateway of another region or account: set automated cache refresh (TTL) there."
        f" Otherwise create a file share for {each} in {region}, or detach {each}",
        Advice("delete", buckets[0]),
    )


def named(buckets: Sequence[str]) -> str:
    return f"{'bucket' if len(buckets) == 1 else 'buckets'} {', '.join(buckets)}"


def words(shares: Sequence[FileShare]) -> str:
    return f"File share{'' if len(shares) == 1 else 's'} {', '.join(each.id for each in shares)}"


def is_or_are(shares: Sequence[FileShare]) -> str:
    return "is" if len(shares) == 1 else "are"
