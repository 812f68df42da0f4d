"""The operator's policy: what a whole life of a stack needs, no less and no more."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from io import BytesIO
from itertools import cycle, groupby
from typing import Any

import pytest
from moto.core.models import MockAWS

from s3agg import engine
from s3agg.aws.clock import from_ms
from s3agg.aws.place import Place
from s3agg.commands import logs, preflight, refresh
from s3agg.commands import policy as operator_policy
from s3agg.errors import S3aggError, UsageProblem
from s3agg.live import log_lines
from s3agg.resources.event_filter import EventFilter
from s3agg.resources.policy import Policy
from s3agg.resources.queue import DELETED_TAG
from s3agg.settings import STACK_TAG, Names, Settings
from s3agg.stack import declared, deployed
from s3agg.stack.declared import Stack
from s3agg.stack.deployed import Request
from tests.support import aws as support
from tests.support import iam
from tests.support.aws import ACCOUNT, PLACE, World, empty, make_world, share_of
from tests.support.deploying import finish, make
from tests.support.iam import Need
from tests.support.steps import Steps

pytestmark = pytest.mark.stack
world = support.world

NAMES = Names()
BUCKETS = ("uploads", "photos.example")
BOUNDARY = PLACE.iam("policy/Boundary")

NOBODY = {
    "Version": "2012-10-17",
    "Statement": {"Effect": "Deny", "Principal": "*", "Action": "sts:AssumeRole"},
}
CHINA = Place("aws-cn", "cn-north-1", ACCOUNT)
GOVERNMENT = Place("aws-us-gov", "us-gov-west-1", ACCOUNT)
OTHER = Names("Other")


def made(
    boundary: str | None = None,
    *,
    buckets: Iterable[str] = BUCKETS,
    place: Place = PLACE,
    names: Names = NAMES,
) -> Stack:
    settings = Settings(permissions_boundary=boundary)
    return declared.make(place, names, settings, dict.fromkeys(buckets, EventFilter()))


def printed(boundary: str | None = None, **how: Any) -> dict[str, Any]:
    return operator_policy.document(made(boundary, **how))


@dataclass
class Life:
    """One stack's, from its first create to its delete; whatever can differ does once."""

    world: World
    steps: Steps

    def live(self) -> list[Need]:
        """Live it; what that took."""
        for bucket in BUCKETS:
            self.world.bucket(bucket)
        self.have_neighbour()
        self.world.somebody.iam.create_policy(PolicyName="Boundary", PolicyDocument=json.dumps(printed()))
        options = {"alarm_topic": PLACE.arn("sns", "Topic"), "permissions_boundary": BOUNDARY}
        self.create(BUCKETS, options={**options, "tags": {"team": "a"}})
        self.create()
        before = deployed.read(self.world.aws, NAMES)
        finish(refresh.run(self.world.aws, before, (), wait=True, timeout_s=1))
        self.be_denied()
        self.outgrow()
        self.spoil()
        # A new window changes an alarm, a new tag all that carries tags.
        self.create(options={"tags": {"team": "b"}, "window": 40, "memory": 256, "on_demand": False})
        finish(logs.read(self.world.aws, NAMES, since=from_ms(0)))
        self.have_shares()
        self.answer()
        for step in self.steps.after_create():
            step(self.world.aws)
        return needs_of(self.world)

    def create(self, buckets: tuple[str, ...] = (), **how: Any) -> None:
        self.steps.create(buckets, **how)(self.world.aws)

    def have_neighbour(self) -> None:
        """Somebody else has a rule on a bucket."""
        topic = self.world.somebody.client("sns").create_topic(Name="theirs")["TopicArn"]
        rules: Any = [{"Id": "theirs", "TopicArn": topic, "Events": ["s3:ObjectRestore:*"]}]
        self.world.somebody.s3.put_bucket_notification_configuration(
            Bucket=BUCKETS[0], NotificationConfiguration={"TopicConfigurations": rules}
        )

    def be_denied(self) -> None:
        """Ask for a bucket that S3 denies."""
        self.world.wire.refuse("s3:HeadBucket", "403", status=403, times=2)
        assert preflight.check(self.world.aws, NAMES, Request((BUCKETS[0],))).problems

    def outgrow(self) -> None:
        """Reserve too little where the account has no room for more; then there is room again."""
        for function in (NAMES.aggregator, NAMES.refresher):
            self.world.somebody.lambda_.put_function_concurrency(
                FunctionName=function, ReservedConcurrentExecutions=1
            )
        self.world.wire.refuse(
            "lambda:PutFunctionConcurrency",
            "InvalidParameterValueException",
            "below its minimum UnreservedConcurrentExecution",
            times=2,
        )
        self.create()

    def spoil(self) -> None:
        """Change several properties by hand."""
        aws, stack = self.world.somebody, made()
        policies = [each.arn for each in stack.resources if isinstance(each, Policy)]
        for arn in policies * 4:
            aws.iam.create_policy_version(
                PolicyArn=arn, PolicyDocument=json.dumps(printed()), SetAsDefault=True
            )
        for role in (NAMES.aggregator_role, NAMES.refresh_role):
            aws.iam.update_assume_role_policy(RoleName=role, PolicyDocument=json.dumps(NOBODY))
            aws.iam.delete_role_permissions_boundary(RoleName=role)
            aws.iam.put_role_policy(RoleName=role, PolicyName="inline", PolicyDocument=json.dumps(printed()))
        for name in (NAMES.queue, NAMES.dead_letters):
            url = aws.sqs.get_queue_url(QueueName=name)["QueueUrl"]
            aws.sqs.set_queue_attributes(QueueUrl=url, Attributes={"VisibilityTimeout": "7"})
            # As a delete leaves it that died before it deleted the queue.
            aws.sqs.tag_queue(QueueUrl=url, Tags={DELETED_TAG: str(int(self.world.clock.time()))})
        for function in (stack.aggregator, stack.refresher):
            aws.lambda_.update_function_code(
                FunctionName=function.name, ZipFile=stack.aggregator.code + b"\0"
            )
            aws.lambda_.delete_function_concurrency(FunctionName=function.name)
            aws.logs.delete_retention_policy(logGroupName=function.log_group.name)
        aws.lambda_.delete_function_event_invoke_config(FunctionName=NAMES.aggregator)
        (trigger,) = aws.lambda_.list_event_source_mappings()["EventSourceMappings"]
        aws.lambda_.update_event_source_mapping(UUID=trigger["UUID"], BatchSize=5)

    def have_shares(self) -> None:
        """Have a file share of each kind, one of them at an access point."""
        self.world.wire.have_shares(
            share_of(BUCKETS[0], "a"),
            share_of(BUCKETS[0], "b", FileShareType="SMB", LocationARN="point-s3alias"),
        )
        self.world.wire.answer(
            "s3control:ListAccessPoints", {"AccessPointList": [{"Alias": "point-s3alias"}]}
        )

    def answer(self) -> None:
        """Take objects, every other one versioned, whose events show; their refresh does not."""
        wire = self.world.wire
        versioned_or_not = cycle([{"VersionId": "1"}, {}])
        wire.answer("s3:PutObject", lambda: next(versioned_or_not))
        wire.answer("s3:DeleteObject", {})

        def lines() -> dict[str, Any]:
            sent = [
                f"{log_lines.SENT}{params['Bucket']}, timestamp: 1 key={params['Key']}"
                for params in wire.made("s3:PutObject")
            ]
            return {"events": [{"timestamp": 1, "message": line} for line in sent]}

        wire.answer("logs:FilterLogEvents", lines)
        wire.answer("lambda:Invoke", lambda: {"Payload": BytesIO(b"null")})


