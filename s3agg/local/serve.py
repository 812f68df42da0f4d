"""The emulator's own process: MiniStack behind the guard, for as long as its parent lives.

Run by `emulator.py` only: `python -m s3agg.local.serve FOLDER PORT SOCKET_FD`, as the leader of a new
session, with a pipe from the parent as standard input.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import importlib
import inspect
import logging
import os
import resource
import shutil
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

from s3agg.local.guard import Guard

if sys.platform == "win32":
    raise SystemExit("AWS on this machine needs Linux or macOS.")

LOG_READER = "_drain_stderr_bounded"
# Seconds: for the first line, after the last one, and for all.
LOG_WAITS = {"first_line_wait": 1.0, "idle_confirm": 0.02, "hard_cap": 2.0}


class Ending:
    """The end of the whole process group, functions included, and of its folder.

    One thread ends it: the first that a signal or the parent's end reaches. It has then `_taken` the end. If
    that is not the main thread, the main thread is `_parked`: its own end would be the process's.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._taken = threading.Lock()
        self._by = 0  # the thread that has taken it
        self._parked = threading.Event()

    def on_signal(self, *_: object) -> None:
        self.end()

    def when_parent_is_gone(self) -> None:
        """Wait for the end of the pipe, which comes even when the parent was killed."""
        while os.read(sys.stdin.fileno(), 1):
            pass
        self.end()

    def end(self) -> None:
        """End it, unless somebody does."""
        on_main = threading.current_thread() is threading.main_thread()
        if not self._taken.acquire(blocking=False):
            if on_main and threading.get_ident() != self._by:
                self.park()
            return
        self._by = threading.get_ident()
        # The functions first, lest they write into the folder. The signal comes here, too, and does nothing.
        os.killpg(os.getpgrp(), signal.SIGTERM)
        if not on_main:
            self._parked.wait(1)
        for _attempt in range(20):
            shutil.rmtree(self._folder, ignore_errors=True)
            if not self._folder.exists():
                break
            time.sleep(0.05)
        os.killpg(os.getpgrp(), signal.SIGKILL)

    def park(self) -> None:
        """Keep the main thread, if another one ends the process."""
        if self._taken.locked():
            self._parked.set()
            threading.Event().wait()


async def _never() -> None:
    await asyncio.Event().wait()


def ministack() -> Any:
    """MiniStack's ASGI application, without the start-up scripts it takes from the machine's folders."""
    module = importlib.import_module("ministack.app")
    importlib.import_module("ministack.core.hypercorn_compat").install()
    if not callable(getattr(module, "_collect_scripts", None)):
        raise SystemExit("This version of ministack is not supported: its init scripts cannot be stopped.")
    logging.getLogger().setLevel(logging.WARNING)
    vars(module)["_collect_scripts"] = lambda *_folders: []
    _keep_late_log_lines(importlib.import_module("ministack.core.lambda_runtime").Worker)
    return module.app


def _keep_late_log_lines(worker: Any) -> None:
    """Wait longer for an invocation's log lines: MiniStack waits 50 ms, too short on a busy machine."""
    read = getattr(worker, LOG_READER, None)
    if read is not None and LOG_WAITS.keys() <= inspect.signature(read).parameters.keys():
        setattr(worker, LOG_READER, functools.partialmethod(read, **LOG_WAITS))


def main(folder: Path, port: int, listener_fd: int) -> None:
    """Serve until the parent is gone or SIGTERM comes."""
    ending = Ending(folder)
    signal.signal(signal.SIGTERM, ending.on_signal)
    folder.mkdir(mode=0o700)
    threading.Thread(target=ending.when_parent_is_gone, daemon=True).start()
    try:
        for name in ("home", "tmp"):
            (folder / name).mkdir()
        os.chdir(folder)
        run(port, listener_fd)
    finally:
        ending.park()


def run(port: int, listener_fd: int) -> None:
    """Serve MiniStack behind the guard on a socket that listens already."""
    # As MiniStack's own command does: a burst of uploads has many connections.
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))

    from hypercorn.asyncio import serve  # noqa: PLC0415 - slow; nothing slow before the thread above runs
    from hypercorn.config import Config  # noqa: PLC0415

    config = Config()
    config.bind = [f"fd://{listener_fd}"]
    config.keep_alive_timeout = 75
    config.loglevel = "WARNING"
    application: Any = Guard(ministack(), port)
    asyncio.run(serve(application, config, shutdown_trigger=_never))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
