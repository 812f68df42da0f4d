"""AWS on this machine: MiniStack as one fenced-in child process (DESIGN 5)."""

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
    """Runs while its `with` block does. Functions run as its children, and end with it.

    `auth` enforces IAM: access key `test` is root, a user's or role's key may do what its policies say.
    `environment` adds to MiniStack's; it cannot change what fences it in.
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
        """The environment variables by which AWS tools and functions reach it."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            # S3 Control puts the account id and a dot before the host, an address here: this makes it the
            # user name, which is not used.
            "AWS_ENDPOINT_URL_S3_CONTROL": f"http://account@{ADDRESS}:{self.port}",
        }

    @property
    def pid(self) -> int:
        """The server's process id; also its group's, which its functions belong to."""
        if self._process is None:
            raise S3aggError("The AWS emulator is not running")
        return self._process.pid

    def __enter__(self) -> Self:
        """Start, and return once it answers. Raises `S3aggError` if it does not."""
        if sys.platform == "win32":  # where nothing that is installed helps
            raise needs_posix()
        if not self._installed("ministack"):
            raise S3aggError("AWS on this machine needs MiniStack", "Install it: pip install 's3agg[local]'")
        with contextlib.ExitStack() as undo:
            with listen(self.port) as listener:
                self.port = listener.getsockname()[1]
                # The name is chosen here and the folder made there, so that whoever is left can remove it.
                folder = Path(tempfile.gettempdir(), f"s3agg-local-{secrets.token_hex(8)}")
                undo.callback(shutil.rmtree, folder, ignore_errors=True)
                undo.callback(self._end)
                # A file without a name: nothing to remove.
                self._log = undo.enter_context(tempfile.TemporaryFile())
                command = [sys.executable, "-m", "s3agg.local.serve"]
                self._process = subprocess.Popen(  # noqa: S603 - our own module
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
        """Raise `S3aggError`, with the end of its log, if the server has ended."""
        if self._process is not None and self._process.poll() is not None:
            code = self._process.returncode
            raise S3aggError(f"The AWS emulator ended (exit code {code})", self._log_end())

    def _environment(self, folder: Path) -> dict[str, str]:
        """Built from nothing: functions inherit it, and must not see the user's secrets."""
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
            # Listeners of their own, on every interface.
            "IOT_MTLS_ENABLED": "0",
            "SFTP_ENABLED": "0",
            # It removes containers that carry its label, whoever's they are.
            "DOCKER_HOST": f"unix://{folder / 'no-docker'}",
        }

    def _wait(self) -> None:
        deadline = time.monotonic() + self._start_seconds
        pause = 0.02
        while not _answers(self.port):
            self.ensure_running()
            if time.monotonic() > deadline:
                raise S3aggError(
                    f"The AWS emulator did not answer within {self._start_seconds:g} seconds", self._log_end()
                )
            time.sleep(pause)
            pause = min(pause * 1.5, 0.5)

    def _end(self) -> None:
        """End the process group. It ends by itself, too, once its standard input is closed."""
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
        # pread: a seek would move the server's place in the file too.
        text = os.pread(self._log.fileno(), LOG_BYTES, max(0, size - LOG_BYTES)).decode(errors="replace")
        return "Its log ends:\n" + "\n".join(text.splitlines()[-LOG_LINES:])


def _answers(port: int) -> bool:
    # The socket listens before the server does: the first request waits in it and is answered at once.
    connection = http.client.HTTPConnection(ADDRESS, port, timeout=1)
    try:
        connection.request("GET", "/_ministack/health")
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _signal_group(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    if sys.platform != "win32":
        # macOS answers EPERM for a group of the dead.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, number)
