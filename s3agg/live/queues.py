"""How many messages the queues hold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from s3agg.aws.refusals import unless_absent
from s3agg.aws.session import Aws
from s3agg.resources.queue import FoundQueue

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
    def of(cls, name: str, found: FoundQueue) -> QueueDepth:
        """As it was when the queue was found."""
        return cls(name, found.visible, found.delayed, found.in_flight)


def depth(aws: Aws, name: str, url: str) -> QueueDepth | None:
    """How many messages the queue holds now; None if it is gone."""
    answer = unless_absent(aws.sqs.get_queue_attributes, QueueUrl=url, AttributeNames=list(COUNTS))
    counts: Any = answer and answer["Attributes"]
    return QueueDepth(name, *(int(counts[each]) for each in COUNTS)) if counts else None
