"""The buckets' items in the table, and the refresh messages for them (DESIGN 2)."""

from __future__ import annotations

import json
import math
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from importlib import import_module
from typing import Any, Protocol, cast

from s3agg.aws.clock import from_ms, to_ms
from s3agg.aws.place import Place
from s3agg.aws.refusals import is_error
from s3agg.aws.session import Aws
from s3agg.errors import AwsAdvice, S3aggError, UsageProblem
from s3agg.resources.event_filter import ALL_EVENTS, EVENTBRIDGE, NOTIFICATION, WAYS, EventFilter
from s3agg.resources.queue import Queue
from s3agg.settings import ANY_REGION, SETTLE_S, Settings, check_bucket_name

LONGEST_DELAY_S = 900  # the limit of SQS; the refresh function waits for the rest
# For so long after a change of the aggregator everything is refreshed. In this time its older instances end,
# also by a clock that is 5 minutes ahead of this machine's: AWS refuses the calls of a larger difference.
EVERYTHING_MS = 10 * 60 * 1000


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
    event_filter: EventFilter | None = None  # as declared; None if the bucket is not stored as attached
    unrefreshed_since: datetime | None = None  # when the oldest refresh was due that is still owed to a share
    owed: tuple[str, ...] = ()  # the shares that did not accept it, or a later one
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

    def is_idle(self, now: datetime) -> bool:
        """Whether no refresh is due and the minimum interval has passed: `forget_bucket` deletes the item."""
        waits = self.not_before is not None and self.not_before >= now
        return not (self.window.open or self.pending or waits)


def read_items(aws: Aws, table: str) -> Iterator[dict[str, Any]]:
    """Read the buckets' items; none if the table does not exist."""
    try:
        for page in aws.dynamodb.get_paginator("scan").paginate(TableName=table, ConsistentRead=True):
            yield from (dict(item) for item in page["Items"] if "S" in item.get("BucketName", {}))
    except aws.dynamodb.exceptions.ResourceNotFoundException:
        return


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
            found[name] = _activity(aws, table, item)
    return found


def read_one(aws: Aws, table: str, name: str) -> BucketActivity:
    """Read the activity of a bucket; that of an idle bucket if it has no item."""
    answer = aws.dynamodb.get_item(TableName=table, Key={"BucketName": {"S": name}}, ConsistentRead=True)
    return _activity(aws, table, answer["Item"]) if "Item" in answer else BucketActivity(name)


def _activity(aws: Aws, table: str, item: Mapping[str, Any]) -> BucketActivity:
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
        event_filter=None if attached is None else _event_filter(attached),
        unrefreshed_since=moment("unrefreshed_since"),
        owed=arns(owed),
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
    return AwsAdvice("dynamodb delete-item", options={"table-name": table, "key": _key(name)})


def _remove_attribute(table: str, name: str, attribute: str) -> AwsAdvice:
    """The command that removes an attribute. A window needs both of its attributes, or none (DESIGN 2)."""
    names = {"#0": attribute} | ({"#1": "opened_by"} if attribute == "timestamp" else {})
    options = {
        "table-name": table,
        "key": _key(name),
        "update-expression": f"REMOVE {', '.join(names)}",
        "expression-attribute-names": json.dumps(names),
    }
    return AwsAdvice("dynamodb update-item", options=options)


def _key(name: str) -> str:
    """The key of an item for a command line. JSON escapes its control characters."""
    return json.dumps({"BucketName": {"S": name}})


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


def attach(aws: Aws, table: str, name: str, chosen: EventFilter) -> None:
    """Store the bucket as attached, with its event filter, which declares its rules."""
    parts: dict[str, Any] = {
        part: {"L": [{"S": each} for each in values]}
        for part, values in (
            ("prefixes", chosen.prefixes),
            ("suffixes", chosen.suffixes),
            ("events", chosen.events),
        )
    }
    if chosen.is_via_eventbridge:  # absent in items of older versions, which know one way
        parts["via"] = {"S": EVENTBRIDGE}
    aws.dynamodb.update_item(
        TableName=table,
        Key={"BucketName": {"S": name}},
        UpdateExpression="SET attached = :filter",
        ExpressionAttributeValues={":filter": {"M": parts}},
    )


