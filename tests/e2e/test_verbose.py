"""-v shows each AWS call, and nothing that should not be shown."""

from __future__ import annotations

import pytest

from tests.e2e.support import LocalAws, OwnStack
from tests.support.ran import TRACED

pytestmark = pytest.mark.e2e

SECRETS = {
    "AWS_ACCESS_KEY_ID": "AKIASENTINELKEYID000",
    "AWS_SECRET_ACCESS_KEY": "sentinel-secret-key",
    "AWS_SESSION_TOKEN": "sentinel-session-token",
}


def test_verbose_shows_each_call_and_no_secret(world: LocalAws, stack: OwnStack) -> None:
    bucket = world.bucket()
    run = stack.run.set(**SECRETS)
    made = run.must("create", "--bucket", bucket, "--tag", "note=sentinel-tag", "-v")
    changed = run.must("create", "--tag", "note=sentinel-other", "-v")

    calls = [line for line in made.stderr.splitlines() if TRACED.match(line)]
    assert {"CreateQueue", "CreatePolicy", "CreateRole", "CreateFunction", "AddPermission"} <= {*made.calls}
    assert made.calls.count("CreateFunction") == 2
    assert any(f"PutBucketNotificationConfiguration {bucket}" in line for line in calls)
    shown = made.stdout + made.stderr + changed.stdout + changed.stderr
    assert [secret for secret in SECRETS.values() if secret in shown] == []
    # Of parameters only the results tell, where they name the settings and what differs.
    assert "sentinel" not in made.stderr + changed.stderr
    assert made.json["settings"]["tags"] == {"note": "sentinel-tag"}
    assert "sentinel-other" in changed.stdout
