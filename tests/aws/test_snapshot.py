"""A snapshot makes each call once."""

from __future__ import annotations

import pytest
from botocore import exceptions

from s3agg.aws.session import Aws
from s3agg.aws.snapshot import Snapshot
from tests.support.aws import REGION, Session, refusal


@pytest.fixture
def snapshot() -> Snapshot:
    return Snapshot(Aws(session=Session(), region=REGION))


def test_what_several_want_to_know_is_asked_once(snapshot: Snapshot) -> None:
    asked: list[int] = []

    def ask() -> int:
        asked.append(1)
        return len(asked)

    answers = snapshot.aws.side_by_side(lambda _: snapshot.once("question", ask), range(8))

    assert set(answers) == {1}


def test_another_snapshot_asks_again(snapshot: Snapshot) -> None:
    answers = iter([1, 2])

    asked = [each.once("question", lambda: next(answers)) for each in (snapshot, Snapshot(snapshot.aws))]

    assert asked == [1, 2]


def test_a_failed_question_is_asked_again(snapshot: Snapshot) -> None:
    def fail() -> int:
        raise refusal("Throttling")

    with pytest.raises(exceptions.ClientError):
        snapshot.once("question", fail)

    assert snapshot.once("question", lambda: 1) == 1


def test_different_questions_have_different_answers(snapshot: Snapshot) -> None:
    assert (snapshot.once("a", lambda: 1), snapshot.once("b", lambda: 2)) == (1, 2)
