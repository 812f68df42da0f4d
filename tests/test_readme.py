"""What the README says of the commands is what they say."""

from __future__ import annotations

from tests.tour import readme


def test_its_pages_of_help_are_those_of_the_commands() -> None:
    text = readme.README.read_text(encoding="utf-8")

    assert readme.with_pages(text) == text, "python -m tests.tour writes them anew"
