"""What AWS refuses (FACTS), met through the command line: what the user sees of it, and that it ends well.

Each row is one refusal in AWS's own words, put on the wire between botocore and moto; time is virtual.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import pytest
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.compat import HTTPHeaders
from moto.awslambda_simple.models import lambda_simple_backends
from moto.core.botocore_stubber import MockRawResponse
from moto.core.models import MockAWS

from s3agg import assets
from s3agg.aws.session import Aws
from s3agg.cli.invocation import Seams
from s3agg.cli.main import main
from s3agg.resources.event_filter import EventFilter
from s3agg.settings import Names, Settings
from s3agg.stack import declared
from tests.support.aws import (
    ACCOUNT,
    PLACE,
    REGION,
    Call,
    Session,
    Wire,
    account_settings,
    make_bucket,
    make_world,
    watch,
)
from tests.support.clock import Clock
from tests.support.iam import grants
from tests.support.interruption import Account
from tests.support.ran import Ran
from tests.support.snapshots import Snapshot

pytestmark = pytest.mark.stack

NAMES = Names()
FOREVER = float("inf")
SOON = 5  # s: what passes by itself passes after so long
AT_ONCE = (0, 2)  # our rule is read back, and calls keep their pace (FACTS 35)
A_FEW_READS = (2, 4)  # until a new visibility timeout has shown ten times (FACTS 33)
A_WHILE = (SOON, SOON + 2)
A_MINUTE = (60, 62)
LONG = (300, 302)
BUCKET = "uploads"
AGGREGATOR = PLACE.arn("lambda", f"function:{NAMES.aggregator}")
THEIR_QUEUE = PLACE.arn("sqs", "theirs")
LESS = "Pass --events removed,expired (then no upload causes a refresh)"
CREATE = f"create --bucket {BUCKET}"
DELETE = "delete --yes"
STATUS = "status"
AGAIN = "un the same command again"


@dataclass(frozen=True)
class Refused:
    """An error of an operation, for a number of seconds from the start of the command."""

    operation: str
    code: str
    message: str
    lasts_s: float = FOREVER
    status: int = 400
    of: str = ""  # only what is about this one: its name or ARN
    headers: Mapping[str, str] = field(default_factory=dict)
    more: Mapping[str, str] = field(default_factory=dict)
    # Where AWS has a reason that is to be seen in its state, or in the call.
    when: Callable[[Aws, Call], bool] = lambda _, __: True


@dataclass(frozen=True)
class Answered:
    """An answer of an operation, for a number of its calls."""

    operation: str
    answer: Mapping[str, Any]
    times: float = FOREVER
    after: int = 0


@dataclass(frozen=True)
class Sent:
    """An HTTP response that botocore parses and may retry or follow."""

    operation: str
    status: int
    headers: Mapping[str, str]
    body: str = ""
    once: bool = False


Injected = Refused | Answered | Sent


@dataclass(frozen=True)
class Row:
    """A test case of a fact."""

    fact: int
    how: str
    refused: Injected | None  # None where it is there to be seen before anything is refused
    command: str
    sees: tuple[str, ...]
    code: int = 0
    waits_s: tuple[float, float] = AT_ONCE
    has_stack: bool = False  # whether there is a stack to begin with
    before: Callable[[Aws], object] = lambda _: None  # what somebody did just before
    mend: Callable[[Aws], object] = lambda _: None  # what the user does before it is run again
    passes: bool = True  # whether the same command can come to a good end at all
    tries: int = 1  # how often botocore is to send it
    also: tuple[Injected, ...] = ()
    meanwhile: Callable[[Aws], object] | None = None  # what somebody does after we have looked

    def __str__(self) -> str:
        return f"{self.fact}: {self.how}"

    @property
    def injected(self) -> list[Injected]:
        return [*([self.refused] if self.refused else []), *self.also]


def by_hand(operation: str, **parameters: Any) -> Callable[[Aws], object]:
    """Somebody calls this: `lambda:UpdateFunctionConfiguration`, as the client's method is called."""
    service, _, name = operation.partition(":")
    return lambda aws: getattr(aws.client(service), re.sub(r"(?<!^)([A-Z])", r"_\1", name).lower())(
        **parameters
    )


NOT_ASSUMED = "The role defined for the function cannot be assumed by Lambda."
NOT_RECEIVED = "The provided execution role does not have permissions to call ReceiveMessage on SQS"
NOT_RECEIVED_NOW = "The function execution role does not have permissions to call ReceiveMessage on SQS"
NOT_SENT = (
    "The function's execution role does not have permissions to call SendMessage on"
    f" {PLACE.arn('sqs', NAMES.dead_letters)}"
)
INVALID = "InvalidParameterValueException"
UNVALIDATED = "Unable to validate the following destination configurations"
AMBIGUOUS = (
    "Configuration is ambiguously defined. Cannot have overlapping suffixes in two rules if the prefixes are"
    " overlapping for the same event type."
)
OVERLAP = "Configurations overlap. Configurations on the same bucket cannot share a common event type."
ABORTED = (
    "A conflicting conditional operation is currently in progress against this resource. Please try again."
)
BELOW = (
    "Specified ReservedConcurrentExecutions for function decreases account's UnreservedConcurrentExecution"
    " below its minimum value of [10]."
)
QUOTA = "The account's concurrency quota is too low to reserve a concurrency of"
DELETED_RECENTLY = (
    "You must wait 60 seconds after deleting a queue before you can create another with the same name."
)
IN_USE = "Attempt to change a resource which is still in use: Table is being"
NOT_NOW = "The operation cannot be performed at this time."
UPDATING = f"{NOT_NOW} An update is in progress for resource: {AGGREGATOR}"
CONCURRENTLY = "The function could not be updated due to a concurrent update operation."
PUT_ALL = "s3:PutBucketNotificationConfiguration"
GET_ALL = "s3:GetBucketNotificationConfiguration"
CONFIGURATION = "lambda:UpdateFunctionConfiguration"
CODE = "lambda:UpdateFunctionCode"
CONCURRENCY = "lambda:PutFunctionConcurrency"
INVOKE_CONFIG = "lambda:PutFunctionEventInvokeConfig"
CREATE_TRIGGER = "lambda:CreateEventSourceMapping"


