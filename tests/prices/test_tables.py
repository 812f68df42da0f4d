"""Tables of prices, the package's and the user's."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from importlib.resources import files
from pathlib import Path

import pytest

from s3agg.errors import UsageProblem
from s3agg.prices import tables as prices
from s3agg.prices.tables import Price
from s3agg.settings import PRICE_TABLES

BLOGS, TODAYS = (prices.read(name) for name in PRICE_TABLES)


def test_the_tables_of_the_package_are_those_that_can_be_named() -> None:
    packaged = {each.name for each in files("s3agg.prices").iterdir() if each.name.endswith(".json")}

    assert packaged == {f"{name}.json" for name in PRICE_TABLES}
    assert [BLOGS.name, TODAYS.name] == list(PRICE_TABLES)


def test_the_newest_table_has_a_price_for_everything() -> None:
    assert set(TODAYS.prices) == set(prices.PRICED)


def test_a_file_stands_in_for_the_prices(tmp_path: Path) -> None:
    file = tmp_path / "mine.json"
    table = asdict(TODAYS) | {"name": "mine"}
    table["prices"]["lambda_requests"]["usd"] = 2.0
    file.write_text(json.dumps(table), encoding="utf-8")

    assert prices.read(str(file)) == replace(
        TODAYS, name="mine", prices={**TODAYS.prices, "lambda_requests": Price(2.0, 1_000_000)}
    )


def test_a_started_lot_can_be_paid_for_in_full() -> None:
    assert Price(0.4, per=1_000_000, started=True).of(1_000_001) == 0.8
    assert Price(0.4, per=1_000_000).of(500_000) == 0.2


GOOD = {"name": "a", "region": "b", "source": "c", "polls_a_minute": 1, "prices": {}}
MALFORMED: dict[str, tuple[object, str]] = {
    "no JSON": (b"{", "Expecting property name"),
    "no text": (b"\xff", "codec can't decode"),
    "a list": ([], "the table is not an object"),
    "a field less": ({"name": "a"}, "the table has no region"),
    "a field more": ({**GOOD, "currency": "EUR"}, "the table has the unknown member currency"),
    "a name that is none": ({**GOOD, "name": 1}, "name is not a string"),
    "polls below zero": ({**GOOD, "polls_a_minute": -1}, "polls_a_minute is not a number from 0"),
    "prices that are none": ({**GOOD, "prices": 1}, "prices is not an object"),
    "an unknown price": ({**GOOD, "prices": {"beer": {"usd": 1}}}, "prices has the unknown member beer"),
    "a bare number": ({**GOOD, "prices": {"sqs_requests": 1}}, "sqs_requests is not an object"),
    "no usd": ({**GOOD, "prices": {"sqs_requests": {"per": 1}}}, "sqs_requests has no usd"),
    "a price in words": (
        {**GOOD, "prices": {"sqs_requests": {"usd": "1"}}},
        "usd of sqs_requests is not a number",
    ),
    "a price of true": ({**GOOD, "prices": {"sqs_requests": {"usd": True}}}, "is not a number"),
    "a price of NaN": ({**GOOD, "prices": {"sqs_requests": {"usd": float("nan")}}}, "is not a number"),
    "a price without end": ({**GOOD, "prices": {"sqs_requests": {"usd": 10**400}}}, "is not a number"),
    "a lot of nothing": ({**GOOD, "prices": {"sqs_requests": {"usd": 1, "per": 0}}}, "per of sqs_requests"),
    "a started maybe": ({**GOOD, "prices": {"sqs_requests": {"usd": 1, "started": []}}}, "not true or false"),
    "depth": (b"[" * 100_000, "Invalid price table"),
}


@pytest.mark.parametrize(("content", "words"), MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_table_is_refused_with_what_is_wrong(tmp_path: Path, content: object, words: str) -> None:
    file = tmp_path / "mine.json"
    file.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())

    with pytest.raises(UsageProblem) as refused:
        prices.read(str(file))

    assert words in str(refused.value)
    assert "Pass 2018-08 or 2025-07, or a JSON file like `prices` in --output json" in str(refused.value)


@pytest.mark.parametrize("named", ["1999-12", "../prices/2018-08", "/"])
def test_a_table_that_is_not_there_is_refused(named: str) -> None:
    with pytest.raises(UsageProblem, match=f"Failed to read price table {named}: "):
        prices.read(named)
