"""Questions to the user, before a change that cannot be undone."""

from __future__ import annotations

import sys
from contextlib import suppress

import click

from s3agg.errors import Interrupted, UsageProblem


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
