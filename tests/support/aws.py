"""AWS in process for the fast tests: moto, a clock that only waiting moves, and faults on botocore's hooks.

A test module takes the fixture with `world = support.world`.
"""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import botocore.session
import pytest
from botocore import exceptions
from botocore.auth import AUTH_TYPE_MAPS, SigV4Auth
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders
from botocore.config import Config
from botocore.model import OperationModel
from moto import mock_aws
from moto.core import responses
from moto.core.base_backend import BaseBackend
from moto.core.botocore_stubber import BotocoreStubber, MockRawResponse
from moto.core.models import MockAWS
from moto.iam.models import AWSManagedPolicy, iam_backends
from moto.s3.models import s3_backends

from s3agg.aws.place import Place
from s3agg.aws.session import Aws
from s3agg.aws.snapshot import Snapshot
from s3agg.resources.resource import F, Resource
from tests.support import models
from tests.support.clock import Clock

if TYPE_CHECKING:
    from moto.core.config import DefaultConfig

# What moto makes anew for each call, and is always the same, is a tenth of what a call takes.
for name in ("method_names_from_class", "camelcase_to_underscores"):
    vars(responses)[name] = functools.cache(vars(responses)[name])


def _once_a_class(of: property) -> property:
    made: dict[type, Any] = {}

    def get(backend: BaseBackend) -> Any:
        if type(backend) not in made:
            made[type(backend)] = of.__get__(backend)
        return made[type(backend)]

    return property(get)


BaseBackend.urls = _once_a_class(vars(BaseBackend)["urls"])  # type: ignore[method-assign, assignment]


def _one_at_a_time(answer: Callable[..., Any]) -> Callable[..., Any]:
    """Let moto answer one call after the other: its queues lose changes that are made side by side."""
    lock = threading.RLock()

    @functools.wraps(answer)
    def answered(*args: Any) -> Any:
        with lock:
            return answer(*args)

    return answered


BotocoreStubber.process_request = _one_at_a_time(BotocoreStubber.process_request)  # type: ignore[method-assign]

ACCOUNT = "123456789012"
REGION = "eu-west-1"
PLACE = Place("aws", REGION, ACCOUNT)
MOTO: DefaultConfig = {
    # A credentials error must show: moto would put its own into the environment.
    "core": {"mock_credentials": False, "reset_boto3_session": True, "service_whitelist": None},
    "lambda": {"use_docker": False},
}
# moto takes IAM's endpoint of GovCloud, iam.us-gov.amazonaws.com, for the commercial regions'.
ENDPOINTS = {"us-gov-west-1": {"iam": "https://iam.us-gov-west-1.amazonaws.com"}}
READS = ("Get", "List", "Describe", "Head", "Scan", "Query", "Filter")


@dataclass(frozen=True)
class Call:
    """A call as the code made it; the operation is named as IAM names it, `sqs:CreateQueue`."""

    operation: str
    params: Mapping[str, Any]

    @property
    def changes(self) -> bool:
        return not self.operation.partition(":")[2].startswith(READS)


@dataclass
class Fault:
    """What becomes of the calls of an operation after the first `after` of them, `times` times."""

    operation: str
    act: Callable[[Call], Any]
    after: int
    times: float
    when: Callable[[Call], bool]


# Where botocore names a service otherwise in its events.
SERVICES = {"cloudwatch-logs": "logs", "eventbridge": "events", "storage-gateway": "storagegateway"}


@dataclass(frozen=True)
class Page:
    """What answers instead of AWS; with a request id, a proxy may have added it."""

    body: bytes
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)

    def response(self, url: str) -> AWSResponse:
        raw: Any = MockRawResponse(self.body)
        return AWSResponse(url, self.status, HTTPHeaders.from_dict(dict(self.headers)), raw)


