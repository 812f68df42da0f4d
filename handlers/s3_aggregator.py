"""Aggregates S3 object events: the first event opens a window, later events are skipped while it is open.

S3 invokes `lambda_handler` with each object event. SNS, SQS and EventBridge can pass such events on. The
table holds one item per bucket: the end of the open window (`timestamp`), the event that opened it
(`opened_by`), and what its events touched (`touched`). The instance that opens a window sends one
message, delayed until the window closes. s3_sgw_refresh receives the message and refreshes the file
shares that were touched.

No event is lost, because the item is the truth and a message only triggers a look at it. A window
that was written is never removed by this function. If its message cannot be sent, the invocation
fails and Lambda retries the event. The event finds its own window and sends the message again.
"""

from __future__ import annotations

import hashlib
import logging
import math
import os
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cache, partial
from typing import Any
from urllib.parse import quote, unquote_plus

import botocore.session
from botocore.config import Config
from object_events import bucket_of, is_test_event, records_of
from shared import (
    EVERYTHING,
    EXPIRED_MS,
    LONGEST_TRUST_MS,
    MOST_SKEW_MS,
    REFRESH_TIMEOUT_MS,
    Clock,
    Item,
    Lengths,
    Touched,
    entry,
    log_as_lambda_does,
    touches,
    within_limits,
)

logger = logging.getLogger("s3_aggregator")
session = botocore.session.get_session()  # boto3 would only slow a cold start

# The sessions in which File Gateways write, by all that is known of their names (FACTS 44).
GATEWAY = re.compile(r"AWS:AROA[0-9A-Z]+:StorageGateway(-sgw-[0-9A-Fa-f]+)?")
NOT_ENCODED = re.compile("%(?![0-9A-Fa-f]{2})")
CLOSING_MS = 2000  # closer to its end than this, a window is not trusted from memory ...
TRUSTED_MS = 1500  # ... unless it was read this recently: the refresh waits 2 s after the close
ALL = frozenset({EVERYTHING})
# The condition that a window is open. An attribute of another type is not ours and no window.
IS_OPEN = "attribute_type(opened_by, :string) AND attribute_type(#timestamp, :number)"
LONGEST_DELAY_S = 900  # the limit of SQS; s3_sgw_refresh waits for the rest
ROUND_MS = 5000  # usual upper limit of a refresh, including its wait of 2 s
MOST_EARLY_MS = 2000  # a window may be due this long before its refresh may start
ATTEMPTS = 3


class NotAnObjectEventError(Exception):
    """The invocation's event holds something that is no object event of S3."""


def lambda_handler(event: Any, context: Any) -> None:
    """Handle an object event. Lambda retries it if this raises."""
    log_as_lambda_does(logger, getattr(context, "aws_request_id", "-"))
    this_instance().handle_event(event)


@dataclass(frozen=True)
class Window:
    """An open window as read from the table. Times in ms since 1970."""

    due: int  # when its refresh is due
    opened_by: str  # the identity of the event that opened it
    asked: float  # when the request for it was sent, s of the monotonic clock
    asked_at: int  # the same by the wall clock
    touched: Touched = None
    prefixes: frozenset[str] | None = frozenset()  # of the bucket's known file shares; None: unreadable

    def missing(self, folder: str | None) -> str | None:
        """Return what `touched` lacks for an event in this folder; None if the window's refresh covers it.

        The longest prefix is enough: what touches its share touches the shares with a shorter one too.
        """
        if self.touched is None or EVERYTHING in self.touched:
            return None
        if folder is None or self.prefixes is None:
            return EVERYTHING
        prefix = longest_prefix(folder, self.prefixes)
        if prefix is None or touches(self.touched, prefix):
            return None
        return entry(prefix)


