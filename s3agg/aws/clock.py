"""The clock, and conversion of AWS's timestamps."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Protocol


class Clock(Protocol):
    """The functions of the `time` module in use here; tests pass their own."""

    def time(self) -> float: ...
    def monotonic(self) -> float: ...
    def sleep(self, seconds: float, /) -> None: ...


def from_ms(milliseconds: float) -> datetime:
    """Convert milliseconds since 1970 to a datetime in UTC."""
    return datetime.fromtimestamp(milliseconds / 1000, timezone.utc)


def to_ms(moment: datetime) -> int:
    """Convert a datetime to milliseconds since 1970."""
    return round(moment.timestamp() * 1000)
