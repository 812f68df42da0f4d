"""The two handlers together, in generated schedules: what DESIGN 2 says must hold, and that it is checked.

Time is virtual. Each call of a service takes 50 ms, in which other events may be handled, as in the refresh
function's waits; messages are handled one after the other.
"""

from __future__ import annotations

import heapq
import os
import re
import sys
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from importlib.resources import files
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import BotoCoreError, ReadTimeoutError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.handlers import FUNCTION_ARN, QUEUE, START_MS, TABLE, TIMEOUT_MS, load, record

SHARES = {"one": frozenset({"share-1", "share-2"}), "two": frozenset({"share-3"})}
CALL_MS = 50
VISIBILITY_MS = 180_000
RECEIVES = 100
RETRIES_MS = (60_000, 120_000)
APART_MS = 60_000  # a gateway may ignore a refresh sooner after the one before
PAUSE_MS = 62_000
EXPIRED_MS = 5 * 60_000
SKEW_MS = 1000
COLD = 3  # not the number of a warm instance: a new one each time
STEPS = 3000

AGGREGATOR = load("s3_aggregator")
REFRESHER = load("s3_sgw_refresh")


class Crash(Exception):
    """The instance dies."""


class ConditionalCheckFailedException(Exception):
    def __init__(self, item: Mapping[str, Any]) -> None:
        super().__init__("The conditional request failed")
        self.response = {"Item": item}


@dataclass(frozen=True)
class Delivery:
    after_ms: int = 0
    instances: tuple[int, ...] = (0,)  # of the first try and of Lambda's retries, in turn


@dataclass(frozen=True)
class Event:
    at_ms: int
    bucket: str = "one"
    deliveries: tuple[Delivery, ...] = (Delivery(),)


@dataclass(frozen=True)
class Schedule:
    window_s: int
    events: tuple[Event, ...]
    skews_ms: tuple[int, ...] = (0, 0, 0, 0, 0, 0)  # of the aggregators, a cold one, and two refreshers
    faults: Mapping[int, str] = field(default_factory=dict)  # by the number of the call
    busy: frozenset[int] = frozenset()  # numbers of the refreshes that the gateway does not take
    doubled: frozenset[int] = frozenset()  # numbers of the messages that arrive twice


@dataclass
class Message:
    body: dict[str, Any]
    bucket: str
    sent: int
    visible: int
    receives: int = 0


