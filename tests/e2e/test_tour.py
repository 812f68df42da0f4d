"""The tour's pictures show what the commands print today."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pyte
import pytest

from s3agg.cli.main import cli
from tests.tour import picture, readme
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
@pytest.mark.parametrize("file", PICTURES, ids=[file.stem for file in PICTURES])
def test_a_picture_shows_what_its_command_prints(seen: dict[str, str], file: Path) -> None:
    before, today = (forms(file.stem, each) for each in (text_in(file), seen[file.stem]))

    assert before == today, "python -m tests.tour draws it anew"


@pytest.mark.proof
def test_every_command_has_a_picture(seen: dict[str, str]) -> None:
    assert set(seen) == {file.stem for file in PICTURES}
    shown = {words[1] for text in seen.values() if (words := text.splitlines()[0].removeprefix("$ ").split())}

    assert set(cli.commands) <= shown


def test_the_tour_shows_every_picture_and_no_other() -> None:
    named = re.findall(r"\]\(([\w-]+\.svg)\)", readme.PAGE.read_text(encoding="utf-8"))

    assert sorted(named) == sorted(file.name for file in PICTURES)


def test_a_slow_machine_changes_no_picture() -> None:
    waits = (
        "waiting for Lambda to answer (2 s)\nwaiting for role A to become\nusable (3 s, at most 297 s more)\n"
    )

    assert forms("create", f"$ s3agg create\n{waits}Plan: 1 to create\n") == [
        "$ s3agg create",
        "Plan: 1 to create",
    ]


SVG = "{http://www.w3.org/2000/svg}"


def drawn(line: str, *, columns: int) -> ET.Element:
    """The picture of a terminal with this line."""
    screen = pyte.Screen(columns, 3)
    pyte.Stream(screen).feed(line)
    return ET.fromstring(picture.draw("s3agg logs", screen))  # noqa: S314  # we drew it


def parts(image: ET.Element) -> dict[str, float]:
    """The x of each text of the screen. A line ends in a line feed of rich's own."""
    texts = [each for each in image.iter(f"{SVG}text") if each.get("textLength")]
    return {str(each.text): float(each.get("x", "")) for each in texts if str(each.text).strip()}


def test_no_text_of_a_picture_depends_on_its_blanks() -> None:
    """Renderers that drop no-break spaces, or several blanks, keep the columns."""
    found = parts(drawn("  name   a & b   <c>", columns=40))

    first = found["$"]
    column = (found["s3agg logs"] - first) / 2
    assert {text: round((x - first) / column) for text, x in found.items()} == {
        "$": 0,
        "s3agg logs": 2,
        "name": 2,
        "a & b": 9,
        "<c>": 17,
    }


def test_no_picture_is_wider_than_a_page() -> None:
    line = " ".join(f"word-{number}" for number in range(30))
    wide, page = drawn(line, columns=250), drawn("short", columns=picture.PAGE)

    assert wide.get("viewBox", "").split()[2] == page.get("viewBox", "").split()[2]
    assert " ".join(parts(wide)).split()[3:] == line.split()
    assert wide.findtext(f"{SVG}desc") == f"$ s3agg logs\n{line}"
