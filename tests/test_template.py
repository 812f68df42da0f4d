"""The stack as a CloudFormation template: the same, and right."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from s3agg import assets, template
from s3agg import stack as stacks
from s3agg.aws import Aws
from s3agg.errors import UsageProblem
from s3agg.resources.resource import Resource
from s3agg.resources.s3 import KeyFilter
from s3agg.resources.sqs import Queue
from s3agg.settings import REGION_TAG, Names, Settings
from tests.support import aws as support
from tests.support.aws import PLACE, World

world = support.world

TOPIC = "arn:aws:sns:eu-west-1:123456789012:ops"
BOUNDARY = "arn:aws:iam::123456789012:policy/Boundary"
OPTIONS: dict[str, dict[str, Any]] = {
    "as it comes": {},
    "on demand, with tags": {"on_demand": True, "tags": {"team": "café: a"}, "include_gateway_writes": True},
    "with alarms and a boundary": {"alarm_topic": TOPIC, "permissions_boundary": BOUNDARY},
}


class Loader(yaml.SafeLoader):
    """Reads the short forms as the long ones."""


def long_form(loader: yaml.SafeLoader, suffix: str, node: Any) -> dict[str, Any]:
    return {suffix if suffix == "Ref" else f"Fn::{suffix}": loader.construct_scalar(node)}


Loader.add_multi_constructor("!", long_form)


def made(stack: str = "S3EventAggregator", *, inline: bool = True, **options: Any) -> template.Template:
    return template.make(Names(stack), options, "my-uploads", inline=inline)


def read(text: str) -> Any:
    return yaml.load(text, Loader)  # noqa: S506  # a safe one


def resources(made: template.Template) -> dict[str, Any]:
    return dict(read(made.text)["Resources"])


def of_type(made: template.Template, kind: str) -> list[Any]:
    """The properties of the resources of a type."""
    return [each["Properties"] for each in resources(made).values() if each["Type"] == kind]


# The same as create's


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_cloudformation_is_told_all_that_create_tells_aws(world: World, options: dict[str, Any]) -> None:
    settings = Settings.declared(options, {})
    stack = stacks.make(PLACE, Names(), settings, {world.bucket("uploads"): KeyFilter()})
    differing: dict[str, set[str]] = {}

    for resource in stack.resources:
        if resource.wanted:
            world.wire.calls.clear()
            resource.create(world.aws)
            calls = [call.params for call in world.wire.calls if call.changes]
            only_one = set(told(calls, world.aws)) ^ set(told(resource.cloudformation, world.aws))
            differing.setdefault(resource.kind, set()).update(what for what, _ in only_one)

    rule = {"bucket", "events", "expectedbucketowner", "id", "lambdafunctionarn", "skipdestinationvalidation"}
    assert {kind: what for kind, what in differing.items() if what} == {
        "notification": rule,
        "policy": {*stack.queue.tags, REGION_TAG},  # CloudFormation knows none of policies
        "permission": {"statementid"},  # which CloudFormation chooses
        "function": {"qualifier"},  # which CloudFormation asks for
    }


SAME = {"policyname": "managedpolicyname", "policyarn": "managedpolicyarns"}


def told(value: Any, aws: Aws, what: str = "") -> Iterator[tuple[str, str]]:
    """All that is said but the code, in whichever form: each what, and its value."""
    if isinstance(value, Queue):
        value = value.url(aws)
    elif isinstance(value, Resource):
        value = value.name
    elif isinstance(value, str) and value.startswith("{"):
        value = json.loads(value)
    elif isinstance(value, Mapping) and value.keys() == {"Key", "Value"}:
        value = {value["Key"]: value["Value"]}
    if isinstance(value, Mapping):
        for name, each in value.items():
            if name != "Code":
                yield from told(each, aws, SAME.get(name.lower(), name.lower()))
    elif isinstance(value, list):
        for each in value:
            yield from told(each, aws, what)
    else:
        yield what, str(value)


def test_failures_are_kept_of_the_version_that_runs() -> None:
    (failures,) = of_type(made(), "AWS::Lambda::EventInvokeConfig")

    assert failures["Qualifier"] == "$LATEST"


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_the_template_has_every_resource_but_the_rule(options: dict[str, Any]) -> None:
    stack = stacks.make(PLACE, Names(), Settings.declared(options, {}), {"my-uploads": KeyFilter()})
    kinds = [kind for each in stack.resources if each.wanted for kind in each.cloudformation]

    assert [each["Type"] for each in resources(made(**options)).values()] == kinds


def test_inline_code_is_the_handlers_as_they_are_in_the_module_index() -> None:
    functions = of_type(made(), "AWS::Lambda::Function")

    assert [each["Handler"] for each in functions] == ["index.lambda_handler"] * 2
    assert [each["Code"]["ZipFile"] for each in functions] == [
        assets.handler_source("s3_sgw_refresh"),
        assets.handler_source("s3_aggregator"),
    ]


def test_zips_are_those_of_create_by_names_that_change_with_them(tmp_path: Path) -> None:
    zipped = made(inline=False)
    template.write(zipped.zips, tmp_path / "build")
    functions = {each["FunctionName"]: each for each in of_type(zipped, "AWS::Lambda::Function")}

    for name, module in ("S3EventAggregator", "s3_aggregator"), ("S3StorageGatewayRefresh", "s3_sgw_refresh"):
        code = assets.handler_zip(module)
        key = f"{module}-{hashlib.sha256(code).hexdigest()}.zip"
        assert functions[name]["Handler"] == f"{module}.lambda_handler"
        assert functions[name]["Code"] == {"S3Bucket": {"Ref": "CodeBucket"}, "S3Key": key}
        assert (tmp_path / "build" / key).read_bytes() == code


# A good template


def test_the_linter_finds_nothing_in_any_template(tmp_path: Path) -> None:
    for number, options in enumerate(OPTIONS.values()):
        for inline in (True, False):
            text = made(inline=inline, **options).text
            (tmp_path / f"{number}-{inline}.yaml").write_text(text)
    (tmp_path / "a-mistake.yaml").write_text(
        made().text.replace("RetentionInDays: 30", "RetentionInDays: 31")
    )

    lint = "import sys; from cfnlint.runner import main; sys.exit(main())"
    command = [sys.executable, "-c", lint, "--format", "json", *map(str, tmp_path.iterdir())]
    ran = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)  # noqa: S603  # ours

    assert ran.stderr == ""
    assert {Path(found["Filename"]).stem for found in json.loads(ran.stdout)} == {"a-mistake"}


def test_a_function_waits_for_what_it_uses_without_referring_to_it() -> None:
    functions = [each for each in resources(made()).values() if each["Type"] == "AWS::Lambda::Function"]

    assert [each["DependsOn"] for each in functions] == [
        ["S3StorageGatewayRefreshLogGroup", "Table"],
        ["LogGroup", "Table", "DeadLettersQueue"],
    ]


def test_what_is_asked_for_is_the_parameters_default() -> None:
    parameters = read(made(window=45, log_level="DEBUG").text)["Parameters"]

    assert {name: each["Default"] for name, each in parameters.items()} == {
        "Bucket": "my-uploads",
        "Window": 45,
        "LogLevel": "DEBUG",
    }


def test_without_a_bucket_its_parameter_has_no_default() -> None:
    assert "Default" not in read(template.make(Names(), {}, None, inline=True).text)["Parameters"]["Bucket"]


def test_a_parameter_takes_no_more_than_its_option() -> None:
    for parameters in (read(made().text)["Parameters"], read(made(inline=False).text)["Parameters"]):
        assert (parameters["Window"]["MinValue"], parameters["Window"]["MaxValue"]) == (1, 42_600)
        assert parameters["LogLevel"]["AllowedValues"] == ["DEBUG", "INFO", "WARN", "ERROR"]
        for bucket in {"Bucket", "CodeBucket"} & parameters.keys():
            pattern = parameters[bucket]["AllowedPattern"]
            assert re.fullmatch(pattern, "my.up-loads2")
            assert not any(re.fullmatch(pattern, wrong) for wrong in ("", "s3://x", "Uploads", "a_b", "ab"))


def test_the_parameters_are_kept_as_what_was_asked_for() -> None:
    (table,) = of_type(made(memory=256), "AWS::DynamoDB::Table")

    assert {each["Key"]: each["Value"] for each in table["Tags"]} == {
        "s3agg:stack": "S3EventAggregator",
        "s3agg:inline": "true",
        "s3agg:log-level": {"Ref": "LogLevel"},
        "s3agg:memory": "256",
        "s3agg:on-demand": "true",
        "s3agg:window": {"Ref": "Window"},
    }


def test_nothing_but_their_defaults_depends_on_what_the_parameters_are_at_first() -> None:
    one = read(made(window=45, log_level="DEBUG", alarm_topic=TOPIC).text)
    other = read(made(window=5000, log_level="WARN", alarm_topic=TOPIC).text)

    assert {**one, "Parameters": None} == {**other, "Parameters": None}
    assert one["Parameters"] != other["Parameters"]


def test_a_sum_with_the_window_is_a_parameter_that_says_so() -> None:
    alarming = made(window=45, alarm_topic=TOPIC)

    sums = read(alarming.text)["Parameters"]["WindowPlus3600"]
    assert sums == {
        "Type": "Number",
        "Description": "Window plus 3600: CloudFormation cannot add",
        "Default": 3645,
    }
    assert {str(each["Threshold"]) for each in of_type(alarming, "AWS::CloudWatch::Alarm")} == {
        "0",
        "{'Ref': 'WindowPlus3600'}",
    }


def test_it_fits_any_partition_region_and_account() -> None:
    text = made().text

    assert "arn:aws" not in re.sub(r"(?m)^ {10}.*$", "", text)  # the code aside
    assert PLACE.region not in text
    assert PLACE.account not in text


def test_code_stands_in_it_to_be_read_and_survives_any_console() -> None:
    assert made().text.count('        ZipFile: |\n          """') == 2
    assert all(made(**options).text.isascii() for options in OPTIONS.values())


