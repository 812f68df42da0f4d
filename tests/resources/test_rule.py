"""The rule for finished refreshes: found, drifted, repaired, foreign, denied."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from botocore.exceptions import ClientError
from mypy_boto3_events.type_defs import TargetTypeDef

from s3agg import engine
from s3agg.errors import S3aggError
from s3agg.resources.queue import SENDER_SID
from s3agg.settings import Names, Settings
from s3agg.stack import declared
from tests.support.aws import PLACE, World

STACK = declared.make(PLACE, Names(), Settings(), {})
RULE, QUEUE = STACK.rule, STACK.queue
NAME = "S3EventAggregatorRefreshComplete"
THEIRS: TargetTypeDef = {"Id": "theirs", "Arn": "arn:aws:sqs:eu-west-1:123456789012:Theirs"}


def targets(world: World) -> dict[str, str]:
    answer = world.somebody.eventbridge.list_targets_by_rule(Rule=NAME)
    return {each["Id"]: each["Arn"] for each in answer["Targets"]}


@pytest.fixture
def made(world: World) -> World:
    world.create(RULE)
    return world


def test_a_rule_that_is_not_there_is_found_missing(world: World) -> None:
    assert RULE.find(world.snapshot) is None


def test_the_rule_sends_a_gateways_events_to_the_queue(made: World) -> None:
    rule = made.somebody.eventbridge.describe_rule(Name=NAME)

    assert json.loads(rule["EventPattern"]) == {
        "source": ["aws.storagegateway"],
        "detail-type": ["Storage Gateway Refresh Cache Event"],
    }
    assert targets(made) == {"s3agg": QUEUE.arn}
    assert made.differences(RULE) == {}


def test_a_target_of_somebody_else_stays_until_the_rule_is_deleted(made: World) -> None:
    """EventBridge deletes no rule that has targets."""
    made.somebody.eventbridge.put_targets(Rule=NAME, Targets=[THEIRS])
    made.update(RULE)
    assert targets(made).keys() == {"s3agg", "theirs"}

    made.delete(RULE)

    assert RULE.find(made.snapshot) is None


def test_a_rule_of_our_name_without_our_tag_is_foreign(world: World) -> None:
    world.somebody.eventbridge.put_rule(Name=NAME, EventPattern='{"source": ["aws.s3"]}')
    found = engine.find(world.snapshot, [RULE])

    assert [change.action for change in engine.plan([RULE], found).changes] == ["foreign"]


def apply(world: World) -> None:
    """Create the rule, or update it, as the engine does."""
    list(engine.apply(world.aws, engine.plan([RULE], engine.find(world.snapshot, [RULE]))))


def failed(code: str) -> dict[str, Any]:
    """An answer of status 200 that refuses the target."""
    entry = {"TargetId": "s3agg", "ErrorCode": code, "ErrorMessage": "no"}
    return {"FailedEntryCount": 1, "FailedEntries": [entry]}


def test_a_target_that_eventbridge_does_not_take_is_a_failure(world: World) -> None:
    world.wire.answer("events:PutTargets", failed("InternalException"))

    with pytest.raises(S3aggError, match=r"PutTargets failed: no \(InternalException\)"):
        apply(world)


def test_a_target_that_collides_with_another_change_is_put_again(world: World) -> None:
    """FACTS 42."""
    world.wire.answer("events:PutTargets", failed("ConcurrentModificationException"), times=3)

    apply(world)

    assert targets(world) == {"s3agg": QUEUE.arn}
    assert len(world.wire.made("events:PutRule")) == 1


def test_a_rule_is_deleted_although_somebody_adds_a_target_meanwhile(made: World) -> None:
    """FACTS 42."""
    made.wire.before(
        "events:DeleteRule", lambda: made.somebody.eventbridge.put_targets(Rule=NAME, Targets=[THEIRS])
    )

    list(engine.apply(made.aws, engine.plan_delete([RULE], engine.find(made.snapshot, [RULE]))))

    assert RULE.find(made.snapshot) is None


@pytest.mark.parametrize("operation", ["DescribeRule", "ListTargetsByRule", "ListTagsForResource"])
def test_a_denied_look_is_not_taken_for_absence(made: World, operation: str) -> None:
    made.wire.refuse(f"events:{operation}", "AccessDeniedException")

    with pytest.raises(ClientError, match="AccessDenied"):
        RULE.find(made.snapshot)


def test_deleting_a_rule_that_is_gone_is_no_error(made: World) -> None:
    found = made.found(RULE)
    RULE.delete(made.aws, found)

    RULE.delete(made.aws, found)


def test_a_rule_that_nobody_may_read_is_not_declared() -> None:
    assert engine.plan([replace(RULE, is_readable=False)], {}).changes == []


# The queue's policy


def statements(world: World) -> dict[str, Any]:
    return {each["Sid"]: each for each in world.found(QUEUE).statements}


def set_policy(world: World, *statements: Mapping[str, Any]) -> None:
    policy = json.dumps({"Version": "2012-10-17", "Statement": statements})
    world.somebody.sqs.set_queue_attributes(QueueUrl=world.found(QUEUE).url, Attributes={"Policy": policy})


@pytest.mark.parametrize("operation", ["PutTargets", "TagResource"])
def test_an_update_waits_until_the_rule_of_an_interrupted_run_shows(world: World, operation: str) -> None:
    world.somebody.eventbridge.put_rule(Name=NAME, EventPattern='{"source": ["aws.s3"]}')
    world.wire.refuse(f"events:{operation}", "ResourceNotFoundException", times=2)

    world.update(RULE)

    assert world.differences(RULE) == {}
    assert len(world.wire.made(f"events:{operation}")) == 3


@pytest.fixture
def queues(world: World) -> World:
    world.create(STACK.dead_letters, QUEUE)
    return world


def test_only_the_rule_may_send_to_the_queue(queues: World) -> None:
    assert statements(queues) == {
        SENDER_SID: {
            "Sid": SENDER_SID,
            "Effect": "Allow",
            "Principal": {"Service": "events.amazonaws.com"},
            "Action": "sqs:SendMessage",
            "Resource": QUEUE.arn,
            "Condition": {"ArnEquals": {"aws:SourceArn": RULE.arn}},
        }
    }
    assert queues.differences(QUEUE) == {}
    assert STACK.dead_letters.sender is None


OURS = {"Sid": SENDER_SID, "Effect": "Allow", "Principal": {"Service": "events.amazonaws.com"}}
SENDS = {**OURS, "Action": "sqs:SendMessage", "Resource": QUEUE.arn}


@pytest.mark.parametrize(
    "changed",
    [
        {**SENDS, "Condition": {"ArnEquals": {"aws:SourceArn": "arn:aws:events:::rule/Other"}}},
        {**SENDS, "Effect": "Deny", "Condition": {"ArnEquals": {"aws:SourceArn": RULE.arn}}},
        {**SENDS, "Action": "sqs:ReceiveMessage", "Condition": {"ArnEquals": {"aws:SourceArn": RULE.arn}}},
        SENDS,
        {
            **SENDS,
            "Resource": f"{QUEUE.arn}Other",
            "Condition": {"ArnEquals": {"aws:SourceArn": RULE.arn}},
        },
    ],
    ids=["another rule", "denied", "another action", "no condition", "another queue"],
)
def test_a_changed_statement_is_drift_and_statements_of_others_stay(
    queues: World, changed: Mapping[str, Any]
) -> None:
    theirs = {**SENDS, "Sid": "theirs", "Principal": {"AWS": "arn:aws:iam::123456789012:root"}}
    set_policy(queues, theirs, changed)
    assert queues.differences(QUEUE).keys() == {"EventBridge rule that may send"}

    queues.update(QUEUE)

    assert statements(queues).keys() == {"theirs", SENDER_SID}
    assert queues.differences(QUEUE) == {}
