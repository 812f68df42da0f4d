"""create brings the stack to what is asked, and no further."""

from __future__ import annotations

import pytest

from tests.e2e.support import LocalAws, OwnStack

pytestmark = pytest.mark.e2e


def test_an_option_not_given_keeps_what_was_asked_for_before(world: LocalAws, stack: OwnStack) -> None:
    stack.run.must("create", "--bucket", world.bucket(), "--window", "7")
    tagging = stack.run.must("create", "--tag", "a=b")
    status = stack.run("status")

    function = world.client("lambda").get_function(FunctionName=stack.names.aggregator)
    changed = [each for each in tagging.json["changes"] if each["action"] != "keep"]
    assert function["Configuration"]["Environment"]["Variables"]["REFRESH_DELAY_SECONDS"] == "7"
    assert function["Tags"]["a"] == "b"
    assert {each["what"] for change in changed for each in change["differences"]} == {
        "tag a",
        "tag s3agg:tags",
    }
    assert status.code == 0
