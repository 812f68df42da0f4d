"""The AWS session of a command: clients, caller identity and concurrent calls."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import boto3
import botocore.session
from botocore import exceptions
from botocore.config import Config
from botocore.configprovider import ConfiguredEndpointProvider

from s3agg.assets import runs_handlers
from s3agg.aws.answers import check_answers
from s3agg.aws.clock import Clock
from s3agg.aws.endpoints import is_loopback
from s3agg.aws.pace import keep_pace
from s3agg.aws.place import Place
from s3agg.aws.profiles import cache_mfa_sessions, describing_credential_errors, load_keys
from s3agg.aws.refusals import describing_errors
from s3agg.aws.regions import check_region
from s3agg.aws.silence import tell_of_silence
from s3agg.aws.trace import Call
from s3agg.aws.trace import trace as watch_calls
from s3agg.aws.waiting import Waiting
from s3agg.errors import S3aggError, UsageProblem, combined
from s3agg.local import REGION
from s3agg.local.session import isolated_session

if TYPE_CHECKING:
    from botocore.credentials import Credentials
    from mypy_boto3_cloudwatch import CloudWatchClient
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_events import EventBridgeClient
    from mypy_boto3_iam import IAMClient
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_logs import CloudWatchLogsClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_storagegateway import StorageGatewayClient
    from mypy_boto3_sts import STSClient

T = TypeVar("T")
R = TypeVar("R")

READ_TIMEOUT_S = 10  # for one of the four tries of a call
# Clients whose answers take longer, with service and read timeout: FilterLogEvents searches long logs, and an
# invocation lasts as long as its function.
SLOW = {"logs": ("logs", 30), "invocations": ("lambda", 60)}
LAST_S = 3  # after Ctrl-C, for the last calls of a command
SIDE_BY_SIDE = 32  # threads: about the number of calls that read a stack with some buckets
# Services that most commands call, the table's first: the other reads depend on the table.
READING = ("dynamodb", "lambda", "iam", "sqs", "s3", "logs", "cloudwatch", "events", "storagegateway")


class Warn(Protocol):
    """Tells a warning. Sentences and errors make one text."""

    def __call__(self, *what: str | S3aggError) -> None: ...


class Aws:
    """The profile, region and endpoints in use, and the clients for them. Safe to use from several threads.

    `endpoint_url` applies to all services except those in `endpoints`. `waiting` receives a line about what
    the command waits for, `warn` each warning.
    """

    def __init__(
        self,
        *,
        profile: str | None = None,
        region: str | None = None,
        endpoint_url: str | None = None,
        endpoints: Mapping[str, str] | None = None,
        session: botocore.session.Session | None = None,
        workers: int = SIDE_BY_SIDE,
        clock: Clock = time,
        sightings: int | None = None,
        trace: Callable[[Call], None] | None = None,
        waiting: Callable[[str], None] = lambda _: None,
        warn: Warn = lambda *_: None,
    ) -> None:
        self.workers = workers
        self._sightings = sightings
        self.clock = clock
        self.waiting = waiting
        self.warn = warn
        self.wait = Waiting(clock, waiting)
        self._endpoint_url = endpoint_url
        self._endpoints = dict(endpoints or {})
        with describing_errors("loading the AWS configuration"):
            self._session = session or botocore.session.Session(profile=profile)
            check_answers(self._session)
            tell_of_silence(self._session, clock, waiting)
            if session is None:
                cache_mfa_sessions(self._session)
            self._boto3 = boto3.Session(botocore_session=self._session, region_name=region)
        self._clients: dict[str, Any] = {}
        self._lock = threading.Lock()
        self._exclusive: dict[str, threading.Lock] = {}
        # By the queue's name. A queue that is deleted and created again has the same URL.
        self.queue_urls: dict[str, str] = {}
        if trace is not None:
            watch_calls(self._session, clock, trace)

    @classmethod
    def on_this_machine(
        cls,
        emulator: str,
        storage_gateway: str,
        *,
        trace: Callable[[Call], None] | None = None,
        waiting: Callable[[str], None] = lambda _: None,
        warn: Warn = lambda *_: None,
    ) -> Aws:
        """AWS at these two loopback URLs, without the user's profiles and environment."""
        return cls(
            region=REGION,
            endpoint_url=emulator,
            endpoints={"storagegateway": storage_gateway},
            session=isolated_session(),
            trace=trace,
            waiting=waiting,
            warn=warn,
        )

    @property
    def events(self) -> Any:
        """Botocore's event hooks for all calls of this session."""
        return self._session.get_component("event_emitter")

    @property
    def region(self) -> str | None:
        """The region in use, without a call; None if none is set."""
        return self._boto3.region_name

    @cached_property
    def place(self) -> Place:
        """Partition, region and account, from STS. The first call of a command: it checks the credentials."""
        self.load_credentials()
        with describing_credential_errors(self._session, "checking the credentials"):
            arn = self.sts.get_caller_identity()["Arn"]
        _, partition, _, _, account, *_ = arn.split(":")
        return Place(partition, str(self.region), account)

    def load_credentials(self) -> None:
        """Load the credentials, which may ask for an MFA code. Raises S3aggError without any or a region."""
        _ = self._credentials

    @cached_property
    def _credentials(self) -> Credentials:
        if not self.region:  # not the client's: STS also works without one, as "aws-global"
            raise self._not_set_up()
        with describing_credential_errors(self._session, "checking the credentials"):
            credentials = self._session.get_credentials()
            if credentials is None:
                raise exceptions.NoCredentialsError
            _ = self.sts  # before the others, as the first call needs it
            self._make_clients_ahead()
            load_keys(credentials)
            return credentials

    def _not_set_up(self) -> S3aggError:
        """An error about the missing region, and about missing credentials if there are none either."""

        def credentials() -> None:
            if self._session.get_credentials() is None:
                raise exceptions.NoCredentialsError

        def region() -> None:
            raise exceptions.NoRegionError

        problems = []
        for look in (region, credentials):
            try:
                with describing_errors("loading the AWS configuration"):
                    look()
            except S3aggError as error:
                problems.append(error)
        return combined("AWS is not configured", problems)

    def client(self, service: str) -> Any:
        """The service's client, created on first use. The lock: boto3 is not safe to create two at once."""
        with self._lock:
            if service not in self._clients:
                with describing_credential_errors(self._session, f"creating a client for {service}"):
                    self._session.get_credentials()  # here: its ValueError is not about the endpoint
                    self._clients[service] = self._make_client(service)
                    # Inside the lock: two threads would create each exception class twice, and `except`
                    # with one class does not catch the other.
                    _ = self._clients[service].exceptions
            return self._clients[service]

    def _make_clients_ahead(self) -> None:
        """Create the clients that read a stack in the background, during the first call."""

        def make() -> None:
            with suppress(S3aggError):  # raised again when a command uses the client
                for service in READING:
                    self.client(service)

        if self.workers > 1:
            threading.Thread(target=make, daemon=True).start()

    def _make_client(self, name: str) -> Any:
        service, read_timeout_s = SLOW.get(name, (name, READ_TIMEOUT_S))
        if self.region:
            check_region(self._session.get_component("data_loader"), self.region)
        config = Config(
            retries={"mode": "standard", "total_max_attempts": 4},
            connect_timeout=5,
            read_timeout=read_timeout_s,
            max_pool_connections=2 * SIDE_BY_SIDE,
            user_agent_extra="s3agg",
        )
        try:
            client = self._boto3.client(
                service,  # type: ignore[call-overload]  # a service name that is not a literal
                endpoint_url=self._endpoints.get(service, self._endpoint_url),
                config=config,
            )
        except exceptions.BotoCoreError:  # some of them are also ValueErrors
            raise
        except ValueError as error:
            raise UsageProblem(str(error), "Pass a URL, such as http://127.0.0.1:4566") from error
        if not is_loopback(client.meta.endpoint_url):  # an emulator has no quotas
            keep_pace(client, self.wait)
        return client

    @property
    def cloudwatch(self) -> CloudWatchClient:
        return self.client("cloudwatch")  # type: ignore[no-any-return]

    @property
    def dynamodb(self) -> DynamoDBClient:
        return self.client("dynamodb")  # type: ignore[no-any-return]

    @property
    def eventbridge(self) -> EventBridgeClient:
        return self.client("events")  # type: ignore[no-any-return]

    @property
    def iam(self) -> IAMClient:
        return self.client("iam")  # type: ignore[no-any-return]

    @property
    def lambda_(self) -> LambdaClient:
        return self.client("lambda")  # type: ignore[no-any-return]

    @property
    def invocations(self) -> LambdaClient:
        """Lambda with time for an invocation."""
        return self.client("invocations")  # type: ignore[no-any-return]

    @property
    def logs(self) -> CloudWatchLogsClient:
        return self.client("logs")  # type: ignore[no-any-return]

    @property
    def s3(self) -> S3Client:
        return self.client("s3")  # type: ignore[no-any-return]

    @property
    def sqs(self) -> SQSClient:
        return self.client("sqs")  # type: ignore[no-any-return]

    @property
    def storage_gateway(self) -> StorageGatewayClient:
        return self.client("storagegateway")  # type: ignore[no-any-return]

    @property
    def sts(self) -> STSClient:
        return self.client("sts")  # type: ignore[no-any-return]

    @property
    def lambda_is_local(self) -> bool:
        """Whether the Lambda endpoint is on loopback: then no real function or gateway is affected."""
        return is_loopback(self.lambda_.meta.endpoint_url)

    @property
    def runtimes(self) -> list[str]:
        """The Python runtimes of Lambda, as botocore lists them, that run the handlers."""
        known = self.lambda_.meta.service_model.shape_for("Runtime").enum  # type: ignore[attr-defined]
        return [name for name in known if runs_handlers(name)]

    @property
    def storage_gateway_override(self) -> str | None:
        """The endpoint URL for Storage Gateway only: from `endpoints`, environment or profile (DESIGN 4)."""
        if "storagegateway" in self._endpoints:
            return self._endpoints["storagegateway"]
        if self._session.get_config_variable("ignore_configured_endpoint_urls"):
            return None
        provider = ConfiguredEndpointProvider(
            full_config=self._session.full_config,
            scoped_config=self._session.get_scoped_config(),
            client_name="storagegateway",
        )
        configured = provider.provide()
        if configured is None or configured == self.lambda_.meta.endpoint_url:
            return None  # not set, or the endpoint for all services
        return str(configured)

    @contextmanager
    def exclusive(self, name: str) -> Iterator[None]:
        """Keep this command's other threads from changing the same thing meanwhile."""
        with self._lock:
            lock = self._exclusive.setdefault(name, threading.Lock())
        with lock:
            yield

    @property
    def sightings(self) -> int:
        """How many reads in a row must show a write before it counts as spread (FACTS 23, 24, 33).

        AWS answers from several places, each in its own time; an emulator from one.
        """
        return self._sightings or (1 if self.lambda_is_local else 10)

    def side_by_side(self, work: Callable[[T], R], items: Sequence[T]) -> list[R]:
        """Call `work` for each item, several at a time, and return the results in the order of the items.

        Every item is tried. Raises the S3aggErrors of all that failed as one.
        """

        def attempt(item: T) -> tuple[R | None, S3aggError | None]:
            try:
                return work(item), None
            except S3aggError as error:
                return None, error

        if min(self.workers, len(items)) <= 1:
            ended = [attempt(item) for item in items]
        else:
            pool = ThreadPoolExecutor(min(self.workers, len(items)))
            try:
                ended = list(pool.map(attempt, items))
            except KeyboardInterrupt:  # a call without an answer must not delay the end
                self.wait.stopping.set()
                pool.shutdown(wait=False, cancel_futures=True)
                raise
            pool.shutdown()
        if failures := [error for _, error in ended if error]:
            raise combined("Several calls failed", failures)
        return [result for result, _ in ended]  # type: ignore[misc]  # none failed, so none is missing

    def finish(self, work: Callable[[T], object], items: Sequence[T]) -> int:
        """Call `work` for each item, at the end of a command; return how many calls have not ended.

        After Ctrl-C waits for 3 s only, as AWS may not answer. Raises as `side_by_side` otherwise.
        """
        if not self.wait.stopping.is_set() or self.workers == 1:
            self.side_by_side(work, items)
            return 0
        pool = ThreadPoolExecutor(self.workers)
        try:
            _, left = wait([pool.submit(work, item) for item in items], timeout=LAST_S)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
        return len(left)

    def concurrently(self, *asks: Callable[[Aws], Any]) -> list[Any]:
        """Make different calls concurrently, and return their results in order."""
        return self.side_by_side(lambda ask: ask(self), asks)


def batches(items: Sequence[T], size: int) -> list[Sequence[T]]:
    """Split the items into batches of at most `size`, in their order."""
    return [items[start : start + size] for start in range(0, len(items), size)]
