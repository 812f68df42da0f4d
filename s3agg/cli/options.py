"""The options that commands share: AWS options, the stack and its settings."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from functools import partial, wraps
from typing import Any, Literal, TypeVar

import click
from click.core import ParameterSource

from s3agg import settings
from s3agg.cli.invocation import AWS_OPTIONS, Invocation
from s3agg.cli.option_types import AS_DURATION, Days, Hours, Range, Seconds, option
from s3agg.errors import UsageProblem
from s3agg.resources.event_filter import EVENT_TYPES
from s3agg.settings import Settings

F = TypeVar("F", bound=Callable[..., Any])

STACK_VARIABLE = "S3AGG_STACK"


def completing(
    what: Literal["attached", "buckets", "profiles", "regions", "stacks"],
) -> Callable[[click.Context, click.Parameter, str], list[str]]:
    """Complete the option's value with names from AWS or the configuration, or with nothing if that fails."""

    def complete(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
        from s3agg.cli import completion

        return completion.names(
            what,
            incomplete,
            profile=ctx.params.get("profile"),
            region=ctx.params.get("region"),
            endpoint_url=ctx.params.get("endpoint_url"),
            stack=ctx.params.get("stack"),
            session=ctx.obj.session,
        )

    return complete


bucket_option = partial(option, metavar="BUCKET", shell_complete=completing("buckets"))
attached_bucket_option = partial(option, metavar="BUCKET", shell_complete=completing("attached"))


profile_option = option(
    "--profile",
    metavar="NAME",
    shell_complete=completing("profiles"),
    help="Profile in the AWS configuration.",
    default_text="AWS_PROFILE, or default",
)
region_option = option(
    "--region",
    metavar="NAME",
    shell_complete=completing("regions"),
    envvar=["AWS_REGION", "AWS_DEFAULT_REGION"],
    show_envvar=False,
    help="AWS region.",
    default_text="AWS_REGION, AWS_DEFAULT_REGION or the profile's",
)
endpoint_option = option(
    "--endpoint-url",
    metavar="URL",
    help="Endpoint URL for all services.",
    default_text="AWS_ENDPOINT_URL, or AWS's own",
)


def refuse_empty_stack(ctx: click.Context, param: click.Parameter, value: str) -> str:
    """Raise UsageProblem for an empty S3AGG_STACK. Click takes it for unset: the default stack."""
    given = ctx.get_parameter_source(str(param.name)) is ParameterSource.COMMANDLINE
    if not given and os.environ.get(STACK_VARIABLE) == "":
        raise UsageProblem(f"{STACK_VARIABLE} is empty", "Unset it, or pass --stack")
    return value


stack_option = option(
    "--stack",
    metavar="NAME",
    envvar=STACK_VARIABLE,
    callback=refuse_empty_stack,
    shell_complete=completing("stacks"),
    default=settings.BLOG_STACK,
    help="Name of the stack. An account can have several stacks.",
    values="3 to 43 letters, digits, - and _",
)
output_option = option(
    "--output",
    envvar="S3AGG_OUTPUT",
    type=click.Choice(["table", "json"]),
    default="table",
    help="Output format: tables, or one JSON document on stdout.",
)
verbose_option = option(
    "-v", "--verbose", is_flag=True, help="Print each AWS call to stderr: operation, duration, request id."
)


def aws_options(command: F) -> F:
    """Decorate a command with the AWS options. The command receives them as `invocation`."""
    return _with_invocation(
        command,
        (profile_option, region_option, endpoint_option, stack_option, output_option, verbose_option),
    )


def account_options(command: F) -> F:
    """Decorate a command for all stacks of the account: with the AWS options, but without --stack."""
    return _with_invocation(
        command, (profile_option, region_option, endpoint_option, output_option, verbose_option)
    )


def _with_invocation(command: F, shared: Sequence[Callable[[Any], Any]]) -> F:
    @click.pass_context
    @wraps(command)
    def with_invocation(context: click.Context, /, **options: Any) -> Any:
        given = [
            name for name in options if context.get_parameter_source(name) is ParameterSource.COMMANDLINE
        ]
        aws = {name: options.pop(name) for name in AWS_OPTIONS if name in options}
        aws.setdefault("stack", settings.BLOG_STACK)
        invocation = Invocation(**aws, given=frozenset(given), seams=context.obj)
        work = partial(command, invocation=invocation, **options)
        return invocation.run(str(context.command.name), work)

    for each in reversed(shared):
        with_invocation = each(with_invocation)
    return with_invocation  # type: ignore[return-value]  # click's decorators keep the callable


def setting(flag: str, help_text: str, **attributes: Any) -> Callable[[F], F]:
    """An option of `create` for a field of Settings, with that field's default in its help."""
    name = flag.lstrip("-").replace("-", "_")
    default = Settings.__dataclass_fields__[name].default or settings.NONE
    if name in settings.RANGES:
        kind = {"s": Seconds, "h": Hours}.get(settings.DURATIONS.get(name, ""), Range)
        attributes["type"] = kind(*settings.RANGES[name])
    elif name in settings.CHOICES:
        of_kind = Days if name in settings.DURATIONS else click.Choice
        attributes["type"] = of_kind(settings.CHOICES[name], case_sensitive=False)
        if "metavar" in attributes:  # click then does not list the choices
            attributes["values"] = ", ".join(map(str, settings.CHOICES[name]))
    return option(flag, default=None, help=f"{help_text}.", default_text=str(default), **attributes)


def key_value(_: click.Context, __: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    """Parse the values of --tag."""
    tags: dict[str, str] = {}
    for value in values:
        key, equals, rest = value.partition("=")
        if not key or not equals:
            raise click.BadParameter(f"expected KEY=VALUE, found {value!r}.")
        if tags.get(key, rest) != rest:
            raise click.BadParameter(f"two values for the key {key!r}.")
        tags[key] = rest
    return tags


def event_types(_: click.Context, __: click.Parameter, value: str | None) -> tuple[str, ...] | None:
    """Parse the value of --events."""
    if value is None:
        return None
    names = tuple(each.strip() for each in value.split(","))
    if unknown := [each for each in names if each not in EVENT_TYPES]:
        known = ", ".join(EVENT_TYPES)
        raise click.BadParameter(
            f"{', '.join(map(repr, unknown))} (one or more of {known}, separated by commas)."
        )
    return names


def arn_or_none(
    service: Literal["iam", "sns"],
) -> Callable[[click.Context, click.Parameter, str | None], str | None]:
    """Check that a value is an ARN of a policy or topic, or `none` to remove the stored setting."""
    kind = {"iam": "an IAM policy", "sns": "an SNS topic"}[service]

    def check(_: click.Context, __: click.Parameter, value: str | None) -> str | None:
        if value in {None, settings.NONE} or re.fullmatch(settings.ARNS[service], value or "", re.ASCII):
            return value
        raise click.BadParameter(f"expected the ARN of {kind} or {settings.NONE}, found {value!r}.")

    return check


def with_options(options: Sequence[Callable[[F], F]]) -> Callable[[F], F]:
    """Decorate a command with several options."""

    def decorate(command: F) -> F:
        for each in reversed(options):
            command = each(command)
        return command

    return decorate


# The settings that determine the cost of a month.
COST_OPTIONS = (
    setting(
        "--log-retention",
        "Retention of the functions' log groups, in days (30 or 30d)",
        metavar="DAYS",
    ),
    setting("--read-capacity", "Read capacity units of the table, with --provisioned", metavar="UNITS"),
    setting("--write-capacity", "Write capacity units of the table, with --provisioned", metavar="UNITS"),
    option(
        "--on-demand/--provisioned",
        default=None,
        help="Capacity mode of the table: on demand, or provisioned.",
        default_text="on demand",
    ),
    setting("--memory", "Memory of each function, in MB", metavar="MB"),
    setting(
        "--architecture",
        "Architecture of the functions. arm64 costs 20% less",
    ),
    setting(
        "--alarm-topic",
        "SNS topic for alarms about dead letters, messages that nobody receives and file shares that wait",
        values="an ARN or none",
        metavar="ARN",
        callback=arn_or_none("sns"),
    ),
)
# All settings of a stack.
SETTINGS_OPTIONS = (
    setting(
        "--window",
        f"Time from a bucket's first event to its refresh, {AS_DURATION}",
        metavar="DURATION",
    ),
    setting(
        "--min-interval",
        f"Minimum time between two refreshes of a file share, {AS_DURATION}."
        " Less than 60 only with s3agg local",
        metavar="DURATION",
    ),
    setting(
        "--full-every",
        "Hours (24, 24h or 1d) after which a window refreshes every file share of its bucket, touched or not."
        " 0 is never",
        metavar="HOURS",
    ),
    setting("--log-level", "Log level of the functions"),
    *COST_OPTIONS,
    setting(
        "--concurrency",
        "Reserved concurrency of the aggregator function",
        metavar="NUMBER",
    ),
    setting("--runtime", "Python runtime of the functions", metavar="NAME", values="python3.10 or newer"),
    option(
        "--include-gateway-writes/--ignore-gateway-writes",
        default=None,
        help="Whether objects that a Storage Gateway writes cause a refresh.",
        default_text="ignore",
    ),
    option(
        "--tag",
        "tags",
        multiple=True,
        metavar="K=V",
        callback=key_value,
        help="Tag for every resource. Repeatable.",
        default_text="none",
    ),
    setting(
        "--permissions-boundary",
        "Permissions boundary of both roles",
        values="an ARN or none",
        metavar="ARN",
        callback=arn_or_none("iam"),
    ),
)
