"""Waiting for AWS, with a fake clock that only waiting advances."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore import exceptions

from s3agg.aws.refusals import Refusal
from s3agg.aws.waiting import Waiting
from s3agg.errors import S3aggError
from tests.support.aws import refusal
from tests.support.clock import Clock

BUSY = (Refusal("Busy"),)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def told() -> list[str]:
    return []


@pytest.fixture
def wait(clock: Clock, told: list[str]) -> Waiting:
    return Waiting(clock, told.append)


def attempts(*results: object) -> Callable[[], Any]:
    """A function that returns or raises the next value on each call."""
    left: Iterator[object] = iter(results)

    def attempt() -> object:
        result = next(left)
        if isinstance(result, Exception):
            raise result
        return result

    return attempt


def refuse() -> bool:
    raise refusal("Busy")


def test_what_is_done_already_is_not_waited_for(wait: Waiting, clock: Clock) -> None:
    wait.poll("it", lambda: True)

    assert wait.retry("it", lambda: "it", on=BUSY) == "it"
    assert clock.slept == []


def test_pauses_grow_from_a_moment_to_a_second(wait: Waiting, clock: Clock) -> None:
    wait.poll("it", attempts(*[False] * 20, True))

    assert clock.slept[0] <= 0.1
    assert clock.slept == sorted(clock.slept)
    assert clock.slept[-1] == 1


def test_patience_ends_in_words(wait: Waiting, clock: Clock) -> None:
    with pytest.raises(S3aggError, match=r"Timed out after 3\d s waiting for it"):
        wait.poll("it", lambda: False, patience_s=30)

    assert 30 < clock.waited <= 31


def test_a_refusal_that_passes_is_waited_out(wait: Waiting) -> None:
    wait.poll("it", attempts(refusal("Busy"), False, True), on=BUSY)

    assert wait.retry("it", attempts(refusal("Busy"), refusal("Busy"), 1), on=BUSY) == 1


def test_a_refusal_that_stays_is_raised_when_patience_ends(wait: Waiting) -> None:
    with pytest.raises(exceptions.ClientError, match="Busy"):
        wait.retry("it", refuse, on=BUSY, patience_s=5)
    with pytest.raises(exceptions.ClientError, match="Busy"):
        wait.poll("it", refuse, on=BUSY, patience_s=5)


def test_another_refusal_is_raised_at_once(wait: Waiting, clock: Clock) -> None:
    with pytest.raises(exceptions.ClientError, match="Denied"):
        wait.retry("it", attempts(refusal("Denied")), on=BUSY)
    with pytest.raises(exceptions.ClientError, match="Denied"):
        wait.poll("it", attempts(refusal("Denied")), on=BUSY)

    assert clock.slept == []


def test_an_old_refusal_is_not_raised_for_a_later_silence(wait: Waiting) -> None:
    with pytest.raises(S3aggError, match="Timed out"):
        wait.poll("it", attempts(refusal("Busy"), *[False] * 99), on=BUSY, patience_s=5)


def test_waiting_is_told_only_when_it_takes_a_while(wait: Waiting, told: list[str]) -> None:
    wait.poll("the table", attempts(False, False, True))
    soon = list(told)

    wait.poll("the table", attempts(*[False] * 20, True))

    assert soon == []
    assert told[0] == "waiting for the table (1 s, at most 59 s more)"


def test_awss_own_limit_is_counted_down_rather_than_our_patience(wait: Waiting, told: list[str]) -> None:
    wait.retry("the name", attempts(*[refusal("Busy")] * 20, 1), on=BUSY, patience_s=90, at_most_s=60)

    assert told[0] == "waiting for the name (1 s, at most 59 s more)"


def test_a_write_counts_as_spread_when_it_shows_often_enough_in_a_row(wait: Waiting, clock: Clock) -> None:
    looks = [False, True, True, False, True, True, True]
    wait.poll("the tags", lambda: looks.pop(0), times=3)

    assert looks == []
    assert len(clock.slept) == 6


def test_a_pause_is_as_long_as_asked_for_and_counted_down(
    wait: Waiting, clock: Clock, told: list[str]
) -> None:
    wait.pause("the old way to end", 300)

    assert 300 <= clock.waited < 301
    assert told[0] == "waiting for the old way to end (1 s, at most 300 s more)"


def test_who_stops_does_not_wait(wait: Waiting, clock: Clock) -> None:
    wait.stopping.set()

    with pytest.raises(S3aggError, match="Interrupted while waiting for it"):
        wait.poll("it", lambda: False)

    assert clock.slept == []