@dataclass
class Simulation:
    """All that happens in one schedule, till everything is quiet."""

    schedule: Schedule
    aggregators: Any = AGGREGATOR
    refreshers: Any = REFRESHER
    now: int = 0  # ms since START_MS
    calls: int = 0
    tried: int = 0  # refreshes, whether or not they were accepted
    sends: int = 0
    received: int = 0
    handled: list[tuple[int, str]] = field(default_factory=list)
    accepted: defaultdict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    dead: list[tuple[int, int, str]] = field(default_factory=list)  # from, till, bucket: what they excuse
    queue: list[Message] = field(default_factory=list)
    warm: dict[int, Any] = field(default_factory=dict)
    working: set[int] = field(default_factory=set)
    deliveries: list[tuple[int, int, int, int, int]] = field(default_factory=list)
    first_tried: dict[int, int] = field(default_factory=dict)

    def run(self) -> Simulation:
        self.dynamodb = DynamoDB(self)
        self.sqs = SQS(self)
        for number, event in enumerate(self.schedule.events):
            for turn, delivery in enumerate(event.deliveries):
                self.deliveries.append(
                    (event.at_ms + delivery.after_ms, len(self.deliveries), number, turn, 0)
                )
        heapq.heapify(self.deliveries)
        for _ in range(STEPS):
            message = min(self.queue, key=lambda message: message.visible, default=None)
            if self.deliveries and (message is None or self.deliveries[0][0] <= message.visible):
                self.deliver()
            elif message is not None:
                self.receive(message)
            else:
                return self
        raise AssertionError("It does not come to rest")

    # Time, and what goes wrong

    def wait(self, for_ms: int) -> None:
        """Let time pass, and events be handled in it."""
        till = self.now + for_ms
        while self.deliveries and self.deliveries[0][0] <= till:
            self.deliver()
        self.now = max(self.now, till)

    def call(self, act: Callable[[], Any]) -> Any:
        """A service's call, and what befalls it or its caller."""
        fault = self.schedule.faults.get(self.calls, "")
        self.calls += 1
        self.wait(CALL_MS)
        failure = Crash() if "crash" in fault else ReadTimeoutError(endpoint_url="https://aws")
        if "before" in fault:
            raise failure
        answer = act()
        if fault:
            raise failure
        return answer

    def clock(self, skew_ms: int) -> Any:
        return SimpleNamespace(
            time=lambda: (START_MS + self.now + skew_ms) / 1000,
            monotonic=lambda: self.now / 1000,
            sleep=lambda seconds: self.wait(round(seconds * 1000)),
        )

    # Lambda

    def deliver(self) -> None:
        at, order, number, turn, tries = heapq.heappop(self.deliveries)
        self.now = max(self.now, at)
        self.first_tried.setdefault(number, self.now)
        event = self.schedule.events[number]
        instances = event.deliveries[turn].instances
        instance = instances[tries % len(instances)]
        if instance in self.working:  # it handles one event at a time
            instance = COLD
        aggregator = self.warm.pop(instance, None) or self.aggregator(instance)
        self.working.add(instance)
        try:
            aggregator.handle_record(record(f"{number}.txt", bucket=event.bucket))
        except (Crash, BotoCoreError) as error:
            lost = isinstance(error, Crash)
            if tries < len(RETRIES_MS):
                again = (self.now + RETRIES_MS[tries], order, number, turn, tries + 1)
                heapq.heappush(self.deliveries, again)
            else:
                # Till its window expires, if it opened one, others rely on it.
                till = self.now + self.schedule.window_s * 1000 + EXPIRED_MS + 2 * SKEW_MS
                self.dead.append((self.first_tried[number], till, event.bucket))
        else:
            lost = False
            self.handled.append((self.now, event.bucket))
        self.working.discard(instance)
        if instance != COLD and not lost:
            self.warm[instance] = aggregator

    def receive(self, message: Message) -> None:
        self.now = max(self.now, message.visible)
        if message.receives == RECEIVES:
            self.queue.remove(message)
            self.dead.append((0, self.now, message.bucket))
            return
        message.receives += 1
        message.visible = self.now + VISIBILITY_MS
        self.sqs.in_flight = message
        self.received += 1
        ends = self.now + TIMEOUT_MS
        try:
            kept = self.refresher().handle_record(message.body, lambda: ends - self.now)
            if not kept:
                self.call(lambda: self.queue.remove(message))
        except (Crash, BotoCoreError):
            pass

    def aggregator(self, instance: int) -> Any:
        return self.aggregators.Aggregator(
            table=TABLE,
            queue_url=QUEUE,
            window_s=self.schedule.window_s,
            include_gateway_writes=False,
            dynamodb=self.dynamodb,
            sqs=self.sqs,
            clock=self.clock(self.schedule.skews_ms[instance]),
        )

    def refresher(self) -> Any:
        return self.refreshers.Refresher(
            table=TABLE,
            queue_url=QUEUE,
            interval_s=60,
            function_arn=FUNCTION_ARN,
            dynamodb=self.dynamodb,
            sqs=self.sqs,
            shares=Gateway(self),
            clock=self.clock(self.schedule.skews_ms[COLD + 1 + self.received % 2]),
        )

    # What must hold

    def lost(self) -> list[str]:
        """The handled events and shares that no refresh followed, and no dead letter excuses."""
        return [
            f"{share} was not refreshed after {at}: {self.accepted[share]}"
            for at, bucket in self.handled
            if not any(start <= at <= end for start, end, of in self.dead if of == bucket)
            for share in sorted(SHARES[bucket])
            if not any(start > at for start in self.counting(share))
        ]

    def counting(self, share: str) -> list[int]:
        """The accepted refreshes that came long enough after the one before."""
        starts = self.accepted[share]
        return [
            start
            for before, start in zip([-APART_MS, *starts], starts, strict=False)
            if start - before >= APART_MS
        ]

    def late(self) -> list[str]:
        longest = self.schedule.window_s * 1000 + PAUSE_MS + TIMEOUT_MS + 3 * SKEW_MS
        return [
            f"{share} was not refreshed within {longest} of {at}: {self.accepted[share]}"
            for at, bucket in self.handled
            for share in sorted(SHARES[bucket])
            if not any(0 < start - at <= longest for start in self.accepted[share])
        ]

    def too_often(self) -> list[str]:
        apart = max(self.schedule.window_s * 1000, PAUSE_MS) - 2 * SKEW_MS
        return [
            f"{share} was refreshed too often: {starts}"
            for share, starts in self.accepted.items()
            if (len(starts) - 1) * apart > starts[-1] - starts[0]
        ]


