"""The EventBridge rule that sends a gateway's event of a finished refresh to the action queue (DESIGN 2b)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from botocore.exceptions import ClientError

from s3agg.aws.refusals import Refusal, unless_absent
from s3agg.aws.session import Aws
from s3agg.aws.snapshot import Snapshot
from s3agg.resources.queue import Queue
from s3agg.resources.resource import ABSENT, Found, Resource, canonical, tag_dict, tag_list

ENABLED = "ENABLED"
TARGET_ID = "s3agg"
PATTERN, SCHEDULE, STATE, TARGET = "event pattern", "schedule", "state", "target"
# Another change of the rule is in progress, or a target that was removed still shows (FACTS 42).
COLLIDES = (
    Refusal("ConcurrentModificationException"),
    Refusal("ValidationException", "has targets"),
)
NOT_THERE_YET = (Refusal("ResourceNotFoundException"),)  # right after PutRule (FACTS 42)


@dataclass(frozen=True, kw_only=True)
class FoundRule(Found):
    """A rule of the default event bus; `targets` holds its targets by their ids."""

    pattern: Mapping[str, Any]
    schedule: str
    state: str
    targets: Mapping[str, Mapping[str, Any]]

    @property
    def properties(self) -> Mapping[str, str]:
        return {
            PATTERN: canonical(self.pattern) if self.pattern else ABSENT,
            SCHEDULE: self.schedule,
            STATE: self.state,
            TARGET: _described(self.targets.get(TARGET_ID, {})),
        }


@dataclass(frozen=True, eq=False)
class EventRule(Resource[FoundRule]):
    """A rule of the default event bus, whose target is a queue. Targets that others added stay.

    `is_readable` is False if AWS does not allow reading it: then s3agg leaves the rule as it is.
    """

    kind: ClassVar[str] = "rule"
    collides: ClassVar[tuple[Refusal, ...]] = COLLIDES

    queue: Queue
    pattern: Mapping[str, Any]
    is_readable: bool = True

    @property
    def wanted(self) -> bool:
        return self.is_readable

    @property
    def arn(self) -> str:
        return self.place.arn("events", f"rule/{self.name}")

    @property
    def properties(self) -> Mapping[str, str]:
        return {
            PATTERN: canonical(self.pattern),
            SCHEDULE: ABSENT,
            STATE: ENABLED,
            TARGET: _described(self._target),
        }

    @property
    def cloudformation(self) -> Mapping[str, Mapping[str, Any]]:
        return {
            "AWS::Events::Rule": {
                "Name": self.name,
                "EventPattern": dict(self.pattern),
                "State": ENABLED,
                "Targets": [self._target],
                "Tags": tag_list(self.tags),
            }
        }

    @property
    def _target(self) -> Any:
        return {"Id": TARGET_ID, "Arn": self.queue.arn}

    def find(self, snapshot: Snapshot) -> FoundRule | None:
        return unless_absent(self._found, snapshot.aws)

    def _found(self, aws: Aws) -> FoundRule:
        rule = aws.eventbridge.describe_rule(Name=self.name)
        targets, tags = aws.concurrently(
            # One page holds 100 targets, and a rule has at most 5.
            lambda aws: aws.eventbridge.list_targets_by_rule(Rule=self.name)["Targets"],
            lambda aws: aws.eventbridge.list_tags_for_resource(ResourceARN=self.arn)["Tags"],
        )
        return FoundRule(
            pattern=json.loads(rule.get("EventPattern") or "{}"),
            schedule=rule.get("ScheduleExpression") or ABSENT,
            state=rule["State"],
            targets={target["Id"]: target for target in targets},
            tags=tag_dict(tags),
        )

    def create(self, aws: Aws) -> None:
        self._put(aws, Tags=tag_list(self.tags))
        aws.wait.retry(f"rule {self.name} to show", lambda: self._put_target(aws), on=NOT_THERE_YET)

    def _put(self, aws: Aws, **more: Any) -> None:
        aws.eventbridge.put_rule(
            Name=self.name, EventPattern=json.dumps(self.pattern), State="ENABLED", **more
        )

    def _put_target(self, aws: Aws) -> None:
        answer = aws.eventbridge.put_targets(Rule=self.name, Targets=[self._target])
        _check(answer, "PutTargets")

    def update(self, aws: Aws, found: FoundRule) -> None:
        if missing := self.missing_tags(found):
            aws.eventbridge.tag_resource(ResourceARN=self.arn, Tags=tag_list(missing))
        if self.differs(found, PATTERN, SCHEDULE, STATE):
            self._put(aws)
        if self.differs(found, TARGET):
            self._put_target(aws)

    def delete(self, aws: Aws, found: FoundRule) -> None:
        # EventBridge deletes no rule that has targets. Those of others would get nothing without the rule, so
        # they go with it, as entities do that others attached a policy of the stack to.
        if found.targets:
            answer = unless_absent(aws.eventbridge.remove_targets, Rule=self.name, Ids=list(found.targets))
            _check(answer or {}, "RemoveTargets")
        unless_absent(aws.eventbridge.delete_rule, Name=self.name)


def _check(answer: Mapping[str, Any], operation: str) -> None:
    """Raise the first error in an answer: EventBridge refuses single targets in an answer of status 200."""
    for failed in answer.get("FailedEntries", []):
        error: Any = {"Code": failed.get("ErrorCode", ""), "Message": failed.get("ErrorMessage", "")}
        raise ClientError({"Error": error}, operation)


def _described(target: Mapping[str, Any]) -> str:
    """Return the ARN of a target; all that it holds if it does more than to pass the event on."""
    if not target:
        return ABSENT
    return str(target["Arn"]) if target.keys() == {"Id", "Arn"} else canonical(target)