def needs_of(world: World, place: Place = PLACE, names: Names = NAMES) -> list[Need]:
    """Return the permissions that the calls so far required."""
    return [need for call in world.wire.calls for need in iam.needs(call, place, names.refresher)]


@pytest.fixture(scope="module")
def life(running_moto: MockAWS) -> list[Need]:
    """The permissions for the life of a stack with a permissions boundary."""
    empty(running_moto)
    world = make_world()
    return Life(world, Steps(NAMES, BUCKETS, world.somebody, test_upload_s=2)).live()


def without_boundary(life: list[Need]) -> list[Need]:
    return [need for need in life if need.action != "iam:PutRolePermissionsBoundary"]


# No less and no more


def test_it_allows_all_that_a_stacks_life_needs(life: list[Need]) -> None:
    assert iam.refused(iam.grants(printed(BOUNDARY)), life) == []
    assert iam.refused(iam.grants(printed()), without_boundary(life)) == []


def test_it_allows_nothing_that_a_stacks_life_does_not_need(life: list[Need]) -> None:
    assert iam.idle(iam.grants(printed(BOUNDARY)), life) == []
    assert iam.idle(iam.grants(printed()), without_boundary(life)) == []


def test_its_conditions_name_nothing_that_a_stacks_life_does_not_need(life: list[Need]) -> None:
    allowed = {pair for grant in iam.grants(printed(BOUNDARY)) for pair in grant.values}

    needed = {pair for need in life for pair in need.context.items()}
    assert [
        (key, value)
        for key, value in allowed
        if not any(key == other and iam.fits(value, found) for other, found in needed)
    ] == []


