"""Made-up statuses of a stack."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from s3agg.commands.health import Status
from s3agg.commands.stack_state import ResourceStatus, State
from s3agg.live import share_status
from s3agg.live.counts import Aggregated, Counted, Invocations
from s3agg.live.file_shares import FileShare
from s3agg.live.items import BucketActivity
from s3agg.live.queues import QueueDepth
from s3agg.live.share_status import ShareStatus
from s3agg.resources.resource import Difference, Found
from s3agg.settings import Names, Settings
from s3agg.stack import declared
from s3agg.stack.chosen import StackSettings
from tests.support.aws import PLACE
from tests.support.screens import NOW

DEFAULTS = StackSettings.of(declared.make(PLACE, Names(), Settings(), {}), None)
SHARE = "arn:aws:storagegateway:eu-west-1:123456789012:share/share-"


@dataclass(frozen=True, kw_only=True)
class FoundThing(Found):
    """That something is there, and no more."""

    @property
    def properties(self) -> Mapping[str, str]:
        return {}


def make_status(
    *resources: ResourceStatus,
    dead: int = 0,
    buckets: tuple[BucketActivity, ...] = (),
    aggregated: tuple[Aggregated, ...] = (),
    late: tuple[str, ...] = (),
    gone: tuple[str, ...] = (),
    timers: Mapping[str, int] | None = None,
    elsewhere: str | None = None,
    refreshes: Mapping[str, Sequence[ShareStatus]] | None = None,
) -> Status:
    return Status(
        stack="S3EventAggregator",
        region="eu-west-1",
        account="123456789012",
        elsewhere=elsewhere,
        resources=resources,
        remedy="Choose another name with --stack",
        buckets=buckets,
        late=late,
        gone=gone,
        queues=(QueueDepth("S3EventAggregatorDeadLetters", dead, 0, 0),),
        log_level="INFO" if aggregated else "WARN",
        functions=tuple(
            Invocations(
                "S3EventAggregator", hours, counted(hours, 1204), counted(hours, 1), counted(hours, 0)
            )
            for hours in (1, 24)
        ),
        aggregated=aggregated or None,
        settings=None,
        refreshes=refreshes
        or {each.name: share_status.of_bucket(each, None, confirms=False) for each in buckets},
        median_hours=24 if refreshes else None,
        shares={"b": [FileShare(arn, "", ttl) for arn, ttl in timers.items()]} if timers else None,
    )


def make_resource(
    state: State = "ok", name: str = "S3EventAggregator", *differences: Difference, kind: str = "table"
) -> ResourceStatus:
    return ResourceStatus(kind, name, "arn:aws:dynamodb:…", state, differences)


def counted(hours: int, total: int) -> Counted:
    """So many, all of them now."""
    parts = {1: 12, 24: 24}[hours]
    return Counted(total, (*[0] * (parts - 1), total))


def share(
    number: int, state: share_status.State = "complete", after_s: float = 0, took_s: float = 12
) -> ShareStatus:
    """A share that accepted so many s ago; `took_s` is also its median."""
    accepted = NOW - timedelta(seconds=after_s)
    completed = NOW if state == "complete" else None
    return ShareStatus(f"{SHARE}{number:02}", state, accepted, completed, took_s, took_s)


def of_shares(*shares: ShareStatus, interval: int = 60) -> Status:
    """A status of a bucket with these shares."""
    bucket = BucketActivity(
        "b", last_refresh=NOW - timedelta(seconds=90), shares=tuple(each.share for each in shares)
    )
    status = make_status(make_resource(), buckets=(bucket,), refreshes={"b": shares})
    return replace(status, functions=(), settings=replace(DEFAULTS, window=30, min_interval=interval))
