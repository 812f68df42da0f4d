"""The alarms."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from s3agg.resources.alarm import OLDEST, Alarm
from s3agg.resources.queue import Queue
from s3agg.settings import STACK_TAG
from tests.support.aws import PLACE, World

TAGS = {STACK_TAG: "Test", "team": "a"}
TOPIC = PLACE.arn("sns", "ops")
ALARM = Alarm(
    PLACE,
    "Alarm",
    TAGS,
    measured=Queue(PLACE, "Queue", TAGS, visibility=180, retention=60),
    metric=OLDEST,
    threshold=46_200,
    topic=TOPIC,
    description="Something waits",
)


def change_by_hand(world: World, **changed: Any) -> None:
    world.create(ALARM)
    alarm: dict[str, Any] = dict(world.somebody.cloudwatch.describe_alarms()["MetricAlarms"][0])
    names = world.somebody.cloudwatch.meta.service_model.operation_model("PutMetricAlarm").input_shape.members  # type: ignore[union-attr]  # it has an input
    kept = {name: value for name, value in alarm.items() if name in names and value is not None}
    world.somebody.cloudwatch.put_metric_alarm(**{**kept, **changed})


def test_an_alarm_that_is_not_there_is_not_found(world: World) -> None:
    assert ALARM.find(world.snapshot) is None


def test_a_new_alarm_is_as_declared(world: World) -> None:
    world.create(ALARM)

    assert world.differences(ALARM) == {}
    assert world.found(ALARM).tags == TAGS


def test_an_alarm_is_wanted_only_with_a_topic() -> None:
    assert ALARM.wanted
    assert not replace(ALARM, topic=None).wanted


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"AlarmActions": ["arn:aws:sns:eu-west-1:123456789012:b"]}, "SNS topic"),
        ({"Threshold": 5}, "threshold"),
        ({"Period": 60}, "period"),
        ({"Statistic": "Average"}, "statistic"),
        ({"MetricName": "NumberOfMessagesSent"}, "metric"),
        ({"Dimensions": [{"Name": "QueueName", "Value": "Other"}]}, "dimensions"),
    ],
)
def test_a_property_changed_by_hand_is_named_and_mended(
    world: World, changed: dict[str, Any], named: str
) -> None:
    change_by_hand(world, **changed)

    differences = world.differences(ALARM)
    changes = world.update(ALARM)

    assert list(differences) == [named]
    assert changes == ["cloudwatch:PutMetricAlarm"]
    assert world.differences(ALARM) == {}


def test_a_tag_changed_by_hand_is_named_and_alone_written(world: World) -> None:
    world.create(ALARM)
    world.somebody.cloudwatch.tag_resource(ResourceARN=ALARM.arn, Tags=[{"Key": "team", "Value": "b"}])

    named = world.differences(ALARM)
    changes = world.update(ALARM)

    assert named == {"tag team": ("a", "b")}
    assert changes == ["cloudwatch:TagResource"]


@pytest.mark.parametrize("tags", [{}, {STACK_TAG: "Other"}])
def test_an_alarm_without_our_tag_or_with_another_stacks_is_foreign(
    world: World, tags: dict[str, str]
) -> None:
    world.create(replace(ALARM, tags=tags))

    assert not ALARM.owner(world.found(ALARM)).ours


def test_delete_removes_it(world: World) -> None:
    world.create(ALARM)

    world.delete(ALARM)

    assert ALARM.find(world.snapshot) is None


def test_deleting_what_somebody_just_deleted_is_no_error(world: World) -> None:
    world.create(ALARM)
    found = world.found(ALARM)
    world.somebody.cloudwatch.delete_alarms(AlarmNames=["Alarm"])

    ALARM.delete(world.aws, found)

    assert ALARM.find(world.snapshot) is None


def test_a_denied_look_is_not_taken_for_absence(world: World) -> None:
    world.wire.refuse("cloudwatch:DescribeAlarms", "AccessDenied", status=403)

    with pytest.raises(ClientError, match="AccessDenied"):
        ALARM.find(world.snapshot)
