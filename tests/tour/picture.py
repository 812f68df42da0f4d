"""A terminal's screen as an SVG picture, which also holds the screen's text."""

from __future__ import annotations

import io
import re
import xml.etree.ElementTree as ET
from html import escape, unescape
from itertools import groupby
from pathlib import Path

import pyte
from pyte.screens import Char
from rich.cells import cell_len
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
PAGE = 100  # columns of the widest picture
INDENT = 4  # columns, of the rest of a line that is longer
TEXT = re.compile(
    r'<text class="(?P<style>[^"]*)" x="(?P<x>[^"]*)" y="(?P<y>[^"]*)" textLength="(?P<length>[^"]*)"'
    r' clip-path="(?P<clip>[^"]*)">(?P<text>[^<]*)</text>'
)
COLOURS = {"brown": "yellow", "brightblack": "bright_black"}  # as pyte calls them: as rich does


def draw(line: str, screen: pyte.Screen) -> str:
    """The picture of a screen after this command line, as SVG."""
    shown = text(line, screen)
    console = Console(record=True, file=io.StringIO(), width=min(screen.columns, PAGE), force_terminal=True)
    console.print(folded(shown, console))
    drawn = console.export_svg(title="s3agg", code_format=FORMAT, unique_id="tour")
    drawn = TEXT.sub(without_blanks, drawn)
    return drawn.replace("<style>", f"<desc>{escape(shown.plain, quote=False)}</desc>\n<style>", 1)


def folded(shown: Text, console: Console) -> Text:
    """The text with its longer lines folded at words to the console's width."""
    lines: list[Text] = []
    for line in shown.split("\n", allow_blank=True):
        if line.cell_len <= console.width:
            lines.append(line)
            continue
        first, *rest = line.wrap(console, console.width - INDENT)
        lines += [first, *(Text.assemble(" " * INDENT, each) for each in rest)]
    return Text("\n").join(lines)


def without_blanks(element: re.Match[str]) -> str:
    """A text element as one for each of its parts, without blanks at their ends and side by side.

    Some renderers drop no-break spaces, and others drop several blanks. Then the columns would move.
    """
    words = unescape(element["text"])
    width = float(element["length"]) / max(cell_len(words), 1)  # of a column
    parts = []
    for part in re.finditer(r"[^\xa0]+(?:\xa0[^\xa0]+)*", words):
        x = float(element["x"]) + cell_len(words[: part.start()]) * width
        length = cell_len(part[0]) * width
        shown = escape(part[0].replace("\xa0", " "))
        parts.append(
            f'<text class="{element["style"]}" x="{x:g}" y="{element["y"]}" textLength="{length:g}"'
            f' clip-path="{element["clip"]}">{shown}</text>'
        )
    return "".join(parts)


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
