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

from s3agg import __version__
from s3agg.aws.session import Aws
from s3agg.commands import template
from s3agg.errors import S3aggError, UsageProblem
from s3agg.resources.event_filter import EventFilter
from s3agg.resources.function import ROLE_TAG
from s3agg.resources.queue import Queue
from s3agg.resources.resource import Resource
from s3agg.settings import REGION_TAG, Names, Settings
from s3agg.stack import declared
from tests.support import aws as support
from tests.support.aws import ACCOUNT, PLACE, World

pytestmark = pytest.mark.stack
world = support.world

NAMES = Names()
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


def made(
    names: Names = NAMES,
    *,
    bucket: str | None = "my-uploads",
    code_bucket: str | None = "my-code",
    **options: Any,
) -> template.Template:
    return template.make(names, options, bucket=bucket, code_bucket=code_bucket)


def read(text: str) -> Any:
    return yaml.load(text, Loader)  # noqa: S506  # a safe one


def resources(made: template.Template) -> dict[str, Any]:
    return dict(read(made.text)["Resources"])


def of_type(made: template.Template, kind: str) -> list[Any]:
    """The properties of the resources of a type."""
    return [each["Properties"] for each in resources(made).values() if each["Type"] == kind]


def test_an_argument_with_characters_of_yaml_is_quoted() -> None:
    odd = f"{TOPIC}: {{${{AWS::Region}} # }}"

    alarms = of_type(made(alarm_topic=odd), "AWS::CloudWatch::Alarm")

    assert [each["AlarmActions"] for each in alarms] == [[{"Fn::Sub": odd}]] * len(alarms)
    assert alarms


