"""Where a command shows its result: on stdout, as tables or as one JSON document."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping

from rich.console import Console, RenderableType

from s3agg.prices.bill import Bill
from s3agg.render.cost import cost_view
from s3agg.render.document import to_json

WIDE = 200  # where nobody says how wide: a pipe must not break names in two
# What of the environment rich goes by itself; the rest is decided on here.
LEFT_TO_RICH = ("TERM", "COLORTERM", "LINES")


def console(*, stderr: bool = False, environment: Mapping[str, str] = os.environ) -> Console:
    """A console for stdout or stderr; nothing but text where it is no terminal, or a dumb one.

    NO_COLOR takes the escape codes from a terminal too, so that progress on stderr comes as lines;
    FORCE_COLOR gives colour, but nothing that moves a cursor, to a log that can show it.
    """
    stream = sys.stderr if stderr else sys.stdout
    terminal = stream is not None and stream.isatty()
    able = terminal and environment.get("TERM", "").lower() not in {"dumb", "unknown"}
    plain = bool(environment.get("NO_COLOR"))
    forced = environment.get("FORCE_COLOR", "0") not in {"", "0"}
    known = {name: environment[name] for name in LEFT_TO_RICH if name in environment}
    columns = environment.get("COLUMNS", "")
    if columns.isdigit() and int(columns):
        known["COLUMNS"] = columns
    elif not terminal:
        known["COLUMNS"] = str(WIDE)
    return Console(
        stderr=stderr,
        force_terminal=able and not (plain and stderr),
        color_system=None if plain else "standard" if forced and not able else "auto",
        highlight=False,
        soft_wrap=False,
        emoji=False,
        _environ=known,
    )


class Page:
    """Where a command shows its result. Needs no boto3: not every command asks AWS."""

    def __init__(self, *, as_json: bool, out: Console | None = None) -> None:
        self.as_json = as_json
        self.out = out or console()

    def show(self, as_object: object, as_table: Callable[[], RenderableType]) -> None:
        """Print a result, as one JSON document or as a table."""
        if self.as_json:
            self.document(as_object)
        else:
            self.print(as_table())

    def print(self, content: RenderableType) -> None:
        """Print for people; where nobody looks on, without the blanks that fill up rich's lines."""
        if self.out.is_terminal:
            self.out.print(content)
            return
        with self.out.capture() as printed:
            self.out.print(content)
        for line in printed.get().splitlines():
            self.out.file.write(line.rstrip() + "\n")
        self.out.file.flush()

    def document(self, content: object) -> None:
        """Print a JSON document, for a program whatever --output says."""
        self.out.file.write(to_json(content) + "\n")
        self.out.file.flush()

    def cost(self, bill: Bill) -> None:
        self.show(bill, lambda: cost_view(bill))
