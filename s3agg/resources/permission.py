"""The statements of the aggregator's policy, each of which lets one bucket call it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, ClassVar

from s3agg.aws.refusals import Refusal, aws_message, unless_absent
from s3agg.aws.session import Aws
from s3agg.aws.snapshot import Snapshot
from s3agg.errors import Advice, S3aggError
from s3agg.resources.function import UPDATING, Function
from s3agg.resources.resource import ABSENT, Found, Resource

POLICY_BYTES = 20 * 1024  # as much as a function's policy can hold (FACTS 15)
STAND_IN = "meanwhile_"  # begins the id of a statement that is there while the bucket's own is replaced
# Several buckets at once: Lambda takes one change of a policy at a time.
POLICY_CHANGING = (Refusal("PreconditionFailedException"), *UPDATING)
SOURCES = {"aws:sourceaccount", "aws:sourcearn"}  # the conditions of a permission that we set


def statements(snapshot: Snapshot, function: str) -> dict[str, Mapping[str, Any]]:
    """The function's policy: its statements by their ids; none if there is no policy or function.

    Asked once for all the buckets of a stack.
    """

    def ask() -> dict[str, Mapping[str, Any]]:
        answer = unless_absent(snapshot.aws.lambda_.get_policy, FunctionName=function)
        policy = json.loads(answer["Policy"]) if answer else {"Statement": []}
        return {statement.get("Sid", ""): statement for statement in policy["Statement"]}

    return snapshot.once(("policy", function), ask)


def check_policy_room(snapshot: Snapshot, permissions: Sequence[Permission]) -> None:
    """Raise S3aggError if the function's policy cannot hold these statements too (FACTS 15)."""
    if not permissions:
        return
    function = permissions[0].function.name
    have = statements(snapshot, function)
    need = {each.name: each.statement for each in permissions}
    policy = {"Version": "2012-10-17", "Id": "default", "Statement": list({**have, **need}.values())}
    if len(json.dumps(policy, separators=(",", ":")).encode()) > POLICY_BYTES:
        raise _no_room(function, [each.bucket for each in permissions], have)


def _no_room(function: str, buckets: Sequence[str], have: Mapping[str, object]) -> S3aggError:
    attached = sum(sid.startswith("SID_") for sid in have)
    return S3aggError(
        f"No room in the policy of function {function} for bucket {', '.join(buckets)}:"
        f" {attached} are attached, and all together it can hold {POLICY_BYTES} bytes",
        "Attach it to a second stack: --stack, or detach one",
        Advice("delete", "BUCKET"),
    )


@dataclass(frozen=True, kw_only=True)
class FoundPermission(Found):
    """The statement of a bucket; of two, the first counts, and the other one stood in for it."""

    sids: tuple[str, ...]
    statement: Mapping[str, Any]

    @property
    def properties(self) -> Mapping[str, str]:
        principal = self.statement.get("Principal", ABSENT)
        conditions = {
            name.lower(): value
            for operator in self.statement.get("Condition", {}).values()
            for name, value in operator.items()
        }
        return {
            "statement": " and ".join(self.sids),
            "effect": self.statement.get("Effect", ABSENT),
            "action": self.statement.get("Action", ABSENT),
            "principal": principal.get("Service", ABSENT) if isinstance(principal, dict) else principal,
            "source account": conditions.get("aws:sourceaccount", ABSENT),
            "source bucket": conditions.get("aws:sourcearn", ABSENT),
            "other conditions": ", ".join(sorted(conditions.keys() - SOURCES)) or ABSENT,
        }


@dataclass(frozen=True, eq=False)
class Permission(Resource[FoundPermission]):
    """The statement of a function's policy that lets one bucket of this account call the function."""

    kind: ClassVar[str] = "permission"

    function: Function
    bucket: str

    @property
    def arn(self) -> str:
        return self.function.arn

    @property
    def properties(self) -> Mapping[str, str]:
        return {
            "statement": self.name,
            "effect": "Allow",
            "action": "lambda:InvokeFunction",
            "principal": "s3.amazonaws.com",
            "source account": self.place.account,
            "source bucket": self.place.bucket(self.bucket),
            "other conditions": ABSENT,
        }

    @property
    def cloudformation(self) -> Mapping[str, Mapping[str, Any]]:
        """Its statement has an id of CloudFormation's choice."""
        return {"AWS::Lambda::Permission": {"FunctionName": self.function, **self._definition}}

    @property
    def _definition(self) -> dict[str, Any]:
        return {
            "Action": "lambda:InvokeFunction",
            "Principal": "s3.amazonaws.com",
            "SourceAccount": self.place.account,
            "SourceArn": self.place.bucket(self.bucket),
        }

    @property
    def statement(self) -> Mapping[str, Any]:
        """As Lambda writes it into the policy."""
        return {
            "Sid": self.name,
            "Effect": "Allow",
            "Principal": {"Service": "s3.amazonaws.com"},
            "Action": "lambda:InvokeFunction",
            "Resource": self.function.arn,
            "Condition": {
                "StringEquals": {"AWS:SourceAccount": self.place.account},
                "ArnLike": {"AWS:SourceArn": self.place.bucket(self.bucket)},
            },
        }

    def find(self, snapshot: Snapshot) -> FoundPermission | None:
        policy = statements(snapshot, self.function.name)
        sids = tuple(sid for sid in (self.name, STAND_IN + self.name) if sid in policy)
        return FoundPermission(sids=sids, statement=policy[sids[0]]) if sids else None

    def create(self, aws: Aws) -> None:
        try:
            self._add(aws, self.name)
        except aws.lambda_.exceptions.PolicyLengthExceededException as error:  # FACTS 15
            have = statements(Snapshot(aws), self.function.name)
            raise _no_room(self.function.name, [self.bucket], have) from error

    def _add(self, aws: Aws, sid: str) -> None:
        def add() -> None:
            try:
                aws.lambda_.add_permission(
                    FunctionName=self.function.name,
                    StatementId=sid,
                    **self._definition,
                )
            except aws.lambda_.exceptions.ResourceConflictException as error:
                if "already exists" not in aws_message(
                    error
                ):  # or a call whose answer was lost had succeeded
                    raise

        aws.wait.retry(f"function {self.function.name} to take a permission", add, on=POLICY_CHANGING)

    def update(self, aws: Aws, found: FoundPermission) -> None:
        # No statement can be changed, and S3 loses the events that it may not deliver: so another one
        # stands in between the two, by an id that no bucket's statement has.
        stand_in = STAND_IN + self.name
        if stand_in not in found.sids:
            with suppress(aws.lambda_.exceptions.PolicyLengthExceededException):  # then without
                self._add(aws, stand_in)
        self._remove(aws, self.name)
        self.create(aws)
        self._remove(aws, stand_in)

    def delete(self, aws: Aws, found: FoundPermission) -> None:
        for sid in found.sids:
            self._remove(aws, sid)

    def _remove(self, aws: Aws, sid: str) -> None:
        aws.wait.retry(
            f"function {self.function.name} to let a permission go",
            lambda: unless_absent(
                aws.lambda_.remove_permission, FunctionName=self.function.name, StatementId=sid
            ),
            on=POLICY_CHANGING,
        )
