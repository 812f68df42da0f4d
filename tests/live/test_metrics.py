"""What is read of CloudWatch's metrics."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

from s3agg.live import metrics
from s3agg.live.metrics import HOUR_S, Metric
from tests.support import aws as support
from tests.support.aws import World

world = support.world

ERRORS = Metric("AWS/Lambda", "Errors", {"FunctionName": "One"})


def answer(world: World, *pages: dict[str, list[tuple[float, float]]]) -> datetime:
    """Have CloudWatch tell these values, each so many hours ago; the moment they are counted from."""
    now = datetime.fromtimestamp(world.clock.time(), timezone.utc)
    for number, page in reversed(list(enumerate(pages))):
        results = [
            {
                "Id": each,
                "Timestamps": [now - timedelta(hours=ago) for ago, _ in values],
                "Values": [value for _, value in values],
            }
            for each, values in page.items()
        ]
        more: dict[str, Any] = {"NextToken": "more"} if number + 1 < len(pages) else {}
        world.wire.answer("cloudwatch:GetMetricData", {"MetricDataResults": results, **more}, times=1)
    return now


def test_values_come_with_their_moments_and_from_all_pages(world: World) -> None:
    now = answer(world, {"a": [(2, 5.0)]}, {"a": [(1, 7.0)]})

    assert metrics.values(world.aws, {"a": ERRORS, "b": ERRORS}, 3, HOUR_S) == {
        "a": [(now - timedelta(hours=2), 5.0), (now - timedelta(hours=1), 7.0)],
        "b": [],
    }


def test_values_are_asked_for_by_the_clock_at_hand(world: World) -> None:
    metrics.values(world.aws, {"a": ERRORS}, 3, 300)

    (asked,) = world.wire.made("cloudwatch:GetMetricData")
    assert asked["EndTime"] == datetime.fromtimestamp(world.clock.time(), timezone.utc)
    assert (asked["EndTime"] - asked["StartTime"]).total_seconds() == 3 * HOUR_S
    assert asked["MetricDataQueries"][0]["MetricStat"]["Period"] == 300


def test_sums_tell_since_when_they_are(world: World) -> None:
    answer(world, {"a": [(2, 5.0), (30, 1.0)], "b": [(4, 2.0)]})
    summed = metrics.summed(world.aws, {"a": ERRORS, "b": ERRORS}, 720)

    assert (summed.sums, summed.hours) == ({"a": 6.0, "b": 2.0}, 30)


def test_what_has_no_values_sums_up_to_nothing_of_no_time(world: World) -> None:
    answer(world, {})
    summed = metrics.summed(world.aws, {"a": ERRORS}, 720)

    assert (summed.sums, summed.hours) == ({"a": 0.0}, 0)