@dataclass
class Wire:
    """Every call that is made on a session, and what some are answered instead of by moto."""

    calls: list[Call] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    pages: dict[str, Page] = field(default_factory=dict)  # by operation, beneath botocore
    lock: threading.Lock = field(default_factory=threading.Lock)

    def listen(self, session: botocore.session.Session) -> None:
        session.register("before-parameter-build", self._record)  # type: ignore[arg-type]  # its keywords
        session.register("before-call", self._intervene)  # type: ignore[arg-type]  # its keywords
        # Before moto, which answers everything.
        session.get_component("event_emitter").register_first("before-send", self._send)

    def reset(self) -> None:
        self.calls.clear()
        self.faults.clear()
        self.pages.clear()
        # Not in moto.
        self.answer("lambda:GetAccountSettings", account_settings(1000))
        self.answer("storagegateway:ListFileShares", lambda: {"FileShareInfoList": a_share_of_each_bucket()})
        self.answer(
            "storagegateway:DescribeNFSFileShares",
            lambda: {"NFSFileShareInfoList": a_share_of_each_bucket()},
        )

    def refuse(
        self,
        operation: str,
        code: str,
        message: str = "no",
        *,
        times: float = float("inf"),
        after: int = 0,
        status: int = 400,
        headers: Mapping[str, str] | None = None,
        more: Mapping[str, str] | None = None,
        when: Callable[[Call], bool] = lambda _: True,
    ) -> None:
        """Answer with an error the calls that are meant; `more` is what the service says besides."""
        meta = {"HTTPStatusCode": status, "HTTPHeaders": dict(headers or {}), "RequestId": "injected"}
        answer = {"Error": {"Code": code, "Message": message, **(more or {})}, "ResponseMetadata": meta}
        self._add(operation, lambda _: _answer(status, answer), after, times, when)

    def answer(
        self,
        operation: str,
        answer: Mapping[str, Any] | Callable[[], Mapping[str, Any]],
        *,
        times: float = float("inf"),
        after: int = 0,
    ) -> None:
        """Answer with this, or what this returns then, without asking moto."""
        meta = {"HTTPStatusCode": 200, "HTTPHeaders": {}, "RequestId": "injected"}

        def act(_: Call) -> tuple[AWSResponse, dict[str, Any]]:
            parsed = answer() if callable(answer) else answer
            return _answer(200, {**parsed, "ResponseMetadata": meta})

        self._add(operation, act, after, times)

    def have_shares(self, *shares: Mapping[str, Any]) -> None:
        """Have these file shares, as `share_of` makes them."""
        self.answer("storagegateway:ListFileShares", {"FileShareInfoList": shares})

        def describe(kind: str) -> dict[str, Any]:
            made = self.made(f"storagegateway:Describe{kind}FileShares")
            asked = {arn for call in made for arn in call["FileShareARNList"]}
            return {f"{kind}FileShareInfoList": [each for each in shares if each["FileShareARN"] in asked]}

        for kind in ("NFS", "SMB"):
            self.answer(f"storagegateway:Describe{kind}FileShares", functools.partial(describe, kind))

    def fail(self, operation: str, error: Exception) -> None:
        """Raise instead of calling."""

        def act(_: Call) -> None:
            raise error

        self._add(operation, act, 0, float("inf"))

    def before(self, operation: str, action: Callable[[], object], *, after: int = 0) -> None:
        """Do something just before one call, which then goes its way."""

        def act(_: Call) -> None:
            action()

        self._add(operation, act, after, 1)

    def made(self, operation: str) -> list[Mapping[str, Any]]:
        """The parameters of each call of this operation."""
        return [call.params for call in self.calls if call.operation == operation]

    @property
    def changes(self) -> list[str]:
        """The operations that were called and change something."""
        return [call.operation for call in self.calls if call.changes]

    def _add(
        self,
        operation: str,
        act: Callable[[Call], Any],
        after: int,
        times: float,
        when: Callable[[Call], bool] = lambda _: True,
    ) -> None:
        # The newest first: a test overrides what a fixture arranged.
        self.faults.insert(0, Fault(operation, act, after, times, when))

    def _send(self, request: Any, event_name: str, **_: Any) -> AWSResponse | None:
        service, operation = event_name.removeprefix("before-send.").split(".")
        page = self.pages.get(f"{SERVICES.get(service, service)}:{operation}")
        return page.response(request.url) if page else None

    def _record(self, params: dict[str, Any], model: Any, context: dict[str, Any], **_: Any) -> None:
        context["call"] = Call(f"{model.service_model.service_name}:{model.name}", dict(params))
        if "WaitTimeSeconds" in params:  # moto would really wait
            params["WaitTimeSeconds"] = 0

    def _intervene(self, context: dict[str, Any], **_: Any) -> Any:
        call: Call = context["call"]
        with self.lock:
            self.calls.append(call)
            fault = self._due(call)
        return fault.act(call) if fault else None

    def _due(self, call: Call) -> Fault | None:
        for fault in self.faults:
            if fault.operation == call.operation and fault.when(call):
                if fault.after > 0:
                    fault.after -= 1
                elif fault.times > 0:
                    fault.times -= 1
                    return fault
        return None


def share_arn(name: str) -> str:
    return PLACE.arn("storagegateway", f"share/{name}")


