"""Code of both functions: a bucket's item, the lengths of windows and pauses, the clock, and logging.

It is zipped with each function. Times are ms since 1970 unless noted.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from functools import cached_property
from typing import Any, TypeVar

from botocore.exceptions import ClientError
from known_shares import KnownShare, unpack, unpack_prefixes

T = TypeVar("T")

REFRESH_TIMEOUT_MS = 30_000  # the refresh function's timeout
LOST_RACE_S = 5  # until the next try after another instance wrote the item
SPARE_MS = 2000  # added to the interval, for clocks that differ
EXPIRED_MS = 5 * 60 * 1000  # a window this long past its end has lost its refresh
# The largest error of a function's clock: AWS refuses requests signed with a larger one.
MOST_SKEW_MS = 5 * 60 * 1000
# An instance trusts a window in its memory for this long at most. So a window of wrong settings or of a wrong
# clock can be shortened to this length: every instance reads it again in time.
LONGEST_TRUST_MS = 5 * 60 * 1000
SLACK_MS = 10_000  # tolerance for the latest due time of a window
LEVELS = {name: vars(logging)[name] for name in ("DEBUG", "INFO", "WARN", "WARNING", "ERROR", "CRITICAL")}
RIGHT_MS = 1000  # a smaller error of the clock is not corrected
# Before each folder or prefix in `touched`, as a set holds no empty string. Alone it stands for everything.
EVERYTHING = "/"
MOST_TOUCHED, MOST_TOUCHED_BYTES = (
    40,
    700,
)  # from there on everything counts as touched: an item costs by size
# Folders and prefixes, each after EVERYTHING; None: everything, written by nobody or by an older version.
Touched = frozenset[str] | None


@dataclass(frozen=True)
class Item:
    """A bucket's item as read. An attribute of the wrong type counts as missing."""

    raw: dict[str, Any]

    @property
    def due(self) -> int | None:
        """When the open window's refresh is due. A `timestamp` alone, of the blog's, is no window."""
        return self.number("timestamp") if self.opened_by is not None else None

    @property
    def owed_since(self) -> int | None:
        """When the oldest refresh was due that is still owed to a share, that of the open window included."""
        due = [each for each in (self.unrefreshed_since, self.due) if each is not None]
        return min(due, default=None)

    @property
    def unrefreshed_since(self) -> int | None:
        """When the oldest refresh of a closed window was due that is still owed to a share."""
        return self.number("unrefreshed_since")

    @property
    def pending_since(self) -> int | None:
        """When the pending refresh was due: when its window closed, or when `s3agg refresh` requested it."""
        times = [each for each in (self.number("closed"), self.unrefreshed_since) if each is not None]
        return max(times, default=None)

    @property
    def owed(self) -> dict[str, int]:
        """When the oldest refresh was due that is owed to a share, by the share's id."""
        if "BOOL" not in self.raw.get("owed", {}):
            return {}
        return {share: each.owed for share, each in self.known.items() if each.owed is not None}

    @property
    def done(self) -> frozenset[str]:
        """The ids of the shares that have accepted the pending refresh."""
        if "BOOL" not in self.raw.get("done", {}):
            return self.texts("done")  # an older version stored the ids
        return frozenset(share for share, each in self.known.items() if each.done)

    @property
    def touched(self) -> Touched:
        """The folders and prefixes of the events of the open window."""
        return self.texts("touched") or None

    @property
    def refreshing(self) -> Touched:
        """The folders and prefixes that the pending refresh is for."""
        return self.texts("refreshing") or None

    @cached_property
    def known(self) -> dict[str, KnownShare]:
        """The known file shares by their ids; none if the value is missing or cannot be read."""
        return unpack(self.raw.get("known", {}).get("B"))

    @property
    def prefixes(self) -> frozenset[str] | None:
        """The prefixes of the known file shares; None if they cannot be read."""
        return unpack_prefixes(self.raw["known"].get("B")) if "known" in self.raw else frozenset()

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

    @property
    def again(self) -> dict[str, str]:
        """The refresh of somebody else because of which a share's was repeated, by the share's id."""
        values = self.raw.get("again", {}).get("M", {})
        return {share: str(value["S"]) for share, value in values.items() if "S" in value}

    def texts(self, name: str) -> frozenset[str]:
        return frozenset(self.raw.get(name, {}).get("SS", ()))


def entry(folder: str) -> str:
    """Return the entry of `touched` for a folder or a share's prefix; EVERYTHING alone would mean more."""
    return EVERYTHING + (folder or "/")