# The same as create's


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_cloudformation_is_told_all_that_create_tells_aws(world: World, options: dict[str, Any]) -> None:
    settings = Settings.declared(options, {})
    stack = declared.make(PLACE, Names(), settings, {world.bucket("uploads"): EventFilter(("in/", "new/"))})
    differing: dict[str, set[str]] = {}

    for resource in stack.resources:
        if resource.wanted:
            world.wire.calls.clear()
            resource.create(world.aws)
            resource.attach(world.aws, None)
            calls = [call.params for call in world.wire.calls if call.changes]
            only_one = set(told(calls, world.aws)) ^ set(told(resource.cloudformation, world.aws))
            differing.setdefault(resource.kind, set()).update(what for what, _ in only_one)

    keys = {"name", "value"}
    rule = {
        *("bucket", "events", "expectedbucketowner", "id", "lambdafunctionarn", "skipdestinationvalidation"),
        *keys,
    }
    assert {kind: what for kind, what in differing.items() if what} == {
        "notification": rule,
        "queue": {"queues"},  # the policy of a queue is a resource of its own
        "rule": {"rule"},  # the rule of a target
        "policy": {*stack.queue.tags, REGION_TAG},  # CloudFormation knows none of policies
        "permission": {"statementid"},  # which CloudFormation chooses
        # CloudFormation asks for the qualifier, and makes its functions after their roles.
        "function": {"qualifier", "resource", ROLE_TAG},
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
    stack = declared.make(PLACE, Names(), Settings.declared(options, {}), {"my-uploads": EventFilter()})
    kinds = [kind for each in stack.resources if each.wanted for kind in each.cloudformation]

    assert [each["Type"] for each in resources(made(**options)).values()] == kinds


@pytest.mark.parametrize("handler", ["s3_aggregator", "s3_sgw_refresh"])
def test_a_function_names_the_zip_of_create_by_a_key_that_changes_with_it(handler: str) -> None:
    stack = declared.make(PLACE, NAMES, Settings(), {})
    (code,) = [each.code for each in (stack.aggregator, stack.refresher) if each.modules[0] == handler]
    functions = {each["Handler"]: each for each in of_type(made(), "AWS::Lambda::Function")}

    key = f"s3agg/{handler}-{hashlib.sha256(code).hexdigest()}.zip"
    assert functions[f"{handler}.lambda_handler"]["Code"] == {
        "S3Bucket": {"Ref": "CodeBucket"},
        "S3Key": key,
    }
    assert made().zips[key] == code


# The code's way to CloudFormation


def test_the_zips_stand_in_a_folder_as_in_the_bucket(tmp_path: Path) -> None:
    template.write(made().zips, tmp_path / "build")

    for key, code in made().zips.items():
        assert (tmp_path / "build" / key).read_bytes() == code


def test_the_zips_are_uploaded_under_their_keys(world: World) -> None:
    bucket, zips = world.bucket("my-code"), made().zips

    assert template.upload(world.aws, zips, bucket)

    s3 = world.somebody.s3
    assert {key: s3.get_object(Bucket=bucket, Key=key)["Body"].read() for key in zips} == zips
    assert {each["ExpectedBucketOwner"] for each in world.wire.made("s3:PutObject")} == {ACCOUNT}


def test_a_zip_whose_key_is_there_is_not_uploaded_again(world: World) -> None:
    bucket, (first, second) = world.bucket("my-code"), made().zips
    world.somebody.s3.put_object(Bucket=bucket, Key=first, Body=b"as it was")

    assert template.upload(world.aws, made().zips, bucket)  # the second
    assert not template.upload(world.aws, made().zips, bucket)

    assert world.somebody.s3.get_object(Bucket=bucket, Key=first)["Body"].read() == b"as it was"
    assert world.somebody.s3.get_object(Bucket=bucket, Key=second)["Body"].read() == made().zips[second]


def test_two_who_upload_the_same_at_once_both_succeed(world: World) -> None:
    world.bucket("my-code")
    world.wire.refuse("s3:PutObject", "ConditionalRequestConflict", status=409, times=1)

    assert template.upload(world.aws, made().zips, "my-code")


def test_a_code_bucket_that_is_not_there_is_a_problem(world: World) -> None:
    with pytest.raises(S3aggError, match="Bucket my-code does not exist"):
        template.upload(world.aws, made().zips, "my-code")


def test_a_code_bucket_of_another_region_is_a_problem_that_names_both(world: World) -> None:
    world.wire.answer("s3:HeadBucket", {"BucketRegion": "eu-central-1"})

    with pytest.raises(S3aggError) as caught:
        template.upload(world.aws, made().zips, "my-code")

    assert str(caught.value) == (
        "Bucket my-code is in eu-central-1, but Lambda reads code only from a bucket in the stack's region"
        " eu-west-1. Pass a bucket in eu-west-1, or --region eu-central-1."
    )
    assert world.wire.changes == []


def test_a_code_bucket_that_takes_nothing_from_this_user_is_a_problem(world: World) -> None:
    world.bucket("my-code")
    world.wire.refuse("s3:PutObject", "AccessDenied", "Access Denied", status=403)

    with pytest.raises(S3aggError) as caught:
        template.upload(world.aws, made().zips, "my-code")

    assert str(caught.value) == (
        "While uploading the functions' code to bucket my-code: PutObject failed: Access Denied"
        " (AccessDenied). Ask for permission to call PutObject, then run the same command again."
    )


# A good template


@pytest.mark.proof
def test_the_linter_finds_nothing_in_any_template(tmp_path: Path) -> None:
    for number, options in enumerate(OPTIONS.values()):
        for code_bucket in ("my-code", None):
            text = made(code_bucket=code_bucket, **options).text
            (tmp_path / f"{number}-{code_bucket}.yaml").write_text(text)
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
        "CodeBucket": "my-code",
    }


def test_without_a_bucket_its_parameter_has_no_default() -> None:
    parameters = read(made(bucket=None, code_bucket=None).text)["Parameters"]

    assert [name for name, each in parameters.items() if "Default" not in each] == ["Bucket", "CodeBucket"]


def test_a_parameter_takes_no_more_than_its_option() -> None:
    parameters = read(made().text)["Parameters"]

    assert (parameters["Window"]["MinValue"], parameters["Window"]["MaxValue"]) == (1, 42_600)
    assert parameters["LogLevel"]["AllowedValues"] == ["DEBUG", "INFO", "WARN", "ERROR"]
    bucket, code_bucket = (parameters[name]["AllowedPattern"] for name in ("Bucket", "CodeBucket"))
    for pattern in (bucket, code_bucket):
        assert re.fullmatch(pattern, "my.up-loads2")
        assert not any(re.fullmatch(pattern, wrong) for wrong in ("", "s3://x", "ab"))
    assert re.fullmatch(bucket, "My_Uploads")  # of us-east-1
    assert not re.fullmatch(code_bucket, "My_Uploads")


