"""The benchmarks run, and what they count is as promised; what they time, on a busy machine, nobody asks."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.e2e

TREE = Path(__file__).parents[2]
COUNTED = {"calls", "writes", "packages"}


@pytest.fixture(scope="module")
def figures(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Each figure by its name, of one run at small size."""
    record = tmp_path_factory.mktemp("benchmarks") / "figures.json"
    done = subprocess.run(  # noqa: S603  # our own benchmarks
        [sys.executable, "-m", "tests.benchmarks", "--small", "--repeat", "1", "--json", str(record)],
        cwd=TREE,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return {each["figure"]: each for each in json.loads(record.read_text(encoding="utf-8"))["figures"]}


def test_every_count_of_the_benchmarks_is_as_promised(figures: dict[str, Any]) -> None:
    counted = [each for each in figures.values() if each["unit"] in COUNTED]

    assert len(counted) >= 8
    assert [each for each in counted if not each["reached"]] == []


@pytest.mark.parametrize(
    ("figure", "most"), [("create, nothing to change, calls", 39), ("status, calls", 40)]
)
def test_a_command_makes_so_many_calls_and_no_more(figures: dict[str, Any], figure: str, most: int) -> None:
    assert figures[figure]["median"] <= most
