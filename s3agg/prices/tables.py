"""Tables of prices: those beside this file, by when they held, or a file of the user's in their form."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar

from s3agg.errors import UsageProblem
from s3agg.settings import PRICE_TABLES

PRICED = (
    "lambda_requests",
    "lambda_gb_seconds_x86_64",
    "lambda_gb_seconds_arm64",
    "dynamodb_write_unit_hours",
    "dynamodb_read_unit_hours",
    "dynamodb_writes",
    "dynamodb_reads",
    "sqs_requests",
    "logs_gb_ingested",
    "logs_gb_months",
    "alarm_months",
)  # what a table can have a price for
GREATEST = 1e12  # number in a table
KINDS: Mapping[type, str] = {str: "a text", bool: "true or false", dict: "an object"}

Document = dict[str, Any]
T = TypeVar("T")


@dataclass(frozen=True)
class Price:
    """`usd` for each `per`; where `started`, a part of that is paid for in full, as the blog computes."""

    usd: float
    per: float = 1
    started: bool = False

    def of(self, quantity: float) -> float:
        lots = quantity / self.per
        return self.usd * (math.ceil(lots) if self.started else lots)


@dataclass(frozen=True)
class Prices:
    """A table of prices, and what else is dated: how often Lambda polls an empty queue."""

    name: str
    region: str
    source: str
    polls_a_minute: float
    prices: Mapping[str, Price]


def read(named: str) -> Prices:
    """The table of that name, or in that file; raise UsageProblem if there is none, or it is malformed."""
    packaged = files("s3agg.prices").joinpath(f"{named}.json")
    file = packaged if named in PRICE_TABLES else Path(named)
    hint = f"Name {' or '.join(PRICE_TABLES)}, or a JSON file in their form"
    try:
        return _prices(json.loads(file.read_text(encoding="utf-8")))
    except OSError as error:
        raise UsageProblem(f"There is no table of prices {named}: {error.strerror}", hint) from error
    except (ValueError, RecursionError) as error:
        raise UsageProblem(f"{named} is no table of prices: {error}", hint) from error


def _prices(document: Any) -> Prices:
    """Read a table; raise ValueError for what is wrong with it."""
    fields = list(Prices.__dataclass_fields__)
    table = _object("the table", document, fields, needed=fields)
    each = _object("prices", table["prices"], PRICED, needed=())
    return Prices(
        name=_of_kind(str, "name", table["name"]),
        region=_of_kind(str, "region", table["region"]),
        source=_of_kind(str, "source", table["source"]),
        polls_a_minute=_number("polls_a_minute", table["polls_a_minute"], 0),
        prices={name: _price(name, price) for name, price in each.items()},
    )


def _price(name: str, value: Any) -> Price:
    price = _object(name, value, list(Price.__dataclass_fields__), needed=["usd"])
    return Price(
        usd=_number(f"usd of {name}", price["usd"], 0),
        per=_number(f"per of {name}", price.get("per", 1), 1),
        started=_of_kind(bool, f"started of {name}", price.get("started", False)),
    )


def _object(what: str, value: Any, known: Collection[str], *, needed: Collection[str]) -> Document:
    """Return the JSON object that this must be."""
    found = _of_kind(dict, what, value)
    for name in (*needed, *found):
        if name not in found:
            raise ValueError(f"{what} has no {name}")
        if name not in known:
            raise ValueError(f"{what} has {name}, which is none of {', '.join(known)}")
    return found


def _number(what: str, value: Any, least: float) -> float:
    """Return the number that this must be; NaN is none."""
    if isinstance(value, bool) or not (isinstance(value, int | float) and least <= value <= GREATEST):
        raise ValueError(f"{what} is no number from {least} to {GREATEST:g}")
    return value


def _of_kind(kind: type[T], what: str, value: Any) -> T:
    if isinstance(value, kind):
        return value
    raise ValueError(f"{what} is not {KINDS[kind]}")
