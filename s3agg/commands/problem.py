"""A problem of a stack as data: what is wrong, and the next steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from s3agg.errors import NO_OPTIONS, Advice, AwsOptions, S3aggError


@dataclass(frozen=True)
class Step:
    """A step to take next: its purpose and its command, or only words."""

    words: str
    command: Advice | None = None

    def text(self, aws_options: AwsOptions = NO_OPTIONS) -> str:
        """The step in words. Its command repeats `aws_options`."""
        return f"{self.words} {self.command.words(aws_options)}" if self.command else self.words


@dataclass(frozen=True)
class Problem:
    """A problem of a stack and its next steps. `brief` is its part of the first line of `status`."""

    what: str
    steps: Sequence[Step]
    brief: str = ""

    def advice(self, aws_options: AwsOptions = NO_OPTIONS) -> str:
        """All steps in one sentence, empty without steps. Their commands repeat `aws_options`."""
        return f"{'; '.join(step.text(aws_options) for step in self.steps)}." if self.steps else ""


SEE_THE_LOGS = Step("To see why, run", Advice("logs", options={"since": "1h"}))


def as_problem(error: S3aggError) -> Problem:
    if error.advice is None:
        return Problem(error.problem, [Step(error.hint)] if error.hint else [])
    words = error.hint if error.hint.endswith(", run") else f"{error.hint}:"
    return Problem(error.problem, [Step(words, error.advice)])
