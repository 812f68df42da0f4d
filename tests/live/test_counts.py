"""The counts of the last hour and the last day."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from s3agg.aws.clock import from_ms
from s3agg.live import counts
from s3agg.live.counts import Counted
from s3agg.settings import Names
from tests.support import aws as support
from tests.support.aws import World

world = support.world

NAMES = Names()
MIN_MS = 60_000
SKIPPED = "[INFO]\tx\ty\tRefresh for bucket: b within refresh window, skipping. key=k"
COMPLETE = "[INFO]\tx\ty\tRefresh accepted for bucket: b, started: 1, shares: none"
ACCEPTED = "[INFO]\tx\ty\tRefreshing file share: arn:1, notification: n"
SHARE_COMPLETE = "[INFO]\tx\ty\tFile share complete: arn:1, notification: n, took: 2500 ms"


def now_ms(world: World) -> int:
    return int(world.clock.time() * 1000)


class Logs:
    """Log groups of a million lines, which moto would not hold: lines by their group and age in ms."""

    def __init__(self, world: World, **lines: list[tuple[int, str]]) -> None:
        self.world = world
        self.lines = {f"/aws/lambda/{group}": of_group for group, of_group in lines.items()}
        world.wire.answer("logs:FilterLogEvents", self.answer)

    def answer(self) -> Mapping[str, Any]:
        asked = self.world.wire.made("logs:FilterLogEvents")[-1]
        now = now_ms(self.world)
        return {
            "events": [
                {"timestamp": now - age, "message": message, "eventId": str(number)}
                for number, (age, message) in enumerate(self.lines.get(asked["logGroupName"], []))
                if asked["startTime"] <= now - age <= asked["endTime"]
            ]
        }


def test_invocations_are_counted_of_the_last_hour_and_day_by_one_call(world: World) -> None:
    now = from_ms(now_ms(world))
    times = [now - timedelta(minutes=minutes) for minutes in (10, 90, 23 * 60)]
    answer = {
        "MetricDataResults": [
            {"Id": "q0_invocations", "Timestamps": times, "Values": [5.0, 7.0, 1.0]},
            {"Id": "q1_throttles", "Timestamps": times[:1], "Values": [2.0]},
            {"Id": "q0_destinationdeliveryfailures", "Timestamps": times[1:2], "Values": [3.0]},
        ]
    }
    world.wire.answer("cloudwatch:GetMetricData", answer)

    found = {
        (each.function, each.hours): each for each in counts.count_invocations(world.aws, ["One", "Two"])
    }

    assert found["One", 1].invocations == Counted(5, (0,) * 9 + (0, 5, 0))
    assert found["One", 24].invocations == Counted(13, (0, 1) + (0,) * 20 + (7, 5))
    assert found["Two", 1].throttles.total == 2
    assert [found["One", hours].delivery_failures.total for hours in (1, 24)] == [0, 3]
    assert found["Two", 24].errors == Counted(None, ())  # of which CloudWatch knows nothing
    assert len(world.wire.made("cloudwatch:GetMetricData")) == 1


def test_a_period_that_began_just_before_the_hour_counts_with_its_first_part(world: World) -> None:
    begins = [from_ms(now_ms(world)) - timedelta(minutes=minutes) for minutes in (64, 65)]
    results = [{"Id": "q0_errors", "Timestamps": begins, "Values": [3.0, 4.0]}]
    world.wire.answer("cloudwatch:GetMetricData", {"MetricDataResults": results})

    hour, day = counts.count_invocations(world.aws, ["One"])

    assert hour.errors == Counted(3, (3,) + (0,) * 11)
    assert day.errors.total == 7


def test_events_and_refreshes_are_counted_by_the_functions_lines(world: World) -> None:
    Logs(
        world,
        S3EventAggregator=[
            (2 * 60 * MIN_MS, SKIPPED),
            *[(minute * MIN_MS, SKIPPED) for minute in (59, 2, 1)],
        ],
        S3StorageGatewayRefresh=[(3 * 60 * MIN_MS, COMPLETE), (MIN_MS, COMPLETE)],
    )

    hour, day = counts.read_logs(world.aws, NAMES).aggregated

    assert (hour.hours, hour.events, hour.refreshes.total) == (1, Counted(3, (1, *[0] * 10, 2)), 1)
    assert (day.hours, day.events.total, day.refreshes.total) == (24, 4, 2)
    assert (hour.events_per_refresh, day.events_per_refresh) == (3, 2)
    assert hour.complete
    assert day.complete


def test_the_refreshes_of_file_shares_are_read_with_those_of_buckets(world: World) -> None:
    """By the same calls: FilterLogEvents has a small quota."""
    Logs(
        world,
        S3StorageGatewayRefresh=[
            (90 * MIN_MS, ACCEPTED),
            (2 * MIN_MS, COMPLETE),
            (MIN_MS, SHARE_COMPLETE),
            (MIN_MS, "another line"),
        ],
    )

    logged = counts.read_logs(world.aws, NAMES)

    patterns = [call["filterPattern"] for call in world.wire.made("logs:FilterLogEvents")]
    assert sorted(patterns) == 2 * ['"for bucket: "'] + 2 * ['?", shares: " ?", notification: "']
    assert [each.refreshes.total for each in logged.aggregated] == [1, 1]
    assert logged.history is not None
    assert logged.history.hours == 24
    assert [each.took_s for each in logged.history.shares["arn:1"]] == [2.5]


@pytest.mark.parametrize(("cut_off", "hours"), [("day", 1), ("hour", None)])
def test_the_refreshes_of_file_shares_are_those_of_the_hour_if_the_day_is_too_long(
    world: World, cut_off: str, hours: int | None
) -> None:
    def page() -> dict[str, Any]:
        asked = world.wire.made("logs:FilterLogEvents")[-1]
        part = "hour" if asked["startTime"] >= now_ms(world) - 61 * MIN_MS else "day"
        more = {"nextToken": f"{asked.get('nextToken', '')}."} if part == cut_off else {}
        return {"events": [], **more}

    world.wire.answer("logs:FilterLogEvents", page)

    history = counts.read_logs(world.aws, NAMES).history

    assert (history.hours if history else None) == hours


def test_lines_of_other_things_are_not_counted(world: World) -> None:
    others = ["START RequestId: y", "Written by the gateway itself, ignoring. Bucket: b key=k"]
    Logs(world, S3EventAggregator=[(MIN_MS, line) for line in others])

    hour, _ = counts.read_logs(world.aws, NAMES).aggregated

    assert (hour.events.total, hour.refreshes.total, hour.events_per_refresh) == (0, 0, None)


def test_a_line_on_the_border_between_hour_and_day_is_counted_once(world: World) -> None:
    Logs(world, S3EventAggregator=[(60 * MIN_MS, SKIPPED)])

    hour, day = counts.read_logs(world.aws, NAMES).aggregated

    assert (hour.events.total, day.events.total) == (1, 1)


def test_a_log_that_is_too_long_is_read_in_part_and_the_last_hour_all_the_same(world: World) -> None:
    many = [{"timestamp": now_ms(world) - 120 * MIN_MS, "message": SKIPPED, "eventId": "1"}] * 10
    few = [{"timestamp": now_ms(world) - MIN_MS, "message": SKIPPED, "eventId": "1"}]

    def page() -> dict[str, Any]:
        asked = world.wire.made("logs:FilterLogEvents")[-1]
        if not asked["logGroupName"].endswith(NAMES.aggregator):
            return {"events": []}
        in_hour = asked["startTime"] >= now_ms(world) - 60 * MIN_MS
        return {"events": few} if in_hour else {"events": many, "nextToken": f"{asked.get('nextToken', '')}."}

    world.wire.answer("logs:FilterLogEvents", page)

    hour, day = counts.read_logs(world.aws, NAMES).aggregated

    assert (hour.events.total, hour.complete) == (1, True)
    assert 10 * counts.PATIENCE_S < (day.events.total or 0) < 25 * counts.PATIENCE_S  # of two pages a second
    assert not day.complete
    assert day.events.over_time == ()  # the times of the other lines are unknown
    assert day.events_per_refresh is None


def test_pages_without_lines_are_not_the_end_of_a_log(world: World) -> None:
    line = {"timestamp": now_ms(world) - MIN_MS, "message": SKIPPED, "eventId": "1"}
    for number in reversed(range(7)):
        more = {"nextToken": f"{number}"} if number < 6 else {}
        page = {"events": [] if more else [line], **more}
        world.wire.answer("logs:FilterLogEvents", page, times=1)

    hour, _ = counts.read_logs(world.aws, NAMES).aggregated

    assert (hour.events.total, hour.complete) == (1, True)


def test_a_log_that_is_slow_is_read_for_a_few_seconds(world: World) -> None:
    def slow() -> dict[str, Any]:
        world.clock.sleep(1)
        return {"events": [], "nextToken": str(world.clock.time())}

    world.wire.answer("logs:FilterLogEvents", slow)
    begun = world.clock.waited

    hour, day = counts.read_logs(world.aws, NAMES).aggregated

    assert (hour.complete, day.complete) == (False, False)
    assert (hour.events, day.refreshes) == (counts.UNKNOWN, counts.UNKNOWN)
    assert world.clock.waited - begun <= 4 * (counts.PATIENCE_S + 2)


def test_without_log_groups_nothing_was_counted(world: World) -> None:
    hour, day = counts.read_logs(world.aws, NAMES).aggregated

    assert (hour.events.total, day.refreshes.total, day.complete) == (0, 0, True)


def test_a_log_that_may_not_be_read_is_not_taken_for_silence(world: World) -> None:
    world.wire.refuse("logs:FilterLogEvents", "AccessDeniedException")

    with pytest.raises(ClientError, match="AccessDenied"):
        counts.read_logs(world.aws, NAMES)
