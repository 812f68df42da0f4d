"""The queues: the action queue, whose messages wait for a window to close, and the dead-letter queue."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from s3agg.aws.refusals import Refusal, unless_absent
from s3agg.aws.session import Aws
from s3agg.aws.snapshot import Snapshot
from s3agg.resources.resource import ABSENT, Found, Resource, tag_list

JUST_DELETED = (
    Refusal("AWS.SimpleQueueService.QueueDeletedRecently"),
    Refusal("QueueDeletedRecently"),
)  # FACTS 8
NOT_THERE_YET = Refusal("InvalidParameterValue", "Dead letter target does not exist")


@dataclass(frozen=True, kw_only=True)
class FoundQueue(Found):
    """A queue; visibility and retention in s, SQS's approximate numbers of messages."""

    url: str
    visibility: int
    retention: int
    dead_letters: str | None  # ARN of the dead-letter queue
    max_receives: int
    visible: int
    delayed: int
    in_flight: int

    @property
    def properties(self) -> Mapping[str, str]:
        return _properties(self.visibility, self.retention, self.dead_letters, self.max_receives)


@dataclass(frozen=True, eq=False)
class Queue(Resource[FoundQueue]):
    """A standard queue; visibility and retention in s."""

    kind: ClassVar[str] = "queue"
    already_exists: ClassVar[tuple[Refusal, ...]] = (
        Refusal("QueueAlreadyExists"),
        Refusal("QueueNameExists"),
    )

    visibility: int
    retention: int
    dead_letters: Queue | None = None
    max_receives: int = 0

    @property
    def arn(self) -> str:
        return self.place.arn("sqs", self.name)

    @property
    def properties(self) -> Mapping[str, str]:
        dead_letters = self.dead_letters.arn if self.dead_letters else None
        return _properties(self.visibility, self.retention, dead_letters, self.max_receives)

    @property
    def cloudformation(self) -> Mapping[str, Mapping[str, Any]]:
        return {"AWS::SQS::Queue": {"QueueName": self.name, **self._definition, "Tags": tag_list(self.tags)}}

    @property
    def _definition(self) -> dict[Any, Any]:
        redrive = self.dead_letters and {
            "deadLetterTargetArn": self.dead_letters.arn,
            "maxReceiveCount": self.max_receives,
        }
        return {
            "VisibilityTimeout": self.visibility,
            "MessageRetentionPeriod": self.retention,
            **({"RedrivePolicy": redrive} if redrive else {}),
        }

    @property
    def attributes(self) -> dict[Any, str]:
        """The attributes in the form of SQS's API."""
        return {name: json.dumps(value) for name, value in self._definition.items()}

    def url(self, aws: Aws) -> str | None:
        """Return the queue's URL; None if the queue has not existed so far.

        SQS is asked, because the URL does not always follow from the name and the endpoint.
        """
        if self.name not in aws.queue_urls:
            answer = unless_absent(aws.sqs.get_queue_url, QueueName=self.name)
            if answer is None:
                return None
            aws.queue_urls[self.name] = answer["QueueUrl"]
        return aws.queue_urls[self.name]

    def url_in(self, snapshot: Snapshot) -> str | None:
        """Return the queue's URL, read once for a snapshot."""
        return snapshot.once(("queue URL", self.name), lambda: self.url(snapshot.aws))

    def find(self, snapshot: Snapshot) -> FoundQueue | None:
        url = self.url_in(snapshot)
        return None if url is None else unless_absent(self._found, snapshot.aws, url)

    def _found(self, aws: Aws, url: str) -> FoundQueue:
        attributes, tags = aws.concurrently(
            lambda aws: aws.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"],
            lambda aws: aws.sqs.list_queue_tags(QueueUrl=url).get("Tags", {}),
        )
        redrive = json.loads(attributes.get("RedrivePolicy", "null") or "null") or {}
        return FoundQueue(
            url=url,
            visibility=int(attributes["VisibilityTimeout"]),
            retention=int(attributes["MessageRetentionPeriod"]),
            dead_letters=redrive.get("deadLetterTargetArn"),
            max_receives=int(redrive.get("maxReceiveCount", 0)),
            visible=int(attributes["ApproximateNumberOfMessages"]),
            delayed=int(attributes["ApproximateNumberOfMessagesDelayed"]),
            in_flight=int(attributes["ApproximateNumberOfMessagesNotVisible"]),
            tags=tags,
        )

    def create(self, aws: Aws) -> None:
        answer = aws.wait.retry(
            f"SQS to release the name of the deleted queue {self.name}",
            lambda: aws.sqs.create_queue(
                QueueName=self.name, Attributes=self.attributes, tags=dict(self.tags)
            ),
            on=(*JUST_DELETED, NOT_THERE_YET),
            patience_s=90,
            at_most_s=60,
        )
        aws.queue_urls[self.name] = answer["QueueUrl"]

    def update(self, aws: Aws, found: FoundQueue) -> None:
        if missing := self.missing_tags(found):
            aws.sqs.tag_queue(QueueUrl=found.url, Tags=missing)
        if self.differs(found, *self.properties):
            attributes = self.attributes
            if not self.dead_letters and found.dead_letters:
                attributes["RedrivePolicy"] = ""
            aws.sqs.set_queue_attributes(QueueUrl=found.url, Attributes=attributes)

    def delete(self, aws: Aws, found: FoundQueue) -> None:
        unless_absent(aws.sqs.delete_queue, QueueUrl=found.url)


def _properties(
    visibility: int, retention: int, dead_letters: str | None, max_receives: int
) -> dict[str, str]:
    return {
        "visibility timeout": f"{visibility} s",
        "message retention period": f"{retention} s",
        "dead-letter queue": dead_letters or ABSENT,
        "maximum receives": str(max_receives) if dead_letters else ABSENT,
    }