def share_of(bucket: str, name: str = "", *, gateway: str = "sgw-1", **more: Any) -> dict[str, Any]:
    """A file share as Storage Gateway lists and describes it."""
    return {
        "FileShareARN": share_arn(name or f"share-of-{bucket}"),
        "FileShareType": "NFS",
        "LocationARN": f"arn:aws:s3:::{bucket}",
        "GatewayARN": PLACE.arn("storagegateway", f"gateway/{gateway}"),
        **more,
    }


def a_share_of_each_bucket() -> list[dict[str, Any]]:
    """The file shares of an account where nothing is amiss."""
    return [share_of(bucket) for bucket in s3_backends[ACCOUNT]["aws"].buckets]


def _remember_bucket(params: Mapping[str, Any], context: dict[str, Any], **_: Any) -> None:
    context["bucket"] = params.get("Bucket")


def _show_delivery(parsed: dict[str, Any], context: Mapping[str, Any], **_: Any) -> None:
    """Tell whether EventBridge delivery is on; moto keeps that, and does not show it."""
    bucket = s3_backends[ACCOUNT]["aws"].buckets.get(context["bucket"])
    configuration = bucket.notification_configuration if bucket else None
    if configuration and configuration.event_bridge is not None and "Error" not in parsed:
        parsed["EventBridgeConfiguration"] = {}


def _named_as_by_s3(operation_model: OperationModel, response_dict: dict[str, Any], **_: Any) -> None:
    """Moto gives an empty configuration another root element than S3."""
    if operation_model.name == "GetBucketNotificationConfiguration":
        response_dict["body"] = response_dict["body"].replace(
            b"GetBucketNotificationResponse", b"NotificationConfiguration"
        )


def _answer(status: int, parsed: dict[str, Any]) -> tuple[AWSResponse, dict[str, Any]]:
    return AWSResponse("https://injected", status, HTTPHeaders(), None), parsed


class Signature(SigV4Auth):
    """Names who asks, and the region, which is all that moto reads of a signature."""

    NAME = "unsigned-for-moto"

    def add_auth(self, request: Any) -> None:
        scope = f"{self.credentials.access_key}/20200101/{vars(self)['_region_name']}/service"
        request.headers["Authorization"] = f"AWS4-HMAC-SHA256 Credential={scope}/aws4_request"


AUTH_TYPE_MAPS[Signature.NAME] = Signature


class Session(botocore.session.Session):
    """A session that knows nothing of this machine, and makes each client once: that takes most time."""

    def __init__(self, config_file: str = os.devnull) -> None:
        super().__init__(
            session_vars={
                "profile": (None, None, None, None),
                "region": ("region", None, None, None),
                "config_file": (None, None, config_file, None),
                "credentials_file": (None, None, os.devnull, None),
                "metadata_service_num_attempts": (None, None, 0, int),
            }
        )
        self.register_component("data_loader", models.LOADER)
        self.made: dict[tuple[object, ...], Any] = {}

    def with_credentials(self) -> Session:
        self.set_credentials("testing", "testing")
        # What botocore would say of itself takes it a tenth of a call's time, and to sign another one.
        self.set_default_client_config(Config(user_agent="tests", signature_version=Signature.NAME))
        # moto would take checksums at the end of a body for a part of it, as no signature announces them.
        self.set_config_variable("request_checksum_calculation", "when_required")
        # Before the hooks of s3agg, which would refuse moto's root element.
        self.register("before-parse.*.*", _named_as_by_s3)
        read = "s3.GetBucketNotificationConfiguration"
        self.register(f"before-parameter-build.{read}", _remember_bucket)
        self.register(f"after-call.{read}", _show_delivery)
        return self

    def register(self, event_name: str, *args: Any, **kwargs: Any) -> None:
        # boto3 registers its own with each of its sessions.
        if event_name.startswith("creating-"):
            kwargs["unique_id"] = event_name
        super().register(event_name, *args, **kwargs)

    def create_client(self, service_name: str, *args: Any, **kwargs: Any) -> Any:
        key = (service_name, self.get_config_variable("region"), kwargs.get("endpoint_url"))
        if key not in self.made:
            self.made[key] = super().create_client(service_name, *args, **kwargs)
        return self.made[key]


