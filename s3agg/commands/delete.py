"""delete: remove a stack, or detach buckets from it."""

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
    """Read the stack and plan its removal; a plan without changes if there is nothing of it.

    Raises S3aggError where a bucket cannot be looked at: without the function, a rule that is left in it
    keeps everybody from changing the bucket's notifications.
    """
    deployment = read(aws, names, Request(adopt=adopt))
    unread = [bucket for bucket in deployment.buckets if bucket in deployment.unread]
    if unread:
        raise combined(NOTHING_CHANGED, (_unread(deployment, bucket) for bucket in unread))
    resources = [
        each for each in deployment.stack.resources if not (keep_logs and isinstance(each, LogGroup))
    ]
    plan = engine.plan_delete(resources, deployment.found, adopt=adopt)
    if not any(_proves_a_stack(change) for change in plan.changes):
        return deployment, Plan([])
    if plan.foreign:  # which stops it
        return deployment, plan
    if not {deployment.stack.aggregator.key, deployment.stack.table.key} & deployment.found.keys():
        aws.warn(
            S3aggError(
                f"Function and table {names.table} are gone, which knew the buckets",
                f"If the rule {names.rule} is left in one, remove it",
                Advice("delete", "BUCKET"),
            )
        )
    _warn_of_others(aws, deployment, plan)
    return deployment, plan


def _unread(deployment: Deployment, bucket: str) -> S3aggError:
    error = deployment.unread[bucket]
    return S3aggError(
        error.problem,
        f"{error.hint}; or, if it is not yours any more, give it up",
        Advice("delete", bucket),
    )


def _warn_of_others(aws: Aws, deployment: Deployment, plan: Plan) -> None:
    """Warn of other roles, users and groups that lose a policy."""
    ours = {("role", each.name) for each in deployment.stack.resources if isinstance(each, Role)}
    policies = [each.resource for each in plan.to_do if isinstance(each.resource, Policy)]

    def look(policy: Policy) -> list[str]:
        with describing_errors(f"looking whom policy {policy.name} is attached to"):
            return [" ".join(each) for each in policy.attached_to(aws) if each not in ours]

    for policy, others in zip(policies, aws.side_by_side(look, policies), strict=True):
        if others:
            aws.warn(f"Policy {policy.name} is also attached to {', '.join(others)}, and will be taken off")


def _proves_a_stack(change: Change) -> bool:
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
    resources: list[Resource[Any]] = []
    for notification in deployment.stack.notifications:
        if notification.bucket in buckets:
            resources += [notification, notification.permission]
    # A permission is part of its function, and a bucket's item of the table, neither has tags of its own.
    holders = engine.plan(
        [deployment.stack.aggregator, deployment.stack.table], deployment.found, adopt=adopt
    )
    plan = engine.plan_delete(resources, deployment.found)
    return deployment, Plan([*holders.foreign, *plan.changes])


def detach_buckets(aws: Aws, deployment: Deployment, buckets: Sequence[str], plan: Plan) -> engine.Events:
    """Carry out a plan of `for_detach`; forget the buckets whose refreshes are all done.

    Raises S3aggError in the end for a bucket that cannot be looked at, whose rule may be left.
    """
    table, rule = deployment.stack.table.name, deployment.stack.names.rule

    def with_item(act: Callable[[Aws, str, str], None]) -> None:
        for bucket in buckets:
            with describing_errors(f"changing the item of bucket {bucket} in table {table}"):
                act(aws, table, bucket)

    with_item(items.detach)  # first, so that a run that dies is not taken for drift
    yield from engine.apply(aws, plan, keep_going=True)
    with_item(items.forget_bucket)
    unread = [deployment.unread[bucket] for bucket in buckets if bucket in deployment.unread]
    if unread:
        left = [S3aggError(f"The rule {rule} may be left. {each.problem}", each.hint) for each in unread]
        raise combined("Not everything could be removed", left)
