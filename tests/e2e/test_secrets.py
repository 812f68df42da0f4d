"""What must stay secret is in no output, however much of it is asked for."""

from __future__ import annotations

import pytest

from tests.e2e.support import World

pytestmark = pytest.mark.e2e

KEY, TOKEN = "PlantedSecretKey0123456789", "PlantedSessionToken0123456789"


def test_no_command_tells_a_secret(world: World) -> None:
    stack, bucket = world.stack(), world.bucket()
    run = stack.run.set(AWS_SECRET_ACCESS_KEY=KEY, AWS_SESSION_TOKEN=TOKEN)
    commands = (
        ("create", "--bucket", bucket, "--window", "1", "--min-interval", "1", "-v"),
        ("create", "--dry-run", "--window", "2", "-v"),
        ("status", "-v"),
        ("test-upload", "--count", "1", "-v"),
        ("logs", "-v"),
        ("redrive", "--dry-run", "-v"),
        ("policy", "-v"),
        ("cost", "--measured", "-v"),
        ("template", "--code-bucket", world.bucket(), "-v"),
        ("delete", "--yes", "-v"),
        ("status", "--endpoint-url", "http://127.0.0.1:1", "-v"),
    )
    ran = [run(*command) for command in commands]

    told = "".join(each.stdout + each.stderr for each in ran)
    assert "GetCallerIdentity" in told
    assert KEY not in told
    assert TOKEN not in told
