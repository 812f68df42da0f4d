"""The view of log lines: colours, and text from AWS as data."""

from __future__ import annotations

import io
from datetime import datetime, timezone

import pytest
from rich.console import Console
from rich.text import Text

from s3agg.live.log_entries import Entry, Function
from s3agg.render.logs import day_line, log_line
from s3agg.render.screen import Screen
from tests.support import documents

MOMENT = datetime(2026, 1, 2, 3, 4, 5, 67_000, tzinfo=timezone.utc)


def entry(
    message: str, level: str = "INFO", request_id: str = "", *, function: Function = "aggregator"
) -> Entry:
    return Entry(MOMENT, function, level, request_id, message)


def style_of(line: Text, words: str) -> str:
    """The style of these words in the line."""
    at = line.plain.index(words)
    return " ".join(str(span.style) for span in line.spans if span.start <= at < span.end)


def printed(*entries: Entry, width: int = 80, as_json: bool = False) -> list[str]:
    out = io.StringIO()
    Screen(as_json=as_json, out=Console(file=out, width=width)).logs(entries)
    return out.getvalue().splitlines()


def test_a_line_tells_time_function_level_message_and_request() -> None:
    line = log_line(entry("Refreshing", request_id="abc-1", function="refresh"))

    assert line.plain == "03:04:05.067 refresh    INFO    Refreshing  abc-1"


def test_a_request_that_the_message_names_is_not_told_twice() -> None:
    assert log_line(entry("START RequestId: abc-1", "", "abc-1")).plain.count("abc-1") == 1


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("bucket: b, started: 1767323044567, shares: x", "bucket: b, started: 03:04:04.567, shares: x"),
        (
            "bucket: b, timestamp: 1767222245678 key=1767222245678",
            "timestamp: 2025-12-31 23:04:05.678 key=176",
        ),
    ],
)
def test_times_in_a_message_are_shown_as_times(message: str, shown: str) -> None:
    assert shown in log_line(entry(message)).plain


@pytest.mark.parametrize(
    ("level", "style"), [("DEBUG", "dim"), ("INFO", ""), ("WARNING", "yellow"), ("ERROR", "bold red")]
)
def test_a_level_has_its_colour(level: str, style: str) -> None:
    line = log_line(entry("something", level))

    assert (style_of(line, level), style_of(line, "something")) == (style, style)


@pytest.mark.parametrize("separator", ["\x0b", "\x1c", "\x85", "\u2028"], ids=ascii)
def test_only_a_line_feed_ends_a_line(separator: str) -> None:
    line = log_line(entry(f"key=a{separator}ERROR b\n  more\n"))

    assert line.plain.splitlines() == [
        f"03:04:05.067 aggregator INFO    key=a{ascii(separator)[1:-1]}ERROR b",
        "      more",
    ]


def test_requests_and_what_the_platform_writes_are_dimmed() -> None:
    assert style_of(log_line(entry("something", request_id="abc-1")), "abc-1") == "dim"
    assert style_of(log_line(entry("END RequestId: abc-1", "", "abc-1")), "END") == "dim"


def test_a_traceback_stands_below_its_line() -> None:
    line = log_line(entry("Failed\nTraceback:\n  here", "ERROR", "abc-1"))

    assert line.plain.splitlines()[0].endswith("Failed  abc-1")
    assert line.plain.splitlines()[1:] == ["    Traceback:", "      here"]


def test_markup_and_control_characters_are_shown_and_do_nothing() -> None:
    lines = printed(entry("[red]a\x1b[2J\n[/]b\x07", "INFO", "id\x1b"))

    assert lines[1:] == [
        "03:04:05.067 aggregator INFO    [red]a\\x1b[2J  id\\x1b",
        "    [/]b\\x07",
    ]


def test_an_empty_message_is_a_line() -> None:
    assert log_line(entry("")).plain.startswith("03:04:05.067 aggregator INFO")


def test_a_line_is_never_broken_however_narrow_the_terminal_is() -> None:
    assert len(printed(entry("x" * 200), width=40)) == 2


def test_each_day_is_told_once_and_that_it_is_of_utc() -> None:
    later = Entry(MOMENT.replace(day=3), "refresh", "INFO", "", "next day")

    lines = printed(entry("one"), entry("two"), later)

    assert [line for line in lines if "UTC" in line] == [str(day_line(each)) for each in (MOMENT, later.time)]
    assert len(lines) == 5


def test_json_is_a_document_a_line_with_nothing_but_ascii() -> None:
    (line,) = printed(entry("café\nx", request_id="abc-1"), as_json=True)

    assert line == (
        '{"time": "2026-01-02T03:04:05.067Z", "function": "aggregator", "level": "INFO",'
        ' "request_id": "abc-1", "message": "caf\\u00e9\\nx"}'
    )
    assert documents.parse(line, "logs")
