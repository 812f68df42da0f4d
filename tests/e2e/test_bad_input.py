"""What is wrong, in each way that an error leaves the process: one line says so, and nothing is changed.

What else can be wrong, the fast tests of commands and refusals tell.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.e2e.support import LocalAws, OwnStack, answering
from tests.support.ran import Ran

pytestmark = pytest.mark.e2e

BUCKET = "bad-input"
FAILED = 1
CREATE = ("create", "--bucket", BUCKET)


@dataclass(frozen=True)
class Bad:
    """A command, and what its user is told; variables that are None are unset."""

    arguments: tuple[str, ...]
    words: str
    variables: Mapping[str, str | None] = field(default_factory=dict)


CASES = {
    "no credentials": Bad(
        CREATE,
        "No AWS credentials",
        # Without it botocore asks the network for those of an EC2 instance.
        {"AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None, "AWS_EC2_METADATA_DISABLED": "true"},
    ),
    "nobody listens": Bad((*CREATE, "--endpoint-url", "http://127.0.0.1:1"), "127.0.0.1:1"),
    "one good bucket, one missing": Bad((*CREATE, "--bucket", "bad-input-missing"), "bad-input-missing"),
}


@pytest.fixture(scope="module")
def nothing(world: LocalAws) -> OwnStack:
    """A stack that never comes to be, and its bucket."""
    world.client("s3").create_bucket(Bucket=BUCKET)
    return world.stack()


@pytest.fixture(scope="module")
def before(world: LocalAws, nothing: OwnStack) -> dict[str, Any]:  # noqa: ARG001  # with its buckets
    return world.inventory()


@pytest.fixture(scope="module")
def told(nothing: OwnStack, before: object) -> dict[str, Ran]:  # noqa: ARG001  # taken before
    """What each of them was told; several at once, as each waits for its Python to start."""

    def run(bad: Bad) -> Ran:
        return nothing.run.set(**bad.variables)(*bad.arguments)

    with ThreadPoolExecutor(len(CASES)) as pool:
        return dict(zip(CASES, pool.map(run, CASES.values()), strict=True))


@pytest.mark.parametrize("case", CASES)
def test_one_line_says_what_is_wrong(case: str, told: dict[str, Ran]) -> None:
    bad, ran = CASES[case], told[case]

    assert ran.is_one_line, ran
    assert ran.code == FAILED
    assert bad.words in ran.stderr


def test_nothing_was_changed(world: LocalAws, before: dict[str, Any], told: dict[str, Ran]) -> None:
    assert len(told) == len(CASES)
    assert world.inventory() == before


INVALID = """<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
<Error><Type>Sender</Type><Code>InvalidClientTokenId</Code><Message>It is invalid\n[bold]</Message></Error>
<RequestId>0</RequestId></ErrorResponse>"""


@pytest.mark.parametrize(
    ("status", "body", "headers", "words"),
    [
        (403, INVALID, {"x-amzn-RequestId": "1"}, "[bold]"),
        (400, "<html>not AWS</html>", {}, "is not AWS: GetCallerIdentity got status 400"),
    ],
    ids=["invalid", "another server"],
)
def test_credentials_that_are_refused(
    status: int, body: str, headers: dict[str, str], words: str, nothing: OwnStack
) -> None:
    with answering(status, body, headers) as refusing:
        ran = nothing.run.set(AWS_ENDPOINT_URL_STS=refusing.url)(*CREATE)

    assert ran.is_one_line, ran
    assert ran.code == FAILED
    assert words in ran.stderr
