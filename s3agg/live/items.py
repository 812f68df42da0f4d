"""The buckets' items in the table, as they are read (DESIGN 2)."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from importlib import import_module
from typing import Any, Protocol, cast

from s3agg.aws.clock import from_ms
from s3agg.aws.place import Place
from s3agg.aws.refusals import until_absent
from s3agg.aws.session import Aws
from s3agg.errors import AwsAdvice, S3aggError, UsageProblem
from s3agg.resources.event_filter import ALL_EVENTS, NOTIFICATION, WAYS, EventFilter
from s3agg.settings import ANY_REGION, LONGEST_WINDOW_S, SETTLE_S, check_bucket_name

LONGEST_PAUSE_MS = (LONGEST_WINDOW_S + SETTLE_S) * 1000


@dataclass(frozen=True)
class Window:
    """A bucket's window; its refresh is due at `closes_at`."""

    open: bool
    closes_at: datetime | None


class OlderFilter(EventFilter):
    """The one prefix and one suffix that an older version has stored: the bucket's rule counts before them.

    It equals no EventFilter, so `create` stores it again in this version's form.
    """


@dataclass(frozen=True)
class BucketActivity:
    """The state of a bucket from its item in the table (DESIGN 2)."""

    name: str
    window: Window = Window(open=False, closes_at=None)
    last_refresh: datetime | None = None  # start of the last refresh that every share accepted
    shares: tuple[str, ...] = ()
    pending: bool = False  # the window is closed, its refresh is not finished
    not_before: datetime | None = None  # no refresh earlier; a pending one is tried again then
    pause: timedelta | None = None  # the interval that `not_before` was computed with; None if unknown
    event_filter: EventFilter | None = None  # as declared; None if the bucket is not stored as attached
    unrefreshed_since: datetime | None = None  # when the oldest refresh was due that is still owed to a share
    owed: tuple[str, ...] = ()  # the shares that did not accept it, or a later one
    tried: tuple[str, ...] = ()  # the same, also while they are tried again
    answer: str | None = None  # the gateway's last answer for the share that waits longest
    shares_found: datetime | None = None  # when the refresh function looked the shares up
    delivery_is_ours: bool = False  # s3agg turned the bucket's EventBridge delivery on
    # How many shares that refresh was for; None before any, and from an older version, which refreshed all.
    refreshed_shares: int | None = None
    last_full: datetime | None = None  # start of the last refresh of everything that every share accepted
    prefixes: Mapping[str, str] = field(default_factory=dict)  # of the keys that each share shows, by ARN
    # Start of the last refresh that each share accepted, by ARN.
    last_refreshes: Mapping[str, datetime] = field(default_factory=dict)

    @property
    def refreshed_by_all(self) -> datetime | None:
        """Start of the last refresh that was for every share."""
        is_of_all = self.refreshed_shares is None or self.refreshed_shares >= len(self.shares)
        return self.last_refresh if is_of_all else self.last_full

    def with_last_answers(self) -> BucketActivity:
        """Return the activity with the shares that a running try is for: its start removes `owed`."""
        is_tried = self.pending and self.answer is not None and not self.owed
        return replace(self, owed=self.tried) if is_tried else self

    def at_interval(self, min_interval: int) -> BucketActivity:
        """Return the activity with `not_before` for this minimum interval, s, as the functions compute it."""
        if self.not_before is None or self.pause is None:
            return self
        pause = timedelta(seconds=min_interval + SETTLE_S)
        return replace(self, not_before=self.not_before - self.pause + pause, pause=pause)

    def is_idle(self, now: datetime) -> bool:
        """Whether `forget_bucket` deletes the item: no refresh is due, and the minimum interval is over."""
        waits = self.not_before is not None and self.not_before >= now
        return not (self.window.open or self.pending or waits)


def read_items(aws: Aws, table: str) -> Iterator[dict[str, Any]]:
    """Read the buckets' items; none if the table does not exist."""
    pages = aws.dynamodb.get_paginator("scan").paginate(TableName=table, ConsistentRead=True)
    for page in until_absent(pages):
        yield from (dict(item) for item in page["Items"] if "S" in item.get("BucketName", {}))


def read_all(aws: Aws, table: str) -> dict[str, BucketActivity]:
    """Read the activity of all buckets, by name; empty if the table does not exist.

    Anyone who can write to the table can write odd items. Each gets a warning, and the others are read.
    """
    found = {}
    for item in read_items(aws, table):
        name = item["BucketName"]["S"]
        try:
            check_bucket_name(name, ANY_REGION)
        except UsageProblem:
            aws.warn(
                S3aggError(
                    f"Ignored an item of table {table}: its BucketName {name!r} is not a bucket name",
                    "To delete it, run",
                    _delete_item(table, name),
                )
            )
        else:
            found[name] = activity_of(aws, table, item)
    return found


def read_one(aws: Aws, table: str, name: str) -> BucketActivity:
    """Read the activity of a bucket; that of an idle bucket if it has no item."""
    answer = aws.dynamodb.get_item(TableName=table, Key=key_of(name), ConsistentRead=True)
    return activity_of(aws, table, answer["Item"]) if "Item" in answer else BucketActivity(name)


