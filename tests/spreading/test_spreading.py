"""Whatever spreads late: each command ends well, and AWS holds what the last command asked for."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from moto.core.models import MockAWS

from tests.spreading.control_plane import Nature
from tests.spreading.life import BUCKETS, Schedule, Stage, Step
from tests.support.interruption import KINDS

pytestmark = [pytest.mark.stack, pytest.mark.generated]


@pytest.fixture(scope="module")
def stage(running_moto: MockAWS) -> Stage:
    return Stage(running_moto)


NATURES = st.builds(
    Nature,
    tags_s=st.sampled_from([0, 3, 10]),
    queue_gone_s=st.sampled_from([0, 20, 60]),
    role_s=st.sampled_from([0, 10, 120]),
    iam_s=st.sampled_from([0, 10]),
    function_s=st.sampled_from([0, 5]),
    function_gone_s=st.sampled_from([0, 30]),
    queue_s=st.sampled_from([0, 5]),
    permission_s=st.sampled_from([0, 30]),
    attributes_s=st.sampled_from([0, 60]),
    retention_s=st.sampled_from([0, 900]),
    collides=st.sampled_from([0, 0.1]),
    often=st.sampled_from([0.5, 1]),
    seed=st.integers(0, 1000),
)
STEPS = st.builds(
    Step,
    command=st.sampled_from(["create", "create", "adopt", "new role", "new attributes", "detach", "delete"]),
    pause_s=st.sampled_from([0, 2, 30, 120]),
    buckets=st.sampled_from([(), ("photos",), ("videos",), BUCKETS]),
    options=st.sampled_from([(), (("window", 300),), (("window", 60), ("memory", 256))]),
    interrupted=st.one_of(st.none(), st.integers(1, 100)),
    kind=st.sampled_from(KINDS),
    turns=st.one_of(st.none(), st.none(), st.integers(1, 9)),
)
SCHEDULES = st.builds(Schedule, nature=NATURES, steps=st.lists(STEPS, min_size=1, max_size=4).map(tuple))


@settings(
    max_examples=int(os.environ.get("S3AGG_SCHEDULES", "20")),
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # a schedule takes seconds: none is made shorter
    suppress_health_check=[
        HealthCheck.too_slow,
        HealthCheck.data_too_large,
        HealthCheck.function_scoped_fixture,
    ],
)
@given(schedule=SCHEDULES)
def test_whatever_spreads_the_last_command_holds(schedule: Schedule, stage: Stage) -> None:
    assert stage.harm(schedule) == []