class Aggregator:
    """One execution environment: its clients, its clock and the windows in its memory."""

    def __init__(
        self,
        *,
        table: str,
        queue_url: str,
        window_s: int,
        interval_s: int,
        include_gateway_writes: bool,
        dynamodb: Any,
        sqs: Callable[[], Any],
        clock: Any = time,
    ) -> None:
        self.table = table
        self.queue_url = queue_url
        self.lengths = Lengths.of(window_s, interval_s)
        self.include_gateway_writes = include_gateway_writes
        self.dynamodb = dynamodb
        self.sqs = sqs  # creates the client when it is first needed
        self.clock = Clock(clock)
        self.windows: dict[str, Window] = {}

    def handle_event(self, event: Any) -> None:
        """Handle each record; raise at the end if any failed, or if anything is no object event.

        So an event that was not understood becomes a dead letter.
        """
        failure: Exception | None = None
        for record in records_of(event):
            if is_test_event(record):
                logger.info("Test event of S3, ignoring: %s", excerpt(record))
                continue
            if not bucket_of(record):
                logger.error("Not an object event: %s", excerpt(record))
                failure = failure or NotAnObjectEventError(
                    "a part of the event is no object event of S3; the log shows it"
                )
                continue
            try:
                self.handle_record(record)
            except Exception as error:  # raised below, after the other records
                logger.exception("Could not handle a record of bucket: %s", bucket_of(record))
                failure = error
        if failure is not None:
            raise failure

    def handle_record(self, record: dict[str, Any]) -> None:
        """Open a window and send its message, or skip the event if a window is open."""
        bucket = bucket_of(record)
        key = printable(str(object_of(record).get("key", "")))
        if not self.include_gateway_writes and by_gateway(record):
            logger.info("Written by the gateway itself, ignoring. Bucket: %s key=%s", bucket, key)
            return
        me = identity(record)
        timestamp = event_time(record) or self.clock.now()
        window = self.window_for(bucket, me, folder_of(record))
        if window.opened_by == me:
            self.send(bucket, timestamp, window.due)
            logger.info(
                "Sending refresh request for bucket: %s, timestamp: %d key=%s", bucket, timestamp, key
            )
            self.windows[bucket] = window
            return
        logger.info(
            "Refresh for bucket: %s within refresh window, skipping. S3 Event timestamp: %d key=%s",
            bucket,
            timestamp,
            key,
        )

    def window_for(self, bucket: str, me: str, folder: str | None) -> Window:
        """Return the open window whose refresh covers this event: opened by it, or by another event."""
        for _ in range(ATTEMPTS):
            window = self.known_window(bucket, me)
            if window is None:
                window = self.open_window(bucket, me, folder)
                if window.opened_by == me:
                    return window
                self.windows[bucket] = window
            missing = window.missing(folder)
            if missing is None:
                return window
            self.touch(bucket, me, window, missing)
        raise RuntimeError(f"Could not add to the open window of bucket {bucket}")

    def known_window(self, bucket: str, me: str) -> Window | None:
        """Return the window in memory that covers this event without a network call; None if there is none.

        Also None for the event that opened the window: a retry means that its message may be missing.
        """
        window = self.windows.get(bucket)
        if window is None or window.opened_by == me:
            return None
        now = self.clock.now()
        age_ms = max((self.clock.monotonic() - window.asked) * 1000, now - window.asked_at)
        if CLOSING_MS < window.due - now <= self.lengths.furthest:
            return window if age_ms < LONGEST_TRUST_MS else None
        return window if age_ms < TRUSTED_MS else None

    def touch(self, bucket: str, me: str, window: Window, missing: str) -> None:
        """Add what the open window lacks; keep in memory the window as it is then."""
        touched = within_limits((window.touched or frozenset()) | {missing})
        # More than the limits is replaced by everything. Otherwise what others add at the same time stays.
        verb, values = ("ADD touched", {missing}) if missing in touched else ("SET touched =", touched)
        asked, asked_at = self.clock.monotonic(), self.clock.now()
        item = self.write(
            bucket,
            f"{verb} :touched",
            f"{IS_OPEN} AND attribute_type(touched, :set)",
            {
                ":touched": {"SS": sorted(values)},
                ":set": {"S": "SS"},
                ":string": {"S": "S"},
                ":number": {"S": "N"},
            },
        )
        now = self.clock.now()
        is_open = item.due is not None and now - EXPIRED_MS <= item.due <= now + self.lengths.furthest
        if is_open and item.opened_by != me:
            self.windows[bucket] = window_of(item, asked, asked_at)
        else:
            self.windows[bucket] = replace(window, asked_at=0)  # too long ago to be trusted

    def open_window(self, bucket: str, me: str, folder: str | None) -> Window:
        """Open a window for this event unless one is open; return the open window.

        The answer holds the time of the last refresh and corrects the clock. Both can require another write.
        """
        now = self.clock.now()
        due = self.due(now, self.refresh_expected(bucket, now))
        instead_of = None  # the item with a window to replace
        for attempt in range(ATTEMPTS):
            asked, asked_at = self.clock.monotonic(), self.clock.now()
            item = self.write_window(bucket, me, due, folder, instead_of)
            now = self.clock.now()
            if item.due is None or item.opened_by is None:  # the window was closed meanwhile
                instead_of = None
                continue
            window = window_of(item, asked, asked_at)
            if window.opened_by == me:
                # Opened by this write or an earlier one, whose answer or message was lost, or that was moved.
                is_new = instead_of is None and window.due == due
                opened = now - round((self.clock.monotonic() - asked) * 1000) if is_new else None
                due = self.better_due(window.due, item, opened, now)
                is_short = window.touched is None or within_limits(window.touched) == window.touched
                if (due == window.due and is_short) or attempt == ATTEMPTS - 1:
                    return window
            else:
                due = self.due(now, self.refresh_after(item, now))
                if window.due > now + self.lengths.furthest:
                    due = max(due, now + LONGEST_TRUST_MS)
                elif window.due >= now - EXPIRED_MS:
                    return window
            instead_of = item
        raise RuntimeError(f"Could not tell whether a window of bucket {bucket} is open")

    def due(self, opened: int, refresh: int) -> int:
        """Return when a window is due: at its end, but not before its refresh may start.

        It is due whole seconds after `opened`, as SQS delays messages by whole seconds.
        """
        return opened + math.ceil(max(self.lengths.window, refresh - opened) / 1000) * 1000

    def better_due(self, due: int, item: Item, opened: int | None, now: int) -> int:
        """Return a due time for this event's window: the same unless it is too early or too late.

        `opened` is the opening time by the corrected clock; None if an earlier write opened the window.
        """
        if due > now + self.lengths.furthest:
            return now + LONGEST_TRUST_MS
        refresh = self.refresh_after(item, now)
        wanted = refresh if refresh > now else due
        if opened is not None:
            wanted = self.due(opened, refresh)
        return wanted if wanted > due + MOST_EARLY_MS else due

    def refresh_expected(self, bucket: str, now: int) -> int:
        """Estimate from memory when the next refresh may start; 0 if no window is known."""
        known = self.windows.get(bucket)
        return min(known.due, now) + ROUND_MS + self.lengths.pause if known else 0

    def refresh_after(self, item: Item, now: int) -> int:
        """Return when the next refresh may start according to the item; 0 if it is unknown."""
        refresh = self.lengths.next_refresh(item)
        accepted = refresh - self.lengths.pause
        if accepted > now + MOST_SKEW_MS:
            return 0
        if accepted > now:  # a refresh is running, and this is its latest end
            accepted = max(now, accepted - REFRESH_TIMEOUT_MS + ROUND_MS)
        return accepted + self.lengths.pause

    def write_window(
        self, bucket: str, me: str, due: int, folder: str | None, instead_of: Item | None
    ) -> Item:
        """Write a window if none is open, or replace the given one; return the item afterwards.

        The event's folder is added to what was touched: nothing has refreshed a window that is replaced.
        """
        values: dict[str, Any] = {":due": {"N": str(due)}, ":me": {"S": me}}
        sets = "#timestamp = :due, opened_by = :me"
        removes = ""
        added = within_limits(frozenset({EVERYTHING if folder is None else entry(folder)}))
        if instead_of is None:
            # A missing attribute has no type. An attribute of another type is not ours and no window.
            condition = "NOT attribute_type(opened_by, :string) OR NOT attribute_type(#timestamp, :number)"
            values |= {":string": {"S": "S"}, ":number": {"S": "N"}}
        else:
            condition = "opened_by = :read_opened_by AND #timestamp = :read_timestamp"
            values |= {f":read_{name}": instead_of.raw[name] for name in ("opened_by", "timestamp")}
            if instead_of.opened_by != me and (instead_of.due or 0) < self.clock.now():
                # That window has expired: no share was refreshed for it, also none in `done`.
                sets += ", unrefreshed_since = :since"
                removes = " REMOVE owed, done"
                values[":since"] = {"N": str(instead_of.owed_since)}
            # Without `touched` an older version opened that window, so it is for everything.
            if instead_of.touched is None or EVERYTHING in within_limits(instead_of.touched | added):
                added = ALL
        values[":touched"] = {"SS": sorted(added)}
        if added == ALL:  # the rest is needless, and may be too much
            return self.write(bucket, f"SET {sets}, touched = :touched{removes}", condition, values)
        return self.write(bucket, f"SET {sets}{removes} ADD touched :touched", condition, values)

    def write(self, bucket: str, update: str, condition: str, values: dict[str, Any]) -> Item:
        """Update the item if the condition holds; return the item as it is then, changed or not."""
        write = partial(
            self.dynamodb.update_item,
            TableName=self.table,
            Key={"BucketName": {"S": bucket}},
            UpdateExpression=update,
            ConditionExpression=condition,
            ExpressionAttributeNames={"#timestamp": "timestamp"},
            ExpressionAttributeValues=values,
            ReturnValues="ALL_NEW",
            ReturnValuesOnConditionCheckFailure="ALL_OLD",
        )
        try:
            return Item(self.clock.ask(write)["Attributes"])
        except self.dynamodb.exceptions.ConditionalCheckFailedException as refusal:
            return Item(refusal.response.get("Item", {}))

    def send(self, bucket: str, timestamp: int, due: int) -> None:
        """Send the window's message, delayed until the window closes."""
        sqs = self.sqs()  # before the delay is computed, as creating the client takes time
        left_s = math.ceil((due - self.clock.now()) / 1000)
        sqs.send_message(
            QueueUrl=self.queue_url,
            MessageBody="{}",
            DelaySeconds=min(max(left_s, 0), LONGEST_DELAY_S),
            MessageAttributes={
                "bucket-name": {"DataType": "String", "StringValue": bucket},
                "timestamp": {"DataType": "Number", "StringValue": str(timestamp)},
                "due": {"DataType": "Number", "StringValue": str(due)},
            },
        )


