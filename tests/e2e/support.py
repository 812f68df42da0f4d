"""The commands as their user runs them, on AWS that runs on this machine, and what they are judged by."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from email.message import Message
from functools import cache
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from s3agg.local import ACCOUNT, REGION
from s3agg.local.emulator import Emulator
from s3agg.local.event_bus import EventBus
from s3agg.local.machine import PATIENCE, Machine
from s3agg.local.session import KEY
from s3agg.local.storage_gateway import StorageGateway
from s3agg.settings import Names
from tests.support.polling import PATIENCE_S
from tests.support.ran import Ran

numbers = itertools.count(1)


@dataclass(frozen=True)
class Cli:
    """The command line in a process of its own, with an environment built from nothing."""

    environment: Mapping[str, str]
    folder: Path
    command: tuple[str, ...] = (sys.executable, "-m", "s3agg")

    def set(self, **variables: str | None) -> Cli:
        """The same with some variables set, or unset where None."""
        merged = {**self.environment, **variables}
        return replace(self, environment={name: value for name, value in merged.items() if value is not None})

    def __call__(self, *arguments: str, input: str = "") -> Ran:  # noqa: A002  # as subprocess names it
        done = subprocess.run(  # noqa: S603  # our own command
            [*self.command, *arguments],
            env=self.environment,
            cwd=self.folder,
            input=input,
            capture_output=True,
            encoding=self.environment.get("PYTHONIOENCODING", "utf-8").partition(":")[0],
            timeout=PATIENCE_S,
            check=False,
        )
        return Ran(done.returncode, done.stdout, done.stderr, arguments[0] if arguments else "")

    def must(self, *arguments: str) -> Ran:
        """Run what the rest of a test builds on."""
        ran = self(*arguments)
        assert ran.code == 0, ran.stderr + ran.stdout
        return ran

    @contextmanager
    def start(self, *arguments: str) -> Iterator[Running]:
        """Start a command that goes on, as a shell starts one: a process group of its own."""
        out, err = self.folder / "stdout", self.folder / "stderr"
        with out.open("w") as stdout, err.open("w") as stderr:
            process = subprocess.Popen(  # noqa: S603  # our own command
                [*self.command, *arguments],
                env=self.environment,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                start_new_session=True,
            )
        try:
            yield Running(process, out, err)
        finally:
            process.kill()
            process.wait()


@dataclass(frozen=True)
class Running:
    """A command that goes on."""

    process: subprocess.Popen[bytes]
    out: Path
    err: Path

    @property
    def stdout(self) -> str:
        return self.out.read_text()

    @property
    def stderr(self) -> str:
        return self.err.read_text()

    def says(self, words: str) -> bool:
        assert self.process.poll() is None, f"it has ended: {self.stderr}"
        return words in self.stderr

    def interrupt(self) -> Ran:
        """Press Ctrl-C, which goes to the whole process group, and wait for the end."""
        os.killpg(self.process.pid, signal.SIGINT)
        code = self.process.wait(30)
        return Ran(code, self.stdout, self.stderr)


def user(home: Path, **variables: str) -> Cli:
    """Somebody at a shell who has these variables, a home of their own, and nothing else."""
    home.mkdir(parents=True, exist_ok=True)
    environment = {"PATH": os.environ["PATH"], "HOME": str(home), "NO_PROXY": "127.0.0.1", **variables}
    return Cli(environment, home)


@dataclass(frozen=True)
class Server:
    """A server on loopback that answers every request alike, and the requests' headers."""

    url: str
    asked: list[Message] = field(default_factory=list)


@contextmanager
def answering(status: int, body: str, headers: Mapping[str, str]) -> Iterator[Server]:
    asked: list[Message] = []

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.headers)
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body.encode())

        do_POST = do_GET  # noqa: N815  # as http.server names it

        def log_message(self, *_: object) -> None:
            """Silent."""

    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield Server(f"http://127.0.0.1:{server.server_port}", asked)
        finally:
            server.shutdown()
            thread.join()


