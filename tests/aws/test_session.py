"""The AWS session: profile, region, endpoints, credentials and concurrent calls."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from botocore import exceptions
from botocore.credentials import CredentialResolver

from s3agg.aws.endpoints import is_loopback
from s3agg.aws.place import Place
from s3agg.aws.session import Aws
from s3agg.aws.trace import Call
from s3agg.errors import S3aggError
from tests.support import aws as support
from tests.support.aws import ACCOUNT, REGION, Session, World, make_world, moto
from tests.support.clock import Clock
from tests.support.environment import environment

world = support.world


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def quiet(clock: Clock) -> Aws:
    """An Aws for a test that makes no calls."""
    return Aws(session=Session(), region=REGION, clock=clock)


def session_with(config: Path, text: str) -> Session:
    """A session with this text as its configuration file."""
    config.write_text(text, encoding="utf-8")
    return Session(str(config)).with_credentials()


def test_without_credentials_the_place_cannot_be_told() -> None:
    session = Session()
    session.register_component("credential_provider", CredentialResolver([]))
    aws = Aws(session=session, region=REGION)

    with pytest.raises(S3aggError, match=r"No AWS credentials: .* Run aws configure"):
        _ = aws.place


def test_without_a_region_the_place_cannot_be_told() -> None:
    aws = Aws(session=Session().with_credentials())

    with pytest.raises(S3aggError, match="No region is set") as caught:
        _ = aws.place

    assert caught.value.exit_code == 2


def test_a_profile_that_does_not_exist_is_wrong_usage() -> None:
    with pytest.raises(S3aggError, match="nobody-has-this") as caught:
        Aws(profile="nobody-has-this", region=REGION)

    assert caught.value.exit_code == 2


def test_an_endpoint_that_cannot_be_reached_is_named(world: World) -> None:
    error = exceptions.EndpointConnectionError(endpoint_url="https://sts.example")
    world.wire.fail("sts:GetCallerIdentity", error)

    with pytest.raises(S3aggError, match=r'checking the credentials: .* "https://sts\.example"\. Check'):
        _ = world.aws.place


def test_expired_credentials_are_said_to_have_expired(world: World) -> None:
    world.wire.refuse("sts:GetCallerIdentity", "ExpiredToken", "The token is expired", status=403)

    with pytest.raises(S3aggError, match=r"have expired: The token is expired\. Log in again"):
        _ = world.aws.place


# Partition, region and account


@pytest.mark.parametrize(
    ("region", "partition"),
    [("eu-west-1", "aws"), ("cn-north-1", "aws-cn"), ("us-gov-west-1", "aws-us-gov")],
)
def test_the_place_follows_from_the_credentials_and_the_region(region: str, partition: str) -> None:
    with moto():
        place = make_world(region).aws.place

    assert place == Place(partition, region, ACCOUNT)


def test_the_place_is_asked_for_once(world: World) -> None:
    places = {world.aws.place, world.aws.place}

    assert len(places) == len(world.wire.calls) == 1


def test_arns_follow_from_the_place() -> None:
    place = Place("aws-cn", "cn-north-1", ACCOUNT)

    assert place.arn("sqs", "q") == f"arn:aws-cn:sqs:cn-north-1:{ACCOUNT}:q"
    assert place.iam("role/r") == f"arn:aws-cn:iam::{ACCOUNT}:role/r"
    assert place.iam("policy/p", account="aws") == "arn:aws-cn:iam::aws:policy/p"
    assert place.bucket("b") == "arn:aws-cn:s3:::b"


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:4566",
        "http://127.9.9.9",
        "https://localhost:4566/",
        "http://LOCALHOST",
        "http://aws.localhost:1",
        "http://[::1]:4566",
    ],
)
def test_loopback_is_known(url: str) -> None:
    assert is_loopback(url)


@pytest.mark.parametrize(
    "url",
    [
        "https://lambda.eu-west-1.amazonaws.com",
        "http://10.0.0.1:4566",
        "http://0.0.0.0:4566",
        "http://localhost.example.com",
        "http://127.0.0.1.example.com",
        "http://notlocalhost",
        "",
    ],
)
def test_what_is_not_loopback_is_not_taken_for_it(url: str) -> None:
    assert not is_loopback(url)


def test_lambda_is_local_where_its_endpoint_is() -> None:
    session = Session().with_credentials()

    assert Aws(session=session, region=REGION, endpoint_url="http://127.0.0.1:1").lambda_is_local
    assert not Aws(session=session, region=REGION).lambda_is_local


GATEWAY_ALONE = """[default]
services = mine
[services mine]
storage_gateway =
  endpoint_url = http://127.0.0.1:9
