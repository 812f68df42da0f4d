"""demo and local: AWS on this machine, whatever the user's own AWS is, and nothing of it afterwards."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.support import Cli, Running, client, processes_below, user
from tests.support.polling import eventually

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="looks at processes through /proc"),
]

NOBODY_LISTENS = "http://127.0.0.1:1"
HOSTILE = {
    "AWS_PROFILE": "nonexistent",
    "AWS_ACCESS_KEY_ID": "sentinel",
    "AWS_SECRET_ACCESS_KEY": "sentinel",
    "AWS_SESSION_TOKEN": "sentinel",
    "AWS_REGION": "eu-west-1",
    "AWS_DEFAULT_REGION": "eu-west-1",
    "AWS_ENDPOINT_URL": NOBODY_LISTENS,
    "AWS_ENDPOINT_URL_STORAGE_GATEWAY": NOBODY_LISTENS,
    "HTTP_PROXY": NOBODY_LISTENS,
    "http_proxy": NOBODY_LISTENS,
    "S3AGG_STACK": "another",
}


def folders(somebody: Cli) -> list[Path]:
    return list(Path(somebody.environment["TMPDIR"]).iterdir())


def left_behind(somebody: Cli) -> list[str]:
    """The processes and files that a command left: the emulator's and the functions' know its folder."""
    temporary = Path(somebody.environment["TMPDIR"])
    return [*map(str, processes_below(temporary)), *map(str, temporary.iterdir())]


@pytest.fixture
def ill_advised(somebody: Cli) -> Cli:
    """A user whose settings for AWS are all wrong."""
    settings = somebody.folder / ".aws"
    settings.mkdir()
    (settings / "config").write_text("This is no configuration.\n")
    return somebody.set(**HOSTILE, NO_PROXY=None)


def test_the_demo_needs_and_uses_nothing_of_the_users(ill_advised: Cli) -> None:
    ran = ill_advised("demo", "--output", "json")

    assert ran.code == 0, ran.stderr
    report = ran.json
    assert report.pop("seconds") > 0
    assert report == {"uploaded": 20, "refreshes": 1, "share_before": 0, "share_after": 20, "problems": []}
    eventually(lambda: left_behind(ill_advised) == [])


MOMENTS: dict[str, Callable[[Cli, Running], object]] = {
    "the emulator starts": lambda somebody, _: folders(somebody),
    "the stack is being made": lambda _, demo: demo.says("created "),
    "the window is open": lambda _, demo: demo.says("Waiting for the window"),
    "the stack is being removed": lambda _, demo: demo.says("deleted "),
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_ctrl_c_in_the_demo_leaves_nothing(moment: str, somebody: Cli) -> None:
    with somebody.start("demo", "--count", "1", "--window", "1") as demo:
        eventually(lambda: MOMENTS[moment](somebody, demo))
        ran = demo.interrupt()

    assert ran.code == 130, ran.stderr
    assert (ran.stdout, "Traceback" in ran.stderr) == ("", False)
    assert len(re.findall("^Interrupted", ran.stderr, re.MULTILINE)) == 1
    assert ran.stderr.splitlines()[-1].startswith("Interrupted")
    eventually(lambda: left_behind(somebody) == [])


def test_local_is_aws_until_ctrl_c(ill_advised: Cli, tmp_path: Path) -> None:
    with ill_advised.start("local", "--port", "0") as local:
        eventually(lambda: local.says("Ctrl-C"))
        exported = dict(re.findall("^export ([A-Z0-9_]+)=(.+)$", local.stdout, re.MULTILINE))
        client("s3", exported["AWS_ENDPOINT_URL"]).create_bucket(Bucket="my-uploads")
        created = user(tmp_path / "another", **exported)(
            "create", "--bucket", "my-uploads", "--output", "json"
        )
        ran = local.interrupt()

    assert created.code == 0, created.stderr
    assert set(created.actions.values()) == {"create"}
    assert [line for line in ran.stdout.splitlines() if not line.startswith("export ")] == [
        "unset AWS_PROFILE AWS_SESSION_TOKEN"
    ]
    assert ran.code == 0
    assert len(ran.stderr.splitlines()) == 1
    eventually(lambda: left_behind(ill_advised) == [])


def test_local_says_in_one_line_that_its_port_is_taken(somebody: Cli) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        ran = somebody("local", "--port", port)

    assert (ran.code, ran.stdout, len(ran.stderr.splitlines())) == (1, "", 1)
    assert port in ran.stderr
    assert "--port" in ran.stderr
    assert left_behind(somebody) == []
