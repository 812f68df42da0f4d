"""Whatever spreads late: each command ends well, and AWS holds what the last command asked for."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st
from moto.core.models import MockAWS

from s3agg.resources.event_filter import EVENTBRIDGE, NOTIFICATION, WAYS
from tests.spreading.control_plane import Nature
from tests.spreading.life import BUCKETS, BY_HAND, Schedule, Stage, Step
from tests.support.interruption import DIED_AFTER, KINDS

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
    rule_s=st.sampled_from([0, 5]),
    retention_s=st.sampled_from([0, 900]),
    loses=st.sampled_from([0, 1]),
    collides=st.sampled_from([0, 0.1]),
    often=st.sampled_from([0.5, 1]),
    seed=st.integers(0, 1000),
)
SCHEDULES_TRIED = int(os.environ.get("S3AGG_SPREADING", "5"))
BUCKETS_OF_A_STEP = st.sampled_from([("photos",), ("videos",), BUCKETS])
OPTIONS = st.sampled_from([(), (("window", 300),), (("window", 60), ("memory", 256))])


def steps(*commands: str) -> st.SearchStrategy[Step]:
    return st.builds(
        Step,
        command=st.sampled_from(commands),
        pause_s=st.sampled_from([0, 2, 30, 120]),
        buckets=BUCKETS_OF_A_STEP,
        options=OPTIONS,
        via=st.sampled_from([None, None, *WAYS]),
        interrupted=st.one_of(st.none(), st.integers(1, 120)),
        kind=st.sampled_from(KINDS),
        turns=st.one_of(st.none(), st.none(), st.integers(1, 9)),
    )


FOLLOWING = steps("create", "create", "create", *sorted(BY_HAND), "detach", "delete", "delete", "delete")
SCHEDULES = st.builds(
    lambda nature, first, others: Schedule(nature, (first, *others)),
    NATURES,
    steps("create"),
    st.lists(FOLLOWING, min_size=1, max_size=5),
)
# Whatever is generated: the way to EventBridge, from it and back, each time disturbed.
BOTH_WAYS = Schedule(
    Nature(role_s=10, function_s=5, queue_s=5, permission_s=30, rule_s=5, loses=1, collides=0.1, often=0.5),
    (
        Step("create", buckets=BUCKETS, via=EVENTBRIDGE, turns=5),
        Step("create", buckets=("photos",), via=NOTIFICATION, interrupted=70, kind=DIED_AFTER),
        Step("create", buckets=BUCKETS, via=EVENTBRIDGE, interrupted=60),
        Step("detach", buckets=("photos",), interrupted=50),
        Step("create", buckets=("photos",), via=EVENTBRIDGE),
        Step("delete", interrupted=60),
    ),
)


def test_whatever_spreads_the_last_command_holds(
    stage: Stage, record_property: Callable[[str, object], None]
) -> None:
    @settings(
        max_examples=SCHEDULES_TRIED,
        derandomize=SCHEDULES_TRIED <= 100,  # a long run looks for new ones
        deadline=None,
        phases=[Phase.explicit, Phase.reuse, Phase.generate],  # a schedule takes long: none is made shorter
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    @given(schedule=SCHEDULES)
    @example(schedule=BOTH_WAYS)
    def holds(schedule: Schedule) -> None:
        assert stage.harm(schedule) == []

    holds()

    record_property("tells", stage.tried)
