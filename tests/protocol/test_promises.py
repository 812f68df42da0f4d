"""The promises of DESIGN 2, in generated schedules, with the real handlers."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings

from tests.protocol import promises
from tests.protocol.cloud import Cloud
from tests.protocol.generated import (
    CALM,
    CHANGED,
    PURGED,
    STORMY,
    STORMY_WITH_OTHERS,
    WITH_OTHERS,
    WRONG,
    WRONG_GATEWAYS,
)
from tests.protocol.schedule import Schedule

pytestmark = pytest.mark.generated

TOTALS: Counter[str] = Counter()
GENERATED = settings(
    max_examples=int(os.environ.get("S3AGG_SCHEDULES", "20")),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],  # a busy machine is no failure
)


def happened(schedule: Schedule) -> Cloud:
    cloud = Cloud(schedule).run()
    refreshes = sum(map(len, cloud.gateways.accepted.values()))
    TOTALS.update(schedules=1, events=len(cloud.events), refreshes=refreshes)
    TOTALS.update(
        {
            "AWS calls": len(cloud.calls.made),
            "of them failing": cloud.calls.failed.total(),
            "dead letters": len(cloud.dead) + len(cloud.queue.dead),
        }
    )
    return cloud


@pytest.fixture(scope="module", autouse=True)
def totals(request: pytest.FixtureRequest) -> Iterator[None]:
    """Report the totals at the end, for the figures of a long run (`-n 0`)."""
    yield
    words = ", ".join(f"{count:,} {what}" for what, count in TOTALS.items())
    with request.config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
        sys.stdout.write(f"\nWent through {words}\n")


@GENERATED
@given(STORMY)
def test_whatever_fails_no_refresh_is_lost(schedule: Schedule) -> None:
    cloud = happened(schedule)

    assert promises.lost(cloud) == []
    assert promises.asked_too_often(cloud) == []
    assert promises.added_too_often(cloud) == []
    assert promises.too_soon(cloud) == []
    assert promises.silent(cloud) == []
    assert promises.lost_after_all(cloud.redrive()) == []


@GENERATED
@given(CALM)
def test_while_nothing_fails_refreshes_are_few_soon_and_cheap(schedule: Schedule) -> None:
    cloud = happened(schedule)

    assert cloud.dead == []
    assert cloud.queue.dead == []
    assert promises.lost(cloud) == []
    assert promises.too_soon(cloud) == []
    assert promises.too_often(cloud) == []
    assert promises.late(cloud) == []
    assert promises.silent(cloud) == []
    assert promises.needless(cloud) == []
    assert promises.asked_too_often(cloud) == []
    assert promises.added_too_often(cloud) == []
    assert promises.written_too_often(cloud) == []


@GENERATED
@given(PURGED)
def test_a_purge_of_the_queue_heals(schedule: Schedule) -> None:
    cloud = happened(schedule)

    assert promises.not_healed(cloud) == []
    assert promises.silent(cloud) == []
    assert promises.too_soon(cloud) == []
    assert promises.lost_after_all(cloud.redrive()) == []


def is_neither_lost_nor_stuck(schedule: Schedule) -> None:
    cloud = happened(schedule)

    assert promises.lost(cloud) == []
    assert promises.too_soon(cloud) == []
    assert promises.stuck(cloud) == []
    assert promises.silent(cloud) == []
    assert promises.lost_after_all(cloud.redrive()) == []


@GENERATED
@given(CHANGED)
def test_whatever_settings_change_while_windows_are_open_nothing_is_lost_or_stuck(schedule: Schedule) -> None:
    is_neither_lost_nor_stuck(schedule)


@GENERATED
@given(WRONG)
def test_however_wrong_wall_clocks_are_nothing_is_lost_or_stuck(schedule: Schedule) -> None:
    is_neither_lost_nor_stuck(schedule)


@GENERATED
@given(WITH_OTHERS)
def test_whenever_others_refresh_every_event_has_a_refresh_with_an_effect(schedule: Schedule) -> None:
    cloud = happened(schedule)

    assert cloud.dead == []
    assert cloud.queue.dead == []
    assert promises.lost(cloud) == []
    assert promises.too_soon(cloud) == []
    assert promises.in_vain(cloud) == []
    assert promises.repeated_too_often(cloud) == []
    assert promises.silent(cloud) == []
    assert promises.needless(cloud) == []


@GENERATED
@given(STORMY_WITH_OTHERS)
def test_whatever_fails_while_others_refresh_every_event_has_a_refresh_with_an_effect(
    schedule: Schedule,
) -> None:
    cloud = happened(schedule)

    assert promises.lost(cloud) == []
    assert promises.asked_too_often(cloud) == []
    assert promises.too_soon(cloud) == []
    assert promises.silent(cloud) == []
    assert promises.in_vain(cloud) == []
    assert promises.lost_after_all(cloud.redrive()) == []


@GENERATED
@given(WRONG_GATEWAYS)
def test_however_wrong_gateways_clocks_are_no_repetition_is_repeated(schedule: Schedule) -> None:
    cloud = happened(schedule)

    assert cloud.queue.dead == []
    assert promises.lost(cloud) == []
    assert promises.too_soon(cloud) == []
    assert promises.repeated_without_end(cloud) == []
    assert promises.silent(cloud) == []
