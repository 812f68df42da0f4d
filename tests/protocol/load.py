"""Steady load for hours, in virtual time: the write units and the delays of refreshes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tests.protocol.cloud import Cloud
from tests.protocol.schedule import HOUR_MS, Event, Schedule, Share

MOST_STEPS = 50_000_000


@dataclass(frozen=True)
class Load:
    """Uploads to some buckets, each with a file share, at a rate of events a second."""

    buckets: int
    a_second: float
    instances: int
    hours: float = 1
    window_s: int = 30
    interval_s: int = 60
    units: int | None = None  # the table's write units a second; None: on demand
    saved_s: int = 300  # for so many seconds unused units are there at the start

    def events(self) -> Iterator[Event]:
        """Return events that are spread like unrelated uploads; the same in each run."""
        count = round(self.a_second * self.hours * 3600)
        for bucket in range(self.buckets):
            for number in range(count):
                # The golden ratio's multiples fill the second evenly, and never twice alike.
                spread = (number * 0.618033988749895 + bucket * 0.7548776662466927) % 1
                yield Event(int((number + spread) * 1000 / self.a_second), f"bucket-{bucket}")

    def run(self, modules: Mapping[str, Any] | None = None) -> Cloud:
        """Run the load; `modules` are the functions of another version."""
        schedule = Schedule(
            self.window_s,
            tuple(sorted(self.events(), key=lambda event: event.at_ms)),
            interval_s=self.interval_s,
            concurrency=self.instances,
            picks=(*range(self.instances), 0),  # Lambda sends events to any of the idle ones
            skews_ms=(0, 400, 900, 200),
            legs_ms=(3, 8, 5, 20),
            cold_ms=(400, 900),
            units=self.units,
            saved_s=self.saved_s,
            shares=tuple(Share(f"share-{number}", f"bucket-{number}") for number in range(self.buckets)),
        )
        return Cloud(schedule, **(modules or {})).run(MOST_STEPS)


@dataclass(frozen=True)
class Figures:
    """The measured figures of a load."""

    events: int
    dead: int  # events and messages that failed for good
    throttled: int  # writes and reads of the table
    opening: int  # writes of the aggregator
    refreshing: int  # writes of the refresh function
    windows: int
    pairs: int  # of a window and an instance that asked the table while it was open
    latest_ms: int  # from an event to the refresh after it

    @property
    def writes_of_an_instance(self) -> float:
        """Writes of the aggregator for each instance and window."""
        return self.opening / max(self.pairs, 1)


def figures(cloud: Cloud) -> Figures:
    opening = [write for write in cloud.table.writes if write.opener is not None]
    windows: Counter[str] = Counter()
    pairs: set[tuple[str, int, int]] = set()
    for write in cloud.table.writes:
        if write.opener is None:
            windows[write.bucket] += "opened_by" in write.before and "opened_by" not in (write.after or {})
        else:
            pairs.add((write.bucket, windows[write.bucket], write.environment.number))
    return Figures(
        events=len(cloud.events),
        dead=len(cloud.dead) + len(cloud.queue.dead),
        throttled=cloud.table.write_units.throttled + cloud.table.read_units.throttled,
        opening=len(opening),
        refreshing=len(cloud.table.writes) - len(opening),
        windows=windows.total(),
        pairs=len(pairs),
        latest_ms=max(_waits(cloud), default=0),
    )


def _waits(cloud: Cloud) -> Iterator[int]:
    """Return the time from each event to the refresh of its share, in ms."""
    accepted = {share.bucket: cloud.gateways.accepted[share.name] for share in cloud.schedule.shares}
    last = dict.fromkeys(accepted, 0)
    for event in cloud.events:
        starts = accepted[event.bucket]
        while last[event.bucket] < len(starts) and starts[last[event.bucket]] <= event.at_ms:
            last[event.bucket] += 1
        at = starts[last[event.bucket]] if last[event.bucket] < len(starts) else 2 * HOUR_MS + event.at_ms
        yield at - event.at_ms
