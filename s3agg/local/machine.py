"""The emulator and the Storage Gateway together, for `s3agg local` and `s3agg demo`."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import boto3

from s3agg.local import REGION
from s3agg.local.emulator import Emulator
from s3agg.local.event_bus import EventBus
from s3agg.local.loopback import ADDRESS
from s3agg.local.session import KEY, isolated_session
from s3agg.local.storage_gateway import StorageGateway

LOOK_S = 0.5
# MiniStack attempts a failed event three times, as AWS does, but within 3 s. Here at 0, 3 and 9 s.
PATIENCE = {"LAMBDA_ASYNC_RETRY_BASE_SECONDS": "3"}


@dataclass(frozen=True)
class Machine:
    """The running servers."""

    emulator: Emulator
    gateway: StorageGateway

    @property
    def variables(self) -> dict[str, str]:
        """The environment variables that direct AWS tools and s3agg to these servers."""
        return {
            **self.emulator.endpoints,
            "AWS_ENDPOINT_URL_STORAGE_GATEWAY": self.gateway.url,
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": KEY,
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
        }

    @staticmethod
    def without_proxy(environment: Mapping[str, str]) -> dict[str, str]:
        """The variables that keep requests to these servers from the proxies of this environment.

        Programs prefer `no_proxy` if there is one.
        """
        names = ["NO_PROXY", *(["no_proxy"] if "no_proxy" in environment else [])]
        hosts = {name: [host for host in environment.get(name, "").split(",") if host] for name in names}
        return {name: ",".join(dict.fromkeys([*each, ADDRESS])) for name, each in hosts.items()}

    def wait(self) -> None:
        """Block until interrupted; raise S3aggError if the emulator exits."""
        while True:
            self.emulator.ensure_running()
            time.sleep(LOOK_S)


@contextmanager
def running(port: int = 0) -> Iterator[Machine]:
    """Run both servers, the emulator on this port (0: a free one). At the end, delete processes and folders.

    Raises S3aggError if the port is in use, or if MiniStack is not installed or does not start.
    """
    with Emulator(port, environment=PATIENCE) as emulator:
        session = boto3.session.Session(botocore_session=isolated_session(), region_name=REGION)
        s3 = session.client("s3", endpoint_url=emulator.url)
        bus = EventBus(
            session.client("events", endpoint_url=emulator.url),
            session.client("sqs", endpoint_url=emulator.url),
        )
        with StorageGateway(s3, on_event=bus.deliver) as gateway:
            yield Machine(emulator, gateway)
