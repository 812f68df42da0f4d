"""Lines on stderr that no screen prints: errors, and what follows a printed document."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import suppress

import click

from s3agg.errors import printable


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
