"""The commands: parse options, make one call, show the result.

Each command imports boto3 and rich itself, so that `--help` does not wait for them.
"""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import nullcontext, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click
from click.exceptions import NoArgsIsHelpError
from click.shell_completion import get_completion_class

from s3agg import __version__, settings
from s3agg.cli.options import (
    AS_DURATION,
    COST_OPTIONS,
    DEFAULT_SEAMS,
    SETTINGS_OPTIONS,
    Invocation,
    Range,
    Seams,
    Seconds,
    account_options,
    arn_or_none,
    attached_bucket_option,
    aws_options,
    bucket_option,
    examples,
    exit_codes,
    option,
    output_option,
    verbose_option,
    with_options,
)
from s3agg.cli.stderr import tell
from s3agg.errors import Interrupted, S3aggError, UsageProblem, plural, shell_quoted
from s3agg.settings import Settings

if TYPE_CHECKING:
    from s3agg.commands.status import Status

NOT_AS_DECLARED = 3
NOT_HEALTHY = 4
EXIT_CODES: Mapping[int, str] = {  # also in README.md
    0: "success: the stack is healthy, or a dry run has nothing to do",
    1: "failure",
    2: "wrong usage",
    NOT_AS_DECLARED: "not as declared (missing, drifted, foreign), or a dry run has changes",
    NOT_HEALTHY: "as declared, not healthy: dead letters, lost events, an overdue refresh",
    130: "interrupted",
}
UNWRITABLE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}  # errors of a full or broken disk
MOST_PER_DAY = 1_000_000_000
MOST_OBJECTS = 1_000_000_000_000


def main(args: Sequence[str] | None = None, seams: Seams = DEFAULT_SEAMS) -> NoReturn:
    """Run the command line and print each error as one line on stderr. EXIT_CODES has the exit codes."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # escape characters that the encoding lacks
            stream.reconfigure(errors="backslashreplace")
    try:
        code = run(args, seams)
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:
        # The reader of the pipe has closed it. Without this, Python prints an error at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    except OSError as error:
        if error.errno not in UNWRITABLE or error.filename:
            raise
        code = 1
        tell(
            f"Could not write the output: {error.strerror}. Check the disk, or redirect the output elsewhere."
        )
    drop_unwritable()
    sys.exit(code)


def drop_unwritable() -> None:
    """Discard what stdout and stderr cannot write. Otherwise Python exits with code 120."""
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def run(args: Sequence[str] | None, seams: Seams) -> int:
    """Run the command line, print each error as one line on stderr, and return the exit code."""
    try:
        code = cli.main(args, prog_name="s3agg", standalone_mode=False, obj=seams)
    except NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        return 2
    except click.UsageError as error:
        command = error.ctx.command_path if error.ctx else "s3agg"
        message = " ".join(error.format_message().split())
        end = "" if message.endswith((".", "?")) else "."
        see = "" if "--help" in message else f" See {command} --help."
        return fail(2, f"{command}: {message}{end}{see}")
    except click.Abort:
        return fail(
            1,
            "Nothing was changed." if sys.stdin.isatty() else "Nothing was changed. Answer y, or pass --yes.",
        )
    except click.ClickException as error:
        return fail(error.exit_code, error.format_message())
    except S3aggError as error:
        return fail(error.exit_code, *error.lines())
    return code or 0


def fail(code: int, *lines: str) -> int:
    tell(*lines)
    return code


class Command(click.Command):
    """A command that names itself in each usage error: click does not if an option lacks its value."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as error:
            error.ctx = error.ctx or ctx
            raise