def test_it_is_right_in_another_partition_and_for_another_stack(running_moto: MockAWS) -> None:
    empty(running_moto)
    china = make_world(CHINA.region)
    china.bucket(BUCKETS[0], CHINA.region)

    plan = preflight.check(china.aws, OTHER, Request(BUCKETS[:1])).passed().plan()
    finish(engine.apply(china.aws, plan))

    allowed = iam.grants(printed(place=CHINA, names=OTHER))
    assert china.aws.place == CHINA
    assert iam.refused(allowed, needs_of(china, CHINA, OTHER)) == []


@pytest.mark.parametrize("place", [CHINA, GOVERNMENT], ids=["China", "Government"])
def test_it_differs_between_partitions_by_arns_only(place: Place) -> None:
    at_home = json.dumps(printed(BOUNDARY)).replace(f":{PLACE.region}:", f":{place.region}:")
    boundary = place.iam("policy/Boundary")

    assert json.dumps(printed(boundary, place=place)) == at_home.replace(
        "arn:aws:", f"arn:{place.partition}:"
    )


def test_two_stacks_share_nothing_but_what_has_no_names() -> None:
    ours, theirs = (
        {grant.resource for grant in iam.grants(printed(names=names))} for names in (NAMES, OTHER)
    )
    nameless = {
        grant.resource for grant in iam.grants(printed(buckets=["any"])) if "S3" not in grant.resource
    }

    assert {each for each in ours & theirs if ":s3:" not in each} < nameless


# What an administrator keeps

ROLE = PLACE.iam(f"role/{NAMES.aggregator_role}")
ANYTHING = PLACE.iam("policy/AdministratorAccess", account="aws")
FORBIDDEN = {
    "attach AWS's own policies": Need("iam:AttachRolePolicy", ROLE, {"iam:PolicyARN": ANYTHING}),
    "write other policies": Need("iam:CreatePolicyVersion", BOUNDARY),
    "put policies into a role": Need("iam:PutRolePolicy", ROLE),
    "touch other roles": Need("iam:UpdateAssumeRolePolicy", PLACE.iam("role/Administrator")),
    "touch users": Need("iam:AttachUserPolicy", PLACE.iam("user/me")),
    "pass other roles": Need(
        "iam:PassRole", PLACE.iam("role/Administrator"), {"iam:PassedToService": "lambda.amazonaws.com"}
    ),
    "pass a role to other services": Need("iam:PassRole", ROLE, {"iam:PassedToService": "ec2.amazonaws.com"}),
    "change other functions": Need("lambda:UpdateFunctionCode", PLACE.arn("lambda", "function:theirs")),
    "change other functions' triggers": Need(
        "lambda:UpdateEventSourceMapping",
        PLACE.arn("lambda", "event-source-mapping:x"),
        {"lambda:FunctionArn": PLACE.arn("lambda", "function:theirs")},
    ),
    "let others invoke the function": Need(
        "lambda:AddPermission",
        PLACE.arn("lambda", f"function:{NAMES.aggregator}"),
        {"lambda:Principal": "123456789012"},
    ),
    "tag other stacks' triggers": Need(
        "lambda:TagResource",
        PLACE.arn("lambda", "event-source-mapping:x"),
        {f"aws:RequestTag/{STACK_TAG}": NAMES.stack, f"aws:ResourceTag/{STACK_TAG}": "Other"},
    ),
    "give triggers other tags": Need(
        "lambda:TagResource", PLACE.arn("lambda", "event-source-mapping:x"), {"aws:RequestTag/a": "b"}
    ),
    "stop instances by an alarm": Need(
        "cloudwatch:PutMetricAlarm",
        PLACE.arn("cloudwatch", f"alarm:{NAMES.dead_letters}Waiting"),
        {"cloudwatch:AlarmActions": f"arn:aws:automate:{PLACE.region}:ec2:terminate"},
    ),
    "read objects": Need("s3:GetObject", PLACE.bucket("uploads/s3agg-test-1")),
    "write other objects": Need("s3:PutObject", PLACE.bucket("uploads/theirs")),
    "write to other buckets": Need("s3:PutObject", PLACE.bucket("theirs/s3agg-test-1")),
    "take refreshes away": Need("sqs:DeleteMessage", PLACE.arn("sqs", NAMES.queue)),
    "read other logs": Need("logs:FilterLogEvents", PLACE.arn("logs", "log-group:/aws/lambda/theirs:*")),
}


