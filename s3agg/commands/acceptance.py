"""Wait until the file shares of some buckets have accepted their refreshes, and until these are complete.

`refresh --wait` and `delete --finish` wait here. The items tell who has accepted, and the log who is
complete. The functions' clocks and this machine's may differ. So an
item decides only by what has changed in it, and times only count down.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial

from s3agg.aws.clock import from_ms
from s3agg.aws.refusals import describing_errors
from s3agg.aws.session import Aws
from s3agg.commands.completion import Completion
from s3agg.commands.watching import Look, Waiting, watch
from s3agg.errors import plural
from s3agg.live import items
from s3agg.live.items import BucketActivity
from s3agg.settings import SETTLE_S
from s3agg.stack.declared import REFRESH_TIMEOUT_S, Stack

LONGEST_UNREAD_S = 60.0  # somebody may change a setting meanwhile
BUSY_S = 180  # for a busy gateway, which is tried again


def default_timeout(stack: Stack) -> int:
    """How long an idle bucket's refresh may take to be accepted, in s."""
    return stack.settings.min_interval + REFRESH_TIMEOUT_S + BUSY_S


@dataclass(frozen=True)
class Goal:
    """What to wait for in a bucket's item.

    With `requested`, the item after the request: a later refresh that was accepted. Otherwise no open window
    and no pending refresh.
    """

    bucket: str
    requested: BucketActivity | None = None

    def is_reached(self, item: BucketActivity) -> bool:
        if self.requested is None:
            return not (item.window.open or item.pending)
        # A later window may have set `pending` again.
        return not item.pending or item.last_refresh != self.requested.last_refresh

    def has_begun(self, item: BucketActivity) -> bool:
        """Whether a refresh has begun since the request: each one moves `not_before`."""
        return self.requested is None or item.not_before != self.requested.not_before

    def awaits(self, item: BucketActivity, stack: Stack, now: datetime) -> Awaited:
        """Return what the goal waits for next, and for how long nothing can happen at least."""
        # A round that runs at the request delays the next one by its own timeout, and the interval.
        longest = stack.settings.min_interval + SETTLE_S + REFRESH_TIMEOUT_S
        interval_s = _seconds(item.not_before, now, longest)
        if item.pending and item.owed:
            shares = plural(len(item.owed), "file share")
            return _counted(f"{shares} to accept at the next try", interval_s)
        if item.pending and self.has_begun(item):
            return Awaited("the file shares to accept", 0)
        if not item.pending:
            window_s = _seconds(item.window.closes_at, now, stack.settings.window)
            if window_s and window_s >= interval_s:
                return _counted("the window to close", window_s)
        if interval_s:
            return _counted("the minimum interval to end", interval_s)
        return Awaited(f"function {stack.refresher.name} to start the refresh", 0)


@dataclass(frozen=True)
class Awaited:
    what: str
    seconds: float


def _counted(what: str, seconds: float) -> Awaited:
    return Awaited(f"{what}, {seconds:.0f} s left" if seconds else what, seconds)


def _seconds(moment: datetime | None, now: datetime, longest: float) -> float:
    """Return the s until a moment by the functions' clock, which may differ from this machine's."""
    return 0 if moment is None else min(max((moment - now).total_seconds(), 0), longest)


@dataclass(frozen=True)
class Ended:
    """The end of a wait: the last item of each bucket, and what each unreached goal waits for."""

    items: Mapping[str, BucketActivity]
    left: Mapping[str, str]


def follow(
    aws: Aws, stack: Stack, goals: Sequence[Goal], timeout_s: float
) -> Generator[Waiting, None, Ended]:
    """Read the items until all goals are reached, or until the timeout; yield what it waits for."""
    items = _Items(aws, stack, list(goals))
    yield from watch(aws.clock, items.look, aws.clock.monotonic() + timeout_s)
    awaited = items.awaited(items.read)
    return Ended(items.read, {goal.bucket: each.what for goal, each in zip(items.left, awaited, strict=True)})


@dataclass
class _Items:
    """The items as last read, and the goals that are not reached."""

    aws: Aws
    stack: Stack
    left: Sequence[Goal]
    read: dict[str, BucketActivity] = field(default_factory=dict)

    def look(self) -> Look[Waiting]:
        found = self.aws.side_by_side(lambda goal: _read(self.aws, self.stack, goal.bucket), self.left)
        now = {item.name: item for item in found}
        self.read |= {name: _with_answers(item, self.read.get(name)) for name, item in now.items()}
        self.left = [goal for goal in self.left if not goal.is_reached(self.read[goal.bucket])]
        # By the items as they are: a round that runs may end at once.
        idle_s = min([LONGEST_UNREAD_S, *(each.seconds for each in self.awaited(now))])
        return Look(self.waiting, idle_s=idle_s, done=not self.left)

    def awaited(self, items: Mapping[str, BucketActivity]) -> list[Awaited]:
        now = from_ms(self.aws.clock.time() * 1000)
        return [goal.awaits(items[goal.bucket], self.stack, now) for goal in self.left]

    def waiting(self, left_s: float) -> Waiting:
        first = self.awaited(self.read)[0]
        return _waiting([goal.bucket for goal in self.left], first.what, left_s)


def follow_completion(
    aws: Aws, awaited: Mapping[str, Completion], timeout_s: float
) -> Generator[Waiting, None, dict[str, datetime]]:
    """Read until the refreshes of all buckets are complete, or until the timeout.

    Return by the bucket's name when its last share was complete; a bucket without shares is left out.
    """
    left = {bucket: each for bucket, each in awaited.items() if each.shares}
    complete: dict[str, datetime] = {}

    def look() -> Look[Waiting]:
        read = aws.side_by_side(Completion.read, list(left.values()))
        for bucket, refreshes in zip(list(left), read, strict=True):
            if end := left[bucket].end(refreshes):
                complete[bucket] = end
                del left[bucket]
        return Look(partial(_waiting, list(left), "the refresh to be complete"), done=not left)

    yield from watch(aws.clock, look, aws.clock.monotonic() + timeout_s)
    return complete


def _waiting(buckets: Sequence[str], what: str, left_s: float) -> Waiting:
    more = f" (and {plural(len(buckets) - 1, 'more bucket')})" if len(buckets) > 1 else ""
    return Waiting(f"bucket {buckets[0]}: {what}{more}", left_s)


def _read(aws: Aws, stack: Stack, bucket: str) -> BucketActivity:
    with describing_errors(f"reading the item of bucket {bucket} in table {stack.table.name}"):
        return items.read_one(aws, stack.table.name, bucket).at_interval(stack.settings.min_interval)


def _with_answers(item: BucketActivity, before: BucketActivity | None) -> BucketActivity:
    """Return the item with the last answers of the gateways, which a new try removes."""
    if before is None or item.owed or not item.pending:
        return item
    return replace(item, owed=before.owed, answer=before.answer)
