"""refresh: request a refresh of attached buckets now, by the protocol's own means (DESIGN 2).

In each bucket's item everything becomes pending. Then a message makes the refresh function look at the item.
Only that function refreshes, so it keeps `--min-interval`. A run may die between the two. Then the next run,
`create` or the bucket's next window finishes the request.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from s3agg.aws.clock import from_ms
from s3agg.aws.refusals import describing_errors
from s3agg.aws.session import Aws
from s3agg.commands import acceptance
from s3agg.commands.acceptance import Goal
from s3agg.commands.completion import SKEW, Completion, why_not_complete
from s3agg.commands.watching import Waiting
from s3agg.errors import Advice, Note, S3aggError
from s3agg.live import item_writes, messages
from s3agg.live.items import BucketActivity
from s3agg.live.log_lines import hides_lines
from s3agg.stack.deployed import Deployment, the_bucket

Outcome = Literal["requested", "accepted", "complete", "not_accepted", "no_file_share"]
LOG_SINCE_MS = 60_000  # before the request: the clocks of the functions and of this machine may differ


@dataclass(frozen=True)
class Refreshed:
    """The request of one bucket, and with `--wait` its outcome."""

    bucket: str
    outcome: Outcome
    not_before: datetime | None = None  # the minimum interval ends then; None if it has passed
    started: datetime | None = None  # start of the accepted refresh
    complete: datetime | None = None  # when the last gateway told that it finished
    shares: tuple[str, ...] = ()  # the file shares that accepted
    owed: tuple[str, ...] = ()  # the file shares that have not accepted, as far as known
    answer: str | None = None  # the gateway's last answer for the share that waits longest
    waits_for: str | None = None  # at the timeout


@dataclass(frozen=True)
class Report:
    """The result of `refresh`; the fields are those of its JSON."""

    stack: str
    region: str
    account: str
    buckets: Sequence[Refreshed]
    seconds: float

    @property
    def ok(self) -> bool:
        return all(each.outcome != "not_accepted" for each in self.buckets)


def run(
    aws: Aws, deployment: Deployment, buckets: Sequence[str], *, wait: bool, timeout_s: float | None = None
) -> Generator[Waiting, None, Report]:
    """Request a refresh of these buckets, or of every attached one; with `wait`, wait until it is complete.

    It waits until it is accepted, if nothing tells when it is complete: without the rule, or if the log level
    hides the functions' lines.

    Raises S3aggError, before any change, if a bucket is not attached or if no refresh can start.
    """
    started, log_since = aws.clock.monotonic(), int(aws.clock.time() * 1000) - LOG_SINCE_MS
    stack, place = deployment.stack, deployment.place
    names = list(dict.fromkeys(the_bucket(deployment, bucket).bucket for bucket in buckets))
    names = names or deployment.buckets or [the_bucket(deployment, None).bucket]
    check(deployment)
    requested = aws.side_by_side(lambda name: request(aws, deployment, name), names)
    if wait:
        timeout = acceptance.default_timeout(stack) if timeout_s is None else timeout_s
        goals = [Goal(each.name, requested=each) for each in requested]
        try:
            ended = yield from acceptance.follow(aws, stack, goals, timeout)
            complete = {}
            if deployment.tells_completion and not hides_lines(deployment.log_level):
                awaited = {
                    each.name: Completion(
                        aws, stack.refresher, ended.items[each.name].shares, _since(each), log_since
                    )
                    for each in requested
                    if each.name not in ended.left
                }
                left_s = timeout - (aws.clock.monotonic() - started)
                complete = yield from acceptance.follow_completion(aws, awaited, left_s)
                for bucket, each in awaited.items():
                    if each.shares and bucket not in complete:
                        aws.warn(_not_complete(bucket, timeout, stack.settings.min_interval))
        except (KeyboardInterrupt, GeneratorExit):
            aws.warn(Note("The requested refreshes go on without this command"))
            raise
        found = [
            _outcome(ended.items[each.name], ended.left.get(each.name), complete.get(each.name))
            for each in requested
        ]
    else:
        now = from_ms(aws.clock.time() * 1000)
        found = [_request(each, now) for each in requested]
    seconds = round(aws.clock.monotonic() - started, 1)
    return Report(stack.names.stack, place.region, place.account, found, seconds)


def _not_complete(bucket: str, timeout: float, min_interval: int) -> S3aggError:
    return S3aggError(
        f"Bucket {bucket}: not every gateway finished the refresh within {timeout:.0f} s."
        f" {why_not_complete(min_interval)}",
        "To see when it is complete, run",
        Advice("status"),
    )


def check(deployment: Deployment) -> None:
    """Raise S3aggError if no refresh can start."""
    stack = deployment.stack
    needed = {each.key for each in (stack.table, stack.queue, stack.refresher, stack.trigger)}
    deployment.check_works(needed, "No refresh can start")


def request(aws: Aws, deployment: Deployment, bucket: str) -> BucketActivity:
    """Make everything of a bucket pending, then send its message; return its activity after the write.

    In this order: a message that comes before the write finds nothing to refresh.
    """
    stack = deployment.stack
    with describing_errors(f"requesting a refresh of bucket {bucket} in table {stack.table.name}"):
        item = item_writes.request_refresh(aws, stack.table.name, bucket)
    if item is None:
        raise S3aggError(
            f"Table {stack.table.name} does not store bucket {bucket} as attached",
            "To store it, run",
            Advice("create", bucket),
        )
    with describing_errors(f"sending a message to queue {stack.queue.name}"):
        messages.send(aws, stack.queue, [item], stack.settings, at_once=True)
    return item.at_interval(stack.settings.min_interval)


def _request(item: BucketActivity, now: datetime) -> Refreshed:
    ahead = item.not_before if item.not_before is not None and item.not_before > now else None
    return Refreshed(item.name, "requested", not_before=ahead)


def _since(requested: BucketActivity) -> datetime:
    """Return the earliest acceptance of a requested refresh, by the functions' clock.

    Each one comes after `not_before` of that time, and each earlier one was the interval before it.
    """
    return (requested.not_before or from_ms(0)) - SKEW


def _outcome(item: BucketActivity, waits_for: str | None, complete: datetime | None) -> Refreshed:
    if waits_for is None:
        outcome: Outcome = "complete" if complete else "accepted" if item.shares else "no_file_share"
        return Refreshed(item.name, outcome, started=item.last_refresh, complete=complete, shares=item.shares)
    return Refreshed(
        item.name,
        "not_accepted",
        not_before=item.not_before,
        owed=item.owed,
        answer=item.answer,
        waits_for=waits_for,
    )
