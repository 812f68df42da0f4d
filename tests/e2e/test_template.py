"""What CloudFormation makes of the template is the stack, and works as one of create's."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pytest

from s3agg import assets
from tests.e2e.support import LocalAws, OwnStack
from tests.support.polling import eventually

pytestmark = pytest.mark.e2e

TOPIC = "arn:aws:sns:us-east-1:000000000000:ops"
BOUNDARY = "arn:aws:iam::000000000000:policy/Boundary"
# What CloudFormation does not give to policies ...
TAGS = {("policy", tag) for tag in ("tag s3agg:stack", "tag s3agg:region", "tag team")}
# ... what the emulator's leaves out besides; tests/test_template.py says that the template has it ...
LEFT_OUT = {
    ("function", "on-failure destination"),
    ("function", "reserved concurrency"),
    ("role", "permissions boundary"),
    ("trigger", "tag s3agg:stack"),
    ("trigger", "tag team"),
}
# ... and what create adds where functions run on this machine.
HERE = {
    ("function", "environment variable AWS_ENDPOINT_URL_STORAGE_GATEWAY"),
    ("table", "tag s3agg:storage-gateway-endpoint"),
}


def deploy(world: LocalAws, stack: OwnStack, text: str, **parameters: str) -> list[str]:
    """Let CloudFormation make the stack; the arguments of the command that it says attaches the bucket."""
    client, name = world.client("cloudformation"), stack.names.stack
    client.create_stack(
        StackName=name,
        TemplateBody=text,
        Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
        Capabilities=["CAPABILITY_NAMED_IAM"],
    )
    client.get_waiter("stack_create_complete").wait(StackName=name, WaiterConfig={"Delay": 1})
    (made,) = client.describe_stacks(StackName=name)["Stacks"]
    outputs = {each["OutputKey"]: each["OutputValue"] for each in made["Outputs"]}
    return shlex.split(outputs["Attach"])[1:]


def undeploy(world: LocalAws, stack: OwnStack) -> None:
    client, name = world.client("cloudformation"), stack.names.stack
    client.delete_stack(StackName=name)
    client.get_waiter("stack_delete_complete").wait(StackName=name, WaiterConfig={"Delay": 1})


def test_it_works_like_one_of_creates_and_nothing_is_left(world: LocalAws, stack: OwnStack) -> None:
    bucket, code = world.bucket(), world.bucket()
    share = world.share(bucket)
    before = world.inventory()

    printed = stack.run.must("template", "--concurrency", "5", "--code-bucket", code)
    stack.run.must(*deploy(world, stack, printed.stdout, Bucket=bucket, Window="1"), "--yes")
    status = stack.run.must("status").json
    world.upload(bucket, "file")
    eventually(lambda: world.files(share) == ["file"])
    eventually(stack.is_quiet)
    refreshes = world.refreshes(share)
    stack.run.must("delete", "--bucket", bucket, "--yes")
    undeploy(world, stack)
    after = world.inventory()

    assert status["healthy"]
    assert refreshes == 1
    assert without_buckets(after) == without_buckets(before)
    assert world.notifications(bucket) == {}


def without_buckets(inventory: dict[str, Any]) -> dict[str, Any]:
    return {kind: there for kind, there in inventory.items() if kind not in {"objects", "rules"}}


def test_attaching_makes_the_rule_and_what_cloudformation_cannot(world: LocalAws, stack: OwnStack) -> None:
    bucket, code = world.bucket(), world.bucket()
    options = ("--alarm-topic", TOPIC, "--permissions-boundary", BOUNDARY, "--tag", "team=a", "--provisioned")
    printed = stack.run.must("template", "--bucket", bucket, "--code-bucket", code, *options)
    attach = deploy(world, stack, printed.stdout)

    changes = stack.run(*attach, "--dry-run").json["changes"]
    stack.run.must(*attach, "--yes")
    again = stack.run.must(*attach)
    undeploy(world, stack)

    assert {each["kind"] for each in changes if each["action"] == "create"} == {"permission", "notification"}
    assert {
        (each["kind"], difference["what"]) for each in changes for difference in each["differences"]
    } == TAGS | LEFT_OUT | HERE
    assert set(again.actions.values()) == {"keep"}


def test_code_of_a_templates_stack_is_compared_like_any_other(
    world: LocalAws, stack: OwnStack, tmp_path: Path
) -> None:
    bucket, code = world.bucket(), world.bucket()
    printed = stack.run.must("template", "--bucket", bucket, "--zips", str(tmp_path))
    for path in tmp_path.glob("s3agg/*.zip"):
        world.client("s3").upload_file(str(path), code, str(path.relative_to(tmp_path)))
    stack.run.must(*deploy(world, stack, printed.stdout, CodeBucket=code), "--yes")
    other = assets.zipped({"s3_aggregator": "def lambda_handler(event, context):\n    pass\n"})
    world.client("lambda").update_function_code(FunctionName=stack.names.aggregator, ZipFile=other)

    status = stack.run("status")
    mended = stack.run.must("create")
    undeploy(world, stack)

    drifted = [each for each in status.json["resources"] if each["state"] == "drifted"]
    assert [(each["kind"], each["name"]) for each in drifted] == [("function", stack.names.aggregator)]
    assert [name for name, action in mended.actions.items() if action != "keep"] == [
        f"function {stack.names.aggregator}"
    ]
