"""Where a stack is: here, in another region, or nowhere."""

from __future__ import annotations

import pytest

from s3agg.settings import Names
from s3agg.stack import deployed
from s3agg.stack.elsewhere import Located, NoStack, all_stacks
from tests.support import aws as support
from tests.support.aws import REGION, World, make_world
from tests.support.deploying import create, detach, make
from tests.support.roles import make_role

pytestmark = pytest.mark.stack
world = support.world

NAMES = Names()
FAR = "us-west-2"


@pytest.fixture
def photos(world: World) -> World:
    """An account with the stack in eu-west-1, attached to the bucket `photos`."""
    make(world, "photos")
    return world


def seen_from_afar(names: Names = NAMES) -> deployed.Deployment:
    return deployed.read(make_world(FAR).aws, names)


@pytest.mark.usefixtures("photos")
def test_a_stack_of_another_region_is_not_in_this_one() -> None:
    deployment = seen_from_afar()

    assert (deployment.exists, deployment.elsewhere) == (False, REGION)


def test_a_stack_of_this_region_is_nowhere_else(photos: World) -> None:
    deployment = deployed.read(photos.aws, NAMES)

    assert (deployment.exists, deployment.elsewhere) == (True, None)


@pytest.mark.usefixtures("photos")
def test_a_stack_of_another_name_is_nowhere() -> None:
    deployment = seen_from_afar(Names("Other"))

    assert (deployment.exists, deployment.elsewhere) == (False, None)


def test_the_role_of_another_stack_is_no_stack(world: World) -> None:
    """The stacks Foo and FooAction share the name of a role."""
    world.bucket("photos")
    create(world, "photos", names=Names("FooAction"))

    deployment = deployed.read(world.aws, Names("Foo"))

    assert (deployment.exists, deployment.elsewhere) == (False, None)


@pytest.mark.usefixtures("photos")
def test_a_queue_in_this_region_makes_the_stack_one_of_this_region() -> None:
    far = make_world(FAR)
    far.somebody.sqs.create_queue(QueueName=NAMES.queue)

    assert seen_from_afar().elsewhere is None


def test_a_bucket_with_eventbridge_does_not_make_the_stack_one_of_this_region(photos: World) -> None:
    photos.somebody.s3.put_bucket_notification_configuration(
        Bucket="photos", NotificationConfiguration={"EventBridgeConfiguration": {}}
    )

    assert deployed.read(make_world(FAR).aws, NAMES, deployed.Request(("photos",))).elsewhere == REGION


@pytest.mark.usefixtures("photos")
def test_kept_log_groups_do_not_make_the_stack_one_of_this_region() -> None:
    far = make_world(FAR)
    far.somebody.logs.create_log_group(logGroupName=f"/aws/lambda/{NAMES.aggregator}")

    assert seen_from_afar().elsewhere == REGION


def test_an_untagged_policy_does_not_hide_the_region(photos: World) -> None:
    arn = photos.aws.place.iam(f"policy/{NAMES.dynamo_policy}")
    photos.somebody.iam.untag_policy(PolicyArn=arn, TagKeys=["s3agg:stack", "s3agg:region"])

    assert seen_from_afar().elsewhere == REGION


@pytest.mark.usefixtures("photos")
def test_a_bucket_cannot_be_detached_from_another_region() -> None:
    far = make_world(FAR)

    with pytest.raises(NoStack, match="pass --region eu-west-1"):
        detach(far, "photos")

    assert far.wire.changes == []


@pytest.mark.usefixtures("photos")
def test_the_error_holds_the_region_of_the_stack() -> None:
    missing = seen_from_afar().missing

    assert (missing.stack, missing.region, missing.elsewhere) == (NAMES.stack, FAR, REGION)


def test_where_the_stack_is_takes_no_call_of_its_own(photos: World) -> None:
    deployment = deployed.read(photos.aws, NAMES)
    photos.wire.calls.clear()

    assert deployment.exists
    assert photos.wire.calls == []


# All stacks


def test_the_stacks_of_all_regions_are_found_by_their_roles(photos: World) -> None:
    make_role(photos, "Far", FAR)

    assert all_stacks(photos.aws) == [Located("Far", FAR), Located(NAMES.stack, REGION)]


def test_stacks_take_one_list_and_a_call_for_each_role_whose_name_fits(photos: World) -> None:
    for name in ("Other", "LambdaRoleOfOthers"):
        photos.somebody.iam.create_role(RoleName=name, AssumeRolePolicyDocument="{}")

    all_stacks(photos.aws)

    assert [call.operation for call in photos.wire.calls] == ["iam:ListRoles", *["iam:ListRoleTags"] * 2]


def test_a_role_without_tags_is_no_stack(world: World) -> None:
    world.somebody.iam.create_role(RoleName="OthersLambdaRole", AssumeRolePolicyDocument="{}")

    assert all_stacks(world.aws) == []


@pytest.mark.parametrize("stack", ["Other", "no.name"])
def test_a_role_whose_tags_name_another_stack_is_no_stack(world: World, stack: str) -> None:
    make_role(world, stack, REGION, name="MineLambdaRole")

    assert all_stacks(world.aws) == []


def test_a_role_that_is_gone_meanwhile_is_no_stack(photos: World) -> None:
    photos.wire.refuse("iam:ListRoleTags", "NoSuchEntity")

    assert all_stacks(photos.aws) == []


def test_roles_whose_tags_cannot_be_read_are_a_warning(photos: World) -> None:
    make_role(photos, "Theirs", FAR)
    photos.wire.refuse("iam:ListRoleTags", "AccessDenied", when=lambda call: "Theirs" in str(call.params))

    assert all_stacks(photos.aws) == [Located(NAMES.stack, REGION)]
    (warning,) = photos.warnings
    assert warning.startswith(
        "Could not read the tags of 1 role, so stacks may be missing. Ask for permission"
    )
