"""Single cases: the faults of the blog's functions, long windows, many shares, the failure of each call."""

from __future__ import annotations

import random
from collections import defaultdict
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from s3agg.live.item_writes import refresh_request
from tests.protocol import promises
from tests.protocol.cloud import Cloud
from tests.protocol.generated import NESTED
from tests.protocol.schedule import (
    FAULTS,
    FOREVER,
    HOUR_MS,
    SHARES,
    Change,
    Event,
    Other,
    Outage,
    Request,
    Schedule,
    Share,
)
from tests.protocol.table import Item, size_of
from tests.protocol.virtual_time import START_MS
from tests.support.handlers import known_shares


def broken(cloud: Cloud) -> list[str]:
    """Return what breaks the promises that must hold whatever fails."""
    return [
        *promises.lost(cloud),
        *promises.too_soon(cloud),
        *promises.lost_after_all(cloud.redrive()),
    ]


def owed(item: Item) -> dict[str, int]:
    """Since when a refresh is owed to shares, by their ids."""
    assert "owed" in item
    return {name: share.owed for name, share in known_shares(item).items() if share.owed is not None}


TWO_WINDOWS = Schedule(
    5, (Event(0), Event(30, "two"), Event(6000), Event(80_000)), picks=(0, 1), at_once=1, takes_ms=2000
)
CALLS = len(Cloud(TWO_WINDOWS).run().calls.made)


@pytest.mark.parametrize("fault", sorted(FAULTS.keys() - {"frozen"}))
def test_no_refresh_is_lost_whichever_call_fails(fault: str) -> None:
    """Each of the calls of a run that has two windows, two buckets and a busy gateway."""
    assert CALLS > 40  # of both functions, all kinds

    for number in range(CALLS):
        schedule = Schedule(**{**vars(TWO_WINDOWS), "faults": {number: fault}})
        assert broken(Cloud(schedule).run()) == [], f"call {number}"


def test_an_hour_of_backlog_at_an_event_a_second_takes_one_refresh() -> None:
    hour = tuple(Event(second * 1000, after_ms=(HOUR_MS - second * 990,)) for second in range(3600))
    cloud = Cloud(Schedule(60, hour)).run()

    assert broken(cloud) == []
    assert [len(cloud.gateways.accepted[share.name]) for share in cloud.shares_of("one")] == [1, 1, 1]


