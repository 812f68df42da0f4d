"""The tour's pictures show what the commands print today."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from s3agg.cli.main import cli
from tests.tour import readme
from tests.tour.picture import text, text_in
from tests.tour.scenes import forms, scenes

pytestmark = pytest.mark.e2e

PICTURES = sorted(Path(readme.__file__).parent.glob("*.svg"))


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What each scene shows today."""
    home = tmp_path_factory.mktemp("tour")
    return {scene.name: text(scene.line, scene.screen).plain for scene in scenes(home)}


@pytest.mark.proof
@pytest.mark.parametrize("picture", PICTURES, ids=[picture.stem for picture in PICTURES])
def test_a_picture_shows_what_its_command_prints(seen: dict[str, str], picture: Path) -> None:
    drawn, today = (forms(picture.stem, each) for each in (text_in(picture), seen[picture.stem]))

    assert drawn == today, "python -m tests.tour draws it anew"


@pytest.mark.proof
def test_every_command_has_a_picture(seen: dict[str, str]) -> None:
    assert set(seen) == {picture.stem for picture in PICTURES}
    shown = {words[1] for text in seen.values() if (words := text.splitlines()[0].removeprefix("$ ").split())}

    assert set(cli.commands) <= shown


def test_the_tour_shows_every_picture_and_no_other() -> None:
    named = re.findall(r"\]\(([\w-]+\.svg)\)", readme.PAGE.read_text(encoding="utf-8"))

    assert sorted(named) == sorted(picture.name for picture in PICTURES)


def test_a_slow_machine_changes_no_picture() -> None:
    waits = (
        "waiting for Lambda to answer (2 s)\nwaiting for role A to become\nusable (3 s, at most 297 s more)\n"
    )

    assert forms("create", f"$ s3agg create\n{waits}Plan: 1 to create\n") == [
        "$ s3agg create",
        "Plan: 1 to create",
    ]
