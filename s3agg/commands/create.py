"""create: bring a stack to what is asked."""

from __future__ import annotations

from collections.abc import Iterator

from s3agg import engine
from s3agg.aws.refusals import doing
from s3agg.aws.session import Aws
from s3agg.commands.adopt import keep_windows, settle
from s3agg.engine import Plan
from s3agg.live import items
from s3agg.stack.declared import Stack
from s3agg.stack.deployed import Deployment


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
        aws.side_by_side(lambda each: items.attach(aws, table, each.bucket, each.keys), new)


def _wake(aws: Aws, deployment: Deployment, plan: Plan) -> None:
    """What was changed may have cost messages, now or in a run that died."""
    stack = deployment.stack
    if stack.table.key in deployment.found:  # in a new one nothing waits
        with doing(f"sending messages to queue {stack.queue.name}"):
            activity = items.buckets(aws, stack.table.name) if plan.to_do else deployment.activity
            items.wake(aws, stack.queue, activity.values(), stack.settings)


def _take_over(aws: Aws, stack: Stack, plan: Plan) -> Iterator[engine.Event]:
    """First what opens windows, then what closes them (see adoption)."""
    receiving = {stack.refresher.key, stack.trigger.key}
    changes = {change.resource.key: change for change in plan.changes}
    yield from engine.apply(aws, Plan([each for key, each in changes.items() if key not in receiving]))
    with doing(f"keeping the windows in table {stack.table.name}"):
        settle(aws, changes[stack.aggregator.key], changes[stack.refresher.key])
        keep_windows(aws, stack.table.name)
    yield from engine.apply(aws, Plan([each for key, each in changes.items() if key in receiving]))
