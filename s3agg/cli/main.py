"""The commands: options in, one call, result out.

boto3 and rich are imported by the commands that need them: `--help` must not wait for them.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence
from contextlib import nullcontext, suppress
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import click
from click.exceptions import NoArgsIsHelpError
from click.shell_completion import get_completion_class

from s3agg import __version__, settings
from s3agg.cli.options import (
    AS_USUAL,
    PAID_FOR,
    SETTINGS_OPTIONS,
    Invocation,
    Seams,
    all_of,
    aws_options,
    bucket_option,
    examples,
    none_or,
    option,
    output_option,
    verbose_option,
)
from s3agg.errors import Interrupted, S3aggError, UsageProblem, printable
from s3agg.settings import Settings

NOT_AS_DECLARED = 3  # exit code (DESIGN 3)
MOST_PER_DAY = 1_000_000_000


def main(args: Sequence[str] | None = None, seams: Seams = AS_USUAL) -> NoReturn:
    """Run the command line; one line on stderr for each thing that fails (DESIGN 3 has the exit codes)."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # what its encoding cannot say is escaped, not fatal
            stream.reconfigure(errors="backslashreplace")
    try:
        code = cli.main(args, prog_name="s3agg", standalone_mode=False, obj=seams)
    except NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        sys.exit(2)
    except click.UsageError as error:
        command = error.ctx.command_path if error.ctx else "s3agg"
        said = " ".join(error.format_message().split())
        fail(2, f"{command}: {said}{'' if said.endswith(('.', '?')) else '.'} See {command} --help.")
    except click.Abort:
        fail(
            1,
            "Nothing was changed." if sys.stdin.isatty() else "Nothing was changed: answer y, or say --yes.",
        )
    except click.ClickException as error:
        fail(error.exit_code, error.format_message())
    except S3aggError as error:
        fail(error.exit_code, *error.lines())
    except BrokenPipeError:
        # Whoever read our output has gone; so that Python does not complain about that at exit:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    sys.exit(code or 0)


def fail(code: int, *lines: str) -> NoReturn:
    for line in lines:
        click.echo(printable(line), err=True)
    sys.exit(code)


