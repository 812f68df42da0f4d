"""Watch until something has happened: look with growing pauses, and tell by the second what is awaited."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeVar

from s3agg.aws.clock import Clock
from s3agg.aws.waiting import pauses

SOONEST_S = 0.3  # between the first looks: an account has five FilterLogEvents calls a second
TICK_S = 1.0  # of a countdown

E = TypeVar("E")


@dataclass(frozen=True)
class Waiting:
    """The current wait: its subject, the s left, and for a window the part that has passed."""

    what: str
    seconds: float
    passed: float | None = None  # 0 to 1


NOTHING = partial(Waiting, "")


@dataclass(frozen=True)
class Look(Generic[E]):
    """What one look has shown.

    `waiting` returns what is awaited, from the s left until the deadline; a countdown asks it each second.
    """

    waiting: Callable[[float], Waiting] = NOTHING
    news: Sequence[E] = ()
    idle_s: float = 0  # for how long nothing more can show
    done: bool = False


def watch(
    clock: Clock,
    look: Callable[[], Look[E]],
    deadline: float,
    has_failed: Callable[[], bool] = lambda: False,
) -> Generator[E | Waiting, None, bool]:
    """Look until it is done; return False at the deadline, by the monotonic clock, or if `has_failed`.

    After news, the next look comes soon. `has_failed` is asked after each look that tells of no idle time.
    """
    growing = pauses(SOONEST_S)
    while True:
        seen = look()
        yield from seen.news
        if seen.done:
            return True
        if seen.news:
            growing = pauses(SOONEST_S)
        now = clock.monotonic()
        if now >= deadline:
            return False
        till = min(now + max(next(growing), seen.idle_s), deadline)
        while (now := clock.monotonic()) < till:
            yield seen.waiting(deadline - now)
            if seen.idle_s <= 0 and has_failed():
                return False
            clock.sleep(min(TICK_S, till - now))
