"""The emulator runs functions, listens on loopback only, and cleans up after itself."""

from __future__ import annotations

import base64
import io
import ipaddress
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from s3agg.errors import S3aggError
from s3agg.local.emulator import Emulator
from tests.support.polling import eventually

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.enable_socket,
    pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at processes through /proc"),
]

PROBE = """
import json, os
import boto3

def handler(event, context):
    boto3.client("s3").create_bucket(Bucket="made-by-the-function")
    return {
        "environment": dict(os.environ),
        "profiles": boto3.Session().available_profiles,
        "identity": boto3.client("sts").get_caller_identity()["Arn"],
        "access_points": boto3.client("s3control").list_access_points(AccountId="000000000000")[
            "AccessPointList"
        ],
    }
"""


def zipped(source: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("probe.py", source)
    return buffer.getvalue()


def make_function(functions: Any, source: str, role: str = "any") -> None:
    functions.create_function(
        FunctionName="probe",
        Runtime="python3.13",
        Handler="probe.handler",
        Role=f"arn:aws:iam::000000000000:role/{role}",
        Timeout=30,
        Code={"ZipFile": zipped(source)},
    )


def run_function(functions: Any, source: str = PROBE, role: str = "any") -> Any:
    make_function(functions, source, role)
    answer = functions.invoke(FunctionName="probe")
    result = json.loads(answer["Payload"].read())
    assert "FunctionError" not in answer, result
    return result


@pytest.fixture(scope="module")
def emulator() -> Iterator[Emulator]:
    """One for all tests that change nothing that another one sees."""
    with Emulator() as running:
        yield running


@pytest.fixture
def own_emulator() -> Iterator[Emulator]:
    with Emulator() as running:
        yield running


# A program that runs the emulator and a function in it, prints the result, and waits.
HOST = """
import base64, sys
import boto3
from s3agg.local.emulator import Emulator

with Emulator() as emulator:
    functions = boto3.Session(aws_access_key_id="test", aws_secret_access_key="test").client(
        "lambda", endpoint_url=emulator.url, region_name="us-east-1"
    )
    functions.create_function(
        FunctionName="probe", Runtime="python3.13", Handler="probe.handler", Timeout=30,
        Role="arn:aws:iam::000000000000:role/any", Code={"ZipFile": base64.b64decode(sys.argv[1])},
    )
    print(functions.invoke(FunctionName="probe")["Payload"].read().decode(), flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start a program that uses the emulator; its temporary folder is `tmp_path`."""
    started = []

    def start(source: str = HOST, **environment: str) -> subprocess.Popen[str]:
        code = base64.b64encode(zipped(PROBE)).decode()
        program = subprocess.Popen(  # noqa: S603 - the program above
            [sys.executable, "-c", source, code],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={"PATH": os.environ["PATH"], "TMPDIR": str(tmp_path), **environment},
            text=True,
        )
        started.append(program)
        return program

    yield start
    for program in started:
        program.kill()
        program.communicate()


def living() -> Iterator[tuple[int, int, str]]:
    """Id, group id and command line of each process that is not a zombie."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if fields[0] != "Z":
            yield int(folder.name), int(fields[2]), command


def members_of(group: int) -> list[int]:
    return [process for process, its_group, _ in living() if its_group == group]


def processes_below(folder: Path) -> list[int]:
    """The emulator and its functions: their command lines contain the folder."""
    return [process for process, _, command in living() if str(folder) in command]


def local_addresses(processes: list[int]) -> set[str]:
    """The local address of every TCP and UDP socket of these processes."""
    inodes = set()
    for process in processes:
        for descriptor in Path(f"/proc/{process}/fd").iterdir():
            try:
                target = str(descriptor.readlink())
            except FileNotFoundError:
                continue
            if target.startswith("socket:["):
                inodes.add(target[len("socket:[") : -1])
    addresses = set()
    for table in ("tcp", "tcp6", "udp", "udp6"):
        listing = Path("/proc/net", table)
        for line in listing.read_text().splitlines()[1:] if listing.exists() else []:
            fields = line.split()
            if fields[9] in inodes:
                addresses.add(fields[1].rpartition(":")[0])
    return addresses


def address(hexadecimal: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """Parse an address in the format of /proc/net: words in the machine's byte order."""
    words = [hexadecimal[start : start + 8] for start in range(0, len(hexadecimal), 8)]
    raw = b"".join(int(word, 16).to_bytes(4, sys.byteorder) for word in words)
    return ipaddress.ip_address(raw)


def test_the_emulator_answers_when_it_has_started(emulator: Emulator, client: Callable[..., Any]) -> None:
    assert client("sts", emulator.url).get_caller_identity()["Account"] == "000000000000"


def test_a_queue_url_is_on_the_emulator(emulator: Emulator, client: Callable[..., Any]) -> None:
    queues = client("sqs", emulator.url)
    url = queues.create_queue(QueueName="queue")["QueueUrl"]
    queues.send_message(QueueUrl=url, MessageBody="{}")

    assert url.startswith(emulator.url)
    assert len(queues.receive_message(QueueUrl=url)["Messages"]) == 1


def test_a_function_runs_and_reaches_the_emulator(emulator: Emulator, client: Callable[..., Any]) -> None:
    run_function(client("lambda", emulator.url))
    buckets = client("s3", emulator.url).list_buckets()["Buckets"]

    assert [bucket["Name"] for bucket in buckets] == ["made-by-the-function"]


def test_every_socket_is_on_loopback(own_emulator: Emulator, client: Callable[..., Any]) -> None:
    run_function(client("lambda", own_emulator.url))
    processes = members_of(own_emulator.pid)
    addresses = local_addresses(processes)

    assert len(processes) == 2
    assert addresses
    assert all(address(one).is_loopback for one in addresses)


def test_the_users_secrets_and_profile_stay_outside(
    host: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    profile = tmp_path / "home" / ".aws"
    profile.mkdir(parents=True)
    (profile / "config").write_text("[profile work]\nregion = eu-west-1\nendpoint_url = http://192.0.2.1\n")
    program = host(
        HOME=str(profile.parent),
        AWS_PROFILE="work",
        AWS_REGION="eu-west-1",
        AWS_ACCESS_KEY_ID="sentinel",
        AWS_SECRET_ACCESS_KEY="sentinel",
        AWS_SESSION_TOKEN="sentinel",
        GITHUB_TOKEN="sentinel",
        HTTP_PROXY="http://sentinel.example",
        NO_PROXY="127.0.0.1",
        SOME_OTHER_THING="sentinel",
    )
    assert program.stdout is not None
    seen = json.loads(program.stdout.readline())

    assert "sentinel" not in json.dumps(seen)
    assert seen["environment"]["AWS_REGION"] == "us-east-1"
    assert seen["environment"]["HOME"] != str(profile.parent)
    assert "AWS_PROFILE" not in seen["environment"]
    assert seen["profiles"] == []


@pytest.mark.parametrize(
    "header",
    [
        ("Origin", "null"),
        ("Sec-Fetch-Site", "none"),
        ("Host", "evil.example"),
        ("Referer", "http://evil.example/"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
def test_a_web_page_is_refused(
    header: tuple[str, str], method: str, emulator: Emulator, request_to: Callable[..., tuple[int, str]]
) -> None:
    status, text = request_to(emulator.port, "/", method, dict([header]))

    assert status == 403
    assert text.startswith("Refused")


@pytest.mark.parametrize(("method", "path"), [("GET", "/?Action=ListUsers"), ("POST", "/_ministack/reset")])
def test_what_a_link_or_a_form_of_an_old_browser_sends_is_refused(
    method: str, path: str, emulator: Emulator, request_to: Callable[..., tuple[int, str]]
) -> None:
    assert request_to(emulator.port, path, method)[0] == 403


def test_a_web_page_gets_no_websocket(emulator: Emulator, request_to: Callable[..., tuple[int, str]]) -> None:
    upgrade = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Key": "c2VudGluZWxzZW50aW5lbA==",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Protocol": "mqtt",
        "Origin": "https://evil.example",
    }
    status, _ = request_to(emulator.port, "/mqtt", "GET", upgrade)

    assert status == 403


def test_added_environment_cannot_open_the_fence() -> None:
    with Emulator(environment={"BIND_HOST": "0.0.0.0", "IOT_MTLS_ENABLED": "1"}) as emulator:  # noqa: S104
        addresses = local_addresses(members_of(emulator.pid))

    assert all(address(one).is_loopback for one in addresses)


def test_with_auth_a_user_may_do_what_its_policy_says(client: Callable[..., Any]) -> None:
    with Emulator(auth=True) as emulator:
        users = client("iam", emulator.url)
        users.create_user(UserName="operator")
        key = users.create_access_key(UserName="operator")["AccessKey"]
        credentials = {
            "aws_access_key_id": key["AccessKeyId"],
            "aws_secret_access_key": key["SecretAccessKey"],
        }
        buckets = client("s3", emulator.url, **credentials)
        with pytest.raises(ClientError, match="AccessDenied"):
            buckets.list_buckets()
        allow = {"Effect": "Allow", "Action": "s3:ListAllMyBuckets", "Resource": "*"}
        policy = json.dumps({"Version": "2012-10-17", "Statement": [allow]})
        users.put_user_policy(UserName="operator", PolicyName="policy", PolicyDocument=policy)

        assert buckets.list_buckets()["Buckets"] == []


def test_a_port_in_use_is_said_in_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(S3aggError) as caught:
            Emulator(port).__enter__()

    assert f"Port {port} on 127.0.0.1 is in use" in str(caught.value)
    assert "--port" in caught.value.hint
    assert "\n" not in str(caught.value)


def test_without_the_extra_it_says_what_to_install() -> None:
    with pytest.raises(S3aggError) as caught:
        Emulator(installed=lambda _module: False).__enter__()

    assert "pip install '.[local]'" in str(caught.value)


def test_a_server_that_dies_at_once_shows_the_end_of_its_log() -> None:
    with pytest.raises(S3aggError) as caught:
        Emulator(environment={"MINISTACK_DOCKER_TIMEOUT": "nonsense"}).__enter__()

    assert caught.value.problem == "The AWS emulator exited with code 1"
    assert "nonsense" in caught.value.hint


def test_a_server_that_died_later_is_noticed(own_emulator: Emulator) -> None:
    def is_noticed() -> bool:
        try:
            own_emulator.ensure_running()
        except S3aggError:
            return True
        return False

    assert not is_noticed()

    os.kill(own_emulator.pid, signal.SIGKILL)

    eventually(is_noticed)


def test_nothing_is_left_afterwards(client: Callable[..., Any]) -> None:
    with Emulator() as emulator:
        environment = run_function(client("lambda", emulator.url))["environment"]
        folder, group = Path(environment["HOME"]).parent, emulator.pid
        assert folder.exists()
        assert folder.parent == Path(tempfile.gettempdir())

    assert not folder.exists()
    eventually(lambda: members_of(group) == [])


# What serve.py and corrections.py call or replace.
RELIED_ON = (
    "ministack.app:app",
    "ministack.app:_collect_scripts",
    "ministack.core.hypercorn_compat:install",
    "ministack.core.lambda_runtime:Worker._drain_stderr_bounded",
    "ministack.services.cloudwatch_logs:_compile_filter_pattern",
    "ministack.services.eventbridge:_dispatch_to_lambda",
    "ministack.services.lambda_svc:_emit_lambda_logs",
    "ministack.services.lambda_svc:_execute_function",
    "ministack.services.lambda_svc:_execution_record_for_config",
    "ministack.services.lambda_svc:_get_func_record_for_ref",
    "ministack.services.lambda_svc:invoke_async_with_retry",
)


def test_ministack_has_what_is_relied_on() -> None:
    look = "import pkgutil, sys; print([callable(pkgutil.resolve_name(name)) for name in sys.argv[1:]])"
    found = subprocess.run(  # noqa: S603 - the program above
        [sys.executable, "-c", look, *RELIED_ON], capture_output=True, check=False, text=True
    )

    assert found.stdout.strip() == str([True] * len(RELIED_ON)), found.stderr


def test_a_log_line_that_comes_late_is_kept() -> None:
    late = (
        "import queue, threading; from s3agg.local import serve; serve.ministack();"
        "from ministack.core.lambda_runtime import Worker;"
        "worker = object.__new__(Worker); worker._stderr_queue = queue.Queue();"
        "threading.Timer(0.3, worker._stderr_queue.put, ['a line']).start();"
        "print(worker._drain_stderr_bounded())"
    )
    found = subprocess.run(  # noqa: S603 - the program above
        [sys.executable, "-c", late], capture_output=True, check=True, text=True
    )

    assert found.stdout.strip() == "a line"


SLOW = """
import time

def handler(event, context):
    print("handled", event["number"])
    time.sleep(0.2)
    if event["number"] == 0:
        raise KeyError("number")
"""


def test_throttled_events_are_kept_and_a_traceback_is_one_event_of_the_log(
    client: Callable[..., Any],
) -> None:
    with Emulator() as emulator:
        functions, logs = client("lambda", emulator.url), client("logs", emulator.url)
        logs.create_log_group(logGroupName="/aws/lambda/probe")
        make_function(functions, SLOW)
        functions.put_function_concurrency(FunctionName="probe", ReservedConcurrentExecutions=1)
        functions.put_function_event_invoke_config(FunctionName="probe", MaximumRetryAttempts=0)
        for number in range(3):
            event = json.dumps({"number": number}).encode()
            functions.invoke(FunctionName="probe", InvocationType="Event", Payload=event)

        def lines() -> list[str]:
            events = logs.filter_log_events(logGroupName="/aws/lambda/probe")["events"]
            return [event["message"] for event in events]

        eventually(lambda: sum(line.startswith("END") for line in lines()) == 3)

        assert {line for line in lines() if line.startswith("handled")} == {
            f"handled {number}" for number in range(3)
        }
        (error,) = [line.splitlines() for line in lines() if line.startswith("[ERROR] ")]
        assert error[:2] == ["[ERROR] KeyError: 'number'", "Traceback (most recent call last):"]


def test_scripts_of_the_machine_are_not_run(tmp_path: Path) -> None:
    (tmp_path / "script.sh").write_text("exit 1")
    look = (
        "import sys; from s3agg.local import serve; serve.ministack(); import ministack.app as app;"
        "print(app._collect_scripts(sys.argv[1]))"
    )
    found = subprocess.run(  # noqa: S603 - the program above
        [sys.executable, "-c", look, str(tmp_path)], capture_output=True, check=True, text=True
    )

    assert found.stdout.strip() == "[]"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_an_ended_parent_leaves_nothing(
    number: signal.Signals,
    host: Callable[..., subprocess.Popen[str]],
    tmp_path: Path,
) -> None:
    program = host()
    assert program.stdout is not None
    program.stdout.readline()
    assert len(processes_below(tmp_path)) == 2

    program.send_signal(number)
    program.wait(30)

    eventually(lambda: processes_below(tmp_path) == [])
    eventually(lambda: list(tmp_path.iterdir()) == [])


@pytest.mark.parametrize(
    ("number", "moment"),
    [
        (signal.SIGKILL, "the server is a process"),
        (signal.SIGTERM, "its folder is there"),
        (signal.SIGINT, "its home is there"),
        (signal.SIGKILL, "its home is there"),
    ],
)
def test_a_parent_ended_during_the_start_leaves_nothing(
    number: signal.Signals,
    moment: str,
    host: Callable[..., subprocess.Popen[str]],
    tmp_path: Path,
) -> None:
    has_come: dict[str, Callable[[], object]] = {
        "the server is a process": lambda: processes_below(tmp_path),
        # Not any file: Python tries a temporary folder by a file of its own.
        "its folder is there": lambda: list(tmp_path.glob("s3agg-local-*")),
        "its home is there": lambda: list(tmp_path.glob("*/home")),
    }
    program = host()
    eventually(has_come[moment], every=0.01)

    program.send_signal(number)
    program.wait(30)

    eventually(lambda: processes_below(tmp_path) == [])
    eventually(lambda: list(tmp_path.iterdir()) == [])