def window_of(item: Item, asked: float, asked_at: int) -> Window:
    """Return the open window of an item that was asked for at these times."""
    return Window(item.due or 0, item.opened_by or "", asked, asked_at, item.touched, item.prefixes)


def object_of(record: dict[str, Any]) -> dict[str, Any]:
    """Return the object of a record with a bucket; empty if it is malformed."""
    found = record["s3"].get("object")
    return found if isinstance(found, dict) else {}


def folder_of(record: dict[str, Any]) -> str | None:
    """Return the folder of an object, which is its key up to the last slash; None in doubt.

    S3 delivers keys URL-encoded. A key that does not decode may be in any folder.
    """
    key = object_of(record).get("key")
    if not isinstance(key, str):
        return None
    decoded = key
    try:
        if "%" in key or "+" in key:  # this function runs for each event, and most keys need no decoding
            if NOT_ENCODED.search(key):
                return None
            decoded = unquote_plus(key, errors="strict")
        decoded.encode()
    except UnicodeError:
        return None
    return decoded[: decoded.rfind("/") + 1]


def longest_prefix(folder: str, prefixes: frozenset[str]) -> str | None:
    """Return the longest of the prefixes with which the folder begins. Each is empty or ends with a slash."""
    end = len(folder)
    while folder[:end] not in prefixes:
        if end == 0:
            return None
        end = folder.rfind("/", 0, end - 1) + 1
    return folder[:end]


