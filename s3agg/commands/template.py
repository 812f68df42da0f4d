"""template: the stack of `create` as a CloudFormation template, from the same declarations.

CloudFormation sets the notifications only of buckets that it creates. So the template holds the stack without
notifications, and without what only a bucket attached by EventBridge has: its rule, and the switch in its
notifications. `create --adopt --bucket` attaches the bucket in either way. It also tags the policies, which
CloudFormation cannot do.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml
from botocore.exceptions import ClientError
from botocore.loaders import create_loader

from s3agg import __version__, assets
from s3agg.aws.place import Place
from s3agg.aws.refusals import Refusal, describing_errors, is_error
from s3agg.aws.session import Aws
from s3agg.engine import Key
from s3agg.errors import Advice, S3aggError, UsageProblem
from s3agg.resources.alarm import OLDEST, UNREFRESHED
from s3agg.resources.bucket import region_of
from s3agg.resources.event_filter import ALL_EVENTS
from s3agg.resources.policy import Policy
from s3agg.resources.resource import Resource
from s3agg.settings import (
    ANY_REGION,
    BUCKET_NAME,
    LOG_LEVELS,
    OLD_BUCKET_NAME,
    RANGES,
    Names,
    Settings,
    check_bucket_name,
    check_runtime,
)
from s3agg.stack import declared
from s3agg.stack.declared import Stack

PLACE = Place("${AWS::Partition}", "${AWS::Region}", "${AWS::AccountId}")
BUCKET = "${Bucket}"
# The parameters in the properties of the resources.
VARIABLES = {
    "REFRESH_DELAY_SECONDS": "Window",
    "LOG_LEVEL": "LogLevel",
}  # environment variables of the functions
TAGS = {"s3agg:window": "Window", "s3agg:log-level": "LogLevel"}  # tags of the table that store options
# Of alarms, by metric.
THRESHOLDS = {OLDEST.name: "OldestMessageThreshold", UNREFRESHED.name: "UnrefreshedThreshold"}
UPLOADING = (Refusal("ConditionalRequestConflict"),)  # another upload of the same key is running
DIRECT_BYTES = 51_200  # CloudFormation accepts a longer template only from a bucket

Properties = dict[str, Any]


@dataclass(frozen=True)
class Template:
    """A template, its zips by their keys in CodeBucket, and the commands for the bucket.

    `attach` follows the deployment. `detach` precedes the deletion of CloudFormation's stack, which would
    leave event notifications without their function.
    """

    text: str
    zips: Mapping[str, bytes]
    attach: Advice
    detach: Advice

    @property
    def is_long(self) -> bool:
        """Whether CloudFormation accepts the template only from a bucket."""
        return len(self.text.encode()) > DIRECT_BYTES


# CloudFormation's intrinsic functions, each holding its argument.


class Ref(str):
    __slots__ = ()


class GetAtt(str):
    __slots__ = ()


class Sub(str):
    __slots__ = ()


def make(
    names: Names, options: Mapping[str, Any], *, bucket: str | None, code_bucket: str | None
) -> Template:
    """Return the template of the stack `names`; `options` are those of `create`, by their Settings names.

    Both buckets, the window and the log level are parameters with the given values as defaults. Makes no AWS
    call. Raises UsageProblem for an invalid option.
    """
    if bucket:
        check_bucket_name(bucket, ANY_REGION)
    if code_bucket:
        check_bucket_name(code_bucket, "")  # the pattern of its parameter
    settings = Settings.declared(options, {}).keeping_billing()
    settings.check_interval()
    check_runtime(settings.runtime, _runtimes())
    # The table stores the parameters as tags, passed or not.
    kept = replace(settings, asked=settings.asked | {"window", "log_level"})
    stack = declared.make(PLACE, names, kept, {BUCKET: ALL_EVENTS})
    document = {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": "S3 event aggregator. CloudFormation cannot attach the bucket: see the outputs."
        f" (s3agg {__version__})",
        "Parameters": _parameters(stack, bucket, code_bucket),
        "Resources": _resources(stack),
        "Outputs": {
            "Attach": {"Value": _output(_attach(BUCKET), names)},
            "Detach": {"Value": _output(_detach(BUCKET), names)},
        },
    }
    return Template(
        yaml.dump(document, Dumper=Dumper, sort_keys=False, width=1000),
        {each.code_key: each.code for each in (stack.aggregator, stack.refresher)},
        _attach(bucket or "BUCKET"),
        _detach(bucket or "BUCKET"),
    )


def _attach(bucket: str) -> Advice:
    return Advice("create", bucket, {"adopt": None})


def _detach(bucket: str) -> Advice:
    return Advice("delete", bucket)


def _output(advice: Advice, names: Names) -> Sub:
    """A command as an output. CloudFormation replaces the parameters, whose values need no quotes."""
    return Sub(advice.words({**names.options, "region": PLACE.region}).replace("'", ""))


def write(zips: Mapping[str, bytes], folder: Path) -> None:
    """Write the zips of a template to a folder, under their keys; raise UsageProblem if that fails."""
    try:
        for key, content in zips.items():
            path = folder / key
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    except OSError as error:
        raise UsageProblem(f"Could not write to {folder}: {error.strerror}", "Pass another folder") from error


def upload(aws: Aws, zips: Mapping[str, bytes], bucket: str) -> bool:
    """Upload the zips of a template to a bucket, under their keys; return whether any was new.

    Raises S3aggError if the bucket is in another region, or AWS refuses.
    """
    place = aws.place
    with describing_errors(f"uploading the functions' code to bucket {bucket}"):
        region = region_of(aws, place, bucket)
        if region != place.region:
            raise S3aggError(
                f"Bucket {bucket} is in {region}, but Lambda reads code only from a bucket in the stack's"
                f" region {place.region}",
                f"Pass a bucket in {place.region}, or --region {region}",
            )
        uploaded = [_upload(aws, bucket, key, content) for key, content in zips.items()]
    return any(uploaded)


def _upload(aws: Aws, bucket: str, key: str, content: bytes) -> bool:
    """Upload a zip; return False if its key exists, as the key contains the zip's hash."""

    def put() -> bool:
        try:
            aws.s3.put_object(
                Bucket=bucket,
                Key=key,
                Body=content,
                IfNoneMatch="*",
                ExpectedBucketOwner=aws.place.account,
            )
        except ClientError as error:
            if is_error(error, "PreconditionFailed"):
                return False
            raise
        return True

    return aws.wait.retry(f"another upload to bucket {bucket} to finish", put, on=UPLOADING)


