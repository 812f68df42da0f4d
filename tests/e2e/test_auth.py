"""With IAM enforced, the functions can do what their roles' policies say, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import pytest

from tests.e2e import support
from tests.e2e.support import LocalAws, OwnStack
from tests.support.polling import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.proof]


@pytest.fixture
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAws]:
    """The emulator tries a failed event again after 1 and 2 s, AWS after 1 and 2 minutes."""
    patience = {"LAMBDA_ASYNC_RETRY_BASE_SECONDS": "1"}
    with support.world(tmp_path_factory.mktemp("homes"), auth=True, patience=patience) as running:
        yield running


@pytest.fixture
def own(guarded: LocalAws) -> OwnStack:
    return guarded.stack()


def test_a_role_that_lost_a_policy_is_found_and_repaired(guarded: LocalAws, own: OwnStack) -> None:
    bucket = guarded.bucket()
    share = guarded.share(bucket)
    before = guarded.inventory()
    own.run.must("create", "--bucket", bucket, "--window", "1", "--min-interval", "1")

    lost = f"arn:aws:iam::000000000000:policy/{own.names.dynamo_policy}"
    guarded.client("iam").detach_role_policy(RoleName=own.names.aggregator_role, PolicyArn=lost)
    guarded.upload(bucket, "fails")
    eventually(lambda: own.queued(own.names.dead_letters) == 1)
    broken = own.run("status")
    repair = own.run.must("create")
    repaired = own.run("status")
    guarded.upload(bucket, "refreshed")
    eventually(partial(guarded.shows, share, "refreshed"))
    own.run.must("delete", "--yes")
    guarded.client("s3").delete_object(Bucket=bucket, Key="fails")
    guarded.client("s3").delete_object(Bucket=bucket, Key="refreshed")

    role = f"role {own.names.aggregator_role}"
    drifted = [each for each in broken.json["resources"] if each["state"] == "drifted"]
    assert broken.code == 3
    assert [f"{each['kind']} {each['name']}" for each in drifted] == [role]
    assert drifted[0]["differences"] == [
        {"what": f"permissions policy {lost}", "declared": "attached", "found": None}
    ]
    assert [what for what, action in repair.actions.items() if action != "keep"] == [role]
    # The event that failed still lies among the dead letters.
    assert (repaired.code, repaired.json["healthy"]) == (4, False)
    assert guarded.inventory() == before
