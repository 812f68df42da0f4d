"""redrive: process the messages of the dead-letter queue again.

It holds two kinds of messages: Lambda's records of S3 events on which the aggregator failed, and refresh
messages that SQS moved there. An interrupted run loses nothing: a message is deleted only after it was
processed, and processing a message twice is harmless (DESIGN 2).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any, Literal

from botocore.exceptions import BotoCoreError, ClientError

from s3agg import engine
from s3agg.aws.clock import from_ms
from s3agg.aws.refusals import Refusal, describing_errors
from s3agg.aws.session import Aws, batches
from s3agg.engine import Plan
from s3agg.errors import Advice, S3aggError
from s3agg.live import queues
from s3agg.resources.queue import FoundQueue
from s3agg.stack.declared import AGGREGATOR_TIMEOUT_S, Stack
from s3agg.stack.deployed import Deployment

BATCH = 10  # the limit of SQS for messages in one call
WAIT_S = 1  # long polling, so that SQS asks all of its servers
# The messages of a batch are processed concurrently: time for one invocation and its retries.
HIDDEN_S = 6 * AGGREGATOR_TIMEOUT_S

PATIENCE_S = HIDDEN_S / 2
THROTTLED = (Refusal("TooManyRequestsException"),)

Kind = Literal["S3 event", "refresh message", "not understood"]
Outcome = Literal["would go back", "would stay", "done", "stays"]


@dataclass(frozen=True)
class DeadLetter:
    """One message of the dead-letter queue, and its outcome."""

    id: str
    kind: Kind
    bucket: str | None
    keys: int | None  # number of object events
    since: datetime | None  # when it was sent; for a refresh message, when it was sent first
    reason: str  # why it failed, or why it is not understood
    outcome: Outcome
    error: str | None  # why processing it failed now


@dataclass(frozen=True)
class Report:
    """The result of `redrive`; the fields are those of its JSON."""

    stack: str
    region: str
    account: str
    counts: Mapping[Outcome, int]  # dead letters by outcome
    in_flight: int  # approximate number of other messages, received by another run
    dead_letters: Sequence[DeadLetter]

    @property
    def ok(self) -> bool:
        """Whether every message was processed; True after a dry run."""
        return not self.counts.get("stays")

    @property
    def to_do(self) -> int:
        """The number of messages that a dry run would process."""
        return self.counts.get("would go back", 0)


def run(aws: Aws, deployment: Deployment, *, dry_run: bool) -> Generator[DeadLetter, None, Report]:
    """Process each message of the dead-letter queue again, or only list them; yield each, return the report.

    Messages that stay become visible again at the end. Raises S3aggError, before any message is received, if
    a queue or the aggregator is missing or foreign.
    """
    stack, place = deployment.stack, deployment.place
    dead_letters, queue = _checked(deployment)
    redrive = _Redrive(aws, stack, dead_letters_url=dead_letters.url, queue_url=queue.url, dry_run=dry_run)
    with describing_errors(f"counting the messages in queue {stack.dead_letters.name}"):
        depth = queues.depth(aws, stack.dead_letters.name, dead_letters.url)
    try:
        yield from redrive.process_all()
    except (KeyboardInterrupt, GeneratorExit):
        aws.wait.stopping.set()
        raise
    finally:
        redrive.release()
    letters = list(redrive.seen.values())
    outcomes: tuple[Outcome, ...] = ("would go back", "would stay") if dry_run else ("done", "stays")
    counted = Counter(letter.outcome for letter in letters)
    return Report(
        stack=stack.names.stack,
        region=place.region,
        account=place.account,
        counts={outcome: counted[outcome] for outcome in outcomes},
        in_flight=max(depth.messages - len(letters), 0) if depth else 0,
        dead_letters=letters,
    )


def _checked(deployment: Deployment) -> tuple[FoundQueue, FoundQueue]:
    """Return the dead-letter queue and the action queue; raise S3aggError as `run` does."""
    stack = deployment.stack
    needed = {each.key for each in (stack.dead_letters, stack.queue, stack.aggregator)}
    plan = Plan([change for change in deployment.plan().changes if change.resource.key in needed])
    if plan.foreign:
        raise engine.foreign(plan)
    missing = [change.resource for change in plan.changes if change.action == "create"]
    dead_letters, queue = deployment.found.of(stack.dead_letters), deployment.found.of(stack.queue)
    if missing or dead_letters is None or queue is None:
        raise S3aggError(
            f"Missing resources: {', '.join(f'{each.kind} {each.name}' for each in missing)}",
            "Create them first",
            Advice("create"),
        )
    return dead_letters, queue


@dataclass(frozen=True)
class _Letter:
    """A parsed message; `retry` processes it again, None if it is not understood."""

    kind: Kind
    reason: str
    bucket: str | None = None
    keys: int | None = None
    retry: Callable[[], None] | None = None


@dataclass
class _Redrive:
    """One run: its received messages and their outcomes."""

    aws: Aws
    stack: Stack
    dead_letters_url: str
    queue_url: str
    dry_run: bool
    held: dict[str, str] = field(default_factory=dict)  # receipt handles by message id, until deleted
    seen: dict[str, DeadLetter] = field(default_factory=dict)  # by message id
    sent: set[str] = field(default_factory=set)  # ids of the messages sent to the action queue

    def process_all(self) -> Iterator[DeadLetter]:
        """Process each message once, until the queue returns no new message."""
        nothing_new = 0  # times in a row
        # In a long run, messages that stay are received again, maybe before new ones. So go on until all of
        # them can have been received again.
        while nothing_new * BATCH <= len(self.held):
            messages = self.receive_to_the_end()
            if not messages:
                return
            new = [each for each in messages if self.is_new(each["MessageId"])]
            nothing_new = 0 if new else nothing_new + 1
            for letter in self.aws.side_by_side(self.process, new):
                self.seen[letter.id] = letter
                yield letter

    def is_new(self, message: str) -> bool:
        # A sent message keeps its id. If it has already failed again, the next run processes it.
        return message not in self.seen and message not in self.sent

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
        with describing_errors(f"receiving messages from queue {self.stack.dead_letters.name}"):
            answer = self.aws.sqs.receive_message(
                QueueUrl=self.dead_letters_url,
                MaxNumberOfMessages=BATCH,
                WaitTimeSeconds=WAIT_S,
                VisibilityTimeout=HIDDEN_S,
                MessageAttributeNames=["All"],
                MessageSystemAttributeNames=["All"],
            )
        messages: list[Any] = answer.get("Messages", [])
        self.held.update({each["MessageId"]: each["ReceiptHandle"] for each in messages})
        return messages

    def process(self, message: Mapping[str, Any]) -> DeadLetter:
        letter = self.parse(message)
        sent = message.get("Attributes", {}).get("SentTimestamp")
        outcome, error = self.retry_and_delete(letter, message)
        return DeadLetter(
            id=message["MessageId"],
            kind=letter.kind,
            bucket=letter.bucket,
            keys=letter.keys,
            since=None if sent is None else from_ms(float(sent)),
            reason=letter.reason,
            outcome=outcome,
            error=error,
        )

    def retry_and_delete(self, letter: _Letter, message: Mapping[str, Any]) -> tuple[Outcome, str | None]:
        """Retry and delete the message; return the outcome and the error, which stops no other message."""
        if self.dry_run:
            return "would go back" if letter.retry else "would stay", None
        if letter.retry is None:
            return "stays", None
        try:
            letter.retry()
            with describing_errors(f"deleting a message from queue {self.stack.dead_letters.name}"):
                self.aws.sqs.delete_message(
                    QueueUrl=self.dead_letters_url, ReceiptHandle=message["ReceiptHandle"]
                )
        except S3aggError as error:
            return "stays", str(error)
        del self.held[message["MessageId"]]
        return "done", None

    def parse(self, message: Mapping[str, Any]) -> _Letter:
        bucket = _value_at(message, "MessageAttributes", "bucket-name", "StringValue")
        if bucket:
            return _Letter(
                "refresh message",
                f"received {self.stack.queue.max_receives} times without a complete refresh",
                bucket,
                retry=partial(self.send, message),
            )
        try:
            record = json.loads(message["Body"])
        except (ValueError, RecursionError):
            record = None
        function, event = (
            _value_at(record, "requestContext", "functionArn"),
            _value_at(record, "requestPayload"),
        )
        if not isinstance(function, str) or event is None:
            return _Letter("not understood", "not a failed S3 event or a refresh message")
        ours = self.stack.aggregator
        if function != ours.arn and not function.startswith(f"{ours.arn}:"):  # a version: $LATEST
            return _Letter("not understood", f"failed in {function}, not in function {ours.name}")
        buckets = _buckets(event)
        if buckets is None:
            return _Letter("not understood", f"failed in function {ours.name}, but is not an S3 event")
        return _Letter(
            "S3 event",
            _reason(record),
            ", ".join(sorted(set(buckets))) or None,
            len(buckets),
            partial(self.invoke, event),
        )

    def invoke(self, event: object) -> None:
        """Invoke the aggregator with the event; raise S3aggError if it fails again."""
        name = self.stack.aggregator.name
        with describing_errors(f"invoking function {name}"):
            answer = self.aws.wait.retry(
                f"available concurrency of function {name}",
                lambda: self.aws.invocations.invoke(
                    FunctionName=name,
                    InvocationType="RequestResponse",
                    Payload=json.dumps(event).encode(),
                ),
                on=THROTTLED,
                patience_s=PATIENCE_S,
            )
            payload = answer["Payload"].read()
        if "FunctionError" in answer:
            raise S3aggError(f"Function {name} failed again: {_error_in(payload) or 'no reason given'}")

    def send(self, message: Mapping[str, Any]) -> None:
        """Send a copy of the refresh message to the action queue."""
        with describing_errors(f"sending a message to queue {self.stack.queue.name}"):
            answer = self.aws.sqs.send_message(
                QueueUrl=self.queue_url,
                MessageBody=message["Body"],
                MessageAttributes=message["MessageAttributes"],
            )
        self.sent.add(answer["MessageId"])

    def release(self) -> None:
        """Make the received messages that stay visible now; SQS does so later by itself."""
        handles = list(self.held.values())

        def make_visible(number: int) -> None:
            with suppress(BotoCoreError, ClientError):
                answer = self.aws.sqs.change_message_visibility_batch(
                    QueueUrl=self.dead_letters_url,
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
                f"Messages still in flight in queue {self.stack.dead_letters.name}: {hidden}."
                f" They become visible within {HIDDEN_S} s."
            )


def _value_at(value: Any, *path: str) -> Any:
    """Return the value at a path in a JSON document; None if the path does not exist."""
    for name in path:
        if not isinstance(value, Mapping):
            return None
        value = value.get(name)
    return value


def _buckets(event: object) -> list[str] | None:
    """Return the bucket of each record of an S3 event; None if it is not an S3 event.

    A record without a bucket is left out: the aggregator ignores it too.
    """
    if _value_at(event, "Event") == "s3:TestEvent":  # S3's test of a new rule, which the aggregator ignores
        return []
    records = _value_at(event, "Records")
    if not isinstance(records, list):
        return None
    buckets = [_value_at(record, "s3", "bucket", "name") for record in records]
    return [bucket for bucket in buckets if isinstance(bucket, str)]


def _reason(record: object) -> str:
    """Return why Lambda discarded the event, from its invocation record."""
    condition = _value_at(record, "requestContext", "condition")
    tries = _value_at(record, "requestContext", "approximateInvokeCount")
    failure = _error_in(_value_at(record, "responsePayload"))
    if condition == "EventAgeExceeded":
        why = "exceeded the maximum event age"
    elif condition == "RetriesExhausted" or not condition:
        why = "failed once" if tries == 1 else f"failed {tries or 'several'} times"
    else:
        why = f"discarded by Lambda ({condition})"
    return f"{why}: {failure}" if failure else why


def _error_in(payload: object) -> str:
    """Return the error type and message in a function's answer, on one line; "" without an error."""
    if isinstance(payload, bytes):
        try:
            payload = json.loads(payload)
        except (ValueError, RecursionError):
            return ""
    parts = [_value_at(payload, name) for name in ("errorType", "errorMessage")]
    return " ".join(": ".join(str(each) for each in parts if each).split())
