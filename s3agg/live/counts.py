"""How much happened in the last hour and day: by CloudWatch's metrics, and by the functions' logs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from s3agg.aws.clock import from_ms, to_ms
from s3agg.aws.session import Aws
from s3agg.live import log_lines, metrics
from s3agg.live.log_lines import COMPLETE, EVENT
from s3agg.live.metrics import HOUR_S, Metric
from s3agg.resources.log_group import log_group_of
from s3agg.settings import Names

PARTS = {1: 12, 24: 24}  # into how many equal parts these last hours are divided, to be drawn
PERIOD_S = 300  # of the metrics: a twelfth of an hour
# A busy stack has more lines in a day than anybody wants to wait for; a page may also be an empty one.
MOST_PAGES = 20
PATIENCE_S = 3.0


@dataclass(frozen=True)
class Counted:
    """How often something happened in some last hours: in all, and in equal parts, the oldest first.

    Where it is not known when, or nothing at all, there are no parts.
    """

    total: int
    over_time: tuple[int, ...]


@dataclass(frozen=True)
class Invocations:
    """How often a function ran, failed and was held back, within `hours` until now."""

    function: str
    hours: int
    invocations: Counted
    errors: Counted
    throttles: Counted


@dataclass(frozen=True)
class Aggregated:
    """What the functions' log lines of the last `hours` tell: events heeded, refreshes completed.

    `complete` is False where there are more lines than were read, so more of both, and nobody knows when.
    """

    hours: int
    events: Counted
    refreshes: Counted
    events_per_refresh: float | None
    complete: bool


def invocations(aws: Aws, functions: Sequence[str]) -> list[Invocations]:
    """What CloudWatch counted of the functions in the last hour and the last day."""
    names = ("Invocations", "Errors", "Throttles")
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


def aggregated(aws: Aws, names: Names) -> list[Aggregated]:
    """What the functions' logs tell of the last hour and the last day.

    The last hour is read apart from the rest of the day: lines come the oldest first, and may be too many.
    """
    now = from_ms(aws.clock.time() * 1000)
    hour_ago, day_ago = now - timedelta(hours=1), now - timedelta(hours=24)
    asked = [
        _Asked(aws, log_group_of(function), containing, since, until)
        for function, containing in ((names.aggregator, EVENT), (names.refresher, COMPLETE))
        for since, until in ((hour_ago, now), (day_ago, hour_ago))
    ]
    hour_events, more_events, hour_refreshes, more_refreshes = aws.side_by_side(_Asked.read, asked)
    return [
        _aggregate(1, now, [hour_events], [hour_refreshes]),
        _aggregate(24, now, [more_events, hour_events], [more_refreshes, hour_refreshes]),
    ]


@dataclass(frozen=True)
class _Lines:
    """The moments of some lines of a log; not `complete` if there are more."""

    moments: Sequence[datetime]
    complete: bool


@dataclass(frozen=True)
class _Asked:
    """Which lines of a log are counted."""

    aws: Aws
    group: str
    containing: str
    since: datetime
    until: datetime

    def read(self) -> _Lines:
        """Read as many of them as patience allows."""
        clock = self.aws.clock
        till = clock.monotonic() + PATIENCE_S
        found = log_lines.pages(
            self.aws, self.group, to_ms(self.since), until=to_ms(self.until), containing=self.containing
        )
        moments: list[datetime] = []
        for number, page in enumerate(found):
            if number == MOST_PAGES or clock.monotonic() > till:
                return _Lines(moments, complete=False)
            moments += [from_ms(line.time) for line in page]
        return _Lines(moments, complete=True)


def _aggregate(
    hours: int, now: datetime, events: Sequence[_Lines], refreshes: Sequence[_Lines]
) -> Aggregated:
    handled, made = (_of_lines(lines, now, hours) for lines in (events, refreshes))
    complete = all(each.complete for each in (*events, *refreshes))
    ratio = handled.total / made.total if complete and made.total else None
    return Aggregated(hours, handled, made, ratio, complete)


def _of_lines(lines: Sequence[_Lines], now: datetime, hours: int) -> Counted:
    counted = _counted([(moment, 1) for each in lines for moment in each.moments], now, hours)
    return counted if all(each.complete for each in lines) else Counted(counted.total, ())


def _of_metric(values: Sequence[tuple[datetime, float]], now: datetime, hours: int) -> Counted:
    return _counted(values, now, hours) if values else Counted(0, ())


def _counted(values: Iterable[tuple[datetime, float]], now: datetime, hours: int) -> Counted:
    """Count what happened in the last hours, each with its moment; a metric's is where its period begins."""
    parts = [0.0] * PARTS[hours]
    part_s = hours * HOUR_S / len(parts)
    begin = now - timedelta(hours=hours)
    for moment, value in values:
        after_s = (moment - begin).total_seconds()
        if after_s > -PERIOD_S:  # a period that reaches into these hours counts as of them
            parts[min(max(int(after_s // part_s), 0), len(parts) - 1)] += value
    return Counted(round(sum(parts)), tuple(round(part) for part in parts))
