"""The CloudWatch alarms that --alarm-topic creates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from s3agg.aws.session import Aws
from s3agg.aws.snapshot import Snapshot
from s3agg.resources.resource import ABSENT, Found, Resource, tag_dict, tag_list

STATISTIC = "Maximum"
OPERATOR = "GreaterThanThreshold"
PERIOD_S = 300
MISSING_DATA = "notBreaching"  # an idle queue has no data, nor has a gateway that accepts


@dataclass(frozen=True)
class Metric:
    """A CloudWatch metric. The value of its dimension is the name of the resource that it measures."""

    namespace: str
    name: str
    dimension: str

    def __str__(self) -> str:
        return f"{self.namespace} {self.name}"


FAILED = Metric("AWS/SQS", "ApproximateNumberOfMessagesVisible", "QueueName")
OLDEST = Metric("AWS/SQS", "ApproximateAgeOfOldestMessage", "QueueName")
UNREFRESHED = Metric("s3agg", "UnrefreshedFor", "FunctionName")  # of the refresh function, in s


@dataclass(frozen=True, kw_only=True)
class FoundAlarm(Found):
    """An alarm; period in s, `topics` the ARNs of its alarm actions."""

    metric: str  # with its namespace
    dimensions: str
    statistic: str
    period: int
    evaluation_periods: int
    operator: str
    threshold: float
    missing_data: str
    topics: tuple[str, ...]
    enabled: bool
    description: str

    @property
    def properties(self) -> Mapping[str, str]:
        return {
            "metric": self.metric,
            "dimensions": self.dimensions,
            "statistic": self.statistic,
            "period": f"{self.period} s",
            "evaluation periods": str(self.evaluation_periods),
            "comparison operator": self.operator,
            "threshold": f"{self.threshold:g}",
            "missing data treatment": self.missing_data,
            "SNS topic": ",".join(self.topics),
            "actions": "enabled" if self.enabled else "disabled",
            "description": self.description,
        }


@dataclass(frozen=True, eq=False)
class Alarm(Resource[FoundAlarm]):
    """An alarm that notifies an SNS topic when a metric exceeds a threshold; period in s.

    `stacks` names all alarms of the stack, which one call describes.
    """

    kind: ClassVar[str] = "alarm"

    measured: Resource[Any]
    metric: Metric
    threshold: int
    topic: str | None
    description: str
    period: int = PERIOD_S
    stacks: tuple[str, ...] = ()

    @property
    def wanted(self) -> bool:
        return self.topic is not None

    @property
    def arn(self) -> str:
        return self.place.arn("cloudwatch", f"alarm:{self.name}")

    @property
    def properties(self) -> Mapping[str, str]:
        return {
            "metric": str(self.metric),
            "dimensions": f"{self.metric.dimension} {self.measured.name}",
            "statistic": STATISTIC,
            "period": f"{self.period} s",
            "evaluation periods": "1",
            "comparison operator": OPERATOR,
            "threshold": str(self.threshold),
            "missing data treatment": MISSING_DATA,
            "SNS topic": str(self.topic),
            "actions": "enabled",
            "description": self.description,
        }

    @property
    def cloudformation(self) -> Mapping[str, Mapping[str, Any]]:
        return {"AWS::CloudWatch::Alarm": self._definition}

    @property
    def _definition(self) -> dict[str, Any]:
        return {
            "AlarmName": self.name,
            "AlarmDescription": self.description,
            "Namespace": self.metric.namespace,
            "MetricName": self.metric.name,
            "Dimensions": [{"Name": self.metric.dimension, "Value": self.measured.name}],
            "Statistic": STATISTIC,
            "Period": self.period,
            "EvaluationPeriods": 1,
            "Threshold": self.threshold,
            "ComparisonOperator": OPERATOR,
            "TreatMissingData": MISSING_DATA,
            "ActionsEnabled": True,
            "AlarmActions": [str(self.topic)],
            "Tags": tag_list(self.tags),
        }

    def find(self, snapshot: Snapshot) -> FoundAlarm | None:
        aws = snapshot.aws
        alarm = self._described(snapshot).get(self.name)
        if alarm is None:
            return None
        return FoundAlarm(
            metric=f"{alarm.get('Namespace')} {alarm.get('MetricName')}",
            dimensions=", ".join(f"{each['Name']} {each['Value']}" for each in alarm.get("Dimensions", [])),
            statistic=alarm.get("Statistic", ABSENT),
            period=alarm.get("Period", 0),
            evaluation_periods=alarm.get("EvaluationPeriods", 0),
            operator=alarm.get("ComparisonOperator", ABSENT),
            threshold=alarm.get("Threshold", 0),
            missing_data=alarm.get("TreatMissingData", ABSENT),
            topics=tuple(alarm.get("AlarmActions", [])),
            enabled=alarm.get("ActionsEnabled", True),
            description=alarm.get("AlarmDescription", ABSENT),
            tags=tag_dict(aws.cloudwatch.list_tags_for_resource(ResourceARN=self.arn)["Tags"]),
        )

    def _described(self, snapshot: Snapshot) -> Mapping[str, Mapping[str, Any]]:
        names = self.stacks or (self.name,)

        def read() -> dict[str, Mapping[str, Any]]:
            found = snapshot.aws.cloudwatch.describe_alarms(AlarmNames=list(names))["MetricAlarms"]
            return {alarm["AlarmName"]: dict(alarm) for alarm in found}

        return snapshot.once(("alarms", names), read)

    def create(self, aws: Aws) -> None:
        aws.cloudwatch.put_metric_alarm(**self._definition)

    def update(self, aws: Aws, found: FoundAlarm) -> None:
        if missing := self.missing_tags(found):
            aws.cloudwatch.tag_resource(ResourceARN=self.arn, Tags=tag_list(missing))
        if self.differs(found, *self.properties):
            self.create(aws)

    def delete(self, aws: Aws, found: FoundAlarm) -> None:  # noqa: ARG002  # the name is enough
        aws.cloudwatch.delete_alarms(AlarmNames=[self.name])
