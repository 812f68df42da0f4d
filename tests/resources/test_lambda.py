"""The functions, their permissions and the trigger."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from s3agg import assets
from s3agg.aws.snapshot import Snapshot
from s3agg.errors import S3aggError
from s3agg.resources.function import ROLE_TAG, Function
from s3agg.resources.log_group import LogGroup
from s3agg.resources.permission import Permission, statements
from s3agg.resources.queue import Queue
from s3agg.resources.resource import Resource
from s3agg.resources.role import Role
from s3agg.resources.table import Table
from s3agg.resources.trigger import EventSourceMapping
from s3agg.settings import STACK_TAG
from tests.support.aws import PLACE, World, account_settings

TAGS = {STACK_TAG: "Test", "team": "a"}
DEAD = Queue(PLACE, "Dead", TAGS, visibility=180, retention=60)
QUEUE = Queue(PLACE, "Queue", TAGS, visibility=180, retention=60)
URL = f"https://sqs.{PLACE.region}.amazonaws.com/{PLACE.account}/Queue"
TABLE = Table(PLACE, "Table", TAGS, read_capacity=1, write_capacity=5, on_demand=False)
ROLE = Role(
    PLACE,
    "Role",
    TAGS,
    trust=assets.policy("lambda-trust", {}),
    policies=(),
    managed_policies=(),
    boundary=None,
)
FUNCTION = Function(
    PLACE,
    "Function",
    TAGS,
    role=ROLE,
    other_role=PLACE.iam("role/OtherRole"),
    log_group=LogGroup(PLACE, "/aws/lambda/Function", TAGS, retention=30),
    table=TABLE,
    queue=QUEUE,
    failures_to=DEAD,
    modules=("s3_aggregator",),
    runtime="python3.13",
    architecture="arm64",
    timeout=10,
    memory=128,
    environment={"LOG_LEVEL": "INFO", "REFRESH_DELAY_SECONDS": "30", "INCLUDE_GATEWAY_WRITES": None},
    concurrency=10,
)
PERMISSION = Permission(PLACE, "SID_my_photos", TAGS, function=FUNCTION, bucket="my.photos")
TRIGGER = EventSourceMapping(
    PLACE, "Queue to Function", TAGS, queue=QUEUE, function=FUNCTION, maximum_concurrency=2
)

NOT_ASSUMED = "The role defined for the function cannot be assumed by Lambda."
NOT_RECEIVED = "The provided execution role does not have permissions to call ReceiveMessage on SQS"
NOT_SENT = "The function's execution role does not have permissions to call SendMessage on arn:aws:sqs:…"
NO_ROOM = (
    "Specified ReservedConcurrentExecutions for function decreases account's"
    " UnreservedConcurrentExecution below its minimum value of [100]."
)
NOT_NOW = "The operation cannot be performed at this time."
REVISED = (
    "The Revision Id provided does not match the latest Revision Id. Call the GetPolicy API to retrieve the"
    " latest Revision Id"
)


@pytest.fixture
def deployment(world: World) -> World:
    """An account with the function, and as much of what it needs as moto asks for."""
    world.create(QUEUE, ROLE, FUNCTION)
    return world


@pytest.fixture
def needed(world: World) -> World:
    """An account with as much of what the function needs as moto asks for."""
    world.create(QUEUE, ROLE)
    return world


@pytest.mark.parametrize("resource", [FUNCTION, PERMISSION, TRIGGER], ids=lambda each: each.kind)
def test_what_is_not_there_is_not_found(world: World, resource: Resource[Any]) -> None:
    assert resource.find(world.snapshot) is None


@pytest.mark.parametrize("resource", [PERMISSION, TRIGGER], ids=lambda each: each.kind)
def test_what_the_function_does_not_have_is_not_found(deployment: World, resource: Resource[Any]) -> None:
    assert resource.find(deployment.snapshot) is None


def test_a_new_function_is_as_declared(deployment: World) -> None:
    assert deployment.differences(FUNCTION) == {}


def test_a_new_function_has_its_tags_from_the_start(deployment: World) -> None:
    assert TAGS.items() <= (deployment.found(FUNCTION).tags or {}).items()


def test_a_new_function_knows_the_table_and_the_queue(deployment: World) -> None:
    variables = deployment.found(FUNCTION).variables

    assert variables == {
        "TABLE_NAME": "Table",
        "QUEUE_URL": QUEUE.url(deployment.aws),
        "LOG_LEVEL": "INFO",
        "REFRESH_DELAY_SECONDS": "30",
    }


def test_a_function_is_not_made_without_the_url_of_its_queue(needed: World) -> None:
    needed.wire.refuse("sqs:GetQueueUrl", "AWS.SimpleQueueService.NonExistentQueue", times=3)

    make_function(needed)

    assert needed.differences(FUNCTION) == {}


CONFIGURATION = "lambda:UpdateFunctionConfiguration"


def make_role_anew(world: World) -> None:
    world.somebody.iam.delete_role(RoleName="Role")
    ROLE.create(world.somebody)


def pointed(world: World) -> list[str]:
    """The roles that the function was pointed at, in order."""
    return [call["Role"] for call in world.wire.made(CONFIGURATION)]


def test_a_function_is_pointed_at_a_role_that_was_made_anew(deployment: World) -> None:
    """FACTS 25."""
    make_role_anew(deployment)

    named = deployment.differences(FUNCTION)
    deployment.update(FUNCTION)

    assert named == {"grant for the execution role": ("current", "for a deleted role of this name")}
    assert pointed(deployment) == [PLACE.iam("role/OtherRole"), ROLE.arn]
    assert deployment.differences(FUNCTION) == {}


def test_a_role_that_is_gone_has_no_grant(deployment: World) -> None:
    """FACTS 25."""
    deployment.somebody.iam.delete_role(RoleName="Role")

    assert "grant for the execution role" in deployment.differences(FUNCTION)


def test_a_run_that_died_before_it_pointed_back_is_finished(deployment: World) -> None:
    """FACTS 25."""
    make_role_anew(deployment)
    deployment.wire.refuse(CONFIGURATION, "ServiceException", after=1, times=1)
    with pytest.raises(ClientError):
        deployment.update(FUNCTION)

    deployment.update(FUNCTION)

    assert deployment.found(FUNCTION).role == ROLE.arn
    assert deployment.differences(FUNCTION) == {}


@pytest.mark.parametrize(("hours", "granted"), [(-1, True), (1, False)])
def test_without_a_tag_a_role_that_is_younger_than_the_function_has_no_grant(
    deployment: World, hours: int, *, granted: bool
) -> None:
    """FACTS 25: older versions wrote no tag."""
    deployment.somebody.lambda_.untag_resource(Resource=FUNCTION.arn, TagKeys=[ROLE_TAG])
    role = deployment.somebody.iam.get_role(RoleName="Role")["Role"]
    created = role["CreateDate"] + timedelta(hours=hours)
    trust = json.dumps(role["AssumeRolePolicyDocument"])
    described = {**role, "CreateDate": created, "AssumeRolePolicyDocument": trust}
    deployment.wire.answer("iam:GetRole", {"Role": described})

    assert deployment.found(FUNCTION).is_granted is granted


def test_variables_that_cannot_be_read_are_told_and_not_written_over(deployment: World) -> None:
    """FACTS 32."""
    function: Any = deployment.somebody.lambda_.get_function(FunctionName="Function")
    denied = {"Error": {"ErrorCode": "AccessDeniedException", "Message": "Lambda was unable to decrypt"}}
    configuration = {**function["Configuration"], "Environment": denied, "Timeout": 3}
    deployment.wire.answer("lambda:GetFunction", {**function, "Configuration": configuration})

    with pytest.raises(S3aggError, match="does not show the environment variables of function Function"):
        deployment.update(FUNCTION)

    assert deployment.differences(FUNCTION) == {
        "environment variables": ("readable", "Lambda was unable to decrypt"),
        "timeout": ("10 s", "3 s"),
    }
    assert deployment.wire.changes == []


def set_variables(world: World, **changed: str | None) -> None:
    """Change some of the function's variables by hand; None takes one away."""
    variables = {**world.found(FUNCTION).variables, **changed}
    kept = {name: value for name, value in variables.items() if value is not None}
    world.somebody.lambda_.update_function_configuration(
        FunctionName="Function", Environment={"Variables": kept}
    )


