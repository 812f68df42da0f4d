"""python -m tests.tour: draws the tour's pictures anew, and writes its pages of help."""

from __future__ import annotations

import tempfile
from pathlib import Path

import click

from tests.tour import readme
from tests.tour.picture import draw
from tests.tour.scenes import scenes

HERE = Path(__file__).parent


def main() -> None:
    readme.write()
    with tempfile.TemporaryDirectory() as home:
        for scene in scenes(Path(home)):
            (HERE / f"{scene.name}.svg").write_text(draw(scene.line, scene.screen), encoding="utf-8")
            click.echo(f"{scene.name}: {scene.line}")


if __name__ == "__main__":
    main()
