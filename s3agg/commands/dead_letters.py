"""The messages of the dead-letter queue: receive each once, delete it, or make it visible again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from s3agg.aws.refusals import describing_errors
from s3agg.aws.session import Aws, batches
from s3agg.stack.declared import AGGREGATOR_TIMEOUT_S

BATCH = 10  # the limit of SQS for messages in one call
WAIT_S = 1  # long polling, so that SQS asks all of its servers
# The messages of a batch are processed concurrently: time for one invocation and its retries.
HIDDEN_S = 6 * AGGREGATOR_TIMEOUT_S

Message = Mapping[str, Any]  # as SQS returns it


@dataclass
class DeadLetterQueue:
    """The queue `name`, and the messages that one run has received from it."""

    aws: Aws
    name: str
    url: str
    held: dict[str, str] = field(default_factory=dict)  # receipt handles by message id, until deleted
    known: set[str] = field(default_factory=set)  # ids of messages that are not received anew

    def new_messages(self) -> Iterator[Sequence[Message]]:
        """Yield each message once, in batches, until the queue returns no new one."""
        nothing_new = 0  # times in a row
        # In a long run, messages that stay are received again, maybe before new ones. So go on until all of
        # them can have been received again.
        while nothing_new * BATCH <= len(self.held):
            messages = self.receive_to_the_end()
            if not messages:
                return
            new = [each for each in messages if each["MessageId"] not in self.known]
            nothing_new = 0 if new else nothing_new + 1
            self.known |= {each["MessageId"] for each in new}
            yield new

    def receive_to_the_end(self) -> list[Any]:
        """Receive in a thread, so that Ctrl-C waits for the answer, but not longer than SQS polls.

        Otherwise SQS would go on polling for this call, and hide messages that release() has made visible.
        """
        thread = ThreadPoolExecutor(1)
        received = thread.submit(self.receive)
        try:
            return received.result()
        except KeyboardInterrupt:
            wait([received], timeout=2 * WAIT_S)
            raise
        finally:
            thread.shutdown(wait=False)

    def receive(self) -> list[Any]:
        with describing_errors(f"receiving messages from queue {self.name}"):
            answer = self.aws.sqs.receive_message(
                QueueUrl=self.url,
                MaxNumberOfMessages=BATCH,
                WaitTimeSeconds=WAIT_S,
                VisibilityTimeout=HIDDEN_S,
                MessageAttributeNames=["All"],
                MessageSystemAttributeNames=["All"],
            )
        messages: list[Any] = answer.get("Messages", [])
        self.held.update({each["MessageId"]: each["ReceiptHandle"] for each in messages})
        return messages

    def delete(self, message: Message) -> None:
        """Raises S3aggError; the message then stays."""
        with describing_errors(f"deleting a message from queue {self.name}"):
            self.aws.sqs.delete_message(QueueUrl=self.url, ReceiptHandle=message["ReceiptHandle"])
        del self.held[message["MessageId"]]

    def release(self) -> None:
        """Make the received messages that stay visible now; SQS does so later by itself."""
        handles = list(self.held.values())

        def make_visible(number: int) -> None:
            with suppress(BotoCoreError, ClientError):
                answer = self.aws.sqs.change_message_visibility_batch(
                    QueueUrl=self.url,
                    Entries=[
                        {"Id": str(entry), "ReceiptHandle": handle, "VisibilityTimeout": 0}
                        for entry, handle in enumerate(some[number])
                    ],
                )
                hidden_in[number] = len(answer.get("Failed", []))

        some = batches(handles, BATCH)
        hidden_in = [len(batch) for batch in some]  # until AWS answers
        self.aws.finish(make_visible, range(len(some)))
        if hidden := sum(hidden_in):
            self.aws.warn(
                f"Messages still in flight in queue {self.name}: {hidden}."
                f" Each becomes visible within {HIDDEN_S} s."
            )