def test_without_its_queue_a_function_still_has_the_url_of_the_deleted_one(deployment: World) -> None:
    deployment.somebody.sqs.delete_queue(QueueUrl=URL)
    deployment.aws.queue_urls.clear()  # as in the next command

    assert deployment.differences(FUNCTION) == {"environment variable QUEUE_URL": ("URL of queue Queue", URL)}


def test_variables_that_somebody_added_stay_and_are_no_difference(deployment: World) -> None:
    set_variables(deployment, THEIRS="1", LOG_LEVEL="DEBUG")

    deployment.update(FUNCTION)

    assert deployment.found(FUNCTION).variables["THEIRS"] == "1"
    assert deployment.differences(FUNCTION) == {}


def test_another_architecture_takes_the_code_again(deployment: World) -> None:
    other = replace(FUNCTION, architecture="x86_64")

    named = deployment.differences(other)
    changes = deployment.update(other)

    assert named == {"architecture": ("x86_64", "arm64")}
    assert changes == ["lambda:UpdateFunctionCode"]
    assert deployment.wire.made("lambda:UpdateFunctionCode")[0]["Architectures"] == ["x86_64"]


def test_the_configuration_goes_before_the_code(deployment: World) -> None:
    new = replace(FUNCTION, runtime="python3.14", modules=("s3_sgw_refresh",))

    changes = deployment.update(new)

    assert changes == [CONFIGURATION, "lambda:UpdateFunctionCode"]