def processes_below(folder: Path) -> list[int]:
    """The processes that name this folder in their command line or environment, and are no zombies."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
            state = (process / "stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        if str(folder).encode() in words and state != "Z":
            found.append(int(process.name))
    return found


@dataclass(frozen=True)
class LocalAws:
    """AWS on this machine: its servers, and clients for whoever looks behind the commands."""

    machine: Machine
    home: Path

    @property
    def cli(self) -> Cli:
        return user(self.home, **self.machine.variables)

    def client(self, service: str, region: str = REGION) -> Any:
        emulator = self.machine.emulator
        urls = {
            "storagegateway": self.machine.gateway.url,
            "s3control": emulator.endpoints["AWS_ENDPOINT_URL_S3_CONTROL"],
        }
        return client(service, urls.get(service, emulator.url), region)

    def stack(self) -> OwnStack:
        """A stack that no other test has; it is not made yet."""
        name = f"Stack{next(numbers)}"
        cli = user(self.home / name, **self.machine.variables)
        return OwnStack(self, Names(name), cli.set(S3AGG_STACK=name, S3AGG_OUTPUT="json"))

    def bucket(self) -> str:
        name = f"bucket.{next(numbers)}"
        self.client("s3").create_bucket(Bucket=name)
        return name

    def share(self, bucket: str, *, at: str = "", kind: str = "nfs", gateway: int = 0, **more: Any) -> str:
        """The ARN of a new file share of the bucket, or of the location `at`."""
        create = getattr(self.client("storagegateway"), f"create_{kind}_file_share")
        answer = create(
            ClientToken=f"share-{next(numbers)}-of-{bucket}",
            GatewayARN=f"arn:aws:storagegateway:{REGION}:{ACCOUNT}:gateway/sgw-{gateway:08X}",
            Role=f"arn:aws:iam::{ACCOUNT}:role/StorageGateway",
            LocationARN=at or f"arn:aws:s3:::{bucket}",
            **more,
        )
        return str(answer["FileShareARN"])

    def upload(self, bucket: str, *keys: str, threads: int = 5) -> None:
        s3 = self.client("s3")
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(lambda key: s3.put_object(Bucket=bucket, Key=key, Body=b""), keys))

    def files(self, share: str) -> list[str]:
        """What an NFS client sees now."""
        return self.machine.gateway.inventory(share)

    def shows(self, share: str, file: str) -> bool:
        return file in self.files(share)

    def refreshes(self, share: str) -> int:
        return len(self.machine.gateway.refreshes(share))

    def notifications(self, bucket: str) -> dict[str, Any]:
        answer: dict[str, Any] = self.client("s3").get_bucket_notification_configuration(Bucket=bucket)
        del answer["ResponseMetadata"]
        return answer

    def statements(self, function: str) -> dict[str, Any]:
        """The statements of a function's policy by their ids."""
        policy = json.loads(self.client("lambda").get_policy(FunctionName=function)["Policy"])
        return {statement["Sid"]: statement for statement in policy["Statement"]}

    def inventory(self) -> dict[str, Any]:
        """Everything there is, of every kind a stack is made of, and every bucket's rules and objects."""
        iam, functions, s3 = self.client("iam"), self.client("lambda"), self.client("s3")
        policies = iam.list_policies(Scope="Local")["Policies"]
        roles = [role["RoleName"] for role in iam.list_roles()["Roles"]]
        made = functions.list_functions()["Functions"]
        mappings = functions.list_event_source_mappings()["EventSourceMappings"]
        buckets = [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]]
        tables = self.client("dynamodb").list_tables()["TableNames"]
        events = self.client("events")
        return {
            "policies": {each["PolicyName"]: each["DefaultVersionId"] for each in policies},
            "roles": {
                role: sorted(
                    each["PolicyName"]
                    for each in iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"]
                )
                for role in roles
            },
            "functions": {each["FunctionName"]: each["RevisionId"] for each in made},
            "mappings": {each["UUID"]: each["State"] for each in mappings},
            "log groups": sorted(
                each["logGroupName"] for each in self.client("logs").describe_log_groups()["logGroups"]
            ),
            "queues": sorted(self.client("sqs").list_queues().get("QueueUrls", [])),
            "tables": {
                name: self.client("dynamodb").list_tags_of_resource(
                    ResourceArn=f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/{name}"
                )["Tags"]
                for name in tables
            },
            "alarms": [
                each["AlarmName"] for each in self.client("cloudwatch").describe_alarms()["MetricAlarms"]
            ],
            "event rules": {
                each["Name"]: events.list_targets_by_rule(Rule=each["Name"])["Targets"]
                for each in events.list_rules()["Rules"]
            },
            "rules": {bucket: self.notifications(bucket) for bucket in buckets},
            "objects": {
                bucket: [each["Key"] for each in s3.list_objects_v2(Bucket=bucket).get("Contents", [])]
                for bucket in buckets
            },
        }


