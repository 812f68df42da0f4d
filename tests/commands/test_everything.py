"""What makes the next refreshes of a bucket ones of everything (DESIGN 2a)."""

from __future__ import annotations

from typing import Any

import pytest

from s3agg.commands import preflight, redrive
from s3agg.commands.create import apply_create
from s3agg.errors import Interrupted
from s3agg.live import item_writes
from s3agg.settings import Names
from s3agg.stack.deployed import Request, read
from tests.support import aws as support
from tests.support.aws import World
from tests.support.deploying import carry_out, make
from tests.support.progress import ended

pytestmark = pytest.mark.stack
world = support.world

NAMES = Names()


@pytest.fixture
def uploads(world: World) -> World:
    make(world, "uploads")
    return world


def put(world: World, **attributes: Any) -> None:
    item = {"BucketName": {"S": "uploads"}, "attached": {"M": {}}, **attributes}
    world.somebody.dynamodb.put_item(TableName=NAMES.table, Item=item)


def item(world: World) -> dict[str, Any]:
    key: Any = {"BucketName": {"S": "uploads"}}
    return dict(world.somebody.dynamodb.get_item(TableName=NAMES.table, Key=key)["Item"])


def create(world: World, **options: Any) -> None:
    checked = preflight.check(world.aws, NAMES, Request((), options=options))
    carry_out(apply_create(world.aws, checked.passed(), checked.plan, checked.shares))


def until(world: World) -> int | None:
    """For how many s from now everything is refreshed."""
    attribute = item(world).get("everything_until")
    return None if attribute is None else round(int(attribute["N"]) / 1000 - world.clock.time())


def test_a_change_of_the_aggregators_variables_is_followed_by_refreshes_of_everything(
    uploads: World,
) -> None:
    create(uploads, window=90)

    assert until(uploads) == 600


def test_an_update_that_dies_at_the_aggregator_has_told_before(uploads: World) -> None:
    def die() -> None:
        raise KeyboardInterrupt

    uploads.wire.before("lambda:UpdateFunctionConfiguration", die)
    with pytest.raises(Interrupted):
        create(uploads, window=90)

    assert (until(uploads) or 0) > 590  # the update waits for the tags of the table


def test_a_change_of_something_else_is_not(uploads: World) -> None:
    create(uploads, log_retention=7, full_every=6)

    assert until(uploads) is None


def test_an_unfinished_refresh_becomes_one_of_everything(uploads: World) -> None:
    put(uploads, pending={"S": "token"}, refreshing={"SS": ["/a/"]}, done={"SS": ["a"]})
    create(uploads, window=90)

    after = item(uploads)
    assert "refreshing" not in after
    assert after["pending"] != {"S": "token"}


def test_a_redriven_message_is_followed_by_refreshes_of_everything(uploads: World) -> None:
    sqs = uploads.somebody.sqs
    sqs.send_message(
        QueueUrl=sqs.get_queue_url(QueueName=NAMES.dead_letters)["QueueUrl"],
        MessageBody="{}",
        MessageAttributes={"bucket-name": {"DataType": "String", "StringValue": "uploads"}},
    )
    _, report = ended(redrive.run(uploads.aws, read(uploads.aws, NAMES), dry_run=False))

    assert report.counts["redriven"] == 1
    assert until(uploads) == 600


def test_a_requested_refresh_is_one_of_everything(uploads: World) -> None:
    put(uploads, pending={"S": "token"}, refreshing={"SS": ["/a/"]})
    item_writes.request_refresh(uploads.aws, NAMES.table, "uploads")

    assert "refreshing" not in item(uploads)
