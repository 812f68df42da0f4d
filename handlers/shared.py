"""What both functions share: a bucket's item, when its window counts, the clock, and the log's lines.

It is zipped with each of them. Times are ms since 1970 where nothing else is said.
"""

from __future__ import annotations

import logging
import os
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

from botocore.exceptions import ClientError

T = TypeVar("T")

BUCKET_NAME = re.compile(r"[A-Za-z0-9._-]{1,255}")  # as S3 once allowed
REFRESH_TIMEOUT_MS = 30_000  # the refresh function's timeout
SPARE_MS = 2000  # on top of the interval, for clocks that differ
EXPIRED_MS = 5 * 60 * 1000  # a window this long past its end never got its refresh
# AWS refuses requests signed by a clock more than 5 min off, so no other function's clock is further off.
MOST_SKEW_MS = 5 * 60 * 1000
# No instance trusts a window from memory for longer. So a window may be shortened to this from now, whoever
# knows it: one with other settings, or with a wrong clock.
LONGEST_TRUST_MS = 5 * 60 * 1000
SLACK_MS = 10_000  # a window may be due so much later than its length, the interval and the trust ask for
RIGHT_MS = 1000  # a clock that is no further off than this is left as it is


@dataclass(frozen=True)
class Item:
    """A bucket's item as read. An attribute of the wrong type counts as absent."""

    raw: dict[str, Any]

    @property
    def due(self) -> int | None:
        """When the open window's refresh is due. A `timestamp` alone is the blog's and no window."""
        return self.number("timestamp") if self.opened_by is not None else None

    @property
    def opened_by(self) -> str | None:
        """The identity of the event that opened the window."""
        return self.text("opened_by")

    def number(self, name: str) -> int | None:
        value = self.raw.get(name, {}).get("N")
        return None if value is None else int(float(value))

    def text(self, name: str) -> str | None:
        value = self.raw.get(name, {}).get("S")
        return None if value is None else str(value)

    def texts(self, name: str) -> frozenset[str]:
        return frozenset(self.raw.get(name, {}).get("SS", ()))


@dataclass(frozen=True)
class Lengths:
    """How long windows and the pauses between refreshes are, in ms."""

    window: int
    pause: int  # between the last acceptance of a refresh and the next refresh

    @classmethod
    def of(cls, window_s: int, interval_s: int) -> Lengths:
        return cls(window_s * 1000, interval_s * 1000 + SPARE_MS)

    @property
    def furthest(self) -> int:
        """How far ahead a window can be due. One further ahead is of other settings, or of a wrong clock."""
        return max(self.window, self.pause, LONGEST_TRUST_MS) + SLACK_MS

    def next_refresh(self, item: Item) -> int:
        """No refresh before this, ms since 1970: the interval of now counts from the last acceptance."""
        not_before = item.number("not_before")
        if not_before is None:
            return 0
        written = item.number("pause")  # the pause of then; an older version writes none
        return not_before if written is None else not_before - written + self.pause


class Clock:
    """The time as DynamoDB tells it: one clock for all functions.

    Between its answers the faster of this machine's two clocks counts: the wall clock may be set back, and
    the monotonic clock stands still while Lambda freezes the execution environment.
    """

    def __init__(self, source: Any = time) -> None:
        self.source = source
        self._behind = 0  # ms by which the wall clock is behind DynamoDB's
        self._set_at: tuple[int, float] | None = None  # the time then, and monotonic s

    def now(self) -> int:
        wall = int(self.source.time() * 1000) + self._behind
        if self._set_at is None:
            return wall
        then, monotonic = self._set_at
        return max(wall, then + int((self.source.monotonic() - monotonic) * 1000))

    def monotonic(self) -> float:
        """Seconds since some moment."""
        return float(self.source.monotonic())

    def sleep(self, seconds: float) -> None:
        self.source.sleep(seconds)

    def ask(self, call: Callable[[], T]) -> T:
        """Call DynamoDB, and set the clock by its answer, or by its refusal."""
        sent = self.monotonic()
        try:
            answer = call()
        except ClientError as refusal:
            self._set(dict(refusal.response), sent)
            raise
        self._set(answer, sent)
        return answer

    def _set(self, answer: Any, sent: float) -> None:
        """Change nothing while the clock can be right: the answer tells the time in whole seconds."""
        received, took = self.source.time() * 1000, (self.monotonic() - sent) * 1000
        try:
            date = answer["ResponseMetadata"]["HTTPHeaders"]["date"]
            told = parsedate_to_datetime(date).timestamp() * 1000
        except (KeyError, TypeError, ValueError):  # not AWS's; go by our own clock
            return
        least = told - received
        most = least + took + 1000
        if not least - RIGHT_MS <= self._behind <= most + RIGHT_MS:
            self._behind = round((least + most) / 2)
        self._set_at = int(received) + self._behind, self.monotonic()


class LambdaFormatter(logging.Formatter):
    """The lines that AWS's Python runtime writes: [LEVEL], time, request id, message."""

    request_id = "-"

    def __init__(self) -> None:
        super().__init__("[%(levelname)s]\t%(asctime)s.%(msecs)03dZ\t%(request)s\t%(message)s")
        self.datefmt = "%Y-%m-%dT%H:%M:%S"
        self.converter = time.gmtime

    def format(self, record: logging.LogRecord) -> str:
        record.request = LambdaFormatter.request_id
        return super().format(record)


def log_as_lambda_does(logger: logging.Logger, request_id: str) -> None:
    """Set the level; where no runtime has set up logging (an emulator), set that up too."""
    LambdaFormatter.request_id = request_id
    root = logging.getLogger()
    if not root.handlers:
        handler = logging.StreamHandler()
        handler.setFormatter(LambdaFormatter())
        root.addHandler(handler)
    level = logging.getLevelName(os.environ.get("LOG_LEVEL", "INFO").upper())
    logger.setLevel(level if isinstance(level, int) else logging.INFO)