@pytest.mark.parametrize("need", FORBIDDEN.values(), ids=FORBIDDEN)
def test_it_does_not_allow_to(need: Need) -> None:
    assert iam.refused(iam.grants(printed()), [need]) == [need]
    assert iam.refused(iam.grants(printed(BOUNDARY)), [need]) == [need]


def test_with_a_boundary_no_role_can_be_without_it_or_with_another() -> None:
    other = {"iam:PermissionsBoundary": ANYTHING}
    wanted = [
        Need("iam:CreateRole", ROLE),
        Need("iam:CreateRole", ROLE, other),
        Need("iam:PutRolePermissionsBoundary", ROLE, other),
        Need("iam:DeleteRolePermissionsBoundary", ROLE),
        Need("iam:DeleteRolePermissionsBoundary", ROLE, {"iam:PermissionsBoundary": BOUNDARY}),
    ]

    assert iam.refused(iam.grants(printed(BOUNDARY)), wanted) == wanted


def test_no_action_is_a_pattern_and_only_what_aws_cannot_narrow_is_everywhere() -> None:
    allowed = iam.grants(printed(BOUNDARY))

    assert [grant.action for grant in allowed if "*" in grant.action] == []
    # Of an event source mapping, the condition names the function.
    everywhere = {grant.action for grant in allowed if grant.resource == "*" and not grant.conditions}
    assert everywhere <= iam.WIDE


def test_statements_without_a_condition_are_joined_one_of_each_service() -> None:
    first, *others = printed(BOUNDARY)["Statement"]
    services = [action.partition(":")[0] for action in first["Action"]]

    assert [service for service, _ in groupby(services)] == [
        *("iam", "dynamodb", "sqs", "lambda", "events", "logs", "cloudwatch", "storagegateway", "sns", "s3")
    ]
    assert len([each for each in others if "Condition" not in each]) == 4


# Printing it


def ask(world: World, *buckets: str, boundary: str | None = None) -> dict[str, Any]:
    return operator_policy.make(world.aws, NAMES, buckets, boundary)


def make_stack(world: World, **options: Any) -> None:
    for bucket in BUCKETS:
        world.bucket(bucket)
    plan = preflight.check(world.aws, NAMES, Request(BUCKETS, options=options)).passed().plan()
    finish(engine.apply(world.aws, plan))
    world.wire.calls.clear()


def test_with_buckets_and_boundary_named_aws_is_asked_only_who_we_are(world: World) -> None:
    made = ask(world, BUCKETS[0], boundary=BOUNDARY)

    assert made == printed(BOUNDARY, buckets=BUCKETS[:1])
    assert [call.operation for call in world.wire.calls] == ["sts:GetCallerIdentity"]
    assert world.warnings == []


def test_it_is_for_the_buckets_that_are_attached_and_the_boundary_that_is_declared(world: World) -> None:
    make_stack(world, permissions_boundary=BOUNDARY)

    assert ask(world) == printed(BOUNDARY, buckets=sorted(BUCKETS))
    assert ask(world, "one") == printed(BOUNDARY, buckets=["one"])
    assert ask(world, boundary="none") == printed(buckets=sorted(BUCKETS))
    assert world.wire.changes == []


def test_without_a_boundary_it_warns_that_it_amounts_to_everything(world: World) -> None:
    ask(world, "one", boundary="none")

    (warning,) = world.warnings
    assert warning == (
        "Anyone who can edit these roles' policies can grant themselves any permission."
        " Pass --permissions-boundary, or give this policy to administrators only."
    )


