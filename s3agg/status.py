"""Is it working? Every resource, window, queue and function of a stack, read once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

from s3agg import activity, deployment
from s3agg.activity import BucketActivity, Invocations, QueueDepth
from s3agg.aws import Aws
from s3agg.engine import Change
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
HOURS = (1, 24)


@dataclass(frozen=True)
class ResourceStatus:
    """One resource; its differences are declared against found."""

    kind: str
    name: str
    arn: str
    state: State
    differences: Sequence[Difference]


@dataclass(frozen=True)
class Status:
    """A stack as `status` shows it; the fields are those of its JSON."""

    stack: str
    region: str
    account: str
    healthy: bool
    resources: Sequence[ResourceStatus]
    buckets: Sequence[BucketActivity]
    queues: Sequence[QueueDepth]
    functions: Sequence[Invocations]

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
    _ = aws.place  # who we are, before anything else is asked
    deployed, *counted = aws.at_once(
        lambda aws: deployment.read(aws, names), *(partial(_invocations, names, hours) for hours in HOURS)
    )
    for bucket, error in deployed.unread.items():
        aws.warn(f"Bucket {bucket} cannot be looked at, it may be somebody else's by now. {error}")
    stack = deployed.stack
    resources = [_resource(change) for change in deployed.plan().changes]
    queues = [
        QueueDepth.of(queue.name, found.more["attributes"])
        for queue in (stack.queue, stack.dead_letters)
        if (found := deployed.found.get(queue.key)) is not None
    ]
    healthy = all(resource.state == "ok" for resource in resources) and not _dead_letters(queues, names)
    return Status(
        stack=names.stack,
        region=deployed.place.region,
        account=deployed.place.account,
        healthy=healthy,
        resources=resources,
        buckets=[deployed.activity.get(bucket) or BucketActivity(bucket) for bucket in deployed.buckets],
        queues=queues,
        functions=[one for hours in counted for one in hours],
    )


def _invocations(names: Names, hours: int, aws: Aws) -> Sequence[Invocations]:
    with doing("reading the functions' metrics"):
        return activity.invocations(aws, [names.aggregator, names.refresher], hours)


def _dead_letters(queues: Sequence[QueueDepth], names: Names) -> int:
    return sum(queue.messages for queue in queues if queue.name == names.dead_letters)


def _resource(change: Change) -> ResourceStatus:
    resource = change.resource
    differences = list(change.differences)
    if change.action == "delete":
        differences = [Difference(resource.kind, "(none)", resource.name)]
    return ResourceStatus(resource.kind, resource.name, change.arn, STATES[change.action], differences)