class DynamoDB:
    """The table: the handlers' forms of expressions and no others."""

    exceptions = SimpleNamespace(ConditionalCheckFailedException=ConditionalCheckFailedException)

    def __init__(self, world: Simulation) -> None:
        self.world = world
        self.items: dict[str, dict[str, Any]] = {}
        self.stale: dict[str, dict[str, Any]] = {}  # before the last write

    def get_item(self, **asked: Any) -> dict[str, Any]:
        def get() -> dict[str, Any]:
            items = self.items if asked.get("ConsistentRead") else self.stale
            bucket = asked["Key"]["BucketName"]["S"]
            return {"Item": dict(items[bucket])} if items.get(bucket) else {}

        answer: dict[str, Any] = self.world.call(get)
        return answer

    def update_item(self, **asked: Any) -> None:
        self.world.call(lambda: self._update(**asked))

    def _update(
        self,
        *,
        Key: Any,  # noqa: N803
        UpdateExpression: str,  # noqa: N803
        ConditionExpression: str,  # noqa: N803
        ExpressionAttributeValues: Mapping[str, Any],  # noqa: N803
        ExpressionAttributeNames: Mapping[str, str] | None = None,  # noqa: N803
        **_: Any,
    ) -> None:
        bucket = Key["BucketName"]["S"]
        item = self.items.get(bucket, {})
        names = ExpressionAttributeNames or {}

        def name(alias: str) -> str:
            return names[alias] if alias.startswith("#") else alias

        def holds(term: str) -> bool:
            if found := re.fullmatch(r"attribute_not_exists\(([#\w]+)\)", term):
                return name(found[1]) not in item
            if found := re.fullmatch(r"NOT attribute_type\(([#\w]+), (:\w+)\)", term):
                return ExpressionAttributeValues[found[2]]["S"] not in item.get(name(found[1]), {})
            if found := re.fullmatch(r"([#\w]+) (=|<) (:\w+)", term):
                value, other = item.get(name(found[1])), ExpressionAttributeValues[found[3]]
                if found[2] == "=":
                    return bool(value == other)
                return value is not None and int(value["N"]) < int(other["N"])
            raise AssertionError(f"An unknown condition: {term}")

        if not any(all(map(holds, part.split(" AND "))) for part in ConditionExpression.split(" OR ")):
            raise ConditionalCheckFailedException(dict(item))
        update = re.fullmatch(r"SET (.+?)(?: REMOVE (.+))?", UpdateExpression)
        assert update, UpdateExpression
        changed = dict(item)
        for part in update[1].split(", "):
            sets = re.fullmatch(r"([#\w]+) = (:\w+)", part)
            assert sets, UpdateExpression
            changed[name(sets[1])] = ExpressionAttributeValues[sets[2]]
        for alias in (update[2] or "").split(", "):
            assert re.fullmatch(r"[#\w]*", alias), UpdateExpression
            changed.pop(name(alias), None)
        self.stale[bucket], self.items[bucket] = item, changed


