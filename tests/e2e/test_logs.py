"""logs: what the functions really write, as their user reads it."""

from __future__ import annotations

import json

import pytest

from tests.e2e.support import LocalAws
from tests.support.polling import eventually

pytestmark = pytest.mark.e2e


def test_logs_follow_both_functions_from_the_upload_to_the_refresh(world: LocalAws) -> None:
    stack, bucket = world.stack(), world.bucket()
    world.share(bucket)
    stack.run.must("create", "--bucket", bucket, "--window", "4", "--min-interval", "1")
    with stack.run.start("logs", "--follow", "--bucket", bucket) as following:
        world.upload(bucket, "one", "two")
        eventually(lambda: following.stdout.count("\n") >= 5)
        ran = following.interrupt()
    stack.end_functions()

    entries = [json.loads(line) for line in ran.stdout.splitlines()]
    assert ran.code == 0
    assert [entry["function"] for entry in entries] == ["aggregator"] * 2 + ["refresh"] * 3
    assert {entry["level"] for entry in entries} == {"INFO"}
    assert "Refreshing file share" in entries[2]["message"]  # names no bucket
    assert "Refresh accepted" in entries[3]["message"]
    assert "File share complete" in entries[4]["message"]  # of another invocation
