"""Fast tests reach no network; those marked e2e reach loopback only. Proofs wait until they are asked for."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from moto import mock_aws
from moto.core.models import MockAWS
from pytest_socket import disable_socket, enable_socket, socket_allow_hosts

from tests.support.aws import MOTO

LOOPBACK = ["127.0.0.1", "::1"]
PROOF = "proof"
TESTS = Path(__file__).parent
# As measured: what starts last should be short, lest one worker waits for the other.
LONGEST_FIRST: tuple[str, ...] = ()


def pytest_configure() -> None:
    """Take Ctrl-C, and so does all that tests start; a shell has its background jobs ignore it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def asks_for_proofs(config: pytest.Config) -> bool:
    return PROOF in str(config.option.markexpr).replace(f"not {PROOF}", "")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the proofs out where nobody asks for them; the files that take longest start first."""
    if not asks_for_proofs(config):
        config.hook.pytest_deselected(items=[item for item in items if item.get_closest_marker(PROOF)])
        items[:] = [item for item in items if not item.get_closest_marker(PROOF)]
    first = {name: place for place, name in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: first.get(item.path.relative_to(TESTS).as_posix(), len(first)))


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("e2e") or item.get_closest_marker("enable_socket"):
        enable_socket()
        socket_allow_hosts(LOOPBACK, allow_unix_socket=True)
    else:
        disable_socket(allow_unix_socket=True)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print what was left out, and what tests tell by `record_property("tells", …)`, whoever ran them."""
    for report in (*terminalreporter.getreports("passed"), *terminalreporter.getreports("failed")):
        for name, words in report.user_properties:
            if name == "tells":
                terminalreporter.write_line(str(words))
    terminalreporter.write_line(
        "left out: all but the proofs; pytest without -m runs it"
        if asks_for_proofs(config)
        else "left out: the proofs (bursts, tour, benchmarks, an installed wheel); pytest -m proof runs them"
    )


@pytest.fixture(scope="module")
def running_moto() -> Iterator[MockAWS]:
    """moto, started once for a file; each test empties it."""
    with mock_aws(config=MOTO) as mock:
        yield mock
