"""The view of `list`."""

from __future__ import annotations

from s3agg.commands.list_stacks import AttachedBucket, ListedStack, Stacks
from s3agg.render.list_stacks import stacks_view
from s3agg.settings import Names, Settings
from s3agg.stack import declared
from s3agg.stack.chosen import StackSettings
from tests.support.aws import PLACE
from tests.support.screens import make_screen, text_of

SETTINGS = StackSettings.of(declared.make(PLACE, Names(), Settings(), {}), None)

OURS = ListedStack(
    "Storage",
    "eu-west-1",
    [
        AttachedBucket("photos", (), (), ("created", "removed", "expired"), "notification"),
        AttachedBucket("scans", ("in/",), (), ("created",), "eventbridge"),
    ],
    SETTINGS,
)
FAR = ListedStack("Archive", "us-east-1")


def shown(*stacks: ListedStack, **aws_options: str) -> list[list[str]]:
    screen = make_screen(width=120)
    screen.out.print(stacks_view(Stacks("eu-west-1", "123456789012", stacks), aws_options=aws_options))
    return [line.split() for line in text_of(screen.out).splitlines()]


def test_a_stack_is_a_row_with_its_buckets_and_settings() -> None:
    title, header, row = shown(OURS)

    assert title == ["1", "stack", "in", "account", "123456789012"]
    assert header == ["stack", "region", "buckets", "window", "min", "interval"]
    assert row == ["Storage", "eu-west-1", "photos,", "scans", "(EventBridge)", "30", "s", "60", "s"]


def test_a_stack_of_another_region_is_followed_by_how_to_see_more() -> None:
    *_, row, note = shown(OURS, FAR)

    assert row == ["Archive", "us-east-1", "-", "-", "-"]
    assert " ".join(note) == "To see the buckets and settings of another region, pass its --region."


def test_what_could_not_be_read_is_unknown() -> None:
    *_, row = shown(ListedStack("Storage", "eu-west-1"))

    assert row == ["Storage", "eu-west-1", "unknown", "unknown", "unknown"]


def test_a_stack_without_buckets_says_so() -> None:
    *_, row = shown(ListedStack("Storage", "eu-west-1", [], SETTINGS))

    assert row == ["Storage", "eu-west-1", "none", "30", "s", "60", "s"]


def test_no_stack_is_a_line_and_the_command_that_makes_one() -> None:
    (line,) = shown(profile="p")

    assert " ".join(line).endswith("Create one: s3agg create --bucket BUCKET --profile p")
