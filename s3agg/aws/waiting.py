"""Waiting for AWS."""

from __future__ import annotations

from collections.abc import Iterator


def pauses(soonest: float) -> Iterator[float]:
    """What to wait between looks, in s: first soon, then slower, down to once a second; they do not end."""
    pause = soonest
    while True:
        yield pause
        pause = min(pause * 1.25, 1)
