"""The command line: the group of all commands, its errors and its exit code.

Each command parses options, makes one call and shows the result. It imports boto3 and rich itself, so that
`--help` does not wait for them.
"""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

import click
from click.exceptions import NoArgsIsHelpError

from s3agg import __version__
from s3agg.cli import documents, events, exit_codes, monitoring, provisioning, this_machine
from s3agg.cli.invocation import DEFAULT_SEAMS, Seams
from s3agg.cli.stderr import fail, tell
from s3agg.cli.usage import usage_problem
from s3agg.errors import Interrupted, S3aggError, shell_quoted

UNWRITABLE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}  # errors of a full or broken disk


def main(args: Sequence[str] | None = None, seams: Seams = DEFAULT_SEAMS) -> NoReturn:
    """Run the command line and print each error as one line on stderr. exit_codes.py has its codes."""
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
        return fail(usage_problem(error))
    except click.Abort:
        tell(
            "Nothing was changed." if sys.stdin.isatty() else "Nothing was changed. Answer y, or pass --yes."
        )
        return 1
    except click.ClickException as error:
        tell(error.format_message())
        return error.exit_code
    except S3aggError as error:
        return fail(error)
    return code or 0


class Commands(click.Group):
    """The group of commands. Ctrl-C raises Interrupted: click would treat it as the answer "no"."""

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
        """The commands in the order in which they are added, not sorted."""
        return list(self.commands)


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=exit_codes.as_help(),
)
@click.version_option(__version__)
def cli() -> None:
    """Thousands of S3 uploads, one Storage Gateway refresh.

    Creates, tests, monitors and deletes an S3 event aggregator. The first object event of a bucket opens
    a window. Further events are skipped while the window is open. When it closes, RefreshCache runs once
    for every file share of the bucket.

    Start with: s3agg demo   (runs on this machine, needs no AWS account)
    """


for each in (
    provisioning.create,
    provisioning.delete,
    monitoring.status,
    monitoring.list_stacks,
    events.test_upload,
    events.refresh,
    monitoring.logs,
    events.redrive,
    documents.policy,
    documents.cost,
    this_machine.completion,
    documents.template,
    this_machine.local,
    this_machine.demo,
):
    cli.add_command(each)