def refused_role(operation: str, message: str, lasts_s: float = FOREVER) -> Refused:
    of = NAMES.refresher if operation == CREATE_TRIGGER else NAMES.aggregator
    return Refused(operation, INVALID, message, lasts_s, of=of)


def unreached(*targets: str, lasts_s: float = FOREVER) -> Refused:
    """S3 names the destinations that it cannot reach beside its message."""
    more: dict[str, str] = {}
    for number, target in enumerate(targets, 1):
        function = ":lambda:" in target
        more[f"ArgumentName{number}"] = target + (", null" if function else "")
        more[f"ArgumentValue{number}"] = (
            f"Not authorized to invoke function [{target}]"
            if function
            else "The destination queue does not exist"
        )
    return Refused(PUT_ALL, "InvalidArgument", UNVALIDATED, lasts_s, more=more)


def their_rule(aws: Aws, **rule: Any) -> None:
    """A rule of somebody's, which tells of other events than ours."""
    theirs: Any = {"Id": "theirs", "QueueArn": THEIR_QUEUE, "Events": ["s3:ObjectRestore:*"], **rule}
    aws.sqs.create_queue(QueueName="theirs")
    aws.s3.put_bucket_notification_configuration(
        Bucket=BUCKET, NotificationConfiguration={"QueueConfigurations": [theirs]}
    )


overlapping_rule = partial(their_rule, Events=["s3:ObjectCreated:*"])


def no_rules(aws: Aws) -> None:
    aws.s3.put_bucket_notification_configuration(Bucket=BUCKET, NotificationConfiguration={})


def trigger_id(aws: Aws) -> str:
    return aws.lambda_.list_event_source_mappings(FunctionName=NAMES.refresher)["EventSourceMappings"][0][
        "UUID"
    ]


def changed_trigger(aws: Aws) -> None:
    aws.lambda_.update_event_source_mapping(UUID=trigger_id(aws), BatchSize=7)


def short_visibility(aws: Aws) -> None:
    """The blog's function of 5 s, and a queue that fits it."""
    url = aws.sqs.get_queue_url(QueueName=NAMES.queue)["QueueUrl"]
    aws.lambda_.update_function_configuration(FunctionName=NAMES.refresher, Timeout=5)
    aws.sqs.set_queue_attributes(QueueUrl=url, Attributes={"VisibilityTimeout": "20"})


def visibility_too_short(aws: Aws, call: Call) -> bool:
    """Whether Lambda would refuse the function's timeout for its queue's sake (FACTS 19)."""
    url = aws.sqs.get_queue_url(QueueName=NAMES.queue)["QueueUrl"]
    attributes = aws.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["VisibilityTimeout"])[
        "Attributes"
    ]
    return call.params["FunctionName"] == NAMES.refresher and int(attributes["VisibilityTimeout"]) < 30


def retired(aws: Aws) -> None:
    """The code and the runtime of 2018, which moto would not take."""
    changed_code(aws)
    function = lambda_simple_backends[ACCOUNT][REGION].get_function(NAMES.aggregator)
    function.run_time = "python3.6"


def retired_runtime(name: str) -> str:
    return (
        f"The runtime parameter of {name} is no longer supported for creating or updating AWS Lambda"
        " functions. We recommend you use the new runtime (python3.13) while creating or updating functions."
    )


def on_retired_runtime(aws: Aws, call: Call) -> bool:
    configuration = aws.lambda_.get_function_configuration(FunctionName=call.params["FunctionName"])
    return configuration["Runtime"] == "python3.6"


def malformed_statement_id(_: Aws, call: Call) -> bool:
    return re.fullmatch("[a-zA-Z0-9-_]+", call.params["StatementId"]) is None


def policy_with(buckets: int) -> dict[str, str]:
    """The answer to GetPolicy of a function that so many buckets of somebody else may call."""
    settings = Settings()
    buckets_ = {f"somebodys-bucket-{number:02}": EventFilter() for number in range(buckets)}
    made = declared.make(PLACE, NAMES, settings, buckets_)
    statements = [{**each.permission.statement, "Sid": f"OF_{each.bucket}"} for each in made.notifications]
    return {"Policy": json.dumps({"Version": "2012-10-17", "Id": "default", "Statement": statements})}


