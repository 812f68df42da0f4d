"""The numbers of messages in the queues."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from s3agg.aws.refusals import unless_absent
from s3agg.aws.session import Aws
from s3agg.resources.queue import FoundQueue

COUNTS: tuple[Any, ...] = (  # visible, delayed, in flight
    "ApproximateNumberOfMessages",
    "ApproximateNumberOfMessagesDelayed",
    "ApproximateNumberOfMessagesNotVisible",
)


@dataclass(frozen=True)
class QueueDepth:
    """SQS's approximate numbers of messages in a queue."""

    name: str
    visible: int
    delayed: int
    in_flight: int

    @property
    def messages(self) -> int:
        return self.visible + self.delayed + self.in_flight

    @classmethod
    def of(cls, name: str, found: FoundQueue) -> QueueDepth:
        """Return the numbers from when the queue was read."""
        return cls(name, found.visible, found.delayed, found.in_flight)


def depth(aws: Aws, name: str, url: str) -> QueueDepth | None:
    """Read the numbers of messages now; None if the queue does not exist."""
    answer = unless_absent(aws.sqs.get_queue_attributes, QueueUrl=url, AttributeNames=list(COUNTS))
    counts: Any = answer and answer["Attributes"]
    return QueueDepth(name, *(int(counts[each]) for each in COUNTS)) if counts else None
