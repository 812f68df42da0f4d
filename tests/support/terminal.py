"""A terminal with a command running in it, and what its user sees."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pyte

PATIENCE_S = 120


@dataclass
class Terminal:
    """What a command has written into a terminal: as bytes, and as the screen that they make."""

    process: subprocess.Popen[bytes]
    keyboard: int
    screen: pyte.Screen
    written: bytearray = field(default_factory=bytearray)

    def __post_init__(self) -> None:
        self._stream = pyte.ByteStream(self.screen)

    @property
    def text(self) -> str:
        """What the screen shows."""
        return "\n".join(line.rstrip() for line in self.screen.display).rstrip()

    def look_until(self, so: Callable[[Terminal], bool]) -> None:
        """Take in what is written until it is so; fail if it is not within a time that any command needs."""
        deadline = time.monotonic() + PATIENCE_S
        while not so(self):
            assert time.monotonic() < deadline, f"it did not come about:\n{self.text}"
            assert self._take_in(), f"the command has ended:\n{self.text}"

    def wait(self) -> int:
        """Take in all that is written to the command's end; its exit code."""
        deadline = time.monotonic() + PATIENCE_S
        while self._take_in():
            assert time.monotonic() < deadline, f"it goes on:\n{self.text}"
        return self.process.wait(PATIENCE_S)

    def interrupt(self) -> None:
        """Press Ctrl-C."""
        self.process.send_signal(signal.SIGINT)

    def _take_in(self) -> bool:
        """Take in what is there within a second; False at the end."""
        if not select.select([self.keyboard], [], [], 1)[0]:
            return True
        try:
            written = os.read(self.keyboard, 65536)
        except OSError:  # the last who could write has ended
            return False
        self.written += written
        self._stream.feed(written)
        return bool(written)


@contextmanager
def running(
    command: Sequence[str],
    environment: Mapping[str, str],
    folder: Path,
    *,
    columns: int = 80,
    rows: int = 50,
) -> Iterator[Terminal]:
    """Run a command in a terminal of this size; it is killed if it has not ended by itself."""
    keyboard, its_end = pty.openpty()
    fcntl.ioctl(its_end, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    process = subprocess.Popen(  # noqa: S603  # our own command
        command,
        env={"TERM": "xterm-256color", **environment},
        cwd=folder,
        stdin=its_end,
        stdout=its_end,
        stderr=its_end,
        start_new_session=True,
    )
    os.close(its_end)
    try:
        yield Terminal(process, keyboard, pyte.Screen(columns, rows))
    finally:
        process.kill()
        process.wait()
        os.close(keyboard)