def test_the_parameters_are_kept_as_what_was_asked_for() -> None:
    (table,) = of_type(made(memory=256), "AWS::DynamoDB::Table")

    assert {each["Key"]: each["Value"] for each in table["Tags"]} == {
        "s3agg:stack": "S3EventAggregator",
        "s3agg:version": __version__,
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


def test_a_threshold_that_follows_from_the_window_is_a_parameter_that_tells_how() -> None:
    alarming = made(window=45, alarm_topic=TOPIC)
    stack = declared.make(PLACE, NAMES, Settings(window=45), {})
    thresholds = [each.threshold for each in stack.alarms if each.threshold]
    names = ["OldestMessageThreshold", "UnrefreshedThreshold"]

    for name, threshold in zip(names, thresholds, strict=True):
        assert read(alarming.text)["Parameters"][name] == {
            "Type": "Number",
            "Description": f"Alarm threshold in seconds: Window + {threshold - 45}",
            "Default": threshold,
        }
    assert [each["Threshold"] for each in of_type(alarming, "AWS::CloudWatch::Alarm")] == [
        0,
        *({"Ref": name} for name in names),
    ]


def test_a_tag_of_the_users_is_no_parameter_whatever_its_name() -> None:
    (table,) = of_type(made(tags={"LOG_LEVEL": "theirs"}), "AWS::DynamoDB::Table")

    assert {"Key": "LOG_LEVEL", "Value": "theirs"} in table["Tags"]


def test_it_fits_any_partition_region_and_account() -> None:
    text = made().text

    assert "arn:aws" not in text
    assert PLACE.region not in text
    assert PLACE.account not in text


def test_it_survives_any_console() -> None:
    assert all(made(**options).text.isascii() for options in OPTIONS.values())


@pytest.mark.parametrize(("stack", "option"), [("S3EventAggregator", ""), ("Other", " --stack Other")])
def test_it_names_the_commands_that_attach_and_detach_the_bucket(stack: str, option: str) -> None:
    named = made(Names(stack))
    outputs = read(named.text)["Outputs"]

    commands = {"Attach": "s3agg create --adopt --bucket", "Detach": "s3agg delete --bucket"}
    assert {name: each["Value"] for name, each in outputs.items()} == {
        name: {"Fn::Sub": f"{command} ${{Bucket}}{option} --region ${{AWS::Region}}"}
        for name, command in commands.items()
    }
    advised = {"Attach": named.attach, "Detach": named.detach}
    assert {name: each.words(Names(stack).options) for name, each in advised.items()} == {
        name: f"{command} my-uploads{option}" for name, command in commands.items()
    }


def test_it_can_be_passed_directly_with_the_longest_of_every_option_and_eight_long_tags() -> None:
    longest = made(
        Names("S" * 43),
        bucket="b" * 63,
        code_bucket="c" * 63,
        window=42_600,
        min_interval=42_600,
        log_level="DEBUG",
        on_demand=False,
        read_capacity=40_000,
        write_capacity=40_000,
        concurrency=1000,
        memory=10_240,
        runtime="python3.13",
        architecture="x86_64",
        log_retention=3653,
        include_gateway_writes=True,
        permissions_boundary=f"arn:aws-us-gov:iam::123456789012:policy/{'p' * 128}",
        alarm_topic=f"arn:aws-us-gov:sns:us-gov-west-1:123456789012:{'t' * 256}",
        tags={f"{number}{'k' * 30}": "v" * 256 for number in range(8)},
    )

    assert len(longest.text.encode()) <= 51_200


def test_it_knows_when_it_is_too_long_to_be_passed_directly() -> None:
    assert not replace(made(), text="x" * 51_200).is_long
    assert replace(made(), text="x" * 51_201).is_long


@pytest.mark.parametrize(
    "wrong",
    [
        {"window": 0},
        {"min_interval": 59},
        {"runtime": "python2.7"},
        {"tags": {"aws:a": "b"}},
        {"bucket": "s3://uploads"},
        {"code_bucket": "Code"},
        {"code_bucket": "s3://code"},
    ],
)
def test_what_cannot_be_asked_of_create_in_aws_cannot_be_in_a_template(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageProblem):
        made(**wrong)
