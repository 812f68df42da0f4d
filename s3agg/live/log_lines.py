"""The functions' log lines, as CloudWatch Logs has them."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from s3agg.aws.session import Aws

# What the functions' lines say, at level INFO.
EVENT = "for bucket: "  # of an event that the aggregator has heeded; it is one of these two
SENT = "Sending refresh request for bucket: "
SKIPPED = "Refresh for bucket: "
COMPLETE = "Refresh complete for bucket: "


@dataclass(frozen=True)
class LogLine:
    """One event of a log group; `time` in ms since 1970. No other of the group has its `id`."""

    time: int
    message: str
    id: str = field(default="", compare=False)


def hides_lines(level: str) -> bool:
    """Whether a function with this LOG_LEVEL keeps these to itself; it takes any that `logging` knows."""
    number = int(level) if level.isdigit() else getattr(logging, level.upper(), None)
    return isinstance(number, int) and number > logging.INFO


def read(aws: Aws, group: str, since: int, containing: str = "") -> Iterator[LogLine]:
    """The lines of a log group since then (ms since 1970), the oldest first; none if there is no group."""
    for page in pages(aws, group, since, containing=containing):
        yield from page


def pages(
    aws: Aws, group: str, since: int, *, until: int | None = None, containing: str = ""
) -> Iterator[list[LogLine]]:
    """The lines of a log group since then, and before `until`, as CloudWatch Logs pages them."""
    more: dict[str, Any] = {"filterPattern": f'"{containing}"'} if containing else {}
    if until is not None:
        more["endTime"] = until - 1  # CloudWatch's includes it
    found = aws.logs.get_paginator("filter_log_events").paginate(logGroupName=group, startTime=since, **more)
    try:
        for page in found:
            # The filter is CloudWatch's; emulators take it less literally. And MiniStack gives no ids.
            yield [
                LogLine(event["timestamp"], event["message"].rstrip(), event.get("eventId") or repr(event))
                for event in page["events"]
                if containing in event.get("message", "")
            ]
    except aws.logs.exceptions.ResourceNotFoundException:
        return
