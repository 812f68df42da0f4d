"""The customer managed policies of the roles."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar
from urllib.parse import unquote

from s3agg.aws.refusals import Refusal, unless_absent
from s3agg.aws.session import Aws
from s3agg.aws.snapshot import Snapshot
from s3agg.resources.resource import Found, Owner, Resource, canonical, tag_dict, tag_list

ALREADY_EXISTS = (Refusal("EntityAlreadyExists"),)
# Another change of the role or policy is in progress (FACTS 30).
COLLIDES = (
    Refusal("ConcurrentModification"),
    Refusal("ConcurrentModificationException"),
)
IAM_PATIENCE_S = 300  # the longest that a role or policy takes to spread (FACTS 31)
VERSIONS = 5  # the limit for a policy
# A detach shows in IAM after a moment (FACTS 13). An instance profile is no reason to wait.
ATTACHED = (Refusal("DeleteConflict", "polic"),)


def read_document(document: Any) -> Mapping[str, Any]:
    """Return the policy document that boto3 gives, which may be URL-encoded JSON."""
    return json.loads(unquote(document)) if isinstance(document, str) else document  # type: ignore[no-any-return]


@dataclass(frozen=True, kw_only=True)
class FoundPolicy(Found):
    """A policy; `document` is its default version."""

    document: Mapping[str, Any]

    @property
    def properties(self) -> Mapping[str, str]:
        return {"policy document": canonical(self.document)}

    @property
    def regions(self) -> set[str]:
        """The regions of the tables and queues in the document."""
        return set(re.findall(r'"arn:[^:"]+:(?:dynamodb|sqs):([^:*"]+):', canonical(self.document)))


@dataclass(frozen=True, eq=False)
class Policy(Resource[FoundPolicy]):
    """A customer managed policy."""

    kind: ClassVar[str] = "policy"
    already_exists: ClassVar[tuple[Refusal, ...]] = ALREADY_EXISTS
    collides: ClassVar[tuple[Refusal, ...]] = COLLIDES

    document: Mapping[str, Any]

    @property
    def arn(self) -> str:
        return self.place.iam(f"policy/{self.name}")

    @property
    def properties(self) -> Mapping[str, str]:
        return {"policy document": canonical(self.document)}

    @property
    def cloudformation(self) -> Mapping[str, Mapping[str, Any]]:
        """Without tags, which CloudFormation does not support for policies."""
        return {"AWS::IAM::ManagedPolicy": {"ManagedPolicyName": self.name, "PolicyDocument": self.document}}

    def find(self, snapshot: Snapshot) -> FoundPolicy | None:
        return unless_absent(self._found, snapshot.aws)

    def _found(self, aws: Aws) -> FoundPolicy:
        policy = aws.iam.get_policy(PolicyArn=self.arn)["Policy"]
        version = aws.iam.get_policy_version(PolicyArn=self.arn, VersionId=policy["DefaultVersionId"])
        return FoundPolicy(
            document=read_document(version["PolicyVersion"]["Document"]),
            tags=tag_dict(policy.get("Tags", [])),
        )

    def owner(self, found: FoundPolicy) -> Owner:
        """Check the ARNs in a policy without tags: it may belong to a stack in another region."""
        owner = super().owner(found)
        elsewhere = found.regions - {self.place.region}
        if owner.ours or not owner.adoptable or not elsewhere:
            return owner
        return Owner(ours=False, reason=f"belongs to a stack in {', '.join(sorted(elsewhere))}")

    def create(self, aws: Aws) -> None:
        aws.iam.create_policy(
            PolicyName=self.name, PolicyDocument=json.dumps(self.document), Tags=tag_list(self.tags)
        )

    def update(self, aws: Aws, found: FoundPolicy) -> None:
        if missing := self.missing_tags(found):
            aws.iam.tag_policy(PolicyArn=self.arn, Tags=tag_list(missing))
        if self.differs(found, "policy document"):
            old = self._old_versions(aws)
            if len(old) == VERSIONS - 1:
                self._delete_version(aws, old[-1])
            self._add_version(aws)

    def delete(self, aws: Aws, found: FoundPolicy) -> None:  # noqa: ARG002  # the name is enough
        aws.wait.retry(
            f"policy {self.name} to be detached", lambda: unless_absent(self._remove, aws), on=ATTACHED
        )

    def _remove(self, aws: Aws) -> None:
        attached, old = aws.concurrently(self.attached_to, self._old_versions)
        aws.side_by_side(lambda entity: self._detach(aws, *entity), attached)
        aws.side_by_side(lambda version: self._delete_version(aws, version), old)
        aws.iam.delete_policy(PolicyArn=self.arn)

    def _add_version(self, aws: Aws) -> None:
        try:
            aws.iam.create_policy_version(
                PolicyArn=self.arn, PolicyDocument=json.dumps(self.document), SetAsDefault=True
            )
        except aws.iam.exceptions.LimitExceededException:
            found = self.find(Snapshot(aws))
            if found is None or self.differs(found, "policy document"):
                raise
            # An earlier call succeeded and its answer was lost.

    def _delete_version(self, aws: Aws, version: str) -> None:
        # The version may be gone although the policy exists.
        unless_absent(aws.iam.delete_policy_version, PolicyArn=self.arn, VersionId=version)

    def _old_versions(self, aws: Aws) -> list[str]:
        """Return the ids of the non-default versions, newest first."""
        versions = aws.iam.list_policy_versions(PolicyArn=self.arn)["Versions"]
        old = [each["VersionId"] for each in versions if not each["IsDefaultVersion"]]
        return sorted(old, key=lambda version: int(version.lstrip("v")), reverse=True)

    def attached_to(self, aws: Aws) -> list[tuple[str, str]]:
        """Return the kind and the name of each role, user and group that the policy is attached to."""
        found: list[tuple[str, str]] = []
        pages = aws.iam.get_paginator("list_entities_for_policy").paginate(
            PolicyArn=self.arn, PolicyUsageFilter="PermissionsPolicy"
        )
        for page in pages:
            found += [("role", each["RoleName"]) for each in page["PolicyRoles"]]
            found += [("user", each["UserName"]) for each in page["PolicyUsers"]]
            found += [("group", each["GroupName"]) for each in page["PolicyGroups"]]
        return found

    def _detach(self, aws: Aws, kind: str, name: str) -> None:
        # For a moment IAM still lists deleted roles.
        if kind == "role":
            unless_absent(aws.iam.detach_role_policy, RoleName=name, PolicyArn=self.arn)
        elif kind == "user":
            unless_absent(aws.iam.detach_user_policy, UserName=name, PolicyArn=self.arn)
        else:
            unless_absent(aws.iam.detach_group_policy, GroupName=name, PolicyArn=self.arn)
