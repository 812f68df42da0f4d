"""Drift: each change by hand is named and repaired, and nothing else is changed.

One stack, on which each row of the table changes one property, or takes one thing away. Resources name and
mend each row; whole commands do so in rounds, each of which changes one property of each resource.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest
from typing import Any

import pytest
from moto.awslambda_simple.models import lambda_simple_backends
from moto.core.models import MockAWS

from s3agg import assets, engine
from s3agg.aws.session import Aws
from s3agg.commands import preflight, status
from s3agg.commands.create import apply_create
from s3agg.resources.event_filter import EVENTBRIDGE
from s3agg.resources.function import GRANT, ROLE_TAG
from s3agg.resources.permission import STAND_IN
from s3agg.resources.queue import DELETED_TAG, SENDER
from s3agg.resources.resource import Resource
from s3agg.resources.rule import TARGET_ID, EventRule
from s3agg.settings import REGION_TAG, STACK_TAG, Names
from s3agg.stack import deployed
from s3agg.stack.declared import Stack
from s3agg.stack.deployed import Request
from tests.support.aws import ACCOUNT, PLACE, REGION, Call, World, empty, make_world

pytestmark = pytest.mark.stack

NAMES = Names()
BUCKET, BRIDGED = "my.photos", "my.scans"  # the second one is attached by EventBridge
PREFIXES, SUFFIXES = ("in/", "new/"), (".jpg", ".png")
OTHER = json.dumps(
    {"Version": "2012-10-17", "Statement": [{"Effect": "Deny", "Action": "s3:*", "Resource": "*"}]}
)
OTHER_TRUST = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}
        ],
    }
)
OTHER_CODE = assets.zipped({"s3_aggregator": "def lambda_handler(event, context):\n    pass\n"})
BOUNDARY = PLACE.iam("policy/Boundary")
PUT, ALL_EVENTS = "s3:ObjectCreated:Put", ("s3:ObjectCreated:*", "s3:ObjectRemoved:*")
GONE = "(gone)"  # a row that takes the whole resource away

Change = Callable[[Aws], object]
Rows = dict[str, Change]


# What a person, or another tool, does to each kind of resource


def on_table(_: Resource[Any]) -> Rows:
    def capacity(aws: Aws) -> None:
        aws.dynamodb.update_table(
            TableName=NAMES.table,
            BillingMode="PROVISIONED",
            ProvisionedThroughput={"ReadCapacityUnits": 7, "WriteCapacityUnits": 7},
        )

    return {"capacity mode + read capacity units + write capacity units": capacity}


def on_queue(queue: Resource[Any]) -> Rows:
    def attribute(name: Any, value: str) -> Change:
        def change(aws: Aws) -> None:
            url = aws.sqs.get_queue_url(QueueName=queue.name)["QueueUrl"]
            # moto forgets a policy that is not given again.
            have = aws.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
            kept: dict[Any, str] = {"Policy": have["Policy"]} if "Policy" in have else {}
            aws.sqs.set_queue_attributes(QueueUrl=url, Attributes={**kept, name: value})

        return change

    def redrive(target: str, receives: int) -> Change:
        policy = {"deadLetterTargetArn": PLACE.arn("sqs", target), "maxReceiveCount": receives}
        return attribute("RedrivePolicy", json.dumps(policy))

    both = "dead-letter queue + maximum receives"
    on_redrive: Rows = {
        "dead-letter queue": redrive(NAMES.queue, 100),
        "maximum receives": redrive(NAMES.dead_letters, 3),
        SENDER: attribute("Policy", ""),
        f"{SENDER}, changed": lambda aws: let_any_rule_send(aws, queue),
        f"{both}, none": attribute("RedrivePolicy", ""),
    }

    def delete_for_a_while(aws: Aws) -> None:
        url = aws.sqs.get_queue_url(QueueName=queue.name)["QueueUrl"]
        aws.sqs.tag_queue(QueueUrl=url, Tags={DELETED_TAG: "9999999999"})  # later than any clock here

    return {
        "state": delete_for_a_while,
        "visibility timeout": attribute("VisibilityTimeout", "30"),
        "message retention period": attribute("MessageRetentionPeriod", "600"),
        **(on_redrive if queue.name == NAMES.queue else {f"{both}, some": redrive(NAMES.queue, 3)}),
    }


def on_policy(policy: Resource[Any]) -> Rows:
    return {
        "policy document": lambda aws: aws.iam.create_policy_version(
            PolicyArn=policy.arn, PolicyDocument=OTHER, SetAsDefault=True
        )
    }


def on_role(role: Resource[Any]) -> Rows:
    def detach(arn: str) -> Change:
        return lambda aws: aws.iam.detach_role_policy(RoleName=role.name, PolicyArn=arn)

    label = "permissions policy "
    attached = [name.removeprefix(label) for name in role.properties if name.startswith(label)]
    return {
        "trust policy": lambda aws: aws.iam.update_assume_role_policy(
            RoleName=role.name, PolicyDocument=OTHER_TRUST
        ),
        "permissions boundary": lambda aws: aws.iam.put_role_permissions_boundary(
            RoleName=role.name, PermissionsBoundary=BOUNDARY
        ),
        **{f"{label}{arn}": detach(arn) for arn in attached},
    }


def on_function(function: Resource[Any]) -> Rows:
    name = function.name

    def configuration(**changed: Any) -> Change:
        return lambda aws: aws.lambda_.update_function_configuration(FunctionName=name, **changed)

    def variable(key: str, value: str | None) -> Change:
        def change(aws: Aws) -> None:
            have = aws.lambda_.get_function_configuration(FunctionName=name)["Environment"]["Variables"]
            variables = {**have, key: value or ""}
            if value is None:
                del variables[key]
            aws.lambda_.update_function_configuration(FunctionName=name, Environment={"Variables": variables})

        return change

    def send_failures_elsewhere(aws: Aws) -> None:
        aws.lambda_.put_function_event_invoke_config(
            FunctionName=name,
            DestinationConfig={"OnFailure": {"Destination": PLACE.arn("sqs", "other")}},
        )

    label = "environment variable "
    variables = [each.removeprefix(label) for each in function.properties if each.startswith(label)]
    rows: Rows = {
        GRANT: lambda aws: aws.lambda_.tag_resource(Resource=function.arn, Tags={ROLE_TAG: "AROAEARLIER"}),
        "execution role": configuration(Role=PLACE.iam("role/Other")),
        "handler": configuration(Handler="other.handler"),
        "runtime": configuration(Runtime="python3.10"),
        "timeout": configuration(Timeout=3),
        "memory": configuration(MemorySize=256),
        "code SHA-256": lambda aws: aws.lambda_.update_function_code(FunctionName=name, ZipFile=OTHER_CODE),
        "architecture": lambda _: set_architecture({"FunctionName": name, "Architectures": ["x86_64"]}),
        "reserved concurrency": lambda aws: aws.lambda_.put_function_concurrency(
            FunctionName=name, ReservedConcurrentExecutions=1
        ),
        "reserved concurrency, none": lambda aws: aws.lambda_.delete_function_concurrency(FunctionName=name),
        **{f"{label}{each}": variable(each, ELSE) for each in variables},
        f"{label}LOG_LEVEL, none": variable("LOG_LEVEL", None),
        f"{label}TABLE_NAME, none": variable("TABLE_NAME", None),
    }
    if "on-failure destination" in function.properties:
        rows["on-failure destination"] = send_failures_elsewhere
        rows["on-failure destination, none"] = lambda aws: aws.lambda_.delete_function_event_invoke_config(
            FunctionName=name
        )
    return rows


def on_permission(permission: Resource[Any]) -> Rows:
    sid = permission.name

    def anew(**changed: Any) -> Change:
        statement = {
            "FunctionName": NAMES.aggregator,
            "StatementId": sid,
            "Action": "lambda:InvokeFunction",
            "Principal": permission.properties["principal"],
            "SourceAccount": PLACE.account,
            "SourceArn": permission.properties["source ARN"],
            **changed,
        }

        def change(aws: Aws) -> None:
            remove(aws)
            given: Any = {name: value for name, value in statement.items() if value is not None}
            aws.lambda_.add_permission(**given)

        return change

    def remove(aws: Aws) -> None:
        aws.lambda_.remove_permission(FunctionName=NAMES.aggregator, StatementId=sid)

    return {
        "statement ID": lambda aws: add_stand_in(aws, sid),
        "action": anew(Action="lambda:GetFunction"),
        "principal": anew(Principal="sns.amazonaws.com"),
        "source account": anew(SourceAccount="210987654321"),
        "source account, none": anew(SourceAccount=None),
        "source ARN": anew(SourceArn=None),
        "other conditions": lambda _: only_for_an_organisation(sid),
        GONE: remove,
    }


def add_stand_in(aws: Aws, sid: str) -> None:
    """Add the temporary statement that an interrupted replacement leaves behind."""
    aws.lambda_.add_permission(
        FunctionName=NAMES.aggregator,
        StatementId=STAND_IN + sid,
        Action="lambda:InvokeFunction",
        Principal="s3.amazonaws.com",
    )


def only_for_an_organisation(sid: str) -> None:
    """As AddPermission can; moto forgets the account over it."""
    (statement,) = (each for each in in_moto(NAMES.aggregator).policy.statements if each["Sid"] == sid)
    statement["Condition"]["StringEquals"]["aws:PrincipalOrgID"] = "o-1234567890"


def set_architecture(params: Mapping[str, Any], **_: Any) -> None:
    """As UpdateFunctionCode does; moto leaves it as it is."""
    if "Architectures" in params:
        in_moto(params["FunctionName"]).architectures = params["Architectures"]


def forget_destination(params: Mapping[str, Any], **_: Any) -> None:
    """As PutFunctionEventInvokeConfig does; moto keeps the first one for good."""
    in_moto(params["FunctionName"]).event_invoke_config.clear()


def in_moto(function: str) -> Any:
    return lambda_simple_backends[ACCOUNT][REGION].get_function(function)


def on_notification(_: Resource[Any]) -> Rows:
    def rules(edit: Callable[[list[dict[str, Any]]], list[dict[str, Any]]]) -> Change:
        def change(aws: Aws) -> None:
            have: Any = aws.s3.get_bucket_notification_configuration(Bucket=BUCKET)
            edited: Any = edit(have["LambdaFunctionConfigurations"])
            aws.s3.put_bucket_notification_configuration(
                Bucket=BUCKET, NotificationConfiguration={"LambdaFunctionConfigurations": edited}
            )

        return change

    def without(part: str) -> Change:
        return rules(lambda have: [each for each in have if part not in json.dumps(each["Filter"])])

    def remove(aws: Aws) -> None:
        aws.s3.put_bucket_notification_configuration(Bucket=BUCKET, NotificationConfiguration={})

    put = {"Events": [PUT]}
    other_keys = {"Filter": {"Key": {"FilterRules": [{"Name": "prefix", "Value": "other/"}]}}}
    return {
        "event types": rules(lambda have: [{**each, **put} for each in have]),
        "event types, of one rule": rules(lambda have: [*have[1:], {**have[0], **put}]),
        "prefix": without(PREFIXES[1]),
        "suffix": without(SUFFIXES[0]),
        "combinations without a rule": rules(lambda have: have[:-1]),
        "prefix + suffix + combinations without a rule": rules(
            lambda have: [{**have[0], **other_keys}, *have[1:]]
        ),
        GONE: remove,
    }


def on_trigger(_: Resource[Any]) -> Rows:
    def mapping(**changed: Any) -> Change:
        def change(aws: Aws) -> None:
            (have,) = aws.lambda_.list_event_source_mappings()["EventSourceMappings"]
            aws.lambda_.update_event_source_mapping(UUID=have["UUID"], **changed)

        return change

    return {
        "state": mapping(Enabled=False),
        "batch size": mapping(BatchSize=10),
        "report batch item failures": mapping(FunctionResponseTypes=[]),
        "maximum concurrency": mapping(ScalingConfig={"MaximumConcurrency": 5}),
        "maximum concurrency, none": mapping(ScalingConfig={}),
    }


def on_log_group(group: Resource[Any]) -> Rows:
    return {
        "retention": lambda aws: aws.logs.put_retention_policy(logGroupName=group.name, retentionInDays=1),
        "retention, forever": lambda aws: aws.logs.delete_retention_policy(logGroupName=group.name),
    }


def on_alarm(alarm: Resource[Any]) -> Rows:
    def anew(**changed: Any) -> Change:
        def change(aws: Aws) -> None:
            have: Any = aws.cloudwatch.describe_alarms(AlarmNames=[alarm.name])["MetricAlarms"][0]
            model: Any = aws.cloudwatch.meta.service_model.operation_model("PutMetricAlarm").input_shape
            kept = {name: value for name, value in have.items() if name in model.members}
            aws.cloudwatch.put_metric_alarm(**{**kept, **changed})

        return change

    return {
        "metric": anew(MetricName="Other"),
        "metric, namespace": anew(Namespace="Other"),
        "dimensions": anew(Dimensions=[{"Name": "QueueName", "Value": "Other"}]),
        "statistic": anew(Statistic="Average"),
        "period": anew(Period=60),
        "evaluation periods": anew(EvaluationPeriods=3),
        "comparison operator": anew(ComparisonOperator="LessThanThreshold"),
        "threshold": anew(Threshold=99),
        "missing data treatment": anew(TreatMissingData="breaching"),
        "description": anew(AlarmDescription="Other"),
        "SNS topic": anew(AlarmActions=[PLACE.arn("sns", "other")]),
        "actions": lambda aws: aws.cloudwatch.disable_alarm_actions(AlarmNames=[alarm.name]),
    }


def let_any_rule_send(aws: Aws, queue: Resource[Any]) -> None:
    url = queue_url(aws, queue.name)
    found = aws.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["Policy"])["Attributes"]["Policy"]
    policy = json.loads(found)
    del policy["Statement"][0]["Condition"]
    aws.sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": json.dumps(policy)})


def on_rule(rule: Resource[Any]) -> Rows:
    assert isinstance(rule, EventRule)
    name, pattern = rule.name, json.dumps(rule.event_pattern)

    def anew(**changed: Any) -> Change:
        return lambda aws: aws.eventbridge.put_rule(Name=name, **{"EventPattern": pattern, **changed})

    def target(**changed: Any) -> Change:
        targets: Any = [{"Id": TARGET_ID, "Arn": rule.target_arn, **changed}]
        return lambda aws: aws.eventbridge.put_targets(Rule=name, Targets=targets)

    return {
        "event pattern": anew(EventPattern=json.dumps({"source": ["aws.ec2"]})),
        "schedule": anew(ScheduleExpression="rate(1 hour)"),
        "state": lambda aws: aws.eventbridge.disable_rule(Name=name),
        "target": target(Arn=PLACE.arn("sqs", "other")),
        "target, with another message": target(Input="{}"),
        "target, none": lambda aws: aws.eventbridge.remove_targets(Rule=name, Ids=[TARGET_ID]),
    }


def on_delivery(_: Resource[Any]) -> Rows:
    return {
        GONE: lambda aws: aws.s3.put_bucket_notification_configuration(
            Bucket=BRIDGED, NotificationConfiguration={}
        )
    }


CHANGES: Mapping[str, Callable[[Resource[Any]], Rows]] = {
    "table": on_table,
    "queue": on_queue,
    "policy": on_policy,
    "role": on_role,
    "function": on_function,
    "permission": on_permission,
    "notification": on_notification,
    "trigger": on_trigger,
    "log group": on_log_group,
    "alarm": on_alarm,
    "rule": on_rule,
    "EventBridge delivery": on_delivery,
}
# Properties that cannot be changed by hand, and why.
FIXED = {
    ("table", "key schema"): "DynamoDB cannot change a key schema",
    ("permission", "effect"): "Lambda makes no statement that denies",
    ("notification", "destination"): "a rule that calls something else is foreign",
}
UNTAGGED = {"permission", "notification", "EventBridge delivery"}

ELSE = "something else"
# What is told of the changed property, where a person would not guess it from the row.
FOUND: Mapping[str, Mapping[str, str]] = {
    "queue": {"visibility timeout": "30 s", "message retention period": "600 s", "maximum receives": "3"},
    "function": {
        "execution role": PLACE.iam("role/Other"),
        "handler": "other.handler",
        "runtime": "python3.10",
        "timeout": "3 s",
        "memory": "256 MB",
        "reserved concurrency": "1",
        "on-failure destination": PLACE.arn("sqs", "other"),
    },
    "permission": {
        "action": "lambda:GetFunction",
        "principal": "sns.amazonaws.com",
        "source account": "210987654321",
    },
    "notification": {
        "event types, of one rule": f"prefix in/, suffix .jpg: {PUT}; others: {' '.join(ALL_EVENTS)}",
        "prefix": "in/",
        "suffix": ".png",
        "combinations without a rule": "prefix new/, suffix .png",
    },
    "trigger": {
        "state": "disabled",
        "batch size": "10",
        "report batch item failures": "no",
        "maximum concurrency": "5",
    },
    "log group": {"retention": "1 day", "retention, forever": "forever"},
}
# What takes more than one call to mend. A statement of a policy cannot be changed.
SEVERAL_WRITES = {
    ("queue", "state"),
    ("queue", "message retention period"),
    ("function", GRANT),
    ("function", "execution role"),
}


def tag_changes(resource: Resource[Any]) -> Rows:
    """Return the rows that remove or change a tag, where that is drift."""
    arn, name = resource.arn, resource.name

    def untag(key: str) -> Change:
        return lambda aws: untagging(aws)([key])

    def untagging(aws: Aws) -> Callable[[list[str]], object]:
        calls: dict[str, Callable[[list[str]], object]] = {
            "table": lambda keys: aws.dynamodb.untag_resource(ResourceArn=arn, TagKeys=keys),
            "queue": lambda keys: aws.sqs.untag_queue(QueueUrl=queue_url(aws, name), TagKeys=keys),
            "policy": lambda keys: aws.iam.untag_policy(PolicyArn=arn, TagKeys=keys),
            "role": lambda keys: aws.iam.untag_role(RoleName=name, TagKeys=keys),
            "function": lambda keys: aws.lambda_.untag_resource(Resource=arn, TagKeys=keys),
            "trigger": lambda keys: aws.lambda_.untag_resource(Resource=mapping_arn(aws), TagKeys=keys),
            "log group": lambda keys: aws.logs.untag_resource(resourceArn=arn, tagKeys=keys),
            "alarm": lambda keys: aws.cloudwatch.untag_resource(ResourceARN=arn, TagKeys=keys),
            "rule": lambda keys: aws.eventbridge.untag_resource(ResourceARN=arn, TagKeys=keys),
        }
        return calls[resource.kind]

    def tag(key: str) -> Change:
        return lambda aws: tagging(aws)(key)

    def tagging(aws: Aws) -> Callable[[str], object]:
        calls: dict[str, Callable[[str], object]] = {
            "queue": lambda key: aws.sqs.tag_queue(QueueUrl=queue_url(aws, name), Tags={key: "other"}),
            "policy": lambda key: aws.iam.tag_policy(PolicyArn=arn, Tags=[{"Key": key, "Value": "other"}]),
            "role": lambda key: aws.iam.tag_role(RoleName=name, Tags=[{"Key": key, "Value": "other"}]),
            "function": lambda key: aws.lambda_.tag_resource(Resource=arn, Tags={key: "other"}),
            "trigger": lambda key: aws.lambda_.tag_resource(Resource=mapping_arn(aws), Tags={key: "other"}),
            "log group": lambda key: aws.logs.tag_resource(resourceArn=arn, tags={key: "other"}),
            "rule": lambda key: aws.eventbridge.tag_resource(
                ResourceARN=arn, Tags=[{"Key": key, "Value": "other"}]
            ),
            "alarm": lambda key: aws.cloudwatch.tag_resource(
                ResourceARN=arn, Tags=[{"Key": key, "Value": "other"}]
            ),
        }
        return calls[resource.kind]

    rows = {f"tag {key}": untag(key) for key in resource.tags if not declares(resource, key)}
    if resource.kind != "table":
        rows["tag team, another"] = tag("team")
    return rows


def declares(resource: Resource[Any], key: str) -> bool:
    """Whether the tag stores an option, so that changing it changes the declaration."""
    return resource.kind == "table" and key.startswith("s3agg:") and key != STACK_TAG


def queue_url(aws: Aws, name: str) -> str:
    return aws.sqs.get_queue_url(QueueName=name)["QueueUrl"]


def mapping_arn(aws: Aws) -> str:
    (mapping,) = aws.lambda_.list_event_source_mappings()["EventSourceMappings"]
    return mapping["EventSourceMappingArn"]


# The table, and going through it


@dataclass(frozen=True)
class Row:
    """One change by hand of one resource; `name` holds the labels of the properties that it changes."""

    resource: Resource[Any]
    name: str
    change: Change

    @property
    def labels(self) -> set[str]:
        return set(self.name.partition(", ")[0].split(" + "))

    @property
    def found(self) -> str | None:
        """What is told of the property; None where the row does not say."""
        kind, taken_away = self.resource.kind, ("tag ", "permissions policy ")
        if self.name == "tag team, another":
            return "other"
        if self.name.endswith(", none") or self.name.startswith(taken_away):
            return "(none)"
        return ELSE if self.name.startswith("environment variable ") else FOUND.get(kind, {}).get(self.name)

    def is_alone_in(self, writes: Sequence[Call]) -> bool:
        """Whether these calls write nothing but the property: one of a tag, for example, only this tag."""
        kind = self.resource.kind
        if len(writes) != 1:
            return kind == "permission" or (kind, self.name) in SEVERAL_WRITES
        tags = writes[0].params.get("Tags", writes[0].params.get("tags", ()))
        return not self.name.startswith("tag ") or kind == "trigger" or len(tags) == 1

    @property
    def is_foreign(self) -> bool:
        """Whether the change makes the resource foreign, because it removes a tag that names the stack."""
        never = {"trigger", "log group"}
        return (
            bool(self.labels & {f"tag {STACK_TAG}", f"tag {REGION_TAG}"}) and self.resource.kind not in never
        )


def table_of(stack: Stack) -> list[list[Row]]:
    """Return the rows of each resource."""
    return [
        [
            Row(resource, name, change)
            for name, change in {
                **CHANGES[resource.kind](resource),
                **(tag_changes(resource) if resource.kind not in UNTAGGED else {}),
            }.items()
        ]
        for resource in stack.resources
        if resource.wanted
    ]


@pytest.fixture(scope="module")
def world(running_moto: MockAWS) -> Iterator[World]:
    """An account with one stack that has every resource."""
    empty(running_moto)
    world = make_world()
    world.bucket(BUCKET)
    world.bucket(BRIDGED)
    world.somebody.iam.create_role(RoleName="Other", AssumeRolePolicyDocument=OTHER_TRUST)
    options = {"alarm_topic": PLACE.arn("sns", "ops"), "tags": {"team": "storage"}}
    create(world, Request((BUCKET,), PREFIXES, SUFFIXES, ("created", "removed"), options))
    create(world, Request((BRIDGED,), ("in/",), via=EVENTBRIDGE))
    hooks: Any = {"UpdateFunctionCode": set_architecture, "PutFunctionEventInvokeConfig": forget_destination}
    clients = (world.aws.lambda_, world.somebody.lambda_)
    for client in clients:
        for operation, hook in hooks.items():
            client.meta.events.register(f"provide-client-params.lambda.{operation}", hook)
    yield world
    for client in clients:
        for operation, hook in hooks.items():
            client.meta.events.unregister(f"provide-client-params.lambda.{operation}", hook)


def create(world: World, request: Request) -> list[engine.Change]:
    """Run `create`; return its changes, which `create --dry-run` must show."""
    deployment = preflight.check(world.aws, NAMES, request).passed()
    plan = deployment.plan()
    done = [
        event.change
        for event in apply_create(world.aws, deployment, plan)
        if isinstance(event, engine.Finished)
    ]
    assert {each.resource.key for each in done} == {each.resource.key for each in plan.to_do}
    return done


def rounds(rows: list[list[Row]]) -> Iterator[list[Row]]:
    """Yield rounds with one row of each resource."""
    for each in zip_longest(*rows):
        yield [row for row in each if row is not None]


def differing(row: Row, differences: Any) -> bool:
    """Whether only the row's properties differ."""
    return {each.what for each in differences if each.declared != each.found} == row.labels


