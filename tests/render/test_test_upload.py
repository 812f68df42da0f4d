"""The view of `test-upload`, live and at the end."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta, timezone

import pytest
from rich.console import Group

from s3agg.commands import follow
from s3agg.commands.follow import Refresh
from s3agg.commands.test_objects import Seen
from s3agg.commands.test_upload import Hop, Report
from s3agg.commands.watching import Waiting
from s3agg.errors import S3aggError
from s3agg.live.share_refreshes import ShareRefresh
from tests.support import documents
from tests.support.screens import happening, make_screen, text_of

NOW = datetime(2026, 1, 2, 3, 4, 5, 600_000, tzinfo=timezone.utc)
REGION = "eu-west-1"
SHARE = f"arn:aws:storagegateway:{REGION}:123456789012:share/share-1"


def make_report(**differing: object) -> Report:
    values: dict[str, object] = {
        "bucket": "b",
        "uploaded": 2,
        "opened_windows": 1,
        "within_window": 1,
        "refreshes": (Refresh(NOW, (SHARE,), REGION, NOW),),
        "showing": (SHARE,),
        "shares": (),
        "hops": (Hop("upload_started", NOW, 0), Hop("window_closed", NOW + timedelta(seconds=30), 30)),
        "objects": (Seen("test-1", "opened_window", 0.4), Seen("test-2", "within_window", 1.2)),
        "seconds": 33.4,
        "ok": True,
        "complete": False,
        "problems": (),
        "notes": (S3aggError("One thing"),),
    }
    return Report(**{**values, **differing})  # type: ignore[arg-type]  # by name


def shown(report: Report, width: int = 80) -> list[str]:
    screen = make_screen(width=width)
    screen.probe(report)
    return text_of(screen.out).splitlines()


def test_a_report_tells_what_became_of_each_object_and_when_each_hop_was() -> None:
    assert shown(make_report()) == [
        "The stack works: 2 uploads to b, 1 refresh, in 33.4 s",
        "",
        "object  result             after",
        "test-1  opened the window  0.4 s",
        "test-2  in the window      1.2 s",
        "",
        " after  step            UTC",
        " 0.0 s  upload started  03:04:05.6",
        "30.0 s  window closed   03:04:35.6",
        "Refresh accepted: share-1",
        "One thing.",
    ]


def test_objects_that_no_share_shows_are_in_the_verdict() -> None:
    (verdict, *_) = shown(make_report(showing=()))

    assert verdict.startswith("The stack works, but no file share shows the uploaded objects: 2 uploads to b")


TAKEN = ShareRefresh(SHARE, "id-1", NOW, NOW + timedelta(seconds=25), 24.6)


def test_each_share_has_a_row_with_both_its_times_and_how_long_the_gateway_took() -> None:
    report = make_report(shares=(TAKEN, ShareRefresh(SHARE[:-1] + "2", "id-2", NOW)))

    assert shown(report)[-4:-1] == [
        "file share  accepted  complete  took",
        "share-1     03:04:05  03:04:30  24 s",
        "share-2     03:04:05  -            -",
    ]


@pytest.mark.parametrize(
    ("complete", "verdict"),
    [(True, "The stack works: "), (False, "The stack works, but the refresh is ")],
)
def test_the_first_line_tells_whether_the_refresh_is_complete(complete: bool, verdict: str) -> None:
    assert shown(make_report(shares=(TAKEN,), complete=complete))[0].startswith(verdict)


def test_a_report_as_json_is_as_its_schema_says() -> None:
    screen = make_screen(as_json=True)
    screen.probe(make_report(opened_windows=None, shares=(TAKEN, ShareRefresh(SHARE, "id", NOW))))

    assert documents.parse(text_of(screen.out), "test-upload")["notes"] == ["One thing."]


def test_a_failure_is_told_in_the_first_line() -> None:
    first, *_ = shown(make_report(ok=False, refreshes=(), uploaded=1))

    assert first == "The stack does not work: 1 upload to b, 0 refreshes, in 33.4 s"


def test_what_the_log_level_hides_is_left_out() -> None:
    lines = shown(make_report(opened_windows=None, within_window=None, objects=(Seen("k", "uploaded", 0),)))

    assert not [line for line in lines if "uploaded" in line or "object" in line]


def test_of_many_objects_some_have_a_row_and_all_are_counted() -> None:
    objects = [Seen(f"test-{n}", "within_window" if n else "opened_window", 1) for n in range(500)]
    lines = shown(make_report(objects=tuple(objects)))

    assert sum(line.startswith("test-") for line in lines) == 10
    assert "500 objects: 1 opened the window, 499 in the window" in lines


def test_a_refresh_of_nothing_is_told_as_that() -> None:
    lines = shown(make_report(refreshes=(Refresh(NOW, (), REGION, found_shares=False),)))

    assert lines[0].startswith("The stack works, but there is no file share in eu-west-1 to refresh: ")
    assert not any(line.startswith("Refresh accepted") for line in lines)


@pytest.mark.parametrize("width", [60, 80, 200])
def test_a_key_is_data_and_fits_the_terminal(width: int) -> None:
    lines = shown(make_report(objects=(Seen("[red]\x1b[31m" + "k" * 300, "within_window", 1),)), width)

    assert max(len(line) for line in lines) <= width
    assert "".join(line.split()[0] for line in lines if "k" * 9 in line).startswith("[red]\\x1b[31mkkk")


def live(events: Iterable[follow.Event], encoding: str = "utf-8") -> str:
    """The live view after these events."""
    screen = make_screen(terminal=False, encoding=encoding)
    for event in events:
        screen.progress.fold(event)
        if isinstance(event, Waiting):
            screen.waiting(f"Waiting for {event.what}")
    screen.out.print(Group(screen.progress))
    return text_of(screen.out)


def test_each_objects_row_changes_in_place() -> None:
    uploaded = [Seen("a", "uploaded", 0.1), Seen("b", "uploaded", 0.1)]

    assert live(uploaded).count("uploaded") == 2
    lines = live([*uploaded, Seen("b", "opened_window", 0.7)]).splitlines()
    assert [line.split() for line in lines[1:3]] == [
        ["a", "uploaded", "0.1", "s"],
        ["b", "opened", "the", "window", "0.7", "s"],
    ]


def test_a_countdown_leads_to_the_refresh() -> None:
    half = Waiting("the window to close in 15 s", 60, passed=0.5)

    assert "Waiting for the window to close in 15 s" in live([Seen("a", "uploaded", 0), half])
    assert "-" * 20 in live([half], encoding="cp1252")


def test_once_the_refresh_has_come_nothing_is_waited_for() -> None:
    came = Refresh(NOW, (SHARE,), REGION, NOW)

    assert "Waiting" not in live([Seen("a", "uploaded", 0), Waiting("the refresh", 60), came])


def test_in_a_pipe_each_step_is_a_line() -> None:
    screen = make_screen()
    accepted = Refresh(NOW, (SHARE,), REGION, NOW)
    objects = Seen("a", "uploaded", 0), Seen("a", "opened_window", 1)
    screen.watch(happening(*objects, accepted, replace(accepted, complete=NOW)))

    assert text_of(screen.err).splitlines() == [
        "a: opened the window",
        "The refresh is accepted by share-1",
        "The refresh is complete on share-1",
    ]


@pytest.mark.parametrize("shares", [(), (SHARE,)])
def test_no_line_of_the_progress_is_also_one_of_the_result(shares: tuple[str, ...]) -> None:
    refresh = Refresh(NOW, shares, REGION, NOW)
    screen = make_screen()

    screen.watch(happening(refresh, replace(refresh, complete=NOW)))

    result = shown(make_report(refreshes=(refresh, replace(refresh, complete=NOW))))
    assert not set(text_of(screen.err).splitlines()) & set(result)
