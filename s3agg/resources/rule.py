"""The EventBridge rule that sends a gateway's event of a finished refresh to the action queue (DESIGN 2b)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from botocore.exceptions import ClientError

from s3agg.aws.refusals import DENIED, is_error, unless_absent
from s3agg.aws.session import Aws
from s3agg.aws.snapshot import Snapshot
from s3agg.errors import S3aggError
from s3agg.resources.queue import Queue
from s3agg.resources.resource import ABSENT, Difference, Found, Resource, canonical, tag_dict, tag_list

ENABLED = "ENABLED"
TARGET_ID = "s3agg"


@dataclass(frozen=True, kw_only=True)
class FoundRule(Found):
    """A rule of the default event bus; `targets` holds the ARNs of its targets by their ids.

    Only `is_readable` counts if AWS does not allow to read it.
    """

    pattern: str = ABSENT
    state: str = ABSENT
    targets: Mapping[str, str] | None = None
    is_readable: bool = True

    @property
    def properties(self) -> Mapping[str, str]:
        return {
            "event pattern": self.pattern,
            "state": self.state,
            "target": (self.targets or {}).get(TARGET_ID, ABSENT),
        }


@dataclass(frozen=True, eq=False)
class EventRule(Resource[FoundRule]):
    """A rule of the default event bus, whose target is a queue. Other targets of the rule stay."""

    kind: ClassVar[str] = "rule"

    queue: Queue
    pattern: Mapping[str, Any]

    @property
    def arn(self) -> str:
        return self.place.arn("events", f"rule/{self.name}")

    @property
    def properties(self) -> Mapping[str, str]:
        return {"event pattern": canonical(self.pattern), "state": ENABLED, "target": self.queue.arn}

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

    def differences(self, found: FoundRule) -> list[Difference]:
        return super().differences(found) if found.is_readable else []

    def find(self, snapshot: Snapshot) -> FoundRule | None:
        try:
            rule = unless_absent(snapshot.aws.eventbridge.describe_rule, Name=self.name)
        except ClientError as error:
            if not is_error(error, *DENIED):
                raise
            self._warn_of_denial(snapshot.aws)
            return FoundRule(is_readable=False)
        if rule is None:
            return None
        targets, tags = snapshot.aws.concurrently(
            self._targets, lambda aws: aws.eventbridge.list_tags_for_resource(ResourceARN=self.arn)["Tags"]
        )
        pattern = json.loads(rule.get("EventPattern") or "{}")
        return FoundRule(
            pattern=canonical(pattern),
            state=rule.get("State", ABSENT),
            targets=targets,
            tags=tag_dict(tags),
        )

    def _targets(self, aws: Aws) -> dict[str, str]:
        pages = aws.eventbridge.get_paginator("list_targets_by_rule").paginate(Rule=self.name)
        return {target["Id"]: target["Arn"] for page in pages for target in page["Targets"]}

    def _warn_of_denial(self, aws: Aws) -> None:
        aws.warn(
            S3aggError(
                f"Could not read rule {self.name}, so s3agg cannot tell when a refresh is complete",
                "Ask for the permissions that s3agg policy prints for EventBridge",
            )
        )

    def create(self, aws: Aws) -> None:
        self._put(aws, Tags=tag_list(self.tags))

    def _put(self, aws: Aws, **more: Any) -> None:
        pattern = json.dumps(self.pattern)
        aws.eventbridge.put_rule(Name=self.name, EventPattern=pattern, State="ENABLED", **more)
        answer = aws.eventbridge.put_targets(Rule=self.name, Targets=[self._target])
        for failed in answer["FailedEntries"]:
            raise S3aggError(
                f"While adding queue {self.queue.name} to rule {self.name}: {failed.get('ErrorMessage')}"
                f" ({failed.get('ErrorCode')})",
                "Run the same command again",
            )

    def update(self, aws: Aws, found: FoundRule) -> None:
        if missing := self.missing_tags(found):
            aws.eventbridge.tag_resource(ResourceARN=self.arn, Tags=tag_list(missing))
        if self.differs(found, *self.properties):
            self._put(aws)

    def delete(self, aws: Aws, found: FoundRule) -> None:
        if not found.is_readable:
            return  # the warning of `find` names it
        # EventBridge deletes only a rule without targets: those of others are part of our rule.
        if found.targets:
            unless_absent(aws.eventbridge.remove_targets, Rule=self.name, Ids=list(found.targets))
        unless_absent(aws.eventbridge.delete_rule, Name=self.name)
