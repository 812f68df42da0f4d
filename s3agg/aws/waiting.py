"""Waiting for AWS: `retry` a call that AWS rejects for a while, or `poll` until a state is reached.

Where no state shows that the wait is over, `pause` waits for a time.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from botocore.exceptions import ClientError

from s3agg.aws.clock import Clock
from s3agg.aws.refusals import Refusal
from s3agg.errors import S3aggError

T = TypeVar("T")

PATIENCE_S = 60.0
LONGEST_PAUSE_S = 1  # between two attempts


def pauses(shortest: float) -> Iterator[float]:
    """Pauses between attempts, in seconds: from `shortest`, growing to 1 s, without end."""
    pause = shortest
    while True:
        yield pause
        pause = min(pause * 1.25, LONGEST_PAUSE_S)


class Waiting:
    """Waits for AWS, with a timeout. `tell` receives a line about what it waits for and how long.

    `what` completes the sentence "waiting for ...". The line counts down from the timeout, or from
    `at_most_s`, AWS's own limit in seconds. When `stopping` is set, all waiting ends with an S3aggError.
    """

    def __init__(self, clock: Clock, tell: Callable[[str], None]) -> None:
        self.clock = clock
        self.tell = tell
        self.stopping = threading.Event()

    def retry(
        self,
        what: str,
        call: Callable[[], T],
        *,
        on: Sequence[Refusal],
        patience_s: float = PATIENCE_S,
        at_most_s: float | None = None,
    ) -> T:
        """Repeat a call while AWS rejects it with one of the errors `on`; return its answer.

        Raises any other error at once, and the last one after `patience_s` seconds.
        """
        wait = _Wait(self, what, patience_s, at_most_s)
        while True:
            try:
                return call()
            except ClientError as error:
                if not _is_among(error, on) or not wait.goes_on():
                    raise

    def poll(
        self,
        what: str,
        is_done: Callable[[], bool],
        *,
        on: Sequence[Refusal] = (),
        times: int = 1,
        patience_s: float = PATIENCE_S,
    ) -> None:
        """Repeat `is_done` until it returns true, `times` in a row. An error among `on` counts as not done.

        AWS answers from several places, each in its own time: one true answer may be followed by an old one.
        After `patience_s` seconds raises S3aggError, or the error of the last attempt.
        """
        wait = _Wait(self, what, patience_s)
        in_a_row = 0
        while True:
            refused: ClientError | None = None
            try:
                in_a_row = in_a_row + 1 if is_done() else 0
                if in_a_row >= times:
                    return
            except ClientError as error:
                if not _is_among(error, on):
                    raise
                refused, in_a_row = error, 0
            if not wait.goes_on():
                raise refused or S3aggError(
                    f"Timed out after {wait.waited_s:.0f} s waiting for {what}", "Run the same command again"
                )

    def pause(self, what: str, seconds: float) -> None:
        """Wait for a time, where AWS shows no state that ends it: a `poll` for the clock."""
        till = self.clock.monotonic() + seconds
        self.poll(what, lambda: self.clock.monotonic() >= till, patience_s=seconds + LONGEST_PAUSE_S)


def _is_among(error: ClientError, refusals: Sequence[Refusal]) -> bool:
    return any(refusal.matches(error) for refusal in refusals)


class _Wait:
    """One wait: its pauses and its timeout."""

    def __init__(
        self, waiting: Waiting, what: str, patience_s: float, at_most_s: float | None = None
    ) -> None:
        self.waiting = waiting
        self.what = what
        self.patience_s = patience_s
        self.at_most_s = patience_s if at_most_s is None else at_most_s
        self.started = waiting.clock.monotonic()
        self.pauses = pauses(0.1)

    @property
    def waited_s(self) -> float:
        return self.waiting.clock.monotonic() - self.started

    def goes_on(self) -> bool:
        """Pause before the next attempt; False after the timeout. Raises S3aggError if interrupted."""
        waited = self.waited_s
        if waited > self.patience_s:
            return False
        if self.waiting.stopping.is_set():
            raise S3aggError(f"Interrupted while waiting for {self.what}", "Run the same command again")
        if waited > 1:
            left = max(self.at_most_s - waited, 0)
            self.waiting.tell(f"waiting for {self.what} ({waited:.0f} s, at most {left:.0f} s more)")
        self.waiting.clock.sleep(next(self.pauses))
        return True
