"""A clock that only waiting moves: no test waits for real."""

from __future__ import annotations

import threading


class Clock:
    """Seconds that pass only while somebody sleeps; `jump` sets the wall clock alone."""

    def __init__(self, start: float = 1_750_000_000.0) -> None:
        self.slept: list[float] = []  # how long each sleep was
        self.waited = 0.0  # all of them
        self._start = start
        self._jumped = 0.0
        self._lock = threading.Lock()

    def time(self) -> float:
        return self.true + self._jumped

    def monotonic(self) -> float:
        return self.waited

    def sleep(self, seconds: float, /) -> None:
        with self._lock:
            self.slept.append(seconds)
            self.waited += seconds

    def jump(self, seconds: float) -> None:
        self._jumped += seconds

    @property
    def true(self) -> float:
        """The time as everybody else's clocks tell it."""
        return self._start + self.waited

    @property
    def ms(self) -> int:
        return round(self.time() * 1000)