"""
EVERYTHING = "[default]\nendpoint_url = http://127.0.0.1:1\n"


@pytest.mark.parametrize("service", ["DYNAMODB", "LAMBDA", "IAM", "SQS", "S3", "CLOUDWATCH_LOGS"])
def test_a_service_has_an_endpoint_of_its_own(service: str) -> None:
    own = "http://127.0.0.1:1"
    with environment({f"AWS_ENDPOINT_URL_{service}": own}):
        aws = Aws(session=Session().with_credentials(), region="eu-west-1")
        clients = {
            "DYNAMODB": aws.dynamodb,
            "LAMBDA": aws.lambda_,
            "IAM": aws.iam,
            "SQS": aws.sqs,
            "S3": aws.s3,
            "CLOUDWATCH_LOGS": aws.logs,
        }

    assert [name for name, client in clients.items() if client.meta.endpoint_url == own] == [service]


@pytest.mark.parametrize(
    ("config", "override"), [(GATEWAY_ALONE, "http://127.0.0.1:9"), (EVERYTHING, None), ("", None)]
)
def test_an_override_for_storage_gateway_is_one_that_is_set_for_it_alone(
    tmp_path: Path, config: str, override: str | None
) -> None:
    aws = Aws(session=session_with(tmp_path / "config", config), region=REGION)

    assert aws.storage_gateway_override == override


def test_only_runtimes_that_the_handlers_run_on_are_offered(quiet: Aws) -> None:
    runtimes = quiet.runtimes

    assert "python3.13" in runtimes
    assert [name for name in runtimes if name in {"python3.6", "python3.9", "python2.7", "nodejs22.x"}] == []


# Concurrent calls


def test_a_client_is_made_once_even_for_several_threads(quiet: Aws) -> None:
    clients = quiet.side_by_side(lambda _: quiet.client("sqs"), range(8))

    assert len({id(client) for client in clients}) == 1


def test_results_come_in_the_order_of_the_items(quiet: Aws) -> None:
    gate = threading.Event()

    def work(item: int) -> int:
        if item == 0:
            gate.wait(5)
        elif item == 2:
            gate.set()
        return item * 10

    assert quiet.side_by_side(work, [0, 1, 2]) == [0, 10, 20]


@pytest.mark.parametrize("workers", [1, 8])
def test_all_that_fails_is_raised_together_in_the_order_of_the_items(quiet: Aws, workers: int) -> None:
    quiet.workers = workers
    done: list[int] = []

    def work(item: int) -> None:
        if item % 2:
            raise S3aggError(f"no {item}")
        done.append(item)

    with pytest.raises(S3aggError) as caught:
        quiet.side_by_side(work, [0, 1, 2, 3, 1])

    assert sorted(done) == [0, 2]
    assert [part.problem for part in caught.value.parts] == ["no 1", "no 3"]


def test_nothing_side_by_side_is_nothing(quiet: Aws) -> None:
    empty: list[int] = []

    assert quiet.side_by_side(str, empty) == []


def test_one_worker_does_one_after_the_other(quiet: Aws) -> None:
    quiet.workers = 1
    done: list[int] = []

    quiet.side_by_side(done.append, [1, 2, 3])

    assert done == [1, 2, 3]


@pytest.fixture
def traced() -> Iterator[tuple[Aws, list[Call], botocore.session.Session]]:
    """An Aws in an empty account, and the calls that it traced."""
    session, calls = Session().with_credentials(), list[Call]()
    with moto():
        yield Aws(session=session, region=REGION, clock=Clock(), trace=calls.append), calls, session


Traced = tuple[Aws, list[Call], botocore.session.Session]


def test_a_call_is_told_of_with_what_it_was_about(traced: Traced) -> None:
    aws, calls, _ = traced

    aws.sqs.create_queue(QueueName="Queue", Attributes={"VisibilityTimeout": "44"}, tags={"secret": "tag"})

    (call,) = calls
    assert (call.service, call.operation, call.resource) == ("sqs", "CreateQueue", "Queue")
    assert (call.milliseconds, call.error) == (0, "")
    assert len(call.request_id) > 10


def test_a_calls_time_is_the_clocks(traced: Traced) -> None:
    aws, calls, session = traced
    session.register("before-call", lambda **_: aws.clock.sleep(0.25))

    aws.sts.get_caller_identity()

    assert calls[0].milliseconds == pytest.approx(250)


def test_nothing_of_a_calls_parameters_is_told_but_the_name(traced: Traced) -> None:
    aws, calls, _ = traced
    aws.iam.create_policy(
        PolicyName="Policy",
        PolicyDocument='{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "a:Secret",'
        ' "Resource": "*"}]}',
        Description="secret",
    )
    with pytest.raises(exceptions.ClientError):
        aws.lambda_.update_function_configuration(
            FunctionName="Function", Environment={"Variables": {"TOKEN": "secret"}}
        )

    assert [call.resource for call in calls] == ["Policy", "Function"]
    assert "secret" not in repr(calls).lower()


def test_a_refused_call_is_told_of_with_its_code(traced: Traced) -> None:
    aws, calls, _ = traced

    with pytest.raises(exceptions.ClientError):
        aws.dynamodb.describe_table(TableName="Nothing")

    assert [(call.resource, call.error) for call in calls] == [("Nothing", "ResourceNotFoundException")]


def test_a_call_that_never_arrived_is_told_of_with_what_happened(traced: Traced) -> None:
    aws, calls, session = traced

    def lose(**_: Any) -> None:
        raise ZeroDivisionError

    session.register("before-send", lose)

    with pytest.raises(ZeroDivisionError):
        aws.sts.get_caller_identity()

    assert [(call.operation, call.request_id, call.error) for call in calls] == [
        ("GetCallerIdentity", "", "ZeroDivisionError")
    ]
