"""A cloud that runs the real handlers: S3 and the queue invoke them, and a schedule injects faults.

S3 delivers at least once and in any order. Lambda runs so many executions at a time, and throttles the rest.
It tries a failed event twice more, and then makes it a dead letter. All of it is in virtual time.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import cycle
from typing import Any

from botocore.exceptions import ClientError

from s3agg.live.item_writes import everything_request, lookup_request, refresh_request
from s3agg.live.messages import message_for
from s3agg.settings import Settings
from tests.protocol.gateways import ACCOUNT, REGION, Gateways, InTurn, S3Control, StorageGateway
from tests.protocol.queues import Message, Queue, Reader, Writer
from tests.protocol.schedule import HOUR_MS, Change, Event, Request, Schedule
from tests.protocol.table import DynamoDB, Table
from tests.protocol.virtual_time import MOST_STEPS, START_MS, Calls, Died, Environment, Execution, Time
from tests.support.handlers import FUNCTION_ARN, known, load, older, record

AGGREGATOR_TIMEOUT_MS = 10_000
REFRESH_TIMEOUT_MS = 30_000
# What boto3 needs for all of its tries, as the handlers configure it.
AGGREGATOR_PATIENCE_MS = 6500
REFRESH_PATIENCE_MS = 10_500
AGGREGATOR_TRIES, REFRESH_TRIES = 3, 2
REFRESHES_AT_ONCE = 2
RETRIES_MS = (60_000, 120_000)
OLDEST_EVENT_MS = 6 * HOUR_MS
LONGEST_PAUSE_MS = 5 * 60_000
EXPIRED_MS = 5 * 60_000  # after that a window is replaced (DESIGN 2)
SKEW_MS = 1000  # as far as two clocks differ at most

AGGREGATOR = load("s3_aggregator")
REFRESHER = load("s3_sgw_refresh")
place_of = load("file_shares").place_of
OLDER_AGGREGATOR, OLDER_REFRESHER = older("s3_aggregator"), older("s3_sgw_refresh")


@dataclass(frozen=True)
class Handled:
    """One event that an execution of the aggregator handled without an error."""

    number: int
    at: int  # when the table was asked about it, or else when it was skipped; ms since the start
    opener: str  # identity of the event that opened the window it relies on


@dataclass(frozen=True)
class Requested:
    """One run of `s3agg refresh` that ended; ms since the start."""

    bucket: str
    at: int


@dataclass
class Warm:
    """An aggregator's environment with its handler."""

    environment: Environment
    handler: Any
    settings: Change
    idle_since: int = 0  # ms since the start