changed_memory = by_hand("lambda:UpdateFunctionConfiguration", FunctionName=NAMES.aggregator, MemorySize=256)
changed_code = by_hand(
    "lambda:UpdateFunctionCode",
    FunctionName=NAMES.aggregator,
    ZipFile=assets.handler_zip("s3_sgw_refresh"),
)
changed_concurrency = by_hand(
    "lambda:PutFunctionConcurrency", FunctionName=NAMES.aggregator, ReservedConcurrentExecutions=1
)
changed_destination = by_hand("lambda:DeleteFunctionEventInvokeConfig", FunctionName=NAMES.aggregator)
changed_capacity = by_hand(
    "dynamodb:UpdateTable",
    TableName=NAMES.table,
    BillingMode="PROVISIONED",
    ProvisionedThroughput={"ReadCapacityUnits": 7, "WriteCapacityUnits": 7},
)


def drift(
    fact: int, how: str, refused: Refused, drifted: Callable[[Aws], object], *sees: str, **more: Any
) -> Row:
    """An update that meets something."""
    return Row(fact, how, refused, "create", sees, has_stack=True, before=drifted, **more)


# Its first numbers are so small that botocore, which waits by them in real time, hardly does.
NO_PAUSES = 398039
SLOW_DOWN = "<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"


