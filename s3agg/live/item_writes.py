"""The writes to the buckets' items in the table (DESIGN 2)."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from s3agg.aws.refusals import NOT_FOUND, unless_absent, unless_error
from s3agg.aws.session import Aws
from s3agg.live.items import BucketActivity, activity_of, key_of
from s3agg.resources.event_filter import EVENTBRIDGE, EventFilter

CONDITION_FAILED = "ConditionalCheckFailedException"
# For so long after a change of the aggregator everything is refreshed. In this time its older instances end,
# also by a clock that is 5 minutes ahead of this machine's: AWS refuses the calls of a larger difference.
EVERYTHING_MS = 10 * 60 * 1000


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
    _set(aws, table, name, "attached", {"M": parts})


def keep_delivery(aws: Aws, table: str, name: str) -> None:
    """Store that s3agg turns the bucket's EventBridge delivery on, so that it turns it off again."""
    _set(aws, table, name, "delivery_on", {"BOOL": True})


def forget_delivery(aws: Aws, table: str, name: str) -> None:
    """Remove the mark of `keep_delivery`."""
    _remove(aws, table, name, "delivery_on")


def detach(aws: Aws, table: str, name: str) -> None:
    """Remove the mark that the bucket is attached."""
    _remove(aws, table, name, "attached")


def _set(aws: Aws, table: str, name: str, attribute: str, value: dict[str, Any]) -> None:
    aws.dynamodb.update_item(
        TableName=table,
        Key=key_of(name),
        UpdateExpression=f"SET {attribute} = :value",
        ExpressionAttributeValues={":value": value},
    )


def _remove(aws: Aws, table: str, name: str, attribute: str) -> None:
    """Remove an attribute; no error without the table, the item or the attribute."""
    request = {
        "UpdateExpression": f"REMOVE {attribute}",
        "ConditionExpression": f"attribute_exists({attribute})",
    }
    unless_absent(_update, aws, table, name, request)


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

    The refresh starts when a message comes: `messages.send` sends one.
    """
    request = refresh_request(int(aws.clock.time() * 1000), condition)
    answer = _update(aws, table, name, {**request, "ReturnValues": "ALL_NEW"})
    return None if answer is None else activity_of(aws, table, answer["Attributes"])


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
        if _update(aws, table, name, request(pending=pending)) is not None:
            return


def _update(aws: Aws, table: str, name: str, request: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Write to an item; return AWS's answer, or None if the condition of the request does not hold."""
    return unless_error(
        (CONDITION_FAILED,), aws.dynamodb.update_item, TableName=table, Key=key_of(name), **request
    )


def forget_bucket(aws: Aws, table: str, name: str) -> None:
    """Delete a bucket's item, unless a refresh is due or the minimum interval has not passed."""
    unless_error(
        (CONDITION_FAILED, *NOT_FOUND),
        aws.dynamodb.delete_item,
        TableName=table,
        Key=key_of(name),
        ConditionExpression=(
            "attribute_not_exists(opened_by) AND attribute_not_exists(pending)"
            " AND (attribute_not_exists(not_before) OR not_before < :now)"
        ),
        ExpressionAttributeValues={":now": {"N": str(int(aws.clock.time() * 1000))}},
    )
