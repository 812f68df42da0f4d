"""With IAM enforced, whoever has the printed policy can do everything with s3agg; and needs all of it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from s3agg.assets import handler_zip
from s3agg.aws.session import Aws
from s3agg.commands.policy import OF_RULES
from s3agg.errors import S3aggError
from s3agg.local import ACCOUNT, REGION
from s3agg.local.session import isolated_session
from tests.e2e import support
from tests.e2e.support import Cli, LocalAws, OwnStack
from tests.support import iam
from tests.support.polling import eventually
from tests.support.steps import Step, Steps

pytestmark = pytest.mark.e2e

# The emulator asks for these on everything, whatever they are about ...
WITHOUT_RESOURCE = (
    "cloudwatch:DeleteAlarms",
    "cloudwatch:DescribeAlarms",
    "cloudwatch:ListTagsForResource",
    "cloudwatch:TagResource",
    "dynamodb:ListTagsOfResource",
    "dynamodb:TagResource",
    "iam:CreatePolicy",
    "lambda:CreateFunction",
)
# ... and of these it does not know what their conditions are about.
WITHOUT_CONTEXT = (
    "iam:AttachRolePolicy",
    "iam:CreateRole",
    "iam:DetachRolePolicy",
    "lambda:CreateEventSourceMapping",
)
# AWS judges the one as the other.
BATCH = {"sqs:ChangeMessageVisibilityBatch": "sqs:ChangeMessageVisibility"}
NOBODY = {
    "Version": "2012-10-17",
    "Statement": {
        "Effect": "Allow",
        "Principal": {"Service": "ec2.amazonaws.com"},
        "Action": "sts:AssumeRole",
    },
}
# The emulator names a rule of the default event bus as one of a bus "default".
EMULATORS = (*WITHOUT_RESOURCE, *WITHOUT_CONTEXT, *OF_RULES, *BATCH)
DENIED = re.compile(r"not authorized to perform: ([a-z0-9]+:[A-Za-z]+)")


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAws]:
    with support.world(tmp_path_factory.mktemp("homes"), auth=True) as running:
        yield running


@dataclass(frozen=True)
class User:
    """Somebody with keys of their own, who may do nothing yet."""

    world: LocalAws
    name: str
    key: str
    secret: str

    @classmethod
    def of(cls, world: LocalAws, name: str) -> User:
        users = world.client("iam")
        users.create_user(UserName=name)
        made = users.create_access_key(UserName=name)["AccessKey"]
        return cls(world, name, made["AccessKeyId"], made["SecretAccessKey"])

    def may(self, name: str, document: str) -> None:
        """Give them a policy of this text, which replaces their last one of this name."""
        users = self.world.client("iam")
        arn = f"arn:aws:iam::{ACCOUNT}:policy/{self.name}{name}"
        users.create_policy(PolicyName=f"{self.name}{name}", PolicyDocument=document)
        users.attach_user_policy(UserName=self.name, PolicyArn=arn)

    def may_inline(self, document: dict[str, Any]) -> None:
        self.world.client("iam").put_user_policy(
            UserName=self.name, PolicyName="inline", PolicyDocument=json.dumps(document)
        )

    def runs(self, cli: Cli) -> Cli:
        return cli.set(AWS_ACCESS_KEY_ID=self.key, AWS_SECRET_ACCESS_KEY=self.secret)

    def aws(self, denied: set[str]) -> Aws:
        """AWS as they see it; which actions they were denied is noted."""
        session = isolated_session()
        session.set_credentials(self.key, self.secret)

        def note(parsed: dict[str, Any], model: Any, **_: Any) -> None:
            if found := DENIED.search(parsed.get("Error", {}).get("Message", "")):
                denied.add(found[1])
            elif model.name == "HeadBucket" and parsed.get("Error", {}).get("Code") == "403":
                denied.add("s3:ListBucket")  # a HEAD has no body to say it in

        session.register("after-call", note)  # type: ignore[arg-type]  # its keywords
        emulator, gateway = self.world.machine.emulator, self.world.machine.gateway
        return Aws(
            region=REGION,
            endpoint_url=emulator.url,
            endpoints={"storagegateway": gateway.url},
            session=session,
        )


def allowing(*actions: str) -> dict[str, Any]:
    statement = {"Effect": "Allow", "Action": list(actions), "Resource": "*"}
    return {"Version": "2012-10-17", "Statement": [statement]}


@pytest.mark.proof
def test_whoever_has_the_printed_policy_can_do_everything_and_bounds_the_roles(guarded: LocalAws) -> None:
    own, bucket = guarded.stack(), guarded.bucket()
    share = guarded.share(bucket)
    boundary = f"arn:aws:iam::{ACCOUNT}:policy/Boundary"
    guarded.client("iam").create_policy(
        PolicyName="Boundary",
        PolicyDocument=json.dumps(allowing("dynamodb:*", "logs:*", "s3:*", "sqs:*", "storagegateway:*")),
    )
    user = User.of(guarded, "operator")
    before = guarded.inventory()

    printed = own.run.must("policy", "--bucket", bucket, "--permissions-boundary", boundary)
    user.may("Printed", printed.stdout)
    user.may_inline(allowing(*EMULATORS))
    run = user.runs(own.run)
    hasty = ("--window", "1", "--min-interval", "1")
    run.must("create", "--bucket", bucket, "--permissions-boundary", boundary, *hasty)
    roles = [
        guarded.client("iam").get_role(RoleName=role)["Role"]
        for role in (own.names.aggregator_role, own.names.refresh_role)
    ]
    run.must("create", "--tag", "team=a")
    again = run.must("policy")
    healthy = run.must("status").json["healthy"]
    uploaded = run.must("test-upload").json
    listed = run.must("list").json["stacks"]
    run.must("redrive", "--dry-run")
    run.must("refresh")
    # Removing what was uploaded is an event, too; a late log line would bring a log group back.
    eventually(lambda: not guarded.files(share) and own.is_quiet())
    run.must("delete", "--yes")

    assert [role["PermissionsBoundary"]["PermissionsBoundaryArn"] for role in roles] == [boundary] * 2
    assert again.json == printed.json
    assert healthy
    assert own.names.stack in [each["stack"] for each in listed]
    assert uploaded["refreshes"][0]["shares"] == [share]
    after = guarded.inventory()
    assert after.pop("policies").keys() == before.pop("policies").keys() | {"operatorPrinted"}
    assert after == before


# What AWS asks for, and the emulator does not.
NOT_ASKED_FOR = {
    "iam:ListPolicyTags",  # AWS asks for it beside TagPolicy (FACTS 36)
    "iam:PassRole",
    "lambda:DeleteEventSourceMapping",
    "lambda:DeleteFunctionConcurrency",  # only called where the quota is small
    "lambda:GetAccountSettings",
    "lambda:GetFunctionEventInvokeConfig",  # to it a GetFunction
    "lambda:PutFunctionEventInvokeConfig",  # to it an UpdateFunctionCode
    "lambda:UpdateEventSourceMapping",
    "sqs:UntagQueue",  # only of a queue that a moment ago another command began to delete
    "s3:DeleteObjectVersion",  # to it a DeleteObject
    "s3:ListAccessPoints",  # only called where a file share is at an access point
    "sns:GetTopicAttributes",  # only called where another event notification is to a topic
    "storagegateway:DescribeNFSFileShares",  # there is no Storage Gateway in it
    "storagegateway:DescribeSMBFileShares",
    "storagegateway:ListFileShares",
}


@pytest.mark.proof
def test_without_any_of_its_actions_something_fails(guarded: LocalAws) -> None:
    """Whoever starts with no rights, and gets only what they are denied, ends with all that is printed."""
    life = Life(guarded, guarded.stack(), guarded.bucket(), User.of(guarded, "beginner"))

    life.live()

    assert life.allowed == {grant.action for grant in iam.grants(life.printed)} - NOT_ASKED_FOR


@dataclass
class Life:
    """A stack's life, by somebody who gets each right once it is missing."""

    world: LocalAws
    own: OwnStack
    bucket: str
    user: User
    allowed: set[str] = field(default_factory=set)
    denied: set[str] = field(default_factory=set)  # since the last step began

    def __post_init__(self) -> None:
        self.printed = self.own.run.must("policy", "--bucket", self.bucket).json
        self.aws = self.user.aws(self.denied)

    def live(self) -> None:
        emulator, gateway = self.world.machine.emulator, self.world.machine.gateway
        anybody = Aws.on_this_machine(emulator.url, gateway.url)
        steps = Steps(self.own.names, (self.bucket,), anybody, test_upload_s=20)
        self.insist(steps.create((self.bucket,), options={"window": 1, "min_interval": 1}))
        changes = {
            "tags": {"team": "a"},
            "memory": 256,
            "on_demand": False,
            "alarm_topic": f"arn:aws:sns:{REGION}:{ACCOUNT}:any",
        }
        self.spoil()
        self.insist(steps.create(options=changes))
        self.insist(steps.create(options={"tags": {"team": "b"}}))
        for step in steps.after_create():
            self.insist(step)

    def insist(self, step: Step) -> None:
        """Do it until nothing is denied; what was denied is then allowed."""
        while True:
            self.denied.clear()
            try:
                step(self.aws)
            except S3aggError:
                assert self.denied, "it failed, but not for want of rights"
            if not self.denied:
                return
            denied = {BATCH.get(action, action) for action in self.denied}
            assert not denied & self.allowed, "a right that was given does not help"
            self.allowed |= denied
            self.allow()

    def allow(self) -> None:
        """Give them of the printed policy what they are allowed, and of what the emulator adds to it."""
        statements = [
            {**statement, "Action": actions}
            for statement in self.printed["Statement"]
            if (actions := [each for each in iam.listed(statement["Action"]) if each in self.allowed])
        ]
        more = [each for each in EMULATORS if BATCH.get(each, each) in self.allowed]
        statements += allowing(*more)["Statement"] if more else []
        self.user.may_inline({"Version": "2012-10-17", "Statement": statements})

    def spoil(self) -> None:
        """Be somebody who changes this and that by hand."""
        names, client = self.own.names, self.world.client
        arn = f"arn:aws:iam::{ACCOUNT}:policy/{names.dynamo_policy}"
        nothing, nobody = json.dumps(allowing("s3:ListAllMyBuckets")), json.dumps(NOBODY)
        for _ in range(4):
            client("iam").create_policy_version(PolicyArn=arn, PolicyDocument=nothing, SetAsDefault=True)
        client("iam").update_assume_role_policy(RoleName=names.refresh_role, PolicyDocument=nobody)
        client("iam").put_role_policy(RoleName=names.refresh_role, PolicyName="x", PolicyDocument=nothing)
        url = client("sqs").get_queue_url(QueueName=names.queue)["QueueUrl"]
        client("sqs").set_queue_attributes(QueueUrl=url, Attributes={"VisibilityTimeout": "200"})
        code = handler_zip("s3_sgw_refresh")
        client("lambda").update_function_code(FunctionName=names.aggregator, ZipFile=code)
        client("lambda").delete_function_event_invoke_config(FunctionName=names.aggregator)
