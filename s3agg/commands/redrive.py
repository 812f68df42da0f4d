"""redrive: put what failed for good back to work, from the dead-letter queue.

Two kinds of messages wait there: Lambda's records of S3 events on which the aggregator failed, and refresh
messages that SQS moved there. However a run ends, nothing is lost: a message is removed only after it was put
to work, and to put one to work twice does no harm (DESIGN 2).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
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

BATCH = 10  # SQS takes and gives no more messages in one call
WAIT_S = 1  # at all, so that SQS asks all of its servers before it says that there is nothing
# A batch is worked on side by side: time for one invocation, and for trying it again.
HIDDEN_S = 6 * AGGREGATOR_TIMEOUT_S

PATIENCE_S = HIDDEN_S / 2
THROTTLED = (Refusal("TooManyRequestsException"),)

Kind = Literal["S3 event", "refresh message", "not understood"]
Outcome = Literal["would go back", "would stay", "done", "stays"]


@dataclass(frozen=True)
class DeadLetter:
    """One message of the dead-letter queue, and what became of it."""

    id: str
    kind: Kind
    bucket: str | None
    keys: int | None  # how many object events it holds
    since: datetime | None  # when it was sent; for a refresh message, when it was first
    reason: str  # why it lies there, or what is not understood
    outcome: Outcome
    error: str | None  # why it could not be put to work now


@dataclass(frozen=True)
class Report:
    """What `redrive` found and did; the fields are those of its JSON."""

    stack: str
    region: str
    account: str
    counts: Mapping[Outcome, int]  # dead letters by outcome
    in_flight: int  # how many more there are, about, in somebody else's hands
    dead_letters: Sequence[DeadLetter]

    @property
    def ok(self) -> bool:
        """Whether no dead letter stays that was to go back to work."""
        return not self.counts.get("stays")


def run(aws: Aws, deployment: Deployment, *, dry_run: bool) -> Generator[DeadLetter, None, Report]:
    """Put each dead letter back to work, or only look; report.

    Whatever was received and not removed is given back when this ends. Raises S3aggError if a queue or the
    function is missing or somebody else's, before anything is received.
    """
    stack, place = deployment.stack, deployment.place
    dead_letters, queue = _checked(deployment)
    redrive = _Redrive(aws, stack, dead_letters_url=dead_letters.url, queue_url=queue.url, dry_run=dry_run)
    with describing_errors(f"reading how deep queue {stack.dead_letters.name} is"):
        depth = queues.depth(aws, stack.dead_letters.name, dead_letters.url)
    try:
        yield from redrive.work()
    finally:
        redrive.give_back()
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
    """The dead-letter queue and the queue; raise S3aggError unless they and the function are this stack's."""
    stack = deployment.stack
    needed = {each.key for each in (stack.dead_letters, stack.queue, stack.aggregator)}
    plan = Plan([change for change in deployment.plan().changes if change.resource.key in needed])
    if plan.foreign:
        raise engine.foreign(plan)
    missing = [change.resource for change in plan.changes if change.action == "create"]
    dead_letters, queue = deployment.found.of(stack.dead_letters), deployment.found.of(stack.queue)
    if missing or dead_letters is None or queue is None:
        raise S3aggError(
            f"Missing: {', '.join(f'{each.kind} {each.name}' for each in missing)}",
            "Repair the stack first",
            Advice("create"),
        )
    return dead_letters, queue


@dataclass(frozen=True)
class _Letter:
    """What a message is; `work` puts it to work, None if nobody knows how."""

    kind: Kind
    reason: str
    bucket: str | None = None
    keys: int | None = None
    work: Callable[[], None] | None = None


