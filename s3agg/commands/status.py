"""status: the state of every resource, window, queue and function of a stack, once or repeatedly."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

from s3agg import engine
from s3agg.aws.clock import from_ms, to_ms
from s3agg.aws.refusals import describing_errors
from s3agg.aws.session import Aws
from s3agg.commands import shares
from s3agg.commands.health import Status
from s3agg.commands.problem import as_problem
from s3agg.commands.stack_state import ResourceStatus, State, Unread, exists
from s3agg.engine import Change
from s3agg.errors import Advice, S3aggError
from s3agg.live import counts, items, queues, share_status
from s3agg.live.counts import Invocations, Logged
from s3agg.live.file_shares import Shares
from s3agg.live.items import BucketActivity
from s3agg.live.lateness import is_late
from s3agg.live.log_lines import hides_lines
from s3agg.live.queues import QueueDepth
from s3agg.resources.queue import FoundQueue, Queue
from s3agg.resources.resource import ABSENT, Difference
from s3agg.settings import Names
from s3agg.stack import deployed
from s3agg.stack.chosen import StackSettings
from s3agg.stack.deployed import CANNOT_TELL, Deployment

STATES: dict[str, State] = {
    "keep": "ok",
    "create": "missing",
    "update": "drifted",
    "delete": "drifted",  # exists, but is no longer declared
    "foreign": "foreign",
}
LOOK_S = 2.0  # between two reads of windows and queues when watching
FULL_LOOK_S = 30.0  # between two reads of everything, about 40 calls; CloudWatch charges for its own
T = TypeVar("T")


def read(aws: Aws, names: Names) -> Status:
    """Read the status from AWS."""
    _ = aws.place  # check the credentials first
    return _read_all(aws, names).status(aws)


def watch(aws: Aws, names: Names) -> Iterator[Status | S3aggError]:
    """Yield the status every 2 s, or the error if reading it failed this time.

    Windows and queues are read each time, everything else every 30 s. Raises S3aggError if the first read
    fails.
    """
    _ = aws.place
    last = _read_all(aws, names)
    till = aws.clock.monotonic() + FULL_LOOK_S
    yield last.status(aws)
    while True:
        aws.clock.sleep(LOOK_S)
        try:
            if aws.clock.monotonic() >= till:
                last = _read_all(aws, names)
                till = aws.clock.monotonic() + FULL_LOOK_S
            else:
                last = _read_windows_and_queues(aws, last)
        except S3aggError as error:
            yield error
        else:
            yield last.status(aws)


@dataclass(frozen=True)
class _Readings:
    """What was read from AWS; `shares` as for Status."""

    deployment: Deployment
    queues: Sequence[QueueDepth]
    functions: Sequence[Invocations] | None
    logged: Logged | None
    shares: Shares | None

    def status(self, aws: Aws) -> Status:
        deployment, names = self.deployment, self.deployment.stack.names
        plan, made_by = deployment.plan(), deployment.made_by
        missing = {change.resource.key for change in plan.changes if change.action == "create"}
        resources = [_resource(change, missing) for change in plan.changes]
        buckets = [deployment.activity_of(bucket).with_last_answers() for bucket in deployment.buckets]
        now, settings = from_ms(aws.clock.time() * 1000), deployment.stack.settings
        warnings = (
            []
            if self.shares is None
            else [
                *shares.warnings(deployment, self.shares),
                *shares.changes(deployment, self.shares, to_ms(now)),
            ]
        )
        late = [each.name for each in buckets if is_late(each, now, settings)]
        logged = None if hides_lines(deployment.log_level) or not exists(resources) else self.logged
        history = logged.history if logged else None
        confirms = deployment.tells_completion
        return Status(
            stack=names.stack,
            region=deployment.place.region,
            account=deployment.place.account,
            elsewhere=deployment.elsewhere,
            resources=resources,
            remedy=plan.remedy,
            buckets=buckets,
            gone=deployment.gone,
            late=late,
            queues=self.queues,
            log_level=deployment.log_level,
            functions=self.functions,
            aggregated=logged.aggregated if logged else None,
            settings=StackSettings.of(deployment.stack, made_by.version if made_by else None)
            if exists(resources)
            else None,
            refreshes={
                each.name: share_status.of_bucket(each, history, confirms=confirms) for each in buckets
            },
            median_hours=history.hours if history else None,
            made_by=made_by,
            shares=self.shares,
            of_shares=[as_problem(each) for each in warnings],
            unread=list(self.unread()),
        )

    def unread(self) -> Iterator[Unread]:
        """Yield the parts that could not be read. A warning has told why."""
        if self.deployment.unread:
            yield "notifications"
        if self.deployment.unread_rule is not None:
            yield "rule"
        if self.shares is None:
            yield "file_shares"
        if self.functions is None:
            yield "metrics"
        if self.logged is None:
            yield "logs"


def _read_all(aws: Aws, names: Names) -> _Readings:
    deployment, functions, logged, lookup = aws.concurrently(
        lambda aws: deployed.read(aws, names),
        lambda aws: _invocations(aws, names),
        lambda aws: _logged(aws, names),
        shares.look_up,
    )
    for bucket, error in deployment.unread.items():
        aws.warn(f"Could not read bucket {bucket}. It may belong to another account now.", error)
    deployment.warn_of_unread_rule(aws, CANNOT_TELL)
    _warn_of_strays(aws, deployment)
    depths = [QueueDepth.of(queue.name, found) for queue, found in _queues(deployment)]
    there = [bucket for bucket in deployment.buckets if bucket not in deployment.gone]
    found = shares.of_buckets(aws, lookup, there)
    return _Readings(deployment, depths, functions, logged, found)


def _warn_of_strays(aws: Aws, deployment: Deployment) -> None:
    """Tell how to remove the items of buckets that are not attached, unless a refresh is still due."""
    for bucket in deployment.idle_strays(aws.clock):
        aws.warn(
            S3aggError(
                f"Table {deployment.stack.table.name} has an item of bucket {bucket},"
                " which is not attached. A late event of a detached bucket leaves such an item, or a test"
                " event in the Lambda console",
                "To remove it, run",
                Advice("delete", bucket),
            )
        )


def _read_windows_and_queues(aws: Aws, before: _Readings) -> _Readings:
    activity, *depths = aws.concurrently(
        lambda aws: _activity(aws, before.deployment),
        *(partial(_depth, queue.name, found.url) for queue, found in _queues(before.deployment)),
    )
    return replace(
        before,
        deployment=replace(before.deployment, activity=activity),
        queues=[each for each in depths if each is not None],
    )


def _queues(deployment: Deployment) -> list[tuple[Queue, FoundQueue]]:
    """Return the existing queues."""
    both = (deployment.stack.queue, deployment.stack.dead_letters)
    return [(queue, found) for queue in both if (found := deployment.found.of(queue))]


def _activity(aws: Aws, deployment: Deployment) -> Mapping[str, BucketActivity]:
    table, interval = deployment.stack.table, deployment.stack.settings.min_interval
    if deployment.found.ours(table) is None:
        return {}
    with describing_errors(f"reading the items of table {table.name}"):
        found = items.read_all(aws, table.name)
    return {name: each.at_interval(interval) for name, each in found.items()}


def _depth(name: str, url: str, aws: Aws) -> QueueDepth | None:
    with describing_errors(f"counting the messages in queue {name}"):
        return queues.depth(aws, name, url)


def _invocations(aws: Aws, names: Names) -> list[Invocations] | None:
    def ask() -> list[Invocations]:
        with describing_errors("reading the functions' metrics"):
            return counts.count_invocations(aws, [names.aggregator, names.refresher])

    return _or_warning(aws, ask, "Could not count the invocations.")


def _logged(aws: Aws, names: Names) -> Logged | None:
    def ask() -> Logged:
        with describing_errors("reading the functions' logs"):
            return counts.read_logs(aws, names)

    return _or_warning(aws, ask, "Could not count the events and refreshes.")


def _or_warning(aws: Aws, ask: Callable[[], T], warning: str) -> T | None:
    """Call `ask`; if it fails, warn and return None, so that the rest is shown."""
    try:
        return ask()
    except S3aggError as error:
        aws.warn(warning, error)
        return None


def _resource(change: Change, missing: Collection[engine.Key]) -> ResourceStatus:
    resource = change.resource
    differences = list(change.differences)
    if change.action == "delete":
        differences = [Difference(resource.kind, ABSENT, resource.name)]
    return ResourceStatus(
        resource.kind,
        resource.name,
        change.arn,
        STATES[change.action],
        differences,
        change.owner.reason,
        [f"{each.kind} {each.name}" for each in resource.needs if each.key in missing] if differences else [],
    )
