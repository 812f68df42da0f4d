"""Each mend is needed: without it, a schedule of the spreading world does harm."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
from moto.core.models import MockAWS

from tests.spreading import life
from tests.spreading.mutation import mutated

pytestmark = pytest.mark.proof

CREATE: dict[str, Any] = {"command": "create", "buckets": ("photos",)}
DELETE: dict[str, Any] = {"command": "delete"}
WINDOW: dict[str, Any] = {"command": "create", "options": (("window", 300),)}
VIDEOS: dict[str, Any] = {"command": "create", "buckets": ("videos",), "pause_s": 2}


@dataclass(frozen=True)
class Mend:
    """A mend: what stands in a module, what stood there before, and a schedule that needs it."""

    module: str
    text: str
    without: str
    nature: dict[str, Any]
    steps: list[dict[str, Any]] = field(default_factory=lambda: [CREATE])

    def harm(self, life: Any, stage: Any) -> list[str]:
        """What harm the schedule does, with the package that `life` imported."""
        steps = tuple(life.Step(**step) for step in self.steps)
        return list(stage.harm(life.Schedule(life.Nature(**self.nature), steps)))


MENDS = {
    "23: tags are read until they show": Mend(
        "s3agg.resources.table",
        "lambda: tags.items() <= self._tags(aws).items()",
        "lambda: True",
        {"tags_s": 10},
        [CREATE, WINDOW, VIDEOS],
    ),
    "23: tags that still spread are waited for": Mend(
        "s3agg.resources.table",
        "            on=BUSY,\n            patience_s=TAGS_S,",
        "            on=(),\n            patience_s=TAGS_S,",
        {"tags_s": 10, "often": 0.7, "seed": 2},
        [CREATE, WINDOW],
    ),
    "23: an empty set of tags is not believed": Mend(
        "s3agg.resources.table",
        "return bool(tags) or",
        "return True or",
        {"tags_s": 5},
        [CREATE, VIDEOS],
    ),
    "24: a queue is marked before it is deleted": Mend(
        "s3agg.resources.queue",
        "unless_absent(aws.sqs.tag_queue, QueueUrl=found.url, Tags=deleted)",
        "pass",
        {"queue_gone_s": 50},
        [CREATE, DELETE, CREATE],
    ),
    "24: Lambda does not know the new queue yet": Mend(
        "s3agg.resources.function",
        'Refusal("InvalidParameterValueException", "NonExistentQueue")',
        'Refusal("")',
        {"queue_s": 100, "often": 0.7, "seed": 2},
    ),
    "25: a function is pointed at its role anew": Mend(
        "s3agg.resources.function",
        "if not found.is_granted and found.role",
        "if False and found.role",
        {},
        [CREATE, {"command": "new role"}],
    ),
    "26: changes of a log group collide": Mend(
        "s3agg.resources.log_group", 'Refusal("OperationAbortedException")', 'Refusal("")', {"collides": 0.6}
    ),
    "27: a new function is not found yet": Mend(
        "s3agg.resources.function",
        'Refusal("ResourceNotFoundException", "function not found")',
        'Refusal("")',
        {"function_s": 10},
    ),
    "27: the failure destination does not find the new function yet": Mend(
        "s3agg.resources.function",
        """Refusal("ResourceNotFoundException", "function doesn't exist")""",
        'Refusal("")',
        {"function_s": 100, "often": 0.7, "seed": 4},
    ),
    "27: a mapping does not find the new function yet": Mend(
        "s3agg.resources.trigger",
        "*NEW_FUNCTION, *NEW_QUEUE)",
        "*NEW_QUEUE)",
        {"function_s": 100, "often": 0.7, "seed": 4},
    ),
    "28: a destination is not valid yet": Mend(
        "s3agg.resources.function",
        'Refusal("InvalidParameterValueException", "destination ARN")',
        'Refusal("")',
        {"queue_s": 10},
    ),
    "29: a deleted function keeps its name": Mend(
        "s3agg.resources.function",
        "on=(*ROLE_SPREADING, *NOT_YET)",
        "on=ROLE_SPREADING",
        {"function_gone_s": 100},
        [CREATE, DELETE, CREATE],
    ),
    "30: writes to IAM collide": Mend(
        "s3agg.resources.policy", 'Refusal("ConcurrentModification")', 'Refusal("")', {"collides": 0.3}
    ),
    "30: after a collision the resource is read again": Mend(
        "s3agg.engine", "on=resource.collides", "on=()", {"collides": 0.3}
    ),
    "30: a new policy cannot be attached yet": Mend(
        "s3agg.resources.role", "on=(*COLLIDES, *NEW)", "on=COLLIDES", {"iam_s": 10}
    ),
    "31: IAM takes up to 5 minutes": Mend(
        "s3agg.resources.policy", "IAM_PATIENCE_S = 300", "IAM_PATIENCE_S = 60", {"role_s": 120}
    ),
    "32: variables that nobody could read are not written over": Mend(
        "s3agg.resources.function",
        "        if found.unreadable:",
        "        if False:",
        {},
        [CREATE, {"command": "unreadable variables"}],
    ),
    "33: new attributes are waited for": Mend(
        "s3agg.resources.queue",
        "return not self.differs(shown, *self.properties)",
        "return True",
        {"attributes_s": 60},
        [CREATE, {"command": "new redrive"}, {"command": "create"}],
    ),
    "33: a new retention period is no drift": Mend(
        "s3agg.resources.queue",
        "found.retention_spreads and",
        "False and",
        {"retention_s": 900},
        [CREATE, {"command": "new retention"}, {"command": "create"}],
    ),
    "34: statements that another change has lost are added again": Mend(
        "s3agg.commands.create",
        "if each.find(snapshot) is None]",
        "if False]",
        {"loses": 1},
        [{**CREATE, "turns": 2}],
    ),
    "36: who tags a policy may list its tags": Mend(
        "s3agg.commands.policy",
        '        "iam:ListPolicyTags",\n',
        "",
        {},
        [CREATE, {"command": "adopt"}],
    ),
    "36: who tags a role may list its tags": Mend(
        "s3agg.commands.policy",
        '        "iam:ListRoleTags",\n',
        "",
        {},
        [CREATE, {"command": "adopt"}],
    ),
    "39: a function that is being deleted is gone": Mend(
        "s3agg.resources.function",
        'function["Configuration"].get("State") == "Deleting"',
        "False",
        {"function_gone_s": 20},
        [CREATE, DELETE, CREATE],
    ),
    "39: a failed update of an earlier run stops no bucket": Mend(
        "s3agg.resources.function",
        '(updated and update == "Failed")',
        'update == "Failed"',
        {},
        [CREATE, {"command": "failed update", "buckets": ("videos",)}],
    ),
    "42: a new rule is not found yet": Mend(
        "s3agg.resources.rule", 'Refusal("ResourceNotFoundException")', 'Refusal("")', {"rule_s": 10}
    ),
    "42: a target that was removed still shows": Mend(
        "s3agg.resources.rule", '"has targets"', '"no"', {"rule_s": 10}, [CREATE, DELETE]
    ),
}


@pytest.fixture(scope="module")
def stage(running_moto: MockAWS) -> life.Stage:
    return life.Stage(running_moto)


@pytest.mark.parametrize("mend", MENDS.values(), ids=MENDS)
def test_without_a_mend_a_command_does_harm(mend: Mend, stage: life.Stage, running_moto: MockAWS) -> None:
    assert mend.harm(life, stage) == []

    with mutated(mend.module, mend.text, mend.without) as without:
        assert mend.harm(without, without.Stage(running_moto)) != []
