"""The alarms that --alarm-topic asks for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from s3agg.aws.session import Aws
from s3agg.aws.snapshot import Snapshot
from s3agg.resources.queue import Queue
from s3agg.resources.resource import ABSENT, Found, Resource, pairs, unpaired

NAMESPACE = "AWS/SQS"
PERIOD_S = 300
MISSING_DATA = "notBreaching"  # a queue that nobody uses has none


@dataclass(frozen=True, kw_only=True)
class FoundAlarm(Found):
    """An alarm; `condition` in the words of the resource, `topics` the ARNs that it tells."""

    condition: str
    missing_data: str
    topics: tuple[str, ...]
    enabled: bool
    description: str

    @property
    def properties(self) -> Mapping[str, str]:
        return {
            "condition": self.condition,
            "missing data": self.missing_data,
            "topic": ",".join(self.topics),
            "actions": "enabled" if self.enabled else "disabled",
            "description": self.description,
        }


@dataclass(frozen=True, eq=False)
class QueueAlarm(Resource[FoundAlarm]):
    """An alarm when a metric of a queue exceeds a threshold; told to an SNS topic."""

    kind: ClassVar[str] = "alarm"

    queue: Queue
    metric: str
    threshold: int
    topic: str | None
    description: str

    @property
    def wanted(self) -> bool:
        return self.topic is not None

    @property
    def arn(self) -> str:
        return self.place.arn("cloudwatch", f"alarm:{self.name}")

    @property
    def properties(self) -> Mapping[str, str]:
        return {
            "condition": f"Maximum {NAMESPACE} {self.metric} of {self.queue.name} in 1 x {PERIOD_S} s"
            f" GreaterThanThreshold {self.threshold}",
            "missing data": MISSING_DATA,
            "topic": str(self.topic),
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
            "Namespace": NAMESPACE,
            "MetricName": self.metric,
            "Dimensions": [{"Name": "QueueName", "Value": self.queue.name}],
            "Statistic": "Maximum",
            "Period": PERIOD_S,
            "EvaluationPeriods": 1,
            "Threshold": self.threshold,
            "ComparisonOperator": "GreaterThanThreshold",
            "TreatMissingData": MISSING_DATA,
            "ActionsEnabled": True,
            "AlarmActions": [str(self.topic)],
            "Tags": pairs(self.tags),
        }

    def find(self, snapshot: Snapshot) -> FoundAlarm | None:
        aws = snapshot.aws
        alarms = aws.cloudwatch.describe_alarms(AlarmNames=[self.name])["MetricAlarms"]
        if not alarms:
            return None
        alarm = alarms[0]
        queues = ",".join(each["Value"] for each in alarm.get("Dimensions", []))
        return FoundAlarm(
            condition=f"{alarm.get('Statistic')} {alarm.get('Namespace')} {alarm.get('MetricName')}"
            f" of {queues} in {alarm.get('EvaluationPeriods')} x {alarm.get('Period')} s"
            f" {alarm.get('ComparisonOperator')} {alarm.get('Threshold', 0):g}",
            missing_data=alarm.get("TreatMissingData", ABSENT),
            topics=tuple(alarm.get("AlarmActions", [])),
            enabled=alarm.get("ActionsEnabled", True),
            description=alarm.get("AlarmDescription", ABSENT),
            tags=unpaired(aws.cloudwatch.list_tags_for_resource(ResourceARN=self.arn)["Tags"]),
        )

    def create(self, aws: Aws) -> None:
        aws.cloudwatch.put_metric_alarm(**self._definition)

    def update(self, aws: Aws, found: FoundAlarm) -> None:
        if missing := self.missing_tags(found):
            aws.cloudwatch.tag_resource(ResourceARN=self.arn, Tags=pairs(missing))
        if self.differs(found, *self.properties):
            self.create(aws)

    def delete(self, aws: Aws, found: FoundAlarm) -> None:  # noqa: ARG002  # its name is enough
        aws.cloudwatch.delete_alarms(AlarmNames=[self.name])