@pytest.mark.parametrize(("unreserved", "room"), [(10, False), (109, False), (110, True)])
def test_no_reservation_in_an_account_without_room_is_no_difference(
    deployment: World, unreserved: int, room: bool
) -> None:
    deployment.somebody.lambda_.delete_function_concurrency(FunctionName="Function")
    deployment.wire.answer("lambda:GetAccountSettings", account_settings(unreserved))

    assert bool(deployment.differences(FUNCTION)) is room


def test_an_account_without_room_gets_a_warning_and_a_function(needed: World) -> None:
    needed.wire.refuse("lambda:PutFunctionConcurrency", "InvalidParameterValueException", NO_ROOM)
    needed.wire.answer("lambda:GetAccountSettings", account_settings(10))

    make_function(needed)

    (warning,) = needed.warnings
    assert warning == (
        "The account's concurrency quota is too low to reserve a concurrency of 10 for function Function."
        " The function runs without reserved concurrency, which is safe."
    )
    assert needed.differences(FUNCTION) == {}


def test_another_refusal_of_the_reservation_is_an_error(needed: World) -> None:
    needed.wire.refuse("lambda:PutFunctionConcurrency", "InvalidParameterValueException", "Something else")

    with pytest.raises(ClientError, match="Something else"):
        FUNCTION.create(needed.aws)


@pytest.mark.parametrize(
    "operation", ["lambda:PutFunctionConcurrency", "lambda:PutFunctionEventInvokeConfig"]
)
def test_a_function_that_a_run_left_unfinished_is_waited_for(needed: World, operation: str) -> None:
    needed.wire.refuse(operation, "ServiceException", times=1)
    with pytest.raises(ClientError):
        make_function(needed)
    needed.wire.refuse(operation, "ResourceConflictException", "The function is Pending", times=3)

    needed.update(FUNCTION)

    assert needed.differences(FUNCTION) == {}


@pytest.mark.parametrize(
    "operation", ["lambda:PutFunctionConcurrency", "lambda:PutFunctionEventInvokeConfig"]
)
def test_a_new_function_may_take_longer_than_a_minute_to_become_active(needed: World, operation: str) -> None:
    needed.wire.refuse(operation, "ResourceConflictException", "The function is Pending", times=90)

    make_function(needed)

    assert 80 < needed.clock.waited < 120
    assert needed.differences(FUNCTION) == {}


def test_how_somebody_had_events_retried_stays_when_the_destination_is_put_back(deployment: World) -> None:
    nowhere: dict[str, Any] = {"OnFailure": {}, "OnSuccess": {}}
    config = {"MaximumRetryAttempts": 1, "DestinationConfig": nowhere}
    deployment.wire.answer("lambda:GetFunctionEventInvokeConfig", config)

    deployment.update(FUNCTION)

    (put,) = deployment.wire.made("lambda:PutFunctionEventInvokeConfig")
    assert put["MaximumRetryAttempts"] == 1
    assert put["DestinationConfig"] == {**nowhere, "OnFailure": {"Destination": DEAD.arn}}


def test_where_failures_of_a_function_go_is_its_owners_business_if_we_declare_nothing(
    deployment: World,
) -> None:
    without = replace(FUNCTION, failures_to=None)

    assert deployment.differences(without) == {}
    assert deployment.update(without) == []


@pytest.mark.parametrize("tags", [{}, {STACK_TAG: "Other"}])
def test_a_function_without_our_tag_or_with_another_stacks_is_foreign(
    needed: World, tags: dict[str, str]
) -> None:
    needed.create(replace(FUNCTION, tags=tags))

    assert not FUNCTION.owner(needed.found(FUNCTION)).ours


