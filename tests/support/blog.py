"""The stack of the blog's scripts, made as they made it: names, policies and settings of 2018, no tags.

Its functions, in `blog_functions/`, are stand-ins that follow the blog's rule.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from s3agg import assets
from s3agg.aws.session import Aws
from s3agg.settings import Names

TABLE = AGGREGATOR = "S3EventAggregator"
QUEUE = "S3EventAggregatorActionQueue"
REFRESHER = "S3StorageGatewayRefresh"
AGGREGATOR_ROLE = "S3EventAggregatorLambdaRole"
REFRESH_ROLE = "S3AggregatorActionLambdaRole"
GATEWAY_POLICY = "StorageGatewayRefreshPolicy"
RULE = "s3-event-aggregator"
RUNTIME = "python3.6"
BLOG = Names()
EVENTS = ("s3:ObjectCreated:*", "s3:ObjectRemoved:*")
FUNCTIONS = Path(__file__).with_name("blog_functions")


def create(
    aws: Aws,
    bucket: str,
    *,
    window: int = 30,
    source: bool = True,
    gateway_url: str | None = None,
    names: Names = BLOG,
    runtime: str = RUNTIME,
    timeout: int = 10,
    reserves: bool = True,
) -> None:
    """Run the creation script; without `source`, as the blog says that one can leave it away.

    `gateway_url` is where the refresh function finds Storage Gateway, if not in AWS.
    AWS makes no function with the blog's runtime any more, and a small account can reserve no concurrency.
    """
    place = aws.place
    aws.dynamodb.create_table(
        TableName=names.table,
        AttributeDefinitions=[{"AttributeName": "BucketName", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "BucketName", "KeyType": "HASH"}],
        ProvisionedThroughput={"ReadCapacityUnits": 1, "WriteCapacityUnits": 5},
    )
    queue_url = aws.sqs.create_queue(QueueName=names.queue)["QueueUrl"]

    table, queue = place.arn("dynamodb", f"table/{names.table}"), place.arn("sqs", names.queue)
    dynamo = _policy(aws, names.dynamo_policy, ["dynamodb:GetItem", "dynamodb:UpdateItem"], table)
    writer = _policy(aws, names.sqs_writer_policy, "sqs:SendMessage", queue)
    _role(aws, names.aggregator_role, dynamo, writer)
    aws.lambda_.create_function(
        FunctionName=names.aggregator,
        Runtime=runtime,  # type: ignore[arg-type]  # AWS judges
        Role=place.iam(f"role/{names.aggregator_role}"),
        Code={"ZipFile": _zipped("s3_aggregator", names)},
        Handler="s3_aggregator.lambda_handler",
        Timeout=timeout,
        Environment={
            "Variables": {
                "QUEUE_URL": queue_url,
                "REFRESH_DELAY_SECONDS": str(window),
                "LOG_LEVEL": "INFO",
            }
        },
    )
    if reserves:
        aws.lambda_.put_function_concurrency(FunctionName=names.aggregator, ReservedConcurrentExecutions=1)
    attach(aws, bucket, source=source, names=names)

    actions = ["ListFileShares", "DescribeNFSFileShares", "DescribeSMBFileShares", "RefreshCache"]
    gateway = _policy(aws, names.gateway_policy, [f"storagegateway:{action}" for action in actions], "*")
    actions = ["DeleteMessage", "GetQueueAttributes", "ReceiveMessage"]
    reader = _policy(aws, names.sqs_reader_policy, [f"sqs:{action}" for action in actions], queue)
    _role(aws, names.refresh_role, reader, dynamo, gateway)
    endpoint = {} if gateway_url is None else {"AWS_ENDPOINT_URL_STORAGE_GATEWAY": gateway_url}
    aws.lambda_.create_function(
        FunctionName=names.refresher,
        Runtime=runtime,  # type: ignore[arg-type]  # AWS judges
        Role=place.iam(f"role/{names.refresh_role}"),
        Code={"ZipFile": _zipped("s3_sgw_refresh", names)},
        Handler="s3_sgw_refresh.lambda_handler",
        Timeout=5,
        Environment={"Variables": {"LOG_LEVEL": "INFO", **endpoint}},
    )
    if reserves:
        aws.lambda_.put_function_concurrency(FunctionName=names.refresher, ReservedConcurrentExecutions=1)
    aws.lambda_.create_event_source_mapping(FunctionName=names.refresher, EventSourceArn=queue, BatchSize=1)


def attach(aws: Aws, bucket: str, *, source: bool = True, names: Names = BLOG) -> None:
    """Let the bucket call the aggregator, and have it do so."""
    place = aws.place
    sources: Any = {"SourceAccount": place.account, "SourceArn": place.bucket(bucket)} if source else {}
    aws.lambda_.add_permission(
        FunctionName=names.aggregator,
        StatementId=f"SID_{bucket}",
        Action="lambda:InvokeFunction",
        Principal="s3.amazonaws.com",
        **sources,
    )
    rule: Any = {
        "Id": names.rule,
        "LambdaFunctionArn": place.arn("lambda", f"function:{names.aggregator}"),
        "Events": list(EVENTS),
    }
    aws.s3.put_bucket_notification_configuration(
        Bucket=bucket, NotificationConfiguration={"LambdaFunctionConfigurations": [rule]}
    )


def open_window(aws: Aws, bucket: str, at_ms: int, *, window: int = 30) -> dict[str, Any]:
    """Leave what the blog's aggregator leaves when it opens a window, an item and a message; the message."""
    due = str(at_ms + window * 1000)
    aws.dynamodb.put_item(TableName=TABLE, Item={"BucketName": {"S": bucket}, "timestamp": {"N": due}})
    url = aws.sqs.get_queue_url(QueueName=QUEUE)["QueueUrl"]
    attributes: Any = {
        "bucket-name": {"DataType": "String", "StringValue": bucket},
        "timestamp": {"DataType": "Number", "StringValue": str(at_ms)},
    }
    message: Any = {"MessageBody": "{}", "MessageAttributes": attributes}
    aws.sqs.send_message(QueueUrl=url, DelaySeconds=window, **message)
    return dict(message)  # receiving it would take the real time of the delay


def _zipped(module: str, names: Names) -> bytes:
    text = FUNCTIONS.joinpath(f"{module}.py").read_text(encoding="utf-8")
    return assets.zipped({module: text.replace(f'"{TABLE}"', f'"{names.table}"')})


def _policy(aws: Aws, name: str, actions: list[str] | str, resource: str) -> str:
    statement = {"Effect": "Allow", "Action": actions, "Resource": resource}
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    return aws.iam.create_policy(PolicyName=name, PolicyDocument=document)["Policy"]["Arn"]


def _role(aws: Aws, name: str, *policies: str) -> None:
    aws.iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(assets.policy("lambda-trust", {})))
    basic = aws.place.iam("policy/service-role/AWSLambdaBasicExecutionRole", account="aws")
    for arn in (basic, *policies):
        aws.iam.attach_role_policy(RoleName=name, PolicyArn=arn)