@pytest.mark.parametrize(
    ("stack", "command"),
    [
        ("S3EventAggregator", "s3agg create --adopt --bucket my-uploads"),
        ("Other", "s3agg create --adopt --stack Other --bucket my-uploads"),
    ],
)
def test_it_names_the_command_that_attaches_the_bucket(stack: str, command: str) -> None:
    attaching = made(stack)

    assert attaching.attach == command
    assert read(attaching.text)["Outputs"]["Attach"]["Value"] == {
        "Fn::Sub": f"{command.replace('my-uploads', '${Bucket}')} --region ${{AWS::Region}}"
    }


def test_as_it_is_by_default_it_can_be_passed_directly_whatever_the_bucket() -> None:
    text = template.make(Names(), {}, "b" * 63, inline=True).text

    assert len(text.encode()) <= 51_200


def test_it_knows_when_it_is_too_long_to_be_passed_directly() -> None:
    long = made(tags={f"tag-{number}": "x" * 100 for number in range(5)})

    assert long.is_long
    assert not replace(long, text="x" * 51_200).is_long
    assert replace(long, text="x" * 51_201).is_long
    assert not made(inline=False).is_long


@pytest.mark.parametrize(
    "wrong", [{"window": 0}, {"min_interval": 59}, {"runtime": "python2.7"}, {"tags": {"aws:a": "b"}}]
)
def test_what_cannot_be_asked_of_create_in_aws_cannot_be_in_a_template(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageProblem):
        made(**wrong)