class Commands(click.Group):
    """The group of commands; click itself would make of Ctrl-C what it makes of a "no"."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise Interrupted from None

    def list_commands(self, _: click.Context) -> list[str]:
        """In the order in which they stand here, which is that in which they are met."""
        return list(self.commands)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__)
def cli() -> None:
    """Thousands of S3 uploads, one Storage Gateway refresh.

    Provisions, tests, watches and removes an S3 event aggregator: a window opens at a bucket's first
    object event, further events are skipped while it is open, and one RefreshCache of every file share
    of the bucket runs when it closes.

    Start with: s3agg demo   (everything on this machine, no AWS account needed)
    """


@cli.command(
    epilog=examples("s3agg create --bucket my-uploads", "s3agg create --window 300 --tag team=storage")
)
@bucket_option(
    "--bucket",
    "buckets",
    multiple=True,
    help="Bucket to attach; repeatable, adds to those attached.",
    default_text="those attached",
)
@option(
    "--prefix",
    metavar="KEY",
    help="Only keys that begin so, for the buckets named now; '' for all. URL-encoded, as S3 wants it.",
    default_text="as before, or all",
)
@option(
    "--suffix",
    metavar="KEY",
    help="Only keys that end so, for the buckets named now; '' for all. URL-encoded, as S3 wants it.",
    default_text="as before, or all",
)
@all_of(SETTINGS_OPTIONS)
@option(
    "--adopt",
    is_flag=True,
    help="Take over what has the stack's names but no tags of s3agg, as the blog's scripts made it.",
)
@option("--dry-run", is_flag=True, help="Show what would be done, and exit 3 if that is anything.")
@aws_options
def create(
    invocation: Invocation,
    buckets: tuple[str, ...],
    prefix: str | None,
    suffix: str | None,
    adopt: bool,
    dry_run: bool,
    **options: Any,
) -> int:
    """Make the stack, or bring it to what is asked.

    An option that is not given keeps what was asked for before; of a stack that is taken over with --adopt,
    what is deployed.
    """
    from s3agg.commands import preflight
    from s3agg.commands.create import bring
    from s3agg.stack import deployed

    screen = invocation.screen()
    aws = invocation.aws(screen)
    request = deployed.Request(buckets, prefix, suffix, options, adopt)
    checked = preflight.check(aws, invocation.names, request)
    plan = checked.plan
    if dry_run:
        screen.plan(checked.deployment, plan, done=False)
    deployment = checked.passed()
    if dry_run:
        return NOT_AS_DECLARED if plan.to_do else 0
    screen.watch(bring(aws, deployment, plan))
    screen.plan(deployment, plan, done=True)
    bucket = (*buckets, deployment.stack.notifications[0].bucket)[0]
    screen.say(f"Next: s3agg test-upload --bucket {bucket}{invocation.option}")
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
@bucket_option(
    "--bucket",
    "buckets",
    multiple=True,
    help="Detach only this bucket; repeatable.",
    default_text="remove the whole stack",
)
@option("--keep-logs", is_flag=True, help="Keep the functions' log groups.")
@option(
    "--adopt",
    is_flag=True,
    help="Remove what has the stack's names but no tags of s3agg too, as the blog's scripts made it.",
)
@option("--dry-run", is_flag=True, help="Show what would be removed.")
@option("--yes", is_flag=True, help="Do not ask.")
@aws_options
def delete(
    invocation: Invocation, buckets: tuple[str, ...], keep_logs: bool, adopt: bool, dry_run: bool, yes: bool
) -> int:
    """Remove the whole stack, or detach a bucket from it.

    Of a bucket's notifications only the stack's own rule is touched. Objects are never touched. What is gone
    already is no error.
    """
    from s3agg import engine
    from s3agg.commands.delete import detach_buckets, for_delete, for_detach

    screen = invocation.screen()
    aws = invocation.aws(screen)
    if buckets:
        deployment, plan = for_detach(aws, invocation.names, buckets, adopt=adopt)
    else:
        deployment, plan = for_delete(aws, invocation.names, keep_logs=keep_logs, adopt=adopt)
    if plan.foreign and not dry_run:
        raise engine.foreign(plan)
    if dry_run:
        screen.plan(deployment, plan, done=False)
        return 0
    if plan.to_do and not yes:
        screen.ask_about(deployment, plan)
        ask("Remove all this?")
    if buckets:
        screen.watch(detach_buckets(aws, deployment, buckets, plan))
    else:
        screen.watch(engine.apply(aws, plan, keep_going=True))
    screen.plan(deployment, plan, done=True)
    return 0


@cli.command(epilog=examples("s3agg status", "s3agg status --output json"))
@option("--watch", is_flag=True, help="Redraw it every 2 seconds, until Ctrl-C.")
@aws_options
def status(invocation: Invocation, watch: bool) -> int:
    """Show on one screen whether it works.

    Every resource, window and queue, and what happened lately. Exits 3 if anything is not as declared.
    """
    from s3agg.commands import status as statuses

    screen = invocation.screen()
    aws = invocation.aws(screen)
    if not watch:
        read = statuses.read(aws, invocation.names)
        screen.status(read)
        return 0 if read.as_declared else NOT_AS_DECLARED
    if invocation.output == "json" or not screen.out.is_terminal:
        raise UsageProblem("--watch redraws a terminal, which this is not", "Run it without")
    if invocation.verbose and screen.err.is_terminal:
        raise UsageProblem(
            "--watch redraws the terminal that -v writes to",
            "Do without one of them, or send stderr to a file",
        )
    with suppress(KeyboardInterrupt):
        screen.watch_status(statuses.watch(aws, invocation.names))
    return 0


@cli.command(
    epilog=examples(
        "s3agg test-upload --bucket my-uploads", "s3agg test-upload --bucket my-uploads --count 50 --keep"
    )
)
@bucket_option(
    "--bucket", help="Bucket to upload to; needed if several are attached.", default_text="the one attached"
)
@option("--count", type=click.IntRange(1, 10_000), metavar="NUMBER", default=5, help="Objects to upload.")
@option(
    "--timeout",
    type=click.IntRange(1),
    metavar="SECONDS",
    help="Seconds to wait for the refresh.",
    default_text="window + --min-interval + 210",
)
@option("--keep", is_flag=True, help="Leave the objects in the bucket.")
@aws_options
def test_upload(
    invocation: Invocation, bucket: str | None, count: int, timeout: int | None, keep: bool
) -> int:
    """Upload objects and follow them to the refresh.

    Their events are followed through both functions; it fails if the refresh does not come. The objects are
    removed again.
    """
    from s3agg.commands import test_upload as probe
    from s3agg.stack import deployed

    screen = invocation.screen()
    aws = invocation.aws(screen)
    deployment = deployed.read(aws, invocation.names)
    if not deployment.exists:
        raise deployed.no_stack(deployment, "so there is nothing to test")
    rule = deployed.the_bucket(deployment, bucket)
    events = probe.run(aws, deployment, rule, count=count, timeout_s=timeout, keep=keep)
    report = screen.watch(events)
    screen.probe(report)
    return 0 if report.ok else 1


@cli.command(epilog=examples("s3agg logs --since 2h --bucket my-uploads", "s3agg logs --follow"))
@option("--follow", is_flag=True, help="Go on with what comes, looking every 2 seconds, until Ctrl-C.")
@option(
    "--since",
    "moment",
    metavar="AGE|TIME",
    default="10m",
    help="How long ago to begin (30s, 10m, 2h, 7d), or when: 2026-01-31T08:00:00Z; UTC if it names no zone.",
)
@option(
    "--function",
    type=click.Choice(["aggregator", "refresh"]),
    help="Only this function's lines.",
    default_text="both",
)
@bucket_option("--bucket", help="Only lines that name this bucket.", default_text="all")
@aws_options
def logs(invocation: Invocation, follow: bool, moment: str, function: str | None, bucket: str | None) -> int:
    """Show what both functions logged, merged by time.

    With --output json each line is a JSON document of its own.
    """
    from s3agg.aws.clock import from_ms
    from s3agg.commands import logs as log_pages

    screen = invocation.screen()
    aws = invocation.aws(screen)
    functions = log_pages.BOTH if function is None else [each for each in log_pages.BOTH if each == function]
    begin = log_pages.since(moment, from_ms(aws.clock.time() * 1000))
    entries = log_pages.read(
        aws, invocation.names, since=begin, functions=functions, bucket=bucket, follow=follow
    )
    with suppress(KeyboardInterrupt) if follow else nullcontext():
        screen.logs(entries)
    return 0


@cli.command(epilog=examples("s3agg redrive --dry-run", "s3agg redrive"))
@option("--dry-run", is_flag=True, help="Show what failed, and why; do nothing about it.")
@aws_options
def redrive(invocation: Invocation, dry_run: bool) -> int:
    """Put what failed after all retries back to work.

    These are the messages of the dead-letter queue. An object event is given to the aggregator function
    again, a refresh message goes back to its queue. Each leaves the dead-letter queue once that has worked;
    what is not understood stays there.
    """
    from s3agg.commands import redrive as redrives
    from s3agg.stack import deployed

    screen = invocation.screen()
    aws = invocation.aws(screen)
    deployment = deployed.read(aws, invocation.names)
    if not deployment.exists:
        raise deployed.no_stack(deployment, "so there is nothing to put back to work")
    report = screen.watch(redrives.run(aws, deployment, dry_run=dry_run))
    screen.redrive(report)
    if report.counts.get("would go back"):
        screen.say(f"Next: s3agg redrive{invocation.option}")
    return 0 if report.ok else 1


@cli.command(
    epilog=examples(
        "s3agg policy --bucket my-uploads > operator.json",
        "s3agg policy --permissions-boundary arn:aws:iam::123456789012:policy/Boundary",
    )
)
@bucket_option(
    "--bucket", "buckets", multiple=True, help="Bucket to attach; repeatable.", default_text="those attached"
)
@option(
    "--permissions-boundary",
    "boundary",
    metavar="ARN",
    callback=none_or("iam"),
    help="Policy that must bound both roles.",
    default_text="as create was asked",
    values="its ARN, or none",
)
@aws_options
def policy(invocation: Invocation, buckets: tuple[str, ...], boundary: str | None) -> int:
    """Print the IAM policy that whoever runs s3agg needs.

    It is for this stack, region and account, and always JSON, for: aws iam create-policy --policy-document file://operator.json
    """
    from s3agg.commands import policy as operator_policy

    screen = invocation.screen()
    screen.document(operator_policy.make(invocation.aws(screen), invocation.names, buckets, boundary))
    return 0


@cli.command(
    epilog=examples("s3agg cost --objects-per-day 1000 --refreshes-per-day 50", "s3agg cost --measured")
)
@option(
    "--objects-per-day",
    type=click.IntRange(0, MOST_PER_DAY),
    metavar="NUMBER",
    help="Object events a day, of all buckets; say this or --measured.",
    default_text="none",
)
@option(
    "--refreshes-per-day",
    type=click.IntRange(0, MOST_PER_DAY),
    metavar="NUMBER",
    help="Windows a day that these fall into, each with a refresh.",
    default_text=f"as many, {settings.MOST_REFRESHES} at most: one in 62 s, of each --bucket",
)
@option(
    "--measured",
    is_flag=True,
    help="Take what the stack used in the last 30 days; with --bucket, what was done to these buckets.",
)
@bucket_option(
    "--bucket",
    "buckets",
    multiple=True,
    help="Bucket with request metrics, for --measured; repeatable.",
    default_text="what the stack used",
)
@option(
    "--prices",
    "named",
    metavar="NAME|FILE",
    default=settings.PRICE_TABLES[-1],
    help=f"Prices of {' or '.join(settings.PRICE_TABLES)}, or a JSON file like `prices` in --output json.",
)
@all_of(PAID_FOR)
@aws_options
def cost(
    invocation: Invocation,
    objects_per_day: int | None,
    refreshes_per_day: int | None,
    measured: bool,
    buckets: tuple[str, ...],
    named: str,
    **options: Any,
) -> int:
    """Tell what a month costs, item by item.

    Beside it stands what it costs by the blog's rule.

    An estimate from --objects-per-day asks AWS nothing. With --measured, an option that is not given is as
    the stack has it.
    """
    from s3agg.prices import bill, tables

    if measured == (objects_per_day is not None):
        raise UsageProblem("A cost is either estimated or measured", "Say --objects-per-day or --measured")
    if buckets and not measured:
        raise UsageProblem("--bucket names what is measured", "Say --measured")
    if measured and not buckets and refreshes_per_day is not None:
        raise UsageProblem("The stack's refreshes are measured", "Do not say --refreshes-per-day")
    prices = tables.read(named)
    if objects_per_day is not None:
        made = bill.estimate(objects_per_day, refreshes_per_day, Settings.declared(options, {}), prices)
        invocation.page().cost(made)
        return 0

    from s3agg.commands import cost as costs

    screen = invocation.screen()
    aws = invocation.aws(screen)
    if buckets:
        screen.cost(costs.of_buckets(aws, buckets, refreshes_per_day, options, prices))
    else:
        screen.cost(costs.of_stack(aws, invocation.names, options, prices))
    return 0


@cli.command(
    epilog=examples(
        'eval "$(s3agg completion bash)"', "s3agg completion fish > ~/.config/fish/completions/s3agg.fish"
    )
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> int:
    """Print what makes a shell complete s3agg.

    It completes commands and options, and the names of buckets and stacks.

    Put its output where the shell reads it at its start: ~/.bashrc or ~/.zshrc, or the folder below.
    """
    script = get_completion_class(shell)
    if script is None:
        raise S3aggError(f"There is no completion for {shell}")
    click.echo(script(cli, {}, "s3agg", "_S3AGG_COMPLETE").source())
    return 0


@cli.command(
    epilog=examples(
        "s3agg template --bucket my-uploads --code-bucket my-code > template.yaml",
        "s3agg template --window 300 --zips build > template.yaml",
    )
)
@bucket_option(
    "--bucket", help="Bucket to attach, as the default of its parameter.", default_text="no default"
)
@bucket_option(
    "--code-bucket",
    help="Bucket to upload the functions' zips to, in the stack's region; the template names them there.",
    default_text="pass this or --zips",
)
@option(
    "--zips",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="FOLDER",
    help="Write the functions' zips to this folder, for you to upload; the parameter CodeBucket then names"
    " their bucket.",
    default_text="pass this or --code-bucket",
)
@all_of(SETTINGS_OPTIONS)
@aws_options
def template(
    invocation: Invocation, bucket: str | None, code_bucket: str | None, zips: Path | None, **options: Any
) -> None:
    """Print the stack as a CloudFormation template.

    It is what create makes, and always YAML. Its parameters are the bucket, the window, the log level and the
    bucket of the functions' code. Deploy it with: aws cloudformation deploy --template-file template.yaml
    --stack-name NAME --capabilities CAPABILITY_NAMED_IAM

    CloudFormation cannot attach the bucket: stderr shows the command that does. AWS is only asked with
    --code-bucket.
    """
    from s3agg.commands import template as templates

    if (code_bucket is None) == (zips is None):
        raise UsageProblem(
            "template needs either --code-bucket or --zips",
            "Pass --code-bucket BUCKET to upload the functions' code now,"
            " or --zips FOLDER to upload it yourself",
        )
    made = templates.make(invocation.names, options, bucket=bucket, code_bucket=code_bucket)
    if code_bucket is not None:
        is_new = templates.upload(invocation.aws(invocation.screen()), made.zips, code_bucket)
        said = "The functions' code is now in" if is_new else "The functions' code was already in"
        click.echo(f"{said} bucket {code_bucket}.", err=True)
    if zips is not None:
        templates.write(made.zips, zips)
        click.echo(f"First upload the code: aws s3 cp --recursive {zips} s3://CODE-BUCKET", err=True)
        click.echo("Then deploy the template with --parameter-overrides CodeBucket=CODE-BUCKET", err=True)
    click.echo(made.text, nl=False)
    if made.is_long:
        click.echo("It is too long to be passed directly: deploy it with --s3-bucket.", err=True)
    click.echo("CloudFormation cannot change the notifications of a bucket that it has not made.", err=True)
    click.echo(f"Once the stack is there, attach it: {made.attach.words(invocation.option)}", err=True)


@cli.command(epilog=examples("s3agg local", "s3agg local --port 4600"))
@option(
    "--port", type=click.IntRange(0, 65_535), default=4566, metavar="PORT", help="Port; 0 for a free one."
)
def local(port: int) -> int:
    """Run AWS on this machine, until Ctrl-C.

    It runs in the foreground, and on loopback only.

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
@option("--count", type=click.IntRange(1, 1000), metavar="NUMBER", default=20, help="Objects to upload.")
@option("--window", type=click.IntRange(1, 600), metavar="SECONDS", default=5, help="Window in seconds.")
@output_option
@verbose_option
def demo(count: int, window: int, output: str, verbose: bool) -> int:
    """Show all of it on this machine; needs no AWS account.

    It makes a stack, uploads, waits for the refresh, shows the status, and removes all of it again.

    Needs the extra: pip install 's3agg[local]'
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
