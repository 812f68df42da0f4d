"""The items of the table."""

from __future__ import annotations

import json
import shlex
from datetime import datetime, timezone
from typing import Any

import pytest
from botocore.exceptions import ClientError

from s3agg.live import item_writes, items, log_lines, messages, queues
from s3agg.live.items import BucketActivity, Window
from s3agg.live.log_lines import LogLine
from s3agg.live.queues import QueueDepth
from s3agg.resources.queue import Queue
from s3agg.resources.table import Table
from s3agg.settings import STACK_TAG, Settings
from tests.support import aws as support
from tests.support.aws import PLACE, World
from tests.support.handlers import classes, known

world = support.world

TABLE = Table(PLACE, "Table", {STACK_TAG: "T"}, read_capacity=1, write_capacity=5, on_demand=False)
QUEUE = Queue(PLACE, "Queue", {STACK_TAG: "T"}, visibility=180, retention=60)
MOMENT_MS = 1_750_000_000_123
MOMENT = datetime(2025, 6, 15, 15, 6, 40, 123_000, tzinfo=timezone.utc)
SHARE = PLACE.arn("storagegateway", "share/")
GROUP = "/aws/lambda/Test"

OPEN = {"timestamp": {"N": str(MOMENT_MS)}, "opened_by": {"S": "event"}}
BLOGS = {"timestamp": {"N": str(MOMENT_MS)}}
PENDING = {"pending": {"S": "token"}, "closed": {"N": "1"}}
IDLE = {"refreshed": {"N": str(MOMENT_MS)}, "shares": {"SS": ["b", "a"]}}

KnownShare = classes("known_shares").KnownShare
OWED = {
    **PENDING,
    "unrefreshed_since": {"N": str(MOMENT_MS)},
    **known({"a": KnownShare("", owed=1), "b": KnownShare("in/", owed=MOMENT_MS), "c": KnownShare("")}),
    "owed": {"BOOL": True},
    "answer": {"S": "busy"},
}


@pytest.fixture
def table(world: World) -> World:
    """An account with the table."""
    world.create(TABLE)
    return world


def put(world: World, bucket: str, item: dict[str, Any]) -> None:
    world.somebody.dynamodb.put_item(TableName="Table", Item={"BucketName": {"S": bucket}, **item})


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        (OPEN, BucketActivity("photos", Window(open=True, closes_at=MOMENT))),
        (BLOGS, BucketActivity("photos")),
        (PENDING, BucketActivity("photos", pending=True)),
        (IDLE, BucketActivity("photos", last_refresh=MOMENT, shares=(f"{SHARE}a", f"{SHARE}b"))),
        (
            OWED,
            BucketActivity(
                "photos",
                pending=True,
                unrefreshed_since=MOMENT,
                shares=(f"{SHARE}a", f"{SHARE}b", f"{SHARE}c"),
                owed=(f"{SHARE}a", f"{SHARE}b"),
                tried=(f"{SHARE}a", f"{SHARE}b"),
                prefixes={f"{SHARE}a": "", f"{SHARE}b": "in/", f"{SHARE}c": ""},
                answer="busy",
            ),
        ),
        ({}, BucketActivity("photos")),
    ],
    ids=["open", "the blog's", "pending", "idle", "owed", "bare"],
)
def test_an_item_tells_a_buckets_activity(
    table: World, item: dict[str, Any], expected: BucketActivity
) -> None:
    put(table, "photos", item)

    assert items.read_one(table.aws, "Table", "photos") == expected
    assert items.read_all(table.aws, "Table") == {"photos": expected}


def test_an_item_without_a_bucket_name_is_left_out_and_told_how_to_delete(table: World) -> None:
    put(table, "no bucket's\x1b", OPEN)
    put(table, "photos", IDLE)

    assert set(items.read_all(table.aws, "Table")) == {"photos"}
    (warning,) = table.warnings
    command = warning.partition("run: aws ")[2].rstrip(".")
    assert shlex.split(command)[:5] == ["dynamodb", "delete-item", "--table-name", "Table", "--key"]
    assert json.loads(shlex.split(command)[5]) == {"BucketName": {"S": "no bucket's\x1b"}}