def keep_delivery(aws: Aws, table: str, name: str) -> None:
    """Store that s3agg turns the bucket's EventBridge delivery on, so that it turns it off again."""
    aws.dynamodb.update_item(
        TableName=table,
        Key={"BucketName": {"S": name}},
        UpdateExpression="SET delivery_on = :yes",
        ExpressionAttributeValues={":yes": {"BOOL": True}},
    )


def forget_delivery(aws: Aws, table: str, name: str) -> None:
    """Remove the mark of `keep_delivery`."""
    _remove(aws, table, name, "delivery_on")


def detach(aws: Aws, table: str, name: str) -> None:
    """Remove the mark that the bucket is attached."""
    _remove(aws, table, name, "attached")


def _remove(aws: Aws, table: str, name: str, attribute: str) -> None:
    """Remove an attribute; no error without the table, the item or the attribute."""
    try:
        aws.dynamodb.update_item(
            TableName=table,
            Key={"BucketName": {"S": name}},
            UpdateExpression=f"REMOVE {attribute}",
            ConditionExpression=f"attribute_exists({attribute})",
        )
    except aws.dynamodb.exceptions.ClientError as error:
        if not is_error(error, "ConditionalCheckFailedException", "ResourceNotFoundException"):
            raise


# Conditions of `refresh_request`: the bucket is attached; its item has a window of the blog's aggregator.
ATTACHED = "attribute_exists(attached)"
BLOG_WINDOW = "attribute_exists(#timestamp) AND attribute_not_exists(opened_by)"


def refresh_request(now: int, condition: str = ATTACHED) -> dict[str, Any]:
    """Return the parameters of UpdateItem that make everything of a bucket pending, under a condition.

    `pending` is new, and `done` and `refreshing` are removed. So the refresh is for everything, and one that
    is running counts no longer: it may have started before the change that this refresh is for. The shares
    are looked up again. An open window stays. A window of the blog's is removed, so an item is converted only
    once. `now` in ms since 1970 begins the wait of the shares, unless one is waiting.
    """
    blogs = condition == BLOG_WINDOW
    return {
        "UpdateExpression": (
            "SET pending = :token, unrefreshed_since = if_not_exists(unrefreshed_since, :now)"
            f" REMOVE done, again, refreshing, shares_found{', #timestamp' if blogs else ''}"
        ),
        "ConditionExpression": condition,
        "ExpressionAttributeValues": {":token": {"S": uuid.uuid4().hex}, ":now": {"N": str(now)}},
        **({"ExpressionAttributeNames": {"#timestamp": "timestamp"}} if blogs else {}),
    }


def request_refresh(aws: Aws, table: str, name: str, condition: str = ATTACHED) -> BucketActivity | None:
    """Make everything of a bucket pending; return its activity then, or None if the condition does not hold.

    The refresh starts when a message comes: `send_messages` sends one.
    """
    try:
        answer = aws.dynamodb.update_item(
            TableName=table,
            Key={"BucketName": {"S": name}},
            ReturnValues="ALL_NEW",
            **refresh_request(int(aws.clock.time() * 1000), condition),
        )
    except aws.dynamodb.exceptions.ClientError as error:
        if not is_error(error, "ConditionalCheckFailedException"):
            raise
        return None
    return _activity(aws, table, answer["Attributes"])


def everything_request(now: int, *, pending: bool) -> dict[str, Any]:
    """Return the parameters of UpdateItem that make the next refreshes of a bucket ones of everything.

    For some minutes, as instances of an older aggregator add nothing to `touched`; `now` in ms since 1970.
    There are two, for a bucket with a pending refresh or without: only one of their conditions holds. A new
    `pending` keeps a running round from storing what it refreshes.
    """
    values: dict[str, Any] = {":until": {"N": str(now + EVERYTHING_MS)}}
    if not pending:
        return {
            "UpdateExpression": "SET everything_until = :until",
            "ConditionExpression": "attribute_exists(BucketName) AND attribute_not_exists(pending)",
            "ExpressionAttributeValues": values,
        }
    return {
        "UpdateExpression": "SET everything_until = :until, pending = :token REMOVE refreshing",
        "ConditionExpression": "attribute_exists(pending)",
        "ExpressionAttributeValues": {**values, ":token": {"S": uuid.uuid4().hex}},
    }


def refresh_everything(aws: Aws, table: str, name: str) -> None:
    """Make the next refreshes of a bucket ones of everything, if it has an item."""
    _write_one(aws, table, name, partial(everything_request, int(aws.clock.time() * 1000)))


