"""Fast tests reach no network; those marked e2e reach loopback only."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from moto import mock_aws
from moto.core.models import MockAWS
from pytest_socket import disable_socket, enable_socket, socket_allow_hosts

from tests.support.aws import MOTO

LOOPBACK = ["127.0.0.1", "::1"]


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("e2e") or item.get_closest_marker("enable_socket"):
        enable_socket()
        socket_allow_hosts(LOOPBACK, allow_unix_socket=True)
    else:
        disable_socket(allow_unix_socket=True)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what tests tell, whichever worker ran them: `record_property("tells", …)`."""
    for report in (*terminalreporter.getreports("passed"), *terminalreporter.getreports("failed")):
        for name, words in report.user_properties:
            if name == "tells":
                terminalreporter.write_line(str(words))


@pytest.fixture(scope="module")
def running_moto() -> Iterator[MockAWS]:
    """moto, started once for a file; each test empties it."""
    with mock_aws(config=MOTO) as mock:
        yield mock
