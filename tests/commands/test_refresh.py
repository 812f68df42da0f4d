"""refresh: what it writes and sends, an interruption at each call, and its waiting."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest

from s3agg.aws.clock import from_ms
from s3agg.commands import refresh
from s3agg.commands.acceptance import Goal
from s3agg.commands.refresh import Report
from s3agg.commands.watching import Waiting
from s3agg.errors import S3aggError
from s3agg.live.items import BucketActivity, Window
from s3agg.settings import Names
from s3agg.stack import deployed
from s3agg.stack.declared import Stack
from tests.support import aws as support
from tests.support import deploying
from tests.support.aws import PLACE, World
from tests.support.handlers import classes, known
from tests.support.interruption import KINDS, Died, Terminal
from tests.support.progress import ended

pytestmark = pytest.mark.stack
world = support.world

NAMES = Names()
SHARE = PLACE.arn("storagegateway", "share/share-1")
WINDOW = {"timestamp": {"N": "1750003600000"}, "opened_by": {"S": "event"}}
UNFINISHED = {"pending": {"S": "before"}, "done": {"SS": ["share-1"]}}


@pytest.fixture
def stack(world: World) -> World:
    """An account with a stack of two buckets, which nobody reads: the functions do not run.

    Its rule is disabled: nothing tells when a refresh is complete.
    """
    deploying.make(world, "photos", "videos")
    world.somebody.eventbridge.disable_rule(Name=NAMES.refresh_rule)
    return world


@pytest.fixture
def telling(stack: World) -> World:
    stack.somebody.eventbridge.enable_rule(Name=NAMES.refresh_rule)
    return stack


def put(world: World, bucket: str, **changes: Any) -> None:
    """Change attributes of a bucket's item, as a function does; None removes one."""
    item = item_of(world, bucket) | {"BucketName": {"S": bucket}} | changes
    kept = {name: value for name, value in item.items() if value is not None}
    world.somebody.dynamodb.put_item(TableName=NAMES.table, Item=kept)


def item_of(world: World, bucket: str) -> dict[str, Any]:
    key = {"BucketName": {"S": bucket}}
    answer = world.somebody.dynamodb.get_item(TableName=NAMES.table, Key=key)
    return dict(answer.get("Item", {}))


def messages(world: World) -> list[Any]:
    """The messages that were sent; moto's Lambda takes them from the queue."""
    return world.wire.made("sqs:SendMessage")


def run(
    world: World, *buckets: str, wait: bool = False, timeout_s: float | None = None
) -> tuple[list[Waiting], Report]:
    deployment = deployed.read(world.aws, NAMES)
    return ended(refresh.run(world.aws, deployment, buckets, wait=wait, timeout_s=timeout_s))


# The request


def test_everything_is_pending_and_a_message_comes_at_once(stack: World) -> None:
    put(stack, "photos", **UNFINISHED)

    _, report = run(stack, "photos")

    item, (message,) = item_of(stack, "photos"), messages(stack)
    assert item["pending"] != UNFINISHED["pending"]
    assert "done" not in item
    assert item["unrefreshed_since"] == {"N": str(stack.clock.ms)}
    assert message["MessageAttributes"]["bucket-name"]["StringValue"] == "photos"
    assert message["DelaySeconds"] == 0
    assert [(each.bucket, each.outcome) for each in report.buckets] == [("photos", "requested")]
    assert "pending" not in item_of(stack, "videos")


def test_the_start_that_is_told_follows_a_minimum_interval_that_was_changed(stack: World) -> None:
    """The last round stored the end of an interval of 300 s, and now it is 60 s."""
    ends = {"not_before": {"N": str(stack.clock.ms + 250_000)}, "pause": {"N": "302000"}}
    put(stack, "photos", **ends)

    _, report = run(stack, "photos")

    assert report.buckets[0].not_before == from_ms(stack.clock.ms + 10_000)


