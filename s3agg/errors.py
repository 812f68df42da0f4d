"""The errors a user can meet: one line each, and what to do next."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

NOTHING_CHANGED = "Nothing was changed, because of all this"


@dataclass(frozen=True)
class Advice:
    """A command to run next. The command line adds --stack, --profile, --region and --endpoint-url."""

    command: str
    bucket: str = ""

    def words(self, option: str = "") -> str:
        """The command; `option` says which stack, and where it is."""
        return f"s3agg {self.command}{f' --bucket {self.bucket}' if self.bucket else ''}{option}"


class S3aggError(Exception):
    """Something failed, or is to be told; `str()` is one line for a person, `exit_code` the process's.

    `option` is how an advised command has to name the stack, and where it is; the command line sets it.
    """

    exit_code = 1
    option = ""

    def __init__(self, problem: str, hint: str = "", advice: Advice | None = None) -> None:
        """`problem` says what was being done, to what, and what AWS said; hint and advice what to do next."""
        self.problem = problem.rstrip(".")
        self.hint = hint.rstrip(".")
        self.advice = advice
        super().__init__(self.problem)

    def __str__(self) -> str:
        return self.text(self.option)

    def text(self, option: str = "") -> str:
        """All of it on one line."""
        step = self.hint if self.advice is None else f"{self.hint}: {self.advice.words(option)}"
        return f"{self.problem}. {step}." if step else f"{self.problem}."

    @property
    def parts(self) -> Sequence[S3aggError]:
        """Each thing that failed."""
        return [self]

    def lines(self) -> Sequence[str]:
        """What a terminal shows."""
        return [str(self)]


class UsageProblem(S3aggError):
    """Something was asked that cannot be: exit code 2 (DESIGN 3)."""

    exit_code = 2


class Problems(S3aggError):
    """Several things that failed, or stand in the way, each with what to do about it."""

    def __init__(self, what: str, parts: Sequence[S3aggError]) -> None:
        """`what` is said before them; it is wrong usage if all of them are."""
        super().__init__(what)
        self.exit_code = min(part.exit_code for part in parts)
        self._parts = parts

    @property
    def parts(self) -> Sequence[S3aggError]:
        return self._parts

    def text(self, option: str = "") -> str:
        return f"{self.problem}: {' '.join(part.text(option) for part in self.parts)}"

    def lines(self) -> Sequence[str]:
        return [f"{self.problem}:", *(f"- {part.text(self.option)}" for part in self.parts)]


def combined(what: str, errors: Iterable[S3aggError]) -> S3aggError:
    """One error of one or more, in which each thing is said once."""
    parts = list({part.text(): part for error in errors for part in error.parts}.values())
    return Problems(what, parts) if len(parts) > 1 else parts[0]


class Interrupted(S3aggError):
    """The user pressed Ctrl-C: the exit code that shells give that."""

    exit_code = 130

    def __init__(self) -> None:
        super().__init__("Interrupted", "It is safe to run the same command again")


def plural(count: int, what: str, ending: str = "s") -> str:
    """So many of them, in words."""
    return f"{count} {what}{'' if count == 1 else ending}"


def printable(text: str) -> str:
    """Text of AWS's or of a user's on its way out: on one line, control characters shown escaped."""
    return re.sub(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff\u2028\u2029\u202a-\u202e\u2066-\u2069]", _escape, text)


def _escape(char: re.Match[str]) -> str:
    return char[0].encode("unicode_escape").decode("ascii")
