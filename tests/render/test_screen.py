"""Output on a terminal, on a pipe and as JSON."""

from __future__ import annotations

import json
from collections.abc import Generator, Iterator
from datetime import datetime, timedelta, timezone

import pytest

from s3agg import engine
from s3agg.aws.trace import Call
from s3agg.commands import follow, redrive
from s3agg.commands.health import Status
from s3agg.commands.test_objects import Seen
from s3agg.errors import Advice, Note, S3aggError
from s3agg.live.items import BucketActivity, Window
from s3agg.render.document import to_json
from s3agg.render.redrive import redrive_view
from s3agg.resources.log_group import LogGroup
from tests.support import documents
from tests.support.aws import PLACE
from tests.support.screens import NOW, happening, make_screen, text_of
from tests.support.statuses import make_resource, make_status


def test_without_a_terminal_there_are_no_escape_sequences() -> None:
    screen = make_screen()
    screen.warn("careful")
    screen.status(make_status(make_resource("drifted")))

    assert "\x1b" not in text_of(screen.out) + text_of(screen.err)


def test_a_pipe_gets_every_file_share_and_a_terminal_the_first_ones() -> None:
    bucket = BucketActivity("b", shares=tuple(f"arn:share/share-{number}" for number in range(50)))
    pipe, terminal = make_screen(), make_screen(terminal=True)
    for screen in (pipe, terminal):
        screen.status(make_status(make_resource(), buckets=(bucket,)))

    assert text_of(pipe.out).count("share-") == 50
    assert text_of(terminal.out).count("share-") == 3
    assert "and 47 more" in text_of(terminal.out)


def test_a_terminal_gets_colour() -> None:
    screen = make_screen(terminal=True)
    screen.status(make_status(make_resource("drifted")))

    assert "\x1b[" in text_of(screen.out)


def test_json_is_one_ascii_document_with_times_in_utc() -> None:
    closes = datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=timezone(timedelta(hours=2)))
    bucket = BucketActivity("b", Window(open=True, closes_at=closes))

    text = to_json(make_status(make_resource(name="ü"), buckets=(bucket,)))

    assert text.isascii()
    assert json.loads(text)["buckets"][0]["window"] == {"open": True, "closes_at": "2026-01-02T01:04:05.678Z"}


def test_json_goes_to_stdout_alone() -> None:
    screen = make_screen(as_json=True)
    screen.warn("careful")
    screen.status(make_status(make_resource()))

    assert json.loads(text_of(screen.out))["healthy"] is True
    assert text_of(screen.err) == "Warning: careful\n"


def test_an_error_in_a_warning_keeps_the_options_of_the_command_that_it_advises() -> None:
    screen = make_screen()
    screen.aws_options = {"stack": "Photos", "profile": "p"}

    screen.warn("Could not read bucket b.", S3aggError("It is gone", "Detach it", Advice("delete", "b")))

    assert text_of(screen.err) == (
        "Warning: Could not read bucket b. It is gone."
        " Detach it: s3agg delete --bucket b --stack Photos --profile p.\n"
    )


def test_a_note_is_printed_once_and_not_called_a_warning() -> None:
    screen = make_screen()

    screen.warn(Note("Deleted the uploaded objects"))
    screen.warn(Note("Deleted the uploaded objects"))

    assert text_of(screen.err) == "Deleted the uploaded objects.\n"


def make_change() -> engine.Change:
    return engine.Change(LogGroup(PLACE, "/aws/lambda/x", {}, retention=30), "create")


def test_in_a_pipe_each_finished_change_is_a_line() -> None:
    screen = make_screen()

    screen.watch(happening(engine.Started(make_change()), engine.Finished(make_change())))

    assert text_of(screen.err) == "created log group /aws/lambda/x\n"


def test_on_a_terminal_what_is_under_way_is_shown_in_place() -> None:
    screen = make_screen(terminal=True)
    seen: list[list[str]] = []

    def events() -> engine.Events:
        yield engine.Started(make_change())
        seen.append(list(screen.progress.running.values()))
        yield engine.Finished(make_change())
        seen.append(list(screen.progress.running.values()))

    screen.watch(events())

    assert seen == [["creating log group /aws/lambda/x"], []]
    assert "created" not in text_of(screen.err)


def test_on_a_terminal_what_was_done_before_a_failure_is_told() -> None:
    screen = make_screen(terminal=True)

    def fails() -> engine.Events:
        yield engine.Finished(make_change())
        raise S3aggError("no more")

    with pytest.raises(S3aggError):
        screen.watch(fails())

    assert text_of(screen.err).endswith("created log group /aws/lambda/x\n")