def touches(touched: Touched, prefix: str) -> bool:
    """Whether a file share with this prefix can show an object of the touched folders."""
    if touched is None or EVERYTHING in touched:
        return True
    start = EVERYTHING + prefix
    return start in touched or any(each.startswith(start) for each in touched)


def within_limits(touched: frozenset[str]) -> frozenset[str]:
    """Return the same folders and prefixes, or everything if they are too many."""
    size = sum(len(each.encode()) for each in touched)
    is_short = len(touched) <= MOST_TOUCHED and size <= MOST_TOUCHED_BYTES
    return touched if is_short else frozenset({EVERYTHING})


@dataclass(frozen=True)
class Lengths:
    """The lengths of windows and of pauses between refreshes, in ms."""

    window: int
    pause: int  # from the last acceptance of a refresh to the next refresh

    @classmethod
    def of(cls, window_s: int, interval_s: int) -> Lengths:
        return cls(window_s * 1000, interval_s * 1000 + SPARE_MS)

    @property
    def furthest(self) -> int:
        """The longest valid time until a window is due; wrong clocks and other settings exceed it."""
        return max(self.window, self.pause, LONGEST_TRUST_MS) + SLACK_MS

    def next_refresh(self, item: Item) -> int:
        """Return when the next refresh may start: the current pause after the last acceptance."""
        not_before = item.number("not_before")
        if not_before is None:
            return 0
        written = item.number("pause")  # the pause at that time; older versions do not store it
        return not_before if written is None else not_before - written + self.pause


class Clock:
    """The time of DynamoDB's answers, which all functions share.

    Between answers, the faster of this machine's two clocks counts. The wall clock can be set back, and the
    monotonic clock stops while Lambda freezes the execution environment.
    """

    def __init__(self, source: Any = time) -> None:
        self.source = source
        self._behind = 0  # ms by which the wall clock is behind DynamoDB's clock
        self._set_at: tuple[int, float] | None = None  # the time at the last answer, and the monotonic s

    def now(self) -> int:
        wall = int(self.source.time() * 1000) + self._behind
        if self._set_at is None:
            return wall
        then, monotonic = self._set_at
        return max(wall, then + int((self.source.monotonic() - monotonic) * 1000))

    def monotonic(self) -> float:
        """Return the s of the monotonic clock."""
        return float(self.source.monotonic())

    def sleep(self, seconds: float) -> None:
        self.source.sleep(seconds)

    def ask(self, call: Callable[[], T]) -> T:
        """Call DynamoDB and set the clock by its answer or error."""
        sent = self.monotonic()
        try:
            answer = call()
        except ClientError as refusal:
            self._set(dict(refusal.response), sent)
            raise
        self._set(answer, sent)
        return answer

    def _set(self, answer: Any, sent: float) -> None:
        """Set the clock if it is certainly wrong; the answer has the time in whole seconds."""
        received, took = self.source.time() * 1000, (self.monotonic() - sent) * 1000
        try:
            date = answer["ResponseMetadata"]["HTTPHeaders"]["date"]
            told = parsedate_to_datetime(date).timestamp() * 1000
        except (KeyError, TypeError, ValueError):  # no answer of AWS: keep the clock
            return
        least = told - received
        most = least + took + 1000
        if not least - RIGHT_MS <= self._behind <= most + RIGHT_MS:
            self._behind = round((least + most) / 2)
        self._set_at = int(received) + self._behind, self.monotonic()


class LambdaFormatter(logging.Formatter):
    """The format of Lambda's Python runtime: [LEVEL], time, request id, message."""

    request_id = "-"

    def __init__(self) -> None:
        super().__init__("[%(levelname)s]\t%(asctime)s.%(msecs)03dZ\t%(request)s\t%(message)s")
        self.datefmt = "%Y-%m-%dT%H:%M:%S"
        self.converter = time.gmtime

    def format(self, record: logging.LogRecord) -> str:
        record.request = LambdaFormatter.request_id
        return super().format(record)


def log_as_lambda_does(logger: logging.Logger, request_id: str) -> None:
    """Set the level; add a handler if the runtime has none, as in an emulator."""
    LambdaFormatter.request_id = request_id
    root = logging.getLogger()
    if not root.handlers:
        handler = logging.StreamHandler()
        handler.setFormatter(LambdaFormatter())
        root.addHandler(handler)
    logger.setLevel(LEVELS.get(os.environ.get("LOG_LEVEL", "INFO").upper(), logging.INFO))
