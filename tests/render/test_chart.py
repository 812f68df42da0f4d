"""The chart of bars."""

from __future__ import annotations

import pytest

from s3agg.render.chart import ASCII_BARS, BARS, bars, fitted


def test_a_bar_is_as_high_as_its_part_of_the_highest() -> None:
    assert bars([0, 1, 4, 7, 3], BARS) == "▁▂▅█▄"
    assert bars([0, 1, 4, 7, 3], ASCII_BARS) == "_.=#:"


def test_one_among_very_many_is_not_drawn_as_nothing() -> None:
    assert bars([1, 1_000_000], BARS) == "▂█"


def test_nothing_at_all_is_flat() -> None:
    assert bars([0, 0, 0], BARS) == "▁▁▁"
    assert bars([], BARS) == ""


@pytest.mark.parametrize(
    ("width", "fit"),
    [(100, [1, 2, 3, 4]), (4, [1, 2, 3, 4]), (3, [3, 7]), (2, [3, 7]), (1, [10])],
)
def test_neighbours_are_added_up_until_they_fit(width: int, fit: list[int]) -> None:
    assert fitted([1, 2, 3, 4], width) == fit
