"""Lines on stderr that no screen prints: errors, and what follows a printed document."""

from __future__ import annotations

import sys

import click

from s3agg.errors import printable


def tell(*lines: str) -> None:
    """Print lines to stderr, on a terminal wrapped at words. A pipe does not wait for rich."""
    if sys.stderr is None or not sys.stderr.isatty():
        for line in lines:
            click.echo(printable(line), err=True)
        return
    from s3agg.render.page import console
    from s3agg.render.wrapping import print_line

    terminal = console(stderr=True)
    for line in lines:
        print_line(terminal, line)
