"""A service that takes a call and never answers: each command says so, and Ctrl-C ends it at once."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.proof,
    pytest.mark.enable_socket,
    pytest.mark.skipif(sys.platform == "win32", reason="sends SIGINT"),
]

IDENTITY = b"""<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
<GetCallerIdentityResult><Arn>arn:aws:iam::123456789012:user/u</Arn><UserId>U</UserId>
<Account>123456789012</Account></GetCallerIdentityResult>
<ResponseMetadata><RequestId>1</RequestId></ResponseMetadata></GetCallerIdentityResponse>"""
ANSWER = b"HTTP/1.1 200 OK\r\nx-amzn-RequestId: 1\r\nContent-Length: %d\r\n\r\n%s" % (len(IDENTITY), IDENTITY)
AT_ONCE_S = 3  # on a busy machine; a try of a call takes 10 s


@pytest.fixture
def url() -> Iterator[str]:
    """Only STS answers here. All other calls stay without an answer."""
    taken = []
    with socket.create_server(("127.0.0.1", 0), backlog=200) as server:

        def serve() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    taken.append(connection)
                    if b"GetCallerIdentity" in _request(connection):
                        connection.sendall(ANSWER)

        threading.Thread(target=serve, daemon=True).start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        with suppress(OSError):
            server.shutdown(socket.SHUT_RDWR)
    for connection in taken:
        connection.close()


def _request(connection: socket.socket) -> bytes:
    """The request; its body comes in a packet of its own."""
    connection.settimeout(1)
    request = b""
    with suppress(TimeoutError):
        while not (request.startswith(b"GET") or b"Action=" in request or b"{" in request):
            part = connection.recv(65536)
            if not part:
                break
            request += part
    return request


@pytest.mark.parametrize(
    "command",
    [
        "create --bucket uploads",
        "delete --yes",
        "status",
        "test-upload",
        "redrive",
        "logs --follow",
        "cost --measured",
    ],
)
def test_a_command_without_answers_says_so_and_ends_at_ctrl_c(command: str, url: str, tmp_path: Path) -> None:
    environment = {
        "AWS_ACCESS_KEY_ID": "a",
        "AWS_SECRET_ACCESS_KEY": "b",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_ENDPOINT_URL": url,
        "AWS_REGION": "eu-west-1",
        "HOME": str(tmp_path),
        "PATH": os.environ["PATH"],
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    process = subprocess.Popen(  # noqa: S603  # our own command
        [sys.executable, "-m", "s3agg", *command.split()], stderr=subprocess.PIPE, text=True, env=environment
    )
    watchdog = threading.Timer(30, process.kill)
    watchdog.start()
    assert process.stderr is not None
    try:
        told = process.stderr.readline()
        began = time.monotonic()
        process.send_signal(signal.SIGINT)
        rest = process.stderr.read()
        code = process.wait()
    finally:
        watchdog.cancel()
        process.kill()
        process.wait()
        process.stderr.close()
    elapsed = time.monotonic() - began

    assert re.fullmatch(r"waiting for (?!STS)[\w ]+ to answer \(2 s\)\n", told)
    if "--follow" in command:  # ends with Ctrl-C only
        assert (code, rest) == (0, "")
    else:
        assert (code, rest) == (130, "Interrupted. It is safe to run the same command again.\n")
    assert elapsed < AT_ONCE_S