def make_function(world: World) -> None:
    FUNCTION.create(world.aws)
    FUNCTION.attach(world.aws, None)


def make_trigger(world: World) -> None:
    FUNCTION.create(world.aws)
    TRIGGER.create(world.aws)


def change_timeout(world: World) -> None:
    FUNCTION.create(world.aws)
    changed = replace(FUNCTION, timeout=20)
    changed.update(world.aws, world.found(changed))


SPREADING: list[tuple[Callable[[World], None], str, str]] = [
    (make_function, "lambda:CreateFunction", NOT_ASSUMED),
    (change_timeout, CONFIGURATION, NOT_ASSUMED),
    (make_trigger, "lambda:CreateEventSourceMapping", NOT_RECEIVED),
    (make_function, "lambda:PutFunctionEventInvokeConfig", NOT_SENT),
]


@pytest.mark.parametrize(("act", "operation", "message"), SPREADING)
def test_a_role_that_spreads_is_waited_for(
    needed: World, act: Callable[[World], None], operation: str, message: str
) -> None:
    needed.wire.refuse(operation, "InvalidParameterValueException", message, times=2)

    act(needed)

    assert len(needed.wire.made(operation)) == 3
    assert 0 < needed.clock.waited < 1


@pytest.mark.parametrize(
    ("operation", "message"),
    [
        ("lambda:PutFunctionConcurrency", f"Function not found: {FUNCTION.arn}:$LATEST"),
        ("lambda:PutFunctionEventInvokeConfig", "The function doesn't exist."),
    ],
)
def test_a_new_function_that_another_call_does_not_find_yet_is_waited_for(
    needed: World, operation: str, message: str
) -> None:
    needed.wire.refuse(operation, "ResourceNotFoundException", message, status=404, times=2)

    make_function(needed)

    assert len(needed.wire.made(operation)) == 3


@pytest.mark.parametrize(("act", "operation", "message"), SPREADING)
def test_a_role_that_never_spreads_is_an_error_in_awss_words_when_patience_ends(
    needed: World, act: Callable[[World], None], operation: str, message: str
) -> None:
    needed.wire.refuse(operation, "InvalidParameterValueException", message)

    with pytest.raises(ClientError, match=message.rstrip(".")):
        act(needed)

    assert 300 < needed.clock.waited < 302
    assert needed.waiting[-1].startswith(("waiting for role Role to", "waiting for function Function to"))


@pytest.mark.parametrize(("act", "operation", "message"), SPREADING)
def test_another_invalid_parameter_is_an_error_at_once(
    needed: World, act: Callable[[World], None], operation: str, message: str
) -> None:
    needed.wire.refuse(operation, "InvalidParameterValueException", f"Not: {message[-5:]}")

    with pytest.raises(ClientError, match="Not: "):
        act(needed)

    assert needed.clock.waited == 0


@pytest.mark.parametrize("operation", [CONFIGURATION, "lambda:UpdateFunctionCode"])
def test_an_update_in_progress_is_waited_for(deployment: World, operation: str) -> None:
    in_progress = f"{NOT_NOW} An update is in progress for resource: {FUNCTION.arn}"
    deployment.wire.refuse(operation, "ResourceConflictException", in_progress, times=2)
    new = replace(FUNCTION, timeout=20, modules=("s3_sgw_refresh",))

    changes = deployment.update(new)

    assert changes.count(operation) == 3
    assert deployment.differences(new) == {}


def test_an_update_waits_until_it_is_in_force(deployment: World) -> None:
    deployment.wire.answer(
        "lambda:GetFunctionConfiguration", {"State": "Active", "LastUpdateStatus": "InProgress"}, times=12
    )

    deployment.update(replace(FUNCTION, timeout=20))

    assert deployment.waiting[-1].startswith("waiting for function Function to become active")


FAILED_UPDATE = {
    "State": "Active",
    "LastUpdateStatus": "Failed",
    "LastUpdateStatusReason": "The key is disabled",
}


def test_an_update_that_fails_is_an_error(deployment: World) -> None:
    deployment.wire.answer("lambda:GetFunctionConfiguration", FAILED_UPDATE)

    with pytest.raises(S3aggError, match="Function failed to become active: The key is disabled"):
        deployment.update(replace(FUNCTION, timeout=20))


