"""The buckets' items in the table, and the messages that wake their refreshes up (DESIGN 2)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from s3agg.aws.clock import from_ms, to_ms
from s3agg.aws.refusals import is_error
from s3agg.aws.session import Aws
from s3agg.resources.notification import KeyFilter
from s3agg.resources.queue import Queue
from s3agg.settings import SETTLE_S, Settings

LONGEST_DELAY_S = 900  # SQS delays a message no longer; the refresh function waits for the rest


@dataclass(frozen=True)
class Window:
    """A bucket's window; `closes_at` is when its refresh is due."""

    open: bool
    closes_at: datetime | None


@dataclass(frozen=True)
class BucketActivity:
    """What a bucket's item in the table tells (DESIGN 2)."""

    name: str
    window: Window = Window(open=False, closes_at=None)
    last_refresh: datetime | None = None  # start of the last complete one
    shares: tuple[str, ...] = ()
    pending: bool = False  # a window was closed and its refresh is not finished
    not_before: datetime | None = None  # no refresh before this; of a pending one, when it is given up
    keys: KeyFilter | None = None  # what its rule was asked to be for; None if it is not known to be attached


def items(aws: Aws, table: str) -> Iterator[dict[str, Any]]:
    """The buckets' items; none if there is no table."""
    try:
        for page in aws.dynamodb.get_paginator("scan").paginate(TableName=table, ConsistentRead=True):
            yield from (dict(item) for item in page["Items"] if "S" in item.get("BucketName", {}))
    except aws.dynamodb.exceptions.ResourceNotFoundException:
        return


def buckets(aws: Aws, table: str) -> dict[str, BucketActivity]:
    """Each bucket's activity by its name; none if there is no table."""
    return {each.name: each for each in (_activity(aws, item) for item in items(aws, table))}


def bucket(aws: Aws, table: str, name: str) -> BucketActivity:
    """One bucket's activity; that of a quiet bucket if it has no item."""
    answer = aws.dynamodb.get_item(TableName=table, Key={"BucketName": {"S": name}}, ConsistentRead=True)
    return _activity(aws, answer["Item"]) if "Item" in answer else BucketActivity(name)


def _activity(aws: Aws, item: Mapping[str, Any]) -> BucketActivity:
    def moment(name: str) -> datetime | None:
        value = item.get(name, {}).get("N")
        return None if value is None else from_ms(float(value))

    is_open = "opened_by" in item and "timestamp" in item
    return BucketActivity(
        name=item["BucketName"]["S"],
        window=Window(is_open, moment("timestamp") if is_open else None),
        last_refresh=moment("refreshed"),
        shares=tuple(
            aws.place.arn("storagegateway", f"share/{share}")
            for share in sorted(item.get("shares", {}).get("SS", ()))
        ),
        pending="pending" in item,
        not_before=moment("not_before"),
        keys=_keys(item.get("attached", {}).get("M")),
    )


def _keys(attached: Mapping[str, Any] | None) -> KeyFilter | None:
    if attached is None:
        return None
    return KeyFilter(*(attached.get(part, {}).get("S", "") for part in ("prefix", "suffix")))


def attach(aws: Aws, table: str, name: str, keys: KeyFilter) -> None:
    """Keep in the bucket's item that it is attached, and with which keys, should its rule be taken away."""
    parts = {"prefix": {"S": keys.prefix}, "suffix": {"S": keys.suffix}}
    aws.dynamodb.update_item(
        TableName=table,
        Key={"BucketName": {"S": name}},
        UpdateExpression="SET attached = :keys",
        ExpressionAttributeValues={":keys": {"M": parts}},
    )


def detach(aws: Aws, table: str, name: str) -> None:
    """Keep no longer that the bucket is attached."""
    try:
        aws.dynamodb.update_item(
            TableName=table,
            Key={"BucketName": {"S": name}},
            UpdateExpression="REMOVE attached",
            ConditionExpression="attribute_exists(attached)",
        )
    except aws.dynamodb.exceptions.ClientError as error:
        if not is_error(error, "ConditionalCheckFailedException", "ResourceNotFoundException"):
            raise


def wake_up(due: int | None, now: int, settings: Settings) -> tuple[int, dict[str, int]]:
    """A message for a bucket: its delay in s, and its numbers. Times in ms since 1970.

    `due` is of the bucket's open window, None if only a refresh is to come. A window that is due much later
    was opened with other settings: the refresh function then brings it forward.
    """
    longest_s = max(settings.window, settings.min_interval + SETTLE_S)
    delay_s = settings.window if due is None else min(math.ceil((due - now) / 1000), longest_s)
    numbers = {"timestamp": now} | ({} if due is None else {"due": due})
    return min(max(delay_s, 0), LONGEST_DELAY_S), numbers


def wake(aws: Aws, queue: Queue, buckets: Iterable[BucketActivity], settings: Settings) -> None:
    """Send a message for each bucket with an open window, or a refresh that is to come.

    The bucket's own may be lost, and nothing tells. The item is the truth and a message only a wake-up call
    (DESIGN 2): where it is not, one of the two finds nothing left to do.
    """
    url = queue.url(aws)
    now = int(aws.clock.time() * 1000)

    def send(bucket: BucketActivity) -> None:
        closes_at = bucket.window.closes_at if bucket.window.open else None
        delay_s, numbers = wake_up(None if closes_at is None else to_ms(closes_at), now, settings)
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
    """Remove a bucket's item, unless a refresh is still to come for it or the last one's interval goes on."""
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
