"""The functions' log groups, which s3agg creates to set their retention."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from s3agg.aws.refusals import Refusal, unless_absent
from s3agg.aws.session import Aws
from s3agg.aws.snapshot import Snapshot
from s3agg.errors import plural
from s3agg.resources.resource import OURS, Found, Owner, Resource, tag_list

DAY_MS = 24 * 3600 * 1000


def log_group_of(function: str) -> str:
    """Return the name of the log group that Lambda writes to for a function."""
    return f"/aws/lambda/{function}"


@dataclass(frozen=True, kw_only=True)
class FoundLogGroup(Found):
    """A log group; retention in days, None if log events never expire; `created` in ms since 1970."""

    retention: int | None
    created: float

    @property
    def properties(self) -> Mapping[str, str]:
        return {"retention": plural(self.retention, "day") if self.retention else "forever"}


@dataclass(frozen=True, eq=False)
class LogGroup(Resource[FoundLogGroup]):
    """A log group; retention in days. Never foreign: Lambda recreates it without tags for a late log line."""

    kind: ClassVar[str] = "log group"
    collides: ClassVar[tuple[Refusal, ...]] = (Refusal("OperationAbortedException"),)  # FACTS 26

    retention: int

    @property
    def arn(self) -> str:
        return self.place.arn("logs", f"log-group:{self.name}")

    @property
    def properties(self) -> Mapping[str, str]:
        return {"retention": plural(self.retention, "day")}

    @property
    def cloudformation(self) -> Mapping[str, Mapping[str, Any]]:
        properties = {
            "LogGroupName": self.name,
            "RetentionInDays": self.retention,
            "Tags": tag_list(self.tags),
        }
        return {"AWS::Logs::LogGroup": properties}

    def find(self, snapshot: Snapshot) -> FoundLogGroup | None:
        aws = snapshot.aws
        group = described(aws, self.name)
        if group is None:
            return None
        tags = aws.logs.list_tags_for_resource(resourceArn=self.arn)["tags"]
        return FoundLogGroup(
            retention=group.get("retentionInDays"), created=group.get("creationTime", 0), tags=tags
        )

    def owner(self, found: FoundLogGroup) -> Owner:  # noqa: ARG002  # any log group of this name
        return OURS

    def deletes_logs(self, found: FoundLogGroup, now_ms: float) -> bool:
        """Whether the declared retention is shorter than the found one, so that AWS deletes log events.

        A group without a retention counts only if it is older than the declared one. Lambda recreates a
        deleted group for a late log line, and that group has nothing to lose.
        """
        if found.retention is not None:
            return self.retention < found.retention
        return now_ms - found.created > self.retention * DAY_MS

    def create(self, aws: Aws) -> None:
        try:
            aws.logs.create_log_group(logGroupName=self.name, tags=dict(self.tags))
        except aws.logs.exceptions.ResourceAlreadyExistsException:
            # Lambda created it for the function's first log line.
            aws.logs.tag_resource(resourceArn=self.arn, tags=dict(self.tags))
        aws.logs.put_retention_policy(logGroupName=self.name, retentionInDays=self.retention)

    def update(self, aws: Aws, found: FoundLogGroup) -> None:
        if missing := self.missing_tags(found):
            aws.logs.tag_resource(resourceArn=self.arn, tags=missing)
        if self.differs(found, "retention"):
            aws.logs.put_retention_policy(logGroupName=self.name, retentionInDays=self.retention)

    def delete(self, aws: Aws, found: FoundLogGroup) -> None:  # noqa: ARG002  # the name is enough
        unless_absent(aws.logs.delete_log_group, logGroupName=self.name)


def described(aws: Aws, name: str) -> Mapping[str, Any] | None:
    """Return the description of the log group of this name; None if there is none."""
    pages = aws.logs.get_paginator("describe_log_groups").paginate(logGroupNamePrefix=name)
    groups = (group for page in pages for group in page["logGroups"])
    return next((dict(group) for group in groups if group.get("logGroupName") == name), None)
