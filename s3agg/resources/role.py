"""The execution roles of the functions."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from s3agg.aws.refusals import Refusal, unless_absent
from s3agg.aws.session import Aws
from s3agg.aws.snapshot import Snapshot
from s3agg.resources.policy import (
    ALREADY_EXISTS,
    ATTACHED,
    COLLIDES,
    IAM_PATIENCE_S,
    Policy,
    read_document,
)
from s3agg.resources.resource import ABSENT, Found, Resource, canonical, tag_dict, tag_list

NEW = (Refusal("NoSuchEntity"),)  # within IAM, to a role or policy that was just created (FACTS 30)


@dataclass(frozen=True, kw_only=True)
class FoundRole(Found):
    """A role; `attached` holds the ARNs of its managed policies."""

    trust: Mapping[str, Any]
    boundary: str | None
    attached: tuple[str, ...]

    @property
    def properties(self) -> Mapping[str, str]:
        return _properties(self.trust, self.boundary, self.attached)


@dataclass(frozen=True, eq=False)
class Role(Resource[FoundRole]):
    """A role and its attached policies. Other attached policies are kept."""

    kind: ClassVar[str] = "role"
    attached_fields: ClassVar[tuple[str, ...]] = ("policies",)
    already_exists: ClassVar[tuple[Refusal, ...]] = ALREADY_EXISTS
    collides: ClassVar[tuple[Refusal, ...]] = COLLIDES

    trust: Mapping[str, Any]
    policies: tuple[Policy, ...]
    managed_policies: tuple[str, ...]  # ARNs of AWS managed policies
    boundary: str | None

    @property
    def arn(self) -> str:
        return self.place.iam(f"role/{self.name}")

    @property
    def properties(self) -> Mapping[str, str]:
        return _properties(self.trust, self.boundary, self._policy_arns)

    @property
    def _policy_arns(self) -> list[str]:
        return [*(policy.arn for policy in self.policies), *self.managed_policies]

    @property
    def cloudformation(self) -> Mapping[str, Mapping[str, Any]]:
        properties = {
            "RoleName": self.name,
            "AssumeRolePolicyDocument": self.trust,
            "ManagedPolicyArns": self._policy_arns,
            **self._bounds,
            "Tags": tag_list(self.tags),
        }
        return {"AWS::IAM::Role": properties}

    @property
    def _bounds(self) -> dict[str, Any]:
        return {"PermissionsBoundary": self.boundary} if self.boundary else {}

    def find(self, snapshot: Snapshot) -> FoundRole | None:
        return unless_absent(self._found, snapshot)

    def described_in(self, snapshot: Snapshot) -> Any:
        """Return the role as IAM describes it, read once for a snapshot; None if there is none."""
        return snapshot.once(("role", self.name), lambda: unless_absent(self.described, snapshot.aws))

    def described(self, aws: Aws) -> Any:
        return aws.iam.get_role(RoleName=self.name)["Role"]

    def _found(self, snapshot: Snapshot) -> FoundRole | None:
        role, attached = snapshot.aws.concurrently(lambda _: self.described_in(snapshot), self._attached)
        if role is None:
            return None
        return FoundRole(
            trust=read_document(role.get("AssumeRolePolicyDocument", {})),
            boundary=role.get("PermissionsBoundary", {}).get("PermissionsBoundaryArn"),
            attached=tuple(attached),
            tags=tag_dict(role.get("Tags", [])),
        )

    def create(self, aws: Aws) -> None:
        aws.iam.create_role(
            RoleName=self.name,
            AssumeRolePolicyDocument=json.dumps(self.trust),
            Tags=tag_list(self.tags),
            **self._bounds,
        )

    def update(self, aws: Aws, found: FoundRole) -> None:
        if missing := self.missing_tags(found):
            aws.iam.tag_role(RoleName=self.name, Tags=tag_list(missing))
        if self.differs(found, "trust policy"):
            aws.iam.update_assume_role_policy(RoleName=self.name, PolicyDocument=json.dumps(self.trust))
        if self.differs(found, "permissions boundary"):
            if self.boundary:
                aws.iam.put_role_permissions_boundary(RoleName=self.name, PermissionsBoundary=self.boundary)
            else:
                aws.iam.delete_role_permissions_boundary(RoleName=self.name)

    def attach(self, aws: Aws, found: FoundRole | None) -> None:
        """Attach the missing policies."""
        attached = found.attached if found else ()
        for arn in self._policy_arns:  # one at a time: concurrent changes of a role collide (FACTS 30)
            if arn not in attached:
                self._attach(aws, arn)

    def _attach(self, aws: Aws, arn: str) -> None:
        aws.wait.retry(
            f"IAM to attach {arn} to role {self.name}",
            lambda: aws.iam.attach_role_policy(RoleName=self.name, PolicyArn=arn),
            on=(*COLLIDES, *NEW),
            patience_s=IAM_PATIENCE_S,
        )

    def delete(self, aws: Aws, found: FoundRole) -> None:  # noqa: ARG002  # _remove reads it again
        aws.wait.retry(
            f"the policies of role {self.name} to be detached",
            lambda: unless_absent(self._remove, aws),
            on=ATTACHED,
        )

    def _remove(self, aws: Aws) -> None:
        attached, inline = aws.concurrently(self._attached, self._inline)
        aws.side_by_side(lambda arn: self._detach(aws, arn), attached)
        aws.side_by_side(lambda policy: self._delete_inline(aws, policy), inline)
        aws.iam.delete_role(RoleName=self.name)

    def _detach(self, aws: Aws, arn: str) -> None:
        unless_absent(aws.iam.detach_role_policy, RoleName=self.name, PolicyArn=arn)

    def _inline(self, aws: Aws) -> list[str]:
        return aws.iam.list_role_policies(RoleName=self.name)["PolicyNames"]

    def _delete_inline(self, aws: Aws, policy: str) -> None:
        unless_absent(aws.iam.delete_role_policy, RoleName=self.name, PolicyName=policy)

    def _attached(self, aws: Aws) -> list[str]:
        pages = aws.iam.get_paginator("list_attached_role_policies").paginate(RoleName=self.name)
        return [policy["PolicyArn"] for page in pages for policy in page["AttachedPolicies"]]


def _properties(trust: Mapping[str, Any], boundary: str | None, attached: Sequence[str]) -> dict[str, str]:
    return {
        "trust policy": canonical(trust),
        "permissions boundary": boundary or ABSENT,
        **{f"permissions policy {arn}": "attached" for arn in attached},
    }
