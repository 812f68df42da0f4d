"""redrive: process the messages of the dead-letter queue again.

It holds two kinds of messages: Lambda's records of S3 events on which the aggregator failed, and refresh
messages that SQS moved there. An interrupted run loses nothing: a message is deleted only after it was
processed, and processing a message twice is harmless (DESIGN 2).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Collection, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any, Literal

from s3agg.aws.clock import from_ms
from s3agg.aws.refusals import Refusal, describing_errors
from s3agg.aws.session import Aws
from s3agg.commands.dead_letters import HIDDEN_S, DeadLetterQueue
from s3agg.engine import Plan
from s3agg.errors import Advice, S3aggError, plural
from s3agg.live import item_writes, object_events, queues
from s3agg.resources.queue import FoundQueue
from s3agg.stack.declared import Stack
from s3agg.stack.deployed import Deployment

PATIENCE_S = HIDDEN_S / 2
# Of the event with which a gateway tells of a finished refresh. It may be what wakes the refresh function up.
COMPLETION = ("aws.storagegateway", "Storage Gateway Refresh Cache Event")
THROTTLED = (Refusal("TooManyRequestsException"),)

# Codes for programs: the view has words for them.
Kind = Literal["s3_event", "refresh_message", "not_understood"]
Outcome = Literal["to_redrive", "to_keep", "to_discard", "redriven", "kept", "discarded"]


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
    error: S3aggError | None  # why processing it failed now
    body: str | None = None  # of a message that is not all understood, or to be discarded


@dataclass(frozen=True)
class Report:
    """The result of `redrive`."""

    stack: str
    region: str
    account: str
    counts: Mapping[Outcome, int]  # dead letters by outcome
    in_flight: int  # approximate number of other messages, received by another run
    dead_letters: Sequence[DeadLetter]

    @property
    def ok(self) -> bool:
        """Whether nothing failed now. A message that is not understood stays, and is no failure."""
        return not any(each.error for each in self.dead_letters)

    @property
    def to_do(self) -> int:
        """The number of messages that a dry run would process."""
        return self.counts.get("to_redrive", 0) + self.counts.get("to_discard", 0)


def run(
    aws: Aws, deployment: Deployment, *, dry_run: bool, discard: Collection[str] = ()
) -> Generator[DeadLetter, None, Report]:
    """Process each message of the dead-letter queue again, or only list them; yield each, return the report.

    With `discard`, only delete the messages with these ids. Messages that stay become visible again at the
    end. Raises S3aggError, before any message is received, if a queue or the aggregator is missing or
    foreign. Raises it at the end if a message to discard was not found.
    """
    stack, place = deployment.stack, deployment.place
    found, queue_url = _checked(deployment, only_discards=bool(discard))
    dead_letters = DeadLetterQueue(aws, stack.dead_letters.name, found.url)
    has_table = stack.table.key in deployment.found
    redrive = _Redrive(
        aws, stack, dead_letters, queue_url, frozenset(discard), dry_run=dry_run, has_table=has_table
    )
    with describing_errors(f"counting the messages in queue {dead_letters.name}"):
        depth = queues.depth(aws, dead_letters.name, dead_letters.url)
    try:
        yield from redrive.process_all()
    except (KeyboardInterrupt, GeneratorExit):
        aws.wait.stopping.set()
        raise
    finally:
        dead_letters.release()
    letters = list(redrive.seen.values())
    if missing := redrive.discard - redrive.seen.keys():
        raise S3aggError(
            f"Queue {dead_letters.name} has no message with the ID {' or '.join(map(repr, sorted(missing)))}",
            f"A message in flight becomes visible within {HIDDEN_S} s. To list the messages, run",
            Advice("redrive", options={"dry-run": None}),
        )
    outcomes: tuple[Outcome, ...] = ("to_redrive", "to_keep") if dry_run else ("redriven", "kept")
    if discard:
        outcomes = ("to_discard",) if dry_run else ("discarded", "kept")
    counted = Counter(letter.outcome for letter in letters)
    return Report(
        stack=stack.names.stack,
        region=place.region,
        account=place.account,
        counts={outcome: counted[outcome] for outcome in outcomes},
        in_flight=max(depth.messages - len(letters), 0) if depth and not discard else 0,
        dead_letters=letters,
    )


def _checked(deployment: Deployment, *, only_discards: bool) -> tuple[FoundQueue, str]:
    """Return the dead-letter queue and the URL of the action queue; raise S3aggError as `run` does.

    The dead-letter queue is all that a discard needs. The URL is empty then.
    """
    stack = deployment.stack
    needed = {stack.dead_letters.key}
    if not only_discards:
        needed |= {stack.queue.key, stack.aggregator.key}
    plan = Plan([change for change in deployment.plan().changes if change.resource.key in needed])
    plan.check_owners()
    missing = [change.resource for change in plan.changes if change.action == "create"]
    dead_letters, queue = deployment.found.of(stack.dead_letters), deployment.found.of(stack.queue)
    if missing or dead_letters is None:
        raise S3aggError(
            f"Missing resources: {', '.join(f'{each.kind} {each.name}' for each in missing)}",
            "Create them first",
            Advice("create"),
        )
    return dead_letters, "" if queue is None else queue.url


@dataclass(frozen=True)
class _Letter:
    """A parsed message; `retry` processes it again, None if it is not understood."""

    kind: Kind
    reason: str
    bucket: str | None = None
    keys: int | None = None
    retry: Callable[[], None] | None = None
    strange: bool = False  # the aggregator cannot handle all of it


@dataclass
class _Redrive:
    """One run: its received messages and their outcomes."""

    aws: Aws
    stack: Stack
    dead_letters: DeadLetterQueue
    queue_url: str
    discard: frozenset[str]  # ids of the messages to delete; empty to process all
    dry_run: bool
    has_table: bool
    seen: dict[str, DeadLetter] = field(default_factory=dict)  # by message id

    def process_all(self) -> Iterator[DeadLetter]:
        """Process each message once, until the queue returns no new one, or all to discard were found."""
        for messages in self.dead_letters.new_messages():
            chosen = [each for each in messages if not self.discard or each["MessageId"] in self.discard]
            for letter in self.aws.side_by_side(self.process, chosen):
                self.seen[letter.id] = letter
                yield letter
            if self.discard and self.discard <= self.seen.keys():
                return

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
            body=message["Body"] if self.discard or letter.retry is None or letter.strange else None,
        )

    def retry_and_delete(
        self, letter: _Letter, message: Mapping[str, Any]
    ) -> tuple[Outcome, S3aggError | None]:
        """Retry and delete the message; return the outcome and the error, which stops no other message."""
        retry = None if self.discard else letter.retry
        if self.dry_run:
            return "to_discard" if self.discard else "to_redrive" if retry else "to_keep", None
        if retry is None and not self.discard:
            return "kept", None
        try:
            if retry is not None:
                retry()
            self.dead_letters.delete(message)
        except S3aggError as error:
            return "kept", error
        return "discarded" if self.discard else "redriven", None

    def _refresh_message(self, message: Mapping[str, Any], *buckets: str) -> _Letter:
        return _Letter(
            "refresh_message",
            f"received {self.stack.queue.max_receives} times before every file share accepted",
            buckets[0] if buckets else None,
            retry=partial(self.send, message, *buckets),
        )

    def parse(self, message: Mapping[str, Any]) -> _Letter:
        bucket = _value_at(message, "MessageAttributes", "bucket-name", "StringValue")
        if bucket:
            return self._refresh_message(message, bucket)
        try:
            record = json.loads(message["Body"])
        except (ValueError, RecursionError):
            record = None
        if (_value_at(record, "source"), _value_at(record, "detail-type")) == COMPLETION:
            return self._refresh_message(message)
        function, event = (
            _value_at(record, "requestContext", "functionArn"),
            _value_at(record, "requestPayload"),
        )
        if not isinstance(function, str) or event is None:
            return _Letter("not_understood", "not a failed S3 event or a refresh message")
        ours = self.stack.aggregator
        if function != ours.arn and not function.startswith(f"{ours.arn}:"):  # a version: $LATEST
            return _Letter("not_understood", f"failed in {function}, not in function {ours.name}")
        found = object_events.of(event)
        if not found.understood:
            return _Letter("not_understood", f"failed in function {ours.name}, but is not an S3 event")
        reason = _reason(record)
        if found.others:
            parts = found.others + len(found.buckets)
            reason += f"; not an S3 event: {plural(found.others, 'part')} of {parts}"
        return _Letter(
            "s3_event",
            reason,
            ", ".join(sorted(set(found.buckets))) or None,
            len(found.buckets),
            partial(self.invoke, event, found.buckets),
            strange=found.others > 0,
        )

    def invoke(self, event: object, buckets: Collection[str]) -> None:
        """Invoke the aggregator with the event; raise S3aggError if it fails again."""
        name = self.stack.aggregator.name
        self.refresh_everything(set(buckets))
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

    def refresh_everything(self, buckets: Collection[str]) -> None:
        """Make the next refreshes of the buckets ones of everything, as these events are from long ago."""
        if not self.has_table:
            return
        table = self.stack.table.name
        with describing_errors(f"requesting refreshes of everything in table {table}"):
            for bucket in sorted(buckets):
                item_writes.refresh_everything(self.aws, table, bucket)

    def send(self, message: Mapping[str, Any], *buckets: str) -> None:
        """Send a copy of the message to the action queue. A refresh message is for a bucket."""
        self.refresh_everything(buckets)
        with describing_errors(f"sending a message to queue {self.stack.queue.name}"):
            answer = self.aws.sqs.send_message(
                QueueUrl=self.queue_url,
                MessageBody=message["Body"],
                MessageAttributes=message.get("MessageAttributes", {}),
            )
        # A sent message keeps its id. If it has already failed again, the next run processes it.
        self.dead_letters.known.add(answer["MessageId"])


def _value_at(value: Any, *path: str) -> Any:
    """Return the value at a path in a JSON document; None if the path does not exist."""
    for name in path:
        if not isinstance(value, Mapping):
            return None
        value = value.get(name)
    return value


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
