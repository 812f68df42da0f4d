"""How many messages the queues hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from s3agg.aws.session import Aws
from s3agg.resources.queue import Queue

COUNTS: tuple[Any, ...] = (  # of a queue: visible, delayed, in flight
    "ApproximateNumberOfMessages",
    "ApproximateNumberOfMessagesDelayed",
    "ApproximateNumberOfMessagesNotVisible",
)


@dataclass(frozen=True)
class QueueDepth:
    """How many messages a queue holds, about."""

    name: str
    visible: int
    delayed: int
    in_flight: int

    @property
    def messages(self) -> int:
        return self.visible + self.delayed + self.in_flight

    @classmethod
    def of(cls, name: str, attributes: Mapping[str, str]) -> QueueDepth:
        """As the attributes of the queue tell it."""
        return cls(name, *(int(attributes[each]) for each in COUNTS))


def queue_depth(aws: Aws, queue: Queue) -> QueueDepth | None:
    """How deep a queue is; None if it is not there."""
    url = queue.url(aws)
    if url is None:
        return None
    counts: Any = aws.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=list(COUNTS))["Attributes"]
    return QueueDepth.of(queue.name, counts)
