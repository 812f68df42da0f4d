"""Fast tests reach no network; those marked e2e reach loopback only. Proofs wait until they are asked for."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from moto import mock_aws
from moto.core.models import MockAWS
from pytest_socket import disable_socket, enable_socket, socket_allow_hosts
from xdist.scheduler import LoadFileScheduling  # type: ignore[import-untyped]

from tests.support.aws import MOTO

LOOPBACK = ["127.0.0.1", "::1"]
PROOF = "proof"
LEFT_OUT = pytest.StashKey[dict[str, int]]()  # how many proofs and how many others
TESTS = Path(__file__).parent
# Each of their tests is long and makes its own account: any worker may take one.
TEST_BY_TEST = ("test_interruptions.py", "test_mends.py")
# As measured: what starts last should be short, lest one worker waits for the other.
LONGEST_FIRST = (
    "spreading/test_spreading.py",
    "test_interruptions.py",
    "spreading/test_mends.py",
    "e2e/test_acceptance.py",
    "acceptance/test_life.py",
    "acceptance/test_ways.py",
    "e2e/test_benchmarks.py",
    "e2e/test_tour.py",
    "e2e/test_bursts.py",
    "e2e/test_profiles.py",
    "e2e/test_shares.py",
    "e2e/test_policy.py",
    "e2e/test_completion_of_refresh.py",
    "e2e/test_test_upload.py",
    "e2e/test_adoption.py",
    "e2e/test_status.py",
    "local/test_emulator.py",
    "e2e/test_demo.py",
    "e2e/test_delete.py",
    "e2e/test_template.py",
    "e2e/test_refresh.py",
    "test_facts.py",
    "e2e/test_bad_input.py",
    "e2e/test_install.py",
    "e2e/test_auth.py",
    "e2e/test_redrive.py",
    "stack/test_deployed.py",
    "commands/test_adopt.py",
    "cli/test_main.py",
    "commands/test_test_upload.py",
    "commands/test_status.py",
    "commands/test_template.py",
    "test_names.py",
    "protocol/test_promises.py",
    "protocol/test_cases.py",
)


def pytest_configure(config: pytest.Config) -> None:
    """Take Ctrl-C, and so does all that tests start; a shell has its background jobs ignore it.

    Forget the shell's AWS, such as the variables of `s3agg local`. Only the acceptance run needs them.
    """
    config.stash[LEFT_OUT] = {}
    if "S3AGG_AWS_ACCEPTANCE" not in os.environ:
        for name in [each for each in os.environ if each.startswith("AWS_")]:
            del os.environ[name]
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def asks_for_proofs(config: pytest.Config) -> bool:
    asked = str(config.option.markexpr)
    return any(name in asked.replace(f"not {name}", "") for name in (PROOF, "sweep"))


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """More workers than processors where much of the time is waiting: on the emulator, and more in proofs."""
    processors = os.cpu_count() or 1
    if asks_for_proofs(config):
        return processors + 2
    return processors if "not e2e" in str(config.option.markexpr) else processors + 1


class Scheduling(LoadFileScheduling):  # type: ignore[misc]  # its base has no types
    """A file stays with one worker, as its fixtures are made once; but for TEST_BY_TEST."""

    def _split_scope(self, nodeid: str) -> str:
        file = str(super()._split_scope(nodeid))
        return nodeid if file.endswith(TEST_BY_TEST) else file


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Scheduling:
    return Scheduling(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the proofs out where nobody asks for them; the files that take longest start first."""
    if not asks_for_proofs(config):
        config.hook.pytest_deselected(items=[item for item in items if item.get_closest_marker(PROOF)])
        items[:] = [item for item in items if not item.get_closest_marker(PROOF)]
    first = {name: place for place, name in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: first.get(item.path.relative_to(TESTS).as_posix(), len(first)))


def pytest_deselected(items: Sequence[pytest.Item]) -> None:
    for item in items:
        left_out = item.config.stash[LEFT_OUT]
        what = "proofs" if item.get_closest_marker(PROOF) else "other tests"
        left_out[what] = left_out.get(what, 0) + 1


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Only workers collect tests: each tells the process that started it what was left out."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["left_out"] = session.config.stash[LEFT_OUT]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    node.config.stash[LEFT_OUT].update(getattr(node, "workeroutput", {}).get("left_out", {}))


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("acceptance"):
        return  # its own conftest.py opens the sockets that its user has consented to
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
    if left_out := config.stash[LEFT_OUT]:
        told = ", ".join(f"{what} {number}" for what, number in sorted(left_out.items()))
        terminalreporter.write_line(f"left out: {told}; pytest -m 'proof or not proof' runs all")


@pytest.fixture(scope="module")
def running_moto() -> Iterator[MockAWS]:
    """moto, started once for a file; each test empties it."""
    with mock_aws(config=MOTO) as mock:
        yield mock
