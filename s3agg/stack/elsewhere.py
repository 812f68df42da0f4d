"""Where a stack is: in this region, in another region of the account, or nowhere.

Names in IAM hold for the whole account. So a read in any region finds the stack's roles and policies, whose
tags name the region of the stack.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from s3agg import engine
from s3agg.aws.refusals import describing_errors, is_denied, unless_absent
from s3agg.aws.session import Aws
from s3agg.aws.snapshot import Snapshot
from s3agg.engine import Findings
from s3agg.errors import Advice, S3aggError, UsageProblem, plural, shell_quoted
from s3agg.resources.delivery import Delivery
from s3agg.resources.log_group import LogGroup
from s3agg.resources.policy import Policy
from s3agg.resources.resource import Owner, Resource, tag_dict
from s3agg.resources.role import Role
from s3agg.settings import REGION_TAG, ROLE_ENDING, STACK_TAG, Names, Settings
from s3agg.stack import declared

OF_ALL_REGIONS = (Role, Policy)
MOST_ROLES = 1000  # in one answer of ListRoles

Resources = Sequence[Resource[Any]]


class NoStack(S3aggError):
    """Nothing of the stack is in `region`. `elsewhere` is the region where it is, or None."""

    def __init__(self, stack: str, region: str, elsewhere: str | None = None) -> None:
        self.stack = stack
        self.region = region
        self.elsewhere = elsewhere
        problem = f"There is no stack {stack} in {region}"
        if elsewhere:
            super().__init__(
                f"{problem}; there is one in {elsewhere}: pass --region {shell_quoted(elsewhere)}"
            )
        else:
            super().__init__(problem, "To list the stacks of this account, run", Advice("list"))


def is_here(resources: Resources, found: Findings) -> bool:
    """Whether any found resource may be the stack's: it has no tags of another stack or region."""
    return any(owner.ours or owner.adoptable for _, owner in _owners(resources, found))


def other_region(resources: Resources, found: Findings) -> str | None:
    """Return the region of the stack by IAM's tags; None if something of the stack is in this region."""
    owners = list(_owners(resources, found))
    for resource, owner in owners:
        # An untagged role or policy may belong to the stack of any region.
        if owner.ours or (owner.adoptable and not isinstance(resource, OF_ALL_REGIONS)):
            return None
    return next((owner.region for _, owner in owners if owner.region), None)


def _owners(resources: Resources, found: Findings) -> Iterator[tuple[Resource[Any], Owner]]:
    """Yield the found resources with their owners.

    Log groups do not count: `delete --keep-logs` keeps them, and a late log line recreates them. Nor does the
    EventBridge delivery of a bucket, which is one for all regions and stacks.
    """
    for each in resources:
        if each.key in found and not isinstance(each, (LogGroup, Delivery)):
            yield each, each.owner(found[each.key])


def missing_by_role(aws: Aws, names: Names) -> NoStack | None:
    """Return the error for a stack whose role is missing or of another region; otherwise None.

    For a command that does not read the stack. It makes two calls. None also if they are denied.
    """
    role = declared.make(aws.place, names, Settings(), {}).aggregator.role
    try:
        found = engine.find(Snapshot(aws), [role])
    except S3aggError as error:
        if not is_denied(error):
            raise
        return None
    if is_here([role], found):
        return None
    return NoStack(names.stack, aws.place.region, other_region([role], found))


@dataclass(frozen=True, order=True)
class Located:
    """A stack of the account, and its region by the tags of its role."""

    stack: str
    region: str


def all_stacks(aws: Aws) -> list[Located]:
    """Return the stacks of the account, of all regions, sorted by name.

    The roles name the stacks: one list covers all regions, and takes one call for 1000 roles. ListRoles
    returns no tags, so each role whose name fits takes one more call, concurrently. A list of tables would
    take as many calls, and miss the other regions. The tagging API takes a call for each region, and a
    permission that no other command needs. The price: a stack without its tagged role is not found.

    Raises S3aggError if the roles cannot be listed; warns if the tags of a role cannot be read.
    """
    with describing_errors("listing the roles of the account"):
        pages = aws.iam.get_paginator("list_roles").paginate(PaginationConfig={"PageSize": MOST_ROLES})
        roles = [role["RoleName"] for page in pages for role in page["Roles"]]
    fitting = [role for role in roles if role.endswith(ROLE_ENDING)]
    tags = aws.side_by_side(lambda role: _tags_of(aws, role), fitting)
    if unread := tags.count(None):
        aws.warn(
            S3aggError(
                f"Could not read the tags of {plural(unread, 'role')}, so stacks may be missing",
                "Ask for permission to call ListRoleTags",
            )
        )
    located = [_located(role, found or {}) for role, found in zip(fitting, tags, strict=True)]
    return sorted(each for each in located if each is not None)


def _tags_of(aws: Aws, role: str) -> dict[str, str] | None:
    """Return the tags of the role; None without permission to read them."""
    try:
        with describing_errors(f"reading the tags of role {role}"):
            answer = unless_absent(aws.iam.list_role_tags, RoleName=role)
    except S3aggError as error:
        if not is_denied(error):
            raise
        return None
    return tag_dict(answer["Tags"]) if answer else {}


def _located(role: str, tags: Mapping[str, str]) -> Located | None:
    """Return the stack whose aggregator role this is; None if the tags name no such stack."""
    stack, region = tags.get(STACK_TAG, ""), tags.get(REGION_TAG, "")
    with suppress(UsageProblem):  # the tag was edited by hand
        if region and Names(stack).aggregator_role == role:
            return Located(stack, region)
    return None
