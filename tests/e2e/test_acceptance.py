"""The acceptance run for an AWS account works: here against the emulator, as a user starts it."""

from __future__ import annotations

import json
import re
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from s3agg.local import ACCOUNT
from tests.e2e import support
from tests.e2e.support import LocalAws

pytestmark = [pytest.mark.e2e, pytest.mark.proof]

TREE = Path(__file__).parents[2]
PYTEST = (sys.executable, "-m", "pytest")
ARGUMENTS = (str(TREE / "tests" / "acceptance"), "-n", "0", "--durations", "10", "-p", "no:cacheprovider")


@pytest.fixture
def world(tmp_path: Path) -> Iterator[LocalAws]:
    """AWS that nobody else uses: it must be as it was when the run has ended."""
    with support.world(tmp_path / "homes") as running:
        yield running


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
            for path in folder.rglob("*"):
                key = path.relative_to(folder).as_posix()
                if path.is_file() and key not in known:
                    known.add(key)
                    s3.put_object(Bucket=bucket, Key=f"in/{key}", Body=path.read_bytes())

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
    user = world.cli.set(
        S3AGG_AWS_ACCEPTANCE="1", S3AGG_AWS_SHARE=share, S3AGG_AWS_MOUNT=str(mount), PYTEST_ADDOPTS=None
    )

    with mounted(world, bucket, share, mount):
        ran = replace(user, command=PYTEST, folder=tmp_path)(*ARGUMENTS)
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
