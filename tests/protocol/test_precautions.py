"""Mutation tests of the promises: a handler without one of its precautions breaks a promise."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from types import ModuleType
from typing import Any

import pytest

from s3agg import assets
from tests.protocol import promises
from tests.protocol.cloud import Cloud
from tests.protocol.generated import MANY
from tests.protocol.schedule import (
    FOREVER,
    HOUR_MS,
    Change,
    Event,
    Other,
    Outage,
    Request,
    Schedule,
    Share,
    WrongClock,
)
from tests.support.handlers import load

AGGREGATOR, REFRESHER = "s3_aggregator", "s3_sgw_refresh"
# Modules that these two import.
COMPLETIONS, MESSAGES, SHARED, TABLE = "completions", "messages", "shared", "table"
HANDLERS = {AGGREGATOR: "aggregators", REFRESHER: "refreshers"}
IMPORTED = {*assets.AGGREGATOR, *assets.REFRESHER} - HANDLERS.keys()

MINUTES = tuple(Event(at) for at in range(0, HOUR_MS, 60_000))


@dataclass(frozen=True)
class Mutant:
    """A replacement in a handler's text, and a schedule in which it breaks a promise."""

    handler: str
    changes: Mapping[str, str]
    schedule: Schedule
    breaks: Callable[[Cloud], list[str]] = promises.lost

    def cloud(self) -> Cloud:
        """Run the mutant in the cloud of its schedule."""
        source = assets.handler_source(self.handler)
        for old, new in self.changes.items():
            assert source.count(old) == 1, f"Not once in {self.handler}: {old}"
            source = source.replace(old, new)
        real = {name: sys.modules.pop(name) for name in IMPORTED & sys.modules.keys()}
        try:
            # Each module is made anew, so that it imports the mutant.
            module = ModuleType(self.handler)
            sys.modules[self.handler] = module
            exec(compile(source, f"{self.handler} (a mutant)", "exec"), module.__dict__)  # noqa: S102  # it is ours
            made = (
                {self.handler: module}
                if self.handler in HANDLERS
                else {each: load(each) for each in HANDLERS}
            )
            modules: dict[str, Any] = {HANDLERS[handler]: each for handler, each in made.items()}
            return Cloud(self.schedule, **modules)
        finally:
            for name in {self.handler, *IMPORTED} & sys.modules.keys():
                del sys.modules[name]
            sys.modules.update(real)


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
CLOSES = """        token = uuid.uuid4().hex
        before = self.begin(bucket, item, token, latest, oldest, closing=step.closing)
        if before is None:
            return self.clock.now() + LOST_RACE_S * 1000
        self.clock.sleep(SETTLE_S)
"""
REFRESHES = """        touched, why_all = to_refresh(before, now, self.full_every_ms, closing=step.closing)
        done = self.arns(still_done(before, now, self.full_every_ms) if step.closing else item.done)
        if why_all and len(before.known) > 1 and (step.closing or not done):
            logger.info("Refreshing all file shares of bucket: %s, as %s", bucket, why_all)
        of_events = [before.touched if step.closing else None, before.refreshing]
        first = frozenset[str]().union(*(each for each in of_events if each)) - {EVERYTHING}
        outcome = self.refresh(bucket, before, touched, first, done, time_left_ms)
"""
# RefreshCache never finds it, though it is listed.
LOST = Share("share-1", "one", removed_ms=1, listed_ms=FOREVER, status="AVAILABLE")

# Somebody else's refresh comes between two events, and less than 60 s before the stack's.
OTHER = (Other(10_000),)
BEFORE_AND_AFTER = Schedule(30, (Event(0), Event(20_000)), others=OTHER)


def refused_till(till_ms: int) -> Schedule:
    """Gateway B refuses, while share-1 of gateway A has accepted for nothing."""
    outages = (Outage("B", 0, till_ms),)
    return Schedule(5, (Event(0), Event(3000)), others=(Other(1000),), outages=outages)


def repeated(cloud: Cloud) -> list[str]:
    """More than two refreshes of share-1."""
    accepted = cloud.gateways.accepted["share-1"]
    return [f"{accepted}"] if len(accepted) > 2 else []


