"""The options that commands share: AWS options, the stack and its settings."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial, wraps
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import click
from click.core import ParameterSource

from s3agg import settings
from s3agg.cli.stderr import fail
from s3agg.errors import AwsOptions, Interrupted, S3aggError, UsageProblem
from s3agg.resources.event_filter import EVENT_TYPES
from s3agg.settings import Names, Settings

if TYPE_CHECKING:
    from botocore.session import Session
    from click.types import OptionHelpExtra

    from s3agg.aws.clock import Clock
    from s3agg.aws.session import Aws
    from s3agg.render.page import Page
    from s3agg.render.screen import Screen

F = TypeVar("F", bound=Callable[..., Any])

STACK_VARIABLE = "S3AGG_STACK"
UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
DURATION = re.compile("([0-9]{1,9})([smhd])")
AS_DURATION = "in seconds or as 5m or 2h"  # in the help of an option of type Seconds
REPEATED = ("stack", "profile", "region", "endpoint_url")  # by advised commands
AWS_OPTIONS = (*REPEATED, "output", "verbose")


@dataclass(frozen=True)
class Seams:
    """Session, clock and workers, replaceable in tests."""

    session: Session | None = None
    clock: Clock = time
    workers: int | None = None  # concurrent AWS calls; 1 in tests with a fake clock


DEFAULT_SEAMS = Seams()


@dataclass(frozen=True)
class Invocation:
    """The AWS options of a command. `given` holds the names of all options on its command line."""

    profile: str | None
    region: str | None
    endpoint_url: str | None
    stack: str
    output: str
    verbose: bool
    given: frozenset[str] = frozenset()
    seams: Seams = DEFAULT_SEAMS
    pages: list[Page] = field(default_factory=list, compare=False)  # that the command has made

    @property
    def names(self) -> Names:
        return Names(self.stack)

    @property
    def aws_options(self) -> AwsOptions:
        """The AWS options of this command line, which the commands that messages advise repeat."""
        given = self.given
        if self.stack != settings.BLOG_STACK:  # perhaps by S3AGG_STACK
            given |= {"stack"}
        return {name.replace("_", "-"): getattr(self, name) for name in REPEATED if name in given}

    def check_region(self) -> None:
        """Raise UsageProblem for a region that does not exist. `aws` checks it too, at the first call."""
        if self.region:
            from botocore.loaders import create_loader

            from s3agg.aws.regions import check_region

            check_region(create_loader(os.environ.get("AWS_DATA_PATH")), self.region)

    def page(self) -> Page:
        from s3agg.render.page import Page

        self.pages.append(Page(as_json=self.output == "json", aws_options=self.aws_options))
        return self.pages[-1]

    def screen(self) -> Screen:
        from s3agg.render.screen import Screen

        screen = Screen(as_json=self.output == "json", aws_options=self.aws_options)
        self.pages.append(screen)
        return screen

    def aws(self, screen: Screen) -> Aws:
        from s3agg.aws.session import SIDE_BY_SIDE, Aws

        return Aws(
            profile=self.profile,
            region=self.region,
            endpoint_url=self.endpoint_url,
            session=self.seams.session,
            workers=self.seams.workers or SIDE_BY_SIDE,
            clock=self.seams.clock,
            trace=screen.trace if self.verbose else None,
            waiting=screen.waiting,
            warn=screen.warn,
        )

    def run(self, command: str, work: Callable[[], int]) -> int:
        """Run a command, print its error, and return the exit code.

        With --output json, a command that fails prints a document of its schema first: a program always gets
        one. Not after Ctrl-C.
        """
        try:
            return work()
        except S3aggError as error:
            if self.output == "json" and not isinstance(error, Interrupted):
                page = self.pages[-1] if self.pages else self.page()
                page.known.setdefault("stack", self.stack)
                page.failure(command, error.parts)
            return fail(error, self.aws_options)


class Range(click.IntRange):
    """A range of integers. Help and errors describe it in the same words."""

    @property
    def words(self) -> str:
        return f"{self.min} or more" if self.max is None else f"{self.min} to {self.max}"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            return super().convert(value, param, ctx)
        except click.BadParameter:
            return self.fail(f"{value} ({self.words})", param, ctx)


class Seconds(Range):
    """A range of seconds, which may be written in another unit: `90`, `90s`, `5m`, `2h` or `1d`."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        with_unit = DURATION.fullmatch(str(value))
        seconds = int(with_unit[1]) * UNITS_S[with_unit[2]] if with_unit else value
        try:
            return super().convert(seconds, param, ctx)
        except click.BadParameter:
            return self.fail(f"{value} ({self.words} seconds, or as 5m or 2h)", param, ctx)


