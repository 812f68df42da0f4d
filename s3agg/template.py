"""template: the stack of `create` as a CloudFormation template, from the same declarations.

CloudFormation sets a bucket's notifications only where it has made the bucket. So the template has all of the
stack but those, and `create --adopt --bucket` attaches the bucket: it makes the rule, and gives the policies
the tags that CloudFormation does not.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml
from botocore.loaders import create_loader

from s3agg import __version__, assets
from s3agg import stack as stacks
from s3agg.aws import Place
from s3agg.engine import Key
from s3agg.errors import UsageProblem
from s3agg.resources.iam import Policy
from s3agg.resources.resource import Resource
from s3agg.resources.s3 import KeyFilter
from s3agg.settings import (
    BUCKET_NAME,
    LOG_LEVELS,
    RANGES,
    Names,
    Settings,
    check_bucket_name,
    check_runtime,
)
from s3agg.stack import Stack

PLACE = Place("${AWS::Partition}", "${AWS::Region}", "${AWS::AccountId}")
BUCKET = "${Bucket}"
LOG_LEVEL = "${LogLevel}"
DIRECT_BYTES = 51_200  # a longer template goes to CloudFormation by way of a bucket

Properties = dict[str, Any]


@dataclass(frozen=True)
class Template:
    """A template; the zips that it names, by their keys in CodeBucket; the command that attaches Bucket."""

    text: str
    zips: Mapping[str, bytes]
    attach: str

    @property
    def is_long(self) -> bool:
        """Whether it can only go to CloudFormation by way of a bucket."""
        return len(self.text.encode()) > DIRECT_BYTES


class Number(int):
    """A number that is a parameter; what is added to it makes another one, as CloudFormation cannot add."""

    name: str

    @classmethod
    def called(cls, name: str, value: int) -> Number:
        made = cls(value)
        made.name = name
        return made

    def __str__(self) -> str:
        return f"${{{self.name}}}"

    def __add__(self, more: int) -> Number:
        return Number.called(f"{self.name}Plus{more}", int(self) + more)


# CloudFormation's functions, each with its argument.


class Ref(str):
    __slots__ = ()


class GetAtt(str):
    __slots__ = ()


class Sub(str):
    __slots__ = ()


def make(names: Names, options: Mapping[str, Any], bucket: str | None, *, inline: bool) -> Template:
    """The template of the stack `names`; `options` are those of `create`, by their Settings names.

    Bucket, window and log level are parameters, with what is asked for as their defaults. Asks AWS nothing.
    Raises UsageProblem for what cannot be asked for.
    """
    settings = Settings.declared({**options, "inline": inline or None}, {}).keeping_billing()
    settings.check_interval()
    check_runtime(settings.runtime, _runtimes())
    parameters = _parameters(settings, bucket and check_bucket_name(bucket))
    parametrised = replace(
        settings,
        window=Number.called("Window", settings.window),
        log_level=LOG_LEVEL,
        asked=settings.asked | {"window", "log_level"},
    )
    stack = stacks.make(PLACE, names, parametrised, {BUCKET: KeyFilter()})
    attach = f"s3agg create --adopt{names.option} --bucket "
    document = {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": "S3 event aggregator. CloudFormation cannot attach the bucket: see the output Attach."
        f" (s3agg {__version__})",
        "Parameters": {**parameters, **_sums(stack)},
        "Resources": _resources(stack),
        "Outputs": {"Attach": {"Value": Sub(f"{attach}{BUCKET} --region {PLACE.region}")}},
    }
    return Template(
        yaml.dump(document, Dumper=Dumper, sort_keys=False, width=1000),
        {} if inline else {each.asset: each.code for each in (stack.aggregator, stack.refresher)},
        attach + (bucket or "BUCKET"),
    )


def write(zips: Mapping[str, bytes], folder: Path) -> None:
    """Put the zips of a template into a folder; raise UsageProblem if that cannot be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in zips.items():
            (folder / name).write_bytes(content)
    except OSError as error:
        raise UsageProblem(
            f"{folder} cannot be written to: {error.strerror}", "Name another folder"
        ) from error


def _runtimes() -> list[str]:
    """As `Aws.runtimes`, without a session: nothing of the user's configuration matters here."""
    shapes = create_loader().load_service_model("lambda", "service-2")["shapes"]
    return [name for name in shapes["Runtime"]["enum"] if assets.runs_handlers(name)]


