"""EventBridge rules of the default bus: for finished refreshes (DESIGN 2b), and for events of buckets."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from botocore.exceptions import ClientError

from s3agg.aws.refusals import Refusal, unless_absent
from s3agg.aws.session import Aws
from s3agg.aws.snapshot import Snapshot
from s3agg.errors import S3aggError
from s3agg.resources.event_filter import ALL_EVENTS, EVENTBRIDGE, EventFilter
from s3agg.resources.event_pattern import filter_of, pattern_of
from s3agg.resources.permission import Permission
from s3agg.resources.queue import Queue
from s3agg.resources.resource import ABSENT, Found, Resource, canonical, tag_dict, tag_list

ENABLED = "ENABLED"
TARGET_ID = "s3agg"
DELIVERY_TAG = "s3agg:delivery"  # on a bucket's rule: s3agg turned EventBridge delivery of the bucket on
LONGEST_PATTERN = 2048  # characters (FACTS, EventBridge)
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
class EventRule(Resource[FoundRule], ABC):
    """A rule of the default event bus with one target. Targets that others added stay."""

    kind: ClassVar[str] = "rule"
    collides: ClassVar[tuple[Refusal, ...]] = COLLIDES

    @property
    @abstractmethod
    def event_pattern(self) -> Mapping[str, Any]:
        """The pattern of the events that the rule sends to its target."""

    @property
    @abstractmethod
    def target_arn(self) -> str: ...

    @property
    def arn(self) -> str:
        return self.place.arn("events", f"rule/{self.name}")

    @property
    def properties(self) -> Mapping[str, str]:
        return {
            PATTERN: canonical(self.event_pattern),
            SCHEDULE: ABSENT,
            STATE: ENABLED,
            TARGET: _described(self._target),
        }

    @property
    def cloudformation(self) -> Mapping[str, Mapping[str, Any]]:
        return {
            "AWS::Events::Rule": {
                "Name": self.name,
                "EventPattern": dict(self.event_pattern),
                "State": ENABLED,
                "Targets": [self._target],
                "Tags": tag_list(self.tags),
            }
        }

    @property
    def _target(self) -> Any:
        return {"Id": TARGET_ID, "Arn": self.target_arn}

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
        self._put_target(aws)

    def _put(self, aws: Aws, **more: Any) -> None:
        aws.eventbridge.put_rule(
            Name=self.name,
            EventPattern=json.dumps(self.event_pattern, ensure_ascii=False),
            State="ENABLED",
            **more,
        )

    def _put_target(self, aws: Aws) -> None:
        def put() -> None:
            answer = aws.eventbridge.put_targets(Rule=self.name, Targets=[self._target])
            _check(answer, "PutTargets")

        self._when_it_shows(aws, put)

    def _put_tags(self, aws: Aws, tags: Mapping[str, str]) -> None:
        def put() -> None:
            aws.eventbridge.tag_resource(ResourceARN=self.arn, Tags=tag_list(tags))

        self._when_it_shows(aws, put)

    def _when_it_shows(self, aws: Aws, call: Callable[[], None]) -> None:
        """Repeat a call while the rule is new, perhaps by an interrupted run, and does not show to it yet."""
        aws.wait.retry(f"rule {self.name} to show", call, on=NOT_THERE_YET)

    def update(self, aws: Aws, found: FoundRule) -> None:
        if missing := self.missing_tags(found):
            self._put_tags(aws, missing)
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


@dataclass(frozen=True, eq=False)
class CompletionRule(EventRule):
    """The rule that sends a gateway's event of a finished refresh to the action queue.

    `is_readable` is False if AWS does not allow reading it: then s3agg leaves the rule as it is.
    """

    queue: Queue
    pattern: Mapping[str, Any]
    is_readable: bool = True

    @property
    def wanted(self) -> bool:
        return self.is_readable

    @property
    def event_pattern(self) -> Mapping[str, Any]:
        return self.pattern

    @property
    def target_arn(self) -> str:
        return self.queue.arn


@dataclass(frozen=True, eq=False)
class BucketRule(EventRule):
    """The rule that sends a bucket's events to the aggregator, which the permission allows.

    Two stacks can need the same name: `A` for bucket `b-c`, and `A-b` for bucket `c`.
    """

    remedy: ClassVar[str] = "attach the rule's bucket with --via notification, or to a stack of another name"

    permission: Permission
    event_filter: EventFilter

    @property
    def bucket(self) -> str:
        return self.permission.bucket

    @property
    def wanted(self) -> bool:
        return self.permission.wanted

    @property
    def event_pattern(self) -> Mapping[str, Any]:
        return pattern_of(self.bucket, self.event_filter)

    @property
    def target_arn(self) -> str:
        return self.permission.function.arn

    def filter_of(self, found: FoundRule) -> EventFilter:
        """Return what the found rule chooses; all events if its pattern is not one of s3agg."""
        return filter_of(found.pattern) or replace(ALL_EVENTS, via=EVENTBRIDGE)

    def had_all_events(self, found: FoundRule) -> bool:
        """Whether the found rule already gave the function every event that the declared filter has."""
        target = found.targets.get(TARGET_ID, {})
        chosen = filter_of(found.pattern)
        return (
            found.state == ENABLED
            and _described(target) == self.target_arn
            and chosen is not None
            and not chosen.excludes(self.event_filter)
        )

    def fault(self, found: FoundRule) -> str:
        """Return why the found rule sends nothing to the function; empty if it does."""
        if found.state != ENABLED:
            return "is disabled"
        sends = _described(found.targets.get(TARGET_ID, {})) == self.target_arn
        return "" if sends else f"does not send to function {self.permission.function.name}"

    def mark(self, aws: Aws) -> None:
        """Tag the rule: s3agg turns EventBridge delivery of the bucket on. The bucket's item can be lost."""
        self._put_tags(aws, {DELIVERY_TAG: "on"})

    def is_marked(self, found: FoundRule) -> bool:
        """Whether the found rule is the stack's, and tells that s3agg turned the delivery on."""
        return self.owner(found).ours and DELIVERY_TAG in (found.tags or {})

    def check_length(self) -> None:
        """Raise S3aggError if the pattern is longer than EventBridge accepts."""
        length = len(json.dumps(self.event_pattern, ensure_ascii=False))
        if length > LONGEST_PATTERN:
            raise S3aggError(
                f"The event pattern of bucket {self.bucket} would have {length} characters, and EventBridge"
                f" accepts {LONGEST_PATTERN}",
                "Pass fewer or shorter prefixes and suffixes",
            )


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
