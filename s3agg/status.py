"""Is it working? Every resource, window, queue and function of a stack, read once, or again and again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from s3agg import counts, deployment, file_shares
from s3agg.activity import HIDING_LEVELS, BucketActivity, QueueDepth
from s3agg.aws import Aws
from s3agg.counts import Aggregated, Invocations
from s3agg.deployment import Deployment
from s3agg.engine import Change
from s3agg.errors import S3aggError
from s3agg.refusals import doing
from s3agg.resources.resource import Difference
from s3agg.settings import Names

State = Literal["ok", "missing", "drifted", "foreign"]
STATES: dict[str, State] = {
    "keep": "ok",
    "create": "missing",
    "update": "drifted",
    "delete": "drifted",  # there, although no longer asked for
    "foreign": "foreign",
}
LOOK_S = 2.0  # between two looks, when watching
RECOUNT_S = 30.0  # between two counts: CloudWatch is paid for by the metric, and has them minutes later


@dataclass(frozen=True)
class ResourceStatus:
    """One resource; its differences are declared against found."""

    kind: str
    name: str
    arn: str
    state: State
    differences: Sequence[Difference]


@dataclass(frozen=True)
class Counts:
    """How much happened of late, and which file shares refresh themselves after how many s, by their ARNs."""

    functions: Sequence[Invocations]
    aggregated: Sequence[Aggregated]
    timers: Mapping[str, int]


@dataclass(frozen=True)
class Status:
    """A stack as `status` shows it; the fields are those of its JSON.

    `aggregated` is empty where the log level hides the functions' lines; the seconds of `timers` are after
    which a file share refreshes a folder by itself.
    """

    stack: str
    region: str
    account: str
    healthy: bool
    resources: Sequence[ResourceStatus]
    buckets: Sequence[BucketActivity]
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
        return any(resource.state != "missing" for resource in self.resources)

    @property
    def dead_letters(self) -> int:
        """How many messages failed for good, about; some of them may be in somebody's hands now."""
        return _dead_letters(self.queues, Names(self.stack))


def read(aws: Aws, names: Names) -> Status:
    """Ask AWS for all of it; changes nothing."""
    return next(watch(aws, names))


def watch(aws: Aws, names: Names) -> Iterator[Status]:
    """The stack as it is now, and every 2 s from then on; what is counted is counted every 30 s."""
    _ = aws.place  # who we are, before anything else is asked
    counted, till = None, 0.0
    while True:
        if counted is None or aws.clock.monotonic() >= till:
            till = aws.clock.monotonic() + RECOUNT_S
            deployed, functions, aggregated = aws.at_once(
                lambda aws: deployment.read(aws, names),
                lambda aws: _functions(aws, names),
                lambda aws: _aggregated(aws, names),
            )
            counted = Counts(functions, aggregated, _timers(aws, deployed))
        else:
            deployed = deployment.read(aws, names)
        yield _status(aws, deployed, counted)
        aws.clock.sleep(LOOK_S)


def _status(aws: Aws, deployed: Deployment, counted: Counts) -> Status:
    for bucket, error in deployed.unread.items():
        aws.warn(f"Bucket {bucket} cannot be looked at, it may be somebody else's by now. {error}")
    stack = deployed.stack
    resources = [_resource(change) for change in deployed.plan().changes]
    queues = [
        QueueDepth.of(queue.name, found.more["attributes"])
        for queue in (stack.queue, stack.dead_letters)
        if (found := deployed.found.get(queue.key)) is not None
    ]
    names = stack.names
    return Status(
        stack=names.stack,
        region=deployed.place.region,
        account=deployed.place.account,
        healthy=all(each.state == "ok" for each in resources) and not _dead_letters(queues, names),
        resources=resources,
        buckets=[deployed.activity.get(bucket) or BucketActivity(bucket) for bucket in deployed.buckets],
        queues=queues,
        log_level=deployed.log_level,
        functions=counted.functions,
        aggregated=[] if deployed.log_level in HIDING_LEVELS else counted.aggregated,
        timers=counted.timers,
    )


def _functions(aws: Aws, names: Names) -> list[Invocations]:
    with doing("reading the functions' metrics"):
        return counts.invocations(aws, [names.aggregator, names.refresher])


def _aggregated(aws: Aws, names: Names) -> list[Aggregated]:
    with doing("reading the functions' logs"):
        return counts.aggregated(aws, names)


def _timers(aws: Aws, deployed: Deployment) -> dict[str, int]:
    """Nothing, and a warning, where they cannot be looked at: only `status` asks for this."""
    shares = {share for bucket in deployed.buckets for share in _shares(deployed, bucket)}
    if not shares:
        return {}
    try:
        return file_shares.timers(aws, shares)
    except S3aggError as error:
        aws.warn(f"Whether file shares refresh themselves is not known. {error}")
        return {}


def _shares(deployed: Deployment, bucket: str) -> Sequence[str]:
    return deployed.activity.get(bucket, BucketActivity(bucket)).shares


def _dead_letters(queues: Sequence[QueueDepth], names: Names) -> int:
    return sum(queue.messages for queue in queues if queue.name == names.dead_letters)


def _resource(change: Change) -> ResourceStatus:
    resource = change.resource
    differences = list(change.differences)
    if change.action == "delete":
        differences = [Difference(resource.kind, "(none)", resource.name)]
    return ResourceStatus(resource.kind, resource.name, change.arn, STATES[change.action], differences)
