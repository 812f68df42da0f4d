"""The state of a stack: each resource, bucket, queue and function, without a judgement."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from s3agg.commands.problem import Problem
from s3agg.live.counts import Aggregated, Invocations
from s3agg.live.file_shares import Shares
from s3agg.live.items import BucketActivity
from s3agg.live.queues import QueueDepth
from s3agg.live.share_status import ShareStatus
from s3agg.resources.log_group import LogGroup
from s3agg.resources.queue import STATE
from s3agg.resources.resource import Difference
from s3agg.resources.table import Table
from s3agg.settings import Names
from s3agg.stack.chosen import StackSettings
from s3agg.stack.version import MadeBy

State = Literal["ok", "missing", "drifted", "foreign"]
Unread = Literal["notifications", "rule", "file_shares", "metrics", "logs"]  # codes


@dataclass(frozen=True)
class ResourceStatus:
    """One resource, with its state and drift."""

    kind: str
    name: str
    arn: str
    state: State
    differences: Sequence[Difference]
    owner: str = ""  # why it is foreign
    lacks: Sequence[str] = ()  # the missing resources that it depends on, which may explain the differences


@dataclass(frozen=True)
class StackState:
    """A stack as it is now.

    `gone` lists the attached buckets that no longer exist, and `late` those whose refresh is overdue.
    `functions` is None if CloudWatch metrics could not be read. `aggregated` is None if the logs could not be
    read, or if the log level hides the lines. `shares` holds the file shares of each attached bucket, None if
    these could not be read. `of_shares` warns about them. `settings` is None without a stack.
    `refreshes` holds the last refresh of each file share, by bucket. `median_hours` are the last hours that
    the medians cover, None if the logs do not tell. `unread` are the parts that could not be read.
    """

    stack: str
    region: str
    account: str
    elsewhere: str | None  # the other region where the stack is; None if it is in this region or nowhere
    resources: Sequence[ResourceStatus]
    remedy: str  # what to do about foreign resources
    buckets: Sequence[BucketActivity]
    gone: Sequence[str]
    late: Sequence[str]
    queues: Sequence[QueueDepth]
    log_level: str
    functions: Sequence[Invocations] | None
    aggregated: Sequence[Aggregated] | None
    settings: StackSettings | None
    refreshes: Mapping[str, Sequence[ShareStatus]]
    median_hours: int | None
    made_by: MadeBy | None = None  # None if unknown
    shares: Shares | None = None
    of_shares: Sequence[Problem] = ()
    unread: Sequence[Unread] = ()

    @property
    def as_declared(self) -> bool:
        return all(resource.state == "ok" for resource in self.resources)

    @property
    def exists(self) -> bool:
        return self.elsewhere is None and exists(self.resources)

    @property
    def knows_windows(self) -> bool:
        """Whether the buckets' items could be read. If not, `buckets` only holds their names."""
        table = (Table.kind, Names(self.stack).table)
        return not any(
            (each.kind, each.name) == table and each.state in {"missing", "foreign"}
            for each in self.resources
        )

    @property
    def dead_letters(self) -> int | None:
        """The approximate number of messages in the dead-letter queue, in flight or not; None without it."""
        name = Names(self.stack).dead_letters
        return next((queue.messages for queue in self.queues if queue.name == name), None)

    @property
    def timers(self) -> dict[str, int] | None:
        """The s of each file share's automated cache refresh, by ARN; None if the shares are unknown."""
        if self.shares is None:
            return None
        return {each.arn: each.ttl for shares in self.shares.values() for each in shares if each.ttl}

    @property
    def apart_s(self) -> float:
        """How far apart two refreshes of a share are, at least: a long window keeps them apart too."""
        return max(self.settings.min_interval, self.settings.window) if self.settings else math.inf


def exists(resources: Sequence[ResourceStatus]) -> bool:
    # Log groups do not count: `delete --keep-logs` keeps them, and a late log line recreates them. Nor do
    # deleted queues, which still answer for a while (FACTS 24).
    counted = [each for each in resources if each.kind != LogGroup.kind and not _is_dying(each)]
    return any(each.state != "missing" for each in counted)


def _is_dying(resource: ResourceStatus) -> bool:
    """Whether it is a queue that s3agg deleted a moment ago."""
    return any(each.what == STATE for each in resource.differences)
