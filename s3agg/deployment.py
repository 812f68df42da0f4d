"""One stack in AWS: read what is there, and plan what brings it to what is asked, or removes it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar

from s3agg import activity, adoption, engine
from s3agg import stack as stacks
from s3agg.activity import BucketActivity
from s3agg.aws import Aws, Place
from s3agg.engine import Change, Key, Plan
from s3agg.errors import NOTHING_CHANGED, S3aggError, UsageProblem, together
from s3agg.refusals import doing, is_denied
from s3agg.resources.iam import Policy, Role
from s3agg.resources.lambda_ import STAND_IN, statements
from s3agg.resources.logs import LogGroup
from s3agg.resources.resource import Found, Resource
from s3agg.resources.s3 import KeyFilter, Notification
from s3agg.settings import (
    BILLING_TAG,
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
    bare = stacks.make(place, names, Settings(), {})

    # Each of the three that name buckets looks at their rules at once, while the others are still asked.
    named, (items, table), others, _ = aws.at_once(
        lambda aws: _look_ahead(aws, bare, _named(aws, bare)),
        lambda aws: _table(aws, bare, adopt=request.adopt),
        lambda aws: engine.find(aws, [each for each in bare.resources if each is not bare.table]),
        lambda aws: _look_ahead(aws, bare, request.buckets),
    )
    found: dict[Key, Found] = {**table, **others}
    if bare.table.key not in found and bare.aggregator.key in found:
        # Removed by hand; or somebody is creating the stack just now, and it has come since.
        items, table = _table(aws, bare, adopt=request.adopt)
        found.update(table)
    kept = _kept(aws, bare, found, adopt=request.adopt)
    settings = Settings.declared(request.options, kept, _deployed(bare, found, kept))
    if request.keep_billing:
        settings = settings.keeping_billing()
    candidates = dict.fromkeys([*request.buckets, *sorted(named | set(items))], KeyFilter())
    with_buckets = stacks.make(place, names, settings, candidates)
    found.update(engine.find(aws, [each.permission for each in with_buckets.notifications]))
    rules, unread = _rules(aws, bare, candidates)
    found.update(rules)

    asked = {name: item.keys for name, item in items.items() if item.keys is not None}

    def keys(notification: Notification) -> KeyFilter:
        rule = found.get(notification.key)
        declared: KeyFilter = rule.more["keys"] if rule else asked.get(notification.bucket, KeyFilter())
        if notification.bucket in request.buckets:
            declared = KeyFilter(
                declared.prefix if request.prefix is None else request.prefix,
                declared.suffix if request.suffix is None else request.suffix,
            )
        return declared

    attached = {
        each.bucket: keys(each)
        for each in with_buckets.notifications
        if {each.key, each.permission.key} & found.keys() or each.bucket in {*request.buckets, *asked}
    }
    stack = stacks.make(place, names, settings, attached)
    return Deployment(place, stack, found, items, unread, request.adopt)


def _kept(aws: Aws, bare: Stack, found: Mapping[Key, Found], *, adopt: bool) -> dict[str, str]:
    """What was asked for before, as the table's tags say it.

    Without such a table, one that is adopted or one that somebody removed, what is deployed was asked for.
    """
    table = found.get(bare.table.key)
    kept = (table.tags or {}) if table else {}
    removed = table is None and bare.aggregator.key in found  # the function was made after it
    if (adopt or removed) and not any(tag.startswith(TAG_PREFIX) for tag in kept):
        kept = as_tags(adoption.asked_for(bare, found, aws.runtimes))
    return {**_users_tags(kept, bare, found), **kept}


def _deployed(bare: Stack, found: Mapping[Key, Found], kept: Mapping[str, str]) -> dict[str, object]:
    """What counts as asked for although no tag keeps it: how a table that is there is paid for.

    `create` keeps that as tags. It did not always, and on demand is the default of a new stack only.
    """
    return {} if BILLING_TAG in kept else adoption.billing(bare.table, found.get(bare.table.key))


def _users_tags(kept: Mapping[str, str], bare: Stack, found: Mapping[Key, Found]) -> dict[str, str]:
    """The user's own tags that are gone from the table alone, as the stack's other resources have them."""
    missing = [key for key in kept.get(USER_TAGS_TAG, "").split("=") if key and key not in kept]
    others = [found[each.key].tags or {} for each in bare.resources if each.key in found]
    return {key: tags[key] for key in missing for tags in others if key in tags}


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
        items = activity.buckets(aws, bare.table.name)
    return _look_ahead(aws, bare, items), found


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
    declared = stacks.make(bare.table.place, bare.names, bare.settings, dict.fromkeys(buckets, KeyFilter()))

    def look(notification: Notification) -> dict[Key, Found] | S3aggError:
        try:
            return engine.find(aws, [notification])
        except S3aggError as error:
            return error

    rules = aws.side_by_side(
        lambda each: aws.once(("rule", each.bucket), lambda: look(each)), declared.notifications
    )
    return {each.bucket: rule for each, rule in zip(declared.notifications, rules, strict=True)}


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


def bring(aws: Aws, deployment: Deployment, plan: Plan) -> Iterator[engine.Event]:
    """Carry out a plan that brings the stack to what is asked, so that no refresh is lost on the way."""
    if plan.foreign:
        raise engine.foreign(plan)
    stack = deployment.stack
    yield from _take_over(aws, stack, plan) if deployment.adopt else engine.apply(aws, plan)
    aws.at_once(lambda aws: _attach(aws, deployment), lambda aws: _wake(aws, deployment, plan))


def _attach(aws: Aws, deployment: Deployment) -> None:
    table = deployment.stack.table.name
    new = [each for each in deployment.stack.notifications if deployment.asked_of(each.bucket) != each.keys]
    with doing(f"keeping the buckets in table {table}"):
        aws.side_by_side(lambda each: activity.attach(aws, table, each.bucket, each.keys), new)


def _wake(aws: Aws, deployment: Deployment, plan: Plan) -> None:
    """What was changed may have cost messages, now or in a run that died."""
    stack = deployment.stack
    if stack.table.key in deployment.found:  # in a new one nothing waits
        with doing(f"sending messages to queue {stack.queue.name}"):
            items = activity.buckets(aws, stack.table.name) if plan.to_do else deployment.activity
            activity.wake(aws, stack.queue, items.values(), stack.settings)


def _take_over(aws: Aws, stack: Stack, plan: Plan) -> Iterator[engine.Event]:
    """First what opens windows, then what closes them (see adoption)."""
    receiving = {stack.refresher.key, stack.trigger.key}
    changes = {change.resource.key: change for change in plan.changes}
    yield from engine.apply(aws, Plan([each for key, each in changes.items() if key not in receiving]))
    with doing(f"keeping the windows in table {stack.table.name}"):
        adoption.settle(aws, changes[stack.aggregator.key], changes[stack.refresher.key])
        adoption.keep_windows(aws, stack.table.name)
    yield from engine.apply(aws, Plan([each for key, each in changes.items() if key in receiving]))


def for_delete(
    aws: Aws, names: Names, *, keep_logs: bool = False, adopt: bool = False
) -> tuple[Deployment, Plan]:
    """Read the stack and plan its removal; a plan without changes if there is nothing of it.

    Raises S3aggError where a bucket cannot be looked at: without the function, a rule that is left in it
    keeps everybody from changing the bucket's notifications.
    """
    deployment = read(aws, names, Request(adopt=adopt))
    unread = [bucket for bucket in deployment.buckets if bucket in deployment.unread]
    if unread:
        raise together(NOTHING_CHANGED, (_unread(deployment, bucket) for bucket in unread))
    resources = [
        each for each in deployment.stack.resources if not (keep_logs and isinstance(each, LogGroup))
    ]
    plan = engine.plan_delete(resources, deployment.found, adopt=adopt)
    if not any(_shows_a_stack(change) for change in plan.changes):
        return deployment, Plan([])
    if plan.foreign:  # which stops it
        return deployment, plan
    if not {deployment.stack.aggregator.key, deployment.stack.table.key} & deployment.found.keys():
        aws.warn(
            f"Function and table {names.table} are gone, which knew the buckets. If the rule {names.rule} is"
            f" left in one, remove it: s3agg delete --bucket BUCKET{names.option}"
        )
    _warn_of_others(aws, deployment, plan)
    return deployment, plan


def _unread(deployment: Deployment, bucket: str) -> S3aggError:
    error, option = deployment.unread[bucket], deployment.stack.names.option
    return S3aggError(
        error.problem,
        f"{error.hint}; or, if it is not yours any more, give it up: s3agg delete --bucket {bucket}{option}",
    )


def _warn_of_others(aws: Aws, deployment: Deployment, plan: Plan) -> None:
    """Tell whom else the policies that go are taken off."""
    ours = {("role", each.name) for each in deployment.stack.resources if isinstance(each, Role)}
    policies = [each.resource for each in plan.to_do if isinstance(each.resource, Policy)]

    def look(policy: Policy) -> list[str]:
        with doing(f"looking whom policy {policy.name} is attached to"):
            return [" ".join(each) for each in policy.attached_to(aws) if each not in ours]

    for policy, others in zip(policies, aws.side_by_side(look, policies), strict=True):
        if others:
            aws.warn(f"Policy {policy.name} is also attached to {', '.join(others)}, and will be taken off")


def _shows_a_stack(change: Change) -> bool:
    """Whether there is a stack: a log group without our tag may be that of anybody's function."""
    tags = change.found.tags if change.found is not None else None
    return not isinstance(change.resource, LogGroup) or STACK_TAG in (tags or {})


