"""A figure of the benchmarks: what was measured, against what, and whether it meets its target."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from tests.benchmarks.report import number, several

HEADINGS = ("figure", "s3agg", "compared with", "ratio", "asked for", "reached")


@dataclass(frozen=True)
class Figure:
    """One thing that was measured, several times; `theirs` is the baseline, run by run beside `ours`.

    Asked for is `at_most` of ours, or that theirs is `ratio_of` times ours or more.
    """

    what: str
    unit: str  # s, ms, µs, calls, writes, packages
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
    def reached(self) -> bool | None:
        """None where nothing was asked for."""
        if self.at_most is None and self.ratio_of is None:
            return None
        enough = self.ratio_of is None or (self.ratio is not None and self.ratio >= self.ratio_of)
        return enough and (self.at_most is None or self.middle <= self.at_most)

    @property
    def cells(self) -> tuple[str, ...]:
        """As HEADINGS name them."""
        theirs = f"{self.against}: {number(median(self.theirs))} {self.unit}" if self.theirs else self.against
        ratio = "" if self.ratio is None else f"{number(self.ratio)} ×"
        return self.what, f"{several(self.ours)} {self.unit}", theirs, ratio, self._asked, self._reached

    @property
    def _asked(self) -> str:
        parts = [] if self.at_most is None else [f"≤ {number(self.at_most)} {self.unit}"]
        parts += [] if self.ratio_of is None else [f"≥ {number(self.ratio_of)} ×"]
        return ", ".join(parts)

    @property
    def _reached(self) -> str:
        """Or by how much it was missed."""
        if self.reached is None:
            return ""
        if self.reached:
            return "yes"
        if self.at_most is not None and self.middle > self.at_most:
            return f"missed by {number(self.middle - self.at_most)} {self.unit}"
        return "missed"

    @property
    def document(self) -> dict[str, Any]:
        return {
            "figure": self.what,
            "unit": self.unit,
            "s3agg": list(self.ours),
            "median": self.middle,
            "compared with": self.against or None,
            "theirs": list(self.theirs),
            "ratio": self.ratio,
            "at most": self.at_most,
            "ratio asked for": self.ratio_of,
            "reached": self.reached,
            "note": self.note,
        }
