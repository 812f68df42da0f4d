"""Virtual time, which passes only while every execution waits, and the calls that take time."""

from __future__ import annotations

import heapq
import random
from collections import Counter
from collections.abc import Callable
from itertools import count, cycle
from typing import Any, TypeVar

from botocore.exceptions import ClientError, ReadTimeoutError
from greenlet import greenlet

from tests.protocol.schedule import Schedule, WrongClock

T = TypeVar("T")

THROTTLED = "ProvisionedThroughputExceededException"
START_MS = 1_750_000_000_000  # 2025-06-15T15:06:40Z
FROZEN_MS = 200_000
ONE_TRY_MS = 6000  # until a call without an answer times out
RETRY_QUOTA, RETRY_COSTS = 500, 5  # of botocore's standard retries
LONGEST_BACKOFF_S = 20
MOST_SKEW_MS = 300_000  # a signature that is older or newer is not valid
MOST_STEPS = 400_000  # of a schedule; a load takes more


class Died(BaseException):
    """The execution environment is gone; no handler can catch this."""


class Time:
    """The scheduled events; times in ms since the start."""

    def __init__(self) -> None:
        self.now = 0
        self._agenda: list[tuple[int, int, Callable[[], object]]] = []
        self._order = count()

    def at(self, moment: int, do: Callable[[], object]) -> None:
        heapq.heappush(self._agenda, (max(moment, self.now), next(self._order), do))

    def run(self, most_steps: int = MOST_STEPS) -> None:
        """Run until no event is left."""
        for _ in range(most_steps):
            if not self._agenda:
                return
            self.now, _, do = heapq.heappop(self._agenda)
            do()
        raise AssertionError("It does not come to rest")


class Execution:
    """One invocation of a function. Others run while it waits; it ends at its deadline."""

    def __init__(self, time: Time, timeout_ms: int) -> None:
        self.time = time
        self.deadline = time.now + timeout_ms
        self._greenlet: greenlet

    def start(self, work: Callable[[], None]) -> None:
        self._greenlet = greenlet(work)
        self._greenlet.switch()

    def wait(self, for_ms: int) -> None:
        self.time.at(min(self.time.now + for_ms, self.deadline), self._greenlet.switch)
        assert self._greenlet.parent is not None
        self._greenlet.parent.switch()
        if self.time.now >= self.deadline:
            raise Died

    def left_ms(self) -> int:
        return self.deadline - self.time.now


class Environment:
    """An execution environment of a function, and the handler's clock in it."""

    def __init__(
        self,
        time: Time,
        number: int,
        skew_ms: int,
        settings: object,
        tries: int,
        patience_ms: int,
        wrong_clocks: tuple[WrongClock, ...] = (),
        cold_ms: int = 0,
    ) -> None:
        self.number = number
        self.settings = settings  # with which it was started
        self.cold_ms = cold_ms  # what its next call takes longer, as it is the first
        self.wrong_clocks = tuple(each for each in wrong_clocks if each.third == number % 3)
        self.tries = tries  # of a call, by its botocore ...
        self.quota = RETRY_QUOTA  # ... while it has some of this left
        self.one_try_ms = patience_ms // tries
        self.patience_ms = patience_ms  # after that its boto3 gives a call up, having tried it again
        self.execution: Execution
        self._time = time
        self._skew_ms = skew_ms
        self.stood_still_ms = 0  # in the middle of an execution
        self.idle_ms = 0  # between two, as far as the monotonic clock stood still

    @property
    def now_ms(self) -> int:
        """Return the environment's wall clock, ms since 1970."""
        return START_MS + self._time.now + self._skew_ms + self.wrong_ms

    @property
    def wrong_ms(self) -> int:
        now = self._time.now
        return sum(each.by_ms for each in self.wrong_clocks if each.from_ms <= now < each.till_ms)

    def time(self) -> float:
        return self.now_ms / 1000

    def monotonic(self) -> float:
        return (self._time.now - self.stood_still_ms - self.idle_ms) / 1000

    def sleep(self, seconds: float) -> None:
        self.execution.wait(round(seconds * 1000))

    def throttled(self, call: Callable[[], T]) -> T:
        """Make a call and repeat it while it is throttled, as botocore's standard retries do."""
        for retry in range(self.tries):
            try:
                answer = call()
            except ClientError as error:
                last = retry == self.tries - 1 or self.quota < RETRY_COSTS
                if last or error.response["Error"]["Code"] != THROTTLED:
                    raise
                self.quota -= RETRY_COSTS
                self.sleep(min(random.random() * 2**retry, LONGEST_BACKOFF_S))  # noqa: S311  # as botocore's
            else:
                self.quota = min(self.quota + (RETRY_COSTS if retry else 1), RETRY_QUOTA)
                return answer
        raise AssertionError("The last try returns or raises")

    def freeze(self, for_ms: int) -> None:
        self.stood_still_ms += for_ms
        self.execution.deadline += for_ms
        self.execution.wait(for_ms)


