"""status, list and logs: what is there, and what goes on."""

from __future__ import annotations

from contextlib import nullcontext, suppress
from typing import TYPE_CHECKING

import click

from s3agg import settings
from s3agg.cli.exit_codes import NOT_AS_DECLARED, NOT_HEALTHY
from s3agg.cli.invocation import Invocation
from s3agg.cli.option_types import option
from s3agg.cli.options import account_options, attached_bucket_option, aws_options
from s3agg.cli.usage import command, examples
from s3agg.errors import UsageProblem

if TYPE_CHECKING:
    from s3agg.commands.health import Status


@command(epilog=examples("s3agg status", "s3agg status --output json"))
@option("--watch", is_flag=True, help="Redraw the screen every 2 seconds until Ctrl-C.")
@aws_options
def status(invocation: Invocation, watch: bool) -> int:
    """Show whether the stack works, on one screen.

    Shows all resources, windows, file shares and queues, and recent activity. Exit code 3 if a resource is
    missing, drifted or foreign. Exit code 4 if there are only dead letters, lost events or overdue refreshes.
    --watch ends with the exit code of the last screen.
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


@command("list", epilog=examples("s3agg list", "s3agg list --region us-west-2 --output json"))
@account_options
def list_stacks(invocation: Invocation) -> int:
    """List the stacks of the account.

    Shows the buckets and settings of the stacks in this region, and the region of every other stack.
    """
    from s3agg.commands import list_stacks as lists

    screen = invocation.screen()
    screen.stacks(lists.read(invocation.aws(screen)))
    return 0


@command(epilog=examples("s3agg logs --since 2h --bucket my-uploads", "s3agg logs --follow"))
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
@option("--all", "everything", is_flag=True, help="Also show START, END, REPORT, metrics and tracebacks.")
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
