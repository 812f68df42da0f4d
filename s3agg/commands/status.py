"""Is it working? Every resource, window, queue and function of a stack, read once, or again and again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Literal, TypeVar

from s3agg import engine
from s3agg.aws.clock import from_ms
from s3agg.aws.refusals import describing_errors
from s3agg.aws.session import Aws
from s3agg.engine import Change
from s3agg.errors import S3aggError
from s3agg.live import counts, file_shares, items, queues
from s3agg.live.counts import Aggregated, Invocations
from s3agg.live.items import BucketActivity
from s3agg.live.log_lines import hides_lines
from s3agg.live.queues import QueueDepth
from s3agg.resources.log_group import LogGroup
from s3agg.resources.queue import FoundQueue, Queue
from s3agg.resources.resource import Difference
from s3agg.settings import Names
from s3agg.stack import deployed
from s3agg.stack.deployed import Deployment

State = Literal["ok", "missing", "drifted", "foreign"]
STATES: dict[str, State] = {
    "keep": "ok",
    "create": "missing",
    "update": "drifted",
    "delete": "drifted",  # there, although no longer asked for
    "foreign": "foreign",
}
LOOK_S = 2.0  # between two looks at windows and queues, when watching
FULL_LOOK_S = 30.0  # between two at everything: some 40 calls, of which CloudWatch's are paid for
# A refresh that is later than that has no message any more, or nobody who takes it (DESIGN 2): after 5 min
# another event opens the window anew; a message for the shares that were left waits for 15 min at most.
LATE_S = 300
LATEST_S = 20 * 60

T = TypeVar("T")


@dataclass(frozen=True)
class ResourceStatus:
    """One resource; its differences are declared against found."""

    kind: str
    name: str
    arn: str
    state: State
    differences: Sequence[Difference]
    owner: str = ""  # whose it is, if it is foreign


@dataclass(frozen=True)
class Status:
    """A stack as `status` shows it; the fields are those of its JSON.

    `late` are the buckets whose refresh should have come by now. `functions` is empty where CloudWatch could
    not be asked, `aggregated` where the logs could not, or their level hides the lines. `timers` are the
    seconds after which a file share refreshes a folder by itself, by its ARN.
    """

    stack: str
    region: str
    account: str
    healthy: bool
    resources: Sequence[ResourceStatus]
    remedy: str  # what to do about what is foreign
    buckets: Sequence[BucketActivity]
    late: Sequence[str]
    queues: Sequence[QueueDepth]
    log_level: str
    functions: Sequence[Invocations]
    aggregated: Sequence[Aggregated]
    timers: Mapping[str, int]

    @property
    def as_declared(self) -> bool:
        return all(resource.state == "ok" for resource in self.resources)

    @property
    def exists(self) -> bool:
        # Log groups may have been kept, and AWS makes them anew for a late line.
        return any(each.state != "missing" for each in self.resources if each.kind != LogGroup.kind)

    @property
    def dead_letters(self) -> int:
        """How many messages failed for good, about; some of them may be in somebody's hands now."""
        return _dead_letters(self.queues, Names(self.stack))


def read(aws: Aws, names: Names) -> Status:
    """Ask AWS for all of it; changes nothing."""
    _ = aws.place  # who we are, before anything else is asked
    return _look(aws, names).status(aws)


def watch(aws: Aws, names: Names) -> Iterator[Status | S3aggError]:
    """The stack as it is now, and every 2 s from then on; or why that could not be read this time.

    Windows and queues are looked at each time, everything else every 30 s. Raises S3aggError if the first
    look fails.
    """
    _ = aws.place
    last = _look(aws, names)
    till = aws.clock.monotonic() + FULL_LOOK_S
    yield last.status(aws)
    while True:
        aws.clock.sleep(LOOK_S)
        try:
            if aws.clock.monotonic() >= till:
                last = _look(aws, names)
                till = aws.clock.monotonic() + FULL_LOOK_S
            else:
                last = _look_again(aws, last)
        except S3aggError as error:
            yield error
        else:
            yield last.status(aws)


