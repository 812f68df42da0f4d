"""The session of one user of AWS: the clients, who we are, and calls side by side."""

from __future__ import annotations

import ipaddress
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

import boto3
import botocore.session
from botocore import exceptions
from botocore.config import Config
from botocore.configprovider import ConfiguredEndpointProvider
from botocore.parsers import ResponseParserError

from s3agg.assets import runs_handlers
from s3agg.aws.clock import Clock
from s3agg.aws.place import Place
from s3agg.aws.profiles import describing_credential_errors, remember_codes, unlock
from s3agg.aws.refusals import describing_errors
from s3agg.aws.trace import Call
from s3agg.aws.trace import trace as watch_calls
from s3agg.aws.waiting import Waiting
from s3agg.errors import S3aggError, UsageProblem, combined
from s3agg.local import REGION
from s3agg.local.session import of_nobody

if TYPE_CHECKING:
    from mypy_boto3_cloudwatch import CloudWatchClient
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_iam import IAMClient
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_logs import CloudWatchLogsClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_storagegateway import StorageGatewayClient
    from mypy_boto3_sts import STSClient

T = TypeVar("T")
R = TypeVar("R")

SIDE_BY_SIDE = 32  # as many as a stack with some buckets has to be asked for
# What every command that asks who we are goes on to ask; the table first, as most follows from it.
READING = ("dynamodb", "lambda", "iam", "sqs", "s3", "logs", "cloudwatch")