ROWS = [
    # 1 to 3: a role that has not spread yet
    Row(
        1,
        "a new role spreads",
        refused_role("lambda:CreateFunction", NOT_ASSUMED, SOON),
        CREATE,
        (
            "waiting for role S3EventAggregatorLambdaRole to become usable by Lambda (1 s,",
            "Done: 17 created",
        ),
        waits_s=A_WHILE,
    ),
    Row(
        1,
        "a new role takes too long",
        refused_role("lambda:CreateFunction", NOT_ASSUMED),
        CREATE,
        (
            "While creating function S3EventAggregator: CreateFunction failed:",
            "The role defined for the function cannot be assumed by Lambda (InvalidParameterValueException).",
            AGAIN,
        ),
        1,
        LONG,
    ),
    drift(
        1,
        "a role that was made again spreads",
        refused_role(CONFIGURATION, NOT_ASSUMED, SOON),
        changed_memory,
        "waiting for function S3EventAggregator to accept its new configuration (1 s,",
        waits_s=A_WHILE,
    ),
    Row(
        2,
        "the right to receive spreads",
        refused_role(CREATE_TRIGGER, NOT_RECEIVED, SOON),
        CREATE,
        (f"waiting for role {NAMES.refresh_role} to get permission to read queue {NAMES.queue} (1 s,",),
        waits_s=A_WHILE,
    ),
    Row(
        2,
        "the right to receive does not come, in today's words",
        refused_role(CREATE_TRIGGER, NOT_RECEIVED_NOW),
        CREATE,
        (
            "While creating trigger S3EventAggregatorActionQueue to S3StorageGatewayRefresh:",
            NOT_RECEIVED_NOW,
            AGAIN,
            "permissions boundary",
        ),
        1,
        LONG,
    ),
    Row(
        3,
        "the right to send failures away spreads",
        refused_role(INVOKE_CONFIG, NOT_SENT, SOON),
        CREATE,
        ("waiting for function S3EventAggregator to accept its on-failure destination (1 s,",),
        waits_s=A_WHILE,
    ),
    drift(
        3,
        "the right to send failures away does not come",
        refused_role(INVOKE_CONFIG, NOT_SENT),
        changed_destination,
        "While updating function S3EventAggregator: PutFunctionEventInvokeConfig failed:",
        "permissions to call SendMessage",
        AGAIN,
        code=1,
        waits_s=LONG,
    ),
    # 4: destinations that S3 cannot reach
    Row(
        4,
        "our permission spreads to S3",
        unreached(AGGREGATOR, lasts_s=SOON),
        CREATE,
        ("waiting for S3 to accept the notification rule of bucket uploads (1 s,",),
        waits_s=A_WHILE,
    ),
    Row(
        4,
        "our permission takes S3 too long",
        unreached(AGGREGATOR),
        CREATE,
        (
            "S3 could not validate every notification destination of bucket uploads: s3-event-aggregator to",
            "Not authorized to invoke function",
            "S3 can take minutes to recognize a new permission. Run the same command again",
        ),
        1,
        A_MINUTE,
    ),
    Row(
        4,
        "somebody else's queue is gone",
        unreached(THEIR_QUEUE),
        CREATE,
        (
            f": theirs to {THEIR_QUEUE} (The destination queue does not exist).",
            "Restore the missing destination, or delete its rule from the bucket's event notifications",
        ),
        1,
        before=their_rule,
    ),
    Row(
        4,
        "somebody else's queue is gone, and ours spreads",
        unreached(THEIR_QUEUE),
        CREATE,
        ("waiting for S3 to accept the notification rule", f": theirs to {THEIR_QUEUE}"),
        1,
        A_WHILE,
        before=their_rule,
        also=(unreached(AGGREGATOR, THEIR_QUEUE, lasts_s=SOON),),
    ),
    Row(
        4,
        "S3 does not say which",
        unreached(),
        CREATE,
        (
            f"While creating notification uploads: {PUT_ALL[3:]} failed: {UNVALIDATED} (",
            AGAIN,
        ),
        1,
        A_MINUTE,
    ),
    Row(
        4,
        "somebody else's queue is gone when we leave",
        replace(unreached(THEIR_QUEUE), when=lambda _, call: not call.params["SkipDestinationValidation"]),
        DELETE,
        ("Done: 17 deleted",),
        has_stack=True,
    ),
    # 5: rules that overlap
    Row(
        5,
        "a rule for the same is there",
        None,
        CREATE,
        (
            f"theirs (s3:ObjectCreated:*, all keys) to {THEIR_QUEUE}, for created.",
            f"{LESS}, or --via eventbridge, or narrow the other rule first",
        ),
        1,
        before=overlapping_rule,
        mend=no_rules,
    ),
    *(
        Row(
            5,
            f"somebody makes a rule for the same while we create, {words}",
            Refused(PUT_ALL, "InvalidArgument", message),
            CREATE,
            (
                "theirs (s3:ObjectCreated:*, all keys)",
                f"{LESS}, or --via eventbridge, or narrow the other rule first",
            ),
            1,
            meanwhile=overlapping_rule,
            mend=no_rules,
        )
        for words, message in (("today's words", AMBIGUOUS), ("older words", OVERLAP))
    ),
    Row(
        5,
        "somebody's rule for the same is gone again when we look",
        Refused(PUT_ALL, "InvalidArgument", AMBIGUOUS),
        CREATE,
        ("While creating notification uploads:", AMBIGUOUS[:-1], AGAIN),
        1,
    ),
    # 6: another change to the bucket
    Row(
        6,
        "another change to the bucket ends",
        Refused(PUT_ALL, "OperationAborted", ABORTED, SOON, 409),
        CREATE,
        ("waiting for S3 to accept the notification rule of bucket uploads",),
        waits_s=A_WHILE,
    ),
    Row(
        6,
        "another change to the bucket does not end",
        Refused(PUT_ALL, "OperationAborted", ABORTED, status=409),
        CREATE,
        ("While creating notification uploads:", "is currently in progress against this resource", AGAIN),
        1,
        A_MINUTE,
    ),
    Row(
        6,
        "another change to the bucket when we leave",
        Refused(PUT_ALL, "OperationAborted", ABORTED, SOON, 409),
        DELETE,
        ("waiting for the notification rule of bucket uploads to be deleted (1 s,",),
        has_stack=True,
        waits_s=A_WHILE,
    ),
    # 7: a small account
    Row(
        7,
        "an account without room is foreseen",
        Answered("lambda:GetAccountSettings", account_settings(10)),
        CREATE,
        (
            f"Warning: {QUOTA} 10 for function {NAMES.aggregator}.",
            f"Warning: {QUOTA} 2 for function {NAMES.refresher}.",
        ),
        also=(Refused(CONCURRENCY, INVALID, BELOW),),
    ),
    Row(
        7,
        "an account without room is met",
        Answered("lambda:GetAccountSettings", account_settings(10), after=1),
        CREATE,
        (f"Warning: {QUOTA} 10", "which is safe", "Done: 17 created"),
        also=(Refused(CONCURRENCY, INVALID, BELOW),),
    ),
    # 8: the name of a queue that was deleted
    Row(
        8,
        "a queue was deleted just before",
        Refused("sqs:CreateQueue", "AWS.SimpleQueueService.QueueDeletedRecently", DELETED_RECENTLY, 55),
        CREATE,
        (
            f"waiting for SQS to release the name of the deleted queue {NAMES.dead_letters}",
            "(1 s, at most 59 s more)",
        ),
        waits_s=(55, 57),
    ),
    Row(
        8,
        "a queue's name is not freed, in the words of SQS's JSON",
        Refused("sqs:CreateQueue", "QueueDeletedRecently", DELETED_RECENTLY),
        CREATE,
        ("While creating queue S3EventAggregatorDeadLetters:", "You must wait 60 seconds", AGAIN),
        1,
        (90, 92),
    ),
    # 10: a table that is being made, changed or deleted
    Row(
        10,
        "the old table is going",
        Refused("dynamodb:CreateTable", "ResourceInUseException", f"{IN_USE} deleted: {NAMES.table}", SOON),
        CREATE,
        ("waiting for the old table S3EventAggregator to be deleted (1 s,",),
        waits_s=A_WHILE,
    ),
    Row(
        10,
        "the old table does not go",
        Refused("dynamodb:CreateTable", "ResourceInUseException", f"{IN_USE} deleted: {NAMES.table}"),
        CREATE,
        ("for the old table S3EventAggregator to be deleted",),
        1,
        LONG,
    ),
    drift(
        10,
        "a change of the table meets another",
        Refused("dynamodb:UpdateTable", "ResourceInUseException", f"{IN_USE} updated: {NAMES.table}", SOON),
        changed_capacity,
        "waiting for another change of table S3EventAggregator to finish (1 s,",
        waits_s=A_WHILE,
    ),
    Row(
        10,
        "a delete meets a change of the table",
        Refused("dynamodb:DeleteTable", "ResourceInUseException", f"{IN_USE} updated: {NAMES.table}", SOON),
        DELETE,
        ("waiting for another change of table S3EventAggregator to finish (1 s,", "Done: 17 deleted"),
        has_stack=True,
        waits_s=A_WHILE,
    ),
    Row(
        10,
        "a delete meets a change of the table that does not end",
        Refused("dynamodb:DeleteTable", "ResourceInUseException", f"{IN_USE} updated: {NAMES.table}"),
        DELETE,
        ("While deleting table S3EventAggregator: DeleteTable failed:", AGAIN),
        1,
        LONG,
        has_stack=True,
    ),
    # 11: an update of the function is in progress
    *(
        drift(
            11,
            how,
            Refused(operation, "ResourceConflictException", message, SOON, 409),
            drifted,
            f"waiting for {what} (1 s,",
            waits_s=A_WHILE,
        )
        for how, operation, message, drifted, what in (
            (
                "a new configuration meets an update",
                CONFIGURATION,
                UPDATING,
                changed_memory,
                "function S3EventAggregator to accept its new configuration",
            ),
            (
                "new code meets an update",
                CODE,
                CONCURRENTLY,
                changed_code,
                "function S3EventAggregator to accept its new code",
            ),
            (
                "a reservation meets an update",
                CONCURRENCY,
                UPDATING,
                changed_concurrency,
                "function S3EventAggregator to accept its reserved concurrency",
            ),
            (
                "a failure destination meets an update",
                INVOKE_CONFIG,
                UPDATING,
                changed_destination,
                "function S3EventAggregator to accept its on-failure destination",
            ),
        )
    ),
    drift(
        11,
        "a new configuration meets an update that does not end",
        Refused(CONFIGURATION, "ResourceConflictException", UPDATING, status=409),
        changed_memory,
        "While updating function S3EventAggregator: UpdateFunctionConfiguration failed:",
        "An update is in progress for resource",
        AGAIN,
        code=1,
        waits_s=LONG,
    ),
    Row(
        11,
        "a delete meets an update",
        Refused("lambda:DeleteFunction", "ResourceConflictException", UPDATING, SOON, 409, NAMES.aggregator),
        DELETE,
        ("waiting for an update of function S3EventAggregator to finish (1 s,",),
        has_stack=True,
        waits_s=A_WHILE,
    ),
    Row(
        11,
        "several permissions at once",
        Refused(
            "lambda:AddPermission",
            "ResourceConflictException",
            CONCURRENTLY,
            SOON,
            409,
        ),
        CREATE,
        ("waiting for another policy change of function S3EventAggregator to finish (1 s,",),
        waits_s=A_WHILE,
    ),
    # 12: the trigger is changing
    drift(
        12,
        "an update of the trigger meets a change",
        Refused(
            "lambda:UpdateEventSourceMapping",
            "ResourceInUseException",
            "Cannot update the event source mapping because it is in use.",
            SOON,
        ),
        changed_trigger,
        f"waiting for the event source mapping of queue {NAMES.queue} to accept its new configuration (1 s,",
        waits_s=A_WHILE,
    ),
    Row(
        12,
        "a delete of the trigger meets a change",
        Refused(
            "lambda:DeleteEventSourceMapping",
            "ResourceInUseException",
            "Cannot delete the event source mapping because it is in use.",
            SOON,
        ),
        DELETE,
        (f"waiting for another change of the event source mapping of queue {NAMES.queue} to finish (1 s,",),
        has_stack=True,
        waits_s=A_WHILE,
    ),
    Row(
        12,
        "a delete of the trigger meets a change that does not end",
        Refused(
            "lambda:DeleteEventSourceMapping",
            "ResourceInUseException",
            f"{NOT_NOW} The event source mapping is currently being updated.",
        ),
        DELETE,
        (
            "Some changes failed:",
            "- While deleting trigger S3EventAggregatorActionQueue to S3StorageGatewayRefresh:",
            "is currently being updated",
            AGAIN,
            "- Skipped because of the failures above: ",
        ),
        1,
        LONG,
        has_stack=True,
    ),
    # 13: what is still attached
    *(
        Row(
            13,
            f"IAM is a moment behind itself, {words}",
            Refused(operation, "DeleteConflict", message, SOON, 409, of),
            DELETE,
            (f"waiting for {what} (1 s,",),
            has_stack=True,
            waits_s=A_WHILE,
        )
        for words, operation, of, message, what in (
            (
                "with a policy",
                "iam:DeletePolicy",
                PLACE.iam(f"policy/{NAMES.dynamo_policy}"),
                "Cannot delete a policy attached to entities.",
                "policy S3EventAggregatorDynamo to be detached",
            ),
            (
                "with a role",
                "iam:DeleteRole",
                NAMES.aggregator_role,
                "Cannot delete entity, must detach all policies first.",
                "the policies of role S3EventAggregatorLambdaRole to be detached",
            ),
        )
    ),
    Row(
        13,
        "a policy is somebody's permissions boundary",
        Refused(
            "iam:DeletePolicy",
            "DeleteConflict",
            "Cannot delete a policy attached to entities.",
            status=409,
            of=PLACE.iam(f"policy/{NAMES.dynamo_policy}"),
        ),
        DELETE,
        (
            "While deleting policy S3EventAggregatorDynamo: DeletePolicy failed: Cannot delete a policy",
            "Detach the policy from other users",
        ),
        1,
        A_MINUTE,
        has_stack=True,
    ),
    Row(
        13,
        "a role is in somebody's instance profile",
        Refused(
            "iam:DeleteRole",
            "DeleteConflict",
            "Cannot delete entity, must remove roles from instance profile first.",
            status=409,
            of=NAMES.aggregator_role,
        ),
        DELETE,
        ("While deleting role S3EventAggregatorLambdaRole:", "instance profile", "Detach the policy from"),
        1,
        has_stack=True,
    ),
    # 14: statement ids hold no dots
    Row(
        14,
        "a bucket's name holds dots",
        Refused(
            "lambda:AddPermission",
            "ValidationException",
            "1 validation error detected: Value 'SID_my.dotted.uploads' at 'statementId' failed to satisfy"
            " constraint: Member must satisfy regular expression pattern: ([a-zA-Z0-9-_]+)",
            when=malformed_statement_id,
        ),
        "create --bucket my.dotted.uploads",
        ("Done: 17 created", "permission SID_my_dotted_uploads"),
        before=lambda aws: make_bucket(aws, "my.dotted.uploads"),
    ),
    # 15: a function's policy is full
    Row(
        15,
        "a policy without room is foreseen",
        Answered("lambda:GetPolicy", policy_with(80)),
        CREATE,
        (
            "policy of function S3EventAggregator is full. It cannot take bucket uploads.",
            "Attach the bucket to another stack with --stack, or detach a bucket: s3agg delete --bucket",
        ),
        1,
    ),
    Row(
        15,
        "a policy without room is met",
        Refused(
            "lambda:AddPermission",
            "PolicyLengthExceededException",
            "The final policy size (20749) is bigger than the limit (20480).",
        ),
        CREATE,
        ("policy of function S3EventAggregator is full. It cannot take bucket uploads.", "--stack"),
        1,
    ),
    # 16: too much is asked, or AWS has trouble
    Row(
        16,
        "a throttled call is let through at the second try",
        Sent(
            "lambda:AddPermission",
            429,
            {"x-amzn-ErrorType": "TooManyRequestsException"},
            '{"Reason":"CallerRateLimitExceeded","Type":"User","message":"Rate exceeded"}',
            once=True,
        ),
        CREATE,
        ("Done: 17 created",),
        tries=2,
    ),
    Row(
        16,
        "a throttled call is never let through",
        Sent(
            "lambda:AddPermission",
            429,
            {"x-amzn-ErrorType": "TooManyRequestsException"},
            '{"Reason":"CallerRateLimitExceeded","Type":"User","message":"Rate exceeded"}',
        ),
        CREATE,
        (
            "While creating permission SID_uploads: AddPermission failed: ",
            "Rate exceeded (TooManyRequestsException).",
            AGAIN,
        ),
        1,
        tries=4,
    ),
    Row(
        16,
        "trouble of AWS's is over at the second try",
        Sent("s3:PutBucketNotificationConfiguration", 503, {}, SLOW_DOWN, once=True),
        CREATE,
        ("Done: 17 created",),
        tries=2,
    ),
    Row(
        16,
        "trouble of AWS's stays",
        Sent("dynamodb:CreateTable", 500, {}, '{"__type":"com.amazon.coral.service#InternalServerError"}'),
        CREATE,
        ("While creating table S3EventAggregator: CreateTable failed:", "(InternalServerError).", AGAIN),
        1,
        tries=4,
    ),
    *(
        Row(
            16,
            f"{code} stays",
            Refused(operation, code, message, status=status),
            command,
            (f"{operation.partition(':')[2]} failed: {message.rstrip('.')} ({code}).", AGAIN),
            1,
            has_stack=command != CREATE,
        )
        for operation, code, message, status, command in (
            ("iam:CreateRole", "Throttling", "Rate exceeded", 400, CREATE),
            ("sqs:CreateQueue", "RequestThrottled", "Request is throttled.", 403, CREATE),
            ("sqs:GetQueueUrl", "ServiceUnavailable", "Service Unavailable", 503, STATUS),
            (
                "dynamodb:DescribeTable",
                "ThrottlingException",
                "Rate of requests exceeds the limit",
                400,
                CREATE,
            ),
            (
                "s3:PutBucketNotificationConfiguration",
                "SlowDown",
                "Please reduce your request rate.",
                503,
                DELETE,
            ),
            ("logs:DeleteLogGroup", "RequestLimitExceeded", "Request limit exceeded.", 503, DELETE),
            ("cloudwatch:DescribeAlarms", "InternalServiceError", "no reason given", 500, STATUS),
        )
    ),
    # 17: a bucket of another region
    Row(
        17,
        "S3 redirects to the bucket's region",
        Sent("s3:HeadBucket", 301, {"x-amz-bucket-region": "us-west-2"}, once=True),
        "create --bucket far-away",
        (
            "Bucket far-away is in us-west-2, but a stack in eu-west-1 cannot serve it.",
            "Pass --region us-west-2",
        ),
        1,
        before=lambda _: make_bucket(make_world("us-west-2").somebody, "far-away", "us-west-2"),
        passes=False,
        tries=2,
    ),
    Row(
        17,
        "S3 wants the request signed for the bucket's region",
        Refused("s3:HeadBucket", "400", "Bad Request", headers={"x-amz-bucket-region": "us-west-2"}),
        CREATE,
        ("Bucket uploads is in us-west-2, but", "--region us-west-2"),
        1,
    ),
    Row(
        17,
        "a redirect that botocore could not follow",
        Refused(
            GET_ALL,
            "PermanentRedirect",
            "The bucket you are attempting to access must be addressed using the specified endpoint. Please"
            " send all future requests to this endpoint.",
            status=301,
        ),
        STATUS,
        ("While reading notification uploads:", "(PermanentRedirect).", "another region"),
        1,
        has_stack=True,
    ),
    # 18: a bucket that is gone
    Row(
        18,
        "the bucket is gone when we leave",
        None,
        DELETE,
        ("Done: 16 deleted",),
        has_stack=True,
        before=by_hand("s3:DeleteBucket", Bucket=BUCKET),
    ),
    Row(
        18,
        "the bucket goes while we leave",
        Refused(PUT_ALL, "NoSuchBucket", "The specified bucket does not exist", status=404),
        DELETE,
        ("Done: 17 deleted",),
        has_stack=True,
    ),
    Row(
        18,
        "the bucket is gone when we come",
        Refused("s3:HeadBucket", "404", "Not Found", status=404),
        CREATE,
        ("Bucket uploads does not exist.",),
        1,
    ),
    Row(
        18,
        "the bucket goes while we come",
        Refused(PUT_ALL, "NoSuchBucket", "The specified bucket does not exist", status=404),
        CREATE,
        (
            f"While creating notification uploads: {PUT_ALL[3:]} failed: ",
            "The specified bucket does not exist (NoSuchBucket).",
            "Create the bucket again, or run: s3agg delete --bucket",
        ),
        1,
    ),
    # 19: the queue before the function
    drift(
        19,
        "the function's timeout is raised above the queue's visibility",
        Refused(
            CONFIGURATION,
            INVALID,
            "Queue visibility timeout: 20 seconds is less than Function timeout: 30 seconds",
            when=visibility_too_short,
        ),
        short_visibility,
        "Done: 2 updated",
        waits_s=A_FEW_READS,
    ),
    drift(
        19,
        "Lambda does not know yet of the queue's new visibility",
        Refused(
            CONFIGURATION,
            INVALID,
            "Queue visibility timeout: 20 seconds is less than Function timeout: 30 seconds",
            SOON,
        ),
        short_visibility,
        "waiting for function S3StorageGatewayRefresh to accept its new configuration (1 s,",
        waits_s=A_WHILE,
    ),
    Row(
        19,
        "a new trigger meets a queue whose new visibility Lambda does not know yet",
        Refused(
            CREATE_TRIGGER,
            INVALID,
            "Queue visibility timeout: 20 seconds is less than Function timeout: 30 seconds",
        ),
        CREATE,
        ("While creating trigger", "is less than Function timeout", AGAIN),
        1,
        LONG,
    ),
    # 20: the configuration before the code
    drift(
        20,
        "the runtime is of 2018, and the code changed",
        Refused(
            CODE,
            INVALID,
            retired_runtime("python3.6"),
            when=on_retired_runtime,
        ),
        retired,
        "runtime: python3.6 -> python3.13",
        "Done: 1 updated",
    ),
    Row(
        20,
        "the runtime asked for is retired",
        Refused(
            "lambda:CreateFunction",
            INVALID,
            retired_runtime("python3.10"),
            of=NAMES.aggregator,
        ),
        CREATE + " --runtime python3.10",
        ("While creating function S3EventAggregator:", "is no longer supported", "Pass a newer --runtime"),
        1,
    ),
]


