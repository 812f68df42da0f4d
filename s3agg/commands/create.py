"""create: bring a stack to what is asked."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import closing

from s3agg import engine
from s3agg.aws.refusals import describing_errors
from s3agg.aws.session import Aws
from s3agg.commands.adopt import take_over
from s3agg.engine import Plan
from s3agg.live import items
from s3agg.stack.deployed import Deployment


def bring(aws: Aws, deployment: Deployment, plan: Plan) -> engine.Events:
    """Carry out a plan that brings the stack to what is asked, so that no refresh is lost on the way."""
    if plan.foreign:
        raise engine.foreign(plan)
    table = deployment.stack.table
    kept: list[Future[None]] = []
    changes = take_over(aws, deployment, plan) if deployment.adopt else engine.apply(aws, plan)
    # Which buckets are asked for is kept as soon as there is a table for it: a run may die before the rest.
    with ThreadPoolExecutor(1) as beside, closing(changes):
        if not any(change.resource is table for change in plan.to_do):
            kept.append(beside.submit(_attach, aws, deployment))
        for event in changes:
            yield event
            if isinstance(event, engine.Finished) and event.change.resource is table:
                kept.append(beside.submit(_attach, aws, deployment))
            if aws.workers == 1:  # one call after the other
                wait(kept)
    for each in kept:
        each.result()
    _wake(aws, deployment, plan)


def _attach(aws: Aws, deployment: Deployment) -> None:
    table = deployment.stack.table.name
    new = [each for each in deployment.stack.notifications if deployment.asked_of(each.bucket) != each.keys]
    with describing_errors(f"keeping the buckets in table {table}"):
        aws.side_by_side(lambda each: items.attach(aws, table, each.bucket, each.keys), new)


def _wake(aws: Aws, deployment: Deployment, plan: Plan) -> None:
    """What was changed may have cost messages, now or in a run that died."""
    stack = deployment.stack
    if stack.table.key in deployment.found:  # in a new one nothing waits
        with describing_errors(f"sending messages to queue {stack.queue.name}"):
            activity = items.buckets(aws, stack.table.name) if plan.to_do else deployment.activity
            items.wake(aws, stack.queue, activity.values(), stack.settings)
