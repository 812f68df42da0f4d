"""The answers of AWS during one read: each call is made once. A new read starts a new snapshot."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, TypeVar

from s3agg.aws.session import Aws

T = TypeVar("T")


class Snapshot:
    """One read of AWS. Safe to use from several threads: a second thread waits for the first one's answer."""

    def __init__(self, aws: Aws) -> None:
        self.aws = aws
        self._answers: dict[object, Any] = {}
        self._locks: dict[object, threading.Lock] = {}
        self._lock = threading.Lock()

    def once(self, question: object, ask: Callable[[], T]) -> T:
        """Return the answer to this question, and ask AWS only the first time."""
        with self._lock:
            lock = self._locks.setdefault(question, threading.Lock())
        with lock:
            if question not in self._answers:
                self._answers[question] = ask()
            return self._answers[question]  # type: ignore[no-any-return]