def test_without_a_stack_the_buckets_must_be_named(world: World) -> None:
    with pytest.raises(
        UsageProblem, match=r"No bucket is attached to stack S3EventAggregator\. Pass --bucket\."
    ):
        ask(world)

    assert ask(world, *BUCKETS) == printed()


def test_it_warns_of_a_stack_of_another_region(world: World) -> None:
    make(world, "uploads")
    far = make_world("us-west-2")

    operator_policy.make(far.aws, NAMES, ["scans"], None)

    assert far.warnings[0] == (
        "This policy is for a stack in us-west-2. There is no stack S3EventAggregator in us-west-2; there is"
        " one in eu-west-1: pass --region eu-west-1."
    )


def test_whoever_may_not_read_the_stack_has_to_name_the_buckets(world: World) -> None:
    world.wire.refuse("dynamodb:DescribeTable", "AccessDeniedException")

    with pytest.raises(S3aggError, match=r"While reading table .*\. Pass the buckets with --bucket\."):
        ask(world)
    assert ask(world, *BUCKETS) == printed()
    assert world.warnings[0].startswith(
        "Could not read the stack's permissions boundary, so this policy enforces none."
    )


def test_another_failure_to_read_the_stack_is_none_of_permissions(world: World) -> None:
    world.wire.refuse("dynamodb:DescribeTable", "ServiceException")

    with pytest.raises(S3aggError, match="ServiceException"):
        ask(world, *BUCKETS)


def test_a_policy_that_the_operator_may_write_bounds_nothing(world: World) -> None:
    with pytest.raises(UsageProblem, match="cannot be the permissions boundary of its roles"):
        ask(world, "one", boundary=PLACE.iam(f"policy/{NAMES.dynamo_policy}"))


@pytest.mark.parametrize("boundary", ["policy/*", "policy/Bound?", "role/Boundary"])
def test_what_is_not_one_policy_is_no_boundary(world: World, boundary: str) -> None:
    with pytest.raises(UsageProblem, match="is not the ARN of a policy"):
        ask(world, "one", boundary=PLACE.iam(boundary))


def test_what_cannot_be_a_bucket_is_refused(world: World) -> None:
    with pytest.raises(UsageProblem, match="Invalid bucket name"):
        ask(world, "*")


def test_it_fits_into_a_managed_policy_with_several_buckets() -> None:
    buckets = [f"bucket-of-{number:02}" for number in range(5)]  # as policies/README.md says

    assert operator_policy.length(printed(buckets=buckets)) <= operator_policy.LONGEST_MANAGED
    assert operator_policy.length(printed(BOUNDARY, buckets=buckets[:1])) <= operator_policy.LONGEST_MANAGED


def test_it_warns_when_it_is_too_long_for_a_managed_policy(world: World) -> None:
    ask(world, *(f"bucket-{number}" for number in range(20)), boundary=BOUNDARY)

    (warning,) = world.warnings
    assert "the limit of a managed policy is 6144" in warning
    assert "Print 2 policies with --part 1 to --part 2" in warning


@pytest.mark.parametrize("names", [NAMES, Names("S".ljust(43, "x"))], ids=["the default", "the longest"])
@pytest.mark.parametrize("buckets", [1, 50])
def test_its_parts_fit_and_allow_the_same_as_the_whole(names: Names, buckets: int) -> None:
    named = [f"bucket-{number:02}".ljust(63, "x") for number in range(buckets)]
    whole = printed(BOUNDARY, buckets=named, names=names)

    parts = operator_policy.split(whole)

    assert all(operator_policy.length(each) <= operator_policy.LONGEST_MANAGED for each in parts)
    assert len(parts) <= 10  # managed policies of a role, by default
    assert all(each["Statement"] for each in parts)
    assert sorted(map(repr, iam.grants(*parts))) == sorted(map(repr, iam.grants(whole)))


def test_a_part_is_printed_alone_and_without_a_warning(world: World) -> None:
    named = [f"bucket-{number}" for number in range(50)]
    whole = printed(BOUNDARY, buckets=named)

    made = [operator_policy.make(world.aws, NAMES, named, BOUNDARY, part) for part in (1, 2)]

    assert made == operator_policy.split(whole)[:2]
    assert world.warnings == []
    with pytest.raises(UsageProblem, match=r"The policy has 1 part\. Omit --part\."):
        operator_policy.make(world.aws, NAMES, ["one"], BOUNDARY, 2)