def watched(*looks: Status | S3aggError, height: int = 60) -> str:
    """The bytes that a terminal receives from status --watch."""
    screen = make_screen(terminal=True, height=height)
    screen.watch_status(looks)
    return text_of(screen.out)


def test_a_watched_status_keeps_the_last_one_where_a_look_fails() -> None:
    text = watched(make_status(make_resource(name="Here")), S3aggError("AWS is away"))

    assert "Not updated since" in text
    assert "AWS is away" in text
    assert text.count("Here") == 2


def test_ctrl_c_ends_watching_with_the_last_status() -> None:
    last = make_status(make_resource(), dead=1)

    def looks() -> Iterator[Status]:
        yield make_status(make_resource())
        yield last
        raise KeyboardInterrupt

    assert make_screen(terminal=True).watch_status(looks()) is last


def test_what_is_warned_of_while_watching_is_part_of_the_screen() -> None:
    screen = make_screen(terminal=True, height=60)

    def looks() -> Iterator[Status]:
        yield make_status(make_resource())
        screen.warn("careful")
        yield make_status(make_resource())

    screen.watch_status(looks())

    assert "Warning: careful" in text_of(screen.out)
    assert text_of(screen.err) == ""


def test_a_wait_while_watching_shows_in_the_screen_at_once() -> None:
    screen = make_screen(terminal=True, height=60)
    shown: list[str] = []

    def looks() -> Iterator[Status]:
        yield make_status(make_resource())
        screen.waiting("waiting for DynamoDB to answer (3 s)")
        shown.append(text_of(screen.out))

    screen.watch_status(looks())

    assert "waiting for DynamoDB to answer (3 s)" in shown[0]
    assert text_of(screen.err) == ""


def test_a_wait_outside_a_live_view_is_a_line_on_a_terminal_too() -> None:
    screen = make_screen(terminal=True)

    screen.waiting("waiting for DynamoDB to answer (2 s)")
    screen.waiting("waiting for DynamoDB to answer (3 s)")

    assert text_of(screen.err) == "waiting for DynamoDB to answer (2 s)\n"


@pytest.mark.parametrize(
    ("height", "full", "cut"), [(60, True, False), (22, False, False), (10, False, True)]
)
def test_a_short_terminal_shows_less_and_says_so(height: int, *, full: bool, cut: bool) -> None:
    resources = [make_resource(name=f"Resource{number}", kind=f"kind{number}") for number in range(12)]
    text = watched(make_status(*resources), height=height)

    assert ("Resource3" in text) is full
    assert ("more lines. Enlarge the terminal" in text) is cut


def test_a_warning_that_comes_about_is_not_said_again() -> None:
    screen = make_screen()

    for _ in range(2):
        screen.warn("no room")

    assert text_of(screen.err) == "Warning: no room\n"


def test_in_a_pipe_waiting_for_the_same_thing_is_said_once() -> None:
    screen = make_screen()

    screen.watch(
        happening(
            follow.Waiting("the window to close in 10 s", 60),
            follow.Waiting("the window to close in 9 s", 59),
        )
    )

    assert text_of(screen.err) == "Waiting for the window to close in 10 s\n"


def test_what_a_command_returns_is_the_result() -> None:
    def running() -> Generator[Seen, None, str]:
        yield Seen("a", "uploaded", 0)
        return "the result"

    assert make_screen().watch(running()) == "the result"


def test_a_traced_call_tells_what_was_called_and_how_long_it_took() -> None:
    screen = make_screen(width=200)
    screen.trace(Call("sqs", "CreateQueue", "Q", 12.4, "request-1", ""))

    assert text_of(screen.err) == "    12 ms  sqs CreateQueue Q  request-1\n"


def make_letter(**differing: object) -> redrive.DeadLetter:
    values: dict[str, object] = {
        "id": "1",
        "kind": "s3_event",
        "bucket": "b",
        "keys": 1,
        "since": NOW - timedelta(minutes=3),
        "reason": "failed 3 times",
        "outcome": "redriven",
        "error": None,
    }
    return redrive.DeadLetter(**{**values, **differing})  # type: ignore[arg-type]  # by name


def make_redrive(*letters: redrive.DeadLetter, in_flight: int = 0) -> redrive.Report:
    outcomes = [letter.outcome for letter in letters]
    counts = {outcome: outcomes.count(outcome) for outcome in outcomes}
    return redrive.Report("Stack", "eu-west-1", "123456789012", counts, in_flight, letters)


def redriven(report: redrive.Report, width: int = 80) -> list[str]:
    screen = make_screen(width=width)
    screen.out.print(redrive_view(report, NOW))
    return [line.rstrip() for line in text_of(screen.out).splitlines()]