def _runtimes() -> list[str]:
    """Return the same as `Aws.runtimes`, without a session and the user's configuration."""
    shapes = create_loader().load_service_model("lambda", "service-2")["shapes"]
    return [name for name in shapes["Runtime"]["enum"] if assets.runs_handlers(name)]


def _parameters(stack: Stack, bucket: str | None, code_bucket: str | None) -> dict[str, Properties]:
    settings = stack.settings
    shortest, longest = RANGES["window"]
    return {
        "Bucket": {
            "Type": "String",
            "Description": "Bucket to attach",
            "AllowedPattern": OLD_BUCKET_NAME,
            **({"Default": bucket} if bucket else {}),
        },
        "Window": {
            "Type": "Number",
            "Description": "Seconds from a bucket's first event to its refresh",
            "MinValue": shortest,
            "MaxValue": longest,
            "Default": settings.window,
        },
        "LogLevel": {
            "Type": "String",
            "Description": "Log level of the functions",
            "AllowedValues": list(LOG_LEVELS),
            "Default": settings.log_level,
        },
        "CodeBucket": {
            "Type": "String",
            "Description": "Bucket of the functions' zips, in the stack's region",
            "AllowedPattern": BUCKET_NAME,
            **({"Default": code_bucket} if code_bucket else {}),
        },
        **{
            THRESHOLDS[alarm.metric.name]: {
                "Type": "Number",
                "Description": f"Alarm threshold in seconds: Window + {alarm.threshold - settings.window}",
                "Default": alarm.threshold,
            }
            for alarm in stack.alarms
            if alarm.wanted and alarm.metric.name in THRESHOLDS
        },
    }