def lookup_request(*, pending: bool) -> dict[str, Any]:
    """Return the parameters of UpdateItem that make the refresh function look a bucket's shares up again.

    There are two, for a bucket with a pending refresh or without: only one of their conditions holds. With a
    pending refresh the function may be about to store the shares that it found before. A new `pending` makes
    it leave that, as if it had died (DESIGN 2), and its next round looks again.
    """
    if not pending:
        return {
            "UpdateExpression": "REMOVE shares_found",
            "ConditionExpression": "attribute_exists(shares_found) AND attribute_not_exists(pending)",
        }
    return {
        "UpdateExpression": "SET pending = :token REMOVE shares_found",
        "ConditionExpression": "attribute_exists(pending)",
        "ExpressionAttributeValues": {":token": {"S": uuid.uuid4().hex}},
    }


def look_up_again(aws: Aws, table: str, name: str) -> None:
    """Make the refresh function look a bucket's shares up in its next round."""
    _write_one(aws, table, name, lookup_request)


def _write_one(aws: Aws, table: str, name: str, request: Callable[..., dict[str, Any]]) -> None:
    """Write to an item whether a refresh is pending or not; write nothing if no condition holds."""
    for pending in (False, True, False):  # a refresh can begin, and then end, between these writes
        try:
            aws.dynamodb.update_item(
                TableName=table, Key={"BucketName": {"S": name}}, **request(pending=pending)
            )
        except aws.dynamodb.exceptions.ClientError as error:
            if not is_error(error, "ConditionalCheckFailedException"):
                raise
        else:
            return


def message_for(
    due: int | None, now: int, settings: Settings, *, at_once: bool = False
) -> tuple[int, dict[str, int]]:
    """Return the delay in s and the number attributes of a bucket's message. Times in ms since 1970.

    `due` belongs to the bucket's open window; None if only a refresh is pending. The delay is limited,
    because a window of longer settings can be due too late: the refresh function then shortens it. With
    `at_once` there is no delay.
    """
    numbers = {"timestamp": now} | ({} if due is None else {"due": due})
    if at_once:
        return 0, numbers
    longest_s = max(settings.window, settings.min_interval + SETTLE_S)
    delay_s = settings.window if due is None else min(math.ceil((due - now) / 1000), longest_s)
    return min(max(delay_s, 0), LONGEST_DELAY_S), numbers


def send_messages(
    aws: Aws,
    queue: Queue,
    buckets: Iterable[BucketActivity],
    settings: Settings,
    *,
    at_once: bool = False,
) -> None:
    """Send a message for each bucket with an open window or a pending refresh; `at_once` without a delay.

    The bucket's own message may be lost, which cannot be checked. A second message does no harm: the item
    decides what it does (DESIGN 2).
    """
    url = queue.url(aws)
    now = int(aws.clock.time() * 1000)

    def send(bucket: BucketActivity) -> None:
        closes_at = bucket.window.closes_at if bucket.window.open else None
        due = None if closes_at is None else to_ms(closes_at)
        delay_s, numbers = message_for(due, now, settings, at_once=at_once)
        attributes: dict[str, Any] = {
            "bucket-name": {"DataType": "String", "StringValue": bucket.name},
            **{name: {"DataType": "Number", "StringValue": str(value)} for name, value in numbers.items()},
        }
        aws.sqs.send_message(
            QueueUrl=str(url),
            MessageBody="{}",
            DelaySeconds=delay_s,
            MessageAttributes=attributes,
        )

    aws.side_by_side(send, [each for each in buckets if each.window.open or each.pending])


def forget_bucket(aws: Aws, table: str, name: str) -> None:
    """Delete a bucket's item, unless a refresh is due or the minimum interval has not passed."""
    try:
        aws.dynamodb.delete_item(
            TableName=table,
            Key={"BucketName": {"S": name}},
            ConditionExpression=(
                "attribute_not_exists(opened_by) AND attribute_not_exists(pending)"
                " AND (attribute_not_exists(not_before) OR not_before < :now)"
            ),
            ExpressionAttributeValues={":now": {"N": str(int(aws.clock.time() * 1000))}},
        )
    except aws.dynamodb.exceptions.ClientError as error:
        if not is_error(error, "ConditionalCheckFailedException", "ResourceNotFoundException"):
            raise
