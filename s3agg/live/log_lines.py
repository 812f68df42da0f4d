"""The functions' log lines from CloudWatch Logs."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Any

from s3agg.aws.refusals import until_absent
from s3agg.aws.session import Aws

# The beginnings of the functions' lines at level INFO.
EVENT = "for bucket: "  # in each line of a handled event, which is one of the next two
SENT = "Sending refresh request for bucket: "
SKIPPED = "Refresh for bucket: "
REFRESHED = ", shares: "  # in the line of an accepted refresh, also in that of older functions

LEVELS = {"DEBUG": 10, "INFO": 20, "WARN": 30, "WARNING": 30, "ERROR": 40, "CRITICAL": 50}


@dataclass(frozen=True)
class LogLine:
    """One log event; `time` in ms since 1970, `id` unique in the log group."""

    time: int
    message: str
    id: str = field(default="", compare=False)


def hides_lines(level: str) -> bool:
    """Whether this LOG_LEVEL hides the lines at level INFO. The functions take an unknown one for INFO."""
    return LEVELS.get(level.upper(), LEVELS["INFO"]) > LEVELS["INFO"]


def read(aws: Aws, group: str, since: int, containing: str = "") -> Iterator[LogLine]:
    """Yield the lines of a log group from `since` (ms since 1970), oldest first; none without a group."""
    for page in pages(aws, group, since, containing=[containing] if containing else []):
        yield from page


def pages(
    aws: Aws, group: str, since: int, *, until: int | None = None, containing: Collection[str] = ()
) -> Iterator[list[LogLine]]:
    """Yield the pages of a log group from `since` and before `until` (ms since 1970).

    `containing` selects the lines that contain at least one of these texts.
    """
    more: dict[str, Any] = {"filterPattern": _any_of(containing)} if containing else {}
    if until is not None:
        more["endTime"] = until - 1  # endTime is inclusive
    found = aws.logs.get_paginator("filter_log_events").paginate(logGroupName=group, startTime=since, **more)
    for page in until_absent(found):
        # Filtered again, because emulators match less exactly. MiniStack returns no event ids.
        yield [
            LogLine(event["timestamp"], event["message"].rstrip(), event.get("eventId") or repr(event))
            for event in page["events"]
            if not containing or any(text in event.get("message", "") for text in containing)
        ]


def _any_of(texts: Collection[str]) -> str:
    """The filter pattern of lines with one of the texts (FACTS 43)."""
    quoted = [f'"{text}"' for text in texts]
    return quoted[0] if len(quoted) == 1 else " ".join(f"?{each}" for each in quoted)