def for_detach(
    aws: Aws, names: Names, buckets: Sequence[str], *, adopt: bool = False
) -> tuple[Deployment, Plan]:
    """Read the stack and plan what detaches these buckets from it."""
    deployment = read(aws, names, Request(buckets=tuple(buckets), adopt=adopt))
    for bucket in buckets:
        if bucket not in deployment.buckets and bucket not in {*deployment.activity, *deployment.unread}:
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


def detach(aws: Aws, deployment: Deployment, buckets: Sequence[str], plan: Plan) -> Iterator[engine.Event]:
    """Carry out a plan of `for_detach`; forget the buckets whose refreshes are all done.

    Raises S3aggError in the end for a bucket that cannot be looked at, whose rule may be left.
    """
    table, rule = deployment.stack.table.name, deployment.stack.names.rule

    def with_item(act: Callable[[Aws, str, str], None]) -> None:
        for bucket in buckets:
            with doing(f"changing the item of bucket {bucket} in table {table}"):
                act(aws, table, bucket)

    with_item(activity.detach)  # first, so that a run that dies is not taken for drift
    yield from engine.apply(aws, plan, keep_going=True)
    with_item(activity.forget_bucket)
    unread = [deployment.unread[bucket] for bucket in buckets if bucket in deployment.unread]
    if unread:
        left = [S3aggError(f"The rule {rule} may be left. {each.problem}", each.hint) for each in unread]
        raise together("Not everything could be removed", left)


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