def test_every_property_that_is_declared_is_in_the_table(world: World) -> None:
    rows = table_of(deployed.read(world.aws, NAMES).stack)

    missing = []
    for each in rows:
        resource = each[0].resource
        tags = [] if resource.kind in UNTAGGED else [t for t in resource.tags if not declares(resource, t)]
        declared = {*resource.properties, *(f"tag {tag}" for tag in tags)}
        fixed = {what for kind, what in FIXED if kind == resource.kind}
        missing += [
            (resource.key, what)
            for what in declared - fixed - {label for row in each for label in row.labels}
        ]

    assert missing == []


def test_each_property_changed_by_hand_is_named_and_alone_written(world: World) -> None:
    wrong: list[object] = []
    for row in chain.from_iterable(table_of(deployed.read(world.aws, NAMES).stack)):
        if row.name == GONE:
            continue
        row.change(world.somebody)

        named = {what: found for what, (_, found) in world.differences(row.resource).items()}
        world.update(row.resource)

        writes = [call for call in world.wire.calls if call.changes]
        told = named.keys() == row.labels and row.found in {None, *named.values()}
        if not told or not row.is_alone_in(writes):
            wrong.append((row.resource.key, row.name, named, writes))

    assert wrong == []
    assert deployed.read(world.aws, NAMES).plan().to_do == []


