"""How many AWS calls go one after the other: where calls are slow, a command's time is made of that."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from moto.core.models import MockAWS

from s3agg.aws.session import Aws
from s3agg.commands import status
from s3agg.settings import Names
from tests.support import deploying
from tests.support.aws import REGION, Clock, Session, Wire, World, empty, make_bucket

BUCKET = "uploads"
SERVICES = ("cloudwatch", "dynamodb", "iam", "lambda", "logs", "s3", "sqs", "storagegateway", "sts")
QUIET_S = 0.15  # nobody has called for so long: all that are under way wait for each other


@dataclass
class Rounds:
    """Holds every call until no other comes, and lets all of them go on together: that is a round."""

    counting: bool = False
    ended: list[list[str]] = field(default_factory=list)
    held: list[str] = field(default_factory=list)
    last: float = 0.0  # when a call came last
    condition: threading.Condition = field(default_factory=threading.Condition)

    def hold(self, model: Any, **_: Any) -> None:
        if not self.counting:
            return
        with self.condition:
            self.held.append(model.name)
            self.last = time.monotonic()
            mine = len(self.ended)
            while len(self.ended) == mine:
                self.condition.wait(QUIET_S)
                if len(self.ended) == mine and time.monotonic() - self.last >= QUIET_S:
                    self.ended.append(self.held)
                    self.held = []
                    self.condition.notify_all()

    def of(self, command: Callable[[], object]) -> list[str]:
        """Those that the command takes."""
        self.ended.clear()
        self.counting = True
        command()
        self.counting = False
        return [", ".join(sorted(set(each))) for each in self.ended]


@pytest.fixture(scope="module")
def watched() -> tuple[Session, Wire, Rounds]:
    """A session whose clients are made: no round is to end while somebody makes one."""
    session, wire, rounds = Session().with_credentials(), Wire(), Rounds()
    for service in SERVICES:
        session.create_client(service, region_name=REGION)
    session.register("before-call", rounds.hold)
    wire.listen(session)
    return session, wire, rounds


@dataclass(frozen=True)
class Counted:
    """An account with one bucket, whose calls are counted in rounds."""

    session: Session
    wire: Wire
    rounds: Rounds
    clock: Clock = field(default_factory=Clock)

    @property
    def world(self) -> World:
        """The account as a new process sees it, which knows nothing yet."""
        aws = Aws(session=self.session, region=REGION, clock=self.clock)
        return World(aws, aws, self.clock, self.wire)

    def create(self) -> None:
        deploying.create(self.world, BUCKET)


@pytest.fixture
def counted(watched: tuple[Session, Wire, Rounds], running_moto: MockAWS) -> Counted:
    session, wire, rounds = watched
    wire.reset()
    empty(running_moto)
    counted = Counted(session, wire, rounds)
    make_bucket(counted.world.aws, BUCKET)
    return counted


def test_a_new_stack_takes_11_rounds_of_calls(counted: Counted) -> None:
    taken = counted.rounds.of(counted.create)

    assert len(taken) <= 11, taken


def test_what_changes_nothing_takes_4_rounds_of_calls(counted: Counted) -> None:
    counted.create()
    taken = counted.rounds.of(counted.create)

    assert len(taken) <= 4, taken


def test_status_takes_4_rounds_of_calls(counted: Counted) -> None:
    counted.create()
    taken = counted.rounds.of(lambda: status.read(counted.world.aws, Names()))

    assert len(taken) <= 4, taken


def test_status_takes_6_rounds_of_calls_where_file_shares_are_known(counted: Counted) -> None:
    counted.create()
    world = counted.world
    item: Any = {"BucketName": {"S": BUCKET}, "shares": {"SS": ["share-1"]}}
    world.somebody.dynamodb.put_item(TableName=Names().table, Item=item)
    share = world.aws.place.arn("storagegateway", "share/share-1")
    listed = {"FileShareInfoList": [{"FileShareARN": share, "FileShareType": "NFS"}]}
    counted.wire.answer("storagegateway:ListFileShares", listed)
    counted.wire.answer("storagegateway:DescribeNFSFileShares", {"NFSFileShareInfoList": []})
    taken = counted.rounds.of(lambda: status.read(counted.world.aws, Names()))

    assert taken[-1] == "DescribeNFSFileShares"
    assert len(taken) <= 6, taken


def test_delete_takes_15_rounds_of_calls(counted: Counted) -> None:
    counted.create()
    taken = counted.rounds.of(lambda: deploying.delete(counted.world))

    assert len(taken) <= 15, taken
