"""What a month costs, itemised as the blog does: from uploads a day, or from what was measured.

Needs no boto3, as an estimate asks AWS nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from s3agg.errors import UsageProblem
from s3agg.prices.tables import Prices
from s3agg.settings import MOST_REFRESHES, SETTLE_S, Settings

DAYS = 30  # of a month, as in the blog
HOURS = 24 * DAYS
MINUTES = 60 * HOURS
GB = 1e9
DIGITS = 6  # after the point, of what is told

# What is taken for granted where nothing is measured. Seconds that Lambda bills:
ASK_S = 0.1  # an event that asks the table (the blog's)
OPEN_S = 0.5  # an event that opens a window and sends its message (the blog's 300 to 600 ms)
SKIP_S = 0.005  # an event within a window that the instance knows: it asks nobody
REFRESH_S = 0.7  # a refresh by the blog's rule (its 400 to 800 ms)
PUT_OFF_S = 0.1  # a message that came before --min-interval was over
# Events of a window that ask the table, the opener among them: some 4 of a burst on one instance, 24 on ten.
ASKING = 10
EXECUTION_BYTES = 600  # in the log: START, END, REPORT and a line of ours, 26 more for each
STORED = 0.15  # of a log's bytes, which CloudWatch keeps compressed
FOREVER_DAYS = 365  # of logs that nobody removes, after a year
ALARMS = 2  # that --alarm-topic makes


@dataclass(frozen=True)
class Load:
    """What a stack is there for: object events, in windows that end in a refresh each."""

    objects_per_day: float
    refreshes_per_day: float
    polls: float  # of the queue by Lambda, in a month, that found it empty

    @property
    def objects(self) -> float:
        """In a month."""
        return self.objects_per_day * DAYS

    @property
    def refreshes(self) -> float:
        """In a month."""
        return self.refreshes_per_day * DAYS


@dataclass(frozen=True)
class Usage:
    """What is used in a month."""

    requests: float  # executions of both functions
    seconds: float  # that they take together
    writes: float  # of the table
    reads: float
    sqs_requests: float
    log_bytes: float


@dataclass(frozen=True)
class Item:
    """So much of something in a month, and what it is called in a table of prices."""

    service: str
    unit: str
    quantity: float
    price: str


@dataclass(frozen=True)
class Line:
    """One item of the bill; no `usd` where the table has no price for it."""

    service: str
    unit: str
    quantity: float
    usd: float | None
    blog_quantity: float
    blog_usd: float | None


@dataclass(frozen=True)
class Bill:
    """A month's cost of a stack, beside that of the blog's rule; the fields are those of its JSON."""

    of: str
    objects_per_day: float
    refreshes_per_day: float
    usd: float
    blog_usd: float
    lines: Sequence[Line]
    unpriced: Sequence[str]  # what the table of prices would need, too
    notes: Sequence[str]
    prices: Prices


def estimate(
    objects_per_day: float,
    refreshes_per_day: float | None,
    settings: Settings,
    prices: Prices,
    whose: str = "",
) -> Bill:
    """The bill for so many object events a day, in so many windows, or in as many as one bucket can have.

    Raises UsageProblem for more windows than events.
    """
    if refreshes_per_day is None:
        refreshes_per_day = most_refreshes(objects_per_day)
    if refreshes_per_day > objects_per_day:
        raise UsageProblem(
            f"{number(refreshes_per_day)} refreshes a day are more than {number(objects_per_day)} objects",
            "Each takes an object at least",
        )
    load = Load(objects_per_day, refreshes_per_day, prices.polls_a_minute * MINUTES)
    note = (
        f"s3agg: {ASKING} events of a window ask the table ({ASK_S} s, the first {OPEN_S} s), the others take"
        f" {SKIP_S} s; a refresh takes {REFRESH_S + SETTLE_S} s, as it waits {SETTLE_S:g} s for late events,"
        f" and its message is put off once ({PUT_OFF_S} s)."
    )
    return make(whose, load, by_our_rule(load), settings, prices, note)


def most_refreshes(objects_per_day: float) -> float:
    """How many windows a day the events of a bucket can fall into."""
    return min(objects_per_day, MOST_REFRESHES)


def make(whose: str, load: Load, usage: Usage, settings: Settings, prices: Prices, note: str) -> Bill:
    """The bill for this usage, beside what the same load costs by the blog's rule.

    `whose` begins the line that says what it is of, `note` tells where the usage is from.
    """
    # The blog's scripts, but for the memory, which they let one choose as ours does.
    scripts = replace(
        settings,
        on_demand=False,
        read_capacity=Settings.read_capacity,
        write_capacity=Settings.write_capacity,
        architecture="x86_64",
        log_retention=FOREVER_DAYS,
        alarm_topic=None,
    )
    pairs = _paired(list(_items(usage, settings)), list(_items(by_the_blogs_rule(load), scripts)))
    lines = [
        Line(
            ours.service,
            ours.unit,
            round(ours.quantity, DIGITS),
            _usd(ours, prices),
            round(blogs.quantity, DIGITS),
            _usd(blogs, prices),
        )
        for ours, blogs in pairs
    ]
    items = [item for side in zip(*pairs, strict=True) for item in side]
    unpriced = [item.price for item in items if _usd(item, prices) is None]
    objects, refreshes = load.objects_per_day, load.refreshes_per_day
    return Bill(
        of=f"{whose}{number(objects)} objects and {number(refreshes)} refreshes a day",
        objects_per_day=round(objects, DIGITS),
        refreshes_per_day=round(refreshes, DIGITS),
        usd=round(sum(line.usd or 0 for line in lines), DIGITS),
        blog_usd=round(sum(line.blog_usd or 0 for line in lines), DIGITS),
        lines=lines,
        unpriced=list(dict.fromkeys(unpriced)),
        notes=[note, *_notes(prices)],
        prices=prices,
    )


def _notes(prices: Prices) -> Iterator[str]:
    yield (
        f"The blog's rule: each event asks the table ({ASK_S} s, the first of a window {OPEN_S} s), a refresh"
        f" takes {REFRESH_S} s; on x86_64, with a table of {Settings.read_capacity} read and"
        f" {Settings.write_capacity} write units, and its logs are of a year, as they are never removed."
    )
    yield (
        f"Unless measured, Lambda polls the queue {prices.polls_a_minute:g} times a minute, and an execution"
        f" logs {EXECUTION_BYTES} bytes. Stored logs shrink to {STORED:.0%}. A provisioned table"
        " has more than the capacity asked for where the average needs more."
    )
    yield (
        "Not counted: the dead-letter queue, which costs nothing while it is empty, the table's few KB, and"
        " what the gateways ask of S3 in a refresh, which grows with the bucket."
    )
    yield (
        f"A month has {DAYS} days. Prices {prices.name} of {prices.region}, without free tier and tax, from"
        f" {prices.source}."
    )


def by_our_rule(load: Load) -> Usage:
    """What a month takes by our rule (DESIGN 2)."""
    objects, refreshes = load.objects, load.refreshes
    asking = min(objects, refreshes * ASKING)
    requests = objects + 2 * refreshes
    return Usage(
        requests=requests,
        seconds=(objects - asking) * SKIP_S
        + (asking - refreshes) * ASK_S
        + refreshes * (OPEN_S + REFRESH_S + SETTLE_S + PUT_OFF_S),
        writes=asking + 2 * refreshes,
        reads=2 * refreshes,
        sqs_requests=5 * refreshes + load.polls,  # send, receive, put off, receive again, delete
        log_bytes=requests * EXECUTION_BYTES,
    )


def by_the_blogs_rule(load: Load) -> Usage:
    """What a month takes by the blog's rule: every event writes to the table."""
    objects, refreshes = load.objects, load.refreshes
    requests = objects + refreshes
    return Usage(
        requests=requests,
        seconds=(objects - refreshes) * ASK_S + refreshes * (OPEN_S + REFRESH_S),
        writes=objects,
        reads=refreshes / 2,  # eventually consistent
        sqs_requests=3 * refreshes + load.polls,
        log_bytes=requests * EXECUTION_BYTES,
    )