@dataclass(frozen=True)
class Wired:
    """A session whose clients are made once, and what is between it and moto."""

    session: Session
    wire: Wire
    sent: list[Sent] = field(default_factory=list)  # what is answered below botocore's retries
    tries: list[str] = field(default_factory=list)  # each operation that went there

    def answer(self, request: AWSPreparedRequest, event_name: str, **_: Any) -> AWSResponse | None:
        operation = event_name.removeprefix("before-send.").replace(".", ":")
        self.tries.append(operation)
        for each in [each for each in self.sent if each.operation == operation]:
            if each.once:
                self.sent.remove(each)
            raw: Any = MockRawResponse(each.body.encode())
            headers = HTTPHeaders.from_dict({"x-amzn-requestid": "sent", **each.headers})
            return AWSResponse(str(request.url), each.status, headers, raw)
        return None


@dataclass(frozen=True)
class Shop:
    """A terminal, and what AWS is behind it."""

    wired: Wired
    somebody: Aws
    capsys: pytest.CaptureFixture[str]
    clock: Clock = field(default_factory=Clock)

    def run(self, command: str) -> Ran:
        """Run a command as the user does."""
        self.wired.tries.clear()
        with pytest.raises(SystemExit) as exit_:
            # One worker: where several wait side by side, they would all move the one clock.
            main(command.split(), Seams(self.wired.session, self.clock, workers=1))
        return Ran(int(str(exit_.value.code)), *self.capsys.readouterr(), command.split(maxsplit=1)[0])

    def arrange(self, refused: Injected) -> None:
        """Inject an answer from now on."""
        wire = self.wired.wire
        if isinstance(refused, Sent):
            self.wired.sent.append(refused)
        elif isinstance(refused, Answered):
            wire.answer(refused.operation, refused.answer, times=refused.times, after=refused.after)
        else:
            ends = self.clock.time() + refused.lasts_s
            wire.refuse(
                refused.operation,
                refused.code,
                refused.message,
                status=refused.status,
                headers=refused.headers,
                more=refused.more,
                when=lambda call: (
                    self.clock.time() < ends
                    and (not refused.of or refused.of in call.params.values())
                    and refused.when(self.somebody, call)
                ),
            )

    def all_is_well(self) -> None:
        """Remove all injected answers."""
        self.wired.wire.reset()
        self.wired.sent.clear()


