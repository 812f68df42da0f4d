"""The view of `logs`."""

from __future__ import annotations

from datetime import datetime

from rich.text import Text

from s3agg.commands.logs import Entry
from s3agg.render.words import plain

LEVELS = {"DEBUG": "dim", "WARNING": "yellow", "WARN": "yellow", "ERROR": "bold red", "CRITICAL": "bold red"}
LONGEST_FUNCTION = len("aggregator")


def log_line(entry: Entry) -> Text:
    """UTC time, function, level, message and request id. Lines of a traceback follow, indented."""
    first, *more = entry.message.replace("\t", "  ").rstrip("\n").split("\n")
    line = Text.assemble(
        (f"{entry.time:%H:%M:%S}.{entry.time.microsecond // 1000:03}", "dim"),
        " ",
        (entry.function.ljust(LONGEST_FUNCTION), "cyan" if entry.function == "aggregator" else "magenta"),
        " ",
        plain(entry.level.ljust(7), LEVELS.get(entry.level, "")),
        " ",
        plain(first, LEVELS.get(entry.level, "") if entry.level else "dim"),
    )
    if entry.request_id and entry.request_id not in first:
        line.append_text(plain(f"  {entry.request_id}", "dim"))
    for each in more:
        line.append_text(Text.assemble("\n    ", plain(each)))
    return line


def day_line(moment: datetime) -> Text:
    return Text(f"{moment:%Y-%m-%d} (times are UTC)", style="dim")