class Commands(click.Group):
    """The group of commands. Ctrl-C raises Interrupted: click would treat it as the answer "no"."""

    command_class = Command

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise Interrupted from None

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the arguments; tell the right form if an option of a command precedes the command."""
        given = list(args)  # click empties the list
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            options = {flag for each in self.commands.values() for one in each.params for flag in one.opts}
            if error.option_name not in options:
                raise
            at = next((index for index, each in enumerate(given) if each in self.commands), len(given))
            command, *more = given[at:] or ["COMMAND"]
            right = " ".join(["s3agg", command, *map(shell_quoted, [*given[:at], *more])])
            raise click.UsageError(f"{error.option_name} belongs after the command: {right}", ctx) from None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; tell the right form for the words `help` and `version`."""
        word, *more = args
        if word in {"help", "version"}:
            command = [each for each in more[:1] if word == "help" and each in self.commands]
            raise click.UsageError(f"{word} is no command. Run {' '.join(['s3agg', *command])} --{word}", ctx)
        return super().resolve_command(ctx, args)

    def list_commands(self, _: click.Context) -> list[str]:
        """The commands in the order of this file, not sorted."""
        return list(self.commands)


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=exit_codes(EXIT_CODES),
)
@click.version_option(__version__)
def cli() -> None:
    """Thousands of S3 uploads, one Storage Gateway refresh.

    Creates, tests, monitors and deletes an S3 event aggregator. The first object event of a bucket opens
    a window. Further events are skipped while the window is open. When it closes, RefreshCache runs once
    for every file share of the bucket.

    Start with: s3agg demo   (runs on this machine, needs no AWS account)
    """


@cli.command(
    epilog=examples("s3agg create --bucket my-uploads", "s3agg create --window 300 --tag team=storage")
)
@bucket_option(
    "--bucket",
    "buckets",
    multiple=True,
    help="Bucket to attach, besides those already attached. Repeatable.",
    default_text="the attached buckets",
)
@option(
    "--prefix",
    metavar="KEY",
    help="Only keys that start with this prefix (URL-encoded). For the buckets passed. Pass '' to clear it.",
    default_text="the stored prefix, or all keys",
)
@option(
    "--suffix",
    metavar="KEY",
    help="Only keys that end with this suffix (URL-encoded). For the buckets passed. Pass '' to clear it.",
    default_text="the stored suffix, or all keys",
)
@with_options(SETTINGS_OPTIONS)
@option(
    "--adopt",
    is_flag=True,
    help="Adopt untagged resources that have this stack's names, such as those of the blog's scripts.",
)
@option("--dry-run", is_flag=True, help="Show the changes without making them. Exit code 3 if there are any.")
@option("--yes", is_flag=True, help="Make changes without confirmation.")
@aws_options
def create(
    invocation: Invocation,
    buckets: tuple[str, ...],
    prefix: str | None,
    suffix: str | None,
    adopt: bool,
    dry_run: bool,
    yes: bool,
    **options: Any,
) -> int:
    """Create or update the stack.

    Options that are not passed keep the settings of the stack. With --adopt, they keep the settings of the
    adopted resources.

    Asks before a change that excludes keys, deletes log events, adopts resources, or returns to an older
    version of s3agg.
    """
    from s3agg.commands import preflight
    from s3agg.commands.consent import to_confirm
    from s3agg.commands.create import apply_create
    from s3agg.stack import deployed
    from s3agg.stack.chosen import StackSettings

    screen = invocation.screen()
    aws = invocation.aws(screen)
    request = deployed.Request(buckets, prefix, suffix, options, adopt)
    checked = preflight.check(aws, invocation.names, request)
    plan = checked.plan
    chosen = StackSettings.of(checked.deployment.stack, __version__)
    confirm = to_confirm(checked.deployment, plan)
    if dry_run:
        screen.plan(
            checked.deployment,
            plan,
            done=False,
            problems=checked.problems,
            settings=chosen,
            to_confirm=confirm,
        )
    deployment = checked.passed()
    if dry_run:
        return code_of_dry_run(plan.to_do)
    if confirm and not yes:
        screen.ask_about(deployment, plan, chosen, confirm)
        ask("Make these changes?")
    screen.watch(apply_create(aws, deployment, plan))
    screen.plan(deployment, plan, done=True, settings=chosen, to_confirm=confirm)
    bucket = (*buckets, deployment.stack.notifications[0].bucket)[0]
    screen.say(f"Next: s3agg test-upload --bucket {bucket}{invocation.option}")
    return 0


def code_of_dry_run(to_do: object) -> int:
    """The exit code of every dry run that could be carried out; `to_do` is false with nothing to do."""
    return NOT_AS_DECLARED if to_do else 0


def ask(question: str) -> None:
    """Return if the user confirms; raise click.Abort if not."""
    if sys.stdin is None or sys.stdin.closed:
        raise UsageProblem("No terminal to confirm on", "Pass --yes")
    try:
        click.confirm(question, abort=True, err=True)
    except click.Abort as no:
        click.echo(err=True)
        if isinstance(no.__context__, KeyboardInterrupt):
            raise Interrupted from None
        raise


