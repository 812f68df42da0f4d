"""A burst of uploads, and what a stack made of it; for the test of bursts and for their benchmark."""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from statistics import median
from typing import Any

from tests.e2e.counting import VARIABLE, Closing, Door, door
from tests.e2e.support import OwnStack
from tests.support.polling import eventually

KEY = re.compile(r" key=(\S+)$")
REPORTED = re.compile(r"^REPORT .*\tDuration: (\d+) ms")
SPARE_S = 2  # between two refreshes, on top of the least interval
CLOSING_S = 2  # this long before it is due, a window is no longer trusted from memory


@dataclass(frozen=True)
class Log:
    """What the aggregator's log tells."""

    executions: int
    median_ms: float
    slowest_ms: int  # it had to wait for the start of its worker
    opened: int  # lines of events that sent a message
    skipped: int  # lines of events within a window
    keys: frozenset[str]
    ended: float  # the last execution, s since 1970


@dataclass(frozen=True)
class Burst:
    """What was uploaded, and what came of it by the time that all was quiet. Moments in s since 1970."""

    keys: frozenset[str]
    began: float
    uploaded: float  # the end of the last upload
    complete: float | None  # when the share showed every file; None if it did not
    missing: int  # files that it did not show
    log: Log
    throttled: int  # tries: one event can have many
    dead: frozenset[str]  # the keys of events that are dead letters
    refreshes: int
    instances: int  # of the aggregator
    aggregator_writes: int
    refresher_writes: int
    closings: tuple[Closing, ...]

    def most_refreshes(self, window_s: int, interval_s: int) -> int:
        """How many refreshes the events' time has room for (DESIGN 2, Aggregation)."""
        return 1 + math.floor((self.log.ended - self.began) / max(window_s, interval_s + SPARE_S))

    @property
    def most_aggregator_writes(self) -> int:
        """How often its instances may write with these windows, however many events (DESIGN 2, Cost).

        Each once a window; and once a second from shortly before the window is due until it is closed.
        """
        seconds = [math.ceil(closing.at - closing.due + CLOSING_S) for closing in self.closings]
        return self.instances * sum(1 + each + 1 for each in seconds)


@dataclass(frozen=True)
class Counted:
    """A stack whose functions reach the table through doors."""

    stack: OwnStack
    aggregator: Door
    refresher: Door

    def burst(self, bucket: str, share: str, *, uploads: int, threads: int) -> Burst:
        """Upload empty objects to a bucket that had none, and wait until all that follows is over."""
        world = self.stack.world
        keys = [f"file-{number}" for number in range(uploads)]
        began = time.time()
        world.upload(bucket, *keys, threads=threads)
        uploaded = time.time()
        complete: list[float] = []

        def over() -> bool:
            if not complete and len(world.files(share)) == uploads:
                complete.append(time.time())
            return not self._left(uploads)

        try:
            eventually(over)
        except AssertionError as error:
            raise AssertionError(f"{error}: {self._left(uploads)}") from error
        return Burst(
            keys=frozenset(keys),
            began=began,
            uploaded=uploaded,
            complete=complete[0] if complete else None,
            missing=uploads - len(world.files(share)),
            log=self._log(),
            throttled=self._throttled(),
            dead=frozenset(_key(event) for event in self._dead_events()),
            refreshes=world.refreshes(share),
            instances=self.aggregator.instances,
            aggregator_writes=len(self.aggregator.writes),
            refresher_writes=len(self.refresher.writes),
            closings=tuple(self.refresher.closings),
        )

    def _left(self, uploads: int) -> str:
        """What is still to come: each event is to be handled or to be a dead letter, and all to be quiet."""
        if not self.stack.is_quiet():
            return f"{self.stack.items}, {self.stack.queued(self.stack.names.queue)} messages"
        handled, dead = len(self._log().keys), self.stack.queued(self.stack.names.dead_letters)
        if handled + dead < uploads:
            return f"{handled} events handled, {dead} dead letters"
        # Whoever handled the last event may have opened a window.
        return "" if self.stack.is_quiet() else "a new window"

    def _log(self) -> Log:
        events = self.stack.log(self.stack.names.aggregator)
        lines = [event["message"].rstrip() for event in events]
        took = [int(found[1]) for line in lines if (found := REPORTED.match(line))] or [0]
        return Log(
            executions=sum(line.startswith("START ") for line in lines),
            median_ms=median(took),
            slowest_ms=max(took),
            opened=sum("Sending refresh request" in line for line in lines),
            skipped=sum("within refresh window, skipping" in line for line in lines),
            keys=frozenset(found[1] for line in lines if (found := KEY.search(line))),
            ended=max((event["timestamp"] / 1000 for event in events), default=0),
        )

    def _throttled(self) -> int:
        # The emulator counts a throttled try here, and little else.
        now = datetime.now(timezone.utc)
        answer = self.stack.world.client("cloudwatch").get_metric_statistics(
            Namespace="AWS/Lambda",
            MetricName="Throttles",
            Dimensions=[{"Name": "FunctionName", "Value": self.stack.names.aggregator}],
            StartTime=now - timedelta(hours=1),
            EndTime=now + timedelta(minutes=1),
            Period=7200,
            Statistics=["Sum"],
        )
        return sum(int(point["Sum"]) for point in answer["Datapoints"])

    def _dead_events(self) -> list[dict[str, Any]]:
        """The events in the dead-letter queue, which stay there."""
        sqs = self.stack.world.client("sqs")
        url = sqs.get_queue_url(QueueName=self.stack.names.dead_letters)["QueueUrl"]
        found = []
        while messages := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
            found += messages
        for message in found:
            sqs.change_message_visibility(
                QueueUrl=url, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=0
            )
        return [json.loads(message["Body"])["requestPayload"] for message in found]


@contextmanager
def counted(stack: OwnStack) -> Iterator[Counted]:
    """Have counted what both functions ask of the table. All must be quiet: this ends their workers."""
    emulator = stack.world.machine.emulator.url
    with ExitStack() as ending:
        aggregator, refresher = (ending.enter_context(door(emulator)) for _ in range(2))
        stack.set_variables(stack.names.aggregator, **{VARIABLE: aggregator.url})
        stack.set_variables(stack.names.refresher, **{VARIABLE: refresher.url})
        yield Counted(stack, aggregator, refresher)


def _key(event: dict[str, Any]) -> str:
    (record,) = event["Records"]
    return str(record["s3"]["object"]["key"])
