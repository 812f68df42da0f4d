"""Text of others in messages and in commands to copy."""

from __future__ import annotations

import os
import subprocess

import pytest

from s3agg.errors import Advice, printable, shell_quoted
from s3agg.stack.elsewhere import NoStack

INVISIBLE = (
    "\x1b",
    "\x9b",
    "\u061c",
    "\u200b",
    "\u200f",
    "\u2028",
    "\u202e",
    "\u2066",
    "\ufeff",
    "\U000e0001",
    "\U000e007f",
    "\udc9b",
)


@pytest.mark.parametrize("char", INVISIBLE, ids=ascii)
def test_a_character_that_cannot_be_seen_is_shown_escaped(char: str) -> None:
    assert printable(f"a{char}b") == f"a{ascii(char)[1:-1]}b"


def test_characters_of_other_languages_stay() -> None:
    assert printable("Käse 日本 \U0001f9c0") == "Käse 日本 \U0001f9c0"


@pytest.mark.parametrize(
    "word",
    ["photos", "a b", "it's; rm", "$HOME", "-it's\x1b\\x", "\udc9b1", "a\nb", "\u202e'ä'", "\u200b$(x)"],
    ids=ascii,
)
def test_a_word_of_a_command_comes_through_a_shell_as_it_was(word: str) -> None:
    quoted = shell_quoted(word)

    command = ["bash", "-c", f"printf %s {quoted}"]
    told = subprocess.run(command, capture_output=True, check=True)  # noqa: S603  # our own command
    assert told.stdout == os.fsencode(word)
    assert printable(quoted) == quoted


def test_a_bucket_of_an_odd_name_is_one_word_of_the_advised_command() -> None:
    assert Advice("delete", "a; b").words({"region": "x"}) == "s3agg delete --bucket 'a; b' --region x"


def test_a_region_from_a_tag_is_one_word_of_the_advice() -> None:
    assert str(NoStack("Photos", "eu-west-1", "us east")).endswith("pass --region 'us east'.")
