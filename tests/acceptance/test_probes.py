"""Single looks at single facts, on resources that nothing else uses. They report, and do not judge."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from functools import partial
from typing import Any

import botocore.session
import pytest
from botocore.exceptions import ClientError

from s3agg import assets
from s3agg.aws.clock import to_ms
from s3agg.aws.refusals import Refusal, unless_absent
from s3agg.aws.session import Aws
from s3agg.resources.alarm import UNREFRESHED
from s3agg.resources.queue import DELETED_TAG
from s3agg.settings import Settings
from tests.acceptance.account import BECOMES_S, Account, connect, told
from tests.acceptance.findings import Verdict, answer
from tests.acceptance.refusals import INVALID

pytestmark = pytest.mark.acceptance

EXISTS_S = 70  # AWS says that a deleted queue may answer for 60 s
AT_ONCE = 4
STATEMENTS = [f"Probe{number}" for number in range(AT_ONCE)]
COLLIDING = (
    Refusal("ConcurrentModification"),
    Refusal("ConcurrentModificationException"),
    Refusal("NoSuchEntity"),
)
REGIONS = {
    "aws": ("us-west-2", "us-east-1"),
    "aws-cn": ("cn-north-1", "cn-northwest-1"),
    "aws-us-gov": ("us-gov-west-1", "us-gov-east-1"),
}
OLD_RUNTIME = "python3.6"
CODE = assets.zipped(
    {
        "probe": "import boto3\n\n\ndef handler(event, context):\n"
        "    boto3.client('sqs').list_queues(QueueNamePrefix='none')\n"
    }
)
TRUST = json.dumps(assets.policy("lambda-trust", {}))
LISTS = "iam:ListRoleTags"
SPREADS_S = 60.0  # a new role and its policy
SOON_S = 5.0  # between two tries


def test_a_table(account: Account) -> None:
    """FACTS 10 and 23: a table that is being created or deleted, and its tags."""
    report, dynamodb, name = account.report, account.aws.dynamodb, account.probe("Table")
    arn = account.place.arn("dynamodb", f"table/{name}")
    patient = account.patient("the probe of a table")
    definition: Any = {
        "TableName": name,
        "AttributeDefinitions": [{"AttributeName": "Key", "AttributeType": "S"}],
        "KeySchema": [{"AttributeName": "Key", "KeyType": "HASH"}],
        "BillingMode": "PAY_PER_REQUEST",
        "Tags": [{"Key": "probe", "Value": "first"}],
    }
    in_use = Refusal("ResourceInUseException")

    def is_active() -> bool:
        found = unless_absent(dynamodb.describe_table, TableName=name)
        return found is not None and found["Table"]["TableStatus"] == "ACTIVE"

    def tag() -> str:
        found = unless_absent(dynamodb.list_tags_of_resource, ResourceArn=arn)
        return ",".join(each["Value"] for each in (found or {"Tags": []})["Tags"] if each["Key"] == "probe")

    patient.dynamodb.create_table(**definition)
    if report.refused(
        "10", "DeleteTable right after CreateTable", lambda: dynamodb.delete_table(TableName=name), in_use
    ):
        account.becomes(is_active)
    else:
        account.becomes(lambda: unless_absent(dynamodb.describe_table, TableName=name) is None)
        patient.dynamodb.create_table(**definition)
        account.becomes(is_active)
    seconds = account.how_long(lambda: tag() != "first", quiet_s=5, within_s=60)
    report.lasted("23", "ListTagsOfResource after CreateTable with tags", seconds)
    dynamodb.tag_resource(ResourceArn=arn, Tags=[{"Key": "probe", "Value": "second"}])
    seconds = account.how_long(lambda: tag() != "second", quiet_s=5, within_s=60)
    report.lasted("23", "ListTagsOfResource after TagResource", seconds)
    dynamodb.delete_table(TableName=name)
    report.refused(
        "10", "CreateTable right after DeleteTable", lambda: dynamodb.create_table(**definition), in_use
    )


def test_a_queue(account: Account) -> None:
    """FACTS 8, 24 and 33: a queue that was deleted, and its attributes."""
    report, sqs, name = account.report, account.aws.sqs, account.probe("Queue")
    url = sqs.create_queue(QueueName=name)["QueueUrl"]
    others = [connect(account.place.region).sqs for _ in range(3)]  # connections of their own

    def retention() -> str:
        asked: Any = ["MessageRetentionPeriod"]
        found = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=asked)["Attributes"]
        return found["MessageRetentionPeriod"]

    def answers() -> bool:
        asked: Any = ["QueueArn"]
        return any(
            unless_absent(each.get_queue_attributes, QueueUrl=url, AttributeNames=asked)
            or unless_absent(each.get_queue_url, QueueName=name)
            for each in others
        )

    def has_tag() -> bool:
        return all(each.list_queue_tags(QueueUrl=url).get("Tags") for each in others)

    sqs.set_queue_attributes(QueueUrl=url, Attributes={"MessageRetentionPeriod": "120"})
    seconds = account.how_long(lambda: retention() != "120", quiet_s=5, within_s=60)
    report.lasted("33", "the retention of a queue after SetQueueAttributes", seconds)
    account.becomes(answers)
    # `create` recognises a dying queue by the tag that `delete` sets just before.
    sqs.tag_queue(QueueUrl=url, Tags={DELETED_TAG: "now"})
    seconds = account.how_long(lambda: not has_tag(), quiet_s=5, within_s=60)
    report.lasted("24", "the tag of a queue after TagQueue, on three connections", seconds)
    sqs.delete_queue(QueueUrl=url)
    refused = report.refused(
        "8",
        "CreateQueue right after DeleteQueue",
        lambda: sqs.create_queue(QueueName=name),
        Refusal("AWS.SimpleQueueService.QueueDeletedRecently"),
        Refusal("QueueDeletedRecently"),
    )
    if not refused:
        unless_absent(sqs.delete_queue, QueueUrl=url)
    seconds = account.how_long(answers, quiet_s=20, within_s=EXISTS_S)
    report.lasted("24", "a deleted queue, on three connections", seconds)


def test_a_role_and_its_policy(account: Account) -> None:
    """FACTS 13 and 30: what is in use, what was just made, and what changes at the same time."""
    report, iam, name = account.report, account.aws.iam, account.probe("Role")
    policies = [f"{name}{number}" for number in range(AT_ONCE)]
    policy = statement(Action="sqs:ListQueues", Resource="*")
    iam.create_role(RoleName=name, AssumeRolePolicyDocument=TRUST)
    arns = [iam.create_policy(PolicyName=each, PolicyDocument=policy)["Policy"]["Arn"] for each in policies]

    def attach(arn: str) -> object:
        return iam.attach_role_policy(RoleName=name, PolicyArn=arn)

    failures = at_once(partial(attach, arn) for arn in arns)
    note_failures(
        account, "30", f"{AT_ONCE} calls of AttachRolePolicy at the same time", failures, *COLLIDING
    )
    patient = account.patient("AttachRolePolicy")
    for arn in arns:
        patient.iam.attach_role_policy(RoleName=name, PolicyArn=arn)
    conflict = Refusal("DeleteConflict")
    report.refused(
        "13", "DeletePolicy of an attached policy", lambda: iam.delete_policy(PolicyArn=arns[0]), conflict
    )
    report.refused(
        "13", "DeleteRole of a role with policies", lambda: iam.delete_role(RoleName=name), conflict
    )
    report.refused(
        "13",
        "a sixth version of a policy",
        lambda: [
            iam.create_policy_version(PolicyArn=arns[1], PolicyDocument=policy, SetAsDefault=True)
            for _ in range(5)
        ],
        Refusal("LimitExceeded"),
    )


def test_tagging_a_role_without_the_permission_to_list_tags(account: Account) -> None:
    """FACTS 36: a user who may call TagRole only."""
    report, place, iam = account.report, account.place, account.aws.iam
    tagger, tagged = account.probe("Tagger"), account.probe("Tagged")
    looked_at = "TagRole without permission to call ListRoleTags"
    trust = statement(Principal={"AWS": place.iam("root")}, Action="sts:AssumeRole")
    iam.create_role(RoleName=tagger, AssumeRolePolicyDocument=trust)
    iam.create_role(RoleName=tagged, AssumeRolePolicyDocument=TRUST)
    may_tag = statement(Action="iam:TagRole", Resource=place.iam(f"role/{tagged}"))
    iam.put_role_policy(RoleName=tagger, PolicyName="probe", PolicyDocument=may_tag)

    def tag_as_tagger() -> str:
        try:
            keys = account.aws.sts.assume_role(
                RoleArn=place.iam(f"role/{tagger}"), RoleSessionName="acceptance"
            )["Credentials"]
            client: Any = botocore.session.Session().create_client(
                "iam",
                region_name=place.region,
                aws_access_key_id=keys["AccessKeyId"],
                aws_secret_access_key=keys["SecretAccessKey"],
                aws_session_token=keys["SessionToken"],
            )
            client.tag_role(RoleName=tagged, Tags=[{"Key": "probe", "Value": "1"}])
        except ClientError as error:
            return answer(error)
        return "accepted"

    deadline, told = time.monotonic() + account.scaled(SPREADS_S), ""
    while told != "accepted" and LISTS not in told and (not told or time.monotonic() < deadline):
        time.sleep(account.scaled(SOON_S))
        told = tag_as_tagger()
    verdict: Verdict = "held" if LISTS in told else "not so" if told == "accepted" else "not seen"
    report.note("36", looked_at, verdict, told)


def statement(**parts: object) -> str:
    """A policy of one statement, which allows something."""
    return json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", **parts}]})


def test_a_function(account: Account) -> None:
    """FACTS 1, 11, 14, 20, 27, 31 and 34: a function with a new role, and its policy."""
    report, place, name = account.report, account.place, account.probe("Function")
    functions = account.lambda_
    role = account.probe("FunctionRole")
    aws = account.patient("the probe of a function")
    aws.iam.create_role(RoleName=role, AssumeRolePolicyDocument=TRUST)
    started = time.monotonic()
    create = partial(
        aws.client("lambda").create_function,
        Role=place.iam(f"role/{role}"),
        Code={"ZipFile": CODE},
        Handler="probe.handler",
    )
    create(FunctionName=name, Runtime=Settings.runtime)
    note_spreading(
        account, "from CreateRole until CreateFunction accepts the role", time.monotonic() - started
    )
    looks: tuple[Callable[..., object], ...] = (
        functions.get_function_configuration,
        functions.get_function_concurrency,
        partial(functions.put_function_event_invoke_config, MaximumRetryAttempts=0),
    )
    early = at_once(partial(look, FunctionName=name) for look in looks)
    note_failures(
        account, "27", "calls right after CreateFunction", early, Refusal("ResourceNotFoundException")
    )
    aws.lambda_.get_waiter("function_active_v2").wait(FunctionName=name)
    before = account.invoke(name)
    may_list = statement(Action="sqs:ListQueues", Resource="*")
    account.aws.iam.put_role_policy(RoleName=role, PolicyName="probe", PolicyDocument=may_list)
    _, seconds = account.starts(name)
    looked_at = "from PutRolePolicy until a running function has the permission"
    if before:
        note_spreading(account, looked_at, seconds or BECOMES_S)
    else:
        report.note("31", looked_at, "not seen", "the function needed no permission")
    permit = partial(
        functions.add_permission,
        FunctionName=name,
        Action="lambda:InvokeFunction",
        Principal="s3.amazonaws.com",
        SourceAccount=place.account,
        SourceArn=place.bucket(account.bucket_name("probe")),
    )
    report.refused(
        "14",
        "AddPermission with a dot in the statement id",
        lambda: permit(StatementId="a.dot"),
        Refusal("ValidationException"),
        Refusal(INVALID),
    )
    note_lost(account, name, [partial(permit, StatementId=sid) for sid in STATEMENTS])
    report.refused(
        "20",
        f"CreateFunction with runtime {OLD_RUNTIME}",
        lambda: create(FunctionName=f"{name}Old", Runtime=OLD_RUNTIME),
        Refusal(INVALID, "no longer supported"),
    )
    note_overlap(account, place.arn("lambda", f"function:{name}"))


def note_lost(account: Account, function: str, permits: list[Callable[[], object]]) -> None:
    """FACTS 34: whether calls of AddPermission at the same time lose statements."""
    answers = all_at_once(permits)
    policy = json.loads(account.lambda_.get_policy(FunctionName=function)["Policy"])
    there = {each["Sid"] for each in policy["Statement"]}
    accepted = {sid for sid, refused in zip(STATEMENTS, answers, strict=True) if refused is None}
    refusals = "; ".join(sorted({answer(each) for each in answers if each})) or "none"
    account.report.note(
        "34",
        f"{len(permits)} calls of AddPermission at the same time",
        "held" if accepted - there else "not so",
        f"{len(accepted)} accepted, {len(accepted - there)} of them lost; refused: {refusals}",
    )


def note_spreading(account: Account, looked_at: str, seconds: float) -> None:
    """FACTS 31: how long IAM took."""
    verdict: Verdict = "held" if seconds >= 1 else "not seen"
    account.report.note("31", looked_at, verdict, f"after {seconds:.1f} s", seconds)


def note_overlap(account: Account, function: str) -> None:
    """FACTS 4, 5 and 6: event notifications that overlap, and those that change at the same time."""
    bucket = account.make_bucket("probe")
    account.patient("AddPermission").lambda_.add_permission(
        FunctionName=function,
        StatementId="Overlap",
        Action="lambda:InvokeFunction",
        Principal="s3.amazonaws.com",
        SourceAccount=account.place.account,
        SourceArn=account.place.bucket(bucket),
    )

    def configure(aws: Aws, *ids: str) -> object:
        rules: Any = [
            {"Id": each, "LambdaFunctionArn": function, "Events": ["s3:ObjectCreated:*"]} for each in ids
        ]
        return aws.s3.put_bucket_notification_configuration(
            Bucket=bucket, NotificationConfiguration={"LambdaFunctionConfigurations": rules}
        )

    configure(account.patient("a new event notification"), "one")
    account.report.refused(
        "5",
        "two event notifications for the same events and keys",
        lambda: configure(account.aws, "one", "two"),
        Refusal("InvalidArgument", "ambiguously"),
        Refusal("InvalidArgument", "overlap"),
    )
    failures = at_once(partial(configure, account.aws, f"other{number}") for number in range(AT_ONCE))
    note_failures(
        account,
        "6",
        f"{AT_ONCE} changes of notifications at the same time",
        failures,
        Refusal("OperationAborted"),
    )


def test_a_log_group(account: Account) -> None:
    """FACTS 26: changes of a log group at the same time."""
    logs, name = account.aws.logs, account.probe("Logs")
    logs.create_log_group(logGroupName=name)
    changes = [
        partial(logs.put_retention_policy, logGroupName=name, retentionInDays=days) for days in (1, 3, 5, 7)
    ]
    looked_at, collides = (
        f"{len(changes)} changes of a log group at the same time",
        Refusal("OperationAbortedException"),
    )
    note_failures(account, "26", looked_at, at_once(changes), collides)


def test_a_metric_in_a_log_line(account: Account) -> None:
    """FACTS 22: CloudWatch makes a metric of a line in its embedded metric format."""
    logs, name = account.aws.logs, account.probe("Metric")
    logs.create_log_group(logGroupName=name)
    logs.create_log_stream(logGroupName=name, logStreamName=name)
    now = datetime.now(timezone.utc)
    directive = {
        "Namespace": UNREFRESHED.namespace,
        "Dimensions": [[UNREFRESHED.dimension]],
        "Metrics": [{"Name": UNREFRESHED.name, "Unit": "Seconds"}],
    }
    line = {
        "_aws": {"Timestamp": to_ms(now), "CloudWatchMetrics": [directive]},
        UNREFRESHED.dimension: name,
        UNREFRESHED.name: 1,
    }
    logs.put_log_events(
        logGroupName=name,
        logStreamName=name,
        logEvents=[{"timestamp": to_ms(now), "message": json.dumps(line)}],
    )

    def shows() -> bool:
        found = account.aws.cloudwatch.get_metric_statistics(
            Namespace=UNREFRESHED.namespace,
            MetricName=UNREFRESHED.name,
            Dimensions=[{"Name": UNREFRESHED.dimension, "Value": name}],
            StartTime=now - timedelta(hours=1),
            EndTime=now + timedelta(hours=1),
            Period=3600,
            Statistics=["Maximum"],
        )
        return bool(found["Datapoints"])

    within_s = account.scaled(BECOMES_S)
    started = time.monotonic()
    try:
        account.becomes(shows, within_s)
    except AssertionError as error:
        account.report.note("22", "a metric in a log line", "not so", error)
    else:
        seconds = time.monotonic() - started
        account.report.note("22", "a metric in a log line", "held", "GetMetricStatistics shows it", seconds)


def test_a_bucket_of_another_region(account: Account) -> None:
    """FACTS 17: s3agg names the region of the bucket, and makes nothing."""
    region = next(each for each in REGIONS[account.place.partition] if each != account.place.region)
    try:
        far = account.make_bucket("far", connect(region))
    except ClientError as error:
        account.report.note("17", "calls to a bucket of another region", "not seen", answer(error))
        pytest.skip(f"this account makes no bucket in {region}")
    codes = codes_of_s3(account, far)
    account.report.note(
        "17",
        "calls to a bucket of another region",
        "held" if {"301", "PermanentRedirect", "AuthorizationHeaderMalformed"} & set(codes) else "not so",
        f"the answers were {', '.join(codes)}",
    )
    ran = account.stack("Far").run("create", "--bucket", far, "--dry-run")

    assert (ran.code, region in ran.stderr) == (1, True), told(ran)


def codes_of_s3(account: Account, bucket: str) -> list[str]:
    """The error codes of S3's answers, also of those after which botocore asks another region."""
    codes: list[str] = []

    def watch(parsed_response: Any = None, **_: Any) -> None:
        codes.append((parsed_response or {}).get("Error", {}).get("Code", "success"))

    aws = connect(account.place.region)
    aws.events.register("response-received.s3", watch)
    aws.s3.head_bucket(Bucket=bucket)
    aws.s3.get_bucket_notification_configuration(Bucket=bucket)
    return codes


def all_at_once(calls: Iterable[Callable[[], object]]) -> list[ClientError | None]:
    """Make calls at the same time; return the refusal of each, None if AWS accepted it."""

    def attempt(call: Callable[[], object]) -> ClientError | None:
        try:
            call()
        except ClientError as error:
            return error
        return None

    calls = list(calls)
    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(attempt, calls))


def at_once(calls: Iterable[Callable[[], object]]) -> list[ClientError]:
    """Make calls at the same time; return the refusals."""
    return [refused for refused in all_at_once(calls) if refused]


def note_failures(
    account: Account, fact: str, looked_at: str, failures: list[ClientError], *expected: Refusal
) -> None:
    """Note a fact that only chance shows."""
    words = "; ".join(sorted(set(map(answer, failures)))) or "AWS accepted all of them"
    if any(each.matches(failure) for failure in failures for each in expected):
        account.report.note(fact, looked_at, "held", f"{len(failures)} refused: {words}")
    else:
        account.report.note(fact, looked_at, "not seen", words)