@dataclass
class World:
    """One test's AWS: `aws` is watched by `wire`, `somebody` is another user of the account."""

    aws: Aws
    somebody: Aws
    clock: Clock
    wire: Wire
    waiting: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @property
    def snapshot(self) -> Snapshot:
        """A new read of AWS."""
        return Snapshot(self.aws)

    def found(self, resource: Resource[F]) -> F:
        """What there is of it now; it must be there."""
        found = resource.find(self.snapshot)
        assert found is not None
        return found

    def differences(self, resource: Resource[Any]) -> dict[str, tuple[str, str]]:
        """What differs: declared and found."""
        return {each.what: (each.declared, each.found) for each in resource.differences(self.found(resource))}

    def create(self, *resources: Resource[Any]) -> None:
        """Create these and forget the calls that took."""
        for resource in resources:
            resource.create(self.aws)
            resource.attach(self.aws, None)
        self.wire.calls.clear()

    def update(self, resource: Resource[Any]) -> list[str]:
        """Update it: the operations that change something."""
        found = self.found(resource)
        self.wire.calls.clear()
        resource.update(self.aws, found)
        resource.attach(self.aws, found)
        return self.wire.changes

    def delete(self, resource: Resource[Any]) -> list[str]:
        """Delete it: the operations that change something."""
        found = self.found(resource)
        self.wire.calls.clear()
        resource.delete(self.aws, found)
        return self.wire.changes

    def bucket(self, name: str, region: str = REGION) -> str:
        """Make a bucket."""
        make_bucket(self.somebody, name, region)
        return name


def make_bucket(aws: Aws, name: str, region: str = REGION) -> None:
    aws.s3.create_bucket(
        Bucket=name,
        CreateBucketConfiguration={"LocationConstraint": region},  # type: ignore[typeddict-item]  # any region
    )


@contextmanager
def moto() -> Iterator[None]:
    """An empty account."""
    with mock_aws(config=MOTO) as mock:
        empty(mock)
        yield


def empty(mock: MockAWS) -> None:
    """Make the account empty; starting moto again would do that too, and take longer."""
    mock.reset()
    for partition, region in (("aws", REGION), ("aws-cn", "cn-north-1"), ("aws-us-gov", "us-gov-west-1")):
        _know_the_logging_policy(partition, region)


def _know_the_logging_policy(partition: str, region: str) -> None:
    # All of AWS's policies, which moto can load, take a second a test.
    policy = AWSManagedPolicy.from_data(
        "AWSLambdaBasicExecutionRole",
        ACCOUNT,
        region,
        {
            "Path": "/service-role/",
            "DefaultVersionId": "v1",
            "Document": {"Version": "2012-10-17", "Statement": []},
            "CreateDate": "2015-04-09T15:03:43+00:00",
            "UpdateDate": "2015-04-09T15:03:43+00:00",
        },
    )
    iam_backends[ACCOUNT][partition].managed_policies[policy.arn] = policy


def watch(session: botocore.session.Session) -> Wire:
    """A wire to all clients that the session makes from now on."""
    wire = Wire()
    wire.listen(session)
    wire.reset()
    return wire


@functools.cache
def _watched() -> tuple[Session, Wire]:
    session = Session().with_credentials()
    return session, watch(session)


@functools.cache
def _unwatched() -> Session:
    session = Session().with_credentials()
    session.register("after-call", _without_date)
    return session


def _without_date(parsed: dict[str, Any], **_: Any) -> None:
    """Moto tells the time of this machine; the clocks of these tests are their own."""
    parsed["ResponseMetadata"]["HTTPHeaders"].pop("date", None)


def make_world(region: str = REGION) -> World:
    """A view of moto's account from a region; moto must be running."""
    session, wire = _watched()
    wire.reset()
    clock = Clock()
    waiting: list[str] = []
    warnings: list[str] = []
    # One worker: the calls come in one order.
    aws = Aws(
        session=session,
        region=region,
        endpoints=ENDPOINTS.get(region),
        workers=1,
        clock=clock,
        waiting=waiting.append,
        warn=lambda *what: warnings.append(" ".join(map(str, what))),
    )
    somebody = Aws(session=_unwatched(), region=region, clock=clock)
    return World(aws, somebody, clock, wire, waiting, warnings)


@pytest.fixture
def world(running_moto: MockAWS) -> World:
    """An empty account, and those who use it."""
    empty(running_moto)
    return make_world()


def account_settings(unreserved: int) -> dict[str, Any]:
    """What GetAccountSettings answers where so many concurrent executions are not reserved."""
    limit = {
        "CodeSizeUnzipped": 262_144_000,
        "CodeSizeZipped": 52_428_800,
        "ConcurrentExecutions": 1000,
        "TotalCodeSize": 80_530_636_800,
        "UnreservedConcurrentExecutions": unreserved,
    }
    return {"AccountLimit": limit, "AccountUsage": {"FunctionCount": 2, "TotalCodeSize": 20_000}}


HOSTILE = "a message\nof  several\tlines."


def refusal(code: str, message: str = HOSTILE) -> exceptions.ClientError:
    return exceptions.ClientError({"Error": {"Code": code, "Message": message}}, "CreateTable")
