"""The commands: options in, one call, result out.

boto3 and rich are imported by the commands that need them: `--help` must not wait for them.
"""

from __future__ import annotations

import io
import os
import re
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from functools import partial, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NoReturn, TypeVar

import click
from click.core import ParameterSource
from click.exceptions import NoArgsIsHelpError
from click.shell_completion import get_completion_class

from s3agg import __version__, settings
from s3agg.errors import Interrupted, S3aggError, UsageProblem, printable
from s3agg.settings import Names, Settings

if TYPE_CHECKING:
    from botocore.session import Session

    from s3agg.aws import Aws, Clock
    from s3agg.render.page import Page
    from s3agg.render.screen import Screen

F = TypeVar("F", bound=Callable[..., Any])

NOT_AS_DECLARED = 3  # exit code (DESIGN 3)
MOST_PER_DAY = 1_000_000_000


@dataclass(frozen=True)
class Behind:
    """What is behind the commands, if not the AWS of the options and the environment, and time itself."""

    session: Session | None = None
    clock: Clock = time
    workers: int | None = None  # how many calls go side by side; one, where a clock is not to be shared


AS_USUAL = Behind()


def main(args: Sequence[str] | None = None, behind: Behind = AS_USUAL) -> NoReturn:
    """Run the command line; one line on stderr for each thing that fails (DESIGN 3 has the exit codes)."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # what its encoding cannot say is escaped, not fatal
            stream.reconfigure(errors="backslashreplace")
    try:
        code = cli.main(args, prog_name="s3agg", standalone_mode=False, obj=behind)
    except NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        sys.exit(2)
    except click.UsageError as error:
        command = error.ctx.command_path if error.ctx else "s3agg"
        fail(2, f"{command}: {error.format_message().rstrip('.')}. See {command} --help.")
    except click.Abort:
        fail(1, "Nothing was changed." if sys.stdin.isatty() else "Nothing was changed: say --yes, or yes.")
    except click.ClickException as error:
        fail(error.exit_code, error.format_message())
    except S3aggError as error:
        fail(error.exit_code, *error.lines)
    except BrokenPipeError:
        # Whoever read our output has gone; so that Python does not complain about that at exit:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    sys.exit(code or 0)


def fail(code: int, *lines: str) -> NoReturn:
    for line in lines:
        click.echo(printable(line), err=True)
    sys.exit(code)


@dataclass(frozen=True)
class Where:
    """The AWS options of a command."""

    profile: str | None
    region: str | None
    endpoint_url: str | None
    stack: str
    output: str
    verbose: bool

    @property
    def names(self) -> Names:
        return Names(self.stack)

    @property
    def again(self) -> str:
        """The options that were given, as they would have to be given again."""
        context = click.get_current_context()
        names = [
            name
            for name in ("profile", "region", "endpoint_url", "stack")
            if context.get_parameter_source(name) is ParameterSource.COMMANDLINE
        ]
        return "".join(f" --{name.replace('_', '-')} {getattr(self, name)}" for name in names)

    def page(self) -> Page:
        from s3agg.render.page import Page

        return Page(as_json=self.output == "json")

    def screen(self) -> Screen:
        from s3agg.render.screen import Screen

        return Screen(as_json=self.output == "json")

    def aws(self, screen: Screen) -> Aws:
        from s3agg.aws import SIDE_BY_SIDE, Aws

        behind: Behind = click.get_current_context().obj
        return Aws(
            profile=self.profile,
            region=self.region,
            endpoint_url=self.endpoint_url,
            session=behind.session,
            workers=behind.workers or SIDE_BY_SIDE,
            clock=behind.clock,
            trace=screen.trace if self.verbose else None,
            waiting=screen.waiting,
            warn=screen.warn,
        )


def completing(
    what: Literal["buckets", "stacks"],
) -> Callable[[click.Context, click.Parameter, str], list[str]]:
    """Have the shell ask AWS for the names; where that fails there are none."""

    def complete(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
        from s3agg import completion
        from s3agg.aws import Aws

        profile, region, url = (ctx.params.get(name) for name in ("profile", "region", "endpoint_url"))
        with suppress(S3aggError):
            aws = Aws(profile=profile, region=region, endpoint_url=url)
            names = completion.buckets(aws) if what == "buckets" else completion.stacks(aws)
            return [name for name in names if name.startswith(incomplete)]
        return []

    return complete


bucket_option = partial(click.option, shell_complete=completing("buckets"))


def aws_options(command: F) -> F:
    """Give a command the AWS options, as one `where`."""

    @wraps(command)
    def with_where(**options: Any) -> Any:
        given = {name: options.pop(name) for name in Where.__dataclass_fields__}
        return command(where=Where(**given), **options)

    for option in reversed(
        [
            click.option("--profile", help="Profile of the AWS configuration; else AWS_PROFILE."),
            click.option(
                "--region",
                envvar=["AWS_REGION", "AWS_DEFAULT_REGION"],
                help="AWS region; else AWS_REGION, AWS_DEFAULT_REGION or the profile's.",
            ),
            click.option("--endpoint-url", help="Where AWS is, if not at AWS; else AWS_ENDPOINT_URL."),
            stack_option,
            output_option,
            verbose_option,
        ]
    ):
        with_where = option(with_where)
    return with_where  # type: ignore[return-value]  # click's decorators keep the callable


stack_option = click.option(
    "--stack",
    envvar="S3AGG_STACK",
    shell_complete=completing("stacks"),
    default=settings.BLOG_STACK,
    show_default=True,
    help="Name of the stack; several live side by side in one account. [env: S3AGG_STACK]",
)
output_option = click.option(
    "--output",
    envvar="S3AGG_OUTPUT",
    type=click.Choice(["table", "json"]),
    default="table",
    show_default=True,
    help="Tables, or one JSON document on stdout. [env: S3AGG_OUTPUT]",
)
verbose_option = click.option(
    "-v", "--verbose", is_flag=True, help="Show each AWS call on stderr: what, how long, request id."
)


class Commands(click.Group):
    """The group of commands; click itself would make of Ctrl-C what it makes of a "no"."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise Interrupted from None


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
    return click.option(flag, default=None, help=f"{help_text}. [default: {default}]", **how)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__)
