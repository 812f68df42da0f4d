"""A chart of counts over time, as a line of small bars."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.text import Text

BARS = "▁▂▃▄▅▆▇█"  # the lowest bar is a count of 0
ASCII_BARS = "_.-:=+*#"  # if the console's encoding has no bars
FEWEST = 6


class Chart:
    """Counts over time as bars, the oldest first. Adjacent counts are added up to fit the width."""

    def __init__(self, counts: Sequence[int], style: str = "") -> None:
        self.counts = counts
        self.style = style

    def __rich_measure__(self, _: Console, options: ConsoleOptions) -> Measurement:
        return Measurement(min(FEWEST, len(self.counts)), len(self.counts)).with_maximum(options.max_width)

    def __rich_console__(self, _: Console, options: ConsoleOptions) -> RenderResult:
        counts = fitted(self.counts, options.max_width)
        yield Text(bars(counts, ASCII_BARS if options.ascii_only else BARS), self.style)


def fitted(counts: Sequence[int], width: int) -> list[int]:
    """Add up groups of adjacent counts, all of one size, until at most `width` sums are left."""
    size = next(n for n in range(1, len(counts) + 1) if len(counts) % n == 0 and len(counts) // n <= width)
    return [sum(counts[start : start + size]) for start in range(0, len(counts), size)]


def bars(counts: Sequence[int], scale: str) -> str:
    """A bar for each count, relative to the highest count. Only a count of 0 has the lowest bar."""
    highest = max(counts, default=0)
    levels = len(scale) - 1
    return "".join(scale[-(-count * levels // highest)] if count > 0 else scale[0] for count in counts)