def test_an_open_window_stays_and_the_message_waits_for_it_too(stack: World) -> None:
    put(stack, "photos", **WINDOW)

    run(stack, "photos")

    (message,) = messages(stack)
    assert WINDOW.items() <= item_of(stack, "photos").items()
    assert message["MessageAttributes"]["due"]["StringValue"] == WINDOW["timestamp"]["N"]
    assert message["DelaySeconds"] == 0


def test_a_share_that_waits_already_keeps_the_time_since_when(stack: World) -> None:
    put(stack, "photos", **UNFINISHED, unrefreshed_since={"N": "1"})

    run(stack, "photos")

    assert item_of(stack, "photos")["unrefreshed_since"] == {"N": "1"}


def test_without_a_bucket_it_is_for_every_attached_one(stack: World) -> None:
    _, report = run(stack)

    assert [each.bucket for each in report.buckets] == ["photos", "videos"]
    assert len(messages(stack)) == 2


def test_a_bucket_that_is_not_attached_is_refused_before_any_change(stack: World) -> None:
    with pytest.raises(S3aggError, match=r"Bucket other is not attached .* s3agg create --bucket other"):
        run(stack, "photos", "other")

    assert stack.wire.changes == []


def test_a_bucket_that_was_detached_meanwhile_gets_no_item(stack: World) -> None:
    deployment = deployed.read(stack.aws, NAMES)
    stack.somebody.dynamodb.delete_item(TableName=NAMES.table, Key={"BucketName": {"S": "photos"}})

    with pytest.raises(S3aggError, match="does not store bucket photos as attached"):
        ended(refresh.run(stack.aws, deployment, ["photos"], wait=False))

    assert item_of(stack, "photos") == {}
    assert messages(stack) == []


def test_nothing_is_requested_where_no_refresh_can_start(stack: World) -> None:
    (trigger,) = stack.somebody.lambda_.list_event_source_mappings()["EventSourceMappings"]
    stack.somebody.lambda_.update_event_source_mapping(UUID=trigger["UUID"], Enabled=False)
    deployment = deployed.read(stack.aws, NAMES)
    refresher = deployment.found.of(deployment.stack.refresher)
    assert refresher is not None
    deployment.found.add(deployment.stack.refresher, replace(refresher, reserved=0))  # moto shows no 0

    with pytest.raises(S3aggError, match=r"trigger of .* disabled.* concurrency of .* is 0.*s3agg create"):
        ended(refresh.run(stack.aws, deployment, (), wait=False))

    assert stack.wire.changes == []


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("at", [1, 2, 3])
def test_whichever_call_goes_wrong_a_second_run_finishes_the_request(
    stack: World, at: int, kind: str
) -> None:
    put(stack, "photos", **WINDOW, **UNFINISHED)
    deployment = deployed.read(stack.aws, NAMES)
    terminal = Terminal(stack.somebody)
    process = terminal.process()
    _ = process.place  # known since the deployment was read
    terminal.interruption.arm(at, kind)

    with suppress(Died, S3aggError):
        refresh.request(process, deployment, "photos")
    struck = terminal.interruption.struck
    half_way = item_of(stack, "photos")
    terminal.interruption.arm()
    refresh.request(terminal.process(), deployment, "photos")

    assert struck == ("dynamodb:UpdateItem", "sqs:GetQueueUrl", "sqs:SendMessage")[at - 1]
    assert WINDOW.items() <= half_way.items()
    assert "pending" in half_way
    done = item_of(stack, "photos")
    assert WINDOW.items() <= done.items()
    assert done["pending"] not in (UNFINISHED["pending"], None)
    assert "done" not in done
    assert terminal.interruption.effects == ["dynamodb:UpdateItem", "sqs:SendMessage"]


# The waiting


def accept(world: World, started: int, **more: Any) -> Callable[[], None]:
    return lambda: put(
        world,
        "photos",
        pending=None,
        unrefreshed_since=None,
        refreshed={"N": str(started)},
        **known({"share-1": ""}),
        **more,
    )


