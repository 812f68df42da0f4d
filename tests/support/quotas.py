"""AWS's quotas of calls a second for an account, counted in virtual time (FACTS 35)."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import defaultdict
from typing import Any

import botocore.session

from tests.support.clock import Clock

CONTROL_PLANE, LOG_READS = "Lambda's control plane", "FilterLogEvents"
QUOTAS = {CONTROL_PLANE: 15, "GetFunction": 100, "GetPolicy": 15, LOG_READS: 5}
OTHERS = {"Invoke"}  # of Lambda, with a quota that depends on concurrency
ROUNDING_S = 1e-6


class Quotas:
    """The times of the calls on a session, by quota. `listen` before anything answers for AWS."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self._moments: defaultdict[str, list[float]] = defaultdict(list)
        self._lock = threading.Lock()

    def listen(self, session: botocore.session.Session) -> None:
        session.get_component("event_emitter").register_first("before-call", self._count)

    def forget(self) -> None:
        self._moments.clear()

    def made(self, quota: str) -> int:
        """How many calls were made."""
        return len(self._moments[quota])

    def most(self, quota: str) -> int:
        """The most calls in any second."""
        moments = sorted(self._moments[quota])
        return max(
            (bisect_left(moments, first + 1 - ROUNDING_S) - n for n, first in enumerate(moments)), default=0
        )

    @property
    def exceeded(self) -> dict[str, int]:
        """The quotas that AWS would have enforced, and the most calls in any second."""
        return {quota: most for quota, limit in QUOTAS.items() if (most := self.most(quota)) > limit}

    def _count(self, model: Any, **_: Any) -> None:
        if (quota := quota_of(model.service_model.service_name, model.name)) is not None:
            with self._lock:
                self._moments[quota].append(self.clock.monotonic())


def quota_of(service: str, operation: str) -> str | None:
    """Return the quota that an operation counts against; None if no rule knows one."""
    if operation in QUOTAS:
        return operation
    return CONTROL_PLANE if service == "lambda" and operation not in OTHERS else None