def by_gateway(record: dict[str, Any]) -> bool:
    """Whether a Storage Gateway wrote the object, so that its file share already shows it.

    In doubt it did not: a refresh too many does less harm than a missing one (FACTS 44).
    """
    user = record.get("userIdentity")
    return isinstance(user, dict) and GATEWAY.fullmatch(str(user.get("principalId"))) is not None


def identity(record: dict[str, Any]) -> str:
    """Return the same short hash for each delivery of an event; short, as DynamoDB charges by size."""
    s3_object = object_of(record)
    parts = (
        record.get("eventName"),
        record.get("eventTime"),
        s3_object.get("key"),
        s3_object.get("sequencer"),
        s3_object.get("versionId"),
    )
    return hashlib.sha256(repr(parts).encode("utf-8", "surrogatepass")).hexdigest()[:32]


def event_time(record: dict[str, Any]) -> int | None:
    """Return the time of the event, ms since 1970; None if the record has none."""
    try:
        # Python 3.10 does not parse the Z.
        moment = datetime.fromisoformat(str(record["eventTime"]).replace("Z", "+00:00"))
        return round(moment.timestamp() * 1000)
    except (KeyError, ValueError, OverflowError):
        return None


def excerpt(record: Any) -> str:
    """Return the beginning of a record on one line."""
    return printable(str(record)[:1000])


def printable(text: str) -> str:
    """Escape blanks and unprintable characters; keys, which S3 delivers URL-encoded, stay the same."""
    return re.sub(r"[^!-~]", lambda char: quote(char[0], errors="surrogatepass"), text)


@cache
def this_instance() -> Aggregator:
    """Return the aggregator of this execution environment, created for its first event."""
    # Short enough to retry a hanging call within the function's timeout of 10 s.
    config = Config(connect_timeout=1, read_timeout=2, retries={"mode": "standard", "total_max_attempts": 3})
    return Aggregator(
        table=os.environ["TABLE_NAME"],
        queue_url=os.environ["QUEUE_URL"],
        window_s=int(os.environ["REFRESH_DELAY_SECONDS"]),
        interval_s=int(os.environ.get("MIN_INTERVAL_SECONDS", "60")),
        include_gateway_writes=os.environ.get("INCLUDE_GATEWAY_WRITES", "") == "true",
        dynamodb=session.create_client("dynamodb", config=config),
        sqs=cache(partial(session.create_client, "sqs", config=config)),
    )
