"""The queues: the action queue, whose messages wait for a window to close, and the dead-letter queue."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from botocore.exceptions import ClientError

from s3agg.aws.refusals import Refusal, unless_absent
from s3agg.aws.session import Aws
from s3agg.aws.snapshot import Snapshot
from s3agg.resources.resource import ABSENT, Difference, Found, Resource, canonical, tag_list

JUST_DELETED = (
    Refusal("AWS.SimpleQueueService.QueueDeletedRecently"),
    Refusal("QueueDeletedRecently"),
)  # FACTS 8
# When s3agg deleted the queue, and when it changed the retention period: s since 1970.
DELETED_TAG, CHANGED_TAG = "s3agg:deleted", "s3agg:retention-changed"
DYING_S = 90  # a deleted queue answers for up to 60 s (FACTS 24)
RETENTION_S = 15 * 60  # the longest that a new retention period takes to show (FACTS 33)
ATTRIBUTES_S = 90  # the longest wait for other attributes to show (FACTS 33)
STATE, ACTIVE = "state", "active"
RETENTION = "message retention period"
SENDER = "EventBridge rule that may send"
SENDER_SID = "s3agg-rule"
NOT_THERE_YET = Refusal("InvalidParameterValue", "Dead letter target does not exist")


@dataclass(frozen=True, kw_only=True)
class FoundQueue(Found):
    """A queue; visibility and retention in s, SQS's approximate numbers of messages."""

    url: str
    visibility: int
    retention: int
    dead_letters: str | None  # ARN of the dead-letter queue
    max_receives: int
    statements: Sequence[Mapping[str, Any]]  # of its policy
    visible: int
    delayed: int
    in_flight: int
    is_dying: bool  # s3agg deleted it a moment ago, and it still answers
    retention_spreads: bool  # s3agg changed it a moment ago, and it may not show yet

    @property
    def properties(self) -> Mapping[str, str]:
        state = "being deleted" if self.is_dying else ACTIVE
        return {
            **_properties(state, self.visibility, self.retention, self.dead_letters, self.max_receives),
            SENDER: next(filter(None, map(self._sender, self.statements)), ABSENT),
        }

    def _sender(self, statement: Mapping[str, Any]) -> str | None:
        """Return the rule that a statement of s3agg lets send; None for another, or a changed one."""
        try:
            queue, rule = statement["Resource"], statement["Condition"]["ArnEquals"]["aws:SourceArn"]
        except (KeyError, TypeError):
            return None
        is_whole = canonical(statement) == canonical(_sending(queue, rule))
        return str(rule) if is_whole and queue.rpartition(":")[2] == self.url.rpartition("/")[2] else None