def activity_of(aws: Aws, table: str, item: Mapping[str, Any]) -> BucketActivity:
    """Return the activity of a bucket from its item. Each odd time gets a warning, and counts as missing."""

    def warn(attribute: str, value: float) -> None:
        bucket = item["BucketName"]["S"]
        aws.warn(
            S3aggError(
                f"Ignored `{attribute}` of bucket {bucket} in table {table}: {value:g} is not a time in ms",
                "To remove it, run",
                _remove_attribute(table, bucket, attribute),
            )
        )

    return activity(aws.place, item, warn)


def activity(
    place: Place, item: Mapping[str, Any], warn: Callable[[str, float], None] = lambda *_: None
) -> BucketActivity:
    """Return the activity of a bucket from its item, as DynamoDB returns it.

    `warn` is called for an attribute whose value is not a time, which then counts as missing.
    """

    def arns(share_ids: Iterable[str]) -> tuple[str, ...]:
        return tuple(place.arn("storagegateway", f"share/{share}") for share in sorted(share_ids))

    def time_of(name: str, value: float | None) -> datetime | None:
        if value is None:
            return None
        try:
            return from_ms(value)
        except (ValueError, OverflowError, OSError):  # no year of the calendar
            warn(name, value)
            return None

    def moment(name: str) -> datetime | None:
        value = item.get(name, {}).get("N")
        return time_of(name, None if value is None else float(value))

    def count(name: str) -> int | None:
        value = item.get(name, {}).get("N")
        return None if value is None else int(float(value))

    known = _known_shares(item)
    pause = count("pause")
    # An older version stored ids alone, in `shares` and in `owed`.
    ids = {*known, *item.get("shares", {}).get("SS", ())}
    owing = [share for share, each in known.items() if each.owed is not None]
    owed = owing if "BOOL" in item.get("owed", {}) else item.get("owed", {}).get("M", ())
    is_open = "opened_by" in item and "timestamp" in item
    attached = item.get("attached", {}).get("M")
    return BucketActivity(
        name=item["BucketName"]["S"],
        window=Window(is_open, moment("timestamp") if is_open else None),
        last_refresh=moment("refreshed"),
        shares=arns(ids),
        pending="pending" in item,
        not_before=moment("not_before"),
        pause=None if pause is None or not 0 <= pause <= LONGEST_PAUSE_MS else timedelta(milliseconds=pause),
        event_filter=None if attached is None else _event_filter(attached),
        unrefreshed_since=moment("unrefreshed_since"),
        owed=arns(owed),
        tried=arns(owing),
        answer=item.get("answer", {}).get("S"),
        shares_found=moment("shares_found"),
        delivery_is_ours="delivery_on" in item,
        refreshed_shares=count("refreshed_shares"),
        last_full=moment("refreshed_all"),
        prefixes={arns([share])[0]: each.prefix for share, each in known.items()},
        last_refreshes={
            arns([share])[0]: began
            for share, each in known.items()
            if (began := time_of("known", each.began)) is not None
        },
    )


class _KnownShare(Protocol):
    """`KnownShare` of handlers/known_shares.py, as far as it is used here."""

    @property
    def prefix(self) -> str: ...

    @property
    def began(self) -> int | None: ...

    @property
    def owed(self) -> int | None: ...


def _known_shares(item: Mapping[str, Any]) -> Mapping[str, _KnownShare]:
    """Return the known shares of an item by their ids, as the functions' code reads them; none in doubt.

    That code is loaded by its name: it is what AWS gets, and no layer of this package.
    """
    shares = import_module("s3agg.handlers.known_shares").unpack(item.get("known", {}).get("B"))
    return cast("Mapping[str, _KnownShare]", shares)


def _delete_item(table: str, name: str) -> AwsAdvice:
    return AwsAdvice("dynamodb delete-item", options={"table-name": table, "key": json.dumps(key_of(name))})


def _remove_attribute(table: str, name: str, attribute: str) -> AwsAdvice:
    """The command that removes an attribute. A window needs both of its attributes, or none (DESIGN 2)."""
    names = {"#0": attribute} | ({"#1": "opened_by"} if attribute == "timestamp" else {})
    options = {
        "table-name": table,
        "key": json.dumps(key_of(name)),
        "update-expression": f"REMOVE {', '.join(names)}",
        "expression-attribute-names": json.dumps(names),
    }
    return AwsAdvice("dynamodb update-item", options=options)


def key_of(name: str) -> dict[str, Any]:
    """The key of a bucket's item."""
    return {"BucketName": {"S": name}}


def _event_filter(attached: Mapping[str, Any]) -> EventFilter:
    """Return the stored event filter. Older versions stored one prefix and one suffix, and no event types."""

    def texts(name: str) -> tuple[str, ...]:
        return tuple(each["S"] for each in attached.get(name, {}).get("L", ()) if "S" in each)

    if "events" not in attached:
        prefix, suffix = ((attached.get(part, {}).get("S", ""),) for part in ("prefix", "suffix"))
        return OlderFilter(prefix, suffix)
    via = attached.get("via", {}).get("S")
    return EventFilter(
        texts("prefixes"),
        texts("suffixes"),
        texts("events") or ALL_EVENTS.events,
        via if via in WAYS else NOTIFICATION,
    )
