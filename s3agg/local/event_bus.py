"""The default event bus: delivers a gateway's events to queues, as EventBridge does.

The emulator refuses events of AWS's own sources, as AWS does. So this reads the rules of the emulator, and
sends the events itself.
"""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

if TYPE_CHECKING:
    from mypy_boto3_events.client import EventBridgeClient
    from mypy_boto3_sqs.client import SQSClient

logger = logging.getLogger(__name__)

EVENTBRIDGE = "events.amazonaws.com"


class EventBus:
    """Delivers events to the queues of the rules that match."""

    def __init__(self, events: EventBridgeClient, sqs: SQSClient) -> None:
        self._events = events
        self._sqs = sqs

    def deliver(self, event: dict[str, Any]) -> None:
        """Send the event to each queue; log what fails, as nobody waits for it."""
        try:
            text = json.dumps(event)
            for page in self._events.get_paginator("list_rules").paginate():
                for rule in page["Rules"]:
                    if rule.get("State") == "ENABLED" and self._matches(rule.get("EventPattern"), text):
                        self._send(rule["Name"], rule["Arn"], text)
        except (BotoCoreError, ClientError) as error:
            logger.warning("Failed to deliver an event of %s: %s", event["source"], error)

    def _matches(self, pattern: str | None, event: str) -> bool:
        if not pattern:  # a schedule
            return False
        return self._events.test_event_pattern(EventPattern=pattern, Event=event)["Result"]

    def _send(self, rule: str, rule_arn: str, event: str) -> None:
        for page in self._events.get_paginator("list_targets_by_rule").paginate(Rule=rule):
            for target in page["Targets"]:
                _, _, service, _, _, name, *_ = [*target["Arn"].split(":", 5), ""]
                if service != "sqs":
                    continue
                url = self._sqs.get_queue_url(QueueName=name)["QueueUrl"]
                answer = self._sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["Policy"])
                if may_send(answer.get("Attributes", {}).get("Policy", ""), rule_arn):
                    self._sqs.send_message(QueueUrl=url, MessageBody=event)
                else:
                    logger.warning("The policy of queue %s does not let rule %s send to it", name, rule)


def may_send(policy: str, rule_arn: str) -> bool:
    """Whether a statement of the queue's policy lets EventBridge send for this rule."""
    statements = json.loads(policy)["Statement"] if policy else []
    return any(
        statement["Effect"] == "Allow"
        and statement.get("Principal") == {"Service": EVENTBRIDGE}
        and rule_arn in json.dumps(statement.get("Condition", rule_arn))
        for statement in statements
    )
