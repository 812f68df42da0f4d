"""Time, as the `time` module has it, and as AWS writes it."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Protocol


class Clock(Protocol):
    """What the `time` module has of time; tests pass their own."""

    def time(self) -> float: ...
    def monotonic(self) -> float: ...
    def sleep(self, seconds: float, /) -> None: ...


def from_ms(milliseconds: float) -> datetime:
    """Milliseconds since 1970 as a moment."""
    return datetime.fromtimestamp(milliseconds / 1000, timezone.utc)


def to_ms(moment: datetime) -> int:
    """A moment as milliseconds since 1970."""
    return round(moment.timestamp() * 1000)