@dataclass(frozen=True)
class _Look:
    """What a look at the stack has told; `timers` as for Status."""

    deployment: Deployment
    queues: Sequence[QueueDepth]
    functions: Sequence[Invocations]
    aggregated: Sequence[Aggregated]
    timers: Mapping[str, int]

    def status(self, aws: Aws) -> Status:
        deployment, names = self.deployment, self.deployment.stack.names
        plan = deployment.plan()
        resources = [_resource(change) for change in plan.changes]
        buckets = [deployment.activity_of(bucket) for bucket in deployment.buckets]
        late = [each.name for each in buckets if _is_late(each, from_ms(aws.clock.time() * 1000))]
        as_declared = all(each.state == "ok" for each in resources)
        return Status(
            stack=names.stack,
            region=deployment.place.region,
            account=deployment.place.account,
            healthy=as_declared and not late and not _dead_letters(self.queues, names),
            resources=resources,
            remedy=engine.remedy(plan) if plan.foreign else "",
            buckets=buckets,
            late=late,
            queues=self.queues,
            log_level=deployment.log_level,
            functions=self.functions,
            aggregated=[] if hides_lines(deployment.log_level) else self.aggregated,
            timers=self.timers,
        )


def _look(aws: Aws, names: Names) -> _Look:
    """Look at everything."""
    deployment, functions, aggregated = aws.concurrently(
        lambda aws: deployed.read(aws, names),
        lambda aws: _functions(aws, names),
        lambda aws: _aggregated(aws, names),
    )
    for bucket, error in deployment.unread.items():
        aws.warn(f"Bucket {bucket} cannot be looked at, it may be somebody else's by now. {error}")
    depths = [QueueDepth.of(queue.name, found) for queue, found in _queues(deployment)]
    return _Look(deployment, depths, functions, aggregated, _timers(aws, deployment))


def _look_again(aws: Aws, before: _Look) -> _Look:
    """Look at the windows and the queues alone."""
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
    """The queues that are there."""
    both = (deployment.stack.queue, deployment.stack.dead_letters)
    return [(queue, found) for queue in both if (found := deployment.found.of(queue))]


def _activity(aws: Aws, deployment: Deployment) -> Mapping[str, BucketActivity]:
    table = deployment.stack.table
    found = deployment.found.of(table)
    if found is None or engine.is_foreign(table, found, adopt=False):
        return {}
    with describing_errors(f"reading table {table.name}"):
        return items.buckets(aws, table.name)


def _depth(name: str, url: str, aws: Aws) -> QueueDepth | None:
    with describing_errors(f"looking at queue {name}"):
        return queues.depth(aws, name, url)


def _is_late(bucket: BucketActivity, now: datetime) -> bool:
    """Whether a refresh should have come by now: of a window that is due, or one that was not finished."""
    due = [moment for moment in (bucket.window.closes_at, bucket.not_before) if moment is not None]
    if not due or not (bucket.window.open or bucket.pending):
        return False
    return (now - max(due)).total_seconds() > (LATEST_S if bucket.pending else LATE_S)


def _functions(aws: Aws, names: Names) -> list[Invocations]:
    def ask() -> list[Invocations]:
        with describing_errors("reading the functions' metrics"):
            return counts.invocations(aws, [names.aggregator, names.refresher])

    return _if_possible(aws, ask, [], "How often the functions ran is not known.")


def _aggregated(aws: Aws, names: Names) -> list[Aggregated]:
    def ask() -> list[Aggregated]:
        with describing_errors("reading the functions' logs"):
            return counts.aggregated(aws, names)

    return _if_possible(aws, ask, [], "How many events and refreshes there were is not known.")


def _timers(aws: Aws, deployment: Deployment) -> dict[str, int]:
    shares = {share for bucket in deployment.buckets for share in deployment.activity_of(bucket).shares}
    if not shares:
        return {}
    otherwise = "Whether file shares refresh themselves is not known."
    return _if_possible(aws, lambda: file_shares.timers(aws, shares), {}, otherwise)


def _if_possible(aws: Aws, ask: Callable[[], T], nothing: T, otherwise: str) -> T:
    """What is answered; where that is refused a warning, as the rest is to be seen all the same."""
    try:
        return ask()
    except S3aggError as error:
        aws.warn(f"{otherwise} {error}")
        return nothing


def _dead_letters(queues: Sequence[QueueDepth], names: Names) -> int:
    return sum(queue.messages for queue in queues if queue.name == names.dead_letters)


def _resource(change: Change) -> ResourceStatus:
    resource = change.resource
    differences = list(change.differences)
    if change.action == "delete":
        differences = [Difference(resource.kind, "(none)", resource.name)]
    return ResourceStatus(
        resource.kind, resource.name, change.arn, STATES[change.action], differences, change.owner.words
    )