class Aws:
    """One user's AWS: which profile, region and endpoint, and the clients for them.

    `endpoint_url` is for every service, except those that `endpoints` names.
    Safe to use from several threads. `waiting` and `warn` are told in words what is being waited for,
    and what the user should know although it stops nothing.
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
        trace: Callable[[Call], None] | None = None,
        waiting: Callable[[str], None] = lambda _: None,
        warn: Callable[[str | S3aggError], None] = lambda _: None,
    ) -> None:
        self.workers = workers
        self.clock = clock
        self.waiting = waiting
        self.warn = warn
        self.wait = Waiting(clock, waiting)
        self._endpoint_url = endpoint_url
        self._endpoints = dict(endpoints or {})
        with describing_errors("setting up"):
            self._session = session or botocore.session.Session(profile=profile)
            if session is None:
                remember_codes(self._session)
            self._boto3 = boto3.Session(botocore_session=self._session, region_name=region)
        self._clients: dict[str, Any] = {}
        self._lock = threading.Lock()
        # Of queues by their names: a queue's URL stays the same, also when it is made again.
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
        warn: Callable[[str | S3aggError], None] = lambda _: None,
    ) -> Aws:
        """AWS at these two loopback URLs; nothing of the user's profiles and environment is looked at."""
        return cls(
            region=REGION,
            endpoint_url=emulator,
            endpoints={"storagegateway": storage_gateway},
            session=of_nobody(),
            trace=trace,
            waiting=waiting,
            warn=warn,
        )

    @property
    def events(self) -> Any:
        """The event hooks of botocore, for every call made here."""
        return self._session.get_component("event_emitter")

    @cached_property
    def place(self) -> Place:
        """Who and where we are, from STS: the first call of every command, and its check of credentials."""
        region = self._boto3.region_name  # not the client's: STS can also do without, as "aws-global"
        if not region:
            raise self._not_set_up()
        with describing_credential_errors(self._session, "finding out whose credentials these are"):
            credentials = self._session.get_credentials()
            sts = self.sts
            self._make_clients_ahead()
            if credentials is not None:
                unlock(credentials)
            try:
                arn = sts.get_caller_identity()["Arn"]
            except KeyError as error:  # botocore's reader, of a document that is somebody else's
                raise ResponseParserError from error
        _, partition, _, _, account, *_ = arn.split(":")
        return Place(partition, region, account)

    def _not_set_up(self) -> S3aggError:
        """Say that there is no region; and what else is missing, as STS cannot be asked without one."""

        def credentials() -> None:
            if self._session.get_credentials() is None:
                raise exceptions.NoCredentialsError

        def region() -> None:
            raise exceptions.NoRegionError

        problems = []
        for look in (region, credentials):
            try:
                with describing_errors("setting up"):
                    look()
            except S3aggError as error:
                problems.append(error)
        return combined("AWS is not set up", problems)

    def client(self, service: str) -> Any:
        """The service's client, made at its first use (boto3 does not make two at once safely)."""
        with self._lock:
            if service not in self._clients:
                with describing_credential_errors(self._session, "setting up"):
                    self._session.get_credentials()  # whose ValueErrors are not about the endpoint
                    self._clients[service] = self._make_client(service)
                    # Two threads at once would make two of each class, and one is not caught as the other.
                    _ = self._clients[service].exceptions
            return self._clients[service]

    def _make_clients_ahead(self) -> None:
        """Make what reading a stack takes while the answer to the first call is awaited."""

        def make() -> None:
            with suppress(S3aggError):  # which comes again for whoever uses it
                for service in READING:
                    self.client(service)

        if self.workers > 1:
            threading.Thread(target=make, daemon=True).start()

    def _make_client(self, service: str) -> Any:
        config = Config(
            retries={"mode": "standard", "total_max_attempts": 4},
            connect_timeout=5,
            max_pool_connections=2 * SIDE_BY_SIDE,
            user_agent_extra="s3agg",
        )
        try:
            return self._boto3.client(
                service,  # type: ignore[call-overload]  # any of boto3's, by name
                endpoint_url=self._endpoints.get(service, self._endpoint_url),
                config=config,
            )
        except exceptions.BotoCoreError:  # some of these are ValueErrors too
            raise
        except ValueError as error:
            raise UsageProblem(str(error), "An endpoint is a URL, such as http://127.0.0.1:4566") from error

    @property
    def cloudwatch(self) -> CloudWatchClient:
        return self.client("cloudwatch")  # type: ignore[no-any-return]

    @property
    def dynamodb(self) -> DynamoDBClient:
        return self.client("dynamodb")  # type: ignore[no-any-return]

    @property
    def iam(self) -> IAMClient:
        return self.client("iam")  # type: ignore[no-any-return]

    @property
    def lambda_(self) -> LambdaClient:
        return self.client("lambda")  # type: ignore[no-any-return]

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
        """Whether the Lambda endpoint is on loopback, so that nothing real can be hurried or misled."""
        return is_loopback(self.lambda_.meta.endpoint_url)

    @property
    def runtimes(self) -> list[str]:
        """The Python runtimes that botocore's model of Lambda knows and that our handlers run on."""
        known = self.lambda_.meta.service_model.shape_for("Runtime").enum  # type: ignore[attr-defined]
        return [name for name in known if runs_handlers(name)]

    @property
    def storage_gateway_override(self) -> str | None:
        """The endpoint set for Storage Gateway alone: here, in the environment or the profile (DESIGN 4)."""
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
            return None  # not set, or the one endpoint that is set for all services
        return str(configured)

    def side_by_side(self, work: Callable[[T], R], items: Sequence[T]) -> list[R]:
        """Do the same for each item, several at a time; the results in the items' order.

        Every item is tried: the S3aggErrors of all that failed are raised as one.
        """

        def attempt(item: T) -> tuple[R | None, S3aggError | None]:
            try:
                return work(item), None
            except S3aggError as error:
                return None, error

        if min(self.workers, len(items)) <= 1:
            ended = [attempt(item) for item in items]
        else:
            with ThreadPoolExecutor(min(self.workers, len(items))) as pool:
                ended = list(pool.map(attempt, items))
        if failures := [error for _, error in ended if error]:
            raise combined("Several things failed", failures)
        return [result for result, _ in ended]  # type: ignore[misc]  # none failed, so none is missing

    def concurrently(self, *asks: Callable[[Aws], Any]) -> list[Any]:
        """Ask several different things side by side."""
        return self.side_by_side(lambda ask: ask(self), asks)


def batches(items: Sequence[T], size: int) -> list[Sequence[T]]:
    """The items in their order, `size` at a time."""
    return [items[start : start + size] for start in range(0, len(items), size)]


def is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
