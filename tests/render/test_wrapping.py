"""Lines for stderr, wrapped at words."""

from __future__ import annotations

import pytest

from s3agg.errors import S3aggError
from s3agg.render.wrapping import wrapped
from tests.support.screens import make_screen, text_of

COMMAND = "s3agg delete --bucket photos --profile 'my own' --region=eu-west-1"


def test_a_text_that_fits_is_left_as_it_is() -> None:
    assert wrapped("    12 ms  sqs CreateQueue", 30) == ["    12 ms  sqs CreateQueue"]


def test_a_text_is_wrapped_at_words_to_the_width_of_the_terminal() -> None:
    assert wrapped("a bucket that is gone", 11) == ["a bucket", "that is", "gone"]


def test_a_wide_character_takes_two_columns() -> None:
    assert wrapped("ab 東京 cd", 7) == ["ab 東京", "cd"]


@pytest.mark.parametrize("end", [".", "; and then wait.", ""])
def test_a_command_is_not_broken_so_that_it_can_be_copied(end: str) -> None:
    lines = wrapped(f"Bucket photos is gone. Detach it: {COMMAND}{end}", 40)

    assert [line for line in lines if COMMAND in line]
    assert all(len(line) <= 40 for line in lines if COMMAND not in line)


def test_the_words_after_the_last_option_of_a_command_are_no_part_of_it() -> None:
    assert wrapped("Run s3agg redrive --dry-run; to redrive, run s3agg redrive.", 30) == [
        "Run s3agg redrive --dry-run;",
        "to redrive, run s3agg redrive.",
    ]


def test_a_command_of_another_tool_is_not_broken_either() -> None:
    assert wrapped("Log in again: aws sso login --profile p", 25) == [
        "Log in again:",
        "aws sso login --profile p",
    ]


def test_an_arn_that_is_longer_than_the_terminal_has_a_line_of_its_own() -> None:
    arn = f"arn:aws:sns:eu-west-1:123456789012:{'x' * 50}"

    assert wrapped(f"The topic {arn} is missing", 30) == ["The topic", arn, "is missing"]


def test_the_lines_of_a_list_item_are_indented() -> None:
    assert wrapped("- one two three", 9) == ["- one two", "  three"]


def test_a_terminal_gets_wrapped_lines_with_a_coloured_label() -> None:
    screen = make_screen(terminal=True, width=20)

    screen.warn(S3aggError("The queue of this stack is missing"))
    screen.say("Next: s3agg status --stack Other")

    assert text_of(screen.err) == (
        "\x1b[33mWarning: \x1b[0mThe queue\nof this stack is\nmissing.\nNext:\ns3agg status --stack Other\n"
    )


def test_a_pipe_gets_each_text_on_one_line() -> None:
    screen = make_screen(width=20)

    screen.warn("The queue of this stack is missing")

    assert text_of(screen.err) == "Warning: The queue of this stack is missing\n"
