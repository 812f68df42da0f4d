"""The options that commands share, and what they name: which AWS, which stack, which settings."""

from __future__ import annotations

import re
import shlex
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial, wraps
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import click
from click.core import ParameterSource

from s3agg import settings
from s3agg.errors import S3aggError
from s3agg.settings import Names, Settings

if TYPE_CHECKING:
    from botocore.session import Session
    from click.types import OptionHelpExtra

    from s3agg.aws.clock import Clock
    from s3agg.aws.session import Aws
    from s3agg.render.page import Page
    from s3agg.render.screen import Screen

F = TypeVar("F", bound=Callable[..., Any])

AWS_OPTIONS = ("profile", "region", "endpoint_url", "stack", "output", "verbose")


@dataclass(frozen=True)
class Seams:
    """Session, clock and workers, replaceable in tests."""

    session: Session | None = None
    clock: Clock = time
    workers: int | None = None  # how many calls go side by side; one, where a clock is not to be shared


AS_USUAL = Seams()


@dataclass(frozen=True)
class Invocation:
    """The AWS options of a command; `given` are the names of those that its command line has."""

    profile: str | None
    region: str | None
    endpoint_url: str | None
    stack: str
    output: str
    verbose: bool
    given: frozenset[str] = frozenset()
    seams: Seams = AS_USUAL

    @property
    def names(self) -> Names:
        return Names(self.stack)

    @property
    def option(self) -> str:
        """How another command has to name this stack, and where it is: as it was given here."""
        given = [name for name in ("profile", "region", "endpoint_url") if name in self.given]
        options = [f" --{name.replace('_', '-')} {shlex.quote(getattr(self, name))}" for name in given]
        named = self.names.option
        if not named and "stack" in self.given:  # S3AGG_STACK may say otherwise
            named = f" --stack {self.stack}"
        return named + "".join(options)

    def page(self) -> Page:
        from s3agg.render.page import Page

        return Page(as_json=self.output == "json")

    def screen(self) -> Screen:
        from s3agg.render.screen import Screen

        return Screen(as_json=self.output == "json", option=self.option)

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


class Option(click.Option):
    """An option whose help ends with its default and its range, in the same words for all.

    `default_text` is the default in words; `values` is the range of an option that has none of its own.
    """

    def __init__(self, *args: Any, default_text: str = "", values: str = "", **how: Any) -> None:
        super().__init__(*args, **{"show_default": True, "show_envvar": True, **how})
        self.default_text = default_text
        self.values = values

    def get_help_extra(self, ctx: click.Context) -> OptionHelpExtra:
        extra = super().get_help_extra(ctx)
        if self.default_text or (self.is_bool_flag and not self.secondary_opts):
            extra["default"] = self.default_text or "off"
        if isinstance(self.type, click.IntRange):
            low, high = self.type.min, self.type.max
            extra["range"] = f"{low} or more" if high is None else f"{low} to {high}"
        if self.values:
            extra["range"] = self.values
        return extra


option = partial(click.option, cls=Option)


