"""The acceptance run for an AWS account works: here against the emulator, as a user starts it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e import support
from tests.e2e.support import LocalAws

pytestmark = [pytest.mark.e2e, pytest.mark.proof]

TREE = Path(__file__).parents[2]
LONGEST_S = 300


@pytest.fixture
def world(tmp_path: Path) -> Iterator[LocalAws]:
    """AWS that nobody else uses: it must be as it was when the run has ended."""
    with support.world(tmp_path / "homes") as running:
        yield running


def test_the_acceptance_run_passes_reports_and_leaves_nothing(world: LocalAws, tmp_path: Path) -> None:
    share = world.share(world.bucket())
    before = world.inventory()
    environment = {
        **world.cli.environment,
        "S3AGG_AWS_ACCEPTANCE": "1",
        "S3AGG_AWS_SHARE": share,
    }

    ran = subprocess.run(  # noqa: S603  # our own tests
        [sys.executable, "-m", "pytest", str(TREE / "tests" / "acceptance"), "-n", "0", "--durations=0"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=LONGEST_S,
        check=False,
    )

    assert ran.returncode == 0, ran.stdout + ran.stderr
    (path,) = tmp_path.glob("s3agg-acceptance-*.json")
    report = json.loads(path.read_text(encoding="utf-8"))
    assert str(path) in ran.stdout
    assert "facts about AWS" in ran.stdout
    assert {each["verdict"] for each in report["facts"]} <= {"held", "not so", "not seen"}
    assert report["left"] == []
    assert world.inventory() == before
