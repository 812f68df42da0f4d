"""status, as a script reads it."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from tests.e2e.support import LocalAws, OwnStack
from tests.support import terminal
from tests.support.polling import eventually

pytestmark = pytest.mark.e2e


def test_status_shows_the_whole_stack(world: LocalAws, stack: OwnStack) -> None:
    bucket = world.bucket()
    stack.run.must("create", "--bucket", bucket, "--window", "600")
    world.upload(bucket, "file")
    eventually(lambda: bucket in stack.items)
    ran = stack.run("status")

    status = ran.json
    (seen,) = status["buckets"]
    queue, dead_letters = status["queues"]
    closes_at = seen["window"]["closes_at"]
    assert ran.code == 0
    assert status["stack"] == stack.names.stack
    assert (status["region"], status["account"]) == ("us-east-1", "000000000000")
    assert status["healthy"] is True
    assert {tuple(each) for each in status["resources"]} == {
        ("kind", "name", "arn", "state", "differences", "owner")
    }
    assert {each["state"] for each in status["resources"]} == {"ok"}
    assert all(each["arn"].startswith("arn:aws:") for each in status["resources"])
    assert (seen["name"], seen["window"]["open"], seen["last_refresh"]) == (bucket, True, None)
    assert closes_at.endswith("Z")
    left = datetime.fromisoformat(closes_at.replace("Z", "+00:00")) - datetime.now(timezone.utc)
    assert timedelta(minutes=8) < left < timedelta(minutes=10)
    assert queue == {"name": stack.names.queue, "visible": 0, "delayed": 1, "in_flight": 0}
    assert [each["hours"] for each in status["aggregated"]] == [1, 24]
    assert status["timers"] == {}
    assert dead_letters == {"name": stack.names.dead_letters, "visible": 0, "delayed": 0, "in_flight": 0}


def test_status_counts_events_and_refreshes_and_finds_who_may_not_need_it(
    world: LocalAws, stack: OwnStack
) -> None:
    bucket = world.bucket()
    timer = world.share(bucket, CacheAttributes={"CacheStaleTimeoutInSeconds": 300})
    other = world.share(bucket)
    stack.run.must("create", "--bucket", bucket, "--window", "2", "--concurrency", "5")
    stack.run.must("test-upload", "--count", "3", "--keep")

    status = stack.run.must("status").json

    hour, day = ({**each, "hours": 0} for each in status["aggregated"])
    assert (hour["events"]["total"], hour["refreshes"]["total"], hour["events_per_refresh"]) == (3, 1, 3)
    assert sum(hour["events"]["over_time"]) == 3
    assert (day["events"]["total"], day["refreshes"]["total"]) == (3, 1)
    assert status["timers"] == {timer: 300}
    assert {each["share"]: each["state"] for each in status["buckets"][0]["refreshes"]} == {
        timer: "complete",
        other: "complete",
    }


def test_watching_redraws_in_place_and_ends_cleanly_on_ctrl_c(world: LocalAws, stack: OwnStack) -> None:
    bucket = world.bucket()
    stack.run.must("create", "--bucket", bucket, "--window", "600")
    cli = stack.run.set(S3AGG_OUTPUT=None)
    with terminal.running([*cli.command, "status", "--watch"], cli.environment, cli.folder) as watched:
        watched.look_until(lambda seen: "Healthy" in seen.text)
        assert "closes in" not in watched.text
        world.upload(bucket, "file")
        watched.look_until(lambda seen: "open, closes in" in seen.text)
        watched.interrupt()
        code = watched.wait()

    before, _, written = watched.written.partition(b"\x1b[?1049h")
    drawn, _, after = written.partition(b"\x1b[?1049l")
    assert code == 0
    assert all(line.startswith(b"waiting for ") for line in before.splitlines())  # on a slow machine
    assert drawn.count(b"\x1b[2J") <= 1  # wiping the screen is what flickers
    assert b"\x1b[?25h" in watched.written[watched.written.rindex(b"\x1b[?25l") :]  # the cursor is back
    assert after.replace(b"\x1b[?25h", b"").strip() == b""


def test_status_says_what_is_missing_until_create_mends_it(world: LocalAws, stack: OwnStack) -> None:
    stack.run.must("create", "--bucket", world.bucket())
    sqs = world.client("sqs")
    sqs.delete_queue(QueueUrl=sqs.get_queue_url(QueueName=stack.names.queue)["QueueUrl"])

    broken = stack.run("status")
    stack.run.must("create")
    mended = stack.run("status")

    states = {f"{each['kind']} {each['name']}": each["state"] for each in broken.json["resources"]}
    assert (broken.code, broken.json["healthy"]) == (3, False)
    assert states[f"queue {stack.names.queue}"] == "missing"
    assert states[f"table {stack.names.table}"] == "ok"
    assert (mended.code, mended.json["healthy"]) == (0, True)


def test_a_resource_of_our_name_without_our_tags_is_left_alone(world: LocalAws, stack: OwnStack) -> None:
    bucket = world.bucket()
    world.client("sqs").create_queue(QueueName=stack.names.queue)
    before = world.inventory()

    status = stack.run("status")
    refused = [stack.run("create", "--bucket", bucket), stack.run("delete", "--yes")]

    foreign = [each["name"] for each in status.json["resources"] if each["state"] == "foreign"]
    assert (status.code, foreign) == (3, [stack.names.queue])
    assert [(ran.code, len(ran.stderr.splitlines())) for ran in refused] == [(1, 1), (1, 1)]
    assert all(stack.names.queue in ran.stderr for ran in refused)
    assert world.inventory() == before


def test_status_of_nothing_is_not_as_declared(stack: OwnStack) -> None:
    ran = stack.run("status")

    assert ran.code == 3
    assert {each["state"] for each in ran.json["resources"]} == {"missing"}
    assert ran.json["buckets"] == []