def test_it_waits_until_the_shares_have_accepted(stack: World) -> None:
    stack.wire.before("dynamodb:GetItem", accept(stack, 1_750_000_042_000), after=2)

    waits, report = run(stack, "photos", wait=True)

    (photos,) = report.buckets
    assert report.ok
    assert (photos.outcome, photos.shares) == ("accepted", (SHARE,))
    assert photos.started == from_ms(1_750_000_042_000)
    assert waits[0].what == f"bucket photos: function {NAMES.refresher} to start the refresh"


def test_a_refresh_that_was_complete_before_does_not_count_and_a_later_window_does_not_hide_one(
    stack: World,
) -> None:
    put(stack, "photos", refreshed={"N": "1750000000000"})

    def complete_and_close_a_later_window() -> None:
        accept(stack, 1_750_000_001_000)()
        put(stack, "photos", pending={"S": "later"})

    stack.wire.before("dynamodb:GetItem", complete_and_close_a_later_window, after=3)

    waits, report = run(stack, "photos", wait=True)

    assert report.ok
    assert len(waits) == 3
    assert item_of(stack, "photos")["pending"] == {"S": "later"}


def test_it_counts_the_minimum_interval_down_without_reading(stack: World) -> None:
    put(stack, "photos", not_before={"N": str(stack.clock.ms + 40_000)})
    stack.wire.before("dynamodb:GetItem", accept(stack, stack.clock.ms + 40_000), after=1)

    waits, report = run(stack, "photos", wait=True)

    assert [each.what for each in waits[:2]] == [
        "bucket photos: the minimum interval to end, 40 s left",
        "bucket photos: the minimum interval to end, 39 s left",
    ]
    assert len(stack.wire.made("dynamodb:GetItem")) == 2
    assert report.ok


def test_it_tells_the_time_until_a_round_that_runs_at_the_request_lets_the_next_one_start(
    stack: World,
) -> None:
    """A running round sets `not_before` to the minimum interval after its own timeout."""
    put(stack, "photos", pending={"S": "running"}, not_before={"N": str(stack.clock.ms + 92_000)})
    stack.wire.before("dynamodb:GetItem", accept(stack, stack.clock.ms + 92_000), after=2)

    waits, report = run(stack, "photos", wait=True)

    assert [each.what for each in waits[:2]] == [
        "bucket photos: the minimum interval to end, 92 s left",
        "bucket photos: the minimum interval to end, 91 s left",
    ]
    assert report.ok


def log(world: World, *lines: tuple[int, str]) -> None:
    """The refresh function's log from now on: ms since 1970, and message."""
    events = [{"timestamp": at, "message": f"[INFO]\tx\ty\t{line}"} for at, line in lines]
    world.wire.answer("logs:FilterLogEvents", {"events": events})


ACCEPTED = f"Refreshing file share: {SHARE}, notification: "
COMPLETE = f"File share complete: {SHARE}, notification: "


def test_it_waits_until_each_gateway_has_finished(telling: World) -> None:
    """An earlier refresh of the share is complete: that does not count."""
    not_before = telling.clock.ms + 40_000
    put(telling, "photos", not_before={"N": str(not_before)})
    telling.wire.before("dynamodb:GetItem", accept(telling, not_before), after=1)
    before = (not_before - 62_000, f"{ACCEPTED}old"), (not_before - 60_000, f"{COMPLETE}old, took: 9 ms")
    now = (not_before + 100, f"{ACCEPTED}new")
    done = (not_before + 7000, f"{COMPLETE}new, took: 6900 ms")
    log(telling, *before, now)
    telling.wire.before("logs:FilterLogEvents", lambda: log(telling, *before, now, done), after=4)

    waits, report = run(telling, "photos", wait=True)

    (photos,) = report.buckets
    assert (photos.outcome, photos.complete) == ("complete", from_ms(not_before + 7000))
    assert waits[-1].what == "bucket photos: the refresh to be complete"


