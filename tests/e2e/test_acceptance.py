"""The acceptance run for an AWS account works: here against the emulator, as a user starts it."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from s3agg.local import ACCOUNT
from tests.acceptance.account import STACKS
from tests.e2e import support
from tests.e2e.support import Cli, LocalAws
from tests.support.polling import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.proof]

TREE = Path(__file__).parents[2]
FOLDER = TREE / "tests" / "acceptance"
LIFE = str(FOLDER / "test_life.py")
PYTEST = (sys.executable, "-m", "pytest", "-p", "no:cacheprovider")
CLEANER = (sys.executable, "-m", "tests.acceptance")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAws]:
    """AWS that nobody else uses: it must be as it was when a run has ended."""
    with support.world(tmp_path_factory.mktemp("homes")) as running:
        yield running


def user_in(world: LocalAws, folder: Path) -> Cli:
    """Somebody who starts the acceptance run in this folder."""
    return replace(world.cli.set(S3AGG_AWS_ACCEPTANCE="1"), command=PYTEST, folder=folder)


@contextmanager
def mounted(world: LocalAws, bucket: str, share: str, folder: Path) -> Iterator[None]:
    """Stand in for a mount of the share, whose location is `in/` of the bucket.

    Files of the share's inventory appear in the folder, and files that a client writes there are uploaded.
    """
    stop = threading.Event()
    s3 = world.client("s3")

    def go_on() -> None:
        known: set[str] = set()
        while not stop.wait(0.05):
            for key in world.files(share):
                if key not in known:
                    (folder / key).parent.mkdir(parents=True, exist_ok=True)
                    (folder / key).touch()
                    known.add(key)
            # Unlike rglob, walk minds no folder that is being deleted.
            for parent, _, names in os.walk(folder):
                for path in (Path(parent, name) for name in names):
                    key = path.relative_to(folder).as_posix()
                    if key not in known:
                        known.add(key)
                        s3.put_object(Bucket=bucket, Key=f"in/{key}", Body=b"")

    with ThreadPoolExecutor(1) as pool:
        going_on = pool.submit(go_on)
        try:
            yield
        finally:
            stop.set()
    going_on.result()


def test_the_acceptance_run_passes_reports_and_leaves_nothing(world: LocalAws, tmp_path: Path) -> None:
    bucket, mount = world.bucket(), tmp_path / "mount"
    mount.mkdir()
    share = world.share(bucket, at=f"arn:aws:s3:::{bucket}/in/")
    before = world.inventory()
    tester = user_in(world, tmp_path).set(S3AGG_AWS_SHARE=share, S3AGG_AWS_MOUNT=str(mount))

    with mounted(world, bucket, share, mount):
        # On an AWS account it takes -n 0, as the other tests here do. The emulator serves three at a time.
        ran = tester(str(FOLDER), "-n", "3", "--durations", "10")
    ended = world.inventory()

    assert ran.code == 0, ran.output
    (path,) = tmp_path.glob("s3agg-acceptance-*.json")
    report = json.loads(path.read_text(encoding="utf-8"))
    facts = {(each["fact"], each["verdict"]) for each in report["facts"]}
    assert re.search(rf"^\d+ held, \d+ not so, \d+ not seen\. .*: {path}$", ran.stdout, re.MULTILINE)
    assert {each["outcome"] for each in report["tests"]} == {"passed"}
    assert {("13", "held"), ("5", "not so"), ("1", "not seen")} <= facts
    assert report["left"] == []
    assert ACCOUNT not in path.read_text(encoding="utf-8")
    assert ended == before


def tokens(world: LocalAws) -> set[str]:
    """The tokens in the names of the functions that exist."""
    return {name[len(STACKS) :][:8] for name in world.inventory()["functions"] if name.startswith(STACKS)}


def test_ctrl_c_in_the_acceptance_run_leaves_nothing(world: LocalAws, tmp_path: Path) -> None:
    before = world.inventory()

    with user_in(world, tmp_path).start(LIFE, "-n", "0") as running:
        eventually(lambda: tokens(world))
        ran = running.interrupt()

    assert ran.code == pytest.ExitCode.INTERRUPTED, ran.output
    assert "Left in the account: nothing" in ran.stdout
    assert world.inventory() == before


def test_what_a_killed_acceptance_run_leaves_can_be_deleted(world: LocalAws, tmp_path: Path) -> None:
    before, tester = world.inventory(), user_in(world, tmp_path)

    with tester.start(LIFE, "-n", "0") as running:
        eventually(lambda: tokens(world))
        os.killpg(running.process.pid, signal.SIGKILL)
    (token,) = tokens(world)
    cleaned = replace(tester, command=CLEANER, folder=TREE)(token)

    assert cleaned.code == 0, cleaned.output
    assert cleaned.stdout.splitlines()[-1] == "Nothing is left."
    assert world.inventory() == before