@pytest.mark.parametrize("concurrency", [1, 2, 5, 10, 20])
def test_a_burst_that_is_throttled_loses_nothing_and_costs_a_write_for_each_environment(
    concurrency: int,
) -> None:
    burst = tuple(Event(number // 20) for number in range(2000))
    cloud = Cloud(Schedule(30, burst, concurrency=concurrency, picks=(0,))).run()

    assert broken(cloud) == []
    assert promises.asked_too_often(cloud) == []
    assert [len(cloud.gateways.accepted[share.name]) for share in cloud.shares_of("one")] == [1, 1, 1]
    assert len([write for write in cloud.table.writes if write.opener]) <= concurrency


@pytest.mark.parametrize("window_s", [1, 2, 899, 900, 901, 902, 3600, 42_599, 42_600])
def test_a_window_of_1_s_to_11_h_50_min_is_refreshed_when_it_closes(window_s: int) -> None:
    cloud = Cloud(Schedule(window_s, (Event(0), Event(window_s * 500)))).run()

    (start,) = cloud.gateways.accepted["share-1"]
    assert broken(cloud) == []
    assert window_s * 1000 < start < (window_s + 5) * 1000
    # Hidden till then in one go: each time it is received counts.
    receives = [operation for operation in cloud.calls.made if operation == "queue"]
    assert len(receives) <= 3  # sent, put off, deleted


@pytest.mark.parametrize("window_s", [5, 901, 42_600])
def test_a_window_that_closes_in_an_outage_is_refreshed_after_it(window_s: int) -> None:
    outage = Outage("gateway", 0, window_s * 1000 + 5 * HOUR_MS)
    cloud = Cloud(Schedule(window_s, (Event(0),), outages=(outage,))).run()

    assert cloud.queue.dead == []
    assert broken(cloud) == []
    assert outage.till_ms < cloud.gateways.accepted["share-1"][0] < outage.till_ms + 16 * 60_000


def test_an_outage_of_days_ends_in_dead_letters_that_bring_the_refresh_when_they_are_put_back() -> None:
    cloud = Cloud(Schedule(5, (Event(0),), outages=(Outage("gateway", 0, 100 * 24 * HOUR_MS),))).run()

    assert len(cloud.queue.dead) == 1
    assert not any(cloud.gateways.accepted.values())
    assert promises.lost(cloud) == []
    assert promises.lost_after_all(cloud.redrive()) == []
    assert len(cloud.gateways.accepted["share-1"]) == 1


@pytest.mark.parametrize(
    ("hours", "apart_ms"), [(24, 240_000), pytest.param(48, 30_000, marks=pytest.mark.proof)]
)
def test_a_gateway_that_is_off_for_days_is_told_however_many_events_come(hours: int, apart_ms: int) -> None:
    """Each window closes and the next one opens: nothing fails for good, and no dead letter comes."""
    day = hours * HOUR_MS
    events = tuple(Event(at) for at in range(0, day, apart_ms))
    cloud = Cloud(Schedule(30, events, outages=(Outage("A", 0, day),))).run()

    assert cloud.queue.dead == []
    assert promises.silent(cloud) == []
    off = cloud.table.item("one", at=day - 1)
    assert owed(off).keys() == {"share-1", "share-2"}
    assert "unrefreshed_since" not in cloud.table.item("one")


def test_an_expired_window_that_an_event_replaces_is_still_owed() -> None:
    """The queue loses the message of each window, and an event comes every minute."""
    hour = tuple(Event(at) for at in range(0, HOUR_MS, 60_000))
    cloud = Cloud(Schedule(30, hour, purged_ms=tuple(range(20_000, HOUR_MS, 20_000)))).run()

    assert promises.silent(cloud) == []
    assert cloud.table.item("one", at=HOUR_MS - 1)["unrefreshed_since"] == {"N": str(START_MS + 30_000)}


def test_shares_that_accepted_before_a_window_expired_are_owed_its_refresh() -> None:
    """A request is pending, and its message is dead as the window's is. Then an event replaces the window."""
    schedule = Schedule(
        3600,
        (Event(0), Event(1_000_000), Event(6_000_000)),
        purged_ms=(20_000,),
        requests=(Request(30_000),),
        outages=(Outage("B", 0, 6_500_000),),
        receives=3,
    )

    assert promises.silent(Cloud(schedule).run()) == []


def test_a_busy_share_is_owed_the_refresh_of_an_expired_window_too() -> None:
    """A window expires, an event replaces it, and then the gateway refuses one of the shares."""
    events = (Event(0), Event(400_000))
    outage = Outage("B", 0, HOUR_MS)
    cloud = Cloud(Schedule(5, events, purged_ms=(1000,), outages=(outage,))).run()

    assert promises.silent(cloud) == []
    assert owed(cloud.table.item("one", at=500_000)) == {"share-3": START_MS + 5000}


def test_a_gateway_that_takes_two_at_a_time_gets_its_twelve_shares_none_twice_within_60_s() -> None:
    twelve = tuple(Share(f"share-{number}", "one") for number in range(12))
    cloud = Cloud(Schedule(5, (Event(0),), shares=twelve, at_once=2, takes_ms=45_000)).run()

    assert broken(cloud) == []
    assert [len(cloud.gateways.accepted[share.name]) for share in twelve] == [1] * 12


@pytest.mark.parametrize("shares", [3, 12])
def test_a_gateway_that_is_never_done_makes_no_dead_letters(shares: int) -> None:
    """Four hours of events: each window closes while shares still wait, so no refresh is ever complete."""
    several = tuple(Share(f"share-{number}", "one") for number in range(shares))
    events = tuple(Event(second * 1000) for second in range(0, 4 * 3600, 20))
    cloud = Cloud(Schedule(5, events, shares=several, at_once=2, takes_ms=45_000)).run()

    assert cloud.queue.dead == []
    assert broken(cloud) == []
    rounds = 4 * 3600 // 64
    assert min(len(cloud.gateways.accepted[share.name]) for share in several) > rounds * 2 // shares // 2
    assert len(cloud.calls.made) < 30 * rounds


def test_a_slow_gateway_with_many_shares_gets_them_all() -> None:
    """Fifteen hours: two shares an hour."""
    thirty = tuple(Share(f"share-{number}", "one") for number in range(30))
    cloud = Cloud(Schedule(5, (Event(0),), shares=thirty, at_once=2, takes_ms=HOUR_MS)).run()

    assert cloud.queue.dead == []
    assert [len(cloud.gateways.accepted[share.name]) for share in thirty] == [1] * 30


@pytest.mark.parametrize("window_s", [30, 600, 3600])
def test_a_gateway_that_is_off_makes_no_other_share_wait(window_s: int) -> None:
    two = (Share("healthy", "one", "A"), Share("on a gateway that is off", "one", "B"))
    events = tuple(Event(minute * 60_000) for minute in range(8 * 60))
    off = Outage("B", 0, FOREVER)
    cloud = Cloud(Schedule(window_s, events, shares=two, outages=(off,))).run()

    starts = cloud.gateways.accepted["healthy"]
    longest = max(second - first for first, second in pairwise(starts))
    assert longest <= (max(window_s, 62) + 60 + 70) * 1000  # till the next event, and a round under way
    assert promises.lost(cloud) == []


def test_a_bucket_has_few_messages_however_long_its_gateway_is_off() -> None:
    events = tuple(Event(minute * 60_000) for minute in range(0, 24 * 60, 5))
    cloud = Cloud(Schedule(30, events, outages=(Outage("gateway", 0, 23 * HOUR_MS),))).run()

    assert cloud.queue.dead == []
    assert broken(cloud) == []


FORMS = [share.location for share in SHARES if share.bucket == "one"]


def test_250_shares_of_all_kinds_are_refreshed() -> None:
    many = tuple(
        Share(
            f"share-{number}",
            ("one", "two")[number % 2],
            f"gateway-{number % 20}",
            ("NFS", "SMB")[number // 2 % 2],
            FORMS[number % len(FORMS)],
        )
        for number in range(250)
    )
    cloud = Cloud(Schedule(5, (Event(0), Event(0, "two")), shares=many)).run()

    assert broken(cloud) == []
    assert {len(cloud.gateways.accepted[share.name]) for share in many} == {1}


def test_a_share_made_later_is_found_within_the_hour() -> None:
    later = Share("share-6", "one", made_ms=60_000)
    events = tuple(Event(minute * 60_000) for minute in range(120))
    cloud = Cloud(Schedule(5, events, shares=(*SHARES, later))).run()

    assert broken(cloud) == []
    assert later.made_ms < cloud.gateways.accepted["share-6"][0] < later.made_ms + HOUR_MS + 2 * 65_000


def look_up_beside(**_: bool) -> dict[str, Any]:
    """The write of `create` for new shares, without regard to a refresh that is under way."""
    return {
        "UpdateExpression": "REMOVE shares_found",
        "ConditionExpression": "attribute_exists(shares_found)",
    }


# An hour after the first lookup, a refresh looks the shares up again. It takes half a second from there on.
LOOKUP_MS = HOUR_MS + 107_000
OF_A_LOOKUP_MS = [
    LOOKUP_MS - 17_000,
    LOOKUP_MS - 1980,
    *range(LOOKUP_MS, LOOKUP_MS + 600, 20),
    LOOKUP_MS + 3000,
]


def with_a_new_share(at_ms: int) -> Schedule:
    """Share-6 is new when `create` makes it known; one event comes before, one later."""
    events = (Event(0), Event(LOOKUP_MS - 7000), Event(LOOKUP_MS + 93_000))
    return Schedule(5, events, shares=(*SHARES, Share("share-6", "one", made_ms=at_ms)), told_ms=(at_ms,))


@pytest.mark.parametrize("at_ms", [60_000, *OF_A_LOOKUP_MS])
def test_a_new_share_that_create_makes_known_is_in_the_next_refresh(at_ms: int) -> None:
    """At any moment of a refresh, also between its lookup and the write of what that found."""
    cloud = Cloud(with_a_new_share(at_ms)).run()

    assert broken(cloud) == []
    assert cloud.gateways.accepted["share-6"]


def test_a_refresh_under_way_stores_the_shares_that_it_found_before_unless_it_is_taken_over() -> None:
    clouds = [Cloud(with_a_new_share(at_ms), look_up=look_up_beside).run() for at_ms in OF_A_LOOKUP_MS]

    assert not all(cloud.gateways.accepted["share-6"] for cloud in clouds)


def test_a_share_that_was_deleted_is_forgotten_at_once_and_disturbs_no_other() -> None:
    gone = Share("share-6", "one", removed_ms=60_000)
    cloud = Cloud(Schedule(5, (Event(0), Event(100_000)), shares=(*SHARES, gone))).run()

    assert broken(cloud) == []
    assert len(cloud.gateways.accepted["share-6"]) == 1
    assert known_shares(cloud.table.item("one")).keys() == {"share-1", "share-2", "share-3"}


@pytest.mark.parametrize("status", ["DELETING", "FORCE_DELETING", "AVAILABLE"])
def test_a_share_that_is_listed_but_not_found_keeps_no_bucket_pending(status: str) -> None:
    lost = Share("share-6", "one", removed_ms=60_000, listed_ms=FOREVER, status=status)
    cloud = Cloud(Schedule(5, (Event(0), Event(100_000)), shares=(*SHARES, lost))).run()

    assert broken(cloud) == []
    assert cloud.queue.dead == []
    assert "pending" not in cloud.table.item("one")
    assert len(cloud.gateways.accepted["share-6"]) == 1
    assert len(cloud.gateways.accepted["share-1"]) == 2


def test_a_share_that_is_the_buckets_last_is_given_up_when_it_is_not_found() -> None:
    lost = Share("share-1", "one", removed_ms=60_000, listed_ms=FOREVER, status="AVAILABLE")
    cloud = Cloud(Schedule(5, (Event(0), Event(100_000)), shares=(lost,))).run()

    assert cloud.queue.dead == []
    assert "pending" not in cloud.table.item("one")


# What was touched (DESIGN 2a)

FOLDERS = tuple(f"department-{number:03}/inb/" for number in range(250))


def sharing(folders: tuple[str, ...], *, at_a_gateway: int) -> tuple[Share, ...]:
    """A file share for each folder, with an id as AWS gives it."""
    ids = random.Random(0)  # noqa: S311  # the same each time
    return tuple(
        Share(
            f"share-{ids.randrange(16**8):08X}",
            "one",
            f"gateway-{number // at_a_gateway}",
            location=f"arn:aws:s3:::{{}}/{folder}",
        )
        for number, folder in enumerate(folders)
    )


@pytest.mark.parametrize("events", [1000, pytest.param(10_000, marks=pytest.mark.proof)])
def test_a_window_over_250_prefixes_costs_few_writes_and_little_room(events: int) -> None:
    """Ten instances share the events. From 40 entries or 700 bytes on, everything counts as touched."""
    cloud = Cloud(
        Schedule(
            60,
            tuple(Event(number * 3, folder=f"{FOLDERS[number * 7 % 250]}sub/") for number in range(events)),
            known=True,
            shares=sharing(FOLDERS, at_a_gateway=1),
            picks=(0, 3, 1, 7, 2, 9, 5, 4, 8, 6),
            legs_ms=(5,),
        )
    ).run()

    written = [write.after["touched"]["SS"] for write in cloud.table.writes if write.adds and write.after]
    asked = [write for write in cloud.table.writes if write.adds or write.opener]
    assert promises.lost(cloud) == []
    assert max(map(len, written)) <= 40 + 10  # each instance may add one that the others do not know of
    assert max(sum(map(len, touched)) for touched in written) <= 700 + 10 * len(FOLDERS[0])
    assert len(asked) <= 40 + 4 * 10
    assert max(size_of(write.after) for write in cloud.table.writes if write.after) < 4096


def test_the_item_of_250_shares_stays_small() -> None:
    """Each gateway takes two at a time. All are refreshed, and then 33 in each of two windows."""
    touching = (0, 20 * HOUR_MS, 20 * HOUR_MS + 63_500)
    events = tuple(Event(at + number, folder=FOLDERS[number]) for at in touching for number in range(33))
    cloud = Cloud(
        Schedule(
            60,
            events,
            known=True,
            shares=sharing(FOLDERS, at_a_gateway=10),
            requests=(Request(100_000),),
            at_once=2,
            takes_ms=40_000,
            legs_ms=(2,),
        )
    ).run()

    sizes: defaultdict[tuple[bool, bool], int] = defaultdict(int)
    for write in cloud.table.writes:
        if write.after:
            state = "opened_by" in write.after, "done" in write.after
            sizes[state] = max(sizes[state], size_of(write.after))
    assert sizes[False, False] < 3300
    assert sizes[True, False] < 4096
    assert sizes[False, True] < 4096
    assert 4096 < sizes[True, True] < 5000  # with what two windows touched


@pytest.mark.parametrize("older_refresher", [False, True])
@pytest.mark.parametrize("picks", [(0,), (0, 1), (0, 1, 1), (9, 0, 1), (1, 0, 9, 9)])
def test_while_a_stack_is_updated_both_versions_run_and_nothing_is_lost(
    picks: tuple[int, ...], older_refresher: bool
) -> None:
    """Older instances go on for five minutes, and the refresh function may be updated later."""
    schedule = Schedule(
        5,
        tuple(Event(at, folder=("a/", "a/prefix/", "b/")[at // 1000 % 3]) for at in range(0, 900_000, 7000)),
        older=True,
        known=True,
        shares=NESTED,
        picks=picks,
        spread_ms=300_000,
        changes=(
            Change(100_000, 5, older_refresher=older_refresher),
            *((Change(500_000, 5),) if older_refresher else ()),
        ),
    )
    cloud = Cloud(schedule).run()

    assert broken(cloud) == []
    assert cloud.dead == []
    assert cloud.queue.dead == []


# s3agg refresh


def test_a_requested_refresh_comes_without_an_event_and_not_before_the_interval_has_passed() -> None:
    cloud = Cloud(Schedule(5, (Event(0),), requests=(Request(20_000), Request(500_000)))).run()

    first, second, third = cloud.gateways.accepted["share-1"]
    assert broken(cloud) == []
    assert first + 60_000 < second < first + 70_000
    assert 500_000 < third < 505_000


def test_a_requested_refresh_does_not_wait_for_an_open_window() -> None:
    cloud = Cloud(Schedule(3600, (Event(0),), requests=(Request(10_000),))).run()

    requested, of_window = cloud.gateways.accepted["share-1"]
    assert broken(cloud) == []
    assert 10_000 < requested < 15_000
    assert HOUR_MS < of_window < HOUR_MS + 5000


def request_with_done_left(now: int) -> dict[str, Any]:
    asked = refresh_request(now)
    return {**asked, "UpdateExpression": asked["UpdateExpression"].replace("done, ", "")}


def test_a_request_counts_for_shares_that_accepted_before_it() -> None:
    """A gateway refuses one share, so the refresh is pending and `done` holds the others."""
    schedule = Schedule(5, (Event(0),), requests=(Request(100_000),), outages=(Outage("B", 0, 150_000),))
    cloud = Cloud(schedule).run()

    assert broken(cloud) == []
    assert len(cloud.gateways.accepted["share-1"]) == 2
    assert promises.lost(Cloud(schedule, request=request_with_done_left).run()) != []


@pytest.mark.parametrize("at_ms", [0, 4000, 5060, 6000, 7010, 7100, 10_000])
def test_a_request_at_any_moment_of_a_refresh_is_followed_by_another(at_ms: int) -> None:
    schedule = Schedule(5, (Event(0),), requests=(Request(at_ms),))
    cloud = Cloud(schedule).run()

    assert broken(cloud) == []
    assert promises.told_too_early(cloud) == []


def test_an_interrupted_request_waits_for_the_next_event_or_request() -> None:
    """It wrote the item and sent no message."""
    interrupted = Request(100_000, sends=False)
    alone = Cloud(Schedule(5, (Event(0),), requests=(interrupted,))).run()
    repeated = Cloud(Schedule(5, (Event(0),), requests=(interrupted, Request(200_000)))).run()
    followed = Cloud(Schedule(5, (Event(0), Event(200_000)), requests=(interrupted,))).run()

    assert [len(each.gateways.accepted["share-1"]) for each in (alone, repeated, followed)] == [1, 2, 2]
    assert "pending" in alone.table.item("one")
    assert "pending" not in repeated.table.item("one")
    assert "pending" not in followed.table.item("one")


def test_a_requested_refresh_that_a_gateway_refuses_for_long_is_told() -> None:
    schedule = Schedule(
        5,
        (Event(0),),
        requests=(Request(24 * HOUR_MS),),
        outages=(Outage("A", 24 * HOUR_MS, 26 * HOUR_MS),),
    )
    cloud = Cloud(schedule).run()

    assert promises.silent(cloud) == []
    assert promises.told_too_early(cloud) == []
    requested_ms = START_MS + 24 * HOUR_MS
    assert owed(cloud.table.item("one", at=25 * HOUR_MS)) == {
        "share-1": requested_ms,
        "share-2": requested_ms,
    }


def request_with_the_repetition_left(now: int) -> dict[str, Any]:
    asked = refresh_request(now)
    return {**asked, "UpdateExpression": asked["UpdateExpression"].replace("again, ", "")}


def test_a_requested_refresh_that_others_spoil_is_repeated_too() -> None:
    """Somebody else's refresh comes before that of the window, and another before the requested one."""
    schedule = Schedule(
        30,
        (Event(0), Event(20_000)),
        others=(Other(10_000), Other(290_000)),
        requests=(Request(300_000),),
    )
    cloud = Cloud(schedule).run()

    assert broken(cloud) == []
    assert promises.in_vain(cloud) == []
    assert len(cloud.gateways.accepted["share-1"]) == 4
    assert promises.in_vain(Cloud(schedule, request=request_with_the_repetition_left).run()) != []


def test_without_its_event_a_refresh_of_somebody_else_changes_nothing() -> None:
    schedule = Schedule(30, (Event(0), Event(20_000)), others=(Other(10_000, tells=0),))
    cloud = Cloud(schedule).run()

    assert broken(cloud) == []
    assert promises.in_vain(cloud) != []
    assert len(cloud.gateways.accepted["share-1"]) == 1


def test_the_events_of_finished_refreshes_change_nothing_and_stay_nowhere() -> None:
    """Each comes twice, while windows are open and while refreshes are pending."""
    schedule = Schedule(5, (Event(0), Event(9000), Event(80_000)), at_once=1, takes_ms=3000)
    quiet, told = (Cloud(replace(schedule, tells=times)).run() for times in (0, 2))

    assert told.gateways.accepted == quiet.gateways.accepted
    assert len(told.table.writes) == len(quiet.table.writes)
    assert (told.queue.messages, told.queue.dead) == ([], [])
