"""The refreshes of file shares in the refresh function's log: accepted, and complete (DESIGN 2b)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from s3agg.aws.clock import from_ms
from s3agg.live.log_lines import LogLine

NOTIFICATION = ", notification: "  # in both lines, of an acceptance and of a completion
ACCEPTED = re.compile(r"Refreshing file share: (\S+), notification: (\S+)")
COMPLETE = re.compile(r"File share complete: (\S+), notification: (\S+), took: (-?\d+) ms")


@dataclass(frozen=True)
class ShareRefresh:
    """A share's refresh: its gateway accepted it, and has finished it if `complete` is known."""

    share: str
    notification: str
    accepted: datetime
    complete: datetime | None = None
    took_s: float | None = None  # by the gateway


def of_lines(lines: Iterable[LogLine]) -> list[ShareRefresh]:
    """Return the refreshes that the lines tell of, in the order of their acceptance.

    A completion without its acceptance is of somebody else's refresh, or of one before the first line.
    """
    accepted: dict[str, tuple[str, datetime]] = {}
    complete: dict[str, tuple[datetime, float]] = {}
    for line in lines:
        if found := ACCEPTED.search(line.message):
            accepted.setdefault(found[2], (found[1], from_ms(line.time)))
        elif found := COMPLETE.search(line.message):
            complete.setdefault(found[2], (from_ms(line.time), int(found[3]) / 1000))
    refreshes = [
        ShareRefresh(share, notification, at, *complete.get(notification, (None, None)))
        for notification, (share, at) in accepted.items()
    ]
    return sorted(refreshes, key=lambda refresh: refresh.accepted)
