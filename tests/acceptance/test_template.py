"""CloudFormation makes the stack from the template, and s3agg attaches the bucket."""

from __future__ import annotations

import re
import shlex
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.acceptance.account import WINDOW_S, Account
from tests.acceptance.findings import answer

pytestmark = pytest.mark.acceptance

FAILED = re.compile("FAILED|ROLLBACK")


def test_a_stack_of_cloudformations_works(account: Account) -> None:
    stack, bucket = account.stack("Made"), account.make_bucket("made")
    code = account.make_bucket("code")
    client, name = account.aws.client("cloudformation"), stack.names.stack
    parameters = {"Bucket": bucket, "Window": str(WINDOW_S)}

    printed = stack.must("template", "--code-bucket", code)
    client.create_stack(
        StackName=name,
        TemplateBody=printed.stdout,
        Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
        Capabilities=["CAPABILITY_NAMED_IAM"],
    )
    made: Any = account.becomes(lambda: ended(client, name), 900)
    assert made["StackStatus"] == "CREATE_COMPLETE", problems(client, name)
    (attach,) = [each["OutputValue"] for each in made["Outputs"] if each["OutputKey"] == "Attach"]
    stack.must(*options(attach), "--yes", *stack.interval)
    stack.becomes_declared("create --adopt on CloudFormation's stack")
    stack.upload(bucket)
    stack.must("delete", "--bucket", bucket, "--yes")
    client.delete_stack(StackName=name)
    gone = account.becomes(lambda: deleted(client, name), 900)

    assert gone == "DELETE_COMPLETE", problems(client, name)


def options(attach: str) -> list[str]:
    """The command of the output, without the options that every command of the run has."""
    words = shlex.split(attach)
    return [word for word in words[1:] if word not in options_of_the_run(words)]


def options_of_the_run(words: list[str]) -> list[str]:
    return [
        word
        for name in ("--stack", "--region")
        if name in words
        for word in words[words.index(name) : words.index(name) + 2]
    ]


def ended(client: Any, name: str) -> dict[str, Any] | None:
    """The stack, once CloudFormation has ended its work on it."""
    (stack,) = client.describe_stacks(StackName=name)["Stacks"]
    return None if stack["StackStatus"].endswith("IN_PROGRESS") else stack


def deleted(client: Any, name: str) -> str:
    """How the deletion ended; empty while it goes on."""
    try:
        (stack,) = client.describe_stacks(StackName=name)["Stacks"]
    except ClientError as error:
        if "does not exist" in answer(error):
            return "DELETE_COMPLETE"
        raise
    status = str(stack["StackStatus"])
    return status if status in {"DELETE_COMPLETE", "DELETE_FAILED"} else ""


def problems(client: Any, name: str) -> list[str]:
    """Why CloudFormation failed, in its own words."""
    events = client.describe_stack_events(StackName=name)["StackEvents"]
    return [
        f"{each['LogicalResourceId']}: {each.get('ResourceStatusReason')}"
        for each in events
        if FAILED.search(each["ResourceStatus"])
    ]