# On disjoint prefixes. The first two are known from an earlier lookup, and the third is made later.
TWO = (
    Share("share-1", "one", "A", location="arn:aws:s3:::{}/a/"),
    Share("share-2", "one", "B", location="arn:aws:s3:::{}/b/"),
)
THREE = (*TWO, Share("share-3", "one", location="arn:aws:s3:::{}/c/", made_ms=1000))


REPLACED = (
    replace(TWO[0], removed_ms=1000),
    TWO[1],
    Share("share-3", "one", location="arn:aws:s3:::{}/a/", made_ms=1000),
)


def below(at_ms: int, folder: str) -> Event:
    return Event(at_ms, folder=folder)


def with_prefixes(*events: Event, **more: Any) -> Schedule:
    return Schedule(5, events, **{"known": True, "shares": TWO, **more})


def never_shown(cloud: Cloud) -> list[str]:
    """The events in c/ after which its share, which was new then, was not refreshed."""
    starts = cloud.gateways.accepted["share-3"]
    handled = [event for event in cloud.handled if cloud.events[event.number].folder == "c/"]
    return [str(event) for event in handled if not any(at > event.at for at in starts)]


def skipped_by_an_old_instance(picks: tuple[int, ...] = (0, 1, 1), **more: Any) -> Schedule:
    """The third window is opened by a new instance, and an older one skips its second event."""
    return with_prefixes(
        below(0, "a/"),
        below(70_000, "a/"),
        below(140_000, "a/"),
        below(141_000, "b/"),
        older=True,
        changes=(Change(100, 5),),
        spread_ms=300_000,
        picks=picks,
        **more,
    )


# A gateway takes two refreshes at a time, a window closes in each round, and all are asked for after 10 min.
BUSY = Schedule(
    30,
    tuple(Event(at, folder="p0/") for at in range(0, HOUR_MS, 30_000)),
    known=True,
    shares=tuple(replace(share, gateway="A") for share in MANY[:20]),
    requests=(Request(600_000),),
    at_once=2,
    takes_ms=20_000,
)


def refreshed_twice(cloud: Cloud) -> list[str]:
    """The shares that no event touches, and that were refreshed more than once."""
    return [
        name for name, starts in cloud.gateways.accepted.items() if name != MANY[0].name and len(starts) > 1
    ]


def waits_longer_than(longest_ms: int, *shares: Share) -> Callable[[Cloud], list[str]]:
    """The longer pauses between two refreshes of these shares."""

    def longer(cloud: Cloud) -> list[str]:
        starts = [cloud.gateways.accepted[share.name] for share in shares]
        return [
            f"{end - start} ms"
            for each in starts
            for start, end in pairwise(each)
            if end - start > longest_ms
        ]

    return longer


# Somebody else spoils the refresh of share-1. Then comes one that is only for share-2.
SPOILED_BEFORE_ANOTHER = with_prefixes(below(3000, "a/"), below(20_000, "b/"), others=(Other(1000),))

