"""The alarms."""

from __future__ import annotations

from dataclasses import replace

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


def test_an_alarm_that_is_not_there_is_not_found(world: World) -> None:
    assert ALARM.find(world.snapshot) is None


def test_a_new_alarm_is_as_declared(world: World) -> None:
    world.create(ALARM)

    assert world.differences(ALARM) == {}
    assert world.found(ALARM).tags == TAGS


def test_an_alarm_is_wanted_only_with_a_topic() -> None:
    assert ALARM.wanted
    assert not replace(ALARM, topic=None).wanted


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
