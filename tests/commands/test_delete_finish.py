"""delete --finish: open windows and pending refreshes are told, and waited for."""

from __future__ import annotations

from typing import Any

import pytest

from s3agg.aws.clock import from_ms
from s3agg.commands.delete import Finish, delete_all, detach_buckets, for_delete, for_detach, unfinished
from s3agg.commands.watching import Waiting
from s3agg.errors import S3aggError
from s3agg.resources.event_filter import EVENTBRIDGE
from s3agg.settings import Names
from tests.support import aws as support
from tests.support import deploying
from tests.support.aws import World
from tests.support.handlers import classes, known

pytestmark = pytest.mark.stack
world = support.world

NAMES = Names()
ATTACHED = {"attached": {"M": {"prefix": {"S": ""}, "suffix": {"S": ""}}}}
REFUSED = {
    **known({"share-1": classes("known_shares").KnownShare("", owed=1)}),
    "owed": {"BOOL": True},
    "answer": {"S": "busy"},
}


@pytest.fixture
def stack(world: World) -> World:
    """A stack of two buckets; `photos` has a window that closes in 20 s, and nobody reads the queue."""
    deploying.make(world, "photos", "videos")
    put(world, timestamp={"N": str(world.clock.ms + 20_000)}, opened_by={"S": "event"})
    return world


def put(world: World, **item: Any) -> None:
    world.somebody.dynamodb.put_item(
        TableName=NAMES.table, Item={"BucketName": {"S": "photos"}, **ATTACHED, **item}
    )


def rules(world: World) -> list[str]:
    """The buckets that still have a rule."""
    return [
        bucket
        for bucket in ("photos", "videos")
        if "LambdaFunctionConfigurations"
        in world.somebody.s3.get_bucket_notification_configuration(Bucket=bucket)
    ]


def delete(world: World, timeout_s: float | None = None, *, finish: bool = True) -> list[object]:
    deployment, plan = for_delete(world.aws, NAMES)
    return list(delete_all(world.aws, plan, Finish(world.aws, deployment, (), timeout_s) if finish else None))


def detach(world: World, timeout_s: float | None = None) -> list[object]:
    deployment, plan = for_detach(world.aws, NAMES, ["photos"])
    first = Finish(world.aws, deployment, ["photos"], timeout_s)
    return list(detach_buckets(world.aws, deployment, ["photos"], plan, first))


def in_order(world: World, *operations: str) -> list[str]:
    """These operations in the order of their first calls."""
    made = [call.operation for call in world.wire.calls]
    return sorted(operations, key=made.index)


def test_an_open_window_and_a_pending_refresh_are_told(stack: World) -> None:
    not_before = stack.clock.ms + 5000
    put(stack, pending={"S": "token"}, not_before={"N": str(not_before)})
    deployment, plan = for_delete(stack.aws, NAMES)
    of_videos, detaching = for_detach(stack.aws, NAMES, ["videos"])

    (photos,) = unfinished(deployment, plan, (), finish=False).refreshes

    assert (photos.bucket, photos.window_closes_at, photos.pending) == ("photos", None, True)
    assert photos.not_before == from_ms(not_before)
    assert unfinished(of_videos, detaching, ["videos"], finish=False).refreshes == []


def test_it_deletes_the_rules_then_waits_then_deletes_the_rest(stack: World) -> None:
    stack.wire.before("dynamodb:GetItem", lambda: put(stack, refreshed={"N": "1"}), after=1)

    events = delete(stack)

    waits = [event.what for event in events if isinstance(event, Waiting)]
    steps = ("s3:PutBucketNotificationConfiguration", "dynamodb:GetItem", "lambda:DeleteFunction")
    assert waits[:2] == [
        "bucket photos: the window to close, 20 s left",
        "bucket photos: the window to close, 19 s left",
    ]
    assert in_order(stack, *reversed(steps)) == list(steps)
    assert rules(stack) == []
    assert stack.somebody.dynamodb.list_tables()["TableNames"] == []


def test_it_sends_the_message_of_the_window_again_as_that_may_be_lost(stack: World) -> None:
    stack.wire.before("dynamodb:GetItem", lambda: put(stack), after=0)

    delete(stack)

    (sent,) = stack.wire.made("sqs:SendMessage")
    assert sent["MessageAttributes"]["bucket-name"]["StringValue"] == "photos"
    assert sent["DelaySeconds"] == 20


def test_where_nothing_is_unfinished_it_waits_for_nothing(stack: World) -> None:
    put(stack)

    events = delete(stack)

    assert not any(isinstance(event, Waiting) for event in events)
    assert stack.wire.made("sqs:SendMessage") == []


