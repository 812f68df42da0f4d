"""The five promises of DESIGN 2, in generated schedules, with the real handlers."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, given, settings

from tests.protocol import promises
from tests.protocol.cloud import Cloud
from tests.protocol.generated import CALM, PURGED, STORMY
from tests.protocol.schedule import Schedule

GENERATED = settings(
    max_examples=int(os.environ.get("S3AGG_SCHEDULES", "100")),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],  # a busy machine is no failure
)


@GENERATED
@given(STORMY)
def test_whatever_fails_no_refresh_is_lost(schedule: Schedule) -> None:
    cloud = Cloud(schedule).run()

    assert promises.unaccounted(cloud) == []
    assert promises.lost(cloud) == []
    if "frozen" not in schedule.faults.values():
        assert promises.too_soon(cloud) == []
    assert promises.lost_after_all(cloud.redrive()) == []


@GENERATED
@given(CALM)
def test_while_nothing_fails_refreshes_are_few_soon_and_cheap(schedule: Schedule) -> None:
    cloud = Cloud(schedule).run()

    assert cloud.dead == []
    assert cloud.queue.dead == []
    assert promises.lost(cloud) == []
    assert promises.too_soon(cloud) == []
    assert promises.too_often(cloud) == []
    assert promises.late(cloud) == []
    assert promises.costly(cloud) == []


@GENERATED
@given(PURGED)
def test_a_purge_of_the_queue_heals(schedule: Schedule) -> None:
    cloud = Cloud(schedule).run()

    assert promises.not_healed(cloud) == []
    assert promises.lost_after_all(cloud.redrive()) == []
