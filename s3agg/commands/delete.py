"""delete: delete a stack, or detach buckets from it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from s3agg import engine
from s3agg.aws.refusals import describing_errors
from s3agg.aws.session import Aws
from s3agg.engine import Change, Plan
from s3agg.errors import NOTHING_CHANGED, Advice, S3aggError, combined
from s3agg.live import items
from s3agg.resources.log_group import LogGroup
from s3agg.resources.policy import Policy
from s3agg.resources.resource import Resource
from s3agg.resources.role import Role
from s3agg.settings import (
    STACK_TAG,
    Names,
)
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
        each for each in deployment.stack.resources if not (keep_logs and isinstance(each, LogGroup))
    ]
    plan = engine.plan_delete(resources, deployment.found, adopt=adopt)
    if not any(_belongs_to_a_stack(change) for change in plan.changes):
        return deployment, Plan([])
    if plan.foreign:  # the delete stops anyway
        return deployment, plan
    if not {deployment.stack.aggregator.key, deployment.stack.table.key} & deployment.found.keys():
        aws.warn(
            S3aggError(
                f"Function {names.aggregator} and table {names.table} do not exist, so the attached buckets"
                " are unknown",
                f"Detach any bucket that still has the notification {names.rule}",
                Advice("delete", "BUCKET"),
            )
        )
    _warn_of_other_entities(aws, deployment, plan)
    return deployment, plan


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


def _belongs_to_a_stack(change: Change) -> bool:
    """False for a log group without s3agg's tag, which may belong to any function of that name."""
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
    # Permissions and items have no tags. So the function and the table decide whether they are ours.
    holders = engine.plan(
        [deployment.stack.aggregator, deployment.stack.table], deployment.found, adopt=adopt
    )
    plan = engine.plan_delete(resources, deployment.found)
    return deployment, Plan([*holders.foreign, *plan.changes])


def detach_buckets(aws: Aws, deployment: Deployment, buckets: Sequence[str], plan: Plan) -> engine.Events:
    """Apply a plan of `for_detach`; delete the items of buckets without a due refresh.

    Raises S3aggError at the end for a bucket with unreadable notifications, whose rule may still exist.
    """
    table, rule = deployment.stack.table.name, deployment.stack.names.rule

    def with_item(act: Callable[[Aws, str, str], None]) -> None:
        for bucket in buckets:
            with describing_errors(f"updating the item of bucket {bucket} in table {table}"):
                act(aws, table, bucket)

    with_item(items.detach)  # first, so that an interrupted run does not look like drift
    yield from engine.apply(aws, plan, keep_going=True)
    with_item(items.forget_bucket)
    # A bucket with only an item was never attached: it has no rule of this stack.
    unread = [
        deployment.unread[bucket]
        for bucket in buckets
        if bucket in deployment.unread and bucket not in deployment.strays
    ]
    if unread:
        left = [
            S3aggError(f"Notification {rule} may still exist. {each.problem}", each.hint) for each in unread
        ]
        raise combined("Some notifications may still exist", left)