@pytest.mark.parametrize(
    ("odd", "removed"),
    [
        ({"refreshed": {"N": "9e17"}}, {"refreshed"}),
        ({"timestamp": {"N": "1e125"}, "opened_by": {"S": "event"}}, {"timestamp", "opened_by"}),
        ({"not_before": {"N": "-9e17"}}, {"not_before"}),
        (known({"a": classes("known_shares").KnownShare("", began=9 * 10**17)}), {"known"}),
    ],
    ids=["refreshed", "timestamp", "not before", "known"],
)
def test_a_time_that_is_none_is_left_out_and_its_command_removes_it(
    table: World, odd: dict[str, Any], removed: set[str]
) -> None:
    put(table, "photos", {**odd, "shares": {"SS": ["a"]}})

    assert items.read_one(table.aws, "Table", "photos").shares == (f"{SHARE}a",)
    (warning,) = table.warnings
    options = shlex.split(warning.partition("run: aws ")[2].rstrip("."))
    table.somebody.dynamodb.update_item(
        TableName=options[3],
        Key=json.loads(options[5]),
        UpdateExpression=options[7],
        ExpressionAttributeNames=json.loads(options[9]),
    )
    (item,) = items.read_items(table.aws, "Table")
    assert odd.keys() == removed
    assert set(item) == {"BucketName", "shares"}


def test_while_shares_are_tried_again_they_are_those_that_did_not_accept(table: World) -> None:
    """The start of a try removes `owed`, and keeps the answer."""
    put(table, "photos", {name: value for name, value in OWED.items() if name != "owed"})

    read = items.read_one(table.aws, "Table", "photos")

    assert read.owed == ()
    assert read.with_last_answers().owed == (f"{SHARE}a", f"{SHARE}b")


def test_a_bucket_without_an_item_is_quiet(table: World) -> None:
    assert items.read_one(table.aws, "Table", "photos") == BucketActivity("photos")


def test_without_a_table_there_are_no_buckets(world: World) -> None:
    assert items.read_all(world.aws, "Table") == {}


def test_a_denied_look_is_not_taken_for_no_buckets(table: World) -> None:
    table.wire.refuse("dynamodb:Scan", "AccessDeniedException")

    with pytest.raises(ClientError, match="AccessDenied"):
        items.read_all(table.aws, "Table")


def test_the_table_is_read_as_it_is_now(table: World) -> None:
    items.read_all(table.aws, "Table")
    items.read_one(table.aws, "Table", "photos")

    reads = table.wire.made("dynamodb:Scan") + table.wire.made("dynamodb:GetItem")
    assert [each["ConsistentRead"] for each in reads] == [True, True]


FAR, LONG_AGO = ({"not_before": {"N": str(ms)}} for ms in (10**13, 10**9))


@pytest.mark.parametrize(
    ("item", "kept"),
    [(OPEN, True), (PENDING, True), (FAR, True), (LONG_AGO, False), (IDLE, False), (BLOGS, False)],
)
def test_a_bucket_is_forgotten_only_when_no_refresh_is_to_come_and_the_interval_is_over(
    table: World, item: dict[str, Any], kept: bool
) -> None:
    put(table, "photos", item)
    put(table, "other", IDLE)

    item_writes.forget_bucket(table.aws, "Table", "photos")

    assert set(items.read_all(table.aws, "Table")) == ({"photos", "other"} if kept else {"other"})


def test_forgetting_what_is_not_known_is_no_error(world: World) -> None:
    item_writes.forget_bucket(world.aws, "Table", "photos")

    assert world.wire.changes == ["dynamodb:DeleteItem"]