def _items(usage: Usage, settings: Settings) -> Iterator[Item]:
    gb_seconds = usage.seconds * settings.memory / 1024
    yield Item("Lambda", "requests", usage.requests, "lambda_requests")
    yield Item("Lambda", "GB-seconds", gb_seconds, f"lambda_gb_seconds_{settings.architecture}")
    for kind, used, asked in (
        ("write", usage.writes, settings.write_capacity),
        ("read", usage.reads, settings.read_capacity),
    ):
        if settings.on_demand:
            yield Item("DynamoDB", f"{kind}s", used, f"dynamodb_{kind}s")
        else:
            units = max(asked, math.ceil(used / (HOURS * 3600)))
            yield Item("DynamoDB", f"{kind} unit-hours", units * HOURS, f"dynamodb_{kind}_unit_hours")
    yield Item("SQS", "requests", usage.sqs_requests, "sqs_requests")
    ingested = usage.log_bytes / GB
    stored = ingested * STORED * settings.log_retention / DAYS
    yield Item("CloudWatch Logs", "GB ingested", ingested, "logs_gb_ingested")
    yield Item("CloudWatch Logs", "GB-months stored", stored, "logs_gb_months")
    yield Item("CloudWatch", "alarms", ALARMS if settings.alarm_topic else 0, "alarm_months")


def _paired(ours: Sequence[Item], blogs: Sequence[Item]) -> list[tuple[Item, Item]]:
    """Each item of either bill beside the other's, which may have none of it."""
    items = {(item.service, item.unit): replace(item, quantity=0) for item in (*ours, *blogs)}
    mine, theirs = ({**items, **{(item.service, item.unit): item for item in side}} for side in (ours, blogs))
    services = list(dict.fromkeys(item.service for item in ours))
    return [(mine[each], theirs[each]) for each in sorted(items, key=lambda each: services.index(each[0]))]


def _usd(item: Item, prices: Prices) -> float | None:
    if not item.quantity:
        return 0.0
    price = prices.prices.get(item.price)
    return None if price is None else round(price.of(item.quantity), DIGITS)


def number(value: float) -> str:
    """A quantity for people: thousands apart, and no more digits than tell something."""
    digits = next((digits for least, digits in ((1000, 0), (1, 2)) if value >= least), 4)
    whole, point, part = f"{value:,.{digits}f}".replace(",", " ").partition(".")
    return f"{whole}{point}{part}".rstrip("0").rstrip(".") if part else whole