def completing(
    what: Literal["buckets", "stacks"],
) -> Callable[[click.Context, click.Parameter, str], list[str]]:
    """Have the shell ask AWS for the names; where that fails there are none."""

    def complete(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
        from s3agg.cli import completion

        where = {name: ctx.params.get(name) for name in ("profile", "region", "endpoint_url")}
        return completion.names(what, incomplete, **where, session=ctx.obj.session)

    return complete


bucket_option = partial(option, metavar="BUCKET", shell_complete=completing("buckets"))


profile_option = option(
    "--profile",
    metavar="NAME",
    help="Profile of the AWS configuration.",
    default_text="AWS_PROFILE, or default",
)
region_option = option(
    "--region",
    metavar="NAME",
    envvar=["AWS_REGION", "AWS_DEFAULT_REGION"],
    show_envvar=False,
    help="AWS region.",
    default_text="AWS_REGION, AWS_DEFAULT_REGION or the profile's",
)
endpoint_option = option(
    "--endpoint-url",
    metavar="URL",
    help="Where AWS is, for every service.",
    default_text="AWS_ENDPOINT_URL, or AWS",
)
stack_option = option(
    "--stack",
    metavar="NAME",
    envvar="S3AGG_STACK",
    shell_complete=completing("stacks"),
    default=settings.BLOG_STACK,
    help="Name of the stack; several live side by side in one account.",
    values="3 to 43 letters, digits, - and _",
)
output_option = option(
    "--output",
    envvar="S3AGG_OUTPUT",
    type=click.Choice(["table", "json"]),
    default="table",
    help="Tables, or one JSON document on stdout.",
)
verbose_option = option(
    "-v", "--verbose", is_flag=True, help="Show each AWS call on stderr: what, how long, request id."
)


def aws_options(command: F) -> F:
    """Give a command the AWS options, as one `invocation`."""

    @click.pass_context
    @wraps(command)
    def with_invocation(context: click.Context, /, **options: Any) -> Any:
        given = [
            name for name in options if context.get_parameter_source(name) is ParameterSource.COMMANDLINE
        ]
        aws = {name: options.pop(name) for name in AWS_OPTIONS}
        invocation = Invocation(**aws, given=frozenset(given), seams=context.obj)
        try:
            return command(invocation=invocation, **options)
        except S3aggError as error:
            error.option = invocation.option
            raise

    for each in reversed(
        (profile_option, region_option, endpoint_option, stack_option, output_option, verbose_option)
    ):
        with_invocation = each(with_invocation)
    return with_invocation  # type: ignore[return-value]  # click's decorators keep the callable


def examples(*commands: str) -> str:
    """The end of a command's help; click leaves lines after a backspace as they are."""
    return "\b\n" + "\n".join(["Examples:", *(f"  {command}" for command in commands)])


def setting(flag: str, help_text: str, **how: Any) -> Callable[[F], F]:
    """An option of `create` that is one of the Settings, whose default it tells."""
    name = flag.lstrip("-").replace("-", "_")
    default = Settings.__dataclass_fields__[name].default or settings.NONE
    if name in settings.RANGES:
        how["type"] = click.IntRange(*settings.RANGES[name])
    elif name in settings.CHOICES:
        how["type"] = click.Choice(settings.CHOICES[name], case_sensitive=False)
        if "metavar" in how:  # which hides them
            how["values"] = ", ".join(map(str, settings.CHOICES[name]))
    return option(flag, default=None, help=f"{help_text}.", default_text=str(default), **how)


def key_value(_: click.Context, __: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    """Read the K=V of --tag."""
    tags = {}
    for value in values:
        key, equals, rest = value.partition("=")
        if not key or not equals:
            raise click.BadParameter(f"{value!r} is not of the form KEY=VALUE.")
        tags[key] = rest
    return tags


def none_or(prefix: str) -> Callable[[click.Context, click.Parameter, str | None], str | None]:
    """Let an option be an ARN of that service, or `none` to take it back."""

    def check(_: click.Context, __: click.Parameter, value: str | None) -> str | None:
        if value in {None, settings.NONE} or re.fullmatch(rf"arn:[^:]+:{prefix}:[^:]*:[^:]*:.+", value or ""):
            return value
        raise click.BadParameter(f"{value!r} is neither an ARN of {prefix} nor {settings.NONE}.")

    return check


def all_of(options: Sequence[Callable[[F], F]]) -> Callable[[F], F]:
    """Give a command several options at once."""

    def give(command: F) -> F:
        for each in reversed(options):
            command = each(command)
        return command

    return give


# Those of create that are Settings; and of them, those that a month's cost depends on.
PAID_FOR = (
    setting(
        "--log-retention",
        "Days that the functions' logs are kept",
        metavar="DAYS",
    ),
    setting("--read-capacity", "The table's read units per second, with --provisioned", metavar="UNITS"),
    setting("--write-capacity", "The table's write units per second, with --provisioned", metavar="UNITS"),
    option(
        "--on-demand/--provisioned",
        default=None,
        help="Pay for each request to the table, or for its capacity.",
        default_text="on demand",
    ),
    setting("--memory", "Memory of each function, in MB", metavar="MB"),
    setting(
        "--architecture",
        "Processor of the functions; arm64 costs a fifth less",
    ),
    setting(
        "--alarm-topic",
        "SNS topic to tell of dead letters and of a message that waits too long",
        values="its ARN, or none",
        metavar="ARN",
        callback=none_or("sns"),
    ),
)
SETTINGS_OPTIONS = (
    setting(
        "--window",
        "Seconds from a bucket's first event to its refresh",
        metavar="SECONDS",
    ),
    setting(
        "--min-interval",
        "Seconds between two refreshes of a share; less than 60 only on this machine",
        metavar="SECONDS",
    ),
    setting("--log-level", "What the functions log"),
    *PAID_FOR,
    setting(
        "--concurrency",
        "Executions reserved for the aggregator function",
        metavar="NUMBER",
    ),
    setting("--runtime", "Python runtime of the functions", metavar="NAME", values="python3.10 or newer"),
    option(
        "--include-gateway-writes/--ignore-gateway-writes",
        default=None,
        help="Whether what a Storage Gateway itself writes causes a refresh.",
        default_text="ignore",
    ),
    option(
        "--tag",
        "tags",
        multiple=True,
        metavar="K=V",
        callback=key_value,
        help="Tag for every resource; repeatable.",
        default_text="none",
    ),
    setting(
        "--permissions-boundary",
        "Policy that bounds both roles",
        values="its ARN, or none",
        metavar="ARN",
        callback=none_or("iam"),
    ),
)