MUTANTS = {
    "the raise is swallowed": Mutant(
        AGGREGATOR,
        {"            raise failure\n": "            pass\n"},
        Schedule(30, (Event(0),), faults={1: "lost"}),
    ),
    "a window is given back after a failed send": Mutant(
        AGGREGATOR,
        {"self.send(bucket, timestamp, window.due)\n": GIVEN_BACK},
        # A wake-up message closes the first event's window while that one's third try sends, which gives back
        # the window that the second event has opened meanwhile, and sent its message for.
        Schedule(
            1,
            (Event(0), Event(198_500)),
            faults={1: "lost", 3: "lost", 5: "lost"},
            woken_ms=(195_500,),
        ),
    ),
    "the opener's retry is skipped from memory": Mutant(
        AGGREGATOR,
        {
            "if window is None or window.opened_by == me:": "if window is None:",
            "if window.opened_by == me:\n            self.send": (
                "if window is not self.windows.get(bucket) and window.opened_by == me:\n            self.send"
            ),
        },
        Schedule(120, (Event(0), Event(8000)), faults={1: "lost"}),
    ),
    "a window is trusted from memory to its end and on": Mutant(
        AGGREGATOR, {"if age_ms < TRUSTED_MS": "if age_ms < 60_000"}, Schedule(30, (Event(0), Event(40_000)))
    ),
    "the refresh comes before the close": Mutant(
        REFRESHER,
        {CLOSES: "", REFRESHES: f"        before = item\n{REFRESHES}{CLOSES}"},
        Schedule(5, (Event(0), Event(5400))),
    ),
    "no wait after the close": Mutant(
        REFRESHER,
        {"self.clock.sleep(SETTLE_S)": "pass"},
        Schedule(30, (Event(0), Event(29_800), Event(30_700))),
    ),
    "pending is not written": Mutant(
        REFRESHER,
        {
            'f"SET pending = :token, unre': 'f"SET unre',
            '    values[":token"] = {"S": token}\n        values[":since"]': '    values[":since"]',
        },
        Schedule(30, (Event(0),), at_once=1, takes_ms=1000),
    ),
    "the last acceptance is forgotten": Mutant(
        REFRESHER,
        {"not_before = lengths.next_refresh(item)": "not_before = 0"},
        # The second window could not be moved: it is due before its refresh may start.
        Schedule(5, (Event(0), Event(20_000)), picks=(9,), faults={14: "lost"}, woken_ms=(30_000,)),
        promises.too_soon,
    ),
    "the interval counts as it was when the last refresh was accepted": Mutant(
        SHARED,
        {"not_before - written + self.pause": "not_before"},
        Schedule(5, (Event(0), Event(60_000)), changes=(Change(30_000, 5, interval_s=200),)),
        promises.too_soon,
    ),
    "done outlives a close": Mutant(
        REFRESHER,
        {
            "opened_by, touched, refreshing, done, again": "opened_by, touched, refreshing, again",
            "still_done(before, now, self.full_every_ms) if step.closing else item": "item",
        },
        Schedule(5, (Event(0), Event(20_000)), at_once=1, takes_ms=90_000),
    ),
    "what has accepted counts as done for later events": Mutant(
        REFRESHER,
        {"if not touches(before.touched, before.known[share].prefix)\n        and": "if"},
        with_prefixes(
            below(0, "a/"), below(0, "b/"), below(70_000, "a/"), outages=(Outage("B", 0, 200_000),)
        ),
    ),
    "it does although an instance of an older aggregator may have skipped one": Mutant(
        REFRESHER,
        {'"pending") is None or before.number("everything_until") is not None': '"pending") is None'},
        skipped_by_an_old_instance(picks=(1, 0, 0, 1), outages=(Outage("A", 60_000, 210_000),)),
    ),
    "what has accepted is refreshed again after each close": Mutant(
        REFRESHER,
        {"still_done(before, now, self.full_every_ms) if": "() if"},
        BUSY,
        refreshed_twice,
    ),
    "the touched share waits for all others": Mutant(
        REFRESHER,
        {"for some in (urgent, tried - urgent):": "for some in (tried,):"},
        BUSY,
        waits_longer_than(180_000, MANY[0]),
    ),
    "a repetition is dropped while a round runs": Mutant(
        COMPLETIONS,
        {"    if is_running:  # only its end": "    if False:  # only its end"},
        Schedule(
            30,
            (below(0, "a/"), below(15_000, "a/"), below(120_000, "b/")),
            known=True,
            shares=TWO,
            others=(Other(10_000, "share-1", takes_ms=141_000),),
        ),
        promises.in_vain,
    ),
    "the share that has waited longest has no turn before others": Mutant(
        REFRESHER,
        {"began.get(share, 0), share": "share"},
        replace(
            BUSY,
            events=tuple(Event(at, folder=f"p{at // 10_000 % 8}/") for at in range(0, 2 * HOUR_MS, 10_000)),
            requests=(),
        ),
        waits_longer_than(600_000, *MANY[:8]),
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
        TABLE,
        {"            ConsistentRead=True,\n": ""},
        Schedule(1, (Event(0),)),
    ),
    "a message does not mind the window that replaced its own": Mutant(
        REFRESHER,
        {"till == due or closed < due": "till == due"},
        # The first event's message finds the window of the second, which never sent.
        Schedule(
            600,
            (Event(0), Event(1_010_000)),
            outages=(Outage("table", 590_000, 1_000_000), Outage("queue", 1_005_000, 1_400_000)),
        ),
        lambda cloud: [] if cloud.gateways.accepted["share-1"] else ["never refreshed, till a redrive"],
    ),
    "the interval is not kept": Mutant(
        SHARED,
        {"interval_s * 1000 + SPARE_MS": "interval_s * 500 + SPARE_MS"},
        Schedule(5, (Event(0), Event(10_000))),
        promises.too_soon,
    ),
    "a message is put off too long": Mutant(
        REFRESHER,
        {"(till - self.clock.now()) / 1000), 1)": "(till - self.clock.now()) / 1000), 180)"},
        Schedule(901, (Event(0),)),
        promises.late,
    ),
    "what is put off is refreshed at once all the same": Mutant(
        REFRESHER,
        {"if not_before > now:": "if not_before > now + 60_000:"},
        # The second window could not be moved: it is due before its refresh may start.
        Schedule(5, (Event(0), Event(20_000)), picks=(9,), faults={14: "lost"}, woken_ms=(30_000,)),
        promises.too_soon,
    ),
    "every event asks the table": Mutant(
        AGGREGATOR,
        {"if CLOSING_MS < window.due - now <= self.lengths.furthest:": "if False:"},
        Schedule(30, (Event(0), Event(2000))),
        promises.asked_too_often,
    ),
    "a due window is asked about again and again": Mutant(
        AGGREGATOR,
        {"if age_ms < TRUSTED_MS": "if False"},
        Schedule(30, (Event(0), Event(29_500), Event(29_700))),
        promises.asked_too_often,
    ),
    "a window is not moved": Mutant(
        AGGREGATOR,
        {"return wanted if wanted > due + MOST_EARLY_MS else due": "return due"},
        # The second window's opener has just started, and knows nothing of the first.
        Schedule(
            5, (Event(0), *(Event(second * 1000) for second in range(8, 68))), changes=(Change(7000, 5),)
        ),
        lambda cloud: [f"{len(cloud.table.writes)} writes"] if len(cloud.table.writes) > 12 else [],
    ),
    "a window is moved though it is not its opener's any more": Mutant(
        AGGREGATOR,
        {'"opened_by = :read_opened_by AND #timestamp = :read_timestamp"': '"attribute_exists(BucketName)"'},
        # The second event's opener stands still before it moves its window, which is closed meanwhile, and
        # another opened, in which the fourth event is skipped.
        Schedule(
            30,
            (Event(0), Event(40_000), Event(230_000), Event(250_000)),
            picks=(1,),
            faults={14: "frozen"},
            woken_ms=(100_000,),
        ),
    ),
    "a window may be due however late": Mutant(
        SHARED,
        {"return max(self.window, self.pause, LONGEST_TRUST_MS) + SLACK_MS": "return 10**12"},
        Schedule(42_600, (Event(0),), changes=(Change(10_000, 5),)),
        promises.stuck,
    ),
    "a window is trusted from memory however long": Mutant(
        AGGREGATOR,
        {"if age_ms < LONGEST_TRUST_MS else": "if True else"},
        # The refresh function has another window, and brings the aggregator's forward.
        Schedule(
            42_600, (Event(1000), Event(1_300_000)), changes=(Change(10, 42_600, refresher_window_s=30),)
        ),
    ),
    "a window that is too long is closed at once": Mutant(
        REFRESHER,
        {"due = now + LONGEST_TRUST_MS": "due = now"},
        Schedule(
            42_600,
            (Event(1000), Event(890_000), Event(1_000_000)),
            changes=(Change(10, 42_600, refresher_window_s=30),),
        ),
    ),
    "the monotonic clock is forgotten": Mutant(
        SHARED,
        {"return max(wall, then + int((self.source.monotonic() - monotonic) * 1000))": "return wall"},
        Schedule(30, (Event(0), Event(40_000)), wrong_clocks=(WrongClock(1000, 60_000, -20_000, 1),)),
    ),
    "the wall clock is forgotten": Mutant(
        SHARED,
        {"return max(wall, then +": "return (then +"},
        Schedule(30, (Event(0), Event(40_000)), stops=True),
    ),
    "the table's clock is forgotten": Mutant(
        SHARED,
        {"self._behind = round((least + most) / 2)": "self._behind = 0"},
        Schedule(
            30,
            (Event(0), Event(20_000)),
            wrong_clocks=(WrongClock(0, 100_000, -200_000, 1),),
            woken_ms=(5000,),
        ),
    ),
    "an acceptance in the future is believed": Mutant(
        REFRESHER,
        {"if not_before > now + lengths.pause + MOST_SKEW_MS:": "if False:"},
        Schedule(
            30,
            (Event(0), Event(100_000)),
            wrong_clocks=(WrongClock(31_000, 50_000, 365 * 24 * HOUR_MS, 2),),
            signed=False,
        ),
        promises.stuck,
    ),
    "a share that is listed but not found stays owed": Mutant(
        REFRESHER,
        {"self.targets <= self.done | self.lost": "self.targets <= self.done"},
        Schedule(5, (Event(0),), shares=(LOST,)),
        lambda cloud: [f"{len(cloud.queue.dead)} dead letters"] if cloud.queue.dead else [],
    ),
    "a share that is not found is given up without a fresh lookup": Mutant(
        REFRESHER,
        {"if gone:\n            left": "lost = gone\n        if False:\n            left"},
        # Another share was made in its place meanwhile.
        Schedule(
            5,
            (Event(0), Event(100_000)),
            shares=(Share("share-1", "one", removed_ms=60_000), Share("share-2", "one", made_ms=60_000)),
        ),
        lambda cloud: [] if cloud.gateways.accepted["share-2"] else ["never refreshed"],
    ),
    "a failed lookup changes which shares are known": Mutant(
        REFRESHER,
        {"        if outcome.looked_up is None:\n            found": "        if False:\n            found"},
        # Another share was made in the place of the first one, and the lookup that follows fails.
        with_prefixes(below(2000, "a/"), shares=REPLACED, faults={5: "lost"}),
        lambda cloud: [] if cloud.gateways.accepted["share-3"] else ["never refreshed"],
    ),
    "each window begins the wait of a share anew": Mutant(
        REFRESHER,
        {
            "min(item.unrefreshed_since or since, since)": "since",
            "min(before.get(share, since), since)": "since",
        },
        Schedule(30, MINUTES, outages=(Outage("gateway", 0, HOUR_MS),)),
        promises.silent,
    ),
    "a requested refresh counts as due since the last window": Mutant(
        SHARED,
        {
            'in (self.number("closed"), self.unrefreshed_since)': 'in (self.number("closed"),)',
        },
        Schedule(
            5,
            (Event(0),),
            requests=(Request(24 * HOUR_MS),),
            outages=(Outage("gateway", 24 * HOUR_MS, 24 * HOUR_MS + 100_000),),
        ),
        promises.told_too_early,
    ),
    "a replaced window is forgotten": Mutant(
        AGGREGATOR,
        {"if instead_of.opened_by != me and": "if False and"},
        Schedule(30, MINUTES, purged_ms=tuple(range(20_000, HOUR_MS, 20_000))),
        promises.silent,
    ),
    "the stack takes its own refresh for somebody else's": Mutant(
        COMPLETIONS,
        {" or (known is not None and completion.short == known.given)": ""},
        Schedule(30, (Event(0),), tells=1),
        promises.repeated_too_often,
    ),
    "the ids of earlier rounds are forgotten": Mutant(
        REFRESHER,
        {"if accepted else last.given": 'if accepted else ""'},
        Schedule(5, (Event(0),), outages=(Outage("B", 0, 60_000),), tells=1, takes_ms=100_000),
        promises.repeated_too_often,
    ),
    "another's refresh is judged before the stack's comes": Mutant(
        COMPLETIONS, {"<= now < clear:": "<= now < 0:"}, BEFORE_AND_AFTER, promises.in_vain
    ),
    "another's refresh spoils those of a minute and more later": Mutant(
        COMPLETIONS,
        {"if not began - IN_VAIN_MS - SPARE_MS < completion": "if not completion"},
        # The stack's first refresh takes so long that its id is forgotten.
        Schedule(5, (Event(0), Event(100_000)), tells=1, takes_ms=200_000),
        promises.repeated_too_often,
    ),
    "a refresh that began after the stack's spoils it": Mutant(
        COMPLETIONS,
        {"completion.started < began + SPARE_MS:": "completion.started:"},
        Schedule(5, (Event(0),), others=(Other(70_000),)),
        lambda cloud: [f"{cloud.gateways.accepted}"] if len(cloud.gateways.accepted["share-1"]) > 1 else [],
    ),
    "a repetition is repeated": Mutant(
        COMPLETIONS,
        {"if repeated is not None or known is None": "if known is None"},
        Schedule(30, (Event(0),), others=(*OTHER, Other(80_000))),
        promises.repeated_without_end,
    ),
    "nothing wakes the function up for a repetition": Mutant(
        COMPLETIONS,
        {"if repeated == completion.short:": "if False:"},
        BEFORE_AND_AFTER,
        promises.in_vain,
    ),
    "a repetition leaves out the shares that accepted": Mutant(
        COMPLETIONS,
        {"done = item.done - {share}": "done = item.done"},
        refused_till(150_000),
        promises.in_vain,
    ),
    "a repetition is for every share": Mutant(
        COMPLETIONS,
        {"if pending is not None:": "if False:"},
        with_prefixes(below(3000, "a/"), others=(Other(1000),)),
        promises.needless,
    ),
    "a repetition forgets what else is pending": Mutant(
        COMPLETIONS,
        {'if item.text("pending") is None else item.refreshing': "if True else None"},
        replace(SPOILED_BEFORE_ANOTHER, outages=(Outage("B", 0, 300_000),)),
    ),
    "a repetition for one share is one for each": Mutant(
        COMPLETIONS,
        {"repeated = item.again.get(share)": 'repeated = "".join(item.again.values()) or None'},
        # Both shares are spoilt before the same refresh.
        with_prefixes(below(3000, "a/"), below(3001, "b/"), others=(Other(1000), Other(1000, "share-2"))),
        promises.in_vain,
    ),
    "a pending refresh reaches the shares that accepted": Mutant(
        COMPLETIONS,
        {" is not None and share not in item.done": " is not None"},
        refused_till(150_000),
        promises.in_vain,
    ),
    "a repetition comes although a window is about to close": Mutant(
        COMPLETIONS,
        {"is_soon = item.due is not None and item.due <= earliest + lengths.pause": "is_soon = False"},
        Schedule(60, (Event(0), Event(70_000)), others=OTHER),
        repeated,
    ),
    "a new window's refresh cannot be repeated": Mutant(
        REFRESHER,
        {"refreshing, done, again": "refreshing, done"},
        Schedule(
            30,
            (Event(0), Event(200_000), Event(220_000)),
            others=(*OTHER, Other(210_000)),
        ),
        promises.in_vain,
    ),
    "a refresh of another share hides that one did nothing": Mutant(
        REFRESHER,
        {"if accepted else last.began": "if accepted else None"},
        SPOILED_BEFORE_ANOTHER,
        promises.in_vain,
    ),
    "a pending refresh is taken to reach each share": Mutant(
        COMPLETIONS,
        {"if is_pending and touches(item.refreshing, known.prefix):": "if is_pending:"},
        replace(SPOILED_BEFORE_ANOTHER, outages=(Outage("B", 0, 300_000),)),
        promises.in_vain,
    ),
    "a gateway's clock is believed": Mutant(
        MESSAGES,
        {"started if sent is None else min(started, sent - took_ms)": "started"},
        replace(BEFORE_AND_AFTER, gateway_clock_ms=60_000),
        promises.in_vain,
    ),
    "what an event of a window touched is not added": Mutant(
        AGGREGATOR,
        {"            if missing is None:\n": "            if True:\n"},
        with_prefixes(below(0, "a/"), below(0, "b/")),
    ),
    "what is touched is set instead of added": Mutant(
        AGGREGATOR,
        {'("ADD touched", {missing})': '("SET touched =", {missing})'},
        with_prefixes(below(0, "a/"), below(0, "b/")),
    ),
    "what a replaced window touched is forgotten": Mutant(
        AGGREGATOR,
        {'{removes} ADD touched :touched"': ', touched = :touched{removes}"'},
        with_prefixes(below(0, "b/"), below(400_000, "a/"), purged_ms=(1000,)),
    ),
    "what is touched is taken from the read": Mutant(
        REFRESHER,
        {"to_refresh(before, now": "to_refresh(item, now"},
        # The second event adds to the window between the read and the close.
        with_prefixes(below(0, "a/"), below(5030, "b/")),
    ),
    "what an unfinished refresh was for is forgotten": Mutant(
        REFRESHER,
        {"return window | unfinished": "return window if closing else unfinished"},
        with_prefixes(below(0, "a/"), below(20_000, "b/"), outages=(Outage("A", 0, 120_000),)),
    ),
    "what an unfinished refresh was for is left at a close": Mutant(
        REFRESHER,
        {"opened_by, touched, refreshing, done": "opened_by, touched, done"},
        # The run that closes the second window dies at once.
        with_prefixes(
            below(0, "a/"),
            below(20_000, "b/"),
            outages=(Outage("A", 0, 120_000),),
            faults={17: "dies after"},
        ),
    ),
    "a share that is new is refreshed only if it is touched": Mutant(
        REFRESHER,
        {"share not in before or touches(touched, prefix)": "touches(touched, prefix)"},
        with_prefixes(below(0, "a/"), below(1700, "c/"), shares=THREE, told_ms=(1500,)),
        never_shown,
    ),
    "prefixes change without a refresh of everything": Mutant(
        REFRESHER,
        {"is_changed=looked_up is not None and shares != before": "is_changed=False"},
        # The last event is skipped by the prefixes that were known when its window was opened.
        with_prefixes(below(0, "a/"), below(5200, "a/"), below(8200, "c/"), shares=THREE, told_ms=(1500,)),
        never_shown,
    ),
    "a window that an older version opened touched nothing": Mutant(
        REFRESHER,
        {"window = before.touched if closing": "window = (before.touched or frozenset()) if closing"},
        # The refresh function is the new one. The change itself makes the next refreshes ones of everything.
        with_prefixes(
            *(below(at_ms, "a/") for at_ms in (0, 700_000, 800_000)),
            below(900_000, "b/"),
            older=True,
            changes=(Change(100, 5, older=True),),
        ),
    ),
    "without a word of what to refresh, nothing is": Mutant(
        REFRESHER,
        {
            "unfinished is None or EVERYTHING in unfinished": "unfinished and EVERYTHING in unfinished",
            "window | unfinished": "window | (unfinished or frozenset())",
        },
        with_prefixes(below(0, "a/"), faults={3: "dies after"}),
    ),
    "instances of an older aggregator are forgotten": Mutant(
        REFRESHER,
        {'if closing and before.number("everything_until") is not None': "if False"},
        skipped_by_an_old_instance(),
    ),
    "instances of an older aggregator count until the first close": Mutant(
        REFRESHER,
        {"if until is not None and not 0 < until - self.clock.now() < LONGEST_EVERYTHING_MS:": "if until:"},
        skipped_by_an_old_instance(),
    ),
    "every share is refreshed": Mutant(
        SHARED,
        {"return start in touched or": "return True or"},
        with_prefixes(below(0, "a/")),
        promises.needless,
    ),
    "every event is added": Mutant(
        AGGREGATOR,
        {"if prefix is None or touches(self.touched, prefix):": "if prefix is None:"},
        with_prefixes(below(0, "a/"), below(0, "a/"), below(1000, "a/")),
        promises.added_too_often,
    ),
    "a key without a folder touches everything": Mutant(
        AGGREGATOR,
        {"EVERYTHING if folder is None else entry(folder)": 'EVERYTHING + (folder or "")'},
        with_prefixes(below(0, "a/"), below(70_000, "")),
        promises.needless,
    ),
    "what is touched grows without limit": Mutant(
        SHARED,
        {"return touched if is_short else frozenset({EVERYTHING})": "return touched"},
        Schedule(
            30,
            tuple(below(number * 100, f"p{number}/") for number in range(60)),
            shares=MANY,
            known=True,
        ),
        lambda cloud: [
            f"{len(touched)} entries"
            for write in cloud.table.writes
            if len(touched := (write.after or {}).get("touched", {"SS": ()})["SS"]) > 41
        ],
    ),
    "a window never expires": Mutant(
        SHARED,
        {"EXPIRED_MS = 5 * 60 * 1000": "EXPIRED_MS = 10**12"},
        Schedule(30, (Event(0),), purged_ms=(10_000,)),
        promises.not_healed,
    ),
}


@pytest.mark.parametrize("mutant", MUTANTS.values(), ids=MUTANTS)
def test_without_a_precaution_a_promise_is_broken(mutant: Mutant) -> None:
    assert mutant.breaks(Cloud(mutant.schedule).run()) == []
    assert mutant.breaks(mutant.cloud().run()) != []
