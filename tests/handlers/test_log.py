"""Where no runtime sets up logging, the handlers write the lines that AWS's runtime would."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from tests.support.handlers import Instances, record

REQUEST_ID = "7da07415-9e5b-11e8-ab6d-8f962149ce24"
LINE = rf"\[INFO\]\t\d{{4}}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{{3}}Z\t{REQUEST_ID}\t(.*)\n"

EVENTS: dict[str, tuple[Any, str]] = {
    "s3_aggregator": ({"Records": [record()]}, "Sending refresh request for bucket: "),
    "s3_sgw_refresh": (
        {"Records": [{"messageAttributes": {"bucket-name": {"stringValue": "one"}}}]},
        "Nothing to refresh for bucket: one",
    ),
}


@contextmanager
def no_runtime() -> Iterator[None]:
    """No handler at the root; pytest sets its own up anew for each phase of a test."""
    root = logging.getLogger()
    handlers, root.handlers = root.handlers, []
    try:
        yield
    finally:
        root.handlers = handlers


@pytest.mark.parametrize("name", EVENTS)
def test_a_line_has_its_level_time_and_request_id(
    world: Instances, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    event, message = EVENTS[name]
    with no_runtime():
        world.deployed(name, REFRESH_DELAY_SECONDS="30").lambda_handler(event, world.context())

    line = re.fullmatch(LINE, capsys.readouterr().err)
    assert line is not None
    assert line[1].startswith(message)


@pytest.mark.parametrize("name", EVENTS)
def test_a_warm_instance_writes_each_line_once_and_with_its_own_request_id(
    world: Instances, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    event, _ = EVENTS[name]
    module = world.deployed(name, REFRESH_DELAY_SECONDS="30")
    with no_runtime():
        for request_id in ("first", "second"):
            module.lambda_handler(event, replace(world.context(), aws_request_id=request_id))

    assert [line.split("\t")[2] for line in capsys.readouterr().err.splitlines()] == ["first", "second"]


@pytest.mark.parametrize("name", EVENTS)
def test_where_the_runtime_sets_up_logging_nothing_is_added(world: Instances, name: str) -> None:
    event, _ = EVENTS[name]
    handlers = list(logging.getLogger().handlers)
    world.deployed(name, REFRESH_DELAY_SECONDS="30").lambda_handler(event, world.context())

    assert logging.getLogger().handlers == handlers
