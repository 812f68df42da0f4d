"""Tell that a service does not answer. Without this, a command is silent until its calls time out."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from s3agg.aws.clock import Clock

SILENCE = "s3agg-silence "  # starts the ids of the hooks
SILENT_S = 2.0  # most calls take less than this
LOOK_S = 0.5  # between two looks at the calls


class Silence:
    """The calls without an answer. A thread looks at them, and ends when there is none."""

    def __init__(self, clock: Clock, tell: Callable[[str], None]) -> None:
        self.clock = clock
        self.tell = tell
        self._calls: dict[int, tuple[str, float]] = {}  # service and start, by thread
        self._lock = threading.Lock()
        self._watched = False

    def begins(self, model: Any, **_: Any) -> None:
        with self._lock:
            call = model.service_model.service_id, self.clock.monotonic()
            self._calls[threading.get_ident()] = call
            if not self._watched:
                self._watched = True
                threading.Thread(target=self._watch, daemon=True).start()

    def ends(self, **_: Any) -> None:
        with self._lock:
            self._calls.pop(threading.get_ident(), None)

    def _watch(self) -> None:
        pause = threading.Event()
        while not pause.wait(LOOK_S):
            with self._lock:
                if not self._calls:
                    self._watched = False
                    return
            self.look()

    def look(self) -> None:
        """Tell of the call that has no answer for the longest time."""
        with self._lock:
            if not self._calls:
                return
            service, began = min(self._calls.values(), key=lambda call: call[1])
        silent_s = self.clock.monotonic() - began
        if silent_s >= SILENT_S:
            self.tell(f"waiting for {service} to answer ({silent_s:.0f} s)")


def tell_of_silence(session: Any, clock: Clock, tell: Callable[[str], None]) -> None:
    """Tell of each call of the session that has no answer after 2 s, and how long it lasts."""
    silence = Silence(clock, tell)
    for event, hook in (
        ("before-call", silence.begins),
        ("after-call", silence.ends),
        ("after-call-error", silence.ends),
    ):
        # A session that an earlier command used tells this one.
        session.unregister(event, unique_id=SILENCE + event)
        session.register(event, hook, unique_id=SILENCE + event)
