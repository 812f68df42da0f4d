"""The entry point of `s3agg` and of `python -m s3agg`."""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading
from contextlib import suppress
from typing import NoReturn

from s3agg.cli.invocation import DEFAULT_SEAMS, Seams
from s3agg.cli.main import main
from s3agg.errors import Interrupted

# Most objects of a command, such as botocore's service models, live until its end. Garbage collection would
# scan them many times, find nothing, and take as long as dozens of AWS calls.
OBJECTS_BETWEEN_LOOKS = 100_000
# They end a command as Ctrl-C does: it deletes its test objects, and says what AWS may still be doing.
ENDING = ("SIGTERM", "SIGHUP")


def run(seams: Seams = DEFAULT_SEAMS) -> NoReturn:
    """Run the command line. At the end, skip garbage collection: the process exits."""
    gc.set_threshold(OBJECTS_BETWEEN_LOOKS)
    end_as_at_ctrl_c()
    try:
        main(seams=seams)
    except SystemExit as end:
        if isinstance(end.code, int) and _has_calls():
            _leave_at_once(end.code)
        raise
    except KeyboardInterrupt:  # a further Ctrl-C
        _leave_at_once(Interrupted.exit_code)
    finally:
        gc.freeze()


def end_as_at_ctrl_c() -> None:
    """Let SIGTERM and SIGHUP raise KeyboardInterrupt, unless they are ignored."""
    for name in ENDING:
        number = getattr(signal, name, None)  # Windows has no SIGHUP
        if number is not None and signal.getsignal(number) is signal.SIG_DFL:  # nohup ignores SIGHUP
            signal.signal(number, signal.default_int_handler)


def _has_calls() -> bool:
    """Whether AWS calls are still running. Only Ctrl-C leaves any."""
    return any(not each.daemon for each in threading.enumerate() if each is not threading.main_thread())


def _leave_at_once(code: int) -> NoReturn:
    """End the process. Python would first wait for threads whose calls have no answer."""
    with suppress(OSError, KeyboardInterrupt):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    run()
