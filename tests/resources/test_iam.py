"""The policies and roles."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from s3agg.resources.policy import Policy
from s3agg.resources.resource import Resource
from s3agg.resources.role import Role
from s3agg.settings import STACK_TAG
from tests.support.aws import PLACE, World

TAGS = {STACK_TAG: "Test", "team": "a"}
LOGGING = "arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole"


def allow(*actions: str) -> dict[str, Any]:
    statement = {"Effect": "Allow", "Action": list(actions), "Resource": "*"}
    return {"Version": "2012-10-17", "Statement": [statement]}


def trust(service: str) -> dict[str, Any]:
    statement = {"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}
    return {"Version": "2012-10-17", "Statement": [statement]}


POLICY = Policy(PLACE, "Policy", TAGS, document=allow("sqs:SendMessage", "sqs:ReceiveMessage"))
ROLE = Role(
    PLACE,
    "Role",
    TAGS,
    trust=trust("lambda.amazonaws.com"),
    policies=(POLICY,),
    managed_policies=(LOGGING,),
    boundary=None,
)


def other_policy(world: World, name: str = "Boundary") -> str:
    made = world.somebody.iam.create_policy(PolicyName=name, PolicyDocument=json.dumps(allow("s3:*")))
    return made["Policy"]["Arn"]


def add_versions(world: World, number: int) -> None:
    for version in range(number):
        world.somebody.iam.create_policy_version(
            PolicyArn=POLICY.arn, PolicyDocument=json.dumps(allow(f"sqs:Old{version}")), SetAsDefault=True
        )


def versions(world: World) -> list[str]:
    listed = world.somebody.iam.list_policy_versions(PolicyArn=POLICY.arn)["Versions"]
    return sorted(each["VersionId"] for each in listed)


@pytest.mark.parametrize("resource", [POLICY, ROLE])
def test_what_is_not_there_is_not_found(world: World, resource: Policy | Role) -> None:
    assert resource.find(world.snapshot) is None


def test_a_new_policy_and_role_are_as_declared(world: World) -> None:
    world.create(POLICY, ROLE)

    assert world.differences(POLICY) == {}
    assert world.differences(ROLE) == {}


def test_they_have_their_tags_from_the_start(world: World) -> None:
    world.create(POLICY, ROLE)

    assert world.found(POLICY).tags == TAGS
    assert world.found(ROLE).tags == TAGS


def test_a_policy_that_means_the_same_in_other_words_does_not_differ(world: World) -> None:
    world.create(POLICY)
    statement = {"Action": ["sqs:ReceiveMessage", "sqs:SendMessage"], "Resource": ["*"], "Effect": "Allow"}
    same = {"Statement": statement, "Version": "2012-10-17"}
    world.somebody.iam.create_policy_version(
        PolicyArn=POLICY.arn, PolicyDocument=json.dumps(same), SetAsDefault=True
    )

    assert world.differences(POLICY) == {}


def test_the_oldest_version_makes_room_when_a_policy_has_five(world: World) -> None:
    world.create(POLICY)
    add_versions(world, 4)

    world.update(POLICY)

    assert versions(world) == ["v2", "v3", "v4", "v5", "v6"]


def test_the_version_in_force_is_never_the_one_that_makes_room(world: World) -> None:
    world.create(POLICY)
    add_versions(world, 4)
    world.somebody.iam.set_default_policy_version(PolicyArn=POLICY.arn, VersionId="v2")

    world.update(POLICY)

    assert versions(world) == ["v2", "v3", "v4", "v5", "v6"]


def test_a_document_whose_answer_was_lost_is_not_refused_for_its_own_version(world: World) -> None:
    world.create(POLICY)
    add_versions(world, 3)
    found = world.found(POLICY)
    # What took effect already, and now makes one version too many.
    world.wire.before("iam:CreatePolicyVersion", lambda: POLICY.update(world.somebody, found))

    world.update(POLICY)

    assert world.differences(POLICY) == {}


def test_a_sixth_version_is_an_error_while_another_is_in_force(world: World) -> None:
    world.create(POLICY)
    add_versions(world, 3)
    world.wire.before("iam:CreatePolicyVersion", lambda: add_versions(world, 1))

    with pytest.raises(ClientError, match="LimitExceeded"):
        world.update(POLICY)


def test_an_old_version_that_is_gone_makes_room_too(world: World) -> None:
    world.create(POLICY)
    add_versions(world, 4)
    delete = world.somebody.iam.delete_policy_version
    world.wire.before("iam:DeletePolicyVersion", lambda: delete(PolicyArn=POLICY.arn, VersionId="v1"))

    world.update(POLICY)

    assert world.differences(POLICY) == {}


def test_a_policy_goes_although_an_old_version_is_gone_by_then(world: World) -> None:
    world.create(POLICY)
    add_versions(world, 1)
    delete = world.somebody.iam.delete_policy_version
    world.wire.before("iam:DeletePolicyVersion", lambda: delete(PolicyArn=POLICY.arn, VersionId="v1"))

    world.delete(POLICY)

    assert POLICY.find(world.snapshot) is None


def test_a_role_goes_although_an_inline_policy_is_gone_by_then(world: World) -> None:
    world.create(POLICY, ROLE)
    inline = {"RoleName": "Role", "PolicyName": "inline"}
    world.somebody.iam.put_role_policy(**inline, PolicyDocument=json.dumps(allow("s3:*")))
    world.wire.before("iam:DeleteRolePolicy", lambda: world.somebody.iam.delete_role_policy(**inline))

    world.delete(ROLE)

    assert ROLE.find(world.snapshot) is None


def test_policies_are_attached_one_at_a_time(world: World) -> None:
    """FACTS 30."""
    world.create(POLICY, replace(ROLE, policies=(), managed_policies=()))
    world.wire.refuse("iam:AttachRolePolicy", "ServiceException")

    with pytest.raises(ClientError):
        ROLE.attach(world.aws, None)

    assert len(world.wire.made("iam:AttachRolePolicy")) == 1


def test_a_permissions_boundary_is_part_of_a_new_role(world: World) -> None:
    bounded = replace(ROLE, boundary=other_policy(world))
    world.create(POLICY, bounded)

    assert world.differences(bounded) == {}
    assert list(world.differences(ROLE)) == ["permissions boundary"]


def test_a_permissions_boundary_is_put_on_and_taken_off(world: World) -> None:
    bounded = replace(ROLE, boundary=other_policy(world))
    world.create(POLICY, ROLE)

    put_on = world.update(bounded)
    differences = world.differences(bounded)
    taken_off = world.update(ROLE)

    assert put_on == ["iam:PutRolePermissionsBoundary"]
    assert differences == {}
    assert taken_off == ["iam:DeleteRolePermissionsBoundary"]
    assert world.differences(ROLE) == {}


def test_what_others_attached_to_the_role_stays_on_update(world: World) -> None:
    other = other_policy(world, "Theirs")
    world.create(POLICY, ROLE)
    world.somebody.iam.attach_role_policy(RoleName="Role", PolicyArn=other)
    world.somebody.iam.detach_role_policy(RoleName="Role", PolicyArn=LOGGING)

    world.update(ROLE)

    assert set(world.found(ROLE).attached) == {other, LOGGING, POLICY.arn}


@pytest.mark.parametrize("tags", [{}, {STACK_TAG: "Other"}])
def test_without_our_tag_or_with_another_stacks_they_are_foreign(world: World, tags: dict[str, str]) -> None:
    world.create(replace(POLICY, tags=tags), replace(ROLE, tags=tags))

    assert not POLICY.owner(world.found(POLICY)).ours
    assert not ROLE.owner(world.found(ROLE)).ours


def test_a_policy_with_versions_that_others_attached_elsewhere_can_be_deleted(world: World) -> None:
    world.create(POLICY, ROLE)
    add_versions(world, 4)
    iam = world.somebody.iam
    iam.create_user(UserName="u")
    iam.create_group(GroupName="g")
    iam.attach_user_policy(UserName="u", PolicyArn=POLICY.arn)
    iam.attach_group_policy(GroupName="g", PolicyArn=POLICY.arn)

    world.delete(POLICY)

    assert POLICY.find(world.snapshot) is None


@pytest.mark.parametrize("kind", ["User", "Group", "Role"])
def test_a_policy_goes_even_if_iam_still_lists_who_is_gone(world: World, kind: str) -> None:
    world.create(POLICY)
    nobody: dict[str, list[dict[str, str]]] = {"PolicyRoles": [], "PolicyUsers": [], "PolicyGroups": []}
    world.wire.answer(
        "iam:ListEntitiesForPolicy",
        {**nobody, f"Policy{kind}s": [{f"{kind}Name": "gone"}], "IsTruncated": False},
    )

    world.delete(POLICY)

    assert POLICY.find(world.snapshot) is None


def test_a_role_with_inline_policies_and_what_others_attached_can_be_deleted(world: World) -> None:
    world.create(POLICY, ROLE)
    iam = world.somebody.iam
    iam.attach_role_policy(RoleName="Role", PolicyArn=other_policy(world))
    iam.put_role_policy(RoleName="Role", PolicyName="inline", PolicyDocument=json.dumps(allow("s3:*")))

    world.delete(ROLE)

    assert ROLE.find(world.snapshot) is None


def test_a_role_goes_even_if_iam_still_lists_what_is_detached(world: World) -> None:
    world.create(POLICY, ROLE)
    world.wire.before(
        "iam:DetachRolePolicy",
        lambda: world.somebody.iam.detach_role_policy(RoleName="Role", PolicyArn=POLICY.arn),
    )

    world.delete(ROLE)

    assert ROLE.find(world.snapshot) is None


@pytest.mark.parametrize(
    ("resource", "operation", "message"),
    [
        (POLICY, "iam:DeletePolicy", "Cannot delete a policy attached to entities."),
        (ROLE, "iam:DeleteRole", "Cannot delete entity, must detach all policies first."),
        (ROLE, "iam:DeleteRole", "Cannot delete entity, must delete policies first."),
    ],
)
def test_a_delete_is_tried_again_while_iam_is_behind_itself(
    world: World, resource: Policy | Role, operation: str, message: str
) -> None:
    world.create(POLICY, ROLE)
    world.wire.refuse(operation, "DeleteConflict", message, status=409, times=2)

    world.delete(resource)

    assert len(world.wire.made(operation)) == 3
    assert resource.find(world.snapshot) is None


@pytest.mark.parametrize("resource", [POLICY, ROLE], ids=["policy", "role"])
def test_deleting_what_somebody_just_deleted_is_no_error(world: World, resource: Resource[Any]) -> None:
    world.create(POLICY, ROLE)
    found = world.found(resource)
    resource.delete(world.somebody, found)

    resource.delete(world.aws, found)

    assert resource.find(world.snapshot) is None


@pytest.mark.parametrize(
    ("resource", "operation"),
    [
        (POLICY, "iam:GetPolicy"),
        (POLICY, "iam:GetPolicyVersion"),
        (ROLE, "iam:GetRole"),
        (ROLE, "iam:ListAttachedRolePolicies"),
    ],
)
def test_a_denied_look_is_not_taken_for_absence(
    world: World, resource: Policy | Role, operation: str
) -> None:
    world.create(POLICY, ROLE)
    world.wire.refuse(operation, "AccessDenied", status=403)

    with pytest.raises(ClientError, match="AccessDenied"):
        resource.find(world.snapshot)