def cli() -> None:
    """Thousands of S3 uploads, one Storage Gateway refresh.

    Provisions, tests, watches and removes an S3 event aggregator: a window opens at a bucket's first
    object event, further events are skipped while it is open, and one RefreshCache of every file share
    of the bucket runs when it closes.

    Start with: s3agg demo   (everything on this machine, no AWS account needed)
    """


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
        for option in reversed(options):
            command = option(command)
        return command

    return give


# Those of create that are Settings; and of them, those that a month's cost depends on.
PAID_FOR = (
    setting(
        "--log-retention",
        "Days that the functions' logs are kept: 1, 3, 5, 7, 14, 30, 60, 90 and more",
        metavar="DAYS",
    ),
    setting("--read-capacity", "The table's read units per second", metavar="UNITS"),
    setting("--write-capacity", "The table's write units per second", metavar="UNITS"),
    click.option(
        "--on-demand/--provisioned",
        default=None,
        help="Pay for each request to the table, or for its capacity. [default: provisioned]",
    ),
    setting("--memory", "Memory of each function", metavar="MB"),
    setting(
        "--architecture",
        "Processor of the functions; arm64 costs a fifth less",
    ),
    setting(
        "--alarm-topic",
        "SNS topic to tell of dead letters and of a message that waits too long, or none",
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
    setting("--runtime", "Python runtime of the functions", metavar="NAME"),
    click.option(
        "--include-gateway-writes/--ignore-gateway-writes",
        default=None,
        help="Whether what a Storage Gateway itself writes causes a refresh. [default: ignore]",
    ),
    click.option(
        "--tag",
        "tags",
        multiple=True,
        metavar="K=V",
        callback=key_value,
        help="Tag for every resource; repeatable.",
    ),
    setting(
        "--permissions-boundary",
        "Policy that bounds both roles, or none",
        metavar="ARN",
        callback=none_or("iam"),
    ),
)


@cli.command(
    epilog=examples("s3agg create --bucket my-uploads", "s3agg create --window 300 --tag team=storage")
)
@bucket_option(
    "--bucket", "buckets", multiple=True, help="Bucket to attach; repeatable, adds to those attached."
)
@click.option("--prefix", help="Only keys that begin so, for the buckets named now; '' for all.")
@click.option("--suffix", help="Only keys that end so, for the buckets named now; '' for all.")
@all_of(SETTINGS_OPTIONS)
@click.option(
    "--adopt",
    is_flag=True,
    help="Take over what has the stack's names but no tags of s3agg, as the blog's scripts made it.",
)
@click.option("--dry-run", is_flag=True, help="Show what would be done, and exit 3 if that is anything.")
@aws_options
def create(
    where: Where,
    buckets: tuple[str, ...],
    prefix: str | None,
    suffix: str | None,
    adopt: bool,
    dry_run: bool,
    **options: Any,
) -> int:
    """Bring the stack to what is asked: make, update, keep.

    An option that is not given keeps what was asked for before; of a stack that is taken over with --adopt,
    what is deployed.
    """
    from s3agg import deployment, preflight

    screen = where.screen()
    aws = where.aws(screen)
    request = deployment.Request(buckets, prefix, suffix, options, adopt)
    checked = preflight.check(aws, where.names, request)
    plan = checked.plan
    if dry_run:
        screen.plan(checked.deployment, plan, done=False)
    deployed = checked.passed()
    if dry_run:
        return NOT_AS_DECLARED if plan.to_do else 0
    screen.watch(deployment.bring(aws, deployed, plan))
    screen.plan(deployed, plan, done=True)
    bucket = (*buckets, deployed.stack.notifications[0].bucket)[0]
    screen.say(f"Next: s3agg test-upload --bucket {bucket}{where.again}")
    return 0


def ask(question: str) -> None:
    """Go on only after a yes."""
    if sys.stdin is None or sys.stdin.closed:
        raise UsageProblem("There is nobody to ask", "Say --yes")
    try:
        click.confirm(question, abort=True, err=True)
    except click.Abort as no:
        click.echo(err=True)
        if isinstance(no.__context__, KeyboardInterrupt):
            raise Interrupted from None
        raise


@cli.command(epilog=examples("s3agg delete", "s3agg delete --bucket my-uploads --yes"))
@bucket_option("--bucket", "buckets", multiple=True, help="Detach only this bucket; repeatable.")
@click.option("--keep-logs", is_flag=True, help="Keep the functions' log groups.")
@click.option(
    "--adopt",
    is_flag=True,
    help="Remove what has the stack's names but no tags of s3agg too, as the blog's scripts made it.",
)
@click.option("--dry-run", is_flag=True, help="Show what would be removed.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@aws_options
def delete(
    where: Where, buckets: tuple[str, ...], keep_logs: bool, adopt: bool, dry_run: bool, yes: bool
) -> int:
    """Remove the whole stack, or detach a bucket from it.

    Of a bucket's notifications only the stack's own rule is touched. Objects are never touched. What is gone
    already is no error.
    """
    from s3agg import deployment, engine

    screen = where.screen()
    aws = where.aws(screen)
    if buckets:
        deployed, plan = deployment.for_detach(aws, where.names, buckets, adopt=adopt)
    else:
        deployed, plan = deployment.for_delete(aws, where.names, keep_logs=keep_logs, adopt=adopt)
    if plan.foreign and not dry_run:
        raise engine.foreign(plan)
    if dry_run:
        screen.plan(deployed, plan, done=False)
        return 0
    if plan.to_do and not yes:
        screen.ask_about(deployed, plan)
        ask("Remove all this?")
    if buckets:
        screen.watch(deployment.detach(aws, deployed, buckets, plan))
    else:
        screen.watch(engine.apply(aws, plan, keep_going=True))
    screen.plan(deployed, plan, done=True)
    return 0


@cli.command(epilog=examples("s3agg status", "s3agg status --output json"))
@click.option("--watch", is_flag=True, help="Redraw it every 2 seconds, until Ctrl-C.")
@aws_options
def status(where: Where, watch: bool) -> int:
    """Show every resource, window, queue and function; exit 3 if anything is not as declared."""
    from s3agg import status as statuses

    screen = where.screen()
    aws = where.aws(screen)
    if not watch:
        read = statuses.read(aws, where.names)
        screen.status(read)
        return 0 if read.as_declared else NOT_AS_DECLARED
    if where.output == "json" or not screen.out.is_terminal:
        raise UsageProblem("--watch redraws a terminal, which this is not", "Leave it away")
    with suppress(KeyboardInterrupt):
        screen.watch_status(statuses.watch(aws, where.names))
    return 0


@cli.command(
    epilog=examples(
        "s3agg test-upload --bucket my-uploads", "s3agg test-upload --bucket my-uploads --count 50 --keep"
    )
)
@bucket_option("--bucket", help="Bucket to upload to; needed if several are attached.")
@click.option(
    "--count", type=click.IntRange(1, 10_000), default=5, show_default=True, help="Objects to upload."
)
@click.option(
    "--timeout",
    type=click.IntRange(1),
    help="Seconds to wait for the refresh. [default: window + --min-interval + 210]",
)
@click.option("--keep", is_flag=True, help="Leave the objects in the bucket.")
@aws_options
def test_upload(where: Where, bucket: str | None, count: int, timeout: int | None, keep: bool) -> int:
    """Upload objects and follow their events through both functions; fail if the refresh does not come."""
    from s3agg import deployment, probe

    screen = where.screen()
    aws = where.aws(screen)
    deployed = deployment.read(aws, where.names)
    if not deployed.exists:
        raise deployment.no_stack(deployed, "so there is nothing to test")
    rule = deployment.the_bucket(deployed, bucket)
    events = probe.run(aws, deployed, rule, count=count, timeout_s=timeout, keep=keep)
    report = screen.watch(events)
    if not isinstance(report, probe.Report):
        raise S3aggError("test-upload ended without a result")
    screen.probe(report)
    return 0 if report.ok else 1


@cli.command(epilog=examples("s3agg logs --since 2h --bucket my-uploads", "s3agg logs --follow"))
@click.option("--follow", is_flag=True, help="Go on with what comes, looking every 2 seconds, until Ctrl-C.")
@click.option(
    "--since",
    "moment",
    metavar="AGE|TIME",
    default="10m",
    show_default=True,
    help="How long ago to begin (30s, 10m, 2h, 7d), or when: 2026-01-31T08:00:00Z.",
)
@click.option(
    "--function",
    type=click.Choice(["aggregator", "refresh"]),
    help="Only this function's lines. [default: both]",
)
@bucket_option("--bucket", help="Only lines that name this bucket. [default: all]")
@aws_options
def logs(where: Where, follow: bool, moment: str, function: str | None, bucket: str | None) -> int:
    """Show what both functions logged, merged by time.

    With --output json each line is a JSON document of its own.
    """
    from s3agg import logs as log_pages
    from s3agg.activity import from_ms

    screen = where.screen()
    aws = where.aws(screen)
    functions = log_pages.BOTH if function is None else [each for each in log_pages.BOTH if each == function]
    begin = log_pages.since(moment, from_ms(aws.clock.time() * 1000))
    entries = log_pages.read(aws, where.names, since=begin, functions=functions, bucket=bucket, follow=follow)
    with suppress(KeyboardInterrupt) if follow else nullcontext():
        screen.logs(entries)
    return 0


@cli.command(epilog=examples("s3agg redrive --dry-run", "s3agg redrive"))
@click.option("--dry-run", is_flag=True, help="Show what failed, and why; do nothing about it.")
@aws_options
def redrive(where: Where, dry_run: bool) -> int:
    """Put what failed after all retries back to work: the messages of the dead-letter queue.

    An object event is given to the aggregator function again, a refresh message goes back to its queue. Each
    leaves the dead-letter queue once that has worked; what is not understood stays there.
    """
    from s3agg import deployment
    from s3agg import redrive as redrives

    screen = where.screen()
    aws = where.aws(screen)
    deployed = deployment.read(aws, where.names)
    if not deployed.exists:
        raise deployment.no_stack(deployed, "so there is nothing to put back to work")
    report = screen.watch(redrives.run(aws, deployed, dry_run=dry_run))
    if not isinstance(report, redrives.Report):
        raise S3aggError("redrive ended without a result")
    screen.redrive(report)
    if report.counts.get("would go back"):
        screen.say(f"Next: s3agg redrive{where.again}")
    return 0 if report.ok else 1


@cli.command(
    epilog=examples(
        "s3agg policy --bucket my-uploads > operator.json",
        "s3agg policy --permissions-boundary arn:aws:iam::123456789012:policy/Boundary",
    )
)
@bucket_option(
    "--bucket", "buckets", multiple=True, help="Bucket to attach; repeatable. [default: those attached]"
)
@click.option(
    "--permissions-boundary",
    "boundary",
    metavar="ARN",
    callback=none_or("iam"),
    help="Policy that must bound both roles, or none. [default: as create was asked]",
)
@aws_options
def policy(where: Where, buckets: tuple[str, ...], boundary: str | None) -> int:
    """Print the IAM policy that whoever runs s3agg needs, for this stack, region and account.

    It is always JSON, for: aws iam create-policy --policy-document file://operator.json
    """
    from s3agg import operator_policy

    screen = where.screen()
    screen.document(operator_policy.make(where.aws(screen), where.names, buckets, boundary))
    return 0


@cli.command(
    epilog=examples("s3agg cost --objects-per-day 1000 --refreshes-per-day 50", "s3agg cost --measured")
)
@click.option(
    "--objects-per-day",
    type=click.IntRange(0, MOST_PER_DAY),
    metavar="NUMBER",
    help="Object events a day, of all buckets. [default: none, say this or --measured]",
)
@click.option(
    "--refreshes-per-day",
    type=click.IntRange(0, MOST_PER_DAY),
    metavar="NUMBER",
    help="Windows a day that these fall into, each with a refresh."
    f" [default: as many, {settings.MOST_REFRESHES} at most: one in 62 s]",
)
@click.option(
    "--measured",
    is_flag=True,
    help="Take what the stack used in the last 30 days; with --bucket, what was done to these buckets.",
)
@bucket_option(
    "--bucket", "buckets", multiple=True, help="Bucket with request metrics, for --measured; repeatable."
)
@click.option(
    "--prices",
    "named",
    metavar="NAME|FILE",
    default=settings.PRICE_TABLES[-1],
    show_default=True,
    help=f"Prices of {' or '.join(settings.PRICE_TABLES)}, or a JSON file like `prices` in --output json.",
)
@all_of(PAID_FOR)
@aws_options
def cost(
    where: Where,
    objects_per_day: int | None,
    refreshes_per_day: int | None,
    measured: bool,
    buckets: tuple[str, ...],
    named: str,
    **options: Any,
) -> int:
    """Tell what a month costs, item by item, beside what it costs by the blog's rule.

    An estimate from --objects-per-day asks AWS nothing. With --measured, an option that is not given is as
    the stack has it.
    """
    from s3agg import bill
    from s3agg import prices as tables

    if measured == (objects_per_day is not None):
        raise UsageProblem("A cost is either estimated or measured", "Say --objects-per-day or --measured")
    if buckets and not measured:
        raise UsageProblem("--bucket names what is measured", "Say --measured")
    if measured and not buckets and refreshes_per_day is not None:
        raise UsageProblem("The stack's refreshes are measured", "Leave --refreshes-per-day away")
    prices = tables.read(named)
    if objects_per_day is not None:
        made = bill.estimate(objects_per_day, refreshes_per_day, Settings.declared(options, {}), prices)
        where.page().cost(made)
        return 0

    from s3agg import cost as costs

    screen = where.screen()
    aws = where.aws(screen)
    if buckets:
        screen.cost(costs.of_buckets(aws, buckets, refreshes_per_day, options, prices))
    else:
        screen.cost(costs.of_stack(aws, where.names, options, prices))
    return 0


@cli.command(
    epilog=examples(
        'eval "$(s3agg completion bash)"', "s3agg completion fish > ~/.config/fish/completions/s3agg.fish"
    )
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> int:
    """Print what makes a shell complete s3agg's commands and options, and names of buckets and stacks.

    Put its output where the shell reads it at its start: ~/.bashrc or ~/.zshrc, or the folder below.
    """
    script = get_completion_class(shell)
    if script is None:
        raise S3aggError(f"There is no completion for {shell}")
    click.echo(script(cli, {}, "s3agg", "_S3AGG_COMPLETE").source())
    return 0


@cli.command(
    epilog=examples(
        "s3agg template --bucket my-uploads > template.yaml",
        "s3agg template --window 300 --zips build > template.yaml",
    )
)
@bucket_option("--bucket", metavar="BUCKET", help="Bucket to attach, as the default of its parameter.")
@all_of(SETTINGS_OPTIONS)
@click.option(
    "--zips",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="FOLDER",
    help="Write the functions' zips there, to be put into the bucket that the parameter CodeBucket"
    " names; else their code is inline.",
)
@stack_option
def template(bucket: str | None, zips: Path | None, stack: str, **options: Any) -> None:
    """Print the stack that create makes as a CloudFormation template, in YAML.

    Its parameters are the bucket, the window and the log level. Deploy it with: aws cloudformation deploy
    --template-file template.yaml --capabilities CAPABILITY_NAMED_IAM --stack-name NAME

    It cannot attach the bucket: the command that does is told on stderr. AWS is not asked.
    """
    from s3agg import template as templates

    made = templates.make(Names(stack), options, bucket, inline=zips is None)
    if zips is not None:
        templates.write(made.zips, zips)
        click.echo(f"First, the code: aws s3 cp --recursive {zips} s3://CODE-BUCKET", err=True)
    click.echo(made.text, nl=False)
    if made.is_long:
        click.echo("It is too long to be passed directly: deploy it with --s3-bucket.", err=True)
    click.echo("CloudFormation cannot change the notifications of a bucket that it has not made.", err=True)
    click.echo(f"Once the stack is there, attach it: {made.attach}", err=True)


@cli.command(epilog=examples("s3agg local", "s3agg local --port 4600"))
@click.option(
    "--port", type=click.IntRange(0, 65_535), default=4566, show_default=True, help="Port; 0 for a free one."
)
def local(port: int) -> int:
    """Run AWS on this machine, in the foreground and on loopback only, until Ctrl-C.

    Needs the extra: pip install 's3agg[local]'
    """
    from s3agg.local import machine

    with machine.running(port) as here:
        for name, value in here.variables.items():
            click.echo(f"export {name}={value}")
        click.echo("unset AWS_PROFILE AWS_SESSION_TOKEN")
        click.echo("AWS runs on this machine. Set these in another terminal; Ctrl-C ends it.", err=True)
        with suppress(KeyboardInterrupt):
            here.wait()
    return 0


@cli.command(epilog=examples("s3agg demo", "s3agg demo --count 200 --window 10"))
@click.option(
    "--count", type=click.IntRange(1, 1000), default=20, show_default=True, help="Objects to upload."
)
@click.option(
    "--window", type=click.IntRange(1, 600), default=5, show_default=True, help="Window in seconds."
)
@output_option
@verbose_option
def demo(count: int, window: int, output: str, verbose: bool) -> int:
    """Show all of it on this machine: create, upload, refresh, status, delete. No AWS account needed.

    Needs the extra: pip install 's3agg[local]'
    """
    from s3agg import demo as demos
    from s3agg.aws import Aws
    from s3agg.render.screen import Screen

    screen = Screen(as_json=output == "json")
    connect = partial(
        Aws.on_this_machine, trace=screen.trace if verbose else None, waiting=screen.waiting, warn=screen.warn
    )
    report = screen.watch(demos.run(connect, count=count, window=window))
    if not isinstance(report, demos.Report):
        raise S3aggError("The demo ended without a result")
    screen.demo(report)
    return 0