def test_a_queue_is_as_deep_as_it_holds_messages(world: World) -> None:
    world.create(QUEUE)
    url = QUEUE.url(world.aws)
    assert url is not None
    for delay in (0, 0, 0, 900):
        world.somebody.sqs.send_message(QueueUrl=url, MessageBody="{}", DelaySeconds=delay)
    world.somebody.sqs.receive_message(QueueUrl=url)

    assert queues.depth(world.aws, "Queue", url) == QueueDepth("Queue", visible=2, delayed=1, in_flight=1)


def test_a_queue_that_is_gone_has_no_depth(world: World) -> None:
    world.create(QUEUE)
    found = world.found(QUEUE)
    world.delete(QUEUE)

    assert queues.depth(world.aws, "Queue", found.url) is None


def write_log(world: World, *lines: LogLine) -> None:
    logs = world.somebody.logs
    logs.create_log_group(logGroupName=GROUP)
    logs.create_log_stream(logGroupName=GROUP, logStreamName="s")
    events = [{"timestamp": line.time, "message": line.message + "\n"} for line in lines]
    logs.put_log_events(logGroupName=GROUP, logStreamName="s", logEvents=events)  # type: ignore[arg-type]  # plain dicts


def test_log_lines_begin_at_the_moment_asked_for(world: World) -> None:
    # moto takes lines of the last two weeks only.
    now = int(datetime.now(timezone.utc).timestamp() * 1000)
    lines = [LogLine(now - 2000, "one"), LogLine(now - 1000, "two"), LogLine(now, "three")]
    write_log(world, *lines)

    assert list(log_lines.read(world.aws, GROUP, now - 1000)) == lines[1:]


def test_log_lines_can_be_those_that_contain_a_text(world: World) -> None:
    now = int(datetime.now(timezone.utc).timestamp() * 1000)
    lines = [LogLine(now, "refresh [a] done"), LogLine(now, "skipped")]
    write_log(world, *lines)

    assert list(log_lines.read(world.aws, GROUP, 0, "refresh [a]")) == lines[:1]


def test_log_lines_can_be_those_that_contain_one_of_several_texts(world: World) -> None:
    now = int(datetime.now(timezone.utc).timestamp() * 1000)
    lines = [LogLine(now, "one"), LogLine(now + 1, "two"), LogLine(now + 2, "three")]
    write_log(world, *lines)

    assert list(log_lines.pages(world.aws, GROUP, 0, containing=["one", "thr"])) == [[lines[0], lines[2]]]


def test_log_lines_can_end_before_a_moment(world: World) -> None:
    now = int(datetime.now(timezone.utc).timestamp() * 1000)
    lines = [LogLine(now - 2, "one"), LogLine(now - 1, "two")]
    write_log(world, *lines)

    assert list(log_lines.pages(world.aws, GROUP, 0, until=now - 1)) == [lines[:1]]


@pytest.mark.parametrize("level", ["WARN", "warning", "Error", "CRITICAL"])
def test_levels_above_info_hide_the_lines(level: str) -> None:
    assert log_lines.hides_lines(level)


@pytest.mark.parametrize("level", ["INFO", "debug", "NOTSET", "10", "nonsense", "40", "FATAL", ""])
def test_other_levels_show_the_lines(level: str) -> None:
    assert not log_lines.hides_lines(level)


def test_a_log_group_that_is_not_there_has_no_lines(world: World) -> None:
    assert list(log_lines.read(world.aws, GROUP, 0)) == []


@pytest.mark.parametrize(
    ("due_s", "delay_s"), [(None, 30), (-5, 0), (20, 20), (61.2, 62), (42_600, 62)], ids=str
)
def test_a_message_comes_when_its_window_is_due_or_sooner_if_that_is_too_far_ahead(
    due_s: float | None, delay_s: int
) -> None:
    """A window too far ahead has other settings: the refresh function gives it an earlier end."""
    now = 1_750_000_000_000
    due = None if due_s is None else now + round(due_s * 1000)

    delay, numbers = messages.message_for(due, now, Settings(window=30, min_interval=60))

    assert delay == delay_s
    assert numbers == {"timestamp": now} | ({} if due is None else {"due": due})