@pytest.fixture(scope="module")
def wired() -> Wired:
    session = Session().with_credentials()
    session.set_config_variable("region", REGION)
    wired = Wired(session, watch(session))
    # Before moto, which answers everything.
    session.get_component("event_emitter").register_first("before-send", wired.answer)
    return wired


@pytest.fixture(scope="module")
def account(running_moto: MockAWS) -> Account:
    """An account that is empty but for the bucket `uploads`."""
    account = Account(running_moto)
    make_bucket(account.somebody, BUCKET)
    return account


@pytest.fixture(scope="module")
def nothing(account: Account) -> Snapshot:  # noqa: ARG001  # with its bucket
    """What moto holds where there is no stack."""
    return Snapshot.take()


@pytest.fixture(scope="module")
def stack(nothing: Snapshot, wired: Wired) -> Snapshot:
    """What moto holds where there is one."""
    nothing.put_back()
    with pytest.raises(SystemExit, match="0"):
        main(CREATE.split(), Seams(wired.session, Clock(), workers=1))
    return Snapshot.take()


@pytest.fixture
def shop(account: Account, wired: Wired, capsys: pytest.CaptureFixture[str]) -> Shop:
    shop = Shop(wired, account.somebody, capsys)
    shop.all_is_well()
    return shop


def proofs_but_one_of_each_fact() -> list[Any]:
    """The first row of each fact runs always; its other rows are proofs."""
    firsts = {row.fact: row for row in reversed(ROWS)}
    return [pytest.param(row, marks=[] if firsts[row.fact] is row else [pytest.mark.proof]) for row in ROWS]


