"""How long something takes."""

from __future__ import annotations

import time
from collections.abc import Callable


def timed(act: Callable[[], object]) -> float:
    """In s."""
    started = time.monotonic()
    act()
    return time.monotonic() - started