def agrees(question: str) -> bool:
    """Whether the user agrees; False without a terminal."""
    if sys.stdin is None or sys.stdin.closed or not sys.stdin.isatty():
        return False
    with suppress(click.Abort):
        ask(question)
        return True
    return False


@cli.command(epilog=examples("s3agg delete", "s3agg delete --bucket my-uploads --yes"))
@attached_bucket_option(
    "--bucket",
    "buckets",
    multiple=True,
    help="Detach only this bucket. Repeatable.",
    default_text="delete the whole stack",
)
@option("--keep-logs", is_flag=True, help="Keep the log groups of the functions.")
@option(
    "--adopt",
    is_flag=True,
    help="Also delete untagged resources that have this stack's names, such as those of the blog's scripts.",
)
@option("--dry-run", is_flag=True, help="Show the changes without making them. Exit code 3 if there are any.")
@option("--yes", is_flag=True, help="Delete without confirmation.")
@aws_options
def delete(
    invocation: Invocation, buckets: tuple[str, ...], keep_logs: bool, adopt: bool, dry_run: bool, yes: bool
) -> int:
    """Delete the whole stack, or detach a bucket from it.

    Deletes only the stack's own event notification from a bucket. Objects are not affected. Resources
    that no longer exist are skipped.
    """
    from s3agg import engine
    from s3agg.commands.delete import detach_buckets, for_delete, for_detach

    if buckets and keep_logs:
        raise UsageProblem("--keep-logs has no effect with --bucket: detaching deletes no logs", "Omit it")
    screen = invocation.screen()
    aws = invocation.aws(screen)
    if buckets:
        deployment, plan = for_detach(aws, invocation.names, buckets, adopt=adopt)
    else:
        deployment, plan = for_delete(aws, invocation.names, keep_logs=keep_logs, adopt=adopt)
    problems = [engine.foreign(plan)] if plan.foreign else []
    if dry_run:
        screen.plan(deployment, plan, done=False, problems=problems)
    if problems:
        raise problems[0]
    strays = [
        f"the item of bucket {bucket} in table {deployment.stack.table.name}, unless a refresh is due"
        for bucket in buckets
        if bucket in deployment.strays
    ]
    if dry_run:
        for stray in strays:
            screen.say(f"Would also delete {stray}.")
        return code_of_dry_run([*plan.to_do, *strays])
    if plan.to_do and not yes:
        screen.ask_about(deployment, plan)
        ask("Delete these resources?")
    if buckets:
        screen.watch(detach_buckets(aws, deployment, buckets, plan))
    else:
        screen.watch(engine.apply(aws, plan, keep_going=True))
    screen.plan(deployment, plan, done=True)
    for stray in strays:
        screen.say(f"Deleted {stray}.")
    return 0


@cli.command(epilog=examples("s3agg status", "s3agg status --output json"))
@option("--watch", is_flag=True, help="Redraw the screen every 2 seconds until Ctrl-C.")
@aws_options
def status(invocation: Invocation, watch: bool) -> int:
    """Show whether the stack works, on one screen.

    Shows all resources, windows and queues, and recent activity. Exit code 3 if a resource is missing,
    drifted or foreign. Exit code 4 if there are only dead letters, lost events or overdue refreshes. --watch
    ends with the exit code of the last screen.
    """
    from s3agg.commands import status as statuses

    screen = invocation.screen()
    aws = invocation.aws(screen)
    if not watch:
        read = statuses.read(aws, invocation.names)
        screen.status(read)
        return code_of(read)
    if invocation.output == "json" or not screen.out.is_terminal:
        raise UsageProblem("--watch requires a terminal and table output", "Run status without --watch")
    if invocation.verbose and screen.err.is_terminal:
        raise UsageProblem(
            "--watch and -v cannot share a terminal",
            "Omit one of them, or redirect stderr to a file",
        )
    last = screen.watch_status(statuses.watch(aws, invocation.names))
    return 0 if last is None else code_of(last)


