"""What AWS answered during one read: each question is asked once, and all of it is thrown away together."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, TypeVar

from s3agg.aws.session import Aws

T = TypeVar("T")


class Snapshot:
    """One read of AWS. Several threads may ask: the second one waits for the first one's answer."""

    def __init__(self, aws: Aws) -> None:
        self.aws = aws
        self._answers: dict[object, Any] = {}
        self._locks: dict[object, threading.Lock] = {}
        self._lock = threading.Lock()

    def once(self, question: object, ask: Callable[[], T]) -> T:
        """Ask AWS, or return the answer that it gave to this question before."""
        with self._lock:
            lock = self._locks.setdefault(question, threading.Lock())
        with lock:
            if question not in self._answers:
                self._answers[question] = ask()
            return self._answers[question]  # type: ignore[no-any-return]
