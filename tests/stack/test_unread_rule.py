"""Without permission for EventBridge, or without EventBridge, all but the completion of a refresh works."""

from __future__ import annotations

import pytest

from s3agg.commands import preflight, status
from s3agg.errors import S3aggError
from s3agg.settings import Names
from s3agg.stack import deployed
from s3agg.stack.deployed import Request
from tests.support import aws as support
from tests.support.aws import World
from tests.support.deploying import create, delete, make

pytestmark = pytest.mark.stack
world = support.world

RULE = "S3EventAggregatorRefreshComplete"
DENIED = ("AccessDeniedException", "User: me is not authorized to perform: events:DescribeRule", 400)
NOT_THERE = [
    ("UnknownOperationException", "no", 404),
    ("InternalFailure", "Service 'events' is not enabled", 501),
]


def refuse(world: World, code: str, message: str, http: int, *, operation: str = "DescribeRule") -> None:
    world.wire.refuse(f"events:{operation}", code, message, status=http)


@pytest.fixture
def stack(world: World) -> World:
    """A stack with one bucket."""
    make(world, "photos")
    return world


def test_create_makes_all_else_and_warns_once(world: World) -> None:
    world.bucket("photos")
    refuse(world, *DENIED)

    made = create(world, "photos")
    again = create(world)

    assert f"create rule {RULE}" not in made
    assert "create queue S3EventAggregatorActionQueue" in made
    assert again == []
    warning = (
        "s3agg cannot tell when a refresh is complete. While reading rule S3EventAggregatorRefreshComplete:"
        " DescribeRule failed: User: me is not authorized to perform: events:DescribeRule"
        " (AccessDeniedException). Ask for permission to call DescribeRule, then run the same command again."
    )
    assert world.warnings == [warning, warning]
    assert not [call for call in world.wire.changes if call.startswith("events:")]


@pytest.mark.parametrize("operation", ["DescribeRule", "ListTargetsByRule", "ListTagsForResource"])
def test_status_is_as_declared_without_the_rule_and_warns(stack: World, operation: str) -> None:
    refuse(stack, *DENIED, operation=operation)

    shown = status.read(stack.aws, Names())

    assert shown.as_declared
    assert "rule" not in {each.kind for each in shown.resources}
    assert [each.partition(".")[0] for each in stack.warnings] == [
        "s3agg cannot tell when a refresh is complete"
    ]


def test_a_rule_that_nobody_may_read_tells_no_completion(stack: World) -> None:
    before = deployed.read(stack.aws, Names()).tells_completion
    refuse(stack, *DENIED)

    assert before
    assert not deployed.read(stack.aws, Names()).tells_completion


def test_delete_leaves_the_rule_and_says_so(stack: World) -> None:
    refuse(stack, *DENIED)

    done = delete(stack)

    assert "delete queue S3EventAggregatorActionQueue" in done
    assert f"delete rule {RULE}" not in done
    assert [each.partition(".")[0] for each in stack.warnings] == [f"Rule {RULE} may be left"]
    assert stack.somebody.eventbridge.describe_rule(Name=RULE)["Name"] == RULE


@pytest.mark.parametrize(("code", "message", "http"), NOT_THERE)
def test_an_endpoint_without_eventbridge_gives_a_stack_without_the_rule(
    world: World, code: str, message: str, http: int
) -> None:
    world.bucket("photos")
    refuse(world, code, message, http)

    made = create(world, "photos")

    assert f"create rule {RULE}" not in made
    assert "permission" not in next(each for each in world.warnings if "complete" in each)


def test_another_failure_of_the_read_is_an_error(stack: World) -> None:
    refuse(stack, "InternalException", "no", 400)

    with pytest.raises(S3aggError, match="While reading rule"):
        preflight.check(stack.aws, Names(), Request()).passed()
