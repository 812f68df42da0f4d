"""An acceptance run on an AWS account. tests/README.md describes it.

It is skipped unless S3AGG_AWS_ACCEPTANCE is 1 and there are credentials.
"""

from __future__ import annotations

import atexit
import os
import secrets
import signal
from collections.abc import Generator, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from botocore.exceptions import BotoCoreError
from pytest_socket import enable_socket, socket_allow_hosts

from s3agg.aws.endpoints import is_loopback
from s3agg.errors import S3aggError
from tests.acceptance import consent, leftovers, share
from tests.acceptance.account import Account, connect, is_here
from tests.acceptance.findings import Ended, Report
from tests.acceptance.refusals import note_unseen
from tests.acceptance.share import Share

VARIABLE = "S3AGG_AWS_ACCEPTANCE"
REPORT = pytest.StashKey[Report]()
TOKEN = pytest.StashKey[str]()
LOOPBACK = ["127.0.0.1", "::1"]
CLEANING_S = 900  # the longest that AWS may take to delete everything
SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
OUTPUT = "s3agg acceptance"  # the name of what a worker sends
SHOWN = 2000  # characters of a test's failure in the JSON


def pytest_configure(config: pytest.Config) -> None:
    config.stash[REPORT] = Report()
    config.stash[TOKEN] = secrets.token_hex(4)


def pytest_runtest_setup(item: pytest.Item) -> None:
    if not item.get_closest_marker("acceptance"):
        return
    if os.environ.get(VARIABLE) != "1":
        pytest.skip(f"set {VARIABLE}=1 to run on an AWS account")
    enable_socket()
    if is_loopback(os.environ.get("AWS_ENDPOINT_URL", "")):
        socket_allow_hosts(LOOPBACK, allow_unix_socket=True)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if item.get_closest_marker("acceptance") and (call.when == "call" or report.failed):
        reason = report.longreprtext[-SHOWN:] if report.failed else ""
        ended = Ended(item.name, report.outcome, round(call.duration, 2), reason)
        item.config.stash[REPORT].tests.append(ended)
    return report


@pytest.fixture(scope="session")
def interruptible() -> Iterator[None]:
    """End like Ctrl-C when the terminal is closed or the process is terminated: what was made is deleted."""
    before = {number: signal.signal(number, signal.default_int_handler) for number in SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture(scope="session")
def account(
    pytestconfig: pytest.Config,
    tmp_path_factory: pytest.TempPathFactory,
    interruptible: None,  # noqa: ARG001  # takes effect before anything is made
) -> Iterator[Account]:
    """The account, after its user has consented. At the end nothing of the run is left in it."""
    report, token = pytestconfig.stash[REPORT], pytestconfig.stash[TOKEN]
    try:
        if botocore.session.Session().get_credentials() is None:
            pytest.skip("there are no AWS credentials")
        aws = connect()
        here = is_here(aws)
        if hasattr(pytestconfig, "workerinput") and not here:
            # A worker can neither ask nor clean up after Ctrl-C: xdist kills it.
            pytest.skip("pass -n 0 to run on an AWS account")
        account = Account(aws, token, tmp_path_factory.mktemp("acceptance"), report, here)
        region = account.place.region
        arn = os.environ.get(share.VARIABLE)
        shared = share.describe(aws, arn) if arn else None
    except (S3aggError, BotoCoreError) as error:
        pytest.exit(f"Nothing was made. {error}", returncode=1)
    if len(home := str(Path.home())) > 1:
        report.hidden[home] = "HOME"
    if shared:
        report.hidden |= {shared.bucket: "BUCKET", shared.id: "SHARE"}
        report.hidden[shared.gateway.rpartition("/")[2]] = "GATEWAY"
    if not here:
        consent.ask(account, shared, pytestconfig)
    there = leftovers.find(aws, token, shared=shared)
    if there:
        pytest.exit(f"These names are taken: {', '.join(map(str, there))}. Run again", returncode=1)
    report.where, report.region = "endpoints on loopback (an emulator)" if here else "AWS", region
    end = partial(clean, account, shared, pytestconfig)
    atexit.register(end)  # in case pytest itself fails, such as when its terminal is closed
    try:
        yield account
    finally:
        end()
        atexit.unregister(end)


def clean(account: Account, shared: Share | None, config: pytest.Config) -> None:
    """Delete everything; fail if something is left. The first Ctrl-C meanwhile only says so."""
    enable_socket()  # the last test may be one that reaches no network
    pressed: list[int] = []

    def tell(words: str) -> None:
        terminal = config.pluginmanager.getplugin("terminalreporter")
        with suppress(OSError):  # the terminal may be closed
            terminal.write_line(words)

    def on_signal(number: int, _: object) -> None:
        pressed.append(number)
        if len(pressed) > 1:
            raise KeyboardInterrupt
        tell("Deleting what the run made. Press Ctrl-C again to stop, which leaves resources.")

    before = {number: signal.signal(number, on_signal) for number in SIGNALS}
    account.report.left = ["unknown, as the deletion was interrupted"]
    try:
        account.report.left = leftovers.remove_all(
            account.aws, account.token, shared=shared, within_s=CLEANING_S, pause_s=account.scaled(10)
        )
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for each in account.report.left:
            tell(f"LEFT IN THE ACCOUNT: {each}")
        if account.report.left:
            tell(f"To delete it, run: python -m tests.acceptance {account.token}")
    assert account.report.left == []


@pytest.fixture(scope="session")
def shared(account: Account) -> Share:
    """The user's file share."""
    arn = os.environ.get(share.VARIABLE)
    if not arn:
        pytest.skip(f"set {share.VARIABLE} to the ARN of a file share to see what a gateway answers")
    return share.describe(account.aws, arn)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Send what this worker found to the process that prints it."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput[OUTPUT] = session.config.stash[REPORT].parts()


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take in what a worker found."""
    parts = getattr(node, "workeroutput", {}).get(OUTPUT)
    if parts:
        node.config.stash[REPORT].add(parts)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the table, and where the JSON is."""
    report = config.stash[REPORT]
    if not report.where or hasattr(config, "workerinput"):
        return
    note_unseen(report)
    path = Path(config.invocation_params.dir, f"s3agg-acceptance-{config.stash[TOKEN]}.json")
    report.write(path)
    terminalreporter.section("facts about AWS")
    for line in report.table():
        terminalreporter.write_line(line)
    counts = ", ".join(f"{count} {verdict}" for verdict, count in report.counts().items())
    terminalreporter.write_line(f"{counts}. The report, without account ids and keys: {path}")
    terminalreporter.write_line("Left in the account: " + ("; ".join(report.left) or "nothing"))
