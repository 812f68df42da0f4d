"""What a command tells on its way, and its result."""

from __future__ import annotations

from collections.abc import Generator
from typing import TypeVar

E = TypeVar("E")
R = TypeVar("R")


def ended(running: Generator[E, None, R]) -> tuple[list[E], R]:
    """Let a command run to its end: its events, and its result."""
    events: list[E] = []
    while True:
        try:
            events.append(next(running))
        except StopIteration as end:
            return events, end.value
