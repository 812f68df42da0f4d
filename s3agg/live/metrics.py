"""CloudWatch's metrics: which there are, their values, their sums."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

from s3agg.aws.session import Aws

HOUR_S = 3600


@dataclass(frozen=True)
class Metric:
    """A metric of CloudWatch's; `of` are its dimensions."""

    namespace: str
    name: str
    of: Mapping[str, str]


@dataclass(frozen=True)
class Summed:
    """The sums of some metrics, and how many hours ago the first of their values was; 0 if there is none."""

    sums: Mapping[str, float]
    hours: float


def summed(aws: Aws, metrics: Mapping[str, Metric], hours: int) -> Summed:
    """Sum metrics over the last hours; their keys are ids of ours, `[a-z][a-z0-9_]*`."""
    found = values(aws, metrics, hours, HOUR_S)
    now = datetime.fromtimestamp(aws.clock.time(), timezone.utc)
    first = min((moment for each in found.values() for moment, _ in each), default=now)
    sums = {each: sum(value for _, value in found[each]) for each in metrics}
    return Summed(sums, max((now - first).total_seconds(), 0) / HOUR_S)


def values(
    aws: Aws, metrics: Mapping[str, Metric], hours: int, period_s: int
) -> dict[str, list[tuple[datetime, float]]]:
    """The sums of each period of the last hours, each with the moment at which its period begins.

    The keys of `metrics` are ids of ours, `[a-z][a-z0-9_]*`.
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
    """The metrics that have had values of late (two weeks) and these among their dimensions."""
    pages = aws.cloudwatch.get_paginator("list_metrics").paginate(
        Namespace=namespace, Dimensions=[{"Name": name, "Value": value} for name, value in of.items()]
    )
    return [
        Metric(namespace, each["MetricName"], {one["Name"]: one["Value"] for one in each["Dimensions"]})
        for page in pages
        for each in page["Metrics"]
    ]