@dataclass
class Cloud:
    """One run of a schedule. `aggregators` and `refreshers` are the modules that run.

    `request` is the write of `s3agg refresh`. `look_up` is that of `create` for new shares, and `everything`
    that after a change of the aggregator.
    """

    schedule: Schedule
    aggregators: Any = AGGREGATOR
    refreshers: Any = REFRESHER
    request: Callable[[int], dict[str, Any]] = refresh_request
    look_up: Callable[..., dict[str, Any]] = lookup_request
    everything: Callable[..., dict[str, Any]] = everything_request
    handled: list[Handled] = field(default_factory=list)
    requested: list[Requested] = field(default_factory=list)
    dead: list[int] = field(default_factory=list)  # events that failed for good
    healing: dict[int, int] = field(
        default_factory=dict
    )  # events sent after a purge, and how many writes were before

    def __post_init__(self) -> None:
        random.seed(0)  # the refresh function shuffles the shares
        schedule = self.schedule
        self.time = Time()
        self.calls = Calls(self.time, schedule)
        self.table = Table(self.time, schedule.units, schedule.read_units, schedule.saved_s)
        self.queue = Queue(self.time, schedule, self._poll)
        self.gateways = Gateways(self.time, schedule, self.queue.send_event)
        self.events: list[Event] = []
        self.records: list[dict[str, Any]] = []  # of each event, as S3 delivers it
        self.openers: dict[str, int] = {}  # the events by the identity that the handlers give them
        self.settings = Change(
            0,
            schedule.window_s,
            schedule.interval_s,
            schedule.concurrency,
            older=schedule.older,
            older_refresher=schedule.older,
        )
        self._wrong_clocks = schedule.wrong_clocks
        self._skews = cycle(schedule.skews_ms)
        self._colds = cycle(schedule.cold_ms)
        self._picks = cycle(schedule.picks)
        self._idle: list[Warm] = []
        self._aggregating = 0
        self._refreshing = 0
        self._environments: list[Environment] = []

    def run(self, most_steps: int = MOST_STEPS) -> Cloud:
        """Run until no event is left."""
        for event in self.schedule.events:
            self._happen(event)
        for moment in self.schedule.purged_ms:
            self.time.at(moment, self.queue.purge)
        for moment in self.schedule.woken_ms:
            self.time.at(moment, self._wake)
        for change in self.schedule.changes:
            self.time.at(change.at_ms, partial(self._change, change))
        self._attach()
        for request in self.schedule.requests:
            self.time.at(request.at_ms, partial(self._request, request))
        for other in self.schedule.others:
            self.time.at(other.at_ms, partial(self.gateways.refresh_by_other, other))
        for moment in self.schedule.told_ms:
            self.time.at(moment, self._tell_of_shares)
        self.time.run(most_steps)
        if self.schedule.purged_ms:
            self._heal()
        return self

    def _attach(self) -> None:
        """Write the items as `create` and earlier lookups did before the first event."""
        attached = {request.bucket for request in self.schedule.requests}
        if self.schedule.others:
            attached |= {share.bucket for share in self.schedule.shares}
        if self.schedule.older or self.schedule.known:
            attached |= {event.bucket for event in self.schedule.events}
        for bucket in sorted(attached):
            known = self._known(bucket) if self.schedule.known else {}
            self.table.put(bucket, {"attached": {"M": {}}, **known})

    def _known(self, bucket: str) -> dict[str, Any]:
        """What a lookup has stored just before the start."""
        places = {
            share.name: place_of(share.location.format(bucket))
            for share in self.shares_of(bucket)
            if share.made_ms == 0
        }
        if not places:
            return {}
        started = {"N": str(START_MS)}
        item: dict[str, Any] = {"shares_found": started, "refreshed_all": started}
        if self.schedule.older:
            return {**item, "shares": {"SS": sorted(places)}}
        return {**item, **known({name: place.prefix for name, place in places.items()})}

    def redrive(self) -> Cloud:
        """Redrive the dead letters when everything works again."""
        self.calls.faults, self.calls.outages = {}, ()
        for environment in self._environments:
            environment.wrong_clocks = ()
        self._wrong_clocks = ()
        dead, self.dead = self.dead, []
        for bucket in {self.events[number].bucket for number in dead} | {
            each.bucket for each in self.queue.dead
        }:
            self._everything(bucket)
        for number in dead:
            self._invoke(number, since=self.time.now)
        self.queue.redrive()
        self.time.run()
        return self

    def _change(self, settings: Change) -> None:
        """Change the functions as `create` does; environments with the old settings soon end."""
        self.settings = settings
        self.time.at(self.time.now + self.schedule.spread_ms, self._retire)
        for bucket in self.table.buckets:
            self._everything(bucket)
        self._wake()

    def _retire(self) -> None:
        self._idle = [warm for warm in self._idle if warm.settings is self.settings]

    def _wake(self) -> None:
        """Send the messages that `create` sends at its end."""
        for bucket in self.table.buckets:
            if self.table.item(bucket).keys() & {"opened_by", "pending"}:
                self._send(bucket)

    def _request(self, request: Request) -> None:
        """Write and send what `s3agg refresh` does. Its calls do not fail: then it is run again."""
        somebody = Environment(self.time, 0, 0, None, 1, 0)
        write = {
            "Key": {"BucketName": {"S": request.bucket}},
            **self.request(START_MS + self.time.now),
        }
        self.table.update(somebody, self.time.now, write)
        if request.sends:
            self._send(request.bucket, at_once=True)
            self.requested.append(Requested(request.bucket, self.time.now))

    def _tell_of_shares(self) -> None:
        """Make the refresh function look each bucket's shares up again, as `create` does for a new share."""
        somebody = Environment(self.time, 0, 0, None, 1, 0)
        for bucket in self.table.buckets:
            for pending in (False, True):  # both at one moment, so one of them holds
                write = {"Key": {"BucketName": {"S": bucket}}, **self.look_up(pending=pending)}
                with suppress(ClientError):
                    self.table.update(somebody, self.time.now, write)

    def _everything(self, bucket: str) -> None:
        """Make the function refresh everything, as `create` does after a change, and as `redrive` does."""
        somebody = Environment(self.time, 0, 0, None, 1, 0)
        for pending in (False, True):  # both at one moment, so one of them holds
            write = self.everything(START_MS + self.time.now, pending=pending)
            with suppress(ClientError):
                self.table.update(somebody, self.time.now, {"Key": {"BucketName": {"S": bucket}}, **write})

    def _send(self, bucket: str, *, at_once: bool = False) -> None:
        item = self.table.item(bucket)
        settings = Settings(window=self.settings.window_s, min_interval=self.settings.interval_s)
        due = int(item["timestamp"]["N"]) if "opened_by" in item else None
        delay_s, numbers = message_for(due, START_MS + self.time.now, settings, at_once=at_once)
        attributes = {"bucket-name": {"stringValue": bucket, "dataType": "String"}} | {
            name: {"stringValue": str(value), "dataType": "Number"} for name, value in numbers.items()
        }
        self.queue.send(delay_s, attributes)

    def _heal(self) -> None:
        """After a purge and the expiry of open windows, send one more event for each bucket."""
        windows = [self.table.item(event.bucket).get("timestamp", {"N": "0"}) for event in self.events]
        latest = max([int(window["N"]) - START_MS for window in windows] + [self.time.now])
        self.calls.faults, self.calls.outages = {}, ()
        buckets = {event.bucket for event in self.events}
        for bucket in sorted(buckets | {request.bucket for request in self.schedule.requests}):
            self.healing[len(self.events)] = len(self.table.writes)
            self._happen(Event(latest + EXPIRED_MS + 2 * SKEW_MS, bucket))
        self.time.run()

    # The aggregator function

    def _happen(self, event: Event) -> None:
        number = len(self.events)
        self.events.append(event)
        self.records.append(record(f"{event.folder}{number}.txt", bucket=event.bucket))
        self.openers[self.aggregators.identity(self.records[number])] = number
        for after_ms in event.after_ms:
            self._arrive(number, event.at_ms + after_ms)

    def _arrive(self, number: int, at: int) -> None:
        self.time.at(at, lambda: self._invoke(number, since=at))

    def _invoke(self, number: int, since: int, failed: int = 0, throttled: int = 0) -> None:
        """Run the aggregator for an event, now, later or never."""
        if self._aggregating >= self.settings.concurrency:
            if self.time.now - since > OLDEST_EVENT_MS:
                self.dead.append(number)
                return
            pause = min(1000 * 2**throttled, LONGEST_PAUSE_MS)
            again = self.time.now + pause + (number * 379) % pause  # not all of them at once
            self.time.at(again, lambda: self._invoke(number, since, failed, throttled + 1))
            return
        self._aggregating += 1
        warm = self._environment()
        warm.environment.execution = Execution(self.time, AGGREGATOR_TIMEOUT_MS)
        warm.environment.execution.start(lambda: self._aggregate(number, since, failed, warm))

    def _aggregate(self, number: int, since: int, failed: int, warm: Warm) -> None:
        bucket = self.events[number].bucket
        started, writes = self.time.now, len(self.table.writes)
        try:
            warm.handler.handle_event({"Records": [self.records[number]]})
        except Died:
            self._failed(number, since, failed)
        except Exception:  # noqa: BLE001  # whatever it is, Lambda tries again
            self._failed(number, since, failed)
            self._end(warm)
        else:
            asked = [
                write.at for write in self.table.writes[writes:] if write.environment is warm.environment
            ]
            window = warm.handler.windows.get(bucket)
            self.handled.append(Handled(number, max([started, *asked]), window.opened_by if window else ""))
            self._end(warm)
        self._aggregating -= 1

    def _end(self, warm: Warm) -> None:
        """Keep the environment for a later event, unless the function changed a while ago."""
        warm.idle_since = self.time.now
        if warm.settings is self.settings or self.time.now < self.settings.at_ms + self.schedule.spread_ms:
            self._idle.insert(0, warm)

    def _failed(self, number: int, since: int, failed: int) -> None:
        if failed == len(RETRIES_MS):
            self.dead.append(number)
        else:
            again = self.time.now + RETRIES_MS[failed]
            self.time.at(again, lambda: self._invoke(number, since, failed + 1))

    def _environment(self) -> Warm:
        """Return an idle environment, or a new one."""
        pick = next(self._picks)
        if pick < len(self._idle):
            warm = self._idle.pop(pick)
            warm.environment.idle_ms += (self.time.now - warm.idle_since) * self.schedule.stops
            return warm
        environment = self._new_environment(AGGREGATOR_TRIES, AGGREGATOR_PATIENCE_MS)
        handler = (OLDER_AGGREGATOR if self.settings.older else self.aggregators).Aggregator(
            table="table",
            queue_url="queue",
            window_s=self.settings.window_s,
            interval_s=self.settings.interval_s,
            include_gateway_writes=False,
            dynamodb=DynamoDB(self.table, self.calls, environment),
            sqs=partial(Writer, self.queue, self.calls, environment),
            clock=environment,
        )
        return Warm(environment, handler, self.settings)

    def _new_environment(self, tries: int, patience_ms: int) -> Environment:
        number = len(self._environments) + 1
        self._environments.append(
            Environment(
                self.time,
                number,
                next(self._skews),
                self.settings,
                tries,
                patience_ms,
                self._wrong_clocks,
                min(next(self._colds), patience_ms - 1000),  # or it would never get far
            )
        )
        return self._environments[-1]

    # The refresh function

    def _poll(self) -> None:
        """Receive messages, as Lambda does, up to the concurrency of the function."""
        while self._refreshing < REFRESHES_AT_ONCE:
            message = self.queue.receive(next(self._picks))
            if message is None:
                return
            self._refreshing += 1
            environment = self._new_environment(REFRESH_TRIES, REFRESH_PATIENCE_MS)
            environment.execution = Execution(self.time, REFRESH_TIMEOUT_MS)
            self._start_refresh(environment, message)

    def _start_refresh(self, environment: Environment, message: Message) -> None:
        environment.execution.start(lambda: self._refresh(environment, message))

    def _refresh(self, environment: Environment, message: Message) -> None:
        modules, lengths = self.refreshers, {"full_every_h": self.schedule.full_every_h}
        if self.settings.older_refresher:
            modules, lengths = OLDER_REFRESHER, {}
        handler = modules.Refresher(
            table="table",
            queue_url="queue",
            window_s=self.settings.refresher_window_s or self.settings.window_s,
            interval_s=self.settings.interval_s,
            **lengths,
            function_arn=FUNCTION_ARN,
            dynamodb=DynamoDB(self.table, self.calls, environment),
            sqs=Reader(self.queue, self.calls, environment),
            shares=self._shares(modules, environment),
            clock=environment,
        )
        body = {
            "messageId": "id",
            "receiptHandle": message.receipt,
            "body": message.body,
            "attributes": {
                "ApproximateReceiveCount": str(message.receives),
                "SentTimestamp": str(START_MS + message.sent),
            },
            "messageAttributes": message.attributes,
        }
        try:
            kept = handler.handle_batch({"Records": [body]}, environment.execution.left_ms)
            # It is Lambda that deletes the message: here, or a duplicate comes.
            if not kept["batchItemFailures"] and self.calls.fault("queue") in {"", "frozen"}:
                self.queue.delete(message)
        except Died:
            pass
        self._refreshing -= 1
        self.time.at(self.time.now, self._poll)

    def _shares(self, modules: Any, environment: Environment) -> Any:
        gateway = StorageGateway(self.gateways, self.calls, environment)
        s3control = partial(S3Control, self.gateways, self.calls, environment)
        return modules.Shares(gateway, gateway, s3control, InTurn)

    # What can be asked afterwards

    @property
    def stood_still(self) -> bool:
        """Whether an execution has stood still."""
        return any(environment.stood_still_ms for environment in self._environments)

    def shares_of(self, bucket: str) -> Iterator[Any]:
        return (share for share in self.schedule.shares if share.bucket == bucket)


assert f":{REGION}:{ACCOUNT}:" in FUNCTION_ARN  # or no share would be of the function's region and account
