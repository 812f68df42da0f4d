"""Delete what an interrupted acceptance run has left: python -m tests.acceptance TOKEN."""

from __future__ import annotations

import os
import re
import sys

import click

from tests.acceptance import leftovers, share
from tests.acceptance.account import connect

LONGEST_S = 600
PAUSE_S = 2


def main() -> int:
    if len(sys.argv) != 2 or not re.fullmatch(r"[0-9a-f]{8}", sys.argv[1]):
        click.echo("Usage: python -m tests.acceptance TOKEN", err=True)
        return 2
    aws = connect()
    place = aws.place
    click.echo(f"Deleting what run {sys.argv[1]} left in {place.region} of account {place.account}.")
    arn = os.environ.get(share.VARIABLE, "")
    left = leftovers.remove_all(
        aws,
        sys.argv[1],
        tell=click.echo,
        shared=share.describe(aws, arn) if arn else None,
        within_s=LONGEST_S,
        pause_s=PAUSE_S,
    )
    click.echo("\n".join(["Left:", *left]) if left else "Nothing is left.")
    return 1 if left else 0


if __name__ == "__main__":
    sys.exit(main())
