"""How long it takes until a command that asks nobody has answered."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.benchmarks.baseline import AWS
from tests.benchmarks.figures import Figure
from tests.benchmarks.timing import timed

S3AGG = Path(sys.executable).with_name("s3agg")
AT_MOST_MS = 100


def figures(*, repeat: int) -> list[Figure]:
    """Each command, and `aws --version` beside it, in turn."""
    ours: dict[str, list[float]] = {"--help": [], "--version": []}
    theirs = []
    for _ in range(repeat):
        theirs.append(_milliseconds(AWS, "--version"))
        for option, values in ours.items():
            values.append(_milliseconds(S3AGG, option))
    return [
        Figure(
            f"s3agg {option}",
            "ms",
            values,
            at_most=AT_MOST_MS,
            against="aws --version",
            theirs=theirs,
            ratio_of=3,
        )
        for option, values in ours.items()
    ]


def _milliseconds(program: Path, option: str) -> float:
    words: Sequence[str] = [str(program), option]
    return 1000 * timed(lambda: subprocess.run(words, check=True, capture_output=True))  # noqa: S603  # ours, and the AWS CLI
