"""A command on a terminal: what reaches the screen, escape codes and all, and what is typed there."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.e2e.support import Cli

MINUTE_S = 60

# A process of its own: it takes the new terminal for its controlling one, where codes are asked for.
ON_A_TERMINAL = "import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))"


@dataclass
class Terminal:
    """A terminal on which a command runs."""

    process: subprocess.Popen[bytes]
    screen: bytes = field(default=b"")

    def read_until(self, words: str) -> None:
        while words.encode() not in self.screen:
            assert self._read(), f"it ended without {words!r}: {self.screen!r}"

    def type(self, text: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(text.encode())
        self.process.stdin.flush()

    def end(self) -> tuple[int, str]:
        """Wait for the end; the exit code and all that was shown."""
        while self._read():
            pass
        return self.process.wait(MINUTE_S), self.screen.decode()

    def _read(self) -> bool:
        assert self.process.stdout is not None
        more = os.read(self.process.stdout.fileno(), 65536)
        self.screen += more
        return bool(more)


@contextmanager
def terminal(cli: Cli, *arguments: str) -> Iterator[Terminal]:
    """Run a command on a terminal; without TERM in its environment that is an xterm."""
    process = subprocess.Popen(  # noqa: S603  # our own command
        [sys.executable, "-c", ON_A_TERMINAL, *cli.command, *arguments],
        env={"TERM": "xterm-256color", **cli.environment},
        cwd=cli.folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    patience = threading.Timer(MINUTE_S, process.kill)  # what is waited for may never be shown
    patience.start()
    try:
        yield Terminal(process)
    finally:
        patience.cancel()
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()


def shown(cli: Cli, *arguments: str) -> tuple[int, str]:
    """Run a command on a terminal to its end."""
    with terminal(cli, *arguments) as running:
        return running.end()
