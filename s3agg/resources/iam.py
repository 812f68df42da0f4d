"""The policies, and the two roles that the functions run with."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, ClassVar
from urllib.parse import unquote

from s3agg.aws import Aws
from s3agg.refusals import Refusal
from s3agg.resources.resource import ABSENT, Found, Resource, canonical, pairs, unpaired

TAKEN = (Refusal("EntityAlreadyExists"),)
VERSIONS = 5  # as many as a policy can have
# FACTS 13; IAM is a moment behind itself. Somebody's instance profile would be waited for in vain.
ATTACHED = (Refusal("DeleteConflict", "polic"),)


def _document(document: Any) -> Mapping[str, Any]:
    """A policy document as boto3 gives it: already read, or URL-encoded text."""
    return json.loads(unquote(document)) if isinstance(document, str) else document  # type: ignore[no-any-return]


def _regions(document: str) -> set[str]:
    """The regions of the table and the queues that the document names."""
    return set(re.findall(r'"arn:[^:"]+:(?:dynamodb|sqs):([^:*"]+):', document))


@dataclass(frozen=True, eq=False)
class Policy(Resource):
    """A customer managed policy."""

    kind: ClassVar[str] = "policy"
    taken: ClassVar[tuple[Refusal, ...]] = TAKEN

    document: Mapping[str, Any]

    @property
    def arn(self) -> str:
        return self.place.iam(f"policy/{self.name}")

    @property
    def properties(self) -> Mapping[str, str]:
        return {"document": canonical(self.document)}

    @property
    def cloudformation(self) -> Mapping[str, Mapping[str, Any]]:
        """Without tags, which CloudFormation knows for roles, but not for policies."""
        return {"AWS::IAM::ManagedPolicy": {"ManagedPolicyName": self.name, "PolicyDocument": self.document}}

    def find(self, aws: Aws) -> Found | None:
        try:
            policy = aws.iam.get_policy(PolicyArn=self.arn)["Policy"]
            version = aws.iam.get_policy_version(PolicyArn=self.arn, VersionId=policy["DefaultVersionId"])
        except aws.iam.exceptions.NoSuchEntityException:
            return None
        document = canonical(_document(version["PolicyVersion"]["Document"]))
        return Found(
            {"document": document}, unpaired(policy.get("Tags", [])), {"regions": _regions(document)}
        )

    def is_adoptable(self, found: Found) -> bool:
        """One without tags may be that of a stack in another region, which the ARNs in it tell."""
        return super().is_adoptable(found) and found.more["regions"] <= {self.place.region}

    def owner(self, found: Found) -> str:
        if super().is_adoptable(found) and not self.is_adoptable(found):
            return f"of a stack in {', '.join(sorted(found.more['regions'] - {self.place.region}))}"
        return super().owner(found)

    def create(self, aws: Aws) -> None:
        aws.iam.create_policy(
            PolicyName=self.name, PolicyDocument=json.dumps(self.document), Tags=pairs(self.tags)
        )

    def update(self, aws: Aws, found: Found) -> None:
        if missing := self.missing_tags(found):
            aws.iam.tag_policy(PolicyArn=self.arn, Tags=pairs(missing))
        if self.differs(found, "document"):
            old = self._old_versions(aws)
            if len(old) == VERSIONS - 1:
                self._forget(aws, old[-1])
            self._add_version(aws)

    def delete(self, aws: Aws, found: Found) -> None:  # noqa: ARG002  # its name is enough
        def delete() -> bool:
            try:
                attached, old = aws.at_once(self.attached_to, self._old_versions)
                aws.side_by_side(lambda whom: self._detach(aws, *whom), attached)
                aws.side_by_side(lambda version: self._forget(aws, version), old)
                aws.iam.delete_policy(PolicyArn=self.arn)
            except aws.iam.exceptions.NoSuchEntityException:
                return True
            return True

        aws.wait_for(f"policy {self.name} to be detached", delete, refusals=ATTACHED)

    def _add_version(self, aws: Aws) -> None:
        try:
            aws.iam.create_policy_version(
                PolicyArn=self.arn, PolicyDocument=json.dumps(self.document), SetAsDefault=True
            )
        except aws.iam.exceptions.LimitExceededException:
            found = self.find(aws)
            if found is None or self.differs(found, "document"):
                raise
            # A call whose answer was lost had succeeded.

    def _forget(self, aws: Aws, version: str) -> None:
        with suppress(aws.iam.exceptions.NoSuchEntityException):  # that version: the policy may be there
            aws.iam.delete_policy_version(PolicyArn=self.arn, VersionId=version)

    def _old_versions(self, aws: Aws) -> list[str]:
        """The versions that are not in force, newest first."""
        versions = aws.iam.list_policy_versions(PolicyArn=self.arn)["Versions"]
        old = [each["VersionId"] for each in versions if not each["IsDefaultVersion"]]
        return sorted(old, key=lambda version: int(version.lstrip("v")), reverse=True)

    def attached_to(self, aws: Aws) -> list[tuple[str, str]]:
        """Whom it is attached to: each a role, user or group, and its name."""
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
        # IAM is a moment behind itself: it lists roles that are gone.
        with suppress(aws.iam.exceptions.NoSuchEntityException):
            if kind == "role":
                aws.iam.detach_role_policy(RoleName=name, PolicyArn=self.arn)
            elif kind == "user":
                aws.iam.detach_user_policy(UserName=name, PolicyArn=self.arn)
            else:
                aws.iam.detach_group_policy(GroupName=name, PolicyArn=self.arn)


@dataclass(frozen=True, eq=False)
class Role(Resource):
    """A role with the policies attached that it needs; others that somebody attached stay."""

    kind: ClassVar[str] = "role"
    taken: ClassVar[tuple[Refusal, ...]] = TAKEN

    trust: Mapping[str, Any]
    policies: tuple[Policy, ...]
    managed_policies: tuple[str, ...]  # ARNs of AWS's own
    boundary: str | None

    @property
    def arn(self) -> str:
        return self.place.iam(f"role/{self.name}")

    @property
    def properties(self) -> Mapping[str, str]:
        attached = {f"attached {arn}": "yes" for arn in self._policy_arns}
        return {
            "trust": canonical(self.trust),
            "permissions boundary": self.boundary or ABSENT,
            **attached,
        }

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
            "Tags": pairs(self.tags),
        }
        return {"AWS::IAM::Role": properties}

    @property
    def _bounds(self) -> dict[str, Any]:
        return {"PermissionsBoundary": self.boundary} if self.boundary else {}

    def find(self, aws: Aws) -> Found | None:
        try:
            role, attached = aws.at_once(self._role, self._attached)
        except aws.iam.exceptions.NoSuchEntityException:
            return None
        properties = {
            "trust": canonical(_document(role.get("AssumeRolePolicyDocument", {}))),
            "permissions boundary": role.get("PermissionsBoundary", {}).get("PermissionsBoundaryArn", ABSENT),
            **{f"attached {arn}": "yes" for arn in attached},
        }
        return Found(properties, unpaired(role.get("Tags", [])), {"attached": attached})

    def create(self, aws: Aws) -> None:
        aws.iam.create_role(
            RoleName=self.name,
            AssumeRolePolicyDocument=json.dumps(self.trust),
            Tags=pairs(self.tags),
            **self._bounds,
        )
        self._attach(aws, self._policy_arns)

    def update(self, aws: Aws, found: Found) -> None:
        if missing := self.missing_tags(found):
            aws.iam.tag_role(RoleName=self.name, Tags=pairs(missing))
        if self.differs(found, "trust"):
            aws.iam.update_assume_role_policy(RoleName=self.name, PolicyDocument=json.dumps(self.trust))
        if self.differs(found, "permissions boundary"):
            if self.boundary:
                aws.iam.put_role_permissions_boundary(RoleName=self.name, PermissionsBoundary=self.boundary)
            else:
                aws.iam.delete_role_permissions_boundary(RoleName=self.name)
        self._attach(aws, [arn for arn in self._policy_arns if arn not in found.more["attached"]])

    def delete(self, aws: Aws, found: Found) -> None:  # noqa: ARG002  # AWS is asked again: it may have changed
        def delete() -> bool:
            try:
                attached, inline = aws.at_once(self._attached, self._inline)
                aws.side_by_side(lambda arn: self._detach(aws, arn), attached)
                aws.side_by_side(lambda policy: self._delete_inline(aws, policy), inline)
                aws.iam.delete_role(RoleName=self.name)
            except aws.iam.exceptions.NoSuchEntityException:
                return True
            return True

        aws.wait_for(f"role {self.name} to be free to go", delete, refusals=ATTACHED)

    def _attach(self, aws: Aws, arns: Sequence[str]) -> None:
        aws.side_by_side(lambda arn: aws.iam.attach_role_policy(RoleName=self.name, PolicyArn=arn), arns)

    def _detach(self, aws: Aws, arn: str) -> None:
        with suppress(aws.iam.exceptions.NoSuchEntityException):
            aws.iam.detach_role_policy(RoleName=self.name, PolicyArn=arn)

    def _inline(self, aws: Aws) -> list[str]:
        return aws.iam.list_role_policies(RoleName=self.name)["PolicyNames"]

    def _delete_inline(self, aws: Aws, policy: str) -> None:
        with suppress(aws.iam.exceptions.NoSuchEntityException):  # that policy, not the role
            aws.iam.delete_role_policy(RoleName=self.name, PolicyName=policy)

    def _role(self, aws: Aws) -> Any:
        return aws.iam.get_role(RoleName=self.name)["Role"]

    def _attached(self, aws: Aws) -> list[str]:
        pages = aws.iam.get_paginator("list_attached_role_policies").paginate(RoleName=self.name)
        return [policy["PolicyArn"] for page in pages for policy in page["AttachedPolicies"]]
