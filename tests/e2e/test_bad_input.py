"""Whatever is wrong: one line that says so, the right exit code, and nothing is changed."""

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
IN_THE_WEST = "bad-input-in-the-west"
SOMEBODY_ELSES = "bad-input-of-somebody-else"
USAGE, FAILED = 2, 1
CREATE = ("create", "--bucket", BUCKET)


@dataclass(frozen=True)
class Bad:
    """A command, and what its user is told; variables that are None are unset."""

    arguments: tuple[str, ...]
    code: int
    words: str
    variables: Mapping[str, str | None] = field(default_factory=dict)


CASES = {
    "no credentials": Bad(
        CREATE,
        FAILED,
        "No AWS credentials",
        # Without it botocore asks the network for those of an EC2 instance.
        {"AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None, "AWS_EC2_METADATA_DISABLED": "true"},
    ),
    "half of the credentials": Bad(CREATE, FAILED, "credentials", {"AWS_SECRET_ACCESS_KEY": None}),
    "no region": Bad(CREATE, USAGE, "--region", {"AWS_REGION": None, "AWS_DEFAULT_REGION": None}),
    "nobody listens": Bad((*CREATE, "--endpoint-url", "http://127.0.0.1:1"), FAILED, "127.0.0.1:1"),
    # The refusal comes before any call: nobody is asked at that address.
    "a gateway here for functions there": Bad(
        (*CREATE, "--endpoint-url", "https://192.0.2.1"), USAGE, "AWS_ENDPOINT_URL_STORAGE_GATEWAY"
    ),
    "missing bucket": Bad(("create", "--bucket", "bad-input-missing"), FAILED, "bad-input-missing"),
    "one good bucket, one missing": Bad(
        (*CREATE, "--bucket", "bad-input-missing"), FAILED, "bad-input-missing"
    ),
    "bucket of another region": Bad(("create", "--bucket", IN_THE_WEST), FAILED, "--region us-west-2"),
    "bucket of somebody else": Bad(("create", "--bucket", SOMEBODY_ELSES), FAILED, SOMEBODY_ELSES),
}


@pytest.fixture(scope="module")
def nothing(world: LocalAws) -> OwnStack:
    """A stack that never comes to be, and the buckets that it cannot have, but for one."""
    world.client("s3").create_bucket(Bucket=BUCKET)
    world.client("s3", region="us-west-2").create_bucket(
        Bucket=IN_THE_WEST, CreateBucketConfiguration={"LocationConstraint": "us-west-2"}
    )
    # To the emulator, an access key of twelve digits is another account.
    world.client("s3", key="111111111111").create_bucket(Bucket=SOMEBODY_ELSES)
    return world.stack()


@pytest.fixture(scope="module")
def before(world: LocalAws, nothing: OwnStack) -> dict[str, Any]:  # noqa: ARG001  # with its buckets
    return world.inventory()


@pytest.fixture(scope="module")
def told(nothing: OwnStack, before: object) -> dict[str, Ran]:  # noqa: ARG001  # taken before
    """What each of them was told; several at once, as each waits for its Python to start."""

    def run(bad: Bad) -> Ran:
        return nothing.run.set(**bad.variables)(*bad.arguments)

    with ThreadPoolExecutor(4) as pool:
        return dict(zip(CASES, pool.map(run, CASES.values()), strict=True))


@pytest.mark.parametrize("case", CASES)
def test_one_line_says_what_is_wrong(case: str, told: dict[str, Ran]) -> None:
    bad, ran = CASES[case], told[case]

    assert ran.is_one_line, ran
    assert ran.code == bad.code
    assert bad.words in ran.stderr


def test_nothing_was_changed(world: LocalAws, before: dict[str, Any], told: dict[str, Ran]) -> None:
    assert len(told) == len(CASES)
    assert world.inventory() == before


REFUSAL = """<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
<Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error>
<RequestId>0</RequestId></ErrorResponse>"""


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (403, REFUSAL.format(code="ExpiredToken", message="The security token has expired"), "aws sso login"),
        (403, REFUSAL.format(code="InvalidClientTokenId", message="It is invalid\n[bold]"), "[bold]"),
        (403, REFUSAL.format(code="AccessDenied", message="Explicitly denied"), "GetCallerIdentity"),
        (400, "<html>not AWS</html>", "is not AWS: GetCallerIdentity got status 400"),
        (200, "<html>not AWS at all", "is not AWS: GetCallerIdentity got status 200"),
        (200, "<html>not AWS</html>", "is not AWS: GetCallerIdentity got status 200"),
    ],
    ids=["expired", "invalid", "denied", "another server", "another broken server", "another polite server"],
)
def test_credentials_that_are_refused(status: int, body: str, words: str, nothing: OwnStack) -> None:
    headers = {"x-amzn-RequestId": "1"} if body.startswith("<ErrorResponse") else {}
    with answering(status, body, headers) as refusing:
        ran = nothing.run.set(AWS_ENDPOINT_URL_STS=refusing.url)(*CREATE)

    assert ran.is_one_line, ran
    assert ran.code == FAILED
    assert words in ran.stderr
