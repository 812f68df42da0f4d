"""A terminal's screen as an SVG picture, which also holds the screen's text."""

from __future__ import annotations

import io
import re
import xml.etree.ElementTree as ET
from html import escape
from itertools import groupby
from pathlib import Path

import pyte
from pyte.screens import Char
from rich.console import Console
from rich.style import Style
from rich.text import Text

# As rich draws it, but with the fonts that the reader has.
FORMAT = """<svg role="img" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
<style>
.{unique_id}-matrix {{ font: {char_height}px/{line_height}px monospace; }}
.{unique_id}-title {{ font: bold 18px sans-serif; }}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}" />
</clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""
COLOURS = {"brown": "yellow", "brightblack": "bright_black"}  # as pyte calls them: as rich does


def draw(line: str, screen: pyte.Screen) -> str:
    """The picture of a screen after this command line, as SVG."""
    shown = text(line, screen)
    console = Console(record=True, file=io.StringIO(), width=screen.columns, force_terminal=True)
    console.print(shown)
    drawn = console.export_svg(title="s3agg", code_format=FORMAT, unique_id="tour")
    return drawn.replace("<style>", f"<desc>{escape(shown.plain, quote=False)}</desc>\n<style>", 1)


def text(line: str, screen: pyte.Screen) -> Text:
    return Text.assemble(("$ ", "green"), (line, "bold"), "\n", rows(screen))


def rows(screen: pyte.Screen) -> Text:
    """The rows of a screen down to the last that shows anything, in their colours."""
    lines = [
        Text.assemble(
            *(
                ("".join(char.data for char in chars), style)
                for style, chars in groupby((screen.buffer[y][x] for x in range(screen.columns)), style_of)
            )
        )
        for y in range(screen.lines)
    ]
    for each in lines:
        each.rstrip()
    while lines and not lines[-1]:
        lines.pop()
    return Text("\n").join(lines)


def style_of(char: Char) -> Style:
    colour = f"#{char.fg}" if re.fullmatch("[0-9a-f]{6}", char.fg) else COLOURS.get(char.fg, char.fg)
    return Style(
        color=colour,
        bold=char.bold or None,
        italic=char.italics or None,
        underline=char.underscore or None,
    )


def text_in(picture: Path) -> str:
    """The text of the screen that a picture shows."""
    found = ET.parse(picture).find("{http://www.w3.org/2000/svg}desc")  # noqa: S314  # we drew it
    assert found is not None
    return found.text or ""
