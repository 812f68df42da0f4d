"""The whole life of one stack, in the order of the tests."""

from __future__ import annotations

import json
from dataclasses import dataclass

import pytest

from tests.acceptance import leftovers
from tests.acceptance.account import Account, Stack, told
from tests.support.ran import Ran

pytestmark = pytest.mark.acceptance


@dataclass
class Life:
    """The stack, its bucket, and another bucket that its owner deletes by hand."""

    account: Account
    stack: Stack
    bucket: str
    other: str
    created: Ran


@pytest.fixture(scope="module")
def life(account: Account) -> Life:
    stack = account.stack("Life")
    bucket, other = account.make_bucket("life"), account.make_bucket("other")
    created = stack.create("--bucket", bucket, "--bucket", other)
    return Life(account, stack, bucket, other, created)


def test_create_makes_a_stack(life: Life) -> None:
    assert set(life.created.actions.values()) == {"create"}
    life.account.report.note(
        "life", "status without drift after create", "held", "", life.stack.becomes_declared()
    )


def test_a_second_create_changes_nothing(life: Life) -> None:
    again = life.stack.must("create")

    assert set(again.actions.values()) == {"keep"}


def test_uploads_reach_a_refresh_without_a_share(life: Life) -> None:
    ran = life.stack.run("test-upload", "--bucket", life.bucket)

    assert ran.code == 0, told(ran)
    assert ran.json["ok"]
    assert any("No file share" in note for note in ran.json["notes"])
    life.account.report.note(
        "life", "test-upload right after create", "held", json.dumps(ran.json["hops"]), ran.json["seconds"]
    )


def test_delete_leaves_nothing(life: Life) -> None:
    life.stack.must("delete", "--yes")
    account = life.account
    left = [
        str(each)
        for each in leftovers.find(account.aws, account.token)
        if life.stack.names.stack in each.name
    ]

    assert left == []