@pytest.mark.proof
def test_commands_name_and_mend_each_change_by_hand_and_nothing_else(
    world: World, record_property: Callable[[str, object], None]
) -> None:
    rows = table_of(deployed.read(world.aws, NAMES).stack)
    wrong: list[object] = []
    for changed in rounds(rows):
        for row in changed:
            row.change(world.somebody)

        shown = status.read(world.aws, NAMES)
        done = {each.resource.key: each for each in create(world, Request(adopt=any_foreign(changed)))}

        odd = {(each.kind, each.name): each for each in shown.resources if each.state != "ok"}
        expected = {row.resource.key for row in changed}
        wrong += [("named", key) for key in odd.keys() ^ expected]
        wrong += [("mended", key) for key in done.keys() ^ expected]
        for row in changed:
            key = row.resource.key
            if key in odd and key in done:
                told = odd[key].state, [(each.what, each.found) for each in odd[key].differences]
                mended = row.name == GONE or differing(row, done[key].differences)
                if not mended or odd[key].state != state(row) or (state(row) == "drifted") != bool(told[1]):
                    wrong.append((key, row.name, told, done[key].differences))

    left = [each.resource.key for each in deployed.read(world.aws, NAMES).plan().to_do]
    properties = {(row.resource.key, label) for each in rows for row in each for label in row.labels}
    record_property("tells", f"drift of {len(properties)} properties, {sum(map(len, rows))} changes by hand")
    assert wrong == []
    assert left == []


def any_foreign(changed: list[Row]) -> bool:
    return any(row.is_foreign for row in changed)


def state(row: Row) -> str:
    if row.name == GONE:
        return "missing"
    return "foreign" if row.is_foreign else "drifted"
