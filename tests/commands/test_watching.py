"""The one loop of the commands that wait for refreshes."""

from __future__ import annotations

from functools import partial

from s3agg.commands.watching import Look, Waiting, watch
from tests.support.clock import Clock


def test_at_the_deadline_it_looks_once_more_even_if_nothing_can_show_yet() -> None:
    looks: list[float] = []
    clock = Clock()

    def look() -> Look[Waiting]:
        looks.append(clock.waited)
        return Look(partial(Waiting, "the window to close"), idle_s=30)

    list(watch(clock, look, deadline=8))

    assert looks == [0, 8]