def test_an_earlier_update_that_failed_is_told_and_refuses_nothing(deployment: World) -> None:
    """FACTS 39: the function goes on running its previous code."""
    deployment.wire.answer("lambda:GetFunctionConfiguration", FAILED_UPDATE)

    TRIGGER.create(deployment.aws)

    assert TRIGGER.find(deployment.snapshot) is not None
    (warning,) = deployment.warnings
    assert warning == (
        "The last update of function Function failed: The key is disabled."
        " The function goes on running its previous code."
    )


def test_a_function_that_is_being_deleted_is_not_found(deployment: World) -> None:
    function = deployment.aws.lambda_.get_function(FunctionName="Function")
    deleting = {**function, "Configuration": {**function["Configuration"], "State": "Deleting"}}
    deployment.wire.answer("lambda:GetFunction", deleting)

    assert FUNCTION.find(deployment.snapshot) is None


def test_nothing_is_attached_to_a_function_that_is_being_deleted(deployment: World) -> None:
    deployment.wire.answer("lambda:GetFunctionConfiguration", {"State": "Deleting"})

    with pytest.raises(S3aggError, match="Function failed to become active: Deleting"):
        TRIGGER.create(deployment.aws)


def test_delete_removes_the_function(deployment: World) -> None:
    deployment.delete(FUNCTION)

    assert FUNCTION.find(deployment.snapshot) is None


def test_deleting_a_function_that_is_gone_is_no_error(deployment: World) -> None:
    found = deployment.found(FUNCTION)
    deployment.somebody.lambda_.delete_function(FunctionName="Function")

    FUNCTION.delete(deployment.aws, found)

    assert FUNCTION.find(deployment.snapshot) is None


@pytest.mark.parametrize(
    ("resource", "operation"),
    [
        (FUNCTION, "lambda:GetFunction"),
        (FUNCTION, "lambda:GetFunctionEventInvokeConfig"),
        (PERMISSION, "lambda:GetPolicy"),
        (TRIGGER, "lambda:ListEventSourceMappings"),
        (TRIGGER, "lambda:ListTags"),
    ],
)
def test_a_denied_look_is_not_taken_for_absence(
    deployment: World, resource: Resource[Any], operation: str
) -> None:
    deployment.create(PERMISSION, TRIGGER)
    deployment.wire.refuse(operation, "AccessDeniedException", status=403)

    with pytest.raises(ClientError, match="AccessDenied"):
        resource.find(deployment.snapshot)


def test_a_new_permission_is_as_declared(deployment: World) -> None:
    deployment.create(PERMISSION)

    assert deployment.differences(PERMISSION) == {}


def test_a_permission_is_for_one_bucket_of_this_account(deployment: World) -> None:
    PERMISSION.create(deployment.aws)

    (made,) = deployment.wire.made("lambda:AddPermission")
    assert made["StatementId"] == "SID_my_photos"
    assert (made["SourceArn"], made["SourceAccount"]) == ("arn:aws:s3:::my.photos", PLACE.account)


def test_a_permission_is_never_missing_while_it_is_made_anew(deployment: World) -> None:
    deployment.create(replace(PERMISSION, bucket="other"))
    there: list[int] = []
    for removal in range(2):
        deployment.wire.before(
            "lambda:RemovePermission",
            lambda: there.append(len(statements(Snapshot(deployment.somebody), "Function"))),
            after=removal,
        )

    deployment.update(PERMISSION)

    assert there == [2, 2]
    assert list(statements(Snapshot(deployment.somebody), "Function")) == ["SID_my_photos"]
    assert deployment.differences(PERMISSION) == {}


def test_a_change_of_the_policy_at_the_same_time_is_waited_for(deployment: World) -> None:
    for operation in ("lambda:AddPermission", "lambda:RemovePermission"):
        deployment.wire.refuse(operation, "PreconditionFailedException", REVISED, status=412, times=2)

    deployment.create(PERMISSION)
    deployment.delete(PERMISSION)

    assert PERMISSION.find(deployment.snapshot) is None


def test_a_policy_without_room_says_how_many_buckets_are_attached(deployment: World) -> None:
    deployment.create(PERMISSION)
    deployment.wire.refuse("lambda:AddPermission", "PolicyLengthExceededException", "20480")
    other = replace(PERMISSION, name="SID_other", bucket="other")

    with pytest.raises(S3aggError, match=r"bucket other\. .*--stack"):
        other.create(deployment.aws)


def test_the_policy_is_asked_for_once_for_all_buckets(deployment: World) -> None:
    snapshot = deployment.snapshot

    for _ in range(3):
        statements(snapshot, "Function")

    assert len(deployment.wire.made("lambda:GetPolicy")) == 1


