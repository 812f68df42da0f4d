"""A call without an answer is told after 2 s, and an answered call never."""

from __future__ import annotations

import queue
from typing import Any

from s3agg.aws.silence import Silence
from tests.support.aws import Session
from tests.support.clock import Clock


def model() -> Any:
    return Session().get_service_model("dynamodb").operation_model("Scan")


def test_a_call_without_an_answer_is_told_with_its_service_and_seconds() -> None:
    told: queue.Queue[str] = queue.Queue()
    clock = Clock()
    silence = Silence(clock, told.put)

    silence.begins(model())
    clock.sleep(3)
    first = told.get(timeout=30)
    silence.ends()

    assert first == "waiting for DynamoDB to answer (3 s)"


def test_a_call_that_is_answered_is_not_told() -> None:
    told: list[str] = []
    clock = Clock()
    silence = Silence(clock, told.append)

    silence.begins(model())
    silence.ends()
    clock.sleep(3)
    silence.begins(model())
    silence.look()

    assert told == []
