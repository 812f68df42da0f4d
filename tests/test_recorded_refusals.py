"""Every refusal that s3agg knows, against the words that AWS really used.

localstack's parity tests recorded these errors on AWS (Apache-2.0). Each row names the test and the day.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import s3agg
from s3agg.aws.refusals import NEXT_STEPS, NOT_FOUND, Refusal, describing_errors, is_not_found
from s3agg.errors import S3aggError
from s3agg.live import item_writes
from s3agg.resources import concurrency, function, notification, permission, role, table
from s3agg.resources.event_filter import EventFilter
from s3agg.resources.queue import Queue
from s3agg.settings import Names, Settings
from s3agg.stack import declared
from tests.support.aws import PLACE
from tests.support.recorded import Answer, Refused, raised, replay

STACK = declared.make(PLACE, Names(), Settings(), {"photos": EventFilter()})
CONFLICT = "ResourceConflictException"
INVALID = "InvalidParameterValueException"
NOWHERE = "ResourceNotFoundException"
FUNCTION = PLACE.arn("lambda", "function:doesnotexist")
QUEUE = PLACE.arn("sqs", "my-queue")
NO_SERVICE = (
    f"DestinationConfig(onSuccess=OnSuccess(destination={PLACE.arn('iam', 'function:name')}), onFailure=null)"
)

# A function

UPDATING = [
    Refused(
        f"lambda:{operation}",
        CONFLICT,
        f"The operation cannot be performed at this time. An update is in progress for resource: {FUNCTION}",
        scenario,
        "2025-11-25",
        409,
    )
    for operation, scenario in (
        ("UpdateFunctionCode", "test_lambda_concurrent_code_updates"),
        ("UpdateFunctionConfiguration", "test_lambda_concurrent_config_updates"),
    )
]
NOT_THERE = [
    Refused(f"lambda:{operation}", NOWHERE, f"Function not found: {FUNCTION}{qualifier}", scenario, day, 404)
    for operation, qualifier, scenario, day in (
        ("GetFunction", "", "test_ops_on_nonexisting_fn[get_function]", "2025-11-25"),
        (
            "GetFunctionConfiguration",
            "",
            "test_ops_on_nonexisting_fn[get_function_configuration]",
            "2025-11-25",
        ),
        ("DeleteFunction", "", "test_ops_on_nonexisting_fn[delete_function]", "2025-11-25"),
        ("ListTags", "", "test_tag_lifecycle", "2025-11-25"),
        ("AddPermission", "", "test_permission_exceptions", "2025-11-25"),
        ("PutFunctionConcurrency", ":$LATEST", "test_function_concurrency_exceptions", "2025-11-25"),
    )
]
NO_FUNCTION_TO_CONFIGURE = Refused(
    "lambda:PutFunctionEventInvokeConfig",
    NOWHERE,
    "The function doesn't exist.",
    "test_lambda_eventinvokeconfig_exceptions",
    "2025-11-25",
    404,
)
NO_FUNCTION_TO_INVOKE = Refused(
    "lambda:CreateEventSourceMapping",
    INVALID,
    "Function does not exist",
    "test_event_source_mapping_exceptions",
    "2025-11-27",
)
NO_INVOKE_CONFIG = Refused(
    "lambda:GetFunctionEventInvokeConfig",
    NOWHERE,
    f"The function {FUNCTION}:$LATEST doesn't have an EventInvokeConfig",
    "test_ops_on_nonexisting_fn[get_function_event_invoke_config]",
    "2025-11-25",
    404,
)
NO_ROOM = Refused(
    "lambda:PutFunctionConcurrency",
    INVALID,
    "Specified ReservedConcurrentExecutions for function decreases account's UnreservedConcurrentExecution"
    " below its minimum value of [100].",
    "test_function_concurrency_limits",
    "2025-11-25",
)
OF_A_VERSION = Refused(
    "lambda:PutFunctionConcurrency",
    INVALID,
    "This operation is permitted on Lambda functions only. Aliases and versions do not support this"
    " operation. Please specify either a function name or an unqualified function ARN.",
    "test_function_concurrency_exceptions",
    "2025-11-25",
)
NO_DESTINATION, DESTINATION_OF_NO_SERVICE, TO_ITSELF = (
    Refused(
        "lambda:PutFunctionEventInvokeConfig",
        INVALID,
        message,
        "test_lambda_eventinvokeconfig_exceptions",
        "2025-11-25",
    )
    for message in (
        f"The destination ARN {FUNCTION} is invalid.",
        f"The provided destination config {NO_SERVICE} is invalid.",
        "You can't specify the function as a destination for itself.",
    )
)
NO_BUCKET_OF_THE_CODE = Refused(
    "lambda:CreateFunction",
    INVALID,
    "Error occurred while GetObject. S3 Error Code: NoSuchBucket."
    " S3 Error Message: The specified bucket does not exist",
    "test_lambda_code_location_s3_errors",
    "2025-11-25",
)

# Its event source mapping

NO_QUEUE = Refused(
    "lambda:CreateEventSourceMapping",
    INVALID,
    "Error occurred while ReceiveMessage. SQS Error Code: AWS.SimpleQueueService.NonExistentQueue."
    " SQS Error Message: The specified queue does not exist.",
    "test_esm_with_not_existing_sqs_queue",
    "2025-11-25",
)
SECOND_MAPPING = Refused(
    "lambda:CreateEventSourceMapping",
    CONFLICT,
    f'An event source mapping with SQS arn (" {QUEUE} ") and function (" my-function ") already exists.'
    " Please update or delete the existing mapping with UUID 14e0db71-5d35-4eb5-b481-8945cf9d10c2",
    "test_duplicate_event_source_mappings",
    "2025-11-25",
    409,
)
NO_MAPPING = Refused(
    "lambda:DeleteEventSourceMapping",
    NOWHERE,
    "The resource you requested does not exist.",
    "test_event_source_mapping_exceptions",
    "2025-11-27",
    404,
)

# Its resource-based policy

SECOND_STATEMENT = Refused(
    "lambda:AddPermission",
    CONFLICT,
    "The statement id (s3) provided already exists. Please provide a new statement id, or remove the existing"
    " statement.",
    "test_permission_exceptions",
    "2025-11-25",
    409,
)
REVISED = Refused(
    "lambda:AddPermission",
    "PreconditionFailedException",
    "The Revision Id provided does not match the latest Revision Id. Call the GetPolicy API to retrieve the"
    " latest Revision Id",
    "test_lambda_permission_fn_versioning",
    "2025-11-25",
    412,
)
NO_POLICY, NO_POLICY_TO_CHANGE, NO_FUNCTION_OF_THE_POLICY, NO_STATEMENT = (
    Refused(f"lambda:{operation}", NOWHERE, message, scenario, "2025-11-25", 404)
    for operation, message, scenario in (
        ("GetPolicy", "The resource you requested does not exist.", "test_permission_exceptions"),
        (
            "RemovePermission",
            "No policy is associated with the given resource.",
            "test_permission_exceptions",
        ),
        ("RemovePermission", f"No policy found for: {FUNCTION}", "test_permission_exceptions"),
        (
            "RemovePermission",
            "Statement non-existent is not found in resource policy.",
            "test_remove_multi_permissions",
        ),
    )
)

# Other services

SECOND_QUEUE = Refused(
    "sqs:CreateQueue",
    "QueueAlreadyExists",
    "A queue already exists with the same name and a different value for attribute DelaySeconds",
    "test_create_queue_with_different_attributes_raises_exception[sqs]",
    "2024-04-30",
    query_code="QueueNameExists",
)
SECOND_TABLE = Refused(
    "dynamodb:CreateTable",
    "ResourceInUseException",
    "Table already exists: S3EventAggregator",
    "test_create_duplicate_table",
    "2025-10-08",
)
NOT_ATTACHABLE = Refused(
    "iam:AttachRolePolicy",
    "NoSuchEntity",
    f"Policy {PLACE.iam('policy/name')} does not exist or is not attachable.",
    "test_role_attach_policy",
    "2025-06-19",
    404,
    {"Type": "Sender"},
)
NO_IAM_POLICY = Refused(
    "iam:DeletePolicy",
    "NoSuchEntity",
    f"Policy {PLACE.iam('policy/non-existent-policy')} was not found.",
    "test_delete_non_existent_policy_returns_no_such_entity",
    "2025-03-06",
    404,
    {"Type": "Sender"},
)
UNREACHED: list[tuple[Refused, dict[str, str]]] = [
    (
        Refused(
            "s3:PutBucketNotificationConfiguration",
            "InvalidArgument",
            "Unable to validate the following destination configurations",
            scenario,
            "2025-01-21",
            more=more,
        ),
        destinations,
    )
    for scenario, more, destinations in (
        (
            "test_invalid_lambda_arn",
            {
                "ArgumentName1": f"{FUNCTION}, null",
                "ArgumentValue1": f"Not authorized to invoke function [{FUNCTION}]",
            },
            {FUNCTION: f"Not authorized to invoke function [{FUNCTION}]"},
        ),
        (
            "test_invalid_sqs_arn",
            {"ArgumentName1": QUEUE, "ArgumentValue1": "The destination queue does not exist"},
            {QUEUE: "The destination queue does not exist"},
        ),
        (
            "test_multiple_invalid_sqs_arns",
            {
                "ArgumentName1": QUEUE,
                "ArgumentName2": f"{QUEUE}-2",
                "ArgumentValue1": "The destination queue does not exist",
                "ArgumentValue2": "The destination queue does not exist",
            },
            {
                QUEUE: "The destination queue does not exist",
                f"{QUEUE}-2": "The destination queue does not exist",
            },
        ),
    )
]
UNVALIDATED = [refused for refused, _ in UNREACHED]
NO_ARN = Refused(
    "s3:PutBucketNotificationConfiguration",
    "InvalidArgument",
    "The ARN could not be parsed",
    "test_invalid_sqs_arn",
    "2025-01-21",
    more={"ArgumentName": "Queue", "ArgumentValue": "invalid-queue"},
)
FAILED_CONDITION = Refused(
    "dynamodb:UpdateItem",
    "ConditionalCheckFailedException",
    "The conditional request failed",
    "test_return_values_on_conditions_check_failure",
    "2025-10-08",
    more={"Item": {"id": {"S": "456"}, "price": {"N": "650"}, "product": {"S": "sporting goods"}}},
)
SECOND_LOG_GROUP = Refused(
    "logs:CreateLogGroup",
    "ResourceAlreadyExistsException",
    "The specified log group already exists",
    "test_create_log_group_duplicate_error",
    "2026-02-03",
)
DENIED = Refused("lambda:GetFunction", "AccessDeniedException", None, "test_function_arns", "2025-11-25", 403)

NEXT = tuple(refusal for refusal, _ in NEXT_STEPS)
Row = tuple[tuple[Refusal, ...], Refused]

RECOGNISED: list[Row] = [
    *((function.UPDATING, each) for each in UPDATING),
    *(
        (function.NEW_FUNCTION, each)
        for each in (*NOT_THERE, NO_FUNCTION_TO_CONFIGURE, NO_FUNCTION_TO_INVOKE)
    ),
    *((function.NEW_QUEUE, each) for each in (NO_QUEUE, NO_DESTINATION)),
    ((concurrency.NO_ROOM,), NO_ROOM),
    (function.ALREADY_EXISTS, SECOND_MAPPING),
    (permission.POLICY_CHANGING, REVISED),
    (Queue.already_exists, SECOND_QUEUE),
    (table.BUSY, SECOND_TABLE),
    (role.NEW, NOT_ATTACHABLE),
    *(((notification.UNVALIDATED,), each) for each in UNVALIDATED),
    *((NEXT, each) for each in (*UPDATING, SECOND_TABLE, *UNVALIDATED)),
]
MEANS_SOMETHING_ELSE: list[Row] = [
    *((function.NOT_YET, each) for each in (SECOND_MAPPING, SECOND_STATEMENT)),
    *((function.ALREADY_EXISTS, each) for each in UPDATING),
    *((function.NEW_FUNCTION, each) for each in (NO_INVOKE_CONFIG, NO_STATEMENT, NO_FUNCTION_OF_THE_POLICY)),
    *(
        (function.NEW_QUEUE, each)
        for each in (NO_BUCKET_OF_THE_CODE, DESTINATION_OF_NO_SERVICE, TO_ITSELF, NO_FUNCTION_TO_INVOKE)
    ),
    *((function.ROLE_SPREADING, each) for each in (NO_QUEUE, NO_DESTINATION, NO_ROOM)),
    ((concurrency.NO_ROOM,), OF_A_VERSION),
    ((table.DELETING,), SECOND_TABLE),
    ((notification.UNVALIDATED,), NO_ARN),
    (notification.OVERLAPS, NO_ARN),
    *((NEXT, each) for each in (SECOND_MAPPING, SECOND_STATEMENT, NO_ARN)),
]
# No recording has these. Their words come from documentation, issues and botocore's models (FACTS).
UNRECORDED = {
    Refusal("AWS.SimpleQueueService.QueueDeletedRecently"),
    Refusal("AuthorizationHeaderMalformed"),
    Refusal("ConcurrentModification"),
    Refusal("ConcurrentModificationException"),
    Refusal("ConditionalRequestConflict"),
    Refusal("DeleteConflict"),
    Refusal("DeleteConflict", "polic"),
    Refusal("EntityAlreadyExists"),
    Refusal("InvalidArgument", "ambiguously"),
    Refusal("InvalidArgument", "overlap"),
    Refusal(INVALID, "KMS key is invalid for CreateGrant"),
    Refusal(INVALID, "cannot be assumed by Lambda"),
    Refusal(INVALID, "does not have permissions"),
    Refusal(INVALID, "is less than Function timeout"),
    Refusal(INVALID, "less than Function timeout"),
    Refusal(INVALID, "no longer supported"),
    Refusal("InvalidParameterValue", "Dead letter target does not exist"),
    Refusal("NoSuchBucket"),
    Refusal("OperationAborted"),
    Refusal("OperationAbortedException"),
    Refusal("PermanentRedirect"),
    Refusal("QueueDeletedRecently"),
    Refusal("QueueNameExists"),  # recorded as the code in the body, which the header overrides
    Refusal(CONFLICT, "concurrent update"),
    Refusal(CONFLICT, unless="already exist"),
    Refusal("ResourceInUseException", "being deleted"),
    Refusal("TooManyRequestsException"),
    Refusal("ResourceNotFoundException"),
    Refusal("ValidationException", "has targets"),
}
ABSENT = [
    *NOT_THERE[:4],
    NO_INVOKE_CONFIG,
    NO_MAPPING,
    NO_POLICY,
    NO_POLICY_TO_CHANGE,
    NO_FUNCTION_OF_THE_POLICY,
    NO_STATEMENT,
    NO_IAM_POLICY,
]
ABSENCE_UNRECORDED = {"404", "AWS.SimpleQueueService.NonExistentQueue", "NoSuchBucket", "QueueDoesNotExist"}


@pytest.mark.parametrize(("refusals", "recorded"), RECOGNISED, ids=[str(row[1]) for row in RECOGNISED])
def test_a_refusal_is_recognised_by_awss_own_words(refusals: tuple[Refusal, ...], recorded: Refused) -> None:
    error = raised(recorded)

    assert any(refusal.matches(error) for refusal in refusals)


@pytest.mark.parametrize(
    ("refusals", "recorded"), MEANS_SOMETHING_ELSE, ids=[str(row[1]) for row in MEANS_SOMETHING_ELSE]
)
def test_a_refusal_is_not_recognised_in_words_that_mean_something_else(
    refusals: tuple[Refusal, ...], recorded: Refused
) -> None:
    error = raised(recorded)

    assert not any(refusal.matches(error) for refusal in refusals)


@pytest.mark.parametrize("recorded", ABSENT, ids=str)
def test_awss_own_words_for_what_does_not_exist_mean_absence(recorded: Refused) -> None:
    assert is_not_found(raised(recorded))


def test_each_refusal_has_a_recording_or_is_known_to_have_none() -> None:
    recorded = {
        refusal
        for refusals, refused in RECOGNISED
        for refusal in refusals
        if refusal.matches(raised(refused))
    }

    assert refusals_in_the_code() - recorded == UNRECORDED


def test_each_code_of_absence_has_a_recording_or_is_known_to_have_none() -> None:
    assert set(NOT_FOUND) - {recorded.code for recorded in ABSENT} == ABSENCE_UNRECORDED


def test_a_denial_without_a_message_says_so() -> None:
    denied = raised(DENIED)

    with pytest.raises(S3aggError, match="no reason given"), describing_errors("looking"):
        raise denied


@pytest.mark.parametrize(("recorded", "destinations"), UNREACHED, ids=map(str, UNVALIDATED))
def test_the_destinations_that_s3_could_not_validate_are_read(
    recorded: Refused, destinations: dict[str, str]
) -> None:
    assert notification.unreached(raised(recorded)) == destinations


def test_a_statement_that_exists_is_not_added_again() -> None:
    STACK.notifications[0].permission.create(replay(SECOND_STATEMENT))


def test_a_log_group_that_exists_is_adopted() -> None:
    aws = replay(SECOND_LOG_GROUP, Answer("logs:TagResource"), Answer("logs:PutRetentionPolicy"))

    STACK.aggregator.log_group.create(aws)


def test_a_bucket_that_is_not_attached_is_detached_without_an_error() -> None:
    item_writes.detach(replay(FAILED_CONDITION), "S3EventAggregator", "photos")


def refusals_in_the_code() -> set[Refusal]:
    """Every Refusal that the source of s3agg makes."""
    sources = Path(s3agg.__file__).parent.rglob("*.py")
    calls = [
        node
        for source in sources
        for node in ast.walk(ast.parse(source.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Refusal"
    ]
    return {
        Refusal(
            *map(ast.literal_eval, call.args),
            **{str(each.arg): ast.literal_eval(each.value) for each in call.keywords},
        )
        for call in calls
    }
