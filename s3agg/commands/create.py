"""create: create a stack, or update it to its declaration."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import closing
from functools import partial

from s3agg import engine
from s3agg.aws.refusals import describing_errors
from s3agg.aws.session import Aws
from s3agg.aws.snapshot import Snapshot
from s3agg.commands import shares
from s3agg.commands.adopt import apply_adoption
from s3agg.engine import Change, Plan
from s3agg.live import item_writes, items, messages
from s3agg.live.file_shares import Shares
from s3agg.resources.delivery import Delivery
from s3agg.resources.function import CODE, VARIABLE, VARIABLES
from s3agg.resources.notification import FoundNotification, Notification
from s3agg.resources.permission import Permission
from s3agg.resources.queue import Queue
from s3agg.resources.rule import BucketRule, FoundRule
from s3agg.resources.table import Table
from s3agg.stack.deployed import Deployment

# For so long after a change S3 may send events by the old way only (FACTS, EventBridge).
EFFECT_S = 5 * 60


def apply_create(aws: Aws, deployment: Deployment, plan: Plan, found: Shares | None = None) -> engine.Events:
    """Apply the plan of `create` without losing a refresh; yield the engine's events.

    `found` holds the file shares of the buckets, as far as they are known: new ones are made known.

    A bucket that changes its way, between event notifications and EventBridge, first gets the new way. The
    old way is removed when S3 surely uses the new one. Whether s3agg turns a bucket's EventBridge delivery on
    is stored before it does.
    """
    plan.check_owners()
    whole, table = plan, deployment.stack.table
    old = [each for each in plan.to_do if each.action == "delete" and _is_way(each)]
    turned_on = [
        each for each in plan.to_do if each.action == "create" and isinstance(each.resource, Delivery)
    ]
    plan = Plan([each for each in plan.changes if each not in [*old, *turned_on]])
    permissions = [each.resource for each in plan.to_do if isinstance(each.resource, Permission)]
    unfinished = set(permissions)
    beside: list[Future[None]] = []
    changes = _changes(aws, deployment, plan)
    # The attached buckets are stored as soon as the table exists, in case the run is interrupted later.
    with ThreadPoolExecutor(1) as thread, closing(changes):
        if not any(change.resource is table for change in plan.to_do):
            beside.append(_begin_to_store(thread, aws, deployment))
        for event in changes:
            yield event
            if isinstance(event, engine.Finished):
                if event.change.resource is table:
                    beside.append(thread.submit(_store_buckets, aws, deployment))
                if event.change.resource in unfinished:
                    unfinished.remove(event.change.resource)
                    if not unfinished:
                        beside.append(thread.submit(_add_lost, aws, permissions))
            if aws.workers == 1:  # no concurrent calls
                wait(beside)
    for each in beside:
        each.result()
    yield from _turn_on(aws, deployment, turned_on)
    yield from _remove_old_way(aws, deployment, old)
    yield from _create_again(aws, whole)
    shares.make_known(aws, deployment, found or {})
    _send_messages(aws, deployment, whole)


def _is_way(change: Change) -> bool:
    """Whether the change is of what brings a bucket's events to the aggregator."""
    return isinstance(change.resource, Notification | Permission | BucketRule | Delivery)


def _turn_on(aws: Aws, deployment: Deployment, changes: Sequence[Change]) -> engine.Events:
    """Turn EventBridge deliveries on; first store in the table and in a tag that s3agg does so.

    If only one of the two is left of an earlier time, the other is stored again.
    """
    table = deployment.stack.table.name
    ours = {each.resource for each in changes if isinstance(each.resource, Delivery)}
    ours |= {each for each in deployment.stack.deliveries if each.wanted and deployment.is_turned_on(each)}
    calls: list[Callable[[], None]] = []
    for each in ours:
        if not deployment.activity_of(each.bucket).delivery_is_ours:
            calls.append(partial(item_writes.keep_delivery, aws, table, each.bucket))
        rule = deployment.found.of(each.rule)
        if rule is None or not each.rule.is_marked(rule):
            calls.append(partial(each.rule.mark, aws))
    with describing_errors("saving the EventBridge deliveries in the table and in tags of their rules"):
        aws.side_by_side(lambda call: call(), calls)
    yield from engine.apply(aws, Plan(changes))


def _remove_old_way(aws: Aws, deployment: Deployment, changes: Sequence[Change]) -> engine.Events:
    """Remove what brought the events of a bucket before it changed its way."""
    if (
        any(isinstance(each.resource, Notification | BucketRule) for each in changes)
        and not aws.lambda_is_local
    ):
        aws.wait.pause("S3 to use the new way", EFFECT_S)
    yield from engine.apply(aws, Plan(changes))
    _forget_deliveries(aws, deployment)


def _forget_deliveries(aws: Aws, deployment: Deployment) -> None:
    """Remove the marks of the deliveries that the stack no longer needs: off now, or left on for others."""
    table = deployment.stack.table.name
    done = [
        each.bucket
        for each in deployment.stack.deliveries
        if not each.wanted and deployment.activity_of(each.bucket).delivery_is_ours
    ]
    with describing_errors(f"saving the EventBridge deliveries in table {table}"):
        aws.side_by_side(lambda each: item_writes.forget_delivery(aws, table, each), done)