def test_dead_letters_of_the_same_fate_share_a_row() -> None:
    older = NOW - timedelta(hours=2)
    lines = redriven(
        make_redrive(
            make_letter(),
            make_letter(since=older),
            make_letter(bucket="c", error=S3aggError("Failed again"), outcome="kept"),
            make_letter(kind="refresh_message", keys=None),
            make_letter(kind="not_understood", bucket=None, keys=None, outcome="kept"),
            make_letter(kind="not_understood", bucket=None, keys=None, since=None, outcome="kept"),
        )
    )

    assert lines == [
        "6 dead letters: 3 redriven, 3 kept; stack Stack in eu-west-1 of account",
        "123456789012",
        "result    message and reason",
        "redriven  2 S3 events of bucket b, 2 keys, the oldest sent 2 h ago",
        "          failed 3 times",
        "kept      1 S3 event of bucket c, 1 key, sent 3 min ago",
        "          failed 3 times",
        "          Failed again.",
        "redriven  1 refresh message of bucket b, sent 3 min ago",
        "          failed 3 times",
        "kept      2 messages that redrive does not understand, the oldest sent 3 min ago",
        "          failed 3 times",
    ]


def test_no_dead_letters_is_one_line() -> None:
    (line,) = redriven(make_redrive(), width=120)

    assert line.startswith("No dead letters: stack Stack in eu-west-1")


def test_dead_letters_in_other_hands_are_told_of() -> None:
    assert "about 3 more messages" in redriven(make_redrive(in_flight=3), width=200)[1]


@pytest.mark.parametrize("width", [60, 80, 200])
def test_what_a_dead_letter_says_is_data_and_fits_the_terminal(width: int) -> None:
    hostile = "[red]x[/red]\x1b[31m\n" + "y" * 300
    lines = redriven(
        make_redrive(make_letter(reason=hostile, error=S3aggError(hostile), bucket="b" * 63)), width
    )

    assert max(len(line) for line in lines) <= width
    assert "".join(lines).count("[red]x[/red]\\x1b[31m\\n") == 2


def test_in_a_pipe_each_dead_letter_that_was_dealt_with_is_a_line() -> None:
    screen = make_screen()

    screen.watch(
        happening(make_letter(), make_letter(bucket=None, outcome="kept"), make_letter(outcome="to_keep"))
    )

    assert text_of(screen.err) == "S3 event of bucket b: redriven\nS3 event: kept\n"


def test_on_a_terminal_dead_letters_are_counted_in_place() -> None:
    screen = make_screen(terminal=True)

    screen.watch(happening(make_letter(), make_letter(), make_letter(outcome="kept")))

    assert "2 redriven, 1 kept" in text_of(screen.err)


def test_what_is_not_understood_is_shown_with_its_id_and_the_command_that_deletes_it() -> None:
    letter = make_letter(
        kind="not_understood", bucket=None, outcome="kept", id="id-1", body="a\nb" + "c" * 1200
    )

    shown = " ".join(redriven(make_redrive(letter), width=200))

    assert "ID: id-1" in shown
    assert "a\\nbccc" in shown
    assert "203 more characters" in shown
    assert shown.endswith(
        "Kept in the queue: 1 message that redrive does not understand."
        " To see all of each, pass --output json."
        " To delete one, run: s3agg redrive --discard ID"
    )


def test_an_event_that_is_partly_understood_and_stays_is_shown_with_its_body_too() -> None:
    planned, kept = (
        " ".join(redriven(make_redrive(make_letter(outcome=outcome, body="x", id="id-1")), width=200))
        for outcome in ("to_redrive", "kept")
    )

    assert "ID: id-1" in planned
    assert "--discard" not in planned
    assert kept.endswith("s3agg redrive --discard ID")


def test_no_more_than_ten_messages_are_shown_with_their_bodies() -> None:
    letters = [make_letter(kind="not_understood", id=str(number), body="x") for number in range(12)]

    shown = redriven(make_redrive(*letters), width=200)

    assert sum("ID: " in line for line in shown) == 10
    assert "Not shown: 2 more messages. --output json shows them." in shown


def test_a_redrive_as_json_tells_all_of_each_letter() -> None:
    screen = make_screen(as_json=True)
    screen.redrive(make_redrive(make_letter(outcome="kept", error=S3aggError("no")), in_flight=1))

    assert documents.parse(text_of(screen.out), "redrive") == {
        "stack": "Stack",
        "region": "eu-west-1",
        "account": "123456789012",
        "problems": [],
        "counts": {"kept": 1},
        "in_flight": 1,
        "dead_letters": [
            {
                "id": "1",
                "kind": "s3_event",
                "bucket": "b",
                "keys": 1,
                "since": "2026-01-02T03:01:05.000Z",
                "reason": "failed 3 times",
                "outcome": "kept",
                "error": "no.",
                "body": None,
            }
        ],
    }
