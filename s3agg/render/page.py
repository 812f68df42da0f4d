"""The output of a command on stdout: tables or one JSON document."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence

from rich.console import Console, RenderableType

from s3agg.errors import NO_OPTIONS, AwsOptions, S3aggError
from s3agg.prices.bill import Bill
from s3agg.render.cost import cost_view
from s3agg.render.document import failed_document, to_json

WIDE = 100_000  # columns without a terminal, so that no name or ARN in a pipe is split over two lines
# Environment variables that are passed to rich. This file evaluates the others.
LEFT_TO_RICH = ("TERM", "COLORTERM")

# The spaces at the end of a line, and the codes after them that end its colours.
TRAILING = re.compile(r"[ \t]+((?:\x1b\[[0-9;]*m)*)$", re.MULTILINE)


def console(*, stderr: bool = False, environment: Mapping[str, str] = os.environ) -> Console:
    """A console for stdout or stderr. It prints plain text unless the stream is a capable terminal.

    With NO_COLOR, a terminal gets no escape codes either, and progress on stderr is printed as lines.
    With FORCE_COLOR, other streams get colours but no cursor movements.
    """
    stream = sys.stderr if stderr else sys.stdout
    terminal = stream is not None and stream.isatty()
    capable = terminal and environment.get("TERM", "").lower() not in {"dumb", "unknown"}
    colourless = bool(environment.get("NO_COLOR"))
    forced = environment.get("FORCE_COLOR", "0") not in {"", "0"}
    known = {name: environment[name] for name in LEFT_TO_RICH if name in environment}
    sizes = {name: environment.get(name, "") for name in ("COLUMNS", "LINES")}
    known |= {name: size for name, size in sizes.items() if re.fullmatch("0*[1-9][0-9]{0,3}", size)}
    if not terminal:
        known.setdefault("COLUMNS", str(WIDE))
    return Console(
        stderr=stderr,
        force_terminal=capable and not (colourless and stderr),
        color_system=None if colourless else "standard" if forced and not capable else "auto",
        highlight=False,
        soft_wrap=False,
        emoji=False,
        _environ=known,
    )


def print_to(to: Console, content: RenderableType, *, soft_wrap: bool = False) -> None:
    """Print content. Without a terminal, the spaces that rich adds to the ends of lines are removed."""
    if to.is_terminal:
        to.print(content, soft_wrap=soft_wrap)
        return
    with to.capture() as printed:
        to.print(content, soft_wrap=soft_wrap)
    to.file.write(TRAILING.sub(r"\1", printed.get()))
    to.file.flush()


class Page:
    """The output of a command on stdout. Imports no boto3, as some commands make no AWS calls."""

    def __init__(
        self, *, as_json: bool, aws_options: AwsOptions = NO_OPTIONS, out: Console | None = None
    ) -> None:
        """Each advised command repeats `aws_options`."""
        self.as_json = as_json
        self.aws_options = aws_options
        self.out = out or console()
        self.known: dict[str, object] = {}  # keys of the document of a failure
        self.on_failure: Callable[[Sequence[S3aggError]], object] | None = None  # prints a fuller one
        self._has_document = False

    def show(self, as_object: object, as_table: Callable[[], RenderableType]) -> None:
        """Print a result as one JSON document or as a table."""
        if self.as_json:
            self.document(as_object)
        else:
            self.print(as_table())

    def print(self, content: RenderableType) -> None:
        print_to(self.out, content)

    def document(self, content: object) -> None:
        """Print a JSON document, whatever --output is."""
        self._has_document = True
        self.out.file.write(to_json(content) + "\n")
        self.out.file.flush()

    def failure(self, command: str, problems: Sequence[S3aggError]) -> None:
        """Print the JSON of a command that failed, unless it has printed a document."""
        if self._has_document:
            return
        if self.on_failure is not None:
            self.on_failure(problems)
            return
        content = failed_document(command, self.known, problems, self.aws_options)
        if content is not None:
            indent = None if command == "logs" else 2  # one document a line
            self.out.file.write(to_json(content, indent) + "\n")
            self.out.file.flush()

    def cost(self, bill: Bill, *, compare: bool) -> None:
        self.show({**vars(bill), "problems": []}, lambda: cost_view(bill, compare=compare))