def code_of(status: Status) -> int:
    """The exit code of a status: 0 only if it is healthy."""
    if status.healthy:
        return 0
    return NOT_HEALTHY if status.as_declared else NOT_AS_DECLARED


@cli.command("list", epilog=examples("s3agg list", "s3agg list --region us-west-2 --output json"))
@account_options
def list_stacks(invocation: Invocation) -> int:
    """List the stacks of the account.

    Shows the buckets and settings of the stacks in this region, and the region of every other stack.
    """
    from s3agg.commands import list_stacks as lists

    screen = invocation.screen()
    screen.stacks(lists.read(invocation.aws(screen)))
    return 0


@cli.command(
    epilog=examples(
        "s3agg test-upload --bucket my-uploads", "s3agg test-upload --bucket my-uploads --count 50 --keep"
    )
)
@attached_bucket_option(
    "--bucket",
    help="Bucket to upload to. Required if several are attached.",
    default_text="the attached bucket",
)
@option(
    "--count",
    type=Range(1, 10_000),
    metavar="NUMBER",
    default=5,
    help="Number of objects to upload.",
)
@option(
    "--timeout",
    type=Seconds(1),
    metavar="DURATION",
    help=f"Time to wait for the refresh, {AS_DURATION}. At least the window and the minimum interval.",
    default_text="--window + --min-interval + 210",
)
@option("--keep", is_flag=True, help="Keep the uploaded objects in the bucket.")
@option("--yes", is_flag=True, help="Delete the objects of interrupted runs without confirmation.")
@aws_options
def test_upload(
    invocation: Invocation, bucket: str | None, count: int, timeout: int | None, keep: bool, yes: bool
) -> int:
    """Upload objects and wait for the refresh.

    Follows the objects' events through both functions. Fails if there is no refresh before the timeout.
    Fails at once if the stack cannot work. Deletes the objects at the end. Finds objects that an interrupted
    run has left, and asks whether to delete them.
    """
    from s3agg.commands import before_upload, test_objects
    from s3agg.commands import test_upload as probe
    from s3agg.stack import deployed

    screen = invocation.screen()
    aws = invocation.aws(screen)
    deployment = deployed.read(aws, invocation.names)
    deployment.check_exists()
    rule = deployed.the_bucket(deployment, bucket)
    before_upload.check_timeout(deployment.stack, timeout)
    if left := test_objects.left_over(aws, rule):
        found = f"{plural(len(left), 'object')} of interrupted runs in bucket {rule.bucket}"
        if yes or agrees(f"Delete {found}?"):
            test_objects.delete(aws, rule, left)
            screen.say(f"Deleted {found}.")
        else:
            screen.warn(f"Left {found}. To delete them, pass --yes.")
    events = probe.run(aws, deployment, rule, count=count, timeout_s=timeout, keep=keep)
    report = screen.watch(events)
    screen.probe(report)
    return 0 if report.ok else 1


@cli.command(epilog=examples("s3agg logs --since 2h --bucket my-uploads", "s3agg logs --follow"))
@option("--follow", is_flag=True, help="Keep printing new lines until Ctrl-C, checking every 2 seconds.")
@option(
    "--since",
    "moment",
    metavar="AGE|TIME",
    default="10m",
    help="Start this long ago (30s, 10m, 2h, 7d), or at this time: 2026-01-31T08:00:00Z. Default zone: UTC.",
)
@option(
    "--function",
    type=click.Choice(["aggregator", "refresh"]),
    help="Only lines of this function.",
    default_text="both",
)
@attached_bucket_option(
    "--bucket", help="Only lines of invocations that name this bucket.", default_text="all buckets"
)
@option(
    "--level",
    type=click.Choice(settings.LOG_LEVELS, case_sensitive=False),
    help="Only lines of this level or a higher one, and failures that Lambda reports without a level.",
    default_text="all levels",
)
@option("--all", "everything", is_flag=True, help="Also show START, END, REPORT and metrics.")
@aws_options
def logs(
    invocation: Invocation,
    follow: bool,
    moment: str,
    function: str | None,
    bucket: str | None,
    level: str | None,
    everything: bool,
) -> int:
    """Show the logs of both functions, merged by time.

    With --output json, each line is one JSON document. The times in its messages are in ms since 1970.
    """
    from s3agg.aws.clock import from_ms
    from s3agg.commands import logs as log_pages

    screen = invocation.screen()
    aws = invocation.aws(screen)
    functions = log_pages.BOTH if function is None else [each for each in log_pages.BOTH if each == function]
    begin = log_pages.since(moment, from_ms(aws.clock.time() * 1000))
    entries = log_pages.read(
        aws,
        invocation.names,
        since=begin,
        functions=functions,
        bucket=bucket,
        level=level or "",
        everything=everything,
        follow=follow,
    )
    with suppress(KeyboardInterrupt) if follow else nullcontext():
        screen.logs(entries)
    return 0


