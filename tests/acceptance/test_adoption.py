"""A stack as the blog's scripts make it, under a name of its own, is adopted and works."""

from __future__ import annotations

import pytest

from s3agg.resources.concurrency import UNRESERVED_MINIMUM
from s3agg.settings import Settings
from tests.acceptance.account import WINDOW_S, Account, told
from tests.support import blog

pytestmark = pytest.mark.acceptance


def test_a_stack_of_the_blogs_scripts_is_adopted(account: Account) -> None:
    stack, bucket = account.stack("Blog"), account.make_bucket("blog")
    aws = account.patient("the blog's scripts")
    # Small accounts have little room (FACTS 7).
    room = aws.lambda_.get_account_settings()["AccountLimit"]["UnreservedConcurrentExecutions"]
    blog.create(
        aws,
        bucket,
        names=stack.names,
        window=WINDOW_S,
        runtime=Settings.runtime,
        # The adoption waits for that long.
        timeout=2 if account.is_here else 10,
        reserves=room >= UNRESERVED_MINIMUM + 2,
        gateway_url=aws.storage_gateway_override,
    )
    account.report.note("7", "the unreserved concurrency of the account", "not seen", room)
    account.starts(stack.names.aggregator)
    aws.s3.put_object(Bucket=bucket, Key="before", Body=b"")

    refused = stack.run("create")
    adopted = stack.must("create", "--adopt", "--yes", *stack.interval)
    stack.becomes_declared("create --adopt")
    stack.upload(bucket)
    again = stack.must("create")
    stack.must("delete", "--yes")

    assert (refused.code, "--adopt" in refused.stderr) == (1, True), told(refused)
    assert adopted.actions[f"function {stack.names.aggregator}"] == "update"
    assert set(again.actions.values()) == {"keep"}
