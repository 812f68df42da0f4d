"""Gateways' events of finished refreshes: tells whether one of somebody else spoilt the stack's last refresh.

Zipped with s3_sgw_refresh.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from file_shares import Shares, UnfinishedLookupError, ids
from known_shares import pack
from messages import MANY_RECEIVES, Completion, completion_of, pause_after_error_s, receives_of, sent_of
from shared import (
    LOST_RACE_S,
    REFRESH_TIMEOUT_MS,
    SPARE_MS,
    Item,
    Lengths,
    entry,
    touches,
    within_limits,
)
from table import Table

logger = logging.getLogger("s3_sgw_refresh")  # its lines belong to that function

IN_VAIN_MS = 60_000  # so soon after another refresh of its share, one does nothing (FACTS 38)


class Act(Enum):
    """What to do because of a finished refresh."""

    NOTHING = auto()
    WAIT = auto()  # until `Verdict.till`, and judge it again
    REPEAT = auto()  # make the last refresh pending again, as it did nothing
    REFRESH = auto()  # it was made pending again because of this one


@dataclass(frozen=True)
class Verdict:
    """What to do because of a finished refresh. `till` in ms since 1970."""

    act: Act
    till: int | None = None  # when the message is needed again


@dataclass(frozen=True)
class Answer:
    """What to do with the message of a finished refresh."""

    bucket: str
    till: int | None = None  # when the message is needed again, ms since 1970
    to_refresh: Item | None = None  # the bucket's item, whose pending refresh is to start


def judge(item: Item, completion: Completion, now: int, lengths: Lengths) -> Verdict:
    """Return what to do because of a finished refresh. `now` in ms since 1970.

    Somebody else's refresh of a share spoils ours, if ours comes within the next 60 s: it does nothing.
    If theirs began after our round began, it shows everything that ours is for. A repetition comes 60 s or
    more after that round, so nothing spoils it. It is never repeated for the same share.
    """
    share = ids([completion.share])[0]
    known = item.known.get(share)
    if not item.raw or (known is not None and completion.short == known.given):
        return Verdict(Act.NOTHING)
    repeated = item.again.get(share)
    if repeated == completion.short:
        return Verdict(Act.REFRESH)  # it has made the refresh pending, and wakes the function up for it
    # Our refresh may come 60 s after theirs. The item tells of it at the end of its round.
    clear = completion.started + IN_VAIN_MS + REFRESH_TIMEOUT_MS + SPARE_MS
    left = lengths.next_refresh(item) - lengths.pause - now  # of a round that is running
    is_running = 0 < left <= REFRESH_TIMEOUT_MS + SPARE_MS
    if completion.started - SPARE_MS <= now < clear:
        # It may be ours, of the round that is running.
        return Verdict(Act.WAIT, min(clear, now + LOST_RACE_S * 1000) if is_running else clear)
    if repeated is not None or known is None or known.began is None:
        return Verdict(Act.NOTHING)
    began = known.began
    if not began - IN_VAIN_MS - SPARE_MS < completion.started < began + SPARE_MS:
        return Verdict(Act.NOTHING)
    if is_running:  # only its end tells whether that round is for this share
        return Verdict(Act.WAIT, now + LOST_RACE_S * 1000)
    is_pending = item.text("pending") is not None and share not in item.done
    if is_pending and touches(item.refreshing, known.prefix):
        return Verdict(Act.NOTHING)  # the pending refresh will reach this share
    earliest = max(now, lengths.next_refresh(item))
    is_soon = item.due is not None and item.due <= earliest + lengths.pause
    if is_soon and touches(item.touched, known.prefix):
        return Verdict(Act.NOTHING)  # so will the refresh of the open window
    return Verdict(Act.REPEAT, earliest)


class Completions:
    """Finished refreshes, as one execution environment hears of them."""

    def __init__(self, table: Table, shares: Shares, lengths: Lengths, share_prefix: str) -> None:
        self.table = table
        self.shares = shares
        self.lengths = lengths
        self.share_prefix = share_prefix  # of the ARNs of this region and account
        self.account = share_prefix.split(":")[4]

    def handle(
        self, message: dict[str, Any], event: dict[str, Any], time_left_ms: Callable[[], int]
    ) -> Answer | None:
        """Log the event, and make the last refresh pending again if this refresh of somebody else spoilt it.

        Return None if the message is no longer needed. After a few failures it is not: a dead letter would
        stand for nothing.
        """
        completion = completion_of(event, sent_of(message))
        if completion is None:
            logger.warning("Not an event of a finished refresh, ignoring: %.1000r", event)
            return None
        share = completion.share
        logger.info(
            "File share complete: %s, notification: %s, took: %d ms",
            share,
            completion.notification,
            completion.took_ms,
        )
        if not share.startswith(self.share_prefix) or self.shares.given.get(share) == completion.short:
            return None
        try:
            bucket = self.shares.bucket_of(share, self.account, time_left_ms)
            item = None if bucket is None else self.table.read(bucket)
        except (BotoCoreError, ClientError, UnfinishedLookupError) as error:
            logger.warning("Could not tell whose refresh of file share: %s is complete: %s", share, error)
            if receives_of(message) >= MANY_RECEIVES:
                return None
            return Answer("", self.table.clock.now() + pause_after_error_s(message) * 1000)
        return None if bucket is None or item is None else self.follow(bucket, item, completion)

    def follow(self, bucket: str, item: Item, completion: Completion) -> Answer | None:
        """Do what is to be done because of a finished refresh; as `handle`."""
        now = self.table.clock.now()
        verdict = judge(item, completion, now, self.lengths)
        if verdict.act is Act.REFRESH:
            return Answer(bucket, to_refresh=item)
        if verdict.act is Act.REPEAT and not self.repeat(bucket, item, completion, now):
            return Answer(bucket, now + LOST_RACE_S * 1000)
        return None if verdict.till is None else Answer(bucket, verdict.till)

    def repeat(self, bucket: str, item: Item, completion: Completion, now: int) -> bool:
        """Make the last refresh of this share pending again; return False if the item has changed meanwhile.

        What else is pending stays so. `again` tells which message wakes the function up for it.
        """
        share = ids([completion.share])[0]
        done = item.done - {share}
        known = {name: replace(each, done=name in done) for name, each in item.known.items()}
        again = {**item.again, share: completion.short}
        update = (
            "SET pending = :token, again = :again, known = :known, done = :yes,"
            " unrefreshed_since = if_not_exists(unrefreshed_since, :now)"
        )
        values: dict[str, Any] = {
            ":token": {"S": uuid.uuid4().hex},
            ":again": {"M": {name: {"S": short} for name, short in again.items()}},
            ":known": {"B": pack(known)},
            ":yes": {"BOOL": True},
            ":now": {"N": str(now)},
        }
        pending = frozenset[str]() if item.text("pending") is None else item.refreshing
        if pending is not None:  # otherwise everything is pending
            update += ", refreshing = :refreshing"
            pending = within_limits(pending | {entry(known[share].prefix)})
            values[":refreshing"] = {"SS": sorted(pending)}
        if not self.table.write_if_as_read(bucket, item, update, values):
            return False
        logger.info(
            "Refreshing again, as somebody else's refresh came just before: %s of bucket: %s",
            completion.share,
            bucket,
        )
        return True
