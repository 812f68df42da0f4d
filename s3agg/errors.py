"""The errors that a user can see: one line each, with the next step."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

# Control characters, and characters without width or with a direction: two texts could look the same.
UNPRINTABLE = (
    "[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff"
    "\U000e0000-\U000e007f]"
)
NOTHING_CHANGED = "Nothing was changed. Fix these problems first"


OF_ALL_STACKS = {"list"}  # commands without --stack
# The AWS options of a command line, by their names: stack, profile, region, endpoint-url.
AwsOptions = Mapping[str, str]
NO_OPTIONS: AwsOptions = MappingProxyType({})


@dataclass(frozen=True)
class Advice:
    """A command to run next. `options` are its own by their names, with None as the value of a flag.

    Where it is shown, it repeats the AWS options of the command line.
    """

    command: str
    bucket: str = ""
    options: Mapping[str, str | None] = field(default_factory=dict)

    def words(self, aws_options: AwsOptions = NO_OPTIONS) -> str:
        """The command line."""
        bucket = {"bucket": self.bucket} if self.bucket else {}
        repeated = without_stack(aws_options) if self.command in OF_ALL_STACKS else aws_options
        return f"s3agg {self.command}{as_options({**self.options, **bucket, **repeated})}"


class AwsAdvice(Advice):
    """A command of the AWS CLI to run next, which has the same AWS options except --stack."""

    def words(self, aws_options: AwsOptions = NO_OPTIONS) -> str:
        return f"aws {self.command}{as_options({**self.options, **without_stack(aws_options)})}"


def without_stack(aws_options: AwsOptions) -> AwsOptions:
    return {name: value for name, value in aws_options.items() if name != "stack"}


def as_options(options: Mapping[str, str | None]) -> str:
    """Options as the end of a command line."""
    return "".join(
        f" --{name}" if value is None else f" --{name} {shell_quoted(value)}"
        for name, value in options.items()
    )


class S3aggError(Exception):
    """A failure or a warning, which `text` tells in one line; `exit_code` is the exit code of the process."""

    exit_code = 1

    def __init__(self, problem: str, hint: str = "", advice: Advice | None = None) -> None:
        """`problem` states what failed and AWS's reason; `hint` and `advice` state the next step."""
        self.problem = problem.rstrip(".")
        self.hint = hint.rstrip(".")
        self.advice = advice
        super().__init__(self.problem)

    def __str__(self) -> str:
        return self.text()

    def text(self, aws_options: AwsOptions = NO_OPTIONS) -> str:
        """Problem, hint and advice on one line. The advised command repeats `aws_options`."""
        return f"{self.problem}. {self.step(aws_options)}".rstrip()

    def step(self, aws_options: AwsOptions = NO_OPTIONS) -> str:
        """Hint and advice in one sentence; empty without a next step."""
        step = self.hint if self.advice is None else f"{self.hint}: {self.advice.words(aws_options)}"
        return step and f"{step}."

    @property
    def parts(self) -> Sequence[S3aggError]:
        """The errors that this one combines, or only itself."""
        return [self]

    def lines(self, aws_options: AwsOptions = NO_OPTIONS) -> Sequence[str]:
        """The lines that a terminal shows."""
        return [self.text(aws_options)]


class Note(S3aggError):
    """What a command that ends early has done. It is shown like a warning, and not called one."""


class UsageProblem(S3aggError):
    """The command line or a setting is invalid: exit code 2 (DESIGN 3)."""

    exit_code = 2


class Problems(S3aggError):
    """Several errors, each with its next step."""

    def __init__(self, heading: str, parts: Sequence[S3aggError]) -> None:
        """`heading` precedes the errors. The exit code is 2 only if each of them has 2."""
        super().__init__(heading)
        self.exit_code = min(part.exit_code for part in parts)
        self._parts = parts

    @property
    def parts(self) -> Sequence[S3aggError]:
        return self._parts

    def text(self, aws_options: AwsOptions = NO_OPTIONS) -> str:
        return f"{self.problem}: {' '.join(part.text(aws_options) for part in self.parts)}"

    def lines(self, aws_options: AwsOptions = NO_OPTIONS) -> Sequence[str]:
        return [f"{self.problem}:", *(f"- {part.text(aws_options)}" for part in self.parts)]


def combined(heading: str, errors: Iterable[S3aggError]) -> S3aggError:
    """Combine errors into one, without duplicates. A single error is returned as it is."""
    parts = list({part.text(): part for error in errors for part in error.parts}.values())
    return Problems(heading, parts) if len(parts) > 1 else parts[0]


class Interrupted(S3aggError):
    """The user pressed Ctrl-C: exit code 130, as in shells."""

    exit_code = 130

    def __init__(self, running: Sequence[str] = ()) -> None:
        """`running` names the changes that AWS may still be making."""
        problem = f"Interrupted. AWS may still be {', '.join(running)}" if running else "Interrupted"
        super().__init__(problem, "It is safe to run the same command again")


def plural(count: float, noun: str, ending: str = "s", *, shown: str | None = None) -> str:
    """The count and the noun, with the ending unless the count is 1; `shown` is the formatted count."""
    return f"{shown or count} {noun}{'' if count == 1 else ending}"


def printable(text: str) -> str:
    """Text from AWS or a user as one line, with control characters and invisible ones escaped."""
    return re.sub(UNPRINTABLE, _escape, text)


def _escape(char: re.Match[str]) -> str:
    return char[0].encode("unicode_escape").decode("ascii")


def shell_quoted(text: str) -> str:
    """Text as one word of a command to copy. A shell reads the escapes of $'...', and a reader sees them."""
    if not re.search(UNPRINTABLE, text):
        return shlex.quote(text)
    escaped = re.sub(UNPRINTABLE, _escape_for_shell, re.sub(r"[\\']", r"\\\g<0>", text))
    return f"$'{escaped}'"


def _escape_for_shell(char: re.Match[str]) -> str:
    # Python stands a surrogate for each byte of an argument that is not UTF-8.
    is_byte = "\udc80" <= char[0] <= "\udcff"
    encoded = char[0].encode(errors="surrogateescape" if is_byte else "surrogatepass")
    return "".join(f"\\x{byte:02x}" for byte in encoded)
