"""A stack as AWS has it now, beside what is declared of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from s3agg import engine
from s3agg.aws.place import Place
from s3agg.aws.refusals import describing_errors, is_denied
from s3agg.aws.session import Aws
from s3agg.aws.snapshot import Snapshot
from s3agg.engine import Findings, Plan
from s3agg.errors import Advice, S3aggError, UsageProblem, combined
from s3agg.live import items
from s3agg.live.items import BucketActivity
from s3agg.resources.notification import ALL_KEYS, FoundNotification, KeyFilter, Notification
from s3agg.resources.permission import STAND_IN, statements
from s3agg.resources.table import FoundTable
from s3agg.settings import Names, Settings, check_bucket_name, check_key_part, statement_id
from s3agg.stack import declared
from s3agg.stack.asked_for import deployed_options, kept_options
from s3agg.stack.declared import Stack

# Our rule in a bucket's notifications, none, or why they cannot be looked at.
Rule = FoundNotification | S3aggError | None


@dataclass(frozen=True)
class Request:
    """What the user of `create` asks for: options by their Settings names, None where not given."""

    buckets: tuple[str, ...] = ()
    prefix: str | None = None
    suffix: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    adopt: bool = False  # take over what is foreign, but nobody else's
    keep_billing: bool = False  # as tags of the table; who only looks misses none

    def __post_init__(self) -> None:
        """Raise UsageProblem for what no bucket and no rule can be called."""
        for bucket in self.buckets:
            check_bucket_name(bucket)
        if not self.buckets and (self.prefix is not None or self.suffix is not None):
            raise UsageProblem(
                "A prefix or suffix is for the buckets named with it", "Name them with --bucket"
            )
        check_key_part("prefix", self.prefix or "")
        check_key_part("suffix", self.suffix or "")

    def keys_of(self, bucket: str, before: KeyFilter) -> KeyFilter:
        """Which keys the bucket's rule is for; of a bucket that is not named now, those of before."""
        if bucket not in self.buckets:
            return before
        return replace(
            before,
            prefix=before.prefix if self.prefix is None else self.prefix,
            suffix=before.suffix if self.suffix is None else self.suffix,
        )


@dataclass(frozen=True)
class Deployment:
    """A stack as AWS has it now, beside what is declared."""

    place: Place
    stack: Stack
    found: Findings
    activity: Mapping[str, BucketActivity]
    unread: Mapping[str, S3aggError]  # why the notifications of these buckets cannot be looked at
    snapshot: Snapshot  # all that AWS answered
    adopt: bool = False  # what is foreign, but nobody else's, counts as ours

    @property
    def exists(self) -> bool:
        return bool(self.found)

    @property
    def buckets(self) -> list[str]:
        """The buckets that are attached: a rule or a permission is there, or is asked for."""
        return [
            each.bucket
            for each in self.stack.notifications
            if {each.key, each.permission.key} & self.found.keys() or self.asked_of(each.bucket) is not None
        ]

    def asked_of(self, bucket: str) -> KeyFilter | None:
        """Which keys the bucket is known to be attached with, whatever its rule says."""
        return self.activity_of(bucket).keys

    def activity_of(self, bucket: str) -> BucketActivity:
        """What its item tells; that of a quiet bucket if it has none."""
        return self.activity.get(bucket, BucketActivity(bucket))

    @property
    def log_level(self) -> str:
        """What the aggregator really logs, whatever was asked for."""
        found, asked = self.found.of(self.stack.aggregator), self.stack.settings.log_level
        return found.variables.get("LOG_LEVEL", asked) if found else asked

    def plan(self) -> Plan:
        """What brings AWS to what is declared."""
        return engine.plan(self.stack.resources, self.found, adopt=self.adopt)


def read(aws: Aws, names: Names, request: Request | None = None) -> Deployment:
    """Ask AWS for everything about a stack; declare what is asked for now over what was before."""
    request = request or Request()
    snapshot = Snapshot(aws)
    bare = declared.make(aws.place, names, Settings(), {})

    # What names buckets: the request, the function's policy, the table. The rules of those that one of them
    # names are looked at while the others are still asked.
    asked, permitted, table, found = aws.concurrently(
        lambda _: _rules(snapshot, bare, request.buckets),
        lambda _: _rules(snapshot, bare, _permitted(snapshot, bare)),
        lambda _: _read_table(snapshot, bare, adopt=request.adopt),
        lambda _: engine.find(snapshot, [each for each in bare.resources if each is not bare.table]),
    )
    if table.found is None and bare.aggregator.key in found:
        # Removed by hand; or somebody is creating the stack just now, and it has come since.
        table = _read_table(snapshot, bare, adopt=request.adopt)

    # What AWS has of each bucket.
    rules: dict[str, Rule] = {**asked, **dict(sorted({**permitted, **table.rules}.items()))}
    notifications = [bare.notification(bucket) for bucket in rules]
    unread = _unread(rules)
    found.add(bare.table, table.found)
    for each in notifications:
        rule = rules[each.bucket]
        found.add(each, None if isinstance(rule, S3aggError) else rule)
    found.update(engine.find(snapshot, [each.permission for each in notifications]))

    # What is declared of that.
    kept = kept_options(aws, bare, found, adopt=request.adopt)
    settings = Settings.declared(request.options, kept, deployed_options(bare, found, kept))
    if request.keep_billing:
        settings = settings.keeping_billing()
    attached: dict[str, KeyFilter] = {}
    for each in notifications:
        rule, item = found.of(each), table.activity.get(each.bucket)
        before = rule.keys if rule else item and item.keys
        if before is not None or found.of(each.permission) or each.bucket in request.buckets:
            attached[each.bucket] = request.keys_of(each.bucket, before or ALL_KEYS)
    stack = declared.make(aws.place, names, settings, attached)
    return Deployment(aws.place, stack, found, table.activity, unread, snapshot, request.adopt)