@dataclass
class _Redrive:
    """One run: what it holds, and what has become of each message."""

    aws: Aws
    stack: Stack
    dead_letters_url: str
    queue_url: str
    dry_run: bool
    held: dict[str, str] = field(default_factory=dict)  # receipt handles by message id; removed ones are not
    seen: dict[str, DeadLetter] = field(default_factory=dict)  # by message id
    sent: set[str] = field(default_factory=set)  # ids of the messages that went back to the queue

    def work(self) -> Iterator[DeadLetter]:
        """Deal with each message once, until the queue gives nothing new."""
        nothing_new = 0  # times in a row
        # In a long run those that stay come again, perhaps before others: let all of them pass once more.
        while nothing_new * BATCH <= len(self.held):
            # In a thread, so that Ctrl-C waits for the answer: SQS would go on polling for a caller that has
            # gone, and hide again what that has just given back.
            with ThreadPoolExecutor(1) as thread:
                messages = thread.submit(self.receive).result()
            if not messages:
                return
            new = [each for each in messages if self.is_new(each["MessageId"])]
            nothing_new = 0 if new else nothing_new + 1
            for letter in self.aws.side_by_side(self.deal_with, new):
                self.seen[letter.id] = letter
                yield letter

    def is_new(self, message: str) -> bool:
        # What we have sent keeps its id: if it has failed again already, that is for another run.
        return message not in self.seen and message not in self.sent

    def receive(self) -> list[Any]:
        with describing_errors(f"receiving from queue {self.stack.dead_letters.name}"):
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

    def deal_with(self, message: Mapping[str, Any]) -> DeadLetter:
        letter = self.understand(message)
        sent = message.get("Attributes", {}).get("SentTimestamp")
        outcome, error = self.put_to_work(letter, message)
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

    def put_to_work(self, letter: _Letter, message: Mapping[str, Any]) -> tuple[Outcome, str | None]:
        """Return the outcome, and why it is not "done"; one message's failure does not stop the others."""
        if self.dry_run:
            return "would go back" if letter.work else "would stay", None
        if letter.work is None:
            return "stays", None
        try:
            letter.work()
            with describing_errors(
                f"removing from queue {self.stack.dead_letters.name} what is at work again"
            ):
                self.aws.sqs.delete_message(
                    QueueUrl=self.dead_letters_url, ReceiptHandle=message["ReceiptHandle"]
                )
        except S3aggError as error:
            return "stays", str(error)
        del self.held[message["MessageId"]]
        return "done", None

    def understand(self, message: Mapping[str, Any]) -> _Letter:
        bucket = _at(message, "MessageAttributes", "bucket-name", "StringValue")
        if bucket:
            return _Letter(
                "refresh message",
                f"received {self.stack.queue.max_receives} times, and its refresh was not finished",
                bucket,
                work=partial(self.send, message),
            )
        try:
            record = json.loads(message["Body"])
        except (ValueError, RecursionError):
            record = None
        function, event = _at(record, "requestContext", "functionArn"), _at(record, "requestPayload")
        if not isinstance(function, str) or event is None:
            return _Letter("not understood", "neither a failed S3 event nor a refresh message")
        ours = self.stack.aggregator
        if function != ours.arn and not function.startswith(f"{ours.arn}:"):  # a version: $LATEST
            return _Letter("not understood", f"a failure of {function}, not of function {ours.name}")
        buckets = _buckets(event)
        if buckets is None:
            return _Letter("not understood", f"function {ours.name} failed on it, but it is no S3 event")
        return _Letter(
            "S3 event",
            _why(record),
            ", ".join(sorted(set(buckets))) or None,
            len(buckets),
            partial(self.invoke, event),
        )

    def invoke(self, event: object) -> None:
        """Give an event to the aggregator again; raise S3aggError if it fails again."""
        name = self.stack.aggregator.name
        with describing_errors(f"giving an event to function {name} again"):
            answer = self.aws.wait.retry(
                f"function {name} to have a free execution",
                lambda: self.aws.lambda_.invoke(
                    FunctionName=name,
                    InvocationType="RequestResponse",
                    Payload=json.dumps(event).encode(),
                ),
                on=THROTTLED,
                patience_s=PATIENCE_S,
            )
            payload = answer["Payload"].read()
        if "FunctionError" in answer:
            raise S3aggError(f"Function {name} failed again: {_failure(payload) or 'it does not say why'}")

    def send(self, message: Mapping[str, Any]) -> None:
        """Send a refresh message to the queue again, as it was."""
        with describing_errors(f"sending a message to queue {self.stack.queue.name}"):
            answer = self.aws.sqs.send_message(
                QueueUrl=self.queue_url,
                MessageBody=message["Body"],
                MessageAttributes=message["MessageAttributes"],
            )
        self.sent.add(answer["MessageId"])

    def give_back(self) -> None:
        """Make visible again at once what was received and not removed; SQS does it later by itself."""
        handles = list(self.held.values())

        def give(batch: Sequence[str]) -> int:
            """Give these back; return how many are still hidden."""
            try:
                answer = self.aws.sqs.change_message_visibility_batch(
                    QueueUrl=self.dead_letters_url,
                    Entries=[
                        {"Id": str(number), "ReceiptHandle": handle, "VisibilityTimeout": 0}
                        for number, handle in enumerate(batch)
                    ],
                )
            except (BotoCoreError, ClientError):
                return len(batch)
            return len(answer.get("Failed", []))

        if hidden := sum(self.aws.side_by_side(give, batches(handles, BATCH))):
            self.aws.warn(
                f"Not all was given back to queue {self.stack.dead_letters.name}:"
                f" {hidden} more will be back by themselves, within {HIDDEN_S} s"
            )


def _at(value: Any, *path: str) -> Any:
    """What a JSON document has there; None if it has nothing, or another shape."""
    for name in path:
        if not isinstance(value, Mapping):
            return None
        value = value.get(name)
    return value


def _buckets(event: object) -> list[str] | None:
    """The buckets that the records of an S3 event name, each as often as it is named; None if it is not one.

    A record that names none is ignored by the aggregator, too: it must not keep the others here.
    """
    if _at(event, "Event") == "s3:TestEvent":  # S3 tests each new rule; the aggregator ignores that
        return []
    records = _at(event, "Records")
    if not isinstance(records, list):
        return None
    buckets = [_at(record, "s3", "bucket", "name") for record in records]
    return [bucket for bucket in buckets if isinstance(bucket, str)]


def _why(record: object) -> str:
    """Why Lambda gave an event up, from its record of the invocation."""
    condition = _at(record, "requestContext", "condition")
    tries = _at(record, "requestContext", "approximateInvokeCount")
    failure = _failure(_at(record, "responsePayload"))
    if condition == "EventAgeExceeded":
        why = "waited too long for a free execution"
    elif condition == "RetriesExhausted" or not condition:
        why = "failed once" if tries == 1 else f"failed {tries or 'some'} times"
    else:
        why = f"given up by Lambda ({condition})"
    return f"{why}: {failure}" if failure else why


def _failure(payload: object) -> str:
    """What a function says of its failure, on one line; "" if nothing."""
    if isinstance(payload, bytes):
        try:
            payload = json.loads(payload)
        except (ValueError, RecursionError):
            return ""
    said = [_at(payload, name) for name in ("errorType", "errorMessage")]
    return " ".join(": ".join(str(each) for each in said if each).split())
