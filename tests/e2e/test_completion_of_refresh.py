"""A refresh that takes 25 s: test-upload ends after it, when the share shows the files."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e import support

pytestmark = [pytest.mark.e2e, pytest.mark.proof]

TAKES_S = 25


def test_test_upload_ends_when_the_share_shows_the_files(tmp_path: Path) -> None:
    with support.world(tmp_path, refresh_seconds=TAKES_S) as world:
        bucket = world.bucket()
        share = world.share(bucket)
        own = world.stack()
        own.run.must("create", "--bucket", bucket, "--window", "4", "--min-interval", "1")

        report = own.run.must("test-upload", "--count", "3", "--keep").json
        shown = world.machine.gateway.inventory(share)
        own.end_functions()

    (refresh,) = report["shares"]
    hops = {hop["step"]: hop["seconds"] for hop in report["hops"]}
    assert report["complete"]
    assert len(shown) == 3
    # The event tells whole seconds.
    assert refresh["took_s"] >= TAKES_S - 1
    assert hops["refresh_completed"] - hops["refresh_accepted"] >= TAKES_S - 1
