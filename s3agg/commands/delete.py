"""delete: delete a stack, or detach buckets from it."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from s3agg import engine
from s3agg.aws.clock import from_ms
from s3agg.aws.refusals import describing_errors
from s3agg.aws.session import Aws
from s3agg.commands import acceptance, refresh
from s3agg.commands.acceptance import Goal
from s3agg.commands.watching import Waiting
from s3agg.engine import Change, Plan
from s3agg.errors import NOTHING_CHANGED, Advice, S3aggError, combined, plural
from s3agg.live import item_writes, items, messages
from s3agg.live.items import BucketActivity
from s3agg.resources.delivery import Delivery
from s3agg.resources.log_group import LogGroup
from s3agg.resources.notification import Notification
from s3agg.resources.policy import Policy
from s3agg.resources.resource import Resource
from s3agg.resources.role import Role
from s3agg.resources.rule import BucketRule
from s3agg.settings import LONGEST_WINDOW_S, STACK_TAG, Names
from s3agg.stack.deployed import Deployment, Request, read


def for_delete(
    aws: Aws, names: Names, *, keep_logs: bool = False, adopt: bool = False
) -> tuple[Deployment, Plan]:
    """Read the stack and plan its deletion; the plan is empty if there is no stack.

    Raises NoStack if the stack is in another region. Raises S3aggError if a bucket's notifications are
    unreadable: a rule left without its function would block every later change of the bucket's notifications.
    """
    deployment = read(aws, names, Request(adopt=adopt))
    if deployment.elsewhere:
        raise deployment.missing
    unread = [bucket for bucket in deployment.buckets if bucket in deployment.unread]
    if unread:
        raise combined(NOTHING_CHANGED, (_unread(deployment, bucket) for bucket in unread))
    resources = [
        each
        for each in deployment.stack.resources
        if not (keep_logs and isinstance(each, LogGroup)) and not _stays_on(deployment, each)
    ]
    plan = engine.plan_delete(resources, deployment.found, adopt=adopt)
    if not any(_shows_a_stack(change) for change in plan.changes):
        return deployment, Plan([])
    if plan.foreign:  # the delete stops anyway
        return deployment, plan
    if not {deployment.stack.aggregator.key, deployment.stack.table.key} & deployment.found.keys():
        aws.warn(
            S3aggError(
                f"Function {names.aggregator} and table {names.table} do not exist, so the attached buckets"
                " are unknown",
                f"Detach any bucket that still has notifications whose Id begins with {names.rule}",
                Advice("delete", "BUCKET"),
            )
        )
    if letters := deployment.dead_letters:
        lost = f"The deletion loses {plural(letters, 'message')} of the dead-letter queue"
        aws.warn(S3aggError(lost, "To see each, run", Advice("redrive", options={"dry-run": None})))
    deployment.warn_of_unread_rule(aws, f"Rule {names.refresh_rule} may be left")
    _warn_of_other_entities(aws, deployment, plan)
    return deployment, plan


def _stays_on(deployment: Deployment, resource: Resource[Any]) -> bool:
    """Whether it is an EventBridge delivery that s3agg did not turn on, or that others may need."""
    return isinstance(resource, Delivery) and not deployment.may_turn_off(resource)


# The refreshes are lost with the stack, the stack still makes them, or the delete waits for them.
Effect = Literal["lost", "kept", "awaited"]


@dataclass(frozen=True)
class Unfinished:
    """A bucket with an open window or a pending refresh; the fields are those of the JSON."""

    bucket: str
    window_closes_at: datetime | None  # None without an open window
    pending: bool  # a refresh is pending
    not_before: datetime | None  # no refresh starts earlier

    @classmethod
    def of(cls, item: BucketActivity) -> Unfinished:
        return cls(item.name, item.window.closes_at, item.pending, item.not_before)


@dataclass(frozen=True)
class Left:
    """What a delete finds unfinished, and what becomes of it."""

    refreshes: Sequence[Unfinished]
    effect: Effect


def unfinished(deployment: Deployment, plan: Plan, buckets: Sequence[str], *, finish: bool) -> Left:
    """Return the unfinished refreshes of these buckets, or of all; none if the plan cannot be applied."""
    effect: Effect = "awaited" if finish else "kept" if buckets else "lost"
    if plan.foreign:
        return Left([], effect)
    return Left([Unfinished.of(each) for each in _busy(deployment.activity.values(), buckets)], effect)


def _busy(activity: Iterable[BucketActivity], buckets: Sequence[str]) -> list[BucketActivity]:
    """Return the buckets with an open window or a pending refresh, among these or all."""
    return [
        each
        for each in activity
        if (not buckets or each.name in buckets) and (each.window.open or each.pending)
    ]


@dataclass(frozen=True)
class Finish:
    """Before a delete, let the open windows close and their refreshes be accepted.

    First the rules are deleted, so that no new window opens. An interrupted run leaves the rest as it is.
    Then the next run continues, or `create` restores the rules.
    """

    aws: Aws
    deployment: Deployment
    buckets: Sequence[str] = ()  # empty: all
    timeout_s: float | None = None

    def first(self, plan: Plan) -> Generator[engine.Event | Waiting, None, Plan]:
        """Delete the rules, wait, and return the rest of the plan. Raises S3aggError at the timeout."""
        if _busy(self.deployment.activity.values(), self.buckets):
            refresh.check(self.deployment)
        rules = [
            each for each in plan.changes if isinstance(each.resource, Notification | Delivery | BucketRule)
        ]
        yield from engine.apply(self.aws, Plan(rules))
        yield from self._wait()
        return Plan([each for each in plan.changes if each not in rules])

    def _wait(self) -> Generator[Waiting, None, None]:
        aws, stack = self.aws, self.deployment.stack
        if stack.table.key not in self.deployment.found:
            return
        with describing_errors(f"reading the items of table {stack.table.name}"):
            read = items.read_all(aws, stack.table.name).values()
        left = _busy([each.at_interval(stack.settings.min_interval) for each in read], self.buckets)
        if not left:
            return
        with describing_errors(f"sending messages to queue {stack.queue.name}"):
            messages.send(aws, stack.queue, left, stack.settings)  # their own may be lost
        timeout_s = self.timeout_s
        if timeout_s is None:
            now = from_ms(aws.clock.time() * 1000)
            dues = [each for item in left for each in (item.window.closes_at, item.not_before) if each]
            longest_s = max((due - now).total_seconds() for due in [now, *dues])
            timeout_s = min(longest_s, LONGEST_WINDOW_S) + acceptance.default_timeout(stack)
        ended = yield from acceptance.follow(aws, stack, [Goal(each.name) for each in left], timeout_s)
        if ended.left:
            raise self._timed_out(ended, timeout_s)

    def _timed_out(self, ended: acceptance.Ended, timeout_s: float) -> S3aggError:
        told = []
        for bucket, waits_for in ended.left.items():
            item = ended.items[bucket]
            owed = ", ".join(share.rpartition("/")[2] for share in item.owed)
            told.append(f"Bucket {bucket} still waits for {waits_for}")
            told += [f"This refresh is not accepted by {owed}"] if owed else []
            told += [f"The gateway's last answer: {item.answer}"] if item.answer else []
        without = "detach" if self.buckets else "delete the stack"
        return S3aggError(
            f"Timed out after {timeout_s:.0f} s. {'. '.join(told)}",
            "The stack gets no new events of the bucket, and the rest is still there. To wait longer, run the"
            f" same command again. To {without} without waiting, run it without --finish",
        )


def delete_all(
    aws: Aws, plan: Plan, finish: Finish | None = None
) -> Generator[engine.Event | Waiting, None, None]:
    """Apply a plan of `for_delete`."""
    if finish is not None:
        plan = yield from finish.first(plan)
    yield from engine.apply(aws, plan, keep_going=True)


def _unread(deployment: Deployment, bucket: str) -> S3aggError:
    error = deployment.unread[bucket]
    return S3aggError(
        error.problem,
        f"{error.hint}. If the bucket is no longer yours, detach it",
        Advice("delete", bucket),
    )


def _warn_of_other_entities(aws: Aws, deployment: Deployment, plan: Plan) -> None:
    """Warn of roles, users and groups outside the stack that lose a policy."""
    ours = {("role", each.name) for each in deployment.stack.resources if isinstance(each, Role)}
    policies = [each.resource for each in plan.to_do if isinstance(each.resource, Policy)]

    def others_of(policy: Policy) -> list[str]:
        with describing_errors(f"listing the users, groups and roles with policy {policy.name}"):
            return [" ".join(each) for each in policy.attached_to(aws) if each not in ours]

    for policy, others in zip(policies, aws.side_by_side(others_of, policies), strict=True):
        if others:
            aws.warn(f"Policy {policy.name} is also attached to {', '.join(others)} and will be detached.")


def _shows_a_stack(change: Change) -> bool:
    """Whether there is a stack by this resource. A log group without s3agg's tag may be of any function."""
    tags = change.found.tags if change.found is not None else None
    return not isinstance(change.resource, LogGroup) or STACK_TAG in (tags or {})


