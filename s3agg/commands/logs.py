"""logs: the lines of both functions, merged by time; what comes later, too, if asked to follow."""

from __future__ import annotations

import heapq
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Literal

from s3agg.aws.clock import from_ms
from s3agg.aws.refusals import describing_errors
from s3agg.aws.session import Aws
from s3agg.errors import S3aggError, UsageProblem
from s3agg.live import log_lines
from s3agg.live.log_lines import LogLine
from s3agg.resources import log_group
from s3agg.settings import Names, check_bucket_name

Function = Literal["aggregator", "refresh"]
BOTH: tuple[Function, ...] = ("aggregator", "refresh")

LOOK_S = 2.0  # between two looks, when following
# CloudWatch Logs shows some lines later than younger ones: each look goes this far back beyond the last line.
LATE_MS = 30_000

AGE = re.compile(r"(\d+)([smhd])")
UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
# As the functions, and AWS's runtime, write them: [LEVEL], time, request id, message.
LEVELLED = re.compile(r"\[(?P<level>[A-Z]+)\]\t\S+\t(?P<request>\S+)\t(?P<message>.*)", re.DOTALL)
PLATFORM = re.compile(r"(?:START|END|REPORT) RequestId: (?P<request>\S+)")


@dataclass(frozen=True)
class Entry:
    """One event of a function's log; without a level it is the platform's, or Python's own."""

    time: datetime
    function: Function
    level: str
    request_id: str
    message: str


def read(
    aws: Aws,
    names: Names,
    *,
    since: datetime,
    functions: Sequence[Function] = BOTH,
    bucket: str | None = None,
    follow: bool = False,
) -> Iterator[Entry]:
    """The functions' log events since then, in their order; only those that name the bucket, if one is given.

    Page by page: there may be more of them than memory. With `follow` this goes on until it is given up.
    Raises S3aggError where there is no log group, UsageProblem for what cannot name a bucket.
    """
    if bucket is not None:
        check_bucket_name(bucket)
    begin = max(round(since.timestamp() * 1000), 0)  # CloudWatch Logs takes no earlier one
    logs = [_Log(aws, function, _group(names, function), begin) for function in functions]
    if not any(aws.side_by_side(lambda log: log.is_there(), logs)):
        raise S3aggError(
            f"There are no logs of a stack {names.stack}", "Check --stack, --region and --profile"
        )
    while True:
        entries = heapq.merge(*(log.look() for log in logs), key=lambda each: each.time)
        try:
            yield from (entry for entry in entries if bucket is None or _names(entry, bucket))
        except S3aggError as error:
            if not follow:
                raise
            aws.warn(f"{error} Looking on.")  # what was told is known, and nothing is told twice
        if not follow:
            return
        aws.clock.sleep(LOOK_S)


def since(text: str, now: datetime) -> datetime:
    """The moment that `10m`, `2h`, or a time in ISO 8601 (of UTC, if it names no zone) means.

    Raises UsageProblem for anything else.
    """
    if age := AGE.fullmatch(text):
        try:
            return now - timedelta(**{UNITS[age[2]]: int(age[1])})
        except OverflowError:
            pass
    try:
        moment = datetime.fromisoformat(text.replace("Z", "+00:00"))  # Python 3.10 does not read the Z
    except ValueError as error:
        raise UsageProblem(
            f"{text!r} is no moment", "Say how long ago (30s, 10m, 2h, 7d), or when (2026-01-31T08:00:00Z)"
        ) from error
    return moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)


@dataclass
class _Log:
    """One function's log group, and what of it has been told."""

    aws: Aws
    function: Function
    group: str
    since: int  # ms since 1970
    printed: dict[str, int] = field(default_factory=dict)  # when they were, by the ids of the last lines

    def is_there(self) -> bool:
        with describing_errors(f"looking at log group {self.group}"):
            return log_group.described(self.aws, self.group) is not None

    def look(self) -> Iterator[Entry]:
        """What has not been told yet, as the pages come, the oldest first."""
        with describing_errors(f"reading log group {self.group}"):
            for line in log_lines.read(self.aws, self.group, self.since):
                if line.id not in self.printed:
                    yield self._entry(line)
                    self.printed[line.id] = line.time  # not before it is: the other log may fail meanwhile
                if line.time > self.since + 2 * LATE_MS:  # not each time, as it goes through all that is told
                    self._move_on(line.time)
        self._move_on(max(self.printed.values(), default=0))

    def _move_on(self, youngest: int) -> None:
        """Look no further back, and remember no more, than lines that come late need."""
        self.since = max(self.since, youngest - LATE_MS)
        self.printed = {known: time for known, time in self.printed.items() if time >= self.since}

    def _entry(self, line: LogLine) -> Entry:
        time = from_ms(line.time)
        if found := LEVELLED.fullmatch(line.message):
            return Entry(time, self.function, found["level"], found["request"], found["message"])
        platform = PLATFORM.match(line.message)
        return Entry(time, self.function, "", platform["request"] if platform else "", line.message)


def _group(names: Names, function: Function) -> str:
    return log_group.log_group_of(names.aggregator if function == "aggregator" else names.refresher)


def _names(entry: Entry, bucket: str) -> bool:
    return re.search(rf"[Bb]ucket: {re.escape(bucket)}(?![\w.-])", entry.message) is not None
