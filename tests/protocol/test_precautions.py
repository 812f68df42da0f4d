"""That the promises are worth something: a handler without one of its precautions breaks one of them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.resources import files
from types import ModuleType
from typing import Any

import pytest

from tests.protocol import promises
from tests.protocol.cloud import Cloud
from tests.protocol.schedule import Event, Outage, Schedule

AGGREGATOR, REFRESHER = "s3_aggregator", "s3_sgw_refresh"


@dataclass(frozen=True)
class Mutant:
    """A handler's text with some of it replaced, and a schedule in which that breaks a promise."""

    handler: str
    changes: Mapping[str, str]
    schedule: Schedule
    breaks: Callable[[Cloud], list[str]] = promises.lost

    def module(self) -> Any:
        source = files("s3agg.handlers").joinpath(f"{self.handler}.py").read_text(encoding="utf-8")
        for old, new in self.changes.items():
            assert source.count(old) == 1, f"Not once in {self.handler}: {old}"
            source = source.replace(old, new)
        module = ModuleType(f"{self.handler} (a mutant)")
        sys.modules[module.__name__] = module  # dataclasses look their module up while they are made
        try:
            exec(compile(source, module.__name__, "exec"), module.__dict__)  # noqa: S102  # it is ours
        finally:
            del sys.modules[module.__name__]
        return module


GIVEN_BACK = """try:
                    self.send(bucket, timestamp, window.due)
                except Exception:
                    self.dynamodb.update_item(
                        TableName=self.table,
                        Key={"BucketName": {"S": bucket}},
                        UpdateExpression="REMOVE #timestamp, opened_by",
                        ExpressionAttributeNames={"#timestamp": "timestamp"},
                    )
                    raise
"""
CLOSES = """        token = self.begin(bucket, item, after_this_round, closing=closing)
        if token is None:
            return self.now() + LOST_RACE_S * 1000
        self.clock.sleep(SETTLE_S)
"""
REFRESHES = """        outcome = self.refresh(bucket, item, done, time_left_ms)
"""

MUTANTS = {
    "the raise is swallowed": Mutant(
        AGGREGATOR,
        {"            raise failure\n": "            pass\n"},
        Schedule(30, (Event(0),), faults={1: "lost"}),
    ),
    "a window is given back after a failed send": Mutant(
        AGGREGATOR,
        {"self.send(bucket, timestamp, window.due)\n": GIVEN_BACK},
        # The first event's third try opens a window that the second one's message closes, and gives back the
        # window of the third event, which that one has opened and sent its message for.
        Schedule(
            1,
            (Event(0), Event(129_000), Event(199_200)),
            faults={1: "lost", 4: "lost", 14: "lost"},
            outages=(Outage("gateway", 100_000, 140_000),),
        ),
    ),
    "the opener's retry is skipped from memory": Mutant(
        AGGREGATOR,
        {"if window is None or window.opened_by == me:": "if window is None:"},
        Schedule(120, (Event(0), Event(8000)), faults={1: "lost"}),
    ),
    "a window is trusted from memory to its end and on": Mutant(
        AGGREGATOR, {"age_s < TRUSTED_S": "age_s < 60"}, Schedule(30, (Event(0), Event(40_000)))
    ),
    "the refresh comes before the close": Mutant(
        REFRESHER,
        {CLOSES: "", REFRESHES: REFRESHES + CLOSES},
        Schedule(5, (Event(0), Event(5400))),
    ),
    "no wait after the close": Mutant(
        REFRESHER,
        {"self.clock.sleep(SETTLE_S)": "pass"},
        Schedule(30, (Event(0), Event(29_800), Event(30_700))),
    ),
    "pending is not written": Mutant(
        REFRESHER,
        {"SET pending = :token, not_before": "SET not_before"},
        Schedule(30, (Event(0),), at_once=1, takes_ms=1000),
    ),
    "not_before is not written": Mutant(
        REFRESHER,
        {
            "SET pending = :token, not_before = :not_before": "SET pending = :token",
            'sets = ["not_before = :not_before"]': "sets = []",
        },
        Schedule(5, (Event(0), Event(10_000))),
    ),
    "done outlives a close": Mutant(
        REFRESHER,
        {
            "REMOVE #timestamp, opened_by, done": "REMOVE #timestamp, opened_by",
            "frozenset[str]() if closing else self": "self",
        },
        Schedule(5, (Event(0), Event(20_000)), at_once=1, takes_ms=1000),
    ),
    "the last write is unconditional": Mutant(
        REFRESHER,
        {'update, "pending = :token", values': 'update, "attribute_exists(BucketName)", values'},
        # The first refresh stands still before its last write, till the second one's share was busy.
        Schedule(
            5,
            (Event(0, "three"), Event(100_000, "three")),
            faults={9: "frozen"},
            outages=(Outage("gateway", 100_000, 260_000),),
        ),
    ),
    "the item is read without consistency": Mutant(
        REFRESHER,
        {", ConsistentRead=True": ""},
        # The window is over when it is opened: its message is read at once.
        Schedule(30, (Event(0),), faults={0: "frozen"}),
    ),
    "a message does not mind the window that replaced its own": Mutant(
        REFRESHER,
        {"item.due == due or closed < due": "item.due == due"},
        # The first event's message finds the window of the second, which never sent.
        Schedule(
            600,
            (Event(0), Event(1_010_000)),
            outages=(Outage("table", 590_000, 1_000_000), Outage("queue", 1_005_000, 1_400_000)),
        ),
        lambda cloud: [] if cloud.gateways.accepted["share-1"] else ["never refreshed, till a redrive"],
    ),
    "the interval is not kept": Mutant(
        REFRESHER,
        {"interval_s * 1000 + SPARE_MS": "interval_s * 500 + SPARE_MS"},
        Schedule(5, (Event(0), Event(10_000))),
        promises.too_soon,
    ),
    "a message is put off too long": Mutant(
        REFRESHER,
        {"math.ceil((till - self.now()) / 1000), 1)": "math.ceil((till - self.now()) / 1000), 180)"},
        Schedule(901, (Event(0),)),
        promises.late,
    ),
    "what is put off is refreshed at once all the same": Mutant(
        REFRESHER,
        {"if now < not_before <=": "if now + 60_000 < not_before <="},
        Schedule(5, (Event(0), Event(10_000), Event(20_000), Event(30_000))),
        promises.too_often,
    ),
    "every event asks the table": Mutant(
        AGGREGATOR,
        {"if window.due - self.now() > CLOSING_MS:": "if False:"},
        Schedule(30, (Event(0), Event(2000))),
        promises.asked_too_often,
    ),
    "a due window is asked about again and again": Mutant(
        AGGREGATOR,
        {"age_s < TRUSTED_S": "False"},
        Schedule(30, (Event(0), Event(29_500), Event(29_700))),
        promises.asked_too_often,
    ),
    "a window never expires": Mutant(
        AGGREGATOR,
        {"EXPIRED_MS = 5 * 60 * 1000": "EXPIRED_MS = 10**12"},
        Schedule(30, (Event(0),), purged_ms=(10_000,)),
        promises.not_healed,
    ),
}


@pytest.mark.parametrize("mutant", MUTANTS.values(), ids=MUTANTS)
def test_without_a_precaution_a_promise_is_broken(mutant: Mutant) -> None:
    instead = {"aggregators" if mutant.handler == AGGREGATOR else "refreshers": mutant.module()}

    assert mutant.breaks(Cloud(mutant.schedule).run()) == []
    assert mutant.breaks(Cloud(mutant.schedule, **instead).run()) != []
