"""The pace of calls: a command leaves room in the account's quotas of calls a second (FACTS 35)."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping
from typing import Any

from s3agg.aws.waiting import Waiting
from s3agg.errors import S3aggError

PACE = "s3agg-pace "  # starts the ids of the hooks
SECOND = 1.0
CONTROL_PLANE = 10  # calls a second of a command; Lambda takes 15 of the whole account
LOG_READS = 2  # FilterLogEvents a second of a command; CloudWatch Logs takes 5 of the whole account
# Lambda counts these separately. Each command makes few of them.
COUNTED_SEPARATELY = {"GetFunction", "GetPolicy", "Invoke"}


class Pace:
    """At most `most` calls in any second, from all threads. The first ones wait for nothing."""

    def __init__(self, most: int, waiting: Waiting) -> None:
        self.waiting = waiting
        self._last: deque[float] = deque(maxlen=most)  # times of the last calls
        self._lock = threading.Lock()

    def keep(self) -> None:
        """Wait until the next call may be made. Raises S3aggError if the command is interrupted."""
        clock = self.waiting.clock
        with self._lock:  # the calls of other threads come later than this one, so they wait for it
            if len(self._last) == self._last.maxlen:
                left_s = self._last[0] + SECOND - clock.monotonic()
                if left_s > 0:
                    if self.waiting.stopping.is_set():
                        raise S3aggError("Interrupted while pacing the calls", "Run the same command again")
                    clock.sleep(left_s)
            self._last.append(clock.monotonic())


def keep_pace(client: Any, waiting: Waiting) -> None:
    """Pace the calls of a Lambda or CloudWatch Logs client."""
    for event, pace in _paces(waiting).items():

        def before(model: Any, pace: Pace = pace, **_: Any) -> None:
            if model.name not in COUNTED_SEPARATELY:
                pace.keep()

        # A client that an earlier command used takes the pace of this one.
        client.meta.events.unregister(event, unique_id=PACE + event)
        client.meta.events.register(event, before, unique_id=PACE + event)


def _paces(waiting: Waiting) -> Mapping[str, Pace]:
    return {
        "before-call.lambda": Pace(CONTROL_PLANE, waiting),
        "before-call.cloudwatch-logs.FilterLogEvents": Pace(LOG_READS, waiting),
    }
