"""One stack in AWS: read what is there, and plan what brings it to what is asked, or removes it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from s3agg import activity, adoption, engine
from s3agg import stack as stacks
from s3agg.activity import BucketActivity
from s3agg.aws import Aws, Place
from s3agg.engine import Change, Key, Plan
from s3agg.errors import S3aggError, UsageProblem, together
from s3agg.refusals import doing, is_denied
from s3agg.resources.lambda_ import statements
from s3agg.resources.logs import LogGroup
from s3agg.resources.resource import Found, Resource
from s3agg.resources.s3 import KeyFilter, Notification
from s3agg.settings import (
    STACK_TAG,
    TAG_PREFIX,
    USER_TAGS_TAG,
    Names,
    Settings,
    as_tags,
    check_bucket_name,
    check_key_part,
    statement_id,
)
from s3agg.stack import Stack


@dataclass(frozen=True)
class Request:
    """What the user of `create` asks for: options by their Settings names, None where not given."""

    buckets: tuple[str, ...] = ()
    prefix: str | None = None
    suffix: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    adopt: bool = False  # take over what is foreign, but nobody else's

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
        """The buckets that are attached: a rule, or a permission, is there."""
        return [
            notification.bucket
            for notification in self.stack.notifications
            if notification.key in self.found or notification.permission.key in self.found
        ]

    def plan(self) -> Plan:
        """What brings AWS to what is declared."""
        return engine.plan(self.stack.resources, self.found, adopt=self.adopt)


def read(aws: Aws, names: Names, request: Request | None = None) -> Deployment:
    """Ask AWS for everything about a stack; declare what is asked for now over what was before."""
    request = request or Request()
    aws.forget()
    place = aws.place
    bare = stacks.make(place, names, Settings(), {})

    def look(what: object) -> Any:
        if isinstance(what, Resource):
            return engine.find(aws, [what])
        with doing(f"reading the policy of function {names.aggregator}"):
            return statements(aws, names.aggregator)

    policy, *looks = aws.side_by_side(look, ["policy", *bare.resources])
    found: dict[Key, Found] = {key: each for one in looks for key, each in one.items()}

    table = found.get(bare.table.key)
    ours = table is not None and not engine.is_foreign(bare.table, table, adopt=request.adopt)
    items = _items(aws, names) if ours else {}
    settings = Settings.declared(request.options, _kept(aws, bare, found, adopt=request.adopt))
    named = {bucket for statement in policy.values() if (bucket := _bucket(statement))}
    candidates = dict.fromkeys([*request.buckets, *sorted(named | set(items))], KeyFilter())
    with_buckets = stacks.make(place, names, settings, candidates)
    found.update(engine.find(aws, [each.permission for each in with_buckets.notifications]))
    unread: dict[str, S3aggError] = {}
    for bucket, rule in zip(
        candidates, aws.side_by_side(lambda each: _rule(aws, each), with_buckets.notifications), strict=True
    ):
        if isinstance(rule, S3aggError):
            unread[bucket] = rule
        else:
            found.update(rule)

    def keys(notification: Notification) -> KeyFilter:
        rule = found.get(notification.key)
        declared: KeyFilter = rule.more["keys"] if rule else KeyFilter()
        if notification.bucket in request.buckets:
            declared = KeyFilter(
                declared.prefix if request.prefix is None else request.prefix,
                declared.suffix if request.suffix is None else request.suffix,
            )
        return declared

    attached = {
        each.bucket: keys(each)
        for each in with_buckets.notifications
        if each.bucket in request.buckets or each.key in found or each.permission.key in found
    }
    stack = stacks.make(place, names, settings, attached)
    return Deployment(place, stack, found, items, unread, request.adopt)


def _kept(aws: Aws, bare: Stack, found: Mapping[Key, Found], *, adopt: bool) -> dict[str, str]:
    """What was asked for before, as the table's tags say it."""
    table = found.get(bare.table.key)
    kept = (table.tags or {}) if table else {}
    if adopt and not any(tag.startswith(TAG_PREFIX) for tag in kept):
        # Where a table has any tag of ours, its tags say what was asked for; the rest is as by default.
        kept = as_tags(adoption.asked_for(bare, found, aws.runtimes))
    return {**_users_tags(kept, bare, found), **kept}


def _users_tags(kept: Mapping[str, str], bare: Stack, found: Mapping[Key, Found]) -> dict[str, str]:
    """The user's own tags that are gone from the table alone, as the stack's other resources have them."""
    missing = [key for key in kept.get(USER_TAGS_TAG, "").split("=") if key and key not in kept]
    others = [found[each.key].tags or {} for each in bare.resources if each.key in found]
    return {key: tags[key] for key in missing for tags in others if key in tags}


def _items(aws: Aws, names: Names) -> Mapping[str, BucketActivity]:
    with doing(f"reading table {names.table}"):
        return activity.buckets(aws, names.table)