@pytest.mark.parametrize("row", proofs_but_one_of_each_fact(), ids=str)
def test_what_aws_refuses_is_waited_out_or_told_and_the_next_run_ends_well(
    row: Row, shop: Shop, nothing: Snapshot, stack: Snapshot
) -> None:
    (stack if row.has_stack else nothing).put_back()
    row.before(shop.somebody)
    for refused in row.injected:
        shop.arrange(refused)
    if row.meanwhile is not None:
        shop.wired.wire.before("lambda:AddPermission", partial(row.meanwhile, shop.somebody))
    random.seed(NO_PAUSES)
    began = shop.clock.waited

    ran = shop.run(row.command)
    waited_s = shop.clock.waited - began

    assert ran.code == row.code, ran.words
    assert [words for words in row.sees if words not in ran.words] == [], ran.words
    assert "Traceback" not in ran.words
    assert all(shop.wired.wire.made(each.operation) for each in row.injected)
    low, high = row.waits_s
    assert low <= waited_s <= high
    if isinstance(row.refused, Sent):
        assert shop.wired.tries.count(row.refused.operation) == row.tries
    if row.code and row.passes:
        shop.all_is_well()
        row.mend(shop.somebody)
        again = shop.run(row.command)
        assert again.code == 0, again.words
    if row.passes:
        ends_well(shop, row.command)