def test_delete_removes_one_permission_only(deployment: World) -> None:
    other = replace(PERMISSION, name="SID_other", bucket="other")
    deployment.create(PERMISSION, other)

    deployment.delete(PERMISSION)

    assert list(statements(deployment.snapshot, "Function")) == ["SID_other"]


@pytest.mark.parametrize("what", ["permission", "function"])
def test_deleting_a_permission_that_is_gone_is_no_error(deployment: World, what: str) -> None:
    deployment.create(PERMISSION)
    found = deployment.found(PERMISSION)
    if what == "permission":
        PERMISSION.delete(deployment.somebody, found)
    else:
        FUNCTION.delete(deployment.somebody, deployment.found(FUNCTION))

    PERMISSION.delete(deployment.aws, found)

    assert PERMISSION.find(deployment.snapshot) is None


def test_a_new_trigger_is_as_declared(deployment: World) -> None:
    deployment.create(TRIGGER)

    assert deployment.differences(TRIGGER) == {}
    assert deployment.found(TRIGGER).tags == TAGS


def test_a_trigger_that_somebody_made_is_taken_over(deployment: World) -> None:
    deployment.somebody.lambda_.create_event_source_mapping(
        EventSourceArn=QUEUE.arn, FunctionName="Function", BatchSize=1
    )

    deployment.update(TRIGGER)

    assert TRIGGER.owner(deployment.found(TRIGGER)).ours
    assert deployment.differences(TRIGGER) == {}


def test_the_trigger_of_another_function_is_not_ours(deployment: World) -> None:
    other = replace(FUNCTION, name="Function2")
    deployment.create(other, replace(TRIGGER, function=other))

    assert TRIGGER.find(deployment.snapshot) is None


@pytest.mark.parametrize("operation", ["UpdateEventSourceMapping", "DeleteEventSourceMapping"])
def test_a_trigger_that_is_changing_is_waited_for(deployment: World, operation: str) -> None:
    deployment.create(TRIGGER)
    deployment.wire.refuse(f"lambda:{operation}", "ResourceInUseException", times=2)

    if operation.startswith("Update"):
        changes = deployment.update(replace(TRIGGER, maximum_concurrency=3))
    else:
        changes = deployment.delete(TRIGGER)

    assert changes == [f"lambda:{operation}"] * 3


def test_a_trigger_being_deleted_is_waited_for_before_a_new_one(deployment: World) -> None:
    deleting = {"UUID": "1", "State": "Deleting", "FunctionArn": FUNCTION.arn, "BatchSize": 1}
    deployment.wire.answer("lambda:ListEventSourceMappings", {"EventSourceMappings": [deleting]}, times=5)

    found = TRIGGER.find(deployment.snapshot)
    TRIGGER.create(deployment.aws)

    assert found is None
    assert deployment.differences(TRIGGER) == {}


def test_a_trigger_that_another_made_is_not_waited_for_to_go(deployment: World) -> None:
    deployment.create(TRIGGER)
    # moto would make a second one.
    there_is_one = (
        f'An event source mapping with SQS arn (" {QUEUE.arn} ") and function (" Function ") already exists.'
        f" Please update or delete the existing mapping with UUID {deployment.found(TRIGGER).uuid}"
    )
    deployment.wire.refuse("lambda:CreateEventSourceMapping", "ResourceConflictException", there_is_one)
    deployment.clock.sleep(1)  # else the pace of calls delays the next ones

    with pytest.raises(ClientError) as caught:
        TRIGGER.create(deployment.aws)

    assert any(refusal.matches(caught.value) for refusal in TRIGGER.already_exists)
    assert deployment.clock.waited == 1


def test_deleting_a_trigger_that_is_gone_is_no_error(deployment: World) -> None:
    deployment.create(TRIGGER)
    found = deployment.found(TRIGGER)
    deployment.somebody.lambda_.delete_event_source_mapping(UUID=found.uuid)

    TRIGGER.delete(deployment.aws, found)

    assert TRIGGER.find(deployment.snapshot) is None


def test_deleting_a_trigger_does_not_wait_for_one_that_a_create_makes_meanwhile(deployment: World) -> None:
    deployment.create(TRIGGER)
    found = deployment.found(TRIGGER)
    deployment.wire.before("lambda:ListEventSourceMappings", lambda: TRIGGER.create(deployment.somebody))

    TRIGGER.delete(deployment.aws, found)

    assert deployment.found(TRIGGER).uuid != found.uuid
