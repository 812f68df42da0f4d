"""Taking over what the blog's scripts made: what of it was asked for, and what is under way while it changes.

What a stack has and lacks is nothing special, `engine` brings it up to date. But its functions follow
other rules than ours, and both meet while they change. So the order is:

1. Everything but the refresh function and its trigger is brought up to date. From then on only our aggregator
   opens windows, except for what the old one still has in hand: that is waited for (`settle`).
2. The blog's windows become refreshes that are to come (`keep_windows`). This must be done before our refresh
   function runs: a `timestamp` alone is no window to it, and it would drop the message of such a window.
3. The refresh function and its trigger are brought up to date.
4. Every bucket for which something is to come is sent a message, as by every `create` (`activity.wake`). Its
   own may be gone: the old refresh function takes messages without closing their windows, and until the
   trigger knows of partial batch responses, a message that is put off is deleted.

The item is the truth and a message only a wake-up call (DESIGN 2), so neither step 2 nor 4 can do harm when
it was needless, or is done again because a run died: at most a bucket is refreshed once more.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator, Mapping, Sequence

from s3agg import activity
from s3agg.aws import Aws
from s3agg.engine import Change, Key
from s3agg.refusals import is_error
from s3agg.resources.dynamodb import Table
from s3agg.resources.resource import ABSENT, Found, Resource
from s3agg.settings import STACK_TAG
from s3agg.stack import Stack

SCRIPTS_CONCURRENCY = 1  # of the aggregator; see asked_for
LEVELS = {"WARNING": "WARN", "CRITICAL": "ERROR", "FATAL": "ERROR"}  # other names that Python knows


def asked_for(stack: Stack, found: Mapping[Key, Found], runtimes: Sequence[str]) -> dict[str, object]:
    """What was asked for of a stack that nobody tagged, by Settings names: what is deployed.

    A choice is what the blog tells its reader to set, and what only a person can have set: the window, the
    log level, the table's capacity or billing, the functions' memory and processor, a log retention, a
    permissions boundary, an alarm's topic, and what our own functions know besides. The processor is kept
    because a layer that somebody added may need it. Where one option is for both functions, the aggregator
    tells, but the larger memory and the newer runtime count.

    No choice is what the scripts set once for all and the protocol does otherwise: the timeouts (10 and 5 s),
    the queue's attributes, no failure destination, no retention, and concurrency 1, which was there to spare
    the table: our aggregator's memory does that by itself, and 1 throttles bursts. Any other concurrency
    was chosen. A runtime counts only if it is among `runtimes`, those that Lambda still has.
    """

    def of(resource: Resource) -> Mapping[str, str]:
        have = found.get(resource.key)
        return have.properties if have is not None and resource.is_adoptable(have) else {}

    aggregator, refresher = of(stack.aggregator), of(stack.refresher)
    functions = (aggregator, refresher)
    roles = (stack.aggregator.role, stack.refresher.role)
    groups = [
        group
        for group in (stack.aggregator.log_group, stack.refresher.log_group)
        # One that a run which died has just made was nobody's choice.
        if stack.table.key not in found or STACK_TAG not in _tags(found.get(group.key))
    ]
    level = _first(each.get("variable LOG_LEVEL") for each in functions)
    concurrency = _number(aggregator.get("reserved concurrency"))
    options: dict[str, object] = {
        "window": _number(aggregator.get("variable REFRESH_DELAY_SECONDS")),
        "log_level": level and LEVELS.get(level.upper(), level.upper()),
        **billing(stack.table, found.get(stack.table.key)),
        "concurrency": None if concurrency == SCRIPTS_CONCURRENCY else concurrency,
        "memory": _largest(each.get("memory") for each in functions),
        "runtime": max(
            (each["runtime"] for each in functions if each.get("runtime") in runtimes), default=None
        ),
        "architecture": _first(each.get("architecture") for each in functions),
        "log_retention": _largest(of(each).get("retention") for each in groups),
        "min_interval": _number(refresher.get("variable MIN_INTERVAL_SECONDS")),
        "include_gateway_writes": aggregator.get("variable INCLUDE_GATEWAY_WRITES") == "true" or None,
        "permissions_boundary": _first(of(each).get("permissions boundary") for each in roles),
        "alarm_topic": _first(of(each).get("topic") for each in stack.alarms),
    }
    return {name: value for name, value in options.items() if value is not None}


def billing(table: Table, found: Found | None) -> dict[str, object]:
    """How the table is paid for, by Settings names; nothing of none, and of one that is not ours to take."""
    if found is None or not table.is_adoptable(found):
        return {}
    if found.more["on_demand"]:
        return {"on_demand": True}
    read, write = found.more["units"]
    return {"on_demand": False, "read_capacity": read, "write_capacity": write}


def _tags(found: Found | None) -> Mapping[str, str]:
    return (found and found.tags) or {}


def _first(values: Iterator[str | None]) -> str | None:
    return next((value for value in values if value and value != ABSENT), None)


def _number(words: str | None) -> int | None:
    """The number that the words begin with."""
    found = re.match(r"\d+\b(?!\.)", words or "")
    return int(found[0]) if found else None


def _largest(values: Iterator[str | None]) -> int | None:
    return max((number for value in values if (number := _number(value)) is not None), default=None)


def settle(aws: Aws, aggregator: Change, refresher: Change) -> None:
    """Let the old aggregator end what it has in hand: new events already go to the new one.

    As long as the refresh function is still to change: a run that died may have changed the aggregator.
    """
    changing = any(each.what == "code" for change in (aggregator, refresher) for each in change.differences)
    if aggregator.found is not None and changing:
        seconds = _number(aggregator.found.properties["timeout"]) or 0
        aws.waiting(f"waiting for what the old function {aggregator.resource.name} has in hand ({seconds} s)")
        aws.clock.sleep(seconds)


def keep_windows(aws: Aws, table: str) -> None:
    """Make of each of the blog's windows a refresh that is to come, unless ours has taken its place.

    A fresh `pending`, and no share is `done`: a refresh that is just under way began too early for the
    window's events. The `timestamp` goes, as nobody needs it any more; so this happens once to an item.
    """
    for item in activity.items(aws, table):
        if "timestamp" not in item or "opened_by" in item:
            continue
        try:
            aws.dynamodb.update_item(
                TableName=table,
                Key={"BucketName": item["BucketName"]},
                UpdateExpression="SET pending = :token REMOVE #timestamp, done",
                ConditionExpression="attribute_exists(#timestamp) AND attribute_not_exists(opened_by)",
                ExpressionAttributeNames={"#timestamp": "timestamp"},
                ExpressionAttributeValues={":token": {"S": uuid.uuid4().hex}},
            )
        except aws.dynamodb.exceptions.ClientError as error:
            # Our aggregator opened a window meanwhile, whose refresh is for those events too.
            if not is_error(error, "ConditionalCheckFailedException"):
                raise
