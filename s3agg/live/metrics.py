"""CloudWatch metrics: list them, read their values and sums."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

from s3agg.aws.session import Aws

HOUR_S = 3600


@dataclass(frozen=True)
class Metric:
    """A CloudWatch metric; `of` holds its dimensions."""

    namespace: str
    name: str
    of: Mapping[str, str]


@dataclass(frozen=True)
class Summed:
    """Sums of metrics, and the age of the earliest value in hours; 0 without values."""

    sums: Mapping[str, float]
    hours: float


def summed(aws: Aws, metrics: Mapping[str, Metric], hours: int) -> Summed:
    """Sum metrics over the last hours; their keys are query ids, `[a-z][a-z0-9_]*`."""
    found = values(aws, metrics, hours, HOUR_S)
    now = datetime.fromtimestamp(aws.clock.time(), timezone.utc)
    first = min((moment for each in found.values() for moment, _ in each), default=now)
    sums = {each: sum(value for _, value in found[each]) for each in metrics}
    return Summed(sums, max((now - first).total_seconds(), 0) / HOUR_S)


def values(
    aws: Aws, metrics: Mapping[str, Metric], hours: int, period_s: int
) -> dict[str, list[tuple[datetime, float]]]:
    """Return the sum of each period of the last hours, with the start of the period.

    The keys of `metrics` are query ids, `[a-z][a-z0-9_]*`.
    """
    now = datetime.fromtimestamp(aws.clock.time(), timezone.utc)
    queries: list[Any] = [
        {
            "Id": each,
            "MetricStat": {
                "Metric": {
                    "Namespace": metric.namespace,
                    "MetricName": metric.name,
                    "Dimensions": [{"Name": name, "Value": value} for name, value in metric.of.items()],
                },
                "Period": period_s,
                "Stat": "Sum",
            },
        }
        for each, metric in metrics.items()
    ]
    found: dict[str, list[tuple[datetime, float]]] = {each: [] for each in metrics}
    pages = aws.cloudwatch.get_paginator("get_metric_data").paginate(
        MetricDataQueries=queries, StartTime=now - timedelta(hours=hours), EndTime=now
    )
    for page in pages:
        for result in page["MetricDataResults"]:
            found[result["Id"]] += zip(result["Timestamps"], result["Values"], strict=True)
    return found


def metrics_of(aws: Aws, namespace: str, of: Mapping[str, str]) -> list[Metric]:
    """List the metrics with these dimensions and with values in the last two weeks."""
    pages = aws.cloudwatch.get_paginator("list_metrics").paginate(
        Namespace=namespace, Dimensions=[{"Name": name, "Value": value} for name, value in of.items()]
    )
    return [
        Metric(namespace, each["MetricName"], {one["Name"]: one["Value"] for one in each["Dimensions"]})
        for page in pages
        for each in page["Metrics"]
    ]
