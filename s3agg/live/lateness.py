"""Whether a bucket's refresh is overdue (DESIGN 2b)."""

from __future__ import annotations

from datetime import datetime

from s3agg.live.items import BucketActivity
from s3agg.settings import Settings

# If a refresh is later than this, its message is lost or the refresh function does not run (DESIGN 2). After
# 5 min the next event opens a new window. A message for the remaining shares is put off by 15 min at most.
LATE_S = 300
LATEST_S = 20 * 60


def is_late(bucket: BucketActivity, now: datetime, settings: Settings) -> bool:
    """Whether the refresh of an open window, or a pending refresh, is overdue.

    A busy gateway puts `not_before` off again and again, and an event replaces a window whose message is
    lost. `unrefreshed_since` stays, so a refresh that is owed for long counts whatever happens since.
    """
    if not (bucket.window.open or bucket.pending):
        return False
    closes_at, since = bucket.window.closes_at, bucket.unrefreshed_since
    # `since` too: `s3agg refresh` requests a refresh long after the last `not_before`.
    due = [moment for moment in (closes_at, bucket.not_before, since) if moment is not None]
    if due and (now - max(due)).total_seconds() > (LATEST_S if bucket.pending else LATE_S):
        return True
    owed = [moment for moment in (closes_at, since) if moment is not None]
    return bool(owed) and (now - min(owed)).total_seconds() > settings.longest_owed
