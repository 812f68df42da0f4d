"""The table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from s3agg.errors import S3aggError
from s3agg.resources.resource import tag_list
from s3agg.resources.table import Table
from s3agg.settings import STACK_TAG
from tests.support.aws import PLACE, World

TABLE = Table(
    PLACE, "Test", {STACK_TAG: "Test", "team": "a"}, read_capacity=1, write_capacity=5, on_demand=False
)
ON_DEMAND = replace(TABLE, on_demand=True)


def busy(status: str) -> dict[str, object]:
    return {"Table": {"TableName": "Test", "TableStatus": status}}


def test_a_table_that_is_not_there_is_not_found(world: World) -> None:
    assert TABLE.find(world.snapshot) is None


@pytest.mark.parametrize("table", [TABLE, ON_DEMAND])
def test_a_new_table_is_as_declared(world: World, table: Table) -> None:
    world.create(table)

    assert world.differences(table) == {}


def test_a_new_table_has_its_tags_from_the_start(world: World) -> None:
    world.create(TABLE)

    assert world.found(TABLE).tags == {STACK_TAG: "Test", "team": "a"}


def test_all_tags_are_read_not_only_the_first_page(world: World) -> None:
    table = replace(TABLE, tags={STACK_TAG: "Test", **{f"key{number}": "v" for number in range(25)}})

    world.create(table)

    assert world.differences(table) == {}


def test_capacity_changed_by_hand_is_named_and_mended(world: World) -> None:
    world.create(TABLE)
    world.somebody.dynamodb.update_table(
        TableName="Test", ProvisionedThroughput={"ReadCapacityUnits": 7, "WriteCapacityUnits": 5}
    )

    named = world.differences(TABLE)
    changes = world.update(TABLE)

    assert named == {"read capacity units": ("1", "7")}
    assert changes == ["dynamodb:UpdateTable"]
    assert world.differences(TABLE) == {}


@pytest.mark.parametrize(("before", "after"), [(TABLE, ON_DEMAND), (ON_DEMAND, TABLE)])
def test_the_way_of_billing_can_be_changed_and_changed_back(
    world: World, before: Table, after: Table
) -> None:
    world.create(before)

    world.update(after)

    assert world.differences(after) == {}


def test_a_tag_changed_by_hand_is_named_and_alone_written(world: World) -> None:
    world.create(TABLE)
    world.somebody.dynamodb.tag_resource(ResourceArn=TABLE.arn, Tags=[{"Key": "team", "Value": "b"}])

    named = world.differences(TABLE)
    changes = world.update(TABLE)

    assert named == {"tag team": ("a", "b")}
    assert changes == ["dynamodb:TagResource"]
    assert world.wire.made("dynamodb:TagResource")[0]["Tags"] == [{"Key": "team", "Value": "a"}]


def tagged(*tags: dict[str, str]) -> Callable[[], Mapping[str, Any]]:
    """ListTagsOfResource answers with each of these once, and then with the last."""
    left = list(tags)
    return lambda: {"Tags": tag_list(left.pop(0) if len(left) > 1 else left[0])}


def test_new_tags_are_waited_for_until_they_have_shown_ten_times_in_a_row(world: World) -> None:
    """FACTS 23."""
    world.create(TABLE)
    old, new = dict(TABLE.tags), {**TABLE.tags, "team": "b"}
    answers = tagged(old, old, new, new, old, new)
    world.wire.answer("dynamodb:ListTagsOfResource", answers)

    world.update(replace(TABLE, tags=new))

    assert len(world.wire.made("dynamodb:ListTagsOfResource")) == 4 + 10


def test_tags_that_still_spread_are_waited_for(world: World) -> None:
    """FACTS 23."""
    world.create(TABLE)
    world.wire.refuse("dynamodb:TagResource", "ResourceInUseException", times=5)

    world.update(replace(TABLE, tags={**TABLE.tags, "team": "b"}))

    assert len(world.wire.made("dynamodb:TagResource")) == 6


def test_an_empty_set_of_tags_is_believed_only_after_10_s(world: World) -> None:
    """FACTS 23."""
    world.create(TABLE)
    world.wire.answer("dynamodb:ListTagsOfResource", tagged({}, {}, dict(TABLE.tags)))
    late = world.found(TABLE).tags
    world.wire.answer("dynamodb:ListTagsOfResource", tagged({}))
    started = world.clock.waited
    never = world.found(TABLE).tags

    assert late == TABLE.tags
    assert never == {}
    assert 10 < world.clock.waited - started < 12


def test_a_key_of_somebody_elses_making_is_an_error_not_a_change_without_end(world: World) -> None:
    world.somebody.dynamodb.create_table(
        TableName="Test",
        AttributeDefinitions=[{"AttributeName": "Id", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "Id", "KeyType": "HASH"}],
        ProvisionedThroughput={"ReadCapacityUnits": 1, "WriteCapacityUnits": 5},
        Tags=[{"Key": STACK_TAG, "Value": "Test"}],
    )

    with pytest.raises(S3aggError, match=r"has the key schema Id \(S, HASH\)"):
        world.update(TABLE)

    assert world.wire.changes == []


@pytest.mark.parametrize("tags", [{}, {STACK_TAG: "Other"}])
def test_a_table_without_our_tag_or_with_another_stacks_is_foreign(
    world: World, tags: dict[str, str]
) -> None:
    world.create(replace(TABLE, tags=tags))

    assert not TABLE.owner(world.found(TABLE)).ours


@pytest.mark.parametrize("message", ["Table already exists: Test", "Table is being deleted: Test"])
def test_create_waits_until_the_old_table_is_gone(world: World, message: str) -> None:
    world.wire.refuse("dynamodb:CreateTable", "ResourceInUseException", message, times=3)
    world.wire.answer("dynamodb:DescribeTable", busy("DELETING"), times=3)

    TABLE.create(world.aws)

    assert len(world.wire.made("dynamodb:CreateTable")) == 4
    assert world.differences(TABLE) == {}


def test_a_table_that_somebody_else_made_meanwhile_is_not_waited_for(world: World) -> None:
    world.create(TABLE)

    with pytest.raises(ClientError, match="ResourceInUseException"):
        TABLE.create(world.aws)

    assert world.clock.waited == 0


def test_create_waits_until_the_table_is_active(world: World) -> None:
    world.wire.answer("dynamodb:DescribeTable", busy("CREATING"), times=16)

    TABLE.create(world.aws)

    assert world.clock.waited > 3
    assert world.waiting[-1].startswith("waiting for table Test to become active")


@pytest.mark.parametrize("operation", ["UpdateTable", "DeleteTable"])
def test_a_busy_table_is_waited_for(world: World, operation: str) -> None:
    world.create(TABLE)
    world.wire.refuse(f"dynamodb:{operation}", "ResourceInUseException", times=3)

    changes = world.update(ON_DEMAND) if operation == "UpdateTable" else world.delete(TABLE)

    assert changes == [f"dynamodb:{operation}"] * 4


def test_a_table_being_deleted_counts_as_gone(world: World) -> None:
    world.create(TABLE)
    world.wire.answer(
        "dynamodb:DescribeTable",
        {"Table": {"TableName": "Test", "TableStatus": "DELETING", "KeySchema": []}},
    )

    assert TABLE.find(world.snapshot) is None


def test_delete_removes_it(world: World) -> None:
    world.create(TABLE)

    world.delete(TABLE)

    assert TABLE.find(world.snapshot) is None


def test_delete_waits_until_the_table_is_gone(world: World) -> None:
    world.create(TABLE)
    found = world.found(TABLE)
    world.wire.answer("dynamodb:DescribeTable", busy("DELETING"), times=16)

    TABLE.delete(world.aws, found)

    assert world.waiting[-1].startswith("waiting for table Test to be deleted")


def test_deleting_what_somebody_just_deleted_is_no_error(world: World) -> None:
    world.create(TABLE)
    found = world.found(TABLE)
    world.somebody.dynamodb.delete_table(TableName="Test")

    TABLE.delete(world.aws, found)

    assert TABLE.find(world.snapshot) is None


def test_a_denied_look_is_not_taken_for_absence(world: World) -> None:
    world.wire.refuse("dynamodb:DescribeTable", "AccessDeniedException")

    with pytest.raises(ClientError, match="AccessDenied"):
        TABLE.find(world.snapshot)