def test_a_refresh_that_no_gateway_confirms_is_accepted_at_the_timeout(telling: World) -> None:
    telling.wire.before("dynamodb:GetItem", accept(telling, 1_750_000_042_000), after=1)
    log(telling)

    _, report = run(telling, "photos", wait=True, timeout_s=30)

    assert report.ok
    assert [each.outcome for each in report.buckets] == ["accepted"]
    assert report.seconds == 30
    (warning,) = telling.warnings
    assert warning == (
        "Bucket photos: not every gateway finished the refresh within 30 s. A large bucket takes longer."
        " To see when it is complete, run: s3agg status."
    )


def test_a_round_that_runs_is_looked_at_again_soon(stack: World) -> None:
    """It has moved `not_before` to the end of the next interval, and may end at once."""
    share = classes("known_shares").KnownShare("", owed=1)
    busy = {**known({"share-1": share}), "owed": {"BOOL": True}, "not_before": {"N": str(stack.clock.ms)}}
    running = {"owed": None, "not_before": {"N": str(stack.clock.ms + 92_000)}}
    stack.wire.before("dynamodb:GetItem", lambda: put(stack, "photos", **busy), after=1)
    stack.wire.before("dynamodb:GetItem", lambda: put(stack, "photos", **running), after=2)
    stack.wire.before("dynamodb:GetItem", accept(stack, stack.clock.ms + 92_000), after=3)

    _, report = run(stack, "photos", wait=True)

    assert report.ok
    assert report.seconds < 5


def test_at_the_timeout_it_names_the_shares_and_the_last_answer(stack: World) -> None:
    """A round has just removed `owed`, as each does at its start."""
    share = classes("known_shares").KnownShare("", owed=1)
    busy = {
        **known({"share-1": share}),
        "owed": {"BOOL": True},
        "answer": {"S": "busy"},
        "not_before": {"N": str(stack.clock.ms + 9000)},
    }
    stack.wire.before("dynamodb:GetItem", lambda: put(stack, "photos", **busy), after=1)
    stack.wire.before("dynamodb:GetItem", lambda: put(stack, "photos", owed=None, answer=None), after=3)

    _, report = run(stack, wait=True, timeout_s=30)

    photos, videos = report.buckets
    assert not report.ok
    assert (photos.outcome, photos.owed, photos.answer) == ("not_accepted", (SHARE,), "busy")
    assert videos.waits_for == f"function {NAMES.refresher} to start the refresh"
    assert report.seconds == 30


NOW = from_ms(1_750_000_000_000)


def at(seconds: float) -> Any:
    return from_ms(1_750_000_000_000 + seconds * 1000)


def open_till(seconds: float, **more: Any) -> BucketActivity:
    return BucketActivity("b", Window(open=True, closes_at=at(seconds)), **more)


@pytest.mark.parametrize(
    ("item", "what", "seconds"),
    [
        (open_till(20), "the window to close, 20 s left", 20),
        (open_till(20, not_before=at(25)), "the minimum interval to end, 25 s left", 25),
        (open_till(-5), f"function {NAMES.refresher} to start the refresh", 0),
        (BucketActivity("b", pending=True, not_before=at(90)), "the file shares to accept", 0),
        (
            BucketActivity("b", pending=True, owed=(SHARE,), not_before=at(50)),
            "1 file share to accept at the next try, 50 s left",
            50,
        ),
        (open_till(99_999), "the window to close, 30 s left", 30),  # this machine's clock is wrong
    ],
)
def test_what_an_item_without_a_request_waits_for(
    stack: World, item: BucketActivity, what: str, seconds: float
) -> None:
    declared: Stack = deployed.read(stack.aws, NAMES).stack

    awaited = Goal("b").awaits(item, declared, NOW)

    assert (awaited.what, awaited.seconds) == (what, seconds)
