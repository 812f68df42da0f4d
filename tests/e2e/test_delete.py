"""delete leaves nothing of the stack, and everything else."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.support import LocalAws, OwnStack
from tests.support.polling import eventually

pytestmark = pytest.mark.e2e


def test_delete_leaves_nothing(world: LocalAws, stack: OwnStack) -> None:
    bucket = world.bucket()
    before = world.inventory()
    made = stack.run.must("create", "--bucket", bucket)
    with_the_stack = world.inventory()
    removed = stack.run.must("delete", "--yes")

    changed = {kind for kind in before if before[kind] != with_the_stack[kind]}
    kept_empty = {"alarms", "objects"}  # a stack has none unless asked
    assert changed == before.keys() - kept_empty
    assert removed.actions.keys() == made.actions.keys()
    assert world.inventory() == before


def test_a_delete_that_finishes_shows_the_last_upload_first(world: LocalAws, stack: OwnStack) -> None:
    bucket = world.bucket()
    share = world.share(bucket)
    before = world.inventory()
    stack.run.must("create", "--bucket", bucket, "--window", "8", "--min-interval", "1")
    world.upload(bucket, "last")
    eventually(lambda: not stack.is_quiet())

    deleted = stack.run.must("delete", "--finish", "--yes")

    (unfinished,) = deleted.json["unfinished"]
    assert unfinished["bucket"] == bucket
    assert unfinished["window_closes_at"]
    eventually(lambda: world.files(share) == ["last"])
    assert {**world.inventory(), "objects": None} == {**before, "objects": None}


@pytest.fixture(scope="module")
def attached(world: LocalAws) -> str:
    return world.bucket()


@pytest.fixture(scope="module")
def made(world: LocalAws, attached: str) -> Iterator[OwnStack]:
    """A stack that stays while it is not removed; the last test takes its bucket away."""
    own = world.stack()
    own.run.must("create", "--bucket", attached)
    yield own
    own.end_functions()


def test_a_bucket_that_was_never_attached_is_not_detached(
    world: LocalAws, made: OwnStack, attached: str
) -> None:
    other = world.bucket()
    before = world.inventory()

    ran = made.run("delete", "--bucket", other, "--yes")

    assert (ran.code, len(ran.stderr.splitlines())) == (0, 1)
    assert f"Bucket {other} is not attached" in ran.stderr
    assert attached in ran.stderr
    assert world.inventory() == before


def test_a_bucket_that_only_its_rule_still_names_can_be_detached(
    world: LocalAws, made: OwnStack, attached: str
) -> None:
    world.client("lambda").remove_permission(
        FunctionName=made.names.aggregator, StatementId=f"SID_{attached.replace('.', '_')}"
    )

    ran = made.run.must("delete", "--bucket", attached, "--yes")

    assert ran.actions == {f"notification {attached}": "delete"}
    assert world.notifications(attached) == {}
