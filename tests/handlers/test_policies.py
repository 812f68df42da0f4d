"""What the functions' roles may do: what the handlers call, what Lambda does in their name, and no more."""

from __future__ import annotations

import pytest

from s3agg.aws.place import Place
from s3agg.settings import Names, Settings
from s3agg.stack import declared
from s3agg.stack.declared import Stack
from tests.support import iam
from tests.support.aws import Call
from tests.support.handlers import ACCOUNT, BUCKET, REGION, START_MS, Instances, record
from tests.support.iam import Grant, Need

PLACE = Place("aws", REGION, ACCOUNT)
STACK = declared.make(PLACE, Names(), Settings(), {})
ALIAS = "reports-abc-s3alias"

# What Lambda itself does with a role: it sends failures away, and empties the queue that triggers.
LAMBDAS_OWN = {
    "aggregator": [Need("sqs:SendMessage", STACK.dead_letters.arn)],
    "refresher": [
        Need(f"sqs:{name}", STACK.queue.arn)
        for name in ("DeleteMessage", "GetQueueAttributes", "ReceiveMessage")
    ],
}
# One policy of the table serves both roles, as the blog's did.
SHARED = {"aggregator": {"dynamodb:GetItem"}, "refresher": set[str]()}


def granted(name: str, stack: Stack = STACK) -> list[Grant]:
    function = stack.aggregator if name == "aggregator" else stack.refresher
    return iam.grants(*(policy.document for policy in function.role.policies))


@pytest.fixture
def needed(world: Instances) -> dict[str, list[Need]]:
    """What each function took from an event to its refresh, whatever it can come to on the way."""
    world.gateway.add(kind="SMB")
    world.gateway.add(f"{ALIAS}/a/prefix/")
    world.access_points = [{"Bucket": BUCKET, "Name": "reports", "Alias": ALIAS, "AccessPointArn": "arn"}]
    world.aggregator().handle_record(record())
    by_aggregator = taken(world)
    world.run(world.message(START_MS + 30_000))  # too early: it is put off
    world.clock.sleep(31)
    world.run(world.message(START_MS + 30_000))
    return {"aggregator": by_aggregator, "refresher": taken(world)}


def taken(world: Instances) -> list[Need]:
    """What the calls took; they are forgotten."""
    calls = [Call(name.replace(".", ":"), params) for name, params in world.calls]
    world.calls.clear()
    return [need for call in calls for need in iam.needs(call, PLACE, "")]


@pytest.mark.parametrize("name", LAMBDAS_OWN)
def test_a_function_may_do_all_that_it_does(needed: dict[str, list[Need]], name: str) -> None:
    assert len({need.action for need in needed[name]}) == {"aggregator": 2, "refresher": 8}[name]
    assert iam.refused(granted(name), needed[name] + LAMBDAS_OWN[name]) == []


@pytest.mark.parametrize("name", LAMBDAS_OWN)
def test_a_function_may_do_nothing_else(needed: dict[str, list[Need]], name: str) -> None:
    idle = iam.idle(granted(name), needed[name] + LAMBDAS_OWN[name])

    assert {grant.action for grant in idle} == SHARED[name]


@pytest.mark.parametrize("name", LAMBDAS_OWN)
def test_a_function_reaches_nothing_of_another_stack_but_the_accounts_shares(name: str) -> None:
    other = declared.make(PLACE, Names("Other"), Settings(), {})
    ours, theirs = ({grant.resource for grant in granted(name, stack)} for stack in (STACK, other))

    assert (
        ours & theirs
        == {"aggregator": set(), "refresher": {PLACE.arn("storagegateway", "share/*"), "*"}}[name]
    )
