"""One stack in AWS: read what is there, and plan what brings it to what is asked, or removes it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar

from s3agg import engine
from s3agg.aws.place import Place
from s3agg.aws.refusals import doing, is_denied
from s3agg.aws.session import Aws
from s3agg.engine import Key, Plan
from s3agg.errors import S3aggError, UsageProblem, together
from s3agg.live import items
from s3agg.live.items import BucketActivity
from s3agg.resources.notification import KeyFilter, Notification
from s3agg.resources.permission import STAND_IN, statements
from s3agg.resources.resource import Found
from s3agg.settings import (
    Names,
    Settings,
    check_bucket_name,
    check_key_part,
    statement_id,
)
from s3agg.stack import declared
from s3agg.stack.asked_for import deployed_options, kept_options
from s3agg.stack.declared import Stack

B = TypeVar("B", bound=Iterable[str])


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


@dataclass(frozen=True)
class Deployment:
    """A stack as AWS has it now, beside what is declared."""

    place: Place
    stack: Stack
    found: Mapping[Key, Found]
    activity: Mapping[str, BucketActivity]
    unread: Mapping[str, S3aggError]  # why the notifications of these buckets cannot be looked at
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
        found = self.found.get(self.stack.aggregator.key)
        asked = self.stack.settings.log_level
        return found.properties.get("variable LOG_LEVEL", asked) if found else asked

    def plan(self) -> Plan:
        """What brings AWS to what is declared."""
        return engine.plan(self.stack.resources, self.found, adopt=self.adopt)


def read(aws: Aws, names: Names, request: Request | None = None) -> Deployment:
    """Ask AWS for everything about a stack; declare what is asked for now over what was before."""
    request = request or Request()
    aws.forget()
    place = aws.place
    bare = declared.make(place, names, Settings(), {})

    # Each of the three that name buckets looks at their rules at once, while the others are still asked.
    named, (activity, table), others, _ = aws.at_once(
        lambda aws: _look_ahead(aws, bare, _named(aws, bare)),
        lambda aws: _table(aws, bare, adopt=request.adopt),
        lambda aws: engine.find(aws, [each for each in bare.resources if each is not bare.table]),
        lambda aws: _look_ahead(aws, bare, request.buckets),
    )
    found: dict[Key, Found] = {**table, **others}
    if bare.table.key not in found and bare.aggregator.key in found:
        # Removed by hand; or somebody is creating the stack just now, and it has come since.
        activity, table = _table(aws, bare, adopt=request.adopt)
        found.update(table)
    kept = kept_options(aws, bare, found, adopt=request.adopt)
    settings = Settings.declared(request.options, kept, deployed_options(bare, found, kept))
    if request.keep_billing:
        settings = settings.keeping_billing()
    candidates = dict.fromkeys([*request.buckets, *sorted(named | set(activity))], KeyFilter())
    with_buckets = declared.make(place, names, settings, candidates)
    found.update(engine.find(aws, [each.permission for each in with_buckets.notifications]))
    rules, unread = _rules(aws, bare, candidates)
    found.update(rules)

    asked = {name: item.keys for name, item in activity.items() if item.keys is not None}

    def keys_of(notification: Notification) -> KeyFilter:
        rule = found.get(notification.key)
        keys: KeyFilter = rule.more["keys"] if rule else asked.get(notification.bucket, KeyFilter())
        if notification.bucket in request.buckets:
            keys = KeyFilter(
                keys.prefix if request.prefix is None else request.prefix,
                keys.suffix if request.suffix is None else request.suffix,
            )
        return keys

    attached = {
        each.bucket: keys_of(each)
        for each in with_buckets.notifications
        if {each.key, each.permission.key} & found.keys() or each.bucket in {*request.buckets, *asked}
    }
    stack = declared.make(place, names, settings, attached)
    return Deployment(place, stack, found, activity, unread, request.adopt)


def _named(aws: Aws, bare: Stack) -> set[str]:
    """The buckets that the function's policy names."""
    with doing(f"reading the policy of function {bare.aggregator.name}"):
        policy = statements(aws, bare.aggregator.name)
    return {bucket for statement in policy.values() if (bucket := _bucket(statement))}


def _table(aws: Aws, bare: Stack, *, adopt: bool) -> tuple[Mapping[str, BucketActivity], Mapping[Key, Found]]:
    """The buckets' items, and the table that they are in; nothing is read of a table of somebody else's."""
    found = engine.find(aws, [bare.table])
    table = found.get(bare.table.key)
    if table is None or engine.is_foreign(bare.table, table, adopt=adopt):
        return {}, found
    with doing(f"reading table {bare.table.name}"):
        activity = items.buckets(aws, bare.table.name)
    return _look_ahead(aws, bare, activity), found


def _look_ahead(aws: Aws, bare: Stack, buckets: B) -> B:
    """Look at the rules of these buckets now, for `_rules` to tell; return the buckets."""
    _looked_at(aws, bare, buckets)
    return buckets


def _rules(aws: Aws, bare: Stack, buckets: Iterable[str]) -> tuple[dict[Key, Found], dict[str, S3aggError]]:
    """Our rules that are in these buckets' notifications, and which of those cannot be looked at, and why.

    A bucket that we may no longer look at must not keep a stack from being shown or removed: it may be
    somebody else's by now. Raises S3aggError for any other failure.
    """
    looked_at = _looked_at(aws, bare, buckets)
    errors = {bucket: rule for bucket, rule in looked_at.items() if isinstance(rule, S3aggError)}
    if failed := [error for error in errors.values() if not is_denied(error)]:
        raise together("Several things failed", failed)
    found = [rule for rule in looked_at.values() if not isinstance(rule, S3aggError)]
    return {key: rule for each in found for key, rule in each.items()}, errors


def _looked_at(aws: Aws, bare: Stack, buckets: Iterable[str]) -> dict[str, dict[Key, Found] | S3aggError]:
    """Our rule in each bucket, or why it cannot be told; a bucket is asked once, whoever names it first."""
    stack = declared.make(bare.table.place, bare.names, bare.settings, dict.fromkeys(buckets, KeyFilter()))

    def look(notification: Notification) -> dict[Key, Found] | S3aggError:
        try:
            return engine.find(aws, [notification])
        except S3aggError as error:
            return error

    rules = aws.side_by_side(
        lambda each: aws.once(("rule", each.bucket), lambda: look(each)), stack.notifications
    )
    return {each.bucket: rule for each, rule in zip(stack.notifications, rules, strict=True)}


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
            f"Attach it: s3agg create --bucket {named}{names.option}",
        )
    if not attached:
        raise S3aggError(
            f"No bucket is attached to the stack {names.stack}",
            f"Attach one: s3agg create --bucket BUCKET{names.option}",
        )
    if len(attached) > 1:
        buckets = ", ".join(each.bucket for each in attached)
        raise UsageProblem(f"Several buckets are attached: {buckets}", "Name one with --bucket")
    return attached[0]
