"""What test-upload looks at before it uploads: causes that would otherwise show only at the timeout."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta

from s3agg.aws.clock import from_ms, to_ms
from s3agg.aws.session import Aws
from s3agg.commands import object_lock, shares
from s3agg.commands.function_failures import Failure, Failures
from s3agg.commands.object_lock import Retention
from s3agg.engine import Change, Plan
from s3agg.errors import Advice, S3aggError, UsageProblem
from s3agg.live import log_lines
from s3agg.live.file_shares import FileShare
from s3agg.live.log_lines import EVENT, hides_lines
from s3agg.resources.alarm import Alarm
from s3agg.resources.function import Function
from s3agg.resources.log_group import LogGroup
from s3agg.resources.notification import Notification
from s3agg.settings import VERSION_TAG
from s3agg.stack.declared import Stack
from s3agg.stack.deployed import Deployment

RECENT_S = 20 * 60  # a refresh is tried again after 15 min or --min-interval at most
UPDATE = Advice("create")
SEE_THE_LOGS = "To see why, run"


def check_timeout(stack: Stack, timeout_s: float | None) -> None:
    """Raise UsageProblem for a timeout before which no refresh may come."""
    window, interval = stack.settings.window, stack.settings.min_interval
    if timeout_s is not None and timeout_s < window + interval:
        raise UsageProblem(
            f"--timeout {timeout_s:g} is too short: a refresh can take the window ({window} s)"
            f" and the minimum interval ({interval} s)",
            f"Pass --timeout {window + interval} or more",
        )


def check(deployment: Deployment, notification: Notification) -> None:
    """Raise S3aggError if no event of the bucket can cause a refresh."""
    stack, found = deployment.stack, deployment.found
    if notification.bucket in deployment.gone:
        raise S3aggError(
            f"Bucket {notification.bucket} no longer exists",
            "Detach it",
            Advice("delete", notification.bucket),
        )
    types = notification.event_filter.events
    if "created" not in types:
        raise S3aggError(
            f"No upload to bucket {notification.bucket} can cause a refresh, because its event types are only"
            f" {notification.event_filter.events_words}",
            "To have refreshes for created objects too, run",
            Advice("create", notification.bucket, {"events": ",".join(["created", *types])}),
        )
    plan = Plan(_on_the_way(deployment, notification))
    plan.check_owners()
    missing = [each.resource for each in plan.changes if each.action == "create"]
    problems = [f"{each.kind} {each.name} is missing" for each in missing]
    trigger = found.of(stack.trigger)
    if trigger is not None and not trigger.enabled:
        problems.append(f"the trigger of function {stack.refresher.name} is disabled")
    for function in (stack.aggregator, stack.refresher):
        configured = found.of(function)
        if configured is not None and configured.reserved == 0:
            problems.append(f"the reserved concurrency of function {function.name} is 0")
    if problems:
        words = ", ".join(problems)
        raise S3aggError(
            f"No upload to bucket {notification.bucket} can cause a refresh: {words}",
            "To correct this, run",
            UPDATE,
        )


def read(
    aws: Aws, deployment: Deployment, notification: Notification, *, keep: bool
) -> tuple[list[S3aggError], Retention | None, Sequence[FileShare] | None]:
    """Return the warnings, how long the bucket keeps each new object from deletion, and its file shares.

    The shares are None if they are unknown. Also makes the bucket's new file shares known to the refresh
    function. Raises S3aggError if the logs cannot be read, or the table cannot be written. Also raises it for
    a bucket that keeps objects, unless `keep`.
    """
    found, lookup, retention = aws.concurrently(
        lambda aws: list(warnings(aws, deployment, notification)),
        shares.look_up,
        lambda aws: object_lock.read(aws, notification),
    )
    if isinstance(retention, S3aggError):
        found, retention = [*found, retention], None
    if retention is not None and not keep:
        until = retention.until(from_ms(aws.clock.time() * 1000))
        raise S3aggError(
            f"The objects could not be deleted before {until:%Y-%m-%d}: bucket {notification.bucket} has"
            f" {retention.words}",
            "To upload all the same, pass --keep",
        )
    of_bucket = shares.of_buckets(aws, lookup, [notification.bucket])
    shares.make_known(aws, deployment, of_bucket or {})
    return found, retention, None if of_bucket is None else of_bucket[notification.bucket]


def warnings(aws: Aws, deployment: Deployment, notification: Notification) -> Iterator[S3aggError]:
    """Yield what may keep the refresh from coming. Raises S3aggError if the logs cannot be read."""
    stack, bucket = deployment.stack, notification.bucket
    if names := drifted(deployment, notification):
        yield S3aggError(
            f"Drifted, which may prevent the refresh: {names}", "To see it, run", Advice("status")
        )
    now = from_ms(aws.clock.time() * 1000)
    recent = timedelta(seconds=max(RECENT_S, 2 * stack.settings.min_interval))
    failures = Failures(aws, stack, bucket, to_ms(now - recent))
    if not hides_lines(deployment.log_level):
        yield from _of_aggregator(deployment, failures)
    if deployment.activity_of(bucket).pending:
        yield from _of_gateway(deployment, failures)


def drifted(deployment: Deployment, notification: Notification) -> str:
    """Return the names of the drifted resources on the way from the bucket to the refresh.

    Not a table that differs only in the version of s3agg: that prevents nothing.
    """
    return ", ".join(
        f"{each.resource.kind} {each.resource.name}"
        for each in _on_the_way(deployment, notification)
        if each.action == "update" and any(one.what != f"tag {VERSION_TAG}" for one in each.differences)
    )


def _on_the_way(deployment: Deployment, notification: Notification) -> list[Change]:
    """Return the changes of the resources on the way from the bucket to the refresh."""
    others = {each.key for each in deployment.stack.notifications if each.key != notification.key}
    others |= {each.permission.key for each in deployment.stack.notifications if each.key in others}
    for each in deployment.stack.deliveries:
        if each.bucket != notification.bucket:
            others |= {each.key, each.rule.key, each.rule.permission.key}
    others |= {deployment.stack.dead_letters.key, deployment.stack.rule.key}  # no refresh needs these
    return [
        change
        for change in deployment.plan().changes
        if change.resource.key not in others and not isinstance(change.resource, LogGroup | Alarm)
    ]


def _of_aggregator(deployment: Deployment, failures: Failures) -> Iterator[S3aggError]:
    """Yield the aggregator's last failure, unless the function was changed or has handled an event since."""
    function = failures.stack.aggregator
    failed = _since_change(deployment, function, failures.of_aggregator())
    if failed and not any(
        log_lines.read(failures.aws, function.log_group.name, to_ms(failed[-1].time), EVENT)
    ):
        yield S3aggError(
            f"Function {function.name} has handled no event since it failed at"
            f" {failed[-1].time:%H:%M:%S} UTC: {failed[-1].words}",
            SEE_THE_LOGS,
            Advice("logs", failures.bucket),
        )


def _of_gateway(deployment: Deployment, failures: Failures) -> Iterator[S3aggError]:
    """Yield why the pending refresh of the bucket was not complete at the last try.

    Nothing tells whether the cause was removed since, such as a denial. So the words are of the past.
    """
    last_start = deployment.activity_of(failures.bucket).last_refresh
    found = _since_change(deployment, failures.stack.refresher, failures.of_refresher())
    failed = [each for each in found if last_start is None or each.time > last_start]
    if failed:
        yield S3aggError(
            f"A refresh of bucket {failures.bucket} is pending. It failed last at"
            f" {failed[-1].time:%H:%M:%S} UTC: {failed[-1].words}",
            SEE_THE_LOGS,
            Advice("logs", failures.bucket),
        )


def _since_change(deployment: Deployment, function: Function, failed: Sequence[Failure]) -> list[Failure]:
    """Return the failures since the last change of the function: it may have removed an earlier cause."""
    found = deployment.found.of(function)
    return [each for each in failed if found is None or each.time > found.changed]