def _rule(aws: Aws, notification: Notification) -> dict[Key, Found] | S3aggError:
    """Our rule in a bucket's notifications, if it is there.

    A bucket that we may no longer look at must not keep a stack from being shown or removed: it may be
    somebody else's by now.
    """
    try:
        return engine.find(aws, [notification])
    except S3aggError as error:
        if not is_denied(error):
            raise
        return error


def _bucket(statement: Mapping[str, Any]) -> str:
    """The bucket that a statement of the function's policy is for, if it is one of ours."""
    sid = str(statement.get("Sid"))
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


def bring(aws: Aws, deployment: Deployment, plan: Plan) -> Iterator[engine.Event]:
    """Carry out a plan of `for_create`; an adopted stack loses no refresh on the way (see adoption)."""
    if plan.foreign:
        raise engine.foreign(plan)
    stack = deployment.stack
    receiving = {stack.refresher.key, stack.trigger.key}
    if not deployment.adopt:
        yield from engine.apply(aws, plan)
    else:
        yield from engine.apply(aws, Plan([c for c in plan.changes if c.resource.key not in receiving]))
        with doing(f"keeping the windows in table {stack.table.name}"):
            for change in plan.to_do:
                if change.resource.key == stack.aggregator.key:
                    adoption.settle(aws, change)
            adoption.keep_windows(aws, stack.table.name)
        yield from engine.apply(aws, Plan([c for c in plan.changes if c.resource.key in receiving]))
    if deployment.adopt or any(_lost_messages(change) for change in plan.changes):
        with doing(f"sending messages to queue {stack.queue.name}"):
            adoption.wake(aws, stack)


def _lost_messages(change: Change) -> bool:
    """Whether messages that were put off were deleted until this change was made."""
    return any(each.what == "partial batch responses" for each in change.differences)


def for_delete(
    aws: Aws, names: Names, *, keep_logs: bool = False, adopt: bool = False
) -> tuple[Deployment, Plan]:
    """Read the stack and plan its removal; a plan without changes if there is nothing of it."""
    deployment = read(aws, names, Request(adopt=adopt))
    resources = [
        each for each in deployment.stack.resources if not (keep_logs and isinstance(each, LogGroup))
    ]
    plan = engine.plan_delete(resources, deployment.found, adopt=adopt)
    if not any(_shows_a_stack(change) for change in plan.changes):
        plan = Plan([])
    elif deployment.stack.aggregator.key not in deployment.found:
        aws.warn(
            f"Function {names.aggregator} is gone, which knew the buckets. If the rule {names.rule} is"
            f" left in one, remove it: s3agg delete --bucket BUCKET{names.option}"
        )
    return deployment, plan


def _shows_a_stack(change: Change) -> bool:
    """Whether there is a stack: a log group without our tag may be that of anybody's function."""
    tags = change.found.tags if change.found is not None else None
    return not isinstance(change.resource, LogGroup) or STACK_TAG in (tags or {})


def remove(aws: Aws, deployment: Deployment, plan: Plan) -> Iterator[engine.Event]:
    """Carry out a plan of `for_delete`; raise S3aggError for all that is left, and why."""
    rule = deployment.stack.names.rule
    left = [
        S3aggError(
            f"If bucket {bucket} is yours, the rule {rule} may be left there. {error.problem}",
            error.hint,
        )
        for bucket, error in deployment.unread.items()
    ]
    try:
        yield from engine.apply(aws, plan, keep_going=True)
    except S3aggError as error:
        left.insert(0, error)
    if left:
        raise together("Not everything could be removed", left)


def for_detach(
    aws: Aws, names: Names, buckets: Sequence[str], *, adopt: bool = False
) -> tuple[Deployment, Plan]:
    """Read the stack and plan what detaches these buckets from it; raise S3aggError if one cannot be seen."""
    deployment = read(aws, names, Request(buckets=tuple(buckets), adopt=adopt))
    if unread := [deployment.unread[bucket] for bucket in buckets if bucket in deployment.unread]:
        raise together("Nothing was changed", unread)
    for bucket in buckets:
        if bucket not in deployment.buckets and bucket not in deployment.activity:
            attached = ", ".join(deployment.buckets) or "none"
            aws.warn(f"Bucket {bucket} is not attached to the stack {names.stack}. Attached are: {attached}")
    resources: list[Resource] = []
    for notification in deployment.stack.notifications:
        if notification.bucket in buckets:
            resources += [notification, notification.permission]
    # A permission is part of its function, and a bucket's item of the table, neither has tags of its own.
    holders = engine.plan(
        [deployment.stack.aggregator, deployment.stack.table], deployment.found, adopt=adopt
    )
    plan = engine.plan_delete(resources, deployment.found)
    return deployment, Plan([*holders.foreign, *plan.changes])


def detach(aws: Aws, names: Names, buckets: Sequence[str], plan: Plan) -> Iterator[engine.Event]:
    """Carry out a plan of `for_detach`; forget the buckets whose refreshes are all done."""
    yield from engine.apply(aws, plan, keep_going=True)
    for bucket in buckets:
        with doing(f"removing the item of bucket {bucket} from table {names.table}"):
            activity.forget_bucket(aws, names.table, bucket)


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