class SQS:
    def __init__(self, world: Simulation) -> None:
        self.world = world
        self.in_flight: Message

    def send_message(self, **asked: Any) -> None:
        self.world.call(lambda: self._send(asked["DelaySeconds"], asked["MessageAttributes"]))

    def _send(self, delay_s: int, attributes: Mapping[str, Any]) -> None:
        assert 0 <= delay_s <= 900
        values = {name: {"stringValue": value["StringValue"]} for name, value in attributes.items()}
        now, bucket = self.world.now, values["bucket-name"]["stringValue"]
        for _ in range(2 if self.world.sends in self.world.schedule.doubled else 1):
            body = {"messageId": "id", "receiptHandle": "receipt", "messageAttributes": values}
            self.world.queue.append(Message(body, bucket, now, now + delay_s * 1000))
        self.world.sends += 1

    def change_message_visibility(self, **asked: Any) -> None:
        seconds = asked["VisibilityTimeout"]
        assert 0 <= seconds <= 43_200

        def change() -> None:
            self.in_flight.visible = self.world.now + seconds * 1000

        self.world.call(change)


class Gateway:
    """In place of the refresh function's Shares; as there, a call that fails leaves its share for later."""

    def __init__(self, world: Simulation) -> None:
        self.world = world

    def of(self, bucket: str, _arn: str) -> frozenset[str]:
        shares: frozenset[str] = self.world.call(lambda: SHARES[bucket])
        return shares

    def refresh(
        self, shares: frozenset[str], _time_left_ms: Callable[[], int]
    ) -> tuple[frozenset[str], frozenset[str]]:
        accepted = set()
        for share in sorted(shares):
            try:
                if self.world.call(partial(self._refresh, share)):
                    accepted.add(share)
            except BotoCoreError:
                continue
        return frozenset(accepted), frozenset()

    def _refresh(self, share: str) -> bool:
        self.world.tried += 1
        if self.world.tried - 1 in self.world.schedule.busy:
            return False
        self.world.accepted[share].append(self.world.now)
        return True


# Generated


def _events(window_s: int) -> st.SearchStrategy[tuple[Event, ...]]:
    """Events, many of them near the ends of windows and of pauses."""
    ends = st.sampled_from([0, 0, window_s, window_s + 2, 2 * window_s, 62, 64, 124, 400])
    at_ms = st.builds(
        lambda end, by: end * 1000 + by, ends, st.integers(0, 3000) | st.integers(-3000, 60_000)
    )
    instances = st.lists(st.integers(0, COLD), min_size=1, max_size=3).map(tuple)
    delay_ms = st.integers(0, 3000) | st.integers(0, 200_000)
    deliveries = st.lists(st.builds(Delivery, delay_ms, instances), min_size=1, max_size=2).map(tuple)
    event = st.builds(Event, at_ms.map(abs), st.sampled_from(["one", "one", "two"]), deliveries)
    return st.lists(event, min_size=1, max_size=25).map(tuple)


CALM: st.SearchStrategy[Schedule] = st.sampled_from([5, 30, 62, 120, 1000]).flatmap(
    lambda window_s: st.builds(
        Schedule,
        st.just(window_s),
        _events(window_s),
        st.tuples(*[st.integers(0, SKEW_MS)] * 6),
        doubled=st.frozensets(st.integers(0, 5), max_size=2),
    )
)
FAULTS = st.sampled_from(["crash before", "crash after", "error before", "error after"])
STORMY = st.builds(
    lambda calm, faults, busy: replace(calm, faults=faults, busy=busy),
    CALM,
    st.dictionaries(st.integers(0, 20) | st.integers(0, 80), FAULTS, max_size=12),
    st.frozensets(st.integers(0, 12), max_size=8),
)
GENERATED = settings(
    max_examples=int(os.environ.get("S3AGG_SCHEDULES", "40")),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],  # a busy machine is no failure
)