@cli.command(
    epilog=examples("s3agg redrive --dry-run", "s3agg redrive --discard 7f2b3c58-0d0d-4a52-9b0a-2f7d1f1f6a11")
)
@option(
    "--dry-run",
    is_flag=True,
    help="Show what failed and why, without redriving it. Exit code 3 if a message would go back.",
)
@option(
    "--discard",
    multiple=True,
    metavar="ID",
    help="Only delete the message with this ID, after a confirmation. Repeatable.",
    default_text="redrive all messages",
)
@option("--yes", is_flag=True, help="Delete without confirmation, with --discard.")
@aws_options
def redrive(invocation: Invocation, dry_run: bool, discard: tuple[str, ...], yes: bool) -> int:
    """Redrive the messages in the dead-letter queue.

    An object event is sent to the aggregator function again. A refresh message goes back to its queue. A
    message is deleted from the dead-letter queue when that succeeds. Messages that are not understood stay
    in the queue: look at them with --dry-run, and delete them with --discard.
    """
    from s3agg.commands import redrive as redrives
    from s3agg.stack import deployed

    if yes and not discard:
        raise UsageProblem("--yes has no effect without --discard: a redrive asks nothing", "Omit it")
    screen = invocation.screen()
    aws = invocation.aws(screen)
    deployment = deployed.read(aws, invocation.names)
    deployment.check_exists()
    if discard and not dry_run and not yes:
        found = screen.watch(redrives.run(aws, deployment, dry_run=True, discard=discard))
        screen.ask_about_letters(found)
        ask(f"Delete {plural(len(found.dead_letters), 'message')}? A deleted message cannot be redriven.")
    report = screen.watch(redrives.run(aws, deployment, dry_run=dry_run, discard=discard))
    screen.redrive(report)
    if dry_run:
        if report.to_do and not discard:
            screen.say(f"Next: s3agg redrive{invocation.option}")
        return code_of_dry_run(report.to_do)
    return 0 if report.ok else 1


@cli.command(
    epilog=examples(
        "s3agg policy --bucket my-uploads > operator.json",
        "s3agg policy --permissions-boundary arn:aws:iam::123456789012:policy/Limits",
    )
)
@bucket_option(
    "--bucket",
    "buckets",
    multiple=True,
    help="Bucket to attach. Repeatable.",
    default_text="the attached buckets",
)
@option(
    "--permissions-boundary",
    "boundary",
    metavar="ARN",
    callback=arn_or_none("iam"),
    help="Permissions boundary that both roles must have.",
    default_text="the stored setting of create",
    values="an ARN or none",
)
@option(
    "--part",
    type=Range(1),
    metavar="NUMBER",
    help="Print this one of the managed policies into which a long policy is split.",
    default_text="the whole policy",
)
@aws_options
def policy(invocation: Invocation, buckets: tuple[str, ...], boundary: str | None, part: int | None) -> int:
    """Print the IAM policy that the user of s3agg needs.

    The policy is for this stack, region and account. The output is always JSON, for:
    aws iam create-policy --policy-name s3agg-operator --policy-document file://operator.json
    """
    from s3agg.commands import policy as operator_policy

    screen = invocation.screen()
    aws = invocation.aws(screen)
    screen.document(operator_policy.make(aws, invocation.names, buckets, boundary, part))
    return 0