class Calls:
    """The calls of a service, with their durations and faults."""

    def __init__(self, time: Time, schedule: Schedule) -> None:
        self.time = time
        self.schedule = schedule
        self.faults = dict(schedule.faults)
        self.outages = schedule.outages
        self.made: list[str] = []
        self.failed: Counter[int] = Counter()  # by the number of the environment
        self._legs = cycle(schedule.legs_ms)

    def make(
        self, environment: Environment, service: str, act: Callable[[], Any], *, once: bool = False
    ) -> Any:
        """Call a service from the environment; return or raise the result of `act`.

        A call in transit arrives even if the environment ends. `once`: boto3 does not retry.
        """
        fault = self._befalling(environment, service, once=once)
        self.failed[environment.number] += bool(fault)
        execution = environment.execution
        if fault == "dies before":
            raise Died
        if fault == "frozen" and service == "table":
            environment.freeze(FROZEN_MS)
        there, back = next(self._legs), next(self._legs)
        answer = Answer(act)
        slower_ms = environment.cold_ms + (environment.one_try_ms if fault == "second try" else 0)
        environment.cold_ms = 0
        if slower_ms:
            execution.wait(slower_ms)
        if fault not in {"refused", "lost"}:
            self.time.at(self.time.now + there, answer.take)
        execution.wait(there)
        if fault == "dies after":
            raise Died
        if fault in {"lost", "unanswered"} or (fault == "again" and once):
            execution.wait(ONE_TRY_MS if once else environment.patience_ms)
            raise ReadTimeoutError(endpoint_url=f"https://{service}")
        execution.wait(back)
        if fault == "again":
            self.time.at(self.time.now + there, answer.take)
            execution.wait(there + back)
        if fault == "refused":
            raise refusal(service)
        return answer.give()

    def _befalling(self, environment: Environment, service: str, *, once: bool) -> str:
        fault = self.fault(service)
        if self.schedule.signed and abs(environment.wrong_ms) > MOST_SKEW_MS:
            return "refused"
        return "lost" if fault == "second try" and once else fault

    def fault(self, service: str) -> str:
        """Return the fault of the next call."""
        fault = self.faults.get(len(self.made), "")
        self.made.append(service)
        return "refused" if self.is_out(service) else fault

    def is_out(self, what: str) -> bool:
        now = self.time.now
        return any(each.of == what and each.from_ms <= now < each.till_ms for each in self.outages)


class Answer:
    """The answer of a service to a call."""

    def __init__(self, act: Callable[[], Any]) -> None:
        self._act = act
        self._given: Any = None
        self._raised: Exception | None = None

    def take(self) -> None:
        self._raised = None
        try:
            self._given = self._act()
        except Exception as error:  # noqa: BLE001  # raised where the answer arrives
            self._raised = error

    def give(self) -> Any:
        if self._raised is not None:
            raise self._raised
        return self._given


def refusal(service: str) -> ClientError:
    codes = {"table": "ProvisionedThroughputExceededException", "gateway": "InvalidGatewayRequestException"}
    error: Any = {"Code": codes.get(service, "ThrottlingException"), "Message": "Not now"}
    return ClientError({"Error": error}, f"of the {service}")
