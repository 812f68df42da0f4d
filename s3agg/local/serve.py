"""The emulator's own process: MiniStack behind the guard, for as long as its parent lives.

Run by `emulator.py` only: `python -m s3agg.local.serve FOLDER PORT SOCKET_FD`, as the leader of a new
session, with a pipe from the parent as standard input.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
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


class Ending:
    """Ends the whole process group, functions included, and removes the folder. Called on any thread."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._once = threading.Lock()
        self._ender = 0  # the thread that has the lock
        self._parked = threading.Event()

    def __call__(self, *_: object) -> None:
        if not self._once.acquire(blocking=False):
            if threading.get_ident() != self._ender and threading.current_thread() is threading.main_thread():
                self.let_finish()
            return
        self._ender = threading.get_ident()
        # The functions first, lest they write into the folder; here this signal ends at the lines above, so
        # that the main thread does not either.
        os.killpg(os.getpgrp(), signal.SIGTERM)
        if threading.current_thread() is not threading.main_thread():
            self._parked.wait(1)
        for _attempt in range(20):
            shutil.rmtree(self._folder, ignore_errors=True)
            if not self._folder.exists():
                break
            time.sleep(0.05)
        os.killpg(os.getpgrp(), signal.SIGKILL)

    def when_parent_is_gone(self) -> None:
        """Wait for the end of the pipe, which comes even when the parent was killed."""
        while os.read(sys.stdin.fileno(), 1):
            pass
        self()

    def let_finish(self) -> None:
        """Keep the main thread, whose end would be the process's, while another one tidies up."""
        if self._once.locked():
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
    return module.app


def main(folder: Path, port: int, listener_fd: int) -> None:
    """Serve until the parent is gone or SIGTERM comes."""
    ending = Ending(folder)
    signal.signal(signal.SIGTERM, ending)
    folder.mkdir(mode=0o700)
    threading.Thread(target=ending.when_parent_is_gone, daemon=True).start()
    try:
        for name in ("home", "tmp"):
            (folder / name).mkdir()
        os.chdir(folder)
        run(port, listener_fd)
    finally:
        ending.let_finish()


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