def ends_well(shop: Shop, command: str) -> None:
    """All is as declared after a create, and nothing is left after a delete."""
    if command == DELETE:
        assert "Nothing to delete" in shop.run("delete --dry-run").words
    elif command != STATUS:
        status = shop.run("status --output json")
        assert status.code == 0, status.words


FACTS_MET = {row.fact for row in ROWS}


def test_each_fact_that_a_client_can_meet_is_met(record_property: Callable[[str, object], None]) -> None:
    """FACTS 9 and 21 are about what AWS does without refusing anything: see below."""
    injected = sum(len(row.injected) for row in ROWS)

    record_property("tells", f"refusals of AWS: {injected} injected, of {len(FACTS_MET)} facts")
    assert {*range(1, 22)} - FACTS_MET == {9, 21}


def test_a_trigger_cannot_spend_a_messages_receives_on_throttling(shop: Shop, stack: Snapshot) -> None:
    """FACTS 9."""
    stack.put_back()
    lambda_, sqs = shop.somebody.lambda_, shop.somebody.sqs
    trigger = lambda_.list_event_source_mappings()["EventSourceMappings"][0]
    reserved = lambda_.get_function_concurrency(FunctionName=NAMES.refresher)
    timeout = lambda_.get_function_configuration(FunctionName=NAMES.refresher)["Timeout"]
    url = sqs.get_queue_url(QueueName=NAMES.queue)["QueueUrl"]
    queue = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]

    assert trigger["ScalingConfig"]["MaximumConcurrency"] == 2
    assert reserved["ReservedConcurrentExecutions"] >= 2
    assert json.loads(queue["RedrivePolicy"])["maxReceiveCount"] >= 100
    assert int(queue["VisibilityTimeout"]) >= 6 * timeout


def test_nothing_of_ours_sends_to_the_queue_that_the_refresh_function_reads_but_the_aggregator(
    shop: Shop, nothing: Snapshot
) -> None:
    """FACTS 21: Lambda would stop such a chain after some 16 rounds."""
    nothing.put_back()
    wire = shop.wired.wire
    for command in (CREATE, "create --window 60", STATUS, "redrive", DELETE):
        assert shop.run(command).code == 0
    stack = declared.make(PLACE, NAMES, Settings(), {})

    def may_send(function: Any) -> bool:
        documents = [policy.document for policy in function.role.policies]
        return any(grant.action == "sqs:SendMessage" for grant in grants(*documents))

    assert [may_send(function) for function in (stack.aggregator, stack.refresher)] == [True, False]
    assert wire.made("sqs:SendMessage") == wire.made("sqs:SendMessageBatch") == []


def test_the_refresh_function_waits_for_its_queue_however_many_work_side_by_side() -> None:
    """FACTS 19."""
    stack = declared.make(PLACE, NAMES, Settings(), {})

    assert stack.queue in stack.refresher.needs
