"""Lines on stderr that no screen prints."""

from __future__ import annotations

import errno
import io
from contextlib import redirect_stderr
from typing import Any

import pytest

from s3agg.cli.stderr import tell


class Full(io.RawIOBase):
    """A stream on a full disk, or a terminal that is gone."""

    def __init__(self, *, terminal: bool) -> None:
        self.terminal = terminal

    def isatty(self) -> bool:
        return self.terminal

    def writable(self) -> bool:
        return not self.closed

    def write(self, _: Any) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("terminal", [False, True])
def test_a_line_that_cannot_be_written_is_no_failure_of_the_command(*, terminal: bool) -> None:
    stream = io.TextIOWrapper(Full(terminal=terminal), write_through=True)  # type: ignore[type-var]  # raw

    with redirect_stderr(stream):
        tell("There is no stack.")
