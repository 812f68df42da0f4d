"""The exit codes of all commands."""

from __future__ import annotations

from collections.abc import Mapping

NOT_AS_DECLARED = 3
NOT_HEALTHY = 4
EXIT_CODES: Mapping[int, str] = {  # also in README.md
    0: "success: the stack is healthy, or a dry run has nothing to do",
    1: "failure",
    2: "wrong usage",
    NOT_AS_DECLARED: "not as declared (missing, drifted, foreign), or a dry run has changes",
    NOT_HEALTHY: "as declared, not healthy: dead letters, lost events, an overdue refresh",
    130: "interrupted",
}


def code_of_dry_run(to_do: object) -> int:
    """The exit code of every dry run that could be carried out; `to_do` is false with nothing to do."""
    return NOT_AS_DECLARED if to_do else 0


def as_help() -> str:
    """The exit codes below the list of commands. The backspace keeps click from wrapping their lines."""
    return "\b\n" + "\n".join(["Exit codes:", *(f"  {code:<3}  {what}" for code, what in EXIT_CODES.items())])
