"""Names of AWS's, completed as a shell asks for them."""

from __future__ import annotations

import pytest

from tests.e2e.support import Cli, LocalAws

pytestmark = pytest.mark.e2e


def completed(cli: Cli, line: str) -> list[str]:
    """What bash is told for the last word of the line."""
    asked = {"COMP_WORDS": line, "COMP_CWORD": str(len(line.split()) - 1), "_S3AGG_COMPLETE": "bash_complete"}
    return [word.partition(",")[2] for word in cli.set(**asked)().stdout.split()]


def test_a_bucket_is_completed(world: LocalAws) -> None:
    bucket = world.bucket()

    assert bucket in completed(world.cli, f"s3agg create --bucket {bucket[:-1]}")


def test_a_stack_is_completed(world: LocalAws) -> None:
    stack = world.stack()
    stack.run.must("create", "--bucket", world.bucket())

    assert completed(world.cli, f"s3agg status --stack {stack.names.stack}") == [stack.names.stack]


def test_without_aws_nothing_is_completed_and_nothing_said(world: LocalAws) -> None:
    nowhere = world.cli.set(AWS_ENDPOINT_URL="http://127.0.0.1:1", AWS_MAX_ATTEMPTS="1")

    assert completed(nowhere, "s3agg create --bucket b") == []
