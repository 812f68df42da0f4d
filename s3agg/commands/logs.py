"""logs: show the log lines of both functions merged by time; with --follow, new lines too."""

from __future__ import annotations

import heapq
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone

from s3agg.aws.refusals import describing_errors
from s3agg.aws.session import Aws
from s3agg.errors import S3aggError, UsageProblem
from s3agg.live import log_lines
from s3agg.live.log_entries import Copies, Entry, Function, OfBucket, entry_of, without_traceback
from s3agg.resources import log_group
from s3agg.settings import ANY_REGION, Names, check_bucket_name
from s3agg.stack.elsewhere import missing_by_role

BOTH: tuple[Function, ...] = ("aggregator", "refresh")

LOOK_S = 2.0  # between two reads when following
# CloudWatch Logs may show a line later than newer ones. So each read starts this long before the last line.
LATE_MS = 30_000

AGE = re.compile(r"(\d+)([smhd])|(\d{1,7})")  # without a unit in seconds; a longer number may be a date
UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def read(
    aws: Aws,
    names: Names,
    *,
    since: datetime,
    functions: Sequence[Function] = BOTH,
    bucket: str | None = None,
    level: str = "",
    everything: bool = False,
    follow: bool = False,
) -> Iterator[Entry]:
    """Yield the functions' log events in the order of time.

    With `bucket`, only lines of invocations that name it; with `level`, only lines of at least that level.
    `everything` includes tracebacks, and what Lambda writes: lines of every invocation, and copies of errors.
    Events are read page by page to save memory. With `follow` the iteration does not end by itself.
    Raises NoStack or S3aggError if there is no log group, UsageProblem for an invalid bucket name.
    """
    selected = None if bucket is None else OfBucket(check_bucket_name(bucket, ANY_REGION))
    begin = max(round(since.timestamp() * 1000), 0)  # the earliest time of CloudWatch Logs
    logs = [_Log(aws, function, _group(names, function), begin) for function in functions]
    if not any(aws.side_by_side(lambda log: log.exists(), logs)):
        raise missing_by_role(aws, names) or S3aggError(
            f"No log groups found for stack {names.stack}", "Check --stack, --region and --profile"
        )
    copies = Copies()
    while True:
        merged = heapq.merge(*(log.new_entries() for log in logs), key=lambda each: each.time)
        entries = merged if everything else (each for each in copies.drop(merged) if not each.is_platform)
        try:
            for entry in _of_bucket(entries, selected):
                if not level or entry.reaches(level):
                    shown = entry.message if everything else without_traceback(entry.message)
                    yield replace(entry, message=shown)
        except S3aggError as error:
            if not follow:
                raise
            aws.warn(error, "Retrying.")  # printed lines are remembered and not repeated
        if not follow:
            return
        aws.clock.sleep(LOOK_S)


def _of_bucket(entries: Iterable[Entry], selected: OfBucket | None) -> Iterator[Entry]:
    if selected is None:
        yield from entries
        return
    for entry in entries:
        yield from selected.add(entry)
    yield from selected.decided()


def since(text: str, now: datetime) -> datetime:
    """Parse an age (`10m`, `2h`, seconds without a unit) or an ISO 8601 time (UTC if it has no zone).

    Raises UsageProblem for any other text, and for a time after `now`, which is in UTC.
    """
    if age := AGE.fullmatch(text):
        try:
            return now - timedelta(**{UNITS[age[2] or "s"]: int(age[1] or age[3])})
        except OverflowError:
            pass
    try:
        moment = datetime.fromisoformat(text.replace("Z", "+00:00"))  # Python 3.10 does not read the Z
    except ValueError as error:
        raise UsageProblem(
            f"{text!r} is not an age or a time",
            "Pass an age (90, 30s, 10m, 2h, 7d) or a time (2026-01-31T08:00:00Z)",
        ) from error
    moment = moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)
    if moment > now:
        raise UsageProblem(
            f"{text} is in the future: it is now {now:%Y-%m-%dT%H:%M:%SZ}",
            "Pass an earlier time, or an age (30s, 10m, 2h, 7d)",
        )
    return moment


@dataclass
class _Log:
    """A function's log group, and the lines already printed."""

    aws: Aws
    function: Function
    group: str
    since: int  # ms since 1970
    printed: dict[str, int] = field(default_factory=dict)  # times of the last lines by their ids

    def exists(self) -> bool:
        with describing_errors(f"looking up log group {self.group}"):
            return log_group.described(self.aws, self.group) is not None

    def new_entries(self) -> Iterator[Entry]:
        """Yield the lines that have not been printed yet, oldest first."""
        with describing_errors(f"reading log group {self.group}"):
            for line in log_lines.read(self.aws, self.group, self.since):
                if line.id not in self.printed:
                    yield entry_of(line, self.function)
                    self.printed[line.id] = (
                        line.time
                    )  # only after the yield, as the other log may fail meanwhile
                if line.time > self.since + 2 * LATE_MS:  # not for each line, as it copies `printed`
                    self._move_on(line.time)
        self._move_on(max(self.printed.values(), default=0))

    def _move_on(self, youngest: int) -> None:
        """Move `since` on, and forget lines that are older than any late line."""
        self.since = max(self.since, youngest - LATE_MS)
        self.printed = {known: time for known, time in self.printed.items() if time >= self.since}


def _group(names: Names, function: Function) -> str:
    return log_group.log_group_of(names.aggregator if function == "aggregator" else names.refresher)