def _changes(aws: Aws, deployment: Deployment, plan: Plan) -> engine.Events:
    """Apply the plan. If it updates the aggregator, the next refreshes are ones of everything."""
    updates = deployment.adopt or _updates_aggregator(deployment, plan)
    if updates:  # before the update too, as an interrupted run does not come to the second write
        _refresh_everything(aws, deployment)
    yield from apply_adoption(aws, deployment, plan) if deployment.adopt else engine.apply(aws, plan)
    if updates:
        _refresh_everything(aws, deployment)


def _updates_aggregator(deployment: Deployment, plan: Plan) -> bool:
    """Whether instances of another code, or with other variables, may go on after this plan."""
    aggregator = deployment.stack.aggregator
    return any(
        change.resource is aggregator
        and change.action == "update"
        and any(each.what.startswith((CODE, VARIABLE, VARIABLES)) for each in change.differences)
        for change in plan.to_do
    )


def _refresh_everything(aws: Aws, deployment: Deployment) -> None:
    """Make the next refreshes of each bucket ones of everything, as older instances add nothing."""
    table = deployment.stack.table
    if table.key in deployment.found:
        with describing_errors(f"requesting refreshes of everything in table {table.name}"):
            names = [item["BucketName"]["S"] for item in items.read_items(aws, table.name)]
            aws.side_by_side(lambda name: item_writes.refresh_everything(aws, table.name, name), names)


def may_have_missed(plan: Plan) -> list[str]:
    """Return the buckets from which no event came before these changes, or none of some keys or types.

    A bucket is attached for the first time, or its rule or permission was missing or changed. Or the table or
    the action queue was missing: open windows were in the one, and their messages in the other.
    """
    missed = dict[str, None]()
    made = [each.resource for each in plan.to_do if each.action == "create"]
    if any(isinstance(each, Table) or (isinstance(each, Queue) and each.dead_letters) for each in made):
        rules = [
            each.resource for each in plan.changes if isinstance(each.resource, Notification | BucketRule)
        ]
        missed = {rule.bucket: None for rule in rules}
    for change in plan.to_do:
        rule, found = change.resource, change.found
        if change.action == "delete":
            continue
        if isinstance(rule, Permission | Delivery):
            missed[rule.bucket] = None
        if isinstance(rule, Notification):
            had_all = isinstance(found, FoundNotification) and rule.had_all_events(found)
            missed |= {} if had_all else {rule.bucket: None}
        if isinstance(rule, BucketRule):
            had_all = isinstance(found, FoundRule) and rule.had_all_events(found)
            missed |= {} if had_all else {rule.bucket: None}
    return sorted(missed.keys() - set(_on_old_way(plan)))


def _on_old_way(plan: Plan) -> Iterator[str]:
    """Yield the buckets whose old way gave all events, and is removed when the new one is there."""
    for change in plan.to_do:
        rule, found = change.resource, change.found
        if change.action != "delete":
            continue
        if (
            isinstance(rule, Notification)
            and isinstance(found, FoundNotification)
            and rule.had_all_events(found)
        ):
            yield rule.bucket
        if isinstance(rule, BucketRule) and isinstance(found, FoundRule) and rule.had_all_events(found):
            yield rule.bucket


def _add_lost(aws: Aws, permissions: Sequence[Permission]) -> None:
    """Add statements of this run again that another process's change of the policy has lost (FACTS 34).

    Its next change can lose those too. So this reads the policy until all statements are there.
    """

    def are_there() -> bool:
        snapshot = Snapshot(aws)
        lost = [each for each in permissions if each.find(snapshot) is None]
        for each in lost:
            each.create(aws)
        return not lost

    function = permissions[0].function.name
    with describing_errors(f"checking the policy of function {function}"):
        aws.wait.poll(f"the policy of function {function} to keep its statements", are_there)


def _create_again(aws: Aws, plan: Plan) -> engine.Events:
    """Create kept queues that are gone now: a deleted queue still answers for up to 60 s (FACTS 24)."""
    kept = [
        each.resource for each in plan.changes if each.action == "keep" and isinstance(each.resource, Queue)
    ]
    if plan.to_do and kept:
        found = engine.find(Snapshot(aws), kept)
        yield from engine.apply(aws, engine.plan([each for each in kept if found.of(each) is None], found))


def _begin_to_store(thread: ThreadPoolExecutor, aws: Aws, deployment: Deployment) -> Future[None]:
    """Store the buckets beside the changes, but a changed filter before them.

    Else an interrupted run would leave rules that the next run changes back.
    """
    stored = thread.submit(_store_buckets, aws, deployment)
    if any(
        deployment.stored_filter(each.bucket) not in {None, each.event_filter}
        for each in deployment.stack.notifications
    ):
        stored.result()
    return stored


def _store_buckets(aws: Aws, deployment: Deployment) -> None:
    """Store newly attached buckets and changed event filters in the table."""
    table = deployment.stack.table.name
    new = [
        each
        for each in deployment.stack.notifications
        if deployment.stored_filter(each.bucket) != each.event_filter
    ]
    with describing_errors(f"saving the attached buckets in table {table}"):
        aws.side_by_side(lambda each: item_writes.attach(aws, table, each.bucket, each.event_filter), new)


def _send_messages(aws: Aws, deployment: Deployment, plan: Plan) -> None:
    """Replace messages that were lost to a change, in this run or in an interrupted one."""
    stack = deployment.stack
    if stack.table.key in deployment.found:  # a new table has no windows
        with describing_errors(f"sending messages to queue {stack.queue.name}"):
            activity = items.read_all(aws, stack.table.name) if plan.to_do else deployment.activity
            messages.send(aws, stack.queue, activity.values(), stack.settings)
