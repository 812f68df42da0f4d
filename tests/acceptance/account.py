"""The AWS account of an acceptance run: names of its own, s3agg as a user runs it, and waiting."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO, Any, TypeVar

import botocore.session
from botocore.config import Config
from botocore.exceptions import ClientError

from s3agg.aws.endpoints import is_loopback
from s3agg.aws.place import Place
from s3agg.aws.profiles import cache_mfa_sessions
from s3agg.aws.session import Aws
from s3agg.settings import Names
from tests.acceptance.findings import Command, Report, answer
from tests.acceptance.refusals import Patience, calls_in, note_refusals, refused
from tests.support.ran import Ran

T = TypeVar("T")

STACKS = "S3aggAcceptance"  # the names begin with it, and with the token of the run
BUCKETS = "s3agg-acceptance-"
SERVICES = ("cloudformation", "cloudwatch", "dynamodb", "events", "iam", "lambda", "logs", "s3", "sqs", "sts")
GATEWAY = "storagegateway"
COMMAND_S = 1800  # the longest that any command may take
ENDS_S = 10  # the longest that an interrupted command may take to end
BECOMES_S = 300  # the longest that AWS takes to show a change
WINDOW_S = 1
NOT_AS_DECLARED, NOT_HEALTHY = 3, 4  # exit codes of status
TEST_EVENT = b'{"Event": "s3:TestEvent"}'


def connect(region: str | None = None) -> Aws:
    """AWS as the environment describes it: profile, credentials, region and endpoints."""
    session = botocore.session.Session()
    cache_mfa_sessions(session)
    return Aws(session=session, region=region or os.environ.get("AWS_REGION") or None)


def is_here(aws: Aws) -> bool:
    """Whether all endpoints are on loopback, so that nothing costs anything."""
    return all(is_loopback(aws.client(service).meta.endpoint_url) for service in (*SERVICES, GATEWAY))


@dataclass(frozen=True)
class Account:
    """The account, and what one run may make there: everything has the token in its name."""

    aws: Aws
    token: str
    folder: Path
    report: Report
    is_here: bool

    @property
    def prefix(self) -> str:
        """The names of all resources but buckets begin with it."""
        return f"{STACKS}{self.token}"

    @cached_property
    def place(self) -> Place:
        return self.aws.place

    @property
    def lambda_(self) -> Any:
        """Lambda's client, without the types of its parameters: some of them are words of an old runtime."""
        return self.aws.client("lambda")

    @cached_property
    def _invoker(self) -> Any:
        """A client of Lambda that repeats no call: botocore repeats a failure to decrypt variables (502)."""
        session = botocore.session.Session()
        cache_mfa_sessions(session)
        config = Config(retries={"total_max_attempts": 1})
        return session.create_client("lambda", region_name=self.place.region, config=config)

    def stack(self, which: str) -> Stack:
        return Stack(self, Names(f"{self.prefix}{which}"))

    def probe(self, which: str) -> str:
        """The name of a resource that only a probe uses."""
        return f"{self.prefix}Probe{which}"

    def bucket_name(self, which: str) -> str:
        return f"{BUCKETS}{self.token}-{which}"

    def make_bucket(self, which: str, aws: Aws | None = None) -> str:
        """Make a bucket in the region of `aws`, or of the run."""
        name, aws = self.bucket_name(which), aws or self.aws
        region = aws.s3.meta.region_name
        # us-east-1 is the only region that S3 refuses to be told.
        location: Any = (
            {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
        )
        aws.s3.create_bucket(Bucket=name, **location)
        return name

    def patient(self, words: str) -> Aws:
        """A session whose calls wait for what AWS refuses for a while, and note that."""
        aws = connect(self.place.region)
        aws.events.register("needs-retry", Patience(self.report, words))
        return aws

    @property
    def pause_s(self) -> float:
        """The pause between two looks: an account has quotas of calls."""
        return 0.05 if self.is_here else 1.0

    def scaled(self, seconds: float) -> float:
        """How long to look out for what only AWS shows. The emulator never shows it."""
        return seconds / 100 if self.is_here else seconds

    def becomes(self, condition: Callable[[], T], within_s: float = BECOMES_S) -> T:
        """Look until it is so; return what it gave. Raises AssertionError after the deadline."""
        deadline = time.monotonic() + within_s
        while not (result := condition()):
            assert time.monotonic() < deadline, f"it did not come about within {within_s:.0f} s"
            time.sleep(self.pause_s)
        return result

    def how_long(self, is_old: Callable[[], object], *, quiet_s: float, within_s: float) -> float | None:
        """The seconds until AWS last showed an old state; None if it never did.

        The looking ends when the old state has not shown for `quiet_s` seconds, as AWS has many servers.
        """
        started = time.monotonic()
        quiet_s, last = self.scaled(quiet_s), None
        while (now := time.monotonic() - started) < within_s and now - (last or 0) <= quiet_s:
            if is_old():
                last = time.monotonic() - started
            time.sleep(min(self.pause_s, 0.25))
        return last

    def starts(self, function: str, event: bytes = TEST_EVENT) -> tuple[list[str], float | None]:
        """Invoke a function until it succeeds; the different failures, and the seconds. None: it never did.

        The default event is S3's test of a new event notification, which both functions ignore.
        """
        failures: dict[str, None] = {}
        started = time.monotonic()
        while time.monotonic() - started < BECOMES_S:
            failure = self.invoke(function, event)
            if not failure:
                return list(failures), time.monotonic() - started
            failures[failure] = None
            time.sleep(self.pause_s)
        return list(failures), None

    def invoke(self, function: str, event: bytes = TEST_EVENT) -> str:
        """Invoke a function; return why that failed, or nothing."""
        try:
            ran = self._invoker.invoke(FunctionName=function, Payload=event)
        except ClientError as error:
            return answer(error)
        return ran["Payload"].read().decode() if "FunctionError" in ran else ""


@dataclass(frozen=True)
class Stack:
    """A stack's name, and the command line that has it, JSON and -v for its defaults."""

    account: Account
    names: Names

    @property
    def interval(self) -> tuple[str, ...]:
        """The shortest interval that s3agg takes: on AWS its default."""
        return ("--min-interval", "1") if self.account.is_here else ()

    def run(self, *arguments: str) -> Ran:
        """Run s3agg in a process of its own; note its calls."""
        account = self.account
        output = () if arguments[0] == "template" else ("--output", "json")
        options = ("--stack", self.names.stack, "--region", account.place.region, *output, "-v")
        started = time.monotonic()
        code, stdout, lines = run_command(
            [sys.executable, "-m", "s3agg", *arguments, *options], account.folder
        )
        calls = calls_in(lines)
        words = f"s3agg {' '.join(arguments)}"
        seconds = round(time.monotonic() - started, 2)
        account.report.commands.append(Command(words, code, seconds, len(calls), refused(calls)))
        flags = [each for each in arguments if each.startswith("--")]
        note_refusals(account.report, " ".join(["the calls of s3agg", arguments[0], *flags]), calls)
        return Ran(code, stdout, "".join(f"{line}\n" for _, line in lines), arguments[0])

    def must(self, *arguments: str) -> Ran:
        ran = self.run(*arguments)
        assert ran.code == 0, told(ran)
        return ran

    def create(self, *arguments: str) -> Ran:
        return self.must("create", "--window", str(WINDOW_S), *self.interval, *arguments)

    def upload(self, bucket: str) -> Ran:
        """Run `test-upload`, and note how long each step took."""
        ran = self.must("test-upload", "--bucket", bucket, "--keep")
        report = ran.json
        assert report["ok"], told(ran)
        hops = ", ".join(f"{hop['step']} {hop['seconds']} s" for hop in report["hops"])
        self.account.report.note("S3", f"events of stack {self.names.stack}", "held", hops, report["seconds"])
        return ran

    def drift(self, expected: AbstractSet[tuple[str, str]] = frozenset()) -> dict[tuple[str, str], str]:
        """The state of each resource that `status` finds not as declared; empty unless all expected are."""
        ran = self.run("status")
        assert ran.code in {0, NOT_AS_DECLARED, NOT_HEALTHY}, told(ran)
        found = {
            (each["kind"], each["name"]): each["state"]
            for each in ran.json["resources"]
            if each["state"] != "ok"
        }
        assert (ran.code == NOT_AS_DECLARED) == bool(found), told(ran)
        return found if expected <= found.keys() else {}

    def becomes_declared(self, after: str) -> None:
        """Run `status` until it finds no drift; note how long AWS showed the old state."""
        started, last = time.monotonic(), ""
        while drift := self.drift():
            last = ", ".join(f"{kind} {name}" for kind, name in drift)
            assert time.monotonic() - started < BECOMES_S, f"status still finds drift: {last}"
            time.sleep(self.account.pause_s)
        if last:
            seconds = time.monotonic() - started
            self.account.report.note("late", f"status after {after}", "held", f"drift: {last}", seconds)


def told(ran: Ran) -> str:
    """What a command told its user, without the calls that -v shows."""
    lines = [line for line in ran.stderr.splitlines() if not calls_in([(0, line)])]
    return "\n".join([f"exit code {ran.code}", *lines, ran.stdout])


def run_command(command: Sequence[str], folder: Path) -> tuple[int, str, list[tuple[float, str]]]:
    """Run a command; its exit code, its stdout, and each line of stderr with its seconds."""
    started = time.monotonic()
    lines: list[tuple[float, str]] = []

    def read(stream: IO[str]) -> None:
        lines.extend((time.monotonic() - started, line.rstrip("\n")) for line in stream)

    with tempfile.TemporaryFile("w+", encoding="utf-8") as out:
        process = subprocess.Popen(  # noqa: S603  # our own command
            command,
            env=environment(),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.PIPE,
            encoding="utf-8",
        )
        assert process.stderr is not None
        reader = threading.Thread(target=read, args=(process.stderr,), daemon=True)
        reader.start()
        try:
            process.wait(COMMAND_S)
        except BaseException:
            end(process)
            raise
        finally:
            reader.join()
            process.stderr.close()
        out.seek(0)
        return process.returncode, out.read(), lines


def end(process: subprocess.Popen[str]) -> None:
    """Wait for the end of an interrupted command: what it makes meanwhile must be found and deleted."""
    for signal_number in (signal.SIGINT, signal.SIGKILL):  # a terminal's Ctrl-C has reached it already
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(ENDS_S)
            return
        process.send_signal(signal_number)
    process.wait()


def environment() -> Mapping[str, str]:
    """The user's own, but for what would change the output. A wide console splits no line of -v."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("S3AGG_")}
    return {**kept, "COLUMNS": "1000", "PYTHONIOENCODING": "utf-8"}
