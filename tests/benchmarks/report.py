"""What every benchmark tells: of which machine its figures are, and the figures, for people or as JSON."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import Any

# Of one run, by the heading of their column; None: it did not come about.
Figures = Mapping[str, float | None]


def machine() -> dict[str, Any]:
    """What figures depend on, and how busy the machine is with other things before the first run."""
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "cpus": os.cpu_count(),
        "python": platform.python_version(),
        "load": round(os.getloadavg()[0], 2),
    }


def repeated(
    subjects: Sequence[int], times: int, run: Callable[[int], Figures], say: Callable[[str], object]
) -> dict[int, list[Figures]]:
    """Run each subject so many times, all in turn: what disturbs the machine disturbs them alike."""
    runs: dict[int, list[Figures]] = {subject: [] for subject in subjects}
    for time in range(1, times + 1):
        for subject in subjects:
            say(f"run {time} of {times}: {subject}")
            runs[subject].append(run(subject))
    return runs


def as_text(heading: str, runs: Mapping[int, Sequence[Figures]]) -> str:
    """A row for each subject; of several runs the median, with the lowest and the highest."""
    rows = [
        {heading: str(subject)} | {name: _several([run[name] for run in several]) for name in several[0]}
        for subject, several in runs.items()
    ]
    widths = {name: max(len(name), *(len(row[name]) for row in rows)) for name in rows[0]}
    lines = [dict(zip(widths, widths, strict=True)), *rows]
    return "\n".join("  ".join(line[name].rjust(width) for name, width in widths.items()) for line in lines)


def as_json(heading: str, runs: Mapping[int, Sequence[Figures]], about: Mapping[str, Any]) -> str:
    each = [{heading: subject, **run} for subject, several in runs.items() for run in several]
    return json.dumps({**about, "runs": each}, indent=2)


def _several(values: Sequence[float | None]) -> str:
    known = sorted(value for value in values if value is not None)
    missing = sum(value is None for value in values)
    if not known:
        return "never"
    middle = _one(median(known))
    spread = f" ({_one(known[0])}-{_one(known[-1])})" if known[0] != known[-1] else ""
    return middle + spread + (f", {missing} x never" if missing else "")


def _one(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.1f}".removesuffix(".0")