def _parameters(settings: Settings, bucket: str | None) -> dict[str, Properties]:
    shortest, longest = RANGES["window"]
    parameters: dict[str, Properties] = {
        "Bucket": {
            "Type": "String",
            "Description": "Whose events are aggregated",
            "AllowedPattern": BUCKET_NAME,
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
            "Description": "What the functions log",
            "AllowedValues": list(LOG_LEVELS),
            "Default": settings.log_level,
        },
    }
    if not settings.inline:
        parameters["CodeBucket"] = {
            "Type": "String",
            "Description": "The bucket, of the same region, that holds the functions' zips",
            "AllowedPattern": BUCKET_NAME,
        }
    return parameters


def _sums(stack: Stack) -> dict[str, Properties]:
    """The parameters that are sums with the window."""
    return {
        leaf.name: {
            "Type": "Number",
            "Description": f"{leaf.name.replace('Plus', ' plus ')}: CloudFormation cannot add",
            "Default": int(leaf),
        }
        for resource in _wanted(stack)
        for leaf in _leaves(resource.cloudformation)
        if isinstance(leaf, Number) and leaf.name != "Window"
    }


def _resources(stack: Stack) -> dict[str, Properties]:
    """What CloudFormation makes, by logical ids."""
    ids = {each.key: _logical_ids(stack, each) for each in _wanted(stack)}
    # The first that has an ARN is what it is of: a permission has its function's.
    arns = {each.arn: _arn(each, ids[each.key][0]) for each in reversed(_wanted(stack))}
    made: dict[str, Properties] = {}
    for resource in _wanted(stack):
        needs = [ids[each.key][0] for each in resource.needs]
        for logical_id, kind in zip(ids[resource.key], resource.cloudformation, strict=True):
            properties = _written(resource.cloudformation[kind], ids, arns)
            referred = {
                leaf.partition(".")[0] for leaf in _leaves(properties) if isinstance(leaf, Ref | GetAtt)
            }
            after = [each for each in needs if each not in referred]
            made[logical_id] = {
                "Type": kind,
                **({"DependsOn": after} if after else {}),
                "Properties": properties,
            }
            needs = []  # what else it is made of refers to the first
    return made


def _wanted(stack: Stack) -> list[Resource]:
    """What is in the template."""
    return [each for each in stack.resources if each.wanted and each.cloudformation]


def _logical_ids(stack: Stack, resource: Resource) -> list[str]:
    """What the template calls what a resource is made of: its own name, and what it is."""
    name = resource.name.rpartition("/")[2].removeprefix(stack.names.stack)
    _, *more = resource.cloudformation
    whats = [resource.kind.title().replace(" ", ""), *(kind.rpartition(":")[2] for kind in more)]
    return [re.sub(r"[\W_]", "", name.removesuffix(what) + what) for what in whats]


def _arn(resource: Resource, logical_id: str) -> Ref | GetAtt:
    return Ref(logical_id) if isinstance(resource, Policy) else GetAtt(f"{logical_id}.Arn")


def _written(value: Any, ids: Mapping[Key, list[str]], arns: Mapping[str, Ref | GetAtt]) -> Any:
    """A value as the template says it."""
    if isinstance(value, Mapping):
        return {key: _written(each, ids, arns) for key, each in value.items()}
    if isinstance(value, list):
        return [_written(each, ids, arns) for each in value]
    if isinstance(value, Resource):
        return Ref(ids[value.key][0])
    if isinstance(value, Number):
        return Ref(value.name)
    if not isinstance(value, str) or "${" not in value or "\n" in value:  # code stays as it is
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
    """Writes code as it reads, and CloudFormation's functions in their short form."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002  # CloudFormation takes none
        return True

    def choose_scalar_style(self) -> str:
        """Without quotes around what a function is given: there is nothing in it to be quoted for."""
        is_argument = getattr(self.event, "tag", "").startswith("!")
        return "" if is_argument else super().choose_scalar_style()


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


def _function(dumper: yaml.SafeDumper, argument: str) -> yaml.ScalarNode:
    return dumper.represent_scalar(f"!{type(argument).__name__}", argument)


Dumper.add_representer(str, _text)
for function in (Ref, GetAtt, Sub):
    Dumper.add_representer(function, _function)