def for_detach(
    aws: Aws, names: Names, buckets: Sequence[str], *, adopt: bool = False
) -> tuple[Deployment, Plan]:
    """Read the stack and plan the detaching of these buckets.

    Raises NoStack if the stack is in another region.
    """
    deployment = read(aws, names, Request(buckets=tuple(buckets), adopt=adopt))
    if deployment.elsewhere:
        raise deployment.missing
    for bucket in buckets:
        if bucket not in deployment.buckets and bucket not in {*deployment.activity, *deployment.unread}:
            attached = ", ".join(deployment.buckets) or "none"
            aws.warn(f"Bucket {bucket} is not attached to stack {names.stack}. Attached buckets: {attached}.")
    resources: list[Resource[Any]] = []
    for notification in deployment.stack.notifications:
        if notification.bucket in buckets:
            resources += [notification, notification.permission]
    for each in deployment.stack.deliveries:
        if each.bucket in buckets:
            on = [] if _stays_on(deployment, each) else [each]
            resources += [*on, each.rule, each.rule.permission]
    # Permissions and items have no tags. So the function and the table decide whether they are ours.
    holders = engine.plan(
        [deployment.stack.aggregator, deployment.stack.table], deployment.found, adopt=adopt
    )
    plan = engine.plan_delete(resources, deployment.found)
    return deployment, Plan([*holders.foreign, *plan.changes])


