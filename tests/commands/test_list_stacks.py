"""list: the stacks of the account."""

from __future__ import annotations

import pytest

from s3agg import __version__
from s3agg.commands import list_stacks
from s3agg.commands.list_stacks import AttachedBucket, ListedStack
from s3agg.settings import Names
from tests.support import aws as support
from tests.support.aws import ACCOUNT, REGION, World
from tests.support.deploying import create, make
from tests.support.roles import make_role

pytestmark = pytest.mark.stack
world = support.world

NAMES = Names()


@pytest.fixture
def photos(world: World) -> World:
    """An account with the stack, attached to the bucket `photos`, and a window of 40 s."""
    make(world, "photos", window=40)
    return world


def test_an_account_without_stacks_has_an_empty_list(world: World) -> None:
    found = list_stacks.read(world.aws)

    assert (found.region, found.account, found.stacks) == (REGION, ACCOUNT, [])


def test_a_stack_of_this_region_has_its_buckets(photos: World) -> None:
    photos.bucket("scans")
    create(photos, "scans", prefix=("in/", "new/"), events=("created",), via="eventbridge")

    (stack,) = list_stacks.read(photos.aws).stacks

    assert stack.buckets == [
        AttachedBucket("photos", (), (), ("created", "removed", "expired"), "notification"),
        AttachedBucket("scans", ("in/", "new/"), (), ("created",), "eventbridge"),
    ]


def test_a_stack_of_this_region_has_its_settings(photos: World) -> None:
    (stack,) = list_stacks.read(photos.aws).stacks

    assert stack.settings is not None
    assert (stack.settings.window, stack.settings.min_interval) == (40, 60)
    assert stack.settings.version == __version__


def test_a_bucket_that_an_older_version_stored_has_every_key_as_by_default(photos: World) -> None:
    older = {"M": {"prefix": {"S": ""}, "suffix": {"S": ""}}}
    photos.somebody.dynamodb.put_item(
        TableName=NAMES.table, Item={"BucketName": {"S": "photos"}, "attached": older}
    )

    (stack,) = list_stacks.read(photos.aws).stacks

    assert stack.settings is not None
    assert "buckets" not in stack.settings.chosen


def test_a_stack_of_another_region_has_its_region_alone_and_comes_last(photos: World) -> None:
    make_role(photos, "Archive", "us-west-2")

    first, last = list_stacks.read(photos.aws).stacks

    assert first.stack == NAMES.stack
    assert last == ListedStack("Archive", "us-west-2", None, None)


def test_a_stack_takes_three_calls(photos: World) -> None:
    list_stacks.read(photos.aws)

    assert sum(call.operation.startswith("dynamodb:") for call in photos.wire.calls) == 3


def test_a_stack_without_its_table_is_listed_with_a_warning(photos: World) -> None:
    photos.somebody.dynamodb.delete_table(TableName=NAMES.table)

    assert list_stacks.read(photos.aws).stacks == [ListedStack(NAMES.stack, REGION)]
    (warning,) = photos.warnings
    assert warning.endswith("of stack S3EventAggregator. The stack has no table S3EventAggregator.")


def test_a_table_that_cannot_be_read_does_not_hide_the_other_stacks(photos: World) -> None:
    photos.bucket("scans")
    create(photos, "scans", names=Names("Other"))
    photos.wire.refuse(
        "dynamodb:Scan", "AccessDeniedException", when=lambda call: call.params["TableName"] == "Other"
    )

    other, ours = list_stacks.read(photos.aws).stacks

    assert other == ListedStack("Other", REGION)
    assert ours.buckets
