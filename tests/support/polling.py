"""Looking until something is so."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

# Longer than any command has: a message whose refresh the emulator cut off is back after the queue's 180 s.
PATIENCE_S = 240


def eventually(condition: Callable[[], T], within: float = PATIENCE_S, every: float = 0.05) -> T:
    """Look every so many seconds until it is so, and return what it gave; fail after `within` seconds."""
    deadline = time.monotonic() + within
    while not (result := condition()):
        assert time.monotonic() < deadline, f"it did not come about within {within} s"
        time.sleep(every)
    return result
