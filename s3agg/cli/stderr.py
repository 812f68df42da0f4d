"""Lines on stderr that no screen prints: errors, and what follows a printed document."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import suppress

import click

from s3agg.errors import NO_OPTIONS, AwsOptions, S3aggError, printable


def fail(error: S3aggError, aws_options: AwsOptions = NO_OPTIONS) -> int:
    """Print an error, whose advised commands repeat `aws_options`, and return its exit code."""
    tell(*error.lines(aws_options))
    return error.exit_code


def tell(*lines: str) -> None:
    """Print lines to stderr if it can be written, on a terminal wrapped at words."""
    with suppress(OSError):
        if sys.stderr is not None and sys.stderr.isatty():
            _print_wrapped(lines)
        else:
            for line in lines:
                click.echo(printable(line), err=True)


def _print_wrapped(lines: Sequence[str]) -> None:
    from s3agg.render.page import console  # rich takes time that an error in a pipe does not need
    from s3agg.render.wrapping import print_line

    terminal = console(stderr=True)
    for line in lines:
        print_line(terminal, line)
