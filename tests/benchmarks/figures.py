"""The figures of the benchmarks: what was measured, against what, and whether that is what was asked for."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

HEADINGS = ("figure", "s3agg", "compared with", "ratio", "asked for", "reached")


@dataclass(frozen=True)
class Figure:
    """One thing that was measured, several times; `theirs` is the baseline, run by run beside `ours`.

    Asked for is `at_most` of ours, or that theirs is `ratio_of` times ours or more.
    """

    what: str
    unit: str  # s, ms, µs, calls, writes
    ours: Sequence[float]
    at_most: float | None = None
    against: str = ""
    theirs: Sequence[float] = ()
    ratio_of: float | None = None
    note: str = ""  # how it was counted; or why it was missed

    @property
    def middle(self) -> float:
        return median(self.ours)

    @property
    def ratio(self) -> float | None:
        """Theirs to ours, the median of the ratios run by run: what disturbs a run disturbs both."""
        if not self.theirs:
            return None
        return median(their / our for our, their in zip(self.ours, self.theirs, strict=True))

    @property
    def reached(self) -> bool:
        ratio = self.ratio
        return (self.at_most is None or self.middle <= self.at_most) and (
            self.ratio_of is None or (ratio is not None and ratio >= self.ratio_of)
        )

    @property
    def asked(self) -> str:
        parts = [] if self.at_most is None else [f"≤ {number(self.at_most)} {self.unit}"]
        parts += [] if self.ratio_of is None else [f"≥ {number(self.ratio_of)} ×"]
        return ", ".join(parts)

    @property
    def missed_by(self) -> str:
        """How far it is from what was asked for; "yes" where it is reached."""
        if self.at_most is None and self.ratio_of is None:
            return ""
        if self.reached:
            return "yes"
        if self.at_most is not None and self.middle > self.at_most:
            return f"missed by {number(self.middle - self.at_most)} {self.unit}"
        return f"missed, {number(self.ratio or 0)} ×"

    @property
    def cells(self) -> tuple[str, ...]:
        theirs = f"{self.against}: {number(median(self.theirs))} {self.unit}" if self.theirs else self.against
        ratio = "" if self.ratio is None or self.ratio_of is None else f"{number(self.ratio)} ×"
        return self.what, f"{several(self.ours)} {self.unit}", theirs, ratio, self.asked, self.missed_by


def number(value: float) -> str:
    """Three digits that count."""
    if value == int(value) or abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:.2g}" if abs(value) < 1 else f"{value:.3g}"


def several(values: Sequence[float]) -> str:
    """The median, with the lowest and the highest where they differ."""
    low, high = min(values), max(values)
    spread = "" if number(low) == number(high) else f" ({number(low)}-{number(high)})"
    return number(median(values)) + spread


def as_markdown(figures: Sequence[Figure]) -> str:
    """One table, aligned, that a README can show as it is; the notes below it."""
    rows = [HEADINGS, *(figure.cells for figure in figures)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADINGS))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"
        for row in rows
    ]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    notes = [f"- {figure.what}: {figure.note}" for figure in figures if figure.note]
    return "\n".join([*lines, *(["", *notes] if notes else [])])


def as_json(figures: Sequence[Figure], about: Mapping[str, Any]) -> str:
    """Every run of every figure."""
    return json.dumps(
        {
            **about,
            "figures": [
                {
                    "figure": each.what,
                    "unit": each.unit,
                    "s3agg": list(each.ours),
                    "median": each.middle,
                    "compared with": each.against or None,
                    "theirs": list(each.theirs),
                    "ratio": each.ratio,
                    "at most": each.at_most,
                    "ratio asked for": each.ratio_of,
                    "reached": each.reached,
                    "note": each.note,
                }
                for each in figures
            ],
        },
        indent=2,
        ensure_ascii=False,
    )
