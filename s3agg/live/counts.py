"""Counts of the last hour and day, from CloudWatch metrics and from the functions' logs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from s3agg.aws.clock import from_ms, to_ms
from s3agg.aws.session import Aws
from s3agg.live import log_lines, metrics, share_refreshes
from s3agg.live.log_lines import EVENT, REFRESHED, LogLine
from s3agg.live.metrics import HOUR_S, Metric
from s3agg.live.share_refreshes import NOTIFICATION, History
from s3agg.resources.log_group import log_group_of
from s3agg.settings import Names

PARTS = {1: 12, 24: 24}  # the number of bars in the chart of the last hours
PERIOD_S = 300  # of the metrics: a twelfth of an hour
# A limit for a busy stack, whose lines of a day take long to read: about ten pages (FACTS 35).
PATIENCE_S = 5.0


@dataclass(frozen=True)
class Counted:
    """A count of the last hours: the total, and equal parts of the time, oldest first.

    The total is None if nothing is known. There are no parts if the times are unknown.
    """

    total: int | None
    over_time: tuple[int, ...]


UNKNOWN = Counted(None, ())


@dataclass(frozen=True)
class Invocations:
    """A function's invocations, errors and throttles in the last `hours`.

    A total is None if CloudWatch has no data of the last day: a function that never ran has none.

    `delivery_failures` counts the failed events that Lambda could not send to the dead-letter queue.
    """

    function: str
    hours: int
    invocations: Counted
    errors: Counted
    throttles: Counted
    delivery_failures: Counted = UNKNOWN


@dataclass(frozen=True)
class Aggregated:
    """The events and accepted refreshes in the functions' logs of the last `hours`.

    If `complete` is False, not all log lines were read: both counts are minimums, without parts. A total is
    None if no line was read.
    """

    hours: int
    events: Counted
    refreshes: Counted
    events_per_refresh: float | None
    complete: bool


@dataclass(frozen=True)
class Logged:
    """What the functions' logs tell: the counts of the last hour and the last day, and the shares' refreshes.

    `history` covers the last day, or the last hour if not all lines of the day were read. It is None if not
    even those of the last hour were.
    """

    aggregated: Sequence[Aggregated]
    history: History | None


def count_invocations(aws: Aws, functions: Sequence[str]) -> list[Invocations]:
    """Return the functions' CloudWatch counts of the last hour and the last day."""
    names = ("Invocations", "Errors", "Throttles", "DestinationDeliveryFailures")
    wanted = {
        f"q{number}_{name.lower()}": Metric("AWS/Lambda", name, {"FunctionName": function})
        for number, function in enumerate(functions)
        for name in names
    }
    values = metrics.values(aws, wanted, max(PARTS), PERIOD_S)
    now = from_ms(aws.clock.time() * 1000)
    return [
        Invocations(
            function,
            hours,
            *(_of_metric(values[f"q{number}_{name.lower()}"], now, hours) for name in names),
        )
        for hours in PARTS
        for number, function in enumerate(functions)
    ]


def read_logs(aws: Aws, names: Names) -> Logged:
    """Read the events and refreshes in the functions' logs of the last hour and the last day.

    The last hour is read separately: lines come oldest first, and the limit may cut off the rest of the day.
    A query for the refreshes of buckets and those of shares together takes fewer calls than two (FACTS 35).
    """
    now = from_ms(aws.clock.time() * 1000)
    hour_ago, day_ago = now - timedelta(hours=1), now - timedelta(hours=24)
    queries = [
        _Query(aws, log_group_of(function), containing, since, until)
        for function, containing in (
            (names.aggregator, [EVENT]),
            (names.refresher, [REFRESHED, NOTIFICATION]),
        )
        for since, until in ((hour_ago, now), (day_ago, hour_ago))
    ]
    hour_events, more_events, hour_refreshes, more_refreshes = aws.side_by_side(_Query.read, queries)
    aggregated = [
        _events_and_refreshes(1, now, [hour_events], [hour_refreshes]),
        _events_and_refreshes(24, now, [more_events, hour_events], [more_refreshes, hour_refreshes]),
    ]
    history = None
    if hour_refreshes.complete and more_refreshes.complete:
        history = share_refreshes.history([*more_refreshes.told, *hour_refreshes.told], 24)
    elif hour_refreshes.complete:
        history = share_refreshes.history(hour_refreshes.told, 1)
    return Logged(aggregated, history)


@dataclass(frozen=True)
class _Lines:
    """The times of the lines to count, and the lines that tell of refreshes.

    `complete` is False if not all were read.
    """

    moments: Sequence[datetime]
    told: Sequence[LogLine]
    complete: bool


@dataclass(frozen=True)
class _Query:
    """The lines of a log group that contain one of the texts. Those with the first text are counted."""

    aws: Aws
    group: str
    containing: Sequence[str]
    since: datetime
    until: datetime

    def read(self) -> _Lines:
        """Read the lines for PATIENCE_S at most."""
        clock = self.aws.clock
        till = clock.monotonic() + PATIENCE_S
        found = log_lines.pages(
            self.aws, self.group, to_ms(self.since), until=to_ms(self.until), containing=self.containing
        )
        moments: list[datetime] = []
        told: list[LogLine] = []
        for page in found:
            if clock.monotonic() > till:
                return _Lines(moments, told, complete=False)
            moments += [from_ms(line.time) for line in page if self.containing[0] in line.message]
            if NOTIFICATION in self.containing:
                told += page
        return _Lines(moments, told, complete=True)


def _events_and_refreshes(
    hours: int, now: datetime, events: Sequence[_Lines], refreshes: Sequence[_Lines]
) -> Aggregated:
    handled, accepted = (_of_lines(lines, now, hours) for lines in (events, refreshes))
    complete = all(each.complete for each in (*events, *refreshes))
    ratio = None
    if complete and handled.total is not None and accepted.total:
        ratio = handled.total / accepted.total
    return Aggregated(hours, handled, accepted, ratio, complete)


def _of_lines(lines: Sequence[_Lines], now: datetime, hours: int) -> Counted:
    counted = _counted([(moment, 1) for each in lines for moment in each.moments], now, hours)
    return counted if all(each.complete for each in lines) else Counted(counted.total or None, ())


def _of_metric(values: Sequence[tuple[datetime, float]], now: datetime, hours: int) -> Counted:
    return _counted(values, now, hours) if values else UNKNOWN


def _counted(values: Iterable[tuple[datetime, float]], now: datetime, hours: int) -> Counted:
    """Sum the values of the last hours; the time of a metric's value is the start of its period."""
    parts = [0.0] * PARTS[hours]
    part_s = hours * HOUR_S / len(parts)
    begin = now - timedelta(hours=hours)
    for moment, value in values:
        after_s = (moment - begin).total_seconds()
        if after_s > -PERIOD_S:  # a period that overlaps the start counts in full
            parts[min(max(int(after_s // part_s), 0), len(parts) - 1)] += value
    return Counted(round(sum(parts)), tuple(round(part) for part in parts))
