"""The queues: the messages that wait for a window to close, and the dead letters."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from s3agg.aws.refusals import Refusal, is_error
from s3agg.aws.session import Aws
from s3agg.resources.resource import ABSENT, Found, Resource, pairs

GONE = ("AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist")
JUST_DELETED = (
    Refusal("AWS.SimpleQueueService.QueueDeletedRecently"),
    Refusal("QueueDeletedRecently"),
)  # FACTS 8
NOT_THERE_YET = Refusal("InvalidParameterValue", "Dead letter target does not exist")


@dataclass(frozen=True, eq=False)
class Queue(Resource):
    """A standard queue; visibility and retention in s."""

    kind: ClassVar[str] = "queue"
    taken: ClassVar[tuple[Refusal, ...]] = (Refusal("QueueAlreadyExists"), Refusal("QueueNameExists"))

    visibility: int
    retention: int
    dead_letters: Queue | None = None
    max_receives: int = 0

    @property
    def arn(self) -> str:
        return self.place.arn("sqs", self.name)

    @property
    def properties(self) -> Mapping[str, str]:
        return {
            "visibility timeout": f"{self.visibility} s",
            "retention": f"{self.retention} s",
            "dead letters": f"{self.dead_letters.arn} after {self.max_receives} receives"
            if self.dead_letters
            else ABSENT,
        }

    @property
    def cloudformation(self) -> Mapping[str, Mapping[str, Any]]:
        return {"AWS::SQS::Queue": {"QueueName": self.name, **self._definition, "Tags": pairs(self.tags)}}

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
        """As SQS takes them."""
        return {name: json.dumps(value) for name, value in self._definition.items()}

    def url(self, aws: Aws) -> str | None:
        """The queue's URL as AWS gives it, which is not always what its name and our endpoint make.

        Asked once for all that want to know, until `aws.forget()`; None if there was no queue then.
        """
        return aws.once(self._url_key, lambda: self._ask_url(aws))

    def ask_url(self, aws: Aws) -> str | None:
        """The same, asked anew."""
        url = self._ask_url(aws)
        aws.know(self._url_key, url)
        return url

    @property
    def _url_key(self) -> tuple[str, str]:
        return "queue URL", self.name

    def _ask_url(self, aws: Aws) -> str | None:
        try:
            return aws.sqs.get_queue_url(QueueName=self.name)["QueueUrl"]
        except aws.sqs.exceptions.ClientError as error:
            if is_error(error, *GONE):
                return None
            raise

    def find(self, aws: Aws) -> Found | None:
        url = self.ask_url(aws)
        if url is None:
            return None
        try:
            attributes, tags = aws.at_once(
                lambda aws: aws.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"],
                lambda aws: aws.sqs.list_queue_tags(QueueUrl=url).get("Tags", {}),
            )
        except aws.sqs.exceptions.ClientError as error:
            if is_error(error, *GONE):
                return None
            raise
        redrive = json.loads(attributes.get("RedrivePolicy", "null") or "null")
        properties = {
            "visibility timeout": f"{attributes['VisibilityTimeout']} s",
            "retention": f"{attributes['MessageRetentionPeriod']} s",
            "dead letters": f"{redrive['deadLetterTargetArn']} after {redrive['maxReceiveCount']} receives"
            if redrive
            else ABSENT,
        }
        return Found(properties, tags, {"url": url, "attributes": attributes})

    def create(self, aws: Aws) -> None:
        answer = aws.wait_for(
            f"AWS to free the name of queue {self.name}, deleted less than 60 s ago",
            lambda: aws.sqs.create_queue(
                QueueName=self.name, Attributes=self.attributes, tags=dict(self.tags)
            ),
            refusals=(*JUST_DELETED, NOT_THERE_YET),
            patience_s=90,
            at_most_s=60,
        )
        aws.know(self._url_key, answer["QueueUrl"])

    def update(self, aws: Aws, found: Found) -> None:
        url = found.more["url"]
        if missing := self.missing_tags(found):
            aws.sqs.tag_queue(QueueUrl=url, Tags=missing)
        if self.differs(found, *self.properties):
            attributes = self.attributes
            if not self.dead_letters and found.properties["dead letters"] != ABSENT:
                attributes["RedrivePolicy"] = ""
            aws.sqs.set_queue_attributes(QueueUrl=url, Attributes=attributes)

    def delete(self, aws: Aws, found: Found) -> None:
        try:
            aws.sqs.delete_queue(QueueUrl=found.more["url"])
        except aws.sqs.exceptions.ClientError as error:
            if not is_error(error, *GONE):
                raise
