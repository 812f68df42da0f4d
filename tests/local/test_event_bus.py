"""The default event bus of this machine: which rules and queues get a gateway's event."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import Any

import boto3
import pytest
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders
from moto import mock_aws

from s3agg.local.event_bus import EventBus, may_send

EVENT = {"source": "aws.storagegateway", "detail-type": "Storage Gateway Refresh Cache Event", "detail": {}}
RULE = "arn:aws:events:us-east-1:123456789012:rule/Complete"


def statement(**differing: Any) -> dict[str, Any]:
    return {
        "Effect": "Allow",
        "Principal": {"Service": "events.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": "*",
        "Condition": {"ArnEquals": {"aws:SourceArn": RULE}},
        **differing,
    }


def policy(*statements: Mapping[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": statements})


@pytest.mark.parametrize(
    ("document", "may"),
    [
        (policy(statement()), True),
        (policy(statement(Effect="Deny"), statement()), True),
        (policy(statement(Condition={"ArnEquals": {"aws:SourceArn": "arn:aws:events:::rule/Other"}})), False),
        (policy(statement(Principal={"Service": "sns.amazonaws.com"})), False),
        (policy(statement(Effect="Deny")), False),
        ("", False),
    ],
)
def test_a_queue_takes_what_its_policy_allows_the_rule(document: str, may: bool) -> None:
    assert may_send(document, RULE) is may


def matched(params: dict[str, Any], **_: object) -> tuple[object, dict[str, Any]]:
    """Be EventBridge's TestEventPattern, which moto lacks, for patterns of the source."""
    asked = json.loads(params["body"])
    pattern, event = json.loads(asked["EventPattern"]), json.loads(asked["Event"])
    return AWSResponse("", 200, HTTPHeaders(), None), {"Result": event["source"] in pattern["source"]}


class Bus:
    """moto's EventBridge and SQS."""

    def __init__(self) -> None:
        self.events = boto3.client("events", region_name="us-east-1")
        self.events.meta.events.register("before-call.eventbridge.TestEventPattern", matched)  # type: ignore[arg-type]  # one that answers
        self.sqs = boto3.client("sqs", region_name="us-east-1")
        self.url = self.sqs.create_queue(QueueName="Actions")["QueueUrl"]
        self.arn = "arn:aws:sqs:us-east-1:123456789012:Actions"

    def rule(self, name: str = "Complete", *, target: str = "", **more: Any) -> None:
        pattern = json.dumps({"source": ["aws.storagegateway"]})
        self.events.put_rule(**{"Name": name, "EventPattern": pattern, **more})
        self.events.put_targets(Rule=name, Targets=[{"Id": "queue", "Arn": target or self.arn}])

    def allow(self, document: str) -> None:
        self.sqs.set_queue_attributes(QueueUrl=self.url, Attributes={"Policy": document})

    def received(self) -> list[dict[str, Any]]:
        EventBus(self.events, self.sqs).deliver(EVENT)
        answer = self.sqs.receive_message(QueueUrl=self.url, MaxNumberOfMessages=10)
        return [json.loads(message["Body"]) for message in answer.get("Messages", [])]


@pytest.fixture
def bus() -> Any:
    with mock_aws():
        yield Bus()


def test_the_queue_of_a_matching_rule_gets_the_event(bus: Bus) -> None:
    bus.rule()
    bus.allow(policy(statement()))

    assert bus.received() == [EVENT]


def test_a_rule_of_another_source_delivers_nothing(bus: Bus) -> None:
    bus.rule(EventPattern=json.dumps({"source": ["aws.s3"]}))
    bus.allow(policy(statement()))

    assert bus.received() == []


def test_a_rule_that_is_disabled_delivers_nothing(bus: Bus) -> None:
    bus.rule(State="DISABLED")
    bus.allow(policy(statement()))

    assert bus.received() == []


def test_a_schedule_and_a_target_that_is_no_queue_are_left_out(bus: Bus) -> None:
    bus.events.put_rule(Name="Hourly", ScheduleExpression="rate(1 hour)")
    bus.rule(target="arn:aws:lambda:us-east-1:123456789012:function:theirs")

    assert bus.received() == []


def test_without_a_policy_of_the_queue_the_event_is_lost_and_logged(
    bus: Bus, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, EventBus.__module__)
    bus.rule()

    assert bus.received() == []
    assert caplog.messages == ["The policy of queue Actions does not let rule Complete send to it"]


def test_a_queue_that_is_gone_is_logged(bus: Bus, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, EventBus.__module__)
    bus.rule(target=f"{bus.arn}Gone")

    assert bus.received() == []
    assert caplog.messages[0].startswith("Failed to deliver an event of aws.storagegateway: ")