def test_a_window_that_opens_before_the_rule_is_gone_is_waited_for_too(stack: World) -> None:
    due = {"N": str(stack.clock.ms + 9000)}
    put(stack)
    stack.wire.before(
        "s3:PutBucketNotificationConfiguration", lambda: put(stack, timestamp=due, opened_by={"S": "late"})
    )
    stack.wire.before("dynamodb:GetItem", lambda: put(stack), after=1)

    assert any(isinstance(event, Waiting) for event in delete(stack))


def test_a_timeout_names_what_is_missing_and_leaves_what_the_next_run_needs(stack: World) -> None:
    put(stack, pending={"S": "token"}, **REFUSED)

    with pytest.raises(S3aggError) as failed:
        delete(stack, timeout_s=30)

    assert str(failed.value) == (
        "Timed out after 30 s. Bucket photos still waits for 1 file share to accept at the next try."
        " This refresh is not accepted by share-1. The gateway's last answer: busy."
        " The stack gets no new events of the bucket, and the rest is still there. To wait longer, run the"
        " same command again. To delete the stack without waiting, run it without --finish."
    )
    assert rules(stack) == []
    assert stack.wire.made("lambda:DeleteFunction") == []

    put(stack)
    delete(stack)
    assert stack.somebody.lambda_.list_functions()["Functions"] == []


def test_a_timeout_tells_how_to_go_on(world: World) -> None:
    world.bucket("photos")
    deploying.create(world, "photos", via=EVENTBRIDGE)
    update = {":token": {"S": "token"}}
    world.somebody.dynamodb.update_item(
        TableName=NAMES.table,
        Key={"BucketName": {"S": "photos"}},
        UpdateExpression="SET pending = :token",
        ExpressionAttributeValues=update,
    )

    with pytest.raises(S3aggError) as failed:
        detach(world, timeout_s=30)

    assert failed.value.hint == (
        "The stack gets no new events of the bucket, and the rest is still there. To wait longer, run the"
        " same command again. To detach without waiting, run it without --finish"
    )


def test_without_a_timeout_it_waits_for_the_rest_of_the_window_and_a_busy_gateway(stack: World) -> None:
    put(stack, timestamp={"N": str(stack.clock.ms + 1_000_000)}, opened_by={"S": "of a longer window"})
    started = stack.clock.monotonic()

    with pytest.raises(S3aggError, match="Timed out after 1270 s"):
        delete(stack)

    assert stack.clock.monotonic() - started == pytest.approx(1270, abs=2)


@pytest.mark.parametrize("again", [True, False])
def test_an_interruption_while_it_waits_leaves_what_the_next_run_finishes(stack: World, again: bool) -> None:
    deployment, plan = for_detach(stack.aws, NAMES, ["photos"])
    running = detach_buckets(
        stack.aws, deployment, ["photos"], plan, Finish(stack.aws, deployment, ["photos"])
    )
    assert any(isinstance(event, Waiting) for event in running)
    running.close()
    half_way = rules(stack)
    put(stack) if again else put(stack, pending={"S": "token"})

    detach(stack) if again else deploying.detach(stack, "photos")

    item = stack.somebody.dynamodb.get_item(TableName=NAMES.table, Key={"BucketName": {"S": "photos"}})
    policy = stack.somebody.lambda_.get_policy(FunctionName=NAMES.aggregator)["Policy"]
    assert half_way == rules(stack) == ["videos"]
    assert "photos" not in policy
    assert ("Item" in item) is not again


def test_detaching_waits_before_it_deletes_the_item(stack: World) -> None:
    stack.wire.before("dynamodb:GetItem", lambda: put(stack), after=1)

    detach(stack)

    item = stack.somebody.dynamodb.get_item(TableName=NAMES.table, Key={"BucketName": {"S": "photos"}})
    steps = ("s3:PutBucketNotificationConfiguration", "dynamodb:GetItem", "lambda:RemovePermission")
    assert in_order(stack, *reversed(steps)) == list(steps)
    assert "Item" not in item
    assert rules(stack) == ["videos"]


def test_nothing_is_deleted_where_the_refresh_cannot_come(stack: World) -> None:
    stack.somebody.lambda_.delete_function(FunctionName=NAMES.refresher)

    with pytest.raises(
        S3aggError, match=r"No refresh can start: .*function S3StorageGatewayRefresh is missing"
    ):
        delete(stack)

    assert stack.wire.changes == []
    assert rules(stack) == ["photos", "videos"]