@GENERATED
@given(STORMY)
def test_no_refresh_is_lost(schedule: Schedule) -> None:
    assert Simulation(schedule).run().lost() == []


@GENERATED
@given(CALM)
def test_without_faults_refreshes_are_few_and_soon(schedule: Schedule) -> None:
    simulation = Simulation(schedule).run()

    assert simulation.lost() == []
    assert simulation.late() == []
    assert simulation.too_often() == []
    assert simulation.dead == []


# That a handler without one of its precautions would be found out


def _on(instance: int) -> tuple[Delivery, ...]:
    return (Delivery(instances=(instance,)),)


SWALLOWED = """try:
                    self.send(bucket, timestamp, window.due)
                except Exception:
                    logger.exception("Swallowed")
"""
MUTANTS = {
    "a failed send is swallowed": (
        "s3_aggregator",
        {"self.send(bucket, timestamp, window.due)\n": SWALLOWED},
        Schedule(30, (Event(0),), faults={1: "error before"}),
    ),
    "the opener's retry is skipped from memory": (
        "s3_aggregator",
        {"if window is None or window.opened_by == me:": "if window is None:"},
        Schedule(120, (Event(0), Event(1000)), faults={1: "error before"}),
    ),
    "a window is trusted from memory to its end and on": (
        "s3_aggregator",
        {"age_s < TRUSTED_S": "age_s < 60"},
        Schedule(30, (Event(0), Event(40_000))),
    ),
    "pending is not written": (
        "s3_sgw_refresh",
        {"SET pending = :token, not_before": "SET not_before"},
        Schedule(30, (Event(0),), busy=frozenset({0})),
    ),
    "the settle wait is dropped": (
        "s3_sgw_refresh",
        {"self.clock.sleep(SETTLE_S)": "pass"},
        Schedule(30, (Event(0), Event(29_800, deliveries=_on(1)), Event(30_600, deliveries=_on(1)))),
    ),
    "not_before is not written": (
        "s3_sgw_refresh",
        {
            "SET pending = :token, not_before = :not_before": "SET pending = :token",
            'sets = ["not_before = :not_before"]': "sets = []",
        },
        Schedule(5, (Event(0), Event(10_000))),
    ),
    "done outlives a close": (
        "s3_sgw_refresh",
        {
            "REMOVE #timestamp, opened_by, done": "REMOVE #timestamp, opened_by",
            "frozenset[str]() if closing else item": "item",
        },
        Schedule(5, (Event(0), Event(20_000)), busy=frozenset({1})),
    ),
}


def _changed(name: str, changes: Mapping[str, str]) -> Any:
    """The handler's module, with some of its text replaced."""
    source = files("s3agg.handlers").joinpath(f"{name}.py").read_text(encoding="utf-8")
    for old, new in changes.items():
        assert source.count(old) == 1, f"Not once in {name}: {old}"
        source = source.replace(old, new)
    module = ModuleType(f"{name} (a mutant)")
    sys.modules[module.__name__] = module  # as in load
    try:
        exec(compile(source, module.__name__, "exec"), module.__dict__)  # noqa: S102  # it is ours
    finally:
        del sys.modules[module.__name__]
    return module


@pytest.mark.parametrize(("name", "changes", "schedule"), MUTANTS.values(), ids=MUTANTS)
def test_a_handler_without_a_precaution_loses_a_refresh(
    name: str, changes: dict[str, str], schedule: Schedule
) -> None:
    mutant = _changed(name, changes)
    instead = {"aggregators": mutant} if name == "s3_aggregator" else {"refreshers": mutant}

    assert Simulation(schedule).run().lost() == []
    assert Simulation(schedule, **instead).run().lost() != []