@dataclass(frozen=True)
class _Table:
    """The table, the items of the buckets that are in it, and the rules of those."""

    found: FoundTable | None
    activity: Mapping[str, BucketActivity]
    rules: Mapping[str, Rule]


def _read_table(snapshot: Snapshot, bare: Stack, *, adopt: bool) -> _Table:
    """The table and what it tells; nothing is read of a table of somebody else's."""
    found = engine.find(snapshot, [bare.table]).of(bare.table)
    if found is None or engine.is_foreign(bare.table, found, adopt=adopt):
        return _Table(found, {}, {})
    with describing_errors(f"reading table {bare.table.name}"):
        activity = items.buckets(snapshot.aws, bare.table.name)
    return _Table(found, activity, _rules(snapshot, bare, activity))


def _rules(snapshot: Snapshot, bare: Stack, buckets: Iterable[str]) -> dict[str, Rule]:
    """Our rule in the notifications of each bucket; what AWS answered once is not asked again."""

    def look(notification: Notification) -> Rule:
        try:
            return engine.find(snapshot, [notification]).of(notification)
        except S3aggError as error:
            return error

    notifications = [bare.notification(bucket) for bucket in buckets]
    rules = snapshot.aws.side_by_side(look, notifications)
    return {each.bucket: rule for each, rule in zip(notifications, rules, strict=True)}


def _unread(rules: Mapping[str, Rule]) -> dict[str, S3aggError]:
    """Why some buckets cannot be looked at. Raises S3aggError if that is not for want of a permission.

    A bucket that we may no longer look at must not keep a stack from being shown or removed: it may be
    somebody else's by now.
    """
    errors = {bucket: rule for bucket, rule in rules.items() if isinstance(rule, S3aggError)}
    if failed := [error for error in errors.values() if not is_denied(error)]:
        raise combined("Several things failed", failed)
    return errors


def _permitted(snapshot: Snapshot, bare: Stack) -> list[str]:
    """The buckets that the function's policy names."""
    with describing_errors(f"reading the policy of function {bare.aggregator.name}"):
        policy = statements(snapshot, bare.aggregator.name)
    return sorted({bucket for statement in policy.values() if (bucket := _bucket(statement))})


def _bucket(statement: Mapping[str, Any]) -> str:
    """The bucket that a statement of the function's policy is for, if it is one of ours."""
    sid = str(statement.get("Sid")).removeprefix(STAND_IN)
    for operator in statement.get("Condition", {}).values():
        for name, value in operator.items():
            if name.lower() == "aws:sourcearn":
                bucket = str(value).rpartition(":")[2]
                return bucket if sid == statement_id(bucket) else ""
    # The blog says that the source can be left away. Then the id tells.
    with suppress(UsageProblem):
        bucket = check_bucket_name(sid.removeprefix("SID_").replace("_", "."))
        return bucket if sid == statement_id(bucket) else ""
    return ""


def no_stack(deployment: Deployment, so: str) -> S3aggError:
    place, name = deployment.place, deployment.stack.names.stack
    return S3aggError(
        f"There is no stack {name} in {place.region} of account {place.account}, {so}",
        "Check --stack, --region and --profile",
    )


def the_bucket(deployment: Deployment, named: str | None) -> Notification:
    """The bucket that is meant: the one named, or the only one there is."""
    names = deployment.stack.names
    attached = [each for each in deployment.stack.notifications if each.bucket in deployment.buckets]
    if named is not None:
        for each in attached:
            if each.bucket == named:
                return each
        raise S3aggError(
            f"Bucket {named} is not attached to the stack {names.stack}",
            "Attach it",
            Advice("create", named),
        )
    if not attached:
        raise S3aggError(
            f"No bucket is attached to the stack {names.stack}",
            "Attach one",
            Advice("create", "BUCKET"),
        )
    if len(attached) > 1:
        buckets = ", ".join(each.bucket for each in attached)
        raise UsageProblem(f"Several buckets are attached: {buckets}", "Name one with --bucket")
    return attached[0]
