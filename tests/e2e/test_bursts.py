"""Two thousand uploads at once: all on the share, in few refreshes, for few writes to the table."""

from __future__ import annotations

import pytest

from tests.e2e.bursts import Burst, counted
from tests.e2e.support import LocalAws

pytestmark = [pytest.mark.e2e, pytest.mark.proof]

UPLOADS = 2000
WINDOW_S = 4
INTERVAL_S = 1


@pytest.fixture(scope="module")
def shown(world: LocalAws) -> tuple[Burst, list[str]]:
    """The burst, and the files that the share shows at last."""
    stack = world.stack()
    bucket = world.bucket()
    share = world.share(bucket)
    stack.run.must(
        *("create", "--bucket", bucket, "--window", str(WINDOW_S), "--min-interval", str(INTERVAL_S))
    )
    with counted(stack) as counting:
        burst = counting.burst(bucket, share, uploads=UPLOADS, threads=16)
        stack.end_functions()
    return burst, world.files(share)


@pytest.fixture(scope="module")
def burst(shown: tuple[Burst, list[str]]) -> Burst:
    return shown[0]


def test_every_object_of_a_burst_reaches_the_share(shown: tuple[Burst, list[str]]) -> None:
    burst, files = shown

    assert set(files) == burst.keys


def test_each_event_of_a_burst_is_handled(burst: Burst) -> None:
    assert (burst.log.keys, burst.dead) == (burst.keys, frozenset())


def test_a_burst_takes_one_refresh_a_window(burst: Burst) -> None:
    assert 1 <= burst.refreshes <= burst.most_refreshes(WINDOW_S, INTERVAL_S)
    assert burst.log.opened == burst.refreshes


def test_table_writes_do_not_grow_with_the_events_of_a_burst(burst: Burst) -> None:
    assert burst.aggregator_writes <= burst.most_aggregator_writes
    assert burst.refresher_writes == 2 * burst.refreshes
