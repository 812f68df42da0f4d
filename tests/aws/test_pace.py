"""The pace of calls: in virtual time, as AWS counts them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from moto.core.models import MockAWS

from s3agg.aws.pace import CONTROL_PLANE, LOG_READS, Pace
from s3agg.aws.session import Aws
from s3agg.aws.waiting import Waiting
from s3agg.commands import status
from s3agg.errors import S3aggError
from s3agg.settings import Names
from tests.support import deploying, quotas
from tests.support.aws import REGION, Session, Wire, World, empty, make_bucket
from tests.support.clock import Clock
from tests.support.quotas import Quotas

BUCKETS = [f"bucket-{number:02}" for number in range(60)]


def waiting(clock: Clock) -> Waiting:
    return Waiting(clock, lambda _: None)


def test_the_first_calls_wait_for_nothing_and_the_next_ones_for_a_second() -> None:
    clock = Clock()
    pace = Pace(2, waiting(clock))
    moments = []
    for _ in range(5):
        pace.keep()
        moments.append(clock.monotonic())

    assert moments == [0, 0, 1, 1, 2]


def test_after_a_pause_the_calls_wait_for_nothing_again() -> None:
    clock = Clock()
    pace = Pace(2, waiting(clock))
    for _ in range(2):
        pace.keep()
    clock.sleep(0.75)
    pace.keep()

    assert clock.slept == [0.75, 0.25]


def test_many_threads_keep_one_pace() -> None:
    clock = Clock()
    pace = Pace(10, waiting(clock))
    with ThreadPoolExecutor(32) as pool:
        for _ in range(95):
            pool.submit(pace.keep)

    assert clock.monotonic() == 9


def test_an_interrupted_command_does_not_wait_for_its_turn() -> None:
    clock = Clock()
    waits = waiting(clock)
    pace = Pace(1, waits)
    pace.keep()
    waits.stopping.set()

    with pytest.raises(S3aggError, match="Interrupted while pacing the calls"):
        pace.keep()
    assert clock.slept == []


@pytest.mark.parametrize(
    ("service", "operation", "most"),
    [
        ("lambda", "AddPermission", CONTROL_PLANE),
        ("lambda", "ListEventSourceMappings", CONTROL_PLANE),
        ("logs", "FilterLogEvents", LOG_READS),
        ("lambda", "GetFunction", None),
        ("lambda", "Invoke", None),
        ("logs", "DescribeLogGroups", None),
        ("s3", "PutBucketNotificationConfiguration", None),
    ],
)
def test_each_call_has_the_pace_of_its_quota(service: str, operation: str, most: int | None) -> None:
    clock = Clock()
    aws = Aws(session=Session().with_credentials(), region=REGION, clock=clock)

    assert paused_after(aws, clock, service, operation) == most


@pytest.mark.parametrize(("service", "operation"), [("lambda", "AddPermission"), ("logs", "FilterLogEvents")])
def test_an_emulator_has_no_quotas(service: str, operation: str) -> None:
    clock = Clock()
    aws = Aws(
        session=Session().with_credentials(),
        region=REGION,
        endpoint_url="http://127.0.0.1:4566",
        clock=clock,
    )

    assert paused_after(aws, clock, service, operation) is None


def test_a_client_that_an_interrupted_command_used_takes_the_pace_of_the_next_one() -> None:
    session, clock = Session().with_credentials(), Clock()
    first = Aws(session=session, region=REGION, clock=Clock())
    assert paused_after(first, clock, "lambda", "AddPermission") is None
    first.wait.stopping.set()
    second = Aws(session=session, region=REGION, clock=clock)

    assert paused_after(second, clock, "lambda", "AddPermission") == CONTROL_PLANE


def paused_after(aws: Aws, clock: Clock, service: str, operation: str) -> int | None:
    """Return after how many calls the next one waits; None if none does."""
    client = aws.client(service)
    model = client.meta.service_model.operation_model(operation)
    event = f"before-call.{model.service_model.service_id.hyphenize()}.{operation}"
    for made in range(100):
        client.meta.events.emit(event, model=model, params={"headers": {}, "body": b""}, context={})
        if clock.slept:
            return made
    return None


# Whole commands


@pytest.fixture
def counted(running_moto: MockAWS) -> tuple[World, Quotas]:
    """An account whose calls are counted, and a command with all its threads; calls take no time."""
    empty(running_moto)
    clock, wire, session = Clock(), Wire(), Session().with_credentials()
    counting = Quotas(clock)
    counting.listen(session)
    wire.listen(session)
    wire.reset()
    aws = Aws(session=session, region=REGION, clock=clock)
    return World(aws, aws, clock, wire), counting


@pytest.mark.stack
def test_sixty_buckets_in_one_create_stay_under_the_quotas(counted: tuple[World, Quotas]) -> None:
    world, counting = counted
    for bucket in BUCKETS:
        make_bucket(world.aws, bucket)

    made = deploying.create(world, *BUCKETS)

    assert sum(each.startswith("create permission ") for each in made) == 60
    assert counting.made(quotas.CONTROL_PLANE) > 100
    assert counting.exceeded == {}


@pytest.mark.stack
def test_a_stack_with_one_bucket_waits_for_hardly_any_call(counted: tuple[World, Quotas]) -> None:
    world, _ = counted
    make_bucket(world.aws, "photos")
    deploying.create(world, "photos")

    assert world.clock.monotonic() <= 2


@pytest.mark.stack
def test_status_takes_less_than_half_of_the_quotas(counted: tuple[World, Quotas]) -> None:
    world, counting = counted
    make_bucket(world.aws, "photos")
    deploying.create(world, "photos")
    counting.forget()

    status.read(world.aws, Names())

    for quota, limit in quotas.QUOTAS.items():
        assert counting.most(quota) < limit / 2, quota