def detach_buckets(
    aws: Aws, deployment: Deployment, buckets: Sequence[str], plan: Plan, finish: Finish | None = None
) -> Generator[engine.Event | Waiting, None, None]:
    """Apply a plan of `for_detach`; delete the items of buckets without a due refresh.

    Raises S3aggError at the end for a bucket with unreadable notifications, whose rules may still exist.
    """
    table, rule = deployment.stack.table.name, deployment.stack.names.rule

    def with_item(act: Callable[[Aws, str, str], None], buckets: Sequence[str] = buckets) -> None:
        for bucket in buckets:
            with describing_errors(f"updating the item of bucket {bucket} in table {table}"):
                act(aws, table, bucket)

    with_item(item_writes.detach)  # first, so that an interrupted run does not look like drift
    if finish is not None:
        plan = yield from finish.first(plan)
    yield from engine.apply(aws, plan, keep_going=True)
    marked = [each for each in buckets if deployment.activity_of(each).delivery_is_ours]
    with_item(item_writes.forget_delivery, marked)
    with_item(item_writes.forget_bucket)
    # A bucket with only an item was never attached: it has no rule of this stack.
    unread = [
        deployment.unread[bucket]
        for bucket in buckets
        if bucket in deployment.unread and bucket not in deployment.strays
    ]
    if unread:
        left = [
            S3aggError(
                f"Notifications whose Id begins with {rule} may still exist. {each.problem}", each.hint
            )
            for each in unread
        ]
        raise combined("Some notifications may still exist", left)
