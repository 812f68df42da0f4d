"""When a bucket's refresh counts as overdue."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from s3agg.live.items import BucketActivity, Window
from s3agg.live.lateness import LATEST_S, is_late
from s3agg.settings import Settings

NOW = datetime(2025, 6, 15, tzinfo=timezone.utc)
SETTINGS = Settings()


def ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


def test_a_request_on_a_bucket_that_was_idle_for_a_day_is_not_overdue_until_it_waits_itself() -> None:
    def requested(seconds: float) -> BucketActivity:
        return BucketActivity("b", pending=True, not_before=ago(86_400), unrefreshed_since=ago(seconds))

    assert not is_late(requested(10), NOW, SETTINGS)
    assert is_late(requested(LATEST_S + 1), NOW, SETTINGS)


def test_a_new_request_does_not_hide_a_window_that_nobody_closes() -> None:
    def with_window(due: datetime) -> BucketActivity:
        return BucketActivity("b", Window(open=True, closes_at=due), pending=True, unrefreshed_since=ago(10))

    assert not is_late(with_window(ago(SETTINGS.longest_owed - 1)), NOW, SETTINGS)
    assert is_late(with_window(ago(SETTINGS.longest_owed + 1)), NOW, SETTINGS)
