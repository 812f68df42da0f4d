"""status, as a script reads it."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from tests.e2e.support import OwnStack, World, eventually

pytestmark = pytest.mark.e2e


def test_status_shows_the_whole_stack(world: World, stack: OwnStack) -> None:
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
    assert list(status) == [
        *("stack", "region", "account", "healthy"),
        *("resources", "buckets", "queues", "functions"),
    ]
    assert status["stack"] == stack.names.stack
    assert (status["region"], status["account"]) == ("us-east-1", "000000000000")
    assert status["healthy"] is True
    assert {tuple(each) for each in status["resources"]} == {("kind", "name", "arn", "state", "differences")}
    assert {each["state"] for each in status["resources"]} == {"ok"}
    assert all(each["arn"].startswith("arn:aws:") for each in status["resources"])
    assert set(seen) == {"name", "window", "last_refresh", "shares", "pending", "keys"}
    assert (seen["name"], seen["window"]["open"], seen["last_refresh"]) == (bucket, True, None)
    assert closes_at.endswith("Z")
    left = datetime.fromisoformat(closes_at.replace("Z", "+00:00")) - datetime.now(timezone.utc)
    assert timedelta(minutes=8) < left < timedelta(minutes=10)
    assert queue == {"name": stack.names.queue, "visible": 0, "delayed": 1, "in_flight": 0}
    assert dead_letters == {"name": stack.names.dead_letters, "visible": 0, "delayed": 0, "in_flight": 0}


def test_status_says_what_is_missing_until_create_mends_it(world: World, stack: OwnStack) -> None:
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


def test_a_resource_of_our_name_without_our_tags_is_left_alone(world: World, stack: OwnStack) -> None:
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