@cache
def _session() -> boto3.Session:
    # One: it reads each service's model once.
    return boto3.Session()


@cache
def client(service: str, url: str, region: str = REGION) -> Any:
    return _session().client(  # type: ignore[call-overload]  # any of boto3's, by name
        service,
        endpoint_url=url,
        region_name=region,
        aws_access_key_id=KEY,
        aws_secret_access_key=KEY,
        config=Config(proxies={}, max_pool_connections=20),
    )


@contextmanager
def world(
    home: Path,
    *,
    auth: bool = False,
    patience: Mapping[str, str] = PATIENCE,
    refresh_seconds: float = 0.2,
    interval_seconds: float = 0.5,
) -> Iterator[LocalAws]:
    """AWS on this machine. A refresh shows after a moment; the next one of its share is taken soon, too."""
    with Emulator(auth=auth, environment=patience) as emulator:
        s3 = client("s3", emulator.url)
        bus = EventBus(client("events", emulator.url), client("sqs", emulator.url))
        with StorageGateway(
            s3,
            refresh_seconds=refresh_seconds,
            interval_seconds=interval_seconds,
            on_event=bus.deliver,
        ) as gateway:
            yield LocalAws(Machine(emulator, gateway), home)


@dataclass(frozen=True)
class OwnStack:
    """A stack's name, and the command line that has it, and JSON, for its defaults."""

    world: LocalAws
    names: Names
    run: Cli

    @property
    def items(self) -> dict[str, Any]:
        """What the table holds, by bucket."""
        found = self.world.client("dynamodb").scan(TableName=self.names.table)["Items"]
        return {item["BucketName"]["S"]: item for item in found}

    def queued(self, queue: str) -> int:
        """How many messages a queue holds, waiting, delayed or in flight."""
        sqs = self.world.client("sqs")
        names = [f"ApproximateNumberOfMessages{which}" for which in ("", "Delayed", "NotVisible")]
        url = sqs.get_queue_url(QueueName=queue)["QueueUrl"]
        found = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
        return sum(int(found[name]) for name in names)

    def is_quiet(self) -> bool:
        """Whether no window is open, no refresh unfinished and no message under way."""
        going_on = any({"opened_by", "pending"} & item.keys() for item in self.items.values())
        return not going_on and not self.queued(self.names.queue)

    def log(self, function: str) -> list[dict[str, Any]]:
        """The events of a function's log."""
        pages = self.world.client("logs").get_paginator("filter_log_events")
        return [
            event
            for page in pages.paginate(logGroupName=f"/aws/lambda/{function}")
            for event in page["events"]
        ]

    def set_variables(self, function: str, **variables: str) -> None:
        """Set variables of a function, as its owner may; s3agg keeps them. Its workers end."""
        functions = self.world.client("lambda")
        found = functions.get_function_configuration(FunctionName=function)["Environment"]["Variables"]
        self.configure(function, Environment={"Variables": {**found, **variables}})

    def configure(self, function: str, **changed: Any) -> None:
        """Change a function's configuration by hand. Its workers end."""
        functions = self.world.client("lambda")
        functions.update_function_configuration(FunctionName=function, **changed)
        functions.get_waiter("function_updated_v2").wait(FunctionName=function)

    def end_functions(self) -> None:
        """Let no warm worker outlive its test."""
        functions = self.world.client("lambda")
        for name in (self.names.aggregator, self.names.refresher):
            try:
                functions.delete_function(FunctionName=name)
            except functions.exceptions.ResourceNotFoundException:
                continue