@dataclass(frozen=True, eq=False)
class Queue(Resource[FoundQueue]):
    """A standard queue; visibility and retention in s.

    `sender` is the ARN of the EventBridge rule that may send to it. Other statements of its policy stay.
    """

    kind: ClassVar[str] = "queue"
    already_exists: ClassVar[tuple[Refusal, ...]] = (
        Refusal("QueueAlreadyExists"),
        Refusal("QueueNameExists"),
    )

    visibility: int
    retention: int
    dead_letters: Queue | None = None
    max_receives: int = 0
    sender: str | None = None

    @property
    def arn(self) -> str:
        return self.place.arn("sqs", self.name)

    @property
    def properties(self) -> Mapping[str, str]:
        dead_letters = self.dead_letters.arn if self.dead_letters else None
        return {
            **_properties(ACTIVE, self.visibility, self.retention, dead_letters, self.max_receives),
            **({SENDER: self.sender} if self.sender else {}),
        }

    def differences(self, found: FoundQueue) -> list[Difference]:
        """Ignore a retention period that s3agg changed a moment ago (FACTS 33)."""
        return [
            each
            for each in super().differences(found)
            if not (found.retention_spreads and each.what == RETENTION)
        ]

    @property
    def cloudformation(self) -> Mapping[str, Mapping[str, Any]]:
        queue = {"QueueName": self.name, **self._definition, "Tags": tag_list(self.tags)}
        if not self.sender:
            return {"AWS::SQS::Queue": queue}
        policy = {"Queues": [self], "PolicyDocument": _document(self._statements)}
        return {"AWS::SQS::Queue": queue, "AWS::SQS::QueuePolicy": policy}

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
    def _statements(self) -> list[Mapping[str, Any]]:
        """The statement that lets EventBridge send for the rule alone."""
        return [_sending(self.arn, self.sender)] if self.sender else []

    def attributes(self, others: Sequence[Mapping[str, Any]] = ()) -> dict[Any, str]:
        """Return the attributes in the form of SQS's API. `others` are statements that its policy keeps."""
        attributes = {name: json.dumps(value) for name, value in self._definition.items()}
        if self._statements:
            attributes["Policy"] = json.dumps(_document([*others, *self._statements]))
        return attributes

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
        now = aws.clock.time()
        return FoundQueue(
            url=url,
            **attributes,
            is_dying=now < _time(tags, DELETED_TAG) + DYING_S,
            retention_spreads=now < _time(tags, CHANGED_TAG) + RETENTION_S,
            tags=tags,
        )

    def _attributes(self, aws: Aws, url: str) -> dict[str, Any]:
        """Return the queue's attributes under the names of FoundQueue."""
        attributes = aws.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
        redrive = json.loads(attributes.get("RedrivePolicy", "null") or "null") or {}
        policy = json.loads(attributes.get("Policy", "null") or "null") or {}
        return {
            "visibility": int(attributes["VisibilityTimeout"]),
            "retention": int(attributes["MessageRetentionPeriod"]),
            "dead_letters": redrive.get("deadLetterTargetArn"),
            "max_receives": int(redrive.get("maxReceiveCount", 0)),
            "statements": _listed(policy.get("Statement", [])),
            "visible": int(attributes["ApproximateNumberOfMessages"]),
            "delayed": int(attributes["ApproximateNumberOfMessagesDelayed"]),
            "in_flight": int(attributes["ApproximateNumberOfMessagesNotVisible"]),
        }

    def create(self, aws: Aws) -> None:
        answer = aws.wait.retry(
            f"SQS to release the name of the deleted queue {self.name}",
            lambda: aws.sqs.create_queue(
                QueueName=self.name, Attributes=self.attributes(), tags=dict(self.tags)
            ),
            on=(*JUST_DELETED, NOT_THERE_YET),
            patience_s=90,
            at_most_s=60,
        )
        aws.queue_urls[self.name] = answer["QueueUrl"]

    def update(self, aws: Aws, found: FoundQueue) -> None:
        if found.is_dying:
            self._create_again(aws)
            found = unless_absent(self._found, aws, found.url) or found
        if missing := self.missing_tags(found):
            aws.sqs.tag_queue(QueueUrl=found.url, Tags=missing)
        if self.differs(found, *self.properties):
            self._set_attributes(aws, found)

    def _create_again(self, aws: Aws) -> None:
        """Create the queue when SQS releases its name. If the queue lives after all, keep it."""
        try:
            self.create(aws)
        except ClientError as error:
            if not any(refusal.matches(error) for refusal in self.already_exists):
                raise
        url = aws.queue_urls[self.name]
        aws.sqs.untag_queue(QueueUrl=url, TagKeys=[DELETED_TAG])

    def _set_attributes(self, aws: Aws, found: FoundQueue) -> None:
        attributes = self.attributes([each for each in found.statements if each.get("Sid") != SENDER_SID])
        if not self.dead_letters and found.dead_letters:
            attributes["RedrivePolicy"] = ""
        aws.sqs.set_queue_attributes(QueueUrl=found.url, Attributes=attributes)
        if self.differs(found, RETENTION):
            aws.sqs.tag_queue(QueueUrl=found.url, Tags={CHANGED_TAG: str(int(aws.clock.time()))})
            aws.warn(f"SQS takes up to 15 minutes to apply the new retention period of queue {self.name}.")

        def shows() -> bool:
            shown = replace(found, **self._attributes(aws, found.url), retention_spreads=True)
            return not self.differs(shown, *self.properties)

        aws.wait.poll(
            f"the new attributes of queue {self.name} to show",
            shows,
            times=aws.sightings,
            patience_s=ATTRIBUTES_S,
        )

    def delete(self, aws: Aws, found: FoundQueue) -> None:
        # The tag tells the next command that this queue, which still answers, will be gone (FACTS 24).
        deleted = {DELETED_TAG: str(int(aws.clock.time()))}
        unless_absent(aws.sqs.tag_queue, QueueUrl=found.url, Tags=deleted)
        unless_absent(aws.sqs.delete_queue, QueueUrl=found.url)


def _listed(statements: Any) -> list[Mapping[str, Any]]:
    """Return the statements of a policy, which may hold a single one without a list."""
    return statements if isinstance(statements, list) else [statements]


def _document(statements: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Statement": list(statements)}


def _sending(queue: str, rule: str) -> dict[str, Any]:
    """Return the statement that lets EventBridge send to the queue, for this rule alone."""
    return {
        "Sid": SENDER_SID,
        "Effect": "Allow",
        "Principal": {"Service": "events.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": queue,
        "Condition": {"ArnEquals": {"aws:SourceArn": rule}},
    }


def _time(tags: Mapping[str, str], tag: str) -> int:
    """Return the time in a tag, in s since 1970; 0 without a time."""
    value = tags.get(tag, "")
    return int(value) if value.isdecimal() else 0


def _properties(
    state: str, visibility: int, retention: int, dead_letters: str | None, max_receives: int
) -> dict[str, str]:
    return {
        STATE: state,
        "visibility timeout": f"{visibility} s",
        RETENTION: f"{retention} s",
        "dead-letter queue": dead_letters or ABSENT,
        "maximum receives": str(max_receives) if dead_letters else ABSENT,
    }
