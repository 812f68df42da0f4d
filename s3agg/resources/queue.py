"""The queues: the action queue, whose messages wait for a window to close, and the dead-letter queue."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from s3agg.aws.refusals import Refusal, unless_absent
from s3agg.aws.session import Aws
from s3agg.aws.snapshot import Snapshot
from s3agg.resources.resource import ABSENT, Difference, Found, Resource, tag_list

JUST_DELETED = (
    Refusal("AWS.SimpleQueueService.QueueDeletedRecently"),
    Refusal("QueueDeletedRecently"),
)  # FACTS 8
DELETED_TAG = "s3agg:deleted"  # of a queue that s3agg deletes: it still answers for up to 60 s (FACTS 24)
CHANGED_TAG = "s3agg:retention-changed"  # when s3agg changed the retention period, in s since 1970
RETENTION_S = 15 * 60  # the longest that a new retention period takes to show (FACTS 33)
VISIBILITY_S = 90  # the longest wait for a new visibility timeout to show (FACTS 33)
ACTIVE = "active"
RETENTION = "message retention period"
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
    retention_spreads: bool  # s3agg changed it a moment ago, and it may not show yet

    @property
    def is_deleted(self) -> bool:
        return DELETED_TAG in (self.tags or {})

    @property
    def properties(self) -> Mapping[str, str]:
        state = "being deleted" if self.is_deleted else ACTIVE
        return _properties(state, self.visibility, self.retention, self.dead_letters, self.max_receives)


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
        return _properties(ACTIVE, self.visibility, self.retention, dead_letters, self.max_receives)

    def differences(self, found: FoundQueue) -> list[Difference]:
        """Ignore a retention period that s3agg changed a moment ago (FACTS 33)."""
        return [
            each
            for each in super().differences(found)
            if not (found.retention_spreads and each.what == RETENTION)
        ]

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
            lambda aws: self._attributes(aws, url),
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
            retention_spreads=aws.clock.time() < int(tags.get(CHANGED_TAG, 0)) + RETENTION_S,
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
        if found.is_deleted:
            # Again: a command that was interrupted may have written only the tag.
            unless_absent(aws.sqs.delete_queue, QueueUrl=found.url)
            self.create(aws)
            return
        if missing := self.missing_tags(found):
            aws.sqs.tag_queue(QueueUrl=found.url, Tags=missing)
        if self.differs(found, *self.properties):
            self._set_attributes(aws, found)

    def _set_attributes(self, aws: Aws, found: FoundQueue) -> None:
        attributes = self.attributes
        if not self.dead_letters and found.dead_letters:
            attributes["RedrivePolicy"] = ""
        if self.differs(found, RETENTION):
            aws.sqs.tag_queue(QueueUrl=found.url, Tags={CHANGED_TAG: str(int(aws.clock.time()))})
            aws.warn(f"SQS takes up to 15 minutes to apply the new retention period of queue {self.name}.")
        aws.sqs.set_queue_attributes(QueueUrl=found.url, Attributes=attributes)
        aws.wait.until_it_shows(
            f"the new visibility timeout of queue {self.name} to spread",
            lambda: int(self._attributes(aws, found.url)["VisibilityTimeout"]) == self.visibility,
            times=aws.sightings,
            patience_s=VISIBILITY_S,
        )

    def delete(self, aws: Aws, found: FoundQueue) -> None:
        # The tag tells the next command that this queue, which still answers, will be gone (FACTS 24).
        unless_absent(aws.sqs.tag_queue, QueueUrl=found.url, Tags={DELETED_TAG: "yes"})
        unless_absent(aws.sqs.delete_queue, QueueUrl=found.url)

    def _attributes(self, aws: Aws, url: str) -> Mapping[Any, str]:
        return aws.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]


def _properties(
    state: str, visibility: int, retention: int, dead_letters: str | None, max_receives: int
) -> dict[str, str]:
    return {
        "state": state,
        "visibility timeout": f"{visibility} s",
        RETENTION: f"{retention} s",
        "dead-letter queue": dead_letters or ABSENT,
        "maximum receives": str(max_receives) if dead_letters else ABSENT,
    }
