"""The refresh function's lines, as refreshes of file shares."""

from __future__ import annotations

from s3agg.aws.clock import from_ms
from s3agg.live.log_lines import LogLine
from s3agg.live.share_refreshes import ShareRefresh, history, of_lines

ONE, TWO = (f"arn:aws:storagegateway:eu-west-1:123456789012:share/share-{n}" for n in (1, 2))


def accepted(time: int, share: str, notification: str) -> LogLine:
    return LogLine(time, f"[INFO]\tx\ty\tRefreshing file share: {share}, notification: {notification}")


def complete(time: int, share: str, notification: str, took: int = 2500) -> LogLine:
    line = f"File share complete: {share}, notification: {notification}, took: {took} ms"
    return LogLine(time, f"[INFO]\tx\ty\t{line}")


def test_a_completion_belongs_to_the_acceptance_with_its_notification() -> None:
    lines = [accepted(1, ONE, "a"), accepted(2, TWO, "b"), complete(9, TWO, "b"), accepted(70, ONE, "c")]

    assert of_lines(lines) == [
        ShareRefresh(ONE, "a", from_ms(1)),
        ShareRefresh(TWO, "b", from_ms(2), from_ms(9), 2.5),
        ShareRefresh(ONE, "c", from_ms(70)),
    ]


def test_a_completion_may_come_first_and_twice() -> None:
    """Another invocation writes it, and EventBridge delivers at least once."""
    lines = [complete(5, ONE, "a"), accepted(6, ONE, "a"), complete(90, ONE, "a", 99)]

    assert of_lines(lines) == [ShareRefresh(ONE, "a", from_ms(6), from_ms(5), 2.5)]


def test_acceptances_without_a_notification_are_each_one_of_its_own() -> None:
    lines = [accepted(1, ONE, "-"), accepted(1, TWO, "-"), accepted(70, ONE, "-")]

    assert [(each.share, each.complete) for each in of_lines(lines)] == [
        (ONE, None),
        (TWO, None),
        (ONE, None),
    ]


def test_a_refresh_of_somebody_else_is_left_out() -> None:
    assert of_lines([complete(5, ONE, "theirs")]) == []


def test_a_line_of_older_functions_tells_no_notification() -> None:
    assert of_lines([LogLine(1, f"[INFO]\tx\ty\tRefreshing file share: {ONE}")]) == []


def test_a_history_has_the_refreshes_of_each_share_and_the_last_start_of_each_bucket() -> None:
    lines = [
        accepted(1, ONE, "a"),
        LogLine(2, "Refresh complete for bucket: photos, started: 1, shares: x"),  # of an older function
        accepted(3, TWO, "b"),
        accepted(70, ONE, "c"),
        LogLine(71, f"Refresh accepted for bucket: photos, started: 69, shares: {ONE}"),
        LogLine(72, f"Refresh accepted for bucket: photos, started: 60, shares: {ONE}"),  # a late line
    ]

    found = history(lines, 24)

    assert {share: [each.notification for each in of_share] for share, of_share in found.shares.items()} == {
        ONE: ["a", "c"],
        TWO: ["b"],
    }
    assert (found.hours, found.starts) == (24, {"photos": from_ms(69)})
