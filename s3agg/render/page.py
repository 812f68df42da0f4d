"""Where a command shows its result: on stdout, as tables or as one JSON document."""

from __future__ import annotations

from collections.abc import Callable

from rich.console import Console, RenderableType

from s3agg.bill import Bill
from s3agg.render.cost import cost_view
from s3agg.render.document import to_json

WIDE = 200  # where nobody says how wide: a pipe must not break names in two


def console(*, stderr: bool = False) -> Console:
    """A console for stdout or stderr; no colour where it is no terminal, or NO_COLOR is set."""
    made = Console(stderr=stderr, highlight=False, soft_wrap=False, emoji=False)
    if not made.is_terminal and "COLUMNS" not in made._environ:  # noqa: SLF001  # rich's own view of it
        made = Console(stderr=stderr, highlight=False, soft_wrap=False, emoji=False, width=WIDE)
    return made


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
