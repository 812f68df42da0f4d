"""The settings of a stack as `status` and `create` show them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from s3agg.resources.event_filter import ALL_EVENTS, EventFilter
from s3agg.settings import ALWAYS_STORED, CAPACITIES, Settings
from s3agg.stack.declared import Stack

SHOWN_AS = {"on_demand": "capacity_mode"}


@dataclass(frozen=True)
class StackSettings:
    """The settings that the stack declares, in the units of `create`.

    The capacity units are None on demand. `buckets` holds the event filter of each attached bucket. `chosen`
    names the fields whose values were passed to `create`, now or earlier, or adopted. The others have
    defaults. `version` is the version of s3agg that made or last updated the stack, None if unknown.
    """

    window: int
    min_interval: int
    full_every: int
    concurrency: int
    memory: int
    architecture: str
    runtime: str
    log_level: str
    log_retention: int
    capacity_mode: Literal["on-demand", "provisioned"]
    read_capacity: int | None
    write_capacity: int | None
    include_gateway_writes: bool
    permissions_boundary: str | None
    alarm_topic: str | None
    tags: Mapping[str, str]
    buckets: Mapping[str, EventFilter]
    chosen: Sequence[str]
    version: str | None

    @classmethod
    def of(cls, stack: Stack, version: str | None) -> StackSettings:
        settings = stack.settings
        buckets = {each.bucket: each.event_filter for each in stack.notifications}
        same = {name: getattr(settings, name) for name in cls.__dataclass_fields__ if hasattr(settings, name)}
        if settings.on_demand:
            same |= dict.fromkeys(CAPACITIES)
        return cls(
            **same,
            capacity_mode="on-demand" if settings.on_demand else "provisioned",
            buckets=buckets,
            chosen=_chosen(settings, buckets),
            version=version,
        )


def _chosen(settings: Settings, buckets: Mapping[str, EventFilter]) -> list[str]:
    """Return the fields of StackSettings whose values are not merely defaults, in the order of its fields."""
    default = Settings()
    asked = {
        SHOWN_AS.get(name, name)
        for name in settings.asked
        if name not in ALWAYS_STORED or getattr(settings, name) != getattr(default, name)
    }
    asked -= set(CAPACITIES) if settings.on_demand else set()
    asked |= {"tags"} if settings.tags else set()
    asked |= {"buckets"} if any(each != ALL_EVENTS for each in buckets.values()) else set()
    return [name for name in StackSettings.__dataclass_fields__ if name in asked]
