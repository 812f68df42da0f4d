"""Screens whose consoles write into memory."""

from __future__ import annotations

import io
from collections.abc import Generator
from datetime import datetime, timezone

from rich.console import Console

from s3agg.render.screen import Screen

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc)


class Memory(io.StringIO):
    """What was written, by somebody who can only write this encoding."""

    def __init__(self, encoding: str) -> None:
        super().__init__()
        self.can = encoding

    @property
    def encoding(self) -> str:  # type: ignore[override]  # a plain attribute there, which is always None
        return self.can


def happening(*events: object) -> Generator[object, None, None]:
    """Events, as a command yields them."""
    yield from events


def make_screen(
    *,
    width: int = 80,
    height: int = 25,
    terminal: bool = False,
    as_json: bool = False,
    encoding: str = "utf-8",
) -> Screen:
    """A screen whose two consoles write into memory."""

    def console() -> Console:
        return Console(
            file=Memory(encoding), width=width, height=height, force_terminal=terminal, highlight=False
        )

    return Screen(as_json=as_json, out=console(), err=console())


def text_of(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()
