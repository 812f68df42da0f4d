"""The log groups."""

from __future__ import annotations

from dataclasses import replace

import pytest
from botocore.exceptions import ClientError

from s3agg.resources.log_group import LogGroup
from s3agg.settings import STACK_TAG
from tests.support.aws import PLACE, World

TAGS = {STACK_TAG: "Test", "team": "a"}
GROUP = LogGroup(PLACE, "/aws/lambda/Test", TAGS, retention=30)


def test_a_group_that_is_not_there_is_not_found_among_others_that_begin_so(world: World) -> None:
    world.create(replace(GROUP, name="/aws/lambda/TestTwo"))

    assert GROUP.find(world.snapshot) is None


def test_a_new_group_is_as_declared(world: World) -> None:
    world.create(GROUP)

    assert world.differences(GROUP) == {}
    assert world.found(GROUP).tags == TAGS


def test_a_group_that_the_function_made_first_is_taken_over(world: World) -> None:
    world.somebody.logs.create_log_group(logGroupName=GROUP.name)

    world.create(GROUP)

    assert world.differences(GROUP) == {}


def test_a_group_that_a_late_line_made_again_is_ours_and_lacks_all(world: World) -> None:
    world.somebody.logs.create_log_group(logGroupName=GROUP.name)

    named = world.differences(GROUP)
    world.update(GROUP)

    assert GROUP.owner(world.found(GROUP)).ours
    assert set(named) == {"retention", "tag team", f"tag {STACK_TAG}"}
    assert named["retention"] == ("30 days", "forever")
    assert world.differences(GROUP) == {}


def test_delete_removes_it(world: World) -> None:
    world.create(GROUP)

    world.delete(GROUP)

    assert GROUP.find(world.snapshot) is None


def test_deleting_what_somebody_just_deleted_is_no_error(world: World) -> None:
    world.create(GROUP)
    found = world.found(GROUP)
    world.somebody.logs.delete_log_group(logGroupName=GROUP.name)

    GROUP.delete(world.aws, found)

    assert GROUP.find(world.snapshot) is None


def test_a_denied_look_is_not_taken_for_absence(world: World) -> None:
    world.wire.refuse("logs:DescribeLogGroups", "AccessDeniedException")

    with pytest.raises(ClientError, match="AccessDenied"):
        GROUP.find(world.snapshot)
