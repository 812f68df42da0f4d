"""Schedules, made up by hypothesis."""

from __future__ import annotations

from dataclasses import replace
from itertools import chain

from hypothesis import strategies as st

from tests.protocol.schedule import (
    FAULTS,
    HOUR_MS,
    SHARES,
    Change,
    Event,
    Outage,
    Schedule,
    Share,
    WrongClock,
)

YEAR_MS = 365 * 24 * HOUR_MS
BUCKETS = st.sampled_from(["one", "one", "two", "three"])
WINDOWS_S = st.sampled_from([1, 5, 30, 62, 120, 1000, 42_600])


def turns(of: st.SearchStrategy[int], most: int = 5) -> st.SearchStrategy[tuple[int, ...]]:
    return st.lists(of, min_size=1, max_size=most).map(tuple)


def bursts(window_s: int) -> st.SearchStrategy[tuple[Event, ...]]:
    """Hundreds of events at most, many near the ends of windows and of pauses, some twice, some very late."""
    ends_s = st.sampled_from([0, 0, window_s, window_s + 2, 2 * window_s, 62, 64, 124, window_s + 300, 400])
    by_ms = st.integers(-1000, 1000) | st.integers(0, 3000) | st.integers(-3000, 60_000)
    at_ms = st.builds(lambda end_s, by: abs(end_s * 1000 + by), ends_s, by_ms)
    counts = st.integers(1, 3) | st.integers(1, 20) | st.integers(20, 100)
    apart_ms = st.sampled_from([0, 1, 40, 400, 800, 1000, 7000])
    after_ms = st.integers(0, 3000) | st.integers(0, 200_000) | st.integers(0, 2 * HOUR_MS)
    burst = st.builds(
        lambda bucket, at, count, apart, after: [
            Event(at + number * apart, bucket, after) for number in range(count)
        ],
        BUCKETS,
        at_ms,
        counts,
        apart_ms,
        turns(after_ms, 2),
    )
    return st.lists(burst, min_size=2, max_size=8).map(lambda found: tuple(chain(*found)))


def closings(window_s: int) -> st.SearchStrategy[tuple[Event, ...]]:
    """The most delicate moment: events just when a window closes, and none later that make up for them."""
    by_ms = st.lists(st.integers(-1500, 4000), min_size=1, max_size=4)
    return by_ms.map(lambda found: (Event(0), *(Event(max(window_s * 1000 + by, 0)) for by in found)))


CALM: st.SearchStrategy[Schedule] = WINDOWS_S.flatmap(
    lambda window_s: st.builds(
        Schedule,
        st.just(window_s),
        bursts(window_s) | closings(window_s),
        interval_s=st.sampled_from([60, 60, 200]),
        concurrency=st.integers(1, 20),
        skews_ms=turns(st.integers(0, 1000)),
        picks=turns(st.integers(0, 4), 8),
        legs_ms=turns(st.integers(1, 20)) | turns(st.integers(1, 400)),
        doubled=st.frozensets(st.integers(0, 5), max_size=2),
        stops=st.booleans(),
    )
)
SOON_OR_LATER_MS = st.integers(0, 200_000) | st.integers(0, 2 * HOUR_MS)
CHANGES = st.lists(
    st.builds(
        Change,
        SOON_OR_LATER_MS,
        WINDOWS_S,
        interval_s=st.sampled_from([0, 1, 60, 60, 200, 42_600]),
        concurrency=st.integers(1, 20),
        refresher_window_s=st.just(0) | WINDOWS_S,
    ),
    min_size=1,
    max_size=3,
).map(lambda found: tuple(sorted(found, key=lambda change: change.at_ms)))
CHANGED = st.builds(
    replace,
    CALM,
    interval_s=st.sampled_from([60, 200, 42_600]),
    changes=CHANGES,
    spread_ms=st.integers(0, 20_000),
    woken_ms=turns(SOON_OR_LATER_MS, 3),
    cold_ms=st.just((0,)) | turns(st.integers(0, 12_000), 3),
)
WRONG_CLOCKS = st.builds(
    lambda start, length, by, third: WrongClock(start, start + length, by, third),
    st.integers(0, 200_000),
    SOON_OR_LATER_MS,
    st.builds(
        int.__mul__,
        st.sampled_from([-1, 1]),
        st.integers(1000, 20_000) | st.integers(20_000, 299_000) | st.sampled_from([HOUR_MS, YEAR_MS]),
    ),
    st.integers(0, 2),
)
WRONG = st.builds(
    replace,
    CALM,
    wrong_clocks=st.lists(WRONG_CLOCKS, min_size=1, max_size=3).map(tuple),
    signed=st.booleans(),
    stops=st.just(False),  # while the wall clock is wrong, the monotonic one has to go on
    woken_ms=turns(st.integers(0, 400_000), 3),
    cold_ms=st.just((0,)) | turns(st.integers(0, 12_000), 3),
)
COMING_AND_GOING = st.builds(
    lambda made, removed: (
        *(replace(share, removed_ms=removed) if share.name == "share-2" else share for share in SHARES),
        Share("share-6", "one", "A", made_ms=made),
    ),
    st.integers(1, 2 * HOUR_MS),
    st.integers(1, 2 * HOUR_MS),
)
OUTAGES = st.builds(
    lambda service, start, length: Outage(service, start, start + length),
    st.sampled_from(["table", "queue", "gateway", "A", "B"]),
    st.integers(0, 200_000),
    st.integers(0, 60_000) | st.integers(0, 4 * HOUR_MS) | st.integers(0, 40 * HOUR_MS),
)
STORMY = st.builds(
    replace,
    CALM,
    legs_ms=turns(st.integers(1, 20)) | turns(st.integers(1, 900)),
    faults=st.dictionaries(
        st.integers(0, 12) | st.integers(0, 40) | st.integers(0, 300),
        st.sampled_from(sorted(FAULTS)),
        max_size=12,
    ),
    outages=st.just(()) | st.lists(OUTAGES, max_size=2).map(tuple),
    shares=st.just(SHARES) | COMING_AND_GOING,
    receives=st.sampled_from([3, 10, 100]),
    at_once=st.sampled_from([1, 2, 2, 1000]),
    takes_ms=st.integers(0, 90_000),
)
PURGED = st.builds(replace, STORMY, purged_ms=turns(st.integers(0, 200_000), 3))
