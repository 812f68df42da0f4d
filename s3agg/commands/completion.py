"""Follow accepted refreshes until each gateway has told that it finished: for `test-upload` and `refresh`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from s3agg.aws.refusals import describing_errors
from s3agg.aws.session import Aws
from s3agg.live import log_lines, share_refreshes
from s3agg.live.share_refreshes import NOTIFICATION, ShareRefresh
from s3agg.resources.function import Function
from s3agg.settings import SHORTEST_INTERVAL_S

SKEW = timedelta(seconds=2)  # between the functions' clocks, less than any interval between two refreshes


@dataclass(frozen=True)
class Completion:
    """The refreshes of some file shares that were accepted since a moment, as the log tells."""

    aws: Aws
    refresher: Function
    shares: Sequence[str]  # ARNs
    since: datetime  # by the functions' clock
    log_since: int  # where to begin in the log, ms since 1970

    def read(self) -> list[ShareRefresh]:
        """Return the refresh of each share whose acceptance shows: the first complete one, else the first."""
        since = [each for each in self._all(self.log_since) if each.accepted >= self.since]
        last_first = sorted(since, key=lambda each: (each.complete is not None, -each.accepted.timestamp()))
        of_share = {each.share: each for each in last_first}
        return [of_share[share] for share in self.shares if share in of_share]

    def _all(self, log_since: int) -> list[ShareRefresh]:
        with describing_errors(f"reading the log of function {self.refresher.name}"):
            lines = list(log_lines.read(self.aws, self.refresher.log_group.name, log_since, NOTIFICATION))
        return share_refreshes.of_lines(lines)

    def may_never_come(self, refreshes: Sequence[ShareRefresh]) -> bool:
        """Return whether each share that is not complete accepted another refresh less than 60 s before.

        Its gateway may have done nothing for these (FACTS 38).
        """
        soonest = timedelta(seconds=SHORTEST_INTERVAL_S)
        earlier = self._all(self.log_since - SHORTEST_INTERVAL_S * 1000)
        return len(refreshes) == len(self.shares) and all(
            any(
                one.share == each.share and timedelta(0) < each.accepted - one.accepted < soonest
                for one in earlier
            )
            for each in refreshes
            if each.complete is None
        )

    def missing(self, refreshes: Sequence[ShareRefresh]) -> int:
        """Return how many shares are not complete."""
        return len(self.shares) - sum(each.complete is not None for each in refreshes)

    def end(self, refreshes: Sequence[ShareRefresh]) -> datetime | None:
        """Return when the last share was complete; None if one is not."""
        ends = [each.complete for each in refreshes if each.complete]
        return None if self.missing(refreshes) else max(ends, default=None)


def why_not_complete(min_interval: int) -> str:
    """Return why an accepted refresh may not be complete yet; `min_interval` in s."""
    if min_interval < SHORTEST_INTERVAL_S:
        return (
            f"--min-interval is {min_interval} s, and a refresh within {SHORTEST_INTERVAL_S} s of the last"
            " one may do nothing. Such a refresh is never complete"
        )
    return "A large bucket takes longer"