@cli.command(
    epilog=examples("s3agg cost --objects-per-day 1000 --refreshes-per-day 50", "s3agg cost --measured")
)
@option(
    "--objects-per-day",
    type=Range(0, MOST_PER_DAY),
    metavar="NUMBER",
    help="Object events per day in all buckets. Required without --measured.",
    default_text="none",
)
@option(
    "--refreshes-per-day",
    type=Range(0, MOST_PER_DAY),
    metavar="NUMBER",
    help="Refreshes per day.",
    default_text=f"one per object, at most {settings.MOST_REFRESHES} per bucket",
)
@option(
    "--objects-in-bucket",
    type=Range(0, MOST_OBJECTS),
    metavar="NUMBER",
    default=0,
    help="Objects that each refresh lists. If passed, the cost includes the S3 requests of the gateways.",
)
@option(
    "--measured",
    is_flag=True,
    help="Compute the cost of the last 30 days from metrics of the stack, or of the buckets passed.",
)
@bucket_option(
    "--bucket",
    "buckets",
    multiple=True,
    help="Bucket with request metrics, for --measured. Repeatable.",
    default_text="metrics of the stack",
)
@option(
    "--prices",
    "named",
    metavar="NAME|FILE",
    default=settings.PRICE_TABLES[-1],
    help=f"Price table: {' or '.join(settings.PRICE_TABLES)}, or a JSON file like `prices` in --output json.",
)
@option(
    "--compare", is_flag=True, help="Show the cost of the blog's scripts beside it. JSON always has both."
)
@with_options(COST_OPTIONS)
@aws_options
def cost(
    invocation: Invocation,
    objects_per_day: int | None,
    refreshes_per_day: int | None,
    objects_in_bucket: int,
    measured: bool,
    buckets: tuple[str, ...],
    named: str,
    compare: bool,
    **options: Any,
) -> int:
    """Show the cost of a month, item by item.

    An estimate from --objects-per-day makes no AWS calls. With --measured, options that are not passed
    default to the stack's settings. The metrics must cover a day.
    """
    from s3agg.prices import bill, tables

    if measured == (objects_per_day is not None):
        raise UsageProblem(
            "cost requires either --objects-per-day or --measured",
            "Pass --objects-per-day for an estimate, or --measured",
        )
    if buckets and not measured:
        raise UsageProblem("--bucket requires --measured", "Pass --measured as well")
    if measured and not buckets and refreshes_per_day is not None:
        raise UsageProblem(
            "--measured takes the number of refreshes from the stack's metrics",
            "Omit --refreshes-per-day, or pass --bucket",
        )
    invocation.check_region()
    prices = tables.read(named)
    if objects_per_day is not None:
        made = bill.estimate(
            objects_per_day,
            refreshes_per_day,
            Settings.declared(options, {}),
            prices,
            objects_in_bucket=objects_in_bucket,
            region=invocation.region,
        )
        invocation.page().cost(made, compare=compare)
        return 0

    from s3agg.commands import cost as costs

    screen = invocation.screen()
    aws = invocation.aws(screen)
    if buckets:
        measured_bill = costs.of_buckets(aws, buckets, refreshes_per_day, options, prices, objects_in_bucket)
    else:
        measured_bill = costs.of_stack(aws, invocation.names, options, prices, objects_in_bucket)
    screen.cost(measured_bill, compare=compare)
    return 0


