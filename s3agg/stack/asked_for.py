"""What was asked for of a stack before: as the table's tags keep it, or what is deployed (DESIGN 1)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from s3agg.aws.session import Aws
from s3agg.engine import Key
from s3agg.resources.resource import ABSENT, Found, Resource
from s3agg.resources.table import Table
from s3agg.settings import (
    BILLING_TAG,
    STACK_TAG,
    TAG_PREFIX,
    USER_TAGS_TAG,
    as_tags,
)
from s3agg.stack.declared import Stack

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


def kept_options(aws: Aws, bare: Stack, found: Mapping[Key, Found], *, adopt: bool) -> dict[str, str]:
    """What was asked for before, as the table's tags say it.

    Without such a table, one that is adopted or one that somebody removed, what is deployed was asked for.
    """
    table = found.get(bare.table.key)
    kept = (table.tags or {}) if table else {}
    removed = table is None and bare.aggregator.key in found  # the function was made after it
    if (adopt or removed) and not any(tag.startswith(TAG_PREFIX) for tag in kept):
        kept = as_tags(asked_for(bare, found, aws.runtimes))
    return {**_users_tags(kept, bare, found), **kept}


def deployed_options(bare: Stack, found: Mapping[Key, Found], kept: Mapping[str, str]) -> dict[str, object]:
    """What counts as asked for although no tag keeps it: how a table that is there is paid for.

    `create` keeps that as tags. It did not always, and on demand is the default of a new stack only.
    """
    return {} if BILLING_TAG in kept else billing(bare.table, found.get(bare.table.key))


def _users_tags(kept: Mapping[str, str], bare: Stack, found: Mapping[Key, Found]) -> dict[str, str]:
    """The user's own tags that are gone from the table alone, as the stack's other resources have them."""
    missing = [key for key in kept.get(USER_TAGS_TAG, "").split("=") if key and key not in kept]
    others = [found[each.key].tags or {} for each in bare.resources if each.key in found]
    return {key: tags[key] for key in missing for tags in others if key in tags}
