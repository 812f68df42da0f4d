"""How every benchmark tells: of which machine its figures are, and the figures, for people or as JSON."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any


def machine() -> dict[str, Any]:
    """What figures depend on, and how busy the machine is with other things before the first run."""
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "cpus": os.cpu_count(),
        "python": platform.python_version(),
        "load": round(os.getloadavg()[0], 2),
    }


def as_text(about: Mapping[str, Any], rows: Sequence[Sequence[str]], notes: Sequence[str] = ()) -> str:
    """A line about the machine, one table that a README can show as it is, and notes below it."""
    told = ", ".join(f"{name}: {value}" for name, value in about.items())
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"
        for row in rows
    ]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    below = ["", *(f"- {note}" for note in notes)] if notes else []
    return "\n".join([told, "", *lines, *below])


def as_json(about: Mapping[str, Any], name: str, measured: Sequence[Mapping[str, Any]]) -> str:
    """Every run of everything that was measured."""
    return json.dumps({**about, name: measured}, indent=2, ensure_ascii=False)


def number(value: float) -> str:
    """Three digits that count."""
    if value == int(value) or abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:.2g}" if abs(value) < 1 else f"{value:.3g}"


def several(values: Sequence[float | None]) -> str:
    """The median, with the lowest and the highest where they differ; None did not come about."""
    known = sorted(value for value in values if value is not None)
    if not known:
        return "never"
    low, high = number(known[0]), number(known[-1])
    missing = len(values) - len(known)
    spread = "" if low == high else f" ({low}-{high})"
    return number(median(known)) + spread + (f", {missing} x never" if missing else "")