@cli.command(
    epilog=examples(
        'eval "$(s3agg completion bash)"', "s3agg completion fish > ~/.config/fish/completions/s3agg.fish"
    )
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> int:
    """Print the script that enables shell completion.

    It completes commands, options, and the names of buckets, stacks, profiles and regions.

    For bash and zsh, put the first example into ~/.bashrc or ~/.zshrc. zsh needs compinit before it. For
    fish, run the second one.
    """
    script = get_completion_class(shell)
    if script is None:
        raise S3aggError(f"No completion script for {shell}")
    source = script(cli, {}, "s3agg", "_S3AGG_COMPLETE").source()
    if shell == "zsh":
        from s3agg.cli.completion import for_zsh

        source = for_zsh(source)
    click.echo(source)
    return 0


@cli.command(
    epilog=examples(
        "s3agg template --bucket my-uploads --code-bucket my-code > template.yaml",
        "s3agg template --window 300 --zips build > template.yaml",
    )
)
@bucket_option(
    "--bucket", help="Default value of the template's bucket parameter.", default_text="no default"
)
@bucket_option(
    "--code-bucket",
    help="Upload the functions' zips to this bucket, in the stack's region.",
    default_text="pass this or --zips",
)
@option(
    "--zips",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="FOLDER",
    help="Write the functions' zips to this folder. Upload them, and pass their bucket as CodeBucket.",
    default_text="pass this or --code-bucket",
)
@with_options(SETTINGS_OPTIONS)
@aws_options
def template(
    invocation: Invocation, bucket: str | None, code_bucket: str | None, zips: Path | None, **options: Any
) -> None:
    """Print the stack as a CloudFormation template.

    The template has the resources that create makes. The output is always YAML. The parameters are the
    bucket, the window, the log level and the bucket of the functions' code. Deploy it with:
    aws cloudformation deploy --template-file template.yaml --stack-name NAME
    --capabilities CAPABILITY_NAMED_IAM

    CloudFormation cannot attach the bucket: stderr shows the command for that. Only --code-bucket
    makes AWS calls.
    """
    from s3agg.commands import template as templates

    if invocation.output == "json" and "output" in invocation.given:
        raise UsageProblem("The output of template is always YAML", "Omit --output")
    if (code_bucket is None) == (zips is None):
        raise UsageProblem(
            "template requires either --code-bucket or --zips",
            "Pass --code-bucket BUCKET to upload the functions' code now,"
            " or --zips FOLDER to upload it yourself",
        )
    invocation.check_region()
    made = templates.make(invocation.names, options, bucket=bucket, code_bucket=code_bucket)
    if code_bucket is not None:
        is_new = templates.upload(invocation.aws(invocation.screen()), made.zips, code_bucket)
        verb = "Uploaded the functions' code to" if is_new else "The functions' code is already in"
        tell(f"{verb} bucket {code_bucket}.")
    if zips is not None:
        templates.write(made.zips, zips)
        tell(
            "First upload the functions' code:"
            f" aws s3 cp --recursive {shell_quoted(str(zips))} s3://CODE-BUCKET",
            "Then deploy the template with --parameter-overrides CodeBucket=CODE-BUCKET",
        )
    click.echo(made.text, nl=False)
    if made.is_long:
        tell("The template exceeds 51 200 bytes. Pass --s3-bucket BUCKET to aws cloudformation deploy.")
    tell(
        "CloudFormation cannot change the notifications of an existing bucket.",
        f"After the deployment, attach the bucket: {made.attach.words(invocation.option)}",
    )


@cli.command(epilog=examples("s3agg local", "s3agg local --port 4600"))
@option(
    "--port",
    type=Range(0, 65_535),
    default=4566,
    metavar="PORT",
    help="Port to listen on. 0 selects a free port.",
)
def local(port: int) -> int:
    """Run an AWS emulator on this machine until Ctrl-C.

    It runs in the foreground and listens on loopback only.

    Requires MiniStack. In the clone, run: pip install '.[local]'
    """
    from s3agg.local import machine

    with machine.running(port) as here:
        for name, value in (here.variables | here.without_proxy(os.environ)).items():
            click.echo(f"export {name}={shell_quoted(value)}")
        click.echo("unset AWS_PROFILE AWS_SESSION_TOKEN")
        tell("The emulator is running. Use the lines above, and press Ctrl-C to stop.")
        with suppress(KeyboardInterrupt):
            here.wait()
    return 0


@cli.command(epilog=examples("s3agg demo", "s3agg demo --count 200 --window 10"))
@option("--count", type=Range(1, 1000), metavar="NUMBER", default=20, help="Number of objects to upload.")
@option(
    "--window",
    type=Seconds(1, 600),
    metavar="DURATION",
    default=5,
    help=f"Length of the window, {AS_DURATION}.",
)
@output_option
@verbose_option
def demo(count: int, window: int, output: str, verbose: bool) -> int:
    """Run a demonstration on this machine, without an AWS account.

    Creates a stack, uploads objects, waits for the refresh, shows the status and deletes everything.

    Requires MiniStack. In the clone, run: pip install '.[local]'
    """
    from s3agg.aws.session import Aws
    from s3agg.commands import demo as demos
    from s3agg.render.screen import Screen

    screen = Screen(as_json=output == "json")
    connect = partial(
        Aws.on_this_machine, trace=screen.trace if verbose else None, waiting=screen.waiting, warn=screen.warn
    )
    report = screen.watch(demos.run(connect, count=count, window=window))
    screen.demo(report)
    return 0
