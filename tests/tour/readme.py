"""The tour's pages of help: what `s3agg COMMAND --help` prints, between two comments of README.md here."""

from __future__ import annotations

from pathlib import Path

from click.testing import CliRunner

from s3agg.cli.main import cli

PAGE = Path(__file__).parent / "README.md"
BEGIN, END = "<!-- help begins; written by python -m tests.tour -->", "<!-- help ends -->"


def pages() -> str:
    """Every command's help, each folded away under the command's name."""
    runner = CliRunner()
    parts = []
    for name in ["", *cli.commands]:
        ran = runner.invoke(cli, [*([name] if name else []), "--help"], prog_name="s3agg", terminal_width=100)
        title = f"s3agg {name} --help".replace("  ", " ")
        parts.append(
            f"<details><summary><code>{title}</code></summary>\n\n```\n{ran.output}```\n\n</details>"
        )
    return "\n".join(parts)


def with_pages(text: str) -> str:
    """The page's text with the pages of help as they are now."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    assert begin, "the page has no place for the pages of help"
    assert end, "the page has no end of the pages of help"
    return f"{before}{begin}\n\n{pages()}\n\n{end}{after}"


def write() -> None:
    PAGE.write_text(with_pages(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
