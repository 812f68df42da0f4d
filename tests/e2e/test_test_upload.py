"""test-upload follows real events through both functions, and judges."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.e2e.support import LocalAws, OwnStack
from tests.support.polling import eventually
from tests.support.ran import Ran

pytestmark = pytest.mark.e2e

FIELDS = {
    *("bucket", "uploaded", "opened_windows", "within_window"),
    *("refreshes", "showing", "shares", "hops", "objects", "seconds", "ok", "complete", "notes", "problems"),
}


@pytest.fixture(scope="module")
def bucket(world: LocalAws) -> str:
    return world.bucket()


@pytest.fixture(scope="module")
def fenced(world: LocalAws) -> str:
    """A versioned bucket that no share shows, of which the stack minds some keys only."""
    bucket = world.bucket()
    world.client("s3").put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    return bucket


@pytest.fixture(scope="module")
def stack(world: LocalAws, bucket: str, fenced: str) -> Iterator[OwnStack]:
    """A stack with two buckets, which the tests change in the order in which they stand."""
    own = world.stack()
    own.run.must("create", "--bucket", bucket, "--window", "4", "--min-interval", "1")
    own.run.must("create", "--bucket", fenced, "--prefix", "in/", "--prefix", "new/", "--suffix", ".txt")
    yield own
    own.end_functions()


@pytest.fixture(scope="module")
def share(world: LocalAws, bucket: str) -> str:
    return world.share(bucket)


@pytest.fixture(scope="module")
def ran(stack: OwnStack, bucket: str, fenced: str, share: str) -> dict[str, Ran]:
    """What test-upload said of each bucket, of both at once: a window is mostly waiting."""
    assert share
    with ThreadPoolExecutor() as pool:
        both = pool.map(lambda name: stack.run("test-upload", "--bucket", name), (bucket, fenced))
        return dict(zip((bucket, fenced), both, strict=True))


def test_it_reports_what_became_of_each_object(
    world: LocalAws, ran: dict[str, Ran], bucket: str, share: str
) -> None:
    told = ran[bucket]

    report = told.json
    (refresh,) = report["refreshes"]
    assert told.code == 0, told.stderr
    assert set(report) == FIELDS
    assert (report["bucket"], report["uploaded"], report["ok"]) == (bucket, 5, True)
    assert (report["opened_windows"], report["within_window"]) == (1, 4)
    assert refresh["shares"] == [share]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", refresh["start"])
    assert report["seconds"] > 2
    assert sorted(each["became"] for each in report["objects"]) == ["opened_window"] + ["within_window"] * 4
    assert [hop["seconds"] for hop in report["hops"]] == sorted(hop["seconds"] for hop in report["hops"])
    assert {"upload_started", "window_closed", "refresh_accepted", "refresh_completed"} <= {
        hop["step"] for hop in report["hops"]
    }
    assert told.stderr.count(": in the window") == 4
    assert world.client("s3").list_objects_v2(Bucket=bucket)["KeyCount"] == 0


def test_it_minds_both_rules_and_leaves_no_version(world: LocalAws, ran: dict[str, Ran], fenced: str) -> None:
    told = ran[fenced]

    keys = re.findall(r"^(\S+): (?:opened|in) the window$", told.stderr, re.MULTILINE)
    versions = world.client("s3").list_object_versions(Bucket=fenced)
    assert told.code == 0, told.stderr
    assert len(keys) == 5
    assert {key.partition("/")[0] for key in keys} == {"in", "new"}
    assert all(key.endswith(".txt") for key in keys)
    assert "Versions" not in versions
    assert "DeleteMarkers" not in versions
    # No share shows this bucket: that is said, and is no failure.
    assert told.json["ok"]
    assert [refresh["shares"] for refresh in told.json["refreshes"]] == [[]]
    assert any(fenced in note and "No file share" in note for note in told.json["notes"])


def test_it_must_know_which_of_two_buckets(stack: OwnStack, bucket: str, fenced: str) -> None:
    ran = stack.run("test-upload")

    assert (ran.code, len(ran.stderr.splitlines())) == (2, 1)
    (problem,) = ran.json["problems"]
    assert bucket in problem["what"]
    assert fenced in problem["what"]


def is_quiet(stack: OwnStack) -> bool:
    """Whether no window is open and no refresh under way."""
    buckets = stack.run("status").json["buckets"]
    return not any(each["window"]["open"] or each["pending"] for each in buckets)


def test_without_log_lines_it_judges_by_the_table(world: LocalAws, stack: OwnStack, bucket: str) -> None:
    # The emulator kills what runs when its configuration changes; a message in work would be back in 180 s.
    eventually(lambda: is_quiet(stack))
    stack.run.must("create", "--log-level", "ERROR")
    ran = stack.run("test-upload", "--bucket", bucket, "--keep", "--count", "3")

    kept = world.client("s3").list_objects_v2(Bucket=bucket)
    assert ran.code == 0, ran.stderr
    assert ran.json["ok"]
    assert (ran.json["opened_windows"], ran.json["within_window"]) == (None, None)
    assert len(ran.json["refreshes"]) == 1
    assert any("ERROR" in note and "DynamoDB" in note for note in ran.json["notes"])
    assert kept["KeyCount"] == 3


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_run_that_is_ended_deletes_its_objects(
    world: LocalAws, stack: OwnStack, bucket: str, number: signal.Signals
) -> None:
    before = world.client("s3").list_objects_v2(Bucket=bucket)["KeyCount"]
    with stack.run.start("test-upload", "--bucket", bucket) as running:
        eventually(lambda: running.says("Waiting for "))
        running.process.send_signal(number)
        code = running.process.wait(30)

    assert (code, world.client("s3").list_objects_v2(Bucket=bucket)["KeyCount"]) == (130, before)
    assert "Deleted the uploaded objects." in running.stderr


def test_it_fails_at_once_when_no_refresh_can_come(world: LocalAws, stack: OwnStack, bucket: str) -> None:
    functions = world.client("lambda")
    (trigger,) = functions.list_event_source_mappings(FunctionName=stack.names.refresher)[
        "EventSourceMappings"
    ]
    functions.update_event_source_mapping(UUID=trigger["UUID"], Enabled=False)
    eventually(lambda: functions.get_event_source_mapping(UUID=trigger["UUID"])["State"] == "Disabled")

    ran = stack.run("test-upload", "--bucket", bucket)

    assert (ran.code, ran.json["uploaded"]) == (1, None)
    assert "is disabled. To correct this, run: s3agg create" in ran.stderr
    assert stack.run("status").code == 3