class Option(click.Option):
    """An option whose help ends with its default and range, in one format for all options.

    `default_text` replaces the default value; `values` describes the range if the type has none.
    """

    def __init__(self, *args: Any, default_text: str = "", values: str = "", **attributes: Any) -> None:
        super().__init__(*args, **{"show_default": True, "show_envvar": True, **attributes})
        self.default_text = default_text
        self.values = values

    def get_help_extra(self, ctx: click.Context) -> OptionHelpExtra:
        extra = super().get_help_extra(ctx)
        if self.default_text or (self.is_bool_flag and not self.secondary_opts):
            extra["default"] = self.default_text or "off"
        if isinstance(self.type, Range):
            extra["range"] = self.type.words
        if self.values:
            extra["range"] = self.values
        return extra

    def process_value(self, ctx: click.Context, value: Any) -> Any:
        """Convert the value. If it is another option, this one lacks its value: click takes any word."""
        words = value if isinstance(value, (list, tuple)) else [value]
        flags = {flag for each in ctx.command.params for flag in (*each.opts, *each.secondary_opts)}
        if not flags.isdisjoint(word for word in words if isinstance(word, str)):
            raise click.BadOptionUsage(self.opts[0], f"Option '{self.opts[0]}' requires an argument.", ctx)
        return super().process_value(ctx, value)

    def get_error_hint(self, ctx: click.Context | None) -> str:
        """The option's name in an error, without click's quotes."""
        return super().get_error_hint(ctx).replace("'", "")


option = partial(click.option, cls=Option)


def usage_problem(error: click.UsageError) -> UsageProblem:
    """Turn an error of click into one of s3agg that names the command and its help."""
    command = error.ctx.command_path if error.ctx else "s3agg"
    message = " ".join(error.format_message().split())
    asking = re.fullmatch(r"(.*?)\.? \(?(Did you mean .*\?)\)?", message)
    problem, question = asking.groups() if asking else (message, "")
    see = "" if "--help" in problem and not question else f"See {command} --help"
    return UsageProblem(f"{command}: {problem}", f"{question} {see}".strip())


class Command(click.Command):
    """A command that names itself in each usage error: click does not if an option lacks its value.

    It refuses both names of an option such as `--on-demand/--provisioned`: click takes the last one.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the arguments. With --output json, an error prints a document too, as that of any failure."""
        given = list(args)  # click empties the list
        try:
            rest = super().parse_args(ctx, args)
            if not ctx.resilient_parsing:  # of a completion, which must not fail
                self._refuse_contradictions(ctx, given)
        except click.UsageError as error:
            error.ctx = error.ctx or ctx
            self._print_document(ctx, given, usage_problem(error))
            raise
        except S3aggError as error:
            self._print_document(ctx, given, error)
            raise
        return rest

    def _print_document(self, ctx: click.Context, args: Sequence[str], problem: S3aggError) -> None:
        """Print a document with the problem, if the options that can be parsed ask for JSON."""
        lenient = {"resilient_parsing": True, "ignore_unknown_options": True}
        options = self.make_context(ctx.info_name, list(args), ctx.parent, **lenient).params
        # An option without its value takes the next word as its value, also --output.
        asked = {value for word, value in pairwise(args) if word == "--output"}
        if options.get("output") == "json" or "json" in asked:
            from s3agg.render.page import Page

            page = Page(as_json=True)
            page.known["stack"] = options.get("stack") or settings.BLOG_STACK
            page.failure(str(self.name), problem.parts)

    def _refuse_contradictions(self, ctx: click.Context, args: Sequence[str]) -> None:
        # No option's value can be the name of an option: Option.process_value refuses it.
        for each in self.params:
            names = [name for name in (*each.opts, *each.secondary_opts) if name in args]
            if not set(names).isdisjoint(each.opts) and not set(names).isdisjoint(each.secondary_opts):
                both = " and ".join(names)
                raise click.UsageError(f"{both} exclude each other. Pass only one of them.", ctx)


command = partial(click.command, cls=Command)


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


def examples(*commands: str) -> str:
    """The examples below a command's help. The backspace keeps click from wrapping their lines."""
    return "\b\n" + "\n".join(["Examples:", *(f"  {command}" for command in commands)])


def setting(flag: str, help_text: str, **attributes: Any) -> Callable[[F], F]:
    """An option of `create` for a field of Settings, with that field's default in its help."""
    name = flag.lstrip("-").replace("-", "_")
    default = Settings.__dataclass_fields__[name].default or settings.NONE
    if name in settings.RANGES:
        kind = Seconds if name in settings.DURATIONS else Range
        attributes["type"] = kind(*settings.RANGES[name])
    elif name in settings.CHOICES:
        attributes["type"] = click.Choice(settings.CHOICES[name], case_sensitive=False)
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
        "Retention of the functions' log groups, in days",
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
        "Hours after which a window refreshes every file share of its bucket, touched or not. 0 is never",
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
