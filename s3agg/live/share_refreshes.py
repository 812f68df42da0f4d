"""The refreshes of file shares in the refresh function's log: accepted, and complete (DESIGN 2b)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from s3agg.aws.clock import from_ms
from s3agg.live.log_lines import REFRESHED, LogLine

NOTIFICATION = ", notification: "  # in both lines, of an acceptance and of a completion
ACCEPTED = re.compile(r"Refreshing file share: (\S+), notification: (\S+)")
COMPLETE = re.compile(r"File share complete: (\S+), notification: (\S+), took: (-?\d+) ms")
NO_ID = "-"  # in the line of an acceptance without a notification's id
# Of a whole bucket. Older functions wrote "Refresh complete".
OF_BUCKET = re.compile(rf"Refresh (?:accepted|complete) for bucket: (\S+), started: (\d+){REFRESHED}(.+)")


@dataclass(frozen=True)
class ShareRefresh:
    """A share's refresh: its gateway accepted it, and has finished it if `complete` is known."""

    share: str
    notification: str
    accepted: datetime
    complete: datetime | None = None
    took_s: float | None = None  # by the gateway


@dataclass(frozen=True)
class History:
    """What the log tells of the last `hours`.

    `shares` holds the refreshes of each share, by its ARN, in the order of their acceptance. `starts` holds
    when the last refresh started that every share of a bucket accepted, by the bucket's name.
    """

    hours: int
    shares: Mapping[str, Sequence[ShareRefresh]]
    starts: Mapping[str, datetime]


def history(lines: Sequence[LogLine], hours: int) -> History:
    """Return the refreshes of all shares in the lines, which are all lines of the last `hours`."""
    shares: dict[str, list[ShareRefresh]] = {}
    for refresh in of_lines(lines):
        shares.setdefault(refresh.share, []).append(refresh)
    starts: dict[str, datetime] = {}
    for line in lines:
        if found := OF_BUCKET.search(line.message):
            start = from_ms(int(found[2]))
            starts[found[1]] = max(start, starts.get(found[1], start))
    return History(hours, shares, starts)


def of_lines(lines: Iterable[LogLine]) -> list[ShareRefresh]:
    """Return the refreshes that the lines tell of, in the order of their acceptance.

    A completion without its acceptance is of somebody else's refresh, or of one before the first line.
    """
    accepted: dict[object, tuple[str, str, datetime]] = {}
    complete: dict[str, tuple[datetime, float]] = {}
    for line in lines:
        if found := ACCEPTED.search(line.message):
            # AWS's answer need not have a notification's id: then each acceptance is one of its own.
            key = (found[1], line.time) if found[2] == NO_ID else found[2]
            accepted.setdefault(key, (found[1], found[2], from_ms(line.time)))
        elif found := COMPLETE.search(line.message):
            complete.setdefault(found[2], (from_ms(line.time), int(found[3]) / 1000))
    refreshes = [
        ShareRefresh(share, notification, at, *complete.get(notification, (None, None)))
        for share, notification, at in accepted.values()
    ]
    return sorted(refreshes, key=lambda refresh: refresh.accepted)