def _resources(stack: Stack) -> dict[str, Properties]:
    """Return the template's resources by logical ids."""
    ids = {each.key: _logical_ids(stack, each) for each in _wanted(stack)}
    # The first resource with an ARN owns it: a permission has its function's ARN.
    arns = {each.arn: _arn(each, ids[each.key][0]) for each in reversed(_wanted(stack))}
    made: dict[str, Properties] = {}
    for resource in _wanted(stack):
        needs = [ids[each.key][0] for each in resource.needs]
        for logical_id, kind in zip(ids[resource.key], resource.cloudformation, strict=True):
            properties = _written(_with_parameters(resource.cloudformation[kind]), ids, arns)
            referred = {
                leaf.partition(".")[0] for leaf in _leaves(properties) if isinstance(leaf, Ref | GetAtt)
            }
            after = [each for each in needs if each not in referred]
            made[logical_id] = {
                "Type": kind,
                **({"DependsOn": after} if after else {}),
                "Properties": properties,
            }
            needs = []  # the further types refer to the first
    return made


def _with_parameters(properties: Mapping[str, Any]) -> Properties:
    """Replace values in a resource's properties by references to parameters."""
    given = dict(properties)
    if "Environment" in given:
        variables = given["Environment"]["Variables"]
        given["Environment"] = {
            "Variables": {
                name: Ref(VARIABLES[name]) if name in VARIABLES else value
                for name, value in variables.items()
            }
        }
    if "Tags" in given:
        given["Tags"] = [
            {**tag, "Value": Ref(TAGS[tag["Key"]])} if tag["Key"] in TAGS else tag for tag in given["Tags"]
        ]
    if given.get("MetricName") in THRESHOLDS:
        given["Threshold"] = Ref(THRESHOLDS[given["MetricName"]])
    if "Code" in given:
        given["Code"] = {"S3Bucket": Ref("CodeBucket"), **given["Code"]}
    return given


def _wanted(stack: Stack) -> list[Resource[Any]]:
    """Return the resources of the template."""
    return [each for each in stack.resources if each.wanted and each.cloudformation]


def _logical_ids(stack: Stack, resource: Resource[Any]) -> list[str]:
    """Return a logical id for each CloudFormation type of a resource, from its name and kind."""
    name = resource.name.rpartition("/")[2].removeprefix(stack.names.stack)
    _, *more = resource.cloudformation
    kinds = [resource.kind.title().replace(" ", ""), *(each.rpartition(":")[2] for each in more)]
    return [re.sub(r"[\W_]", "", name.removesuffix(kind) + kind) for kind in kinds]


def _arn(resource: Resource[Any], logical_id: str) -> Ref | GetAtt:
    return Ref(logical_id) if isinstance(resource, Policy) else GetAtt(f"{logical_id}.Arn")


def _written(value: Any, ids: Mapping[Key, list[str]], arns: Mapping[str, Ref | GetAtt]) -> Any:
    """Return a value in the template's form."""
    if isinstance(value, Mapping):
        return {key: _written(each, ids, arns) for key, each in value.items()}
    if isinstance(value, list):
        return [_written(each, ids, arns) for each in value]
    if isinstance(value, Resource):
        return Ref(ids[value.key][0])
    if not isinstance(value, str) or "${" not in value:
        return value
    if value in arns:
        return arns[value]
    alone = re.fullmatch(r"\$\{([^}]+)\}", value)
    return Ref(alone[1]) if alone else Sub(value)


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, Mapping | list):
        for each in value.values() if isinstance(value, Mapping) else value:
            yield from _leaves(each)
    else:
        yield value


class Dumper(yaml.SafeDumper):
    """Writes CloudFormation's intrinsic functions in their short form."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002  # CloudFormation accepts no aliases
        return True

    def choose_scalar_style(self) -> str:
        """Write the argument of an intrinsic function without quotes, if the library finds it plain."""
        style: str = super().choose_scalar_style()
        if not getattr(self.event, "tag", "").startswith("!") or self.analysis is None:
            return style
        return "" if self.analysis.allow_block_plain and not self.analysis.multiline else style


def _function(dumper: yaml.SafeDumper, argument: str) -> yaml.ScalarNode:
    return dumper.represent_scalar(f"!{type(argument).__name__}", argument)


for function in (Ref, GetAtt, Sub):
    Dumper.add_representer(function, _function)
