"""The AWS emulator: MiniStack as an isolated child process (DESIGN 5)."""

from __future__ import annotations

import contextlib
import http.client
import importlib.util
import os
import secrets
import shutil
import signal
import site
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING

from s3agg.errors import S3aggError
from s3agg.local import ACCOUNT, REGION
from s3agg.local.guard import HEALTH
from s3agg.local.loopback import ADDRESS, listen, needs_posix

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

START_SECONDS = 60.0
STOP_SECONDS = 3.0
LOG_LINES = 15
LOG_BYTES = 16_000


def _installed(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


class Emulator:
    """Runs MiniStack during its `with` block. Lambda functions are its child processes, and end with it.

    With `auth`, IAM policies are enforced; access key `test` is root. `environment` adds variables to
    MiniStack's environment, but cannot replace those that isolate it.
    """

    def __init__(
        self,
        port: int = 0,
        *,
        auth: bool = False,
        environment: Mapping[str, str] | None = None,
        installed: Callable[[str], bool] = _installed,
        start_seconds: float = START_SECONDS,
    ) -> None:
        self.port = port
        self._auth = auth
        self._extra = dict(environment or {})
        self._installed = installed
        self._start_seconds = start_seconds
        self._process: subprocess.Popen[bytes] | None = None
        self._log: IO[bytes] | None = None
        self._undo = contextlib.ExitStack()

    @property
    def url(self) -> str:
        return f"http://{ADDRESS}:{self.port}"

    @property
    def endpoints(self) -> dict[str, str]:
        """The environment variables that direct AWS tools and functions to it."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            # S3 Control puts the account id and a dot before the host. Before an IP address that is no valid
            # host, so they become part of the unused user name.
            "AWS_ENDPOINT_URL_S3_CONTROL": f"http://account@{ADDRESS}:{self.port}",
        }

    @property
    def pid(self) -> int:
        """The process id of the server, and of its process group, which includes the functions."""
        if self._process is None:
            raise S3aggError("The AWS emulator is not running")
        return self._process.pid

    def __enter__(self) -> Self:
        """Start, and return when it answers. Raises `S3aggError` if it does not."""
        if sys.platform == "win32":  # before the advice to install MiniStack
            raise needs_posix()
        if not self._installed("ministack"):
            raise S3aggError(
                "The AWS emulator requires MiniStack", "In the clone, run: pip install '.[local]'"
            )
        with contextlib.ExitStack() as undo:
            with listen(self.port) as listener:
                self.port = listener.getsockname()[1]
                # This process chooses the name and the server creates the folder, so that each can delete it
                # if the other dies.
                folder = Path(tempfile.gettempdir(), f"s3agg-local-{secrets.token_hex(8)}")
                undo.callback(shutil.rmtree, folder, ignore_errors=True)
                undo.callback(self._end)
                # The file has no name, so it needs no cleanup.
                self._log = undo.enter_context(tempfile.TemporaryFile())
                command = [sys.executable, "-m", "s3agg.local.serve"]
                self._process = subprocess.Popen(  # noqa: S603 - a module of this package
                    [*command, str(folder), str(self.port), str(listener.fileno())],
                    stdin=subprocess.PIPE,
                    stdout=self._log,
                    stderr=self._log,
                    cwd="/",
                    env=self._environment(folder),
                    pass_fds=[listener.fileno()],
                    start_new_session=True,
                )
            self._wait()
            self._undo = undo.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._undo.close()

    def ensure_running(self) -> None:
        """Raise `S3aggError` with the end of the log if the server has exited."""
        if self._process is not None and self._process.poll() is not None:
            code = self._process.returncode
            raise S3aggError(f"The AWS emulator exited with code {code}", self._log_end())

    def _environment(self, folder: Path) -> dict[str, str]:
        """Not copied from this process: functions inherit it, and must not get the user's secrets."""
        python = {"PYTHONUSERBASE": site.getuserbase()} if site.ENABLE_USER_SITE else {}
        return {
            **python,
            **self._extra,
            "PATH": os.environ.get("PATH", os.defpath),
            "LANG": "C.UTF-8",
            "TZ": "UTC",
            "HOME": str(folder / "home"),
            "TMPDIR": str(folder / "tmp"),
            "STATE_DIR": str(folder / "state"),
            "S3_DATA_DIR": str(folder / "s3"),
            "PERSIST_STATE": "0",
            "S3_PERSIST": "0",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
            **self.endpoints,
            "MINISTACK_REGION": REGION,
            "MINISTACK_ACCOUNT_ID": ACCOUNT,
            "MINISTACK_HOST": ADDRESS,
            "BIND_HOST": ADDRESS,
            "GATEWAY_PORT": str(self.port),
            "AUTH": "true" if self._auth else "false",
            "LAMBDA_EXECUTOR": "local",
            # These servers would listen on all interfaces.
            "IOT_MTLS_ENABLED": "0",
            "SFTP_ENABLED": "0",
            # MiniStack deletes all containers with its label, also those of other programs.
            "DOCKER_HOST": f"unix://{folder / 'no-docker'}",
        }

    def _wait(self) -> None:
        deadline = time.monotonic() + self._start_seconds
        pause = 0.02
        while not _answers(self.port):
            self.ensure_running()
            if time.monotonic() > deadline:
                raise S3aggError(
                    f"Timed out after {self._start_seconds:g} s waiting for the AWS emulator to start",
                    self._log_end(),
                )
            time.sleep(pause)
            pause = min(pause * 1.5, 0.5)

    def _end(self) -> None:
        """End the process group. The server also ends when its standard input is closed."""
        process, self._process = self._process, None
        if process is None or sys.platform == "win32":
            return
        try:
            if process.stdin is not None:
                process.stdin.close()
            _signal_group(process, signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(STOP_SECONDS)
        finally:
            _signal_group(process, signal.SIGKILL)
            process.wait()

    def _log_end(self) -> str:
        if self._log is None or sys.platform == "win32":
            return ""
        size = os.fstat(self._log.fileno()).st_size
        # pread: a seek would also move the server's position in the file.
        text = os.pread(self._log.fileno(), LOG_BYTES, max(0, size - LOG_BYTES)).decode(errors="replace")
        return "The end of its log:\n" + "\n".join(text.splitlines()[-LOG_LINES:])


def _answers(port: int) -> bool:
    # The socket is already open: the first request waits in it until the server runs.
    connection = http.client.HTTPConnection(ADDRESS, port, timeout=1)
    try:
        connection.request("GET", HEALTH)
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _signal_group(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    if sys.platform != "win32":
        # macOS returns EPERM if all processes of the group are dead.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, number)
