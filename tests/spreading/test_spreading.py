"""Whatever spreads late: each command ends well, and in the end AWS holds what the last command asked."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
from moto.core.models import MockAWS

from s3agg import engine
from s3agg.aws.session import Aws
from s3agg.commands import preflight
from s3agg.commands.create import apply_create
from s3agg.commands.delete import detach_buckets, for_delete, for_detach
from s3agg.errors import S3aggError
from s3agg.settings import Names
from s3agg.stack import deployed
from s3agg.stack.deployed import Request
from tests.spreading.control_plane import ControlPlane, Nature
from tests.support.aws import make_bucket
from tests.support.clock import Clock
from tests.support.interruption import KINDS, Account, Died, Terminal, inventory
from tests.support.snapshots import Snapshot

pytestmark = pytest.mark.stack

NAMES = Names()
BUCKETS = ("photos", "videos")


@dataclass(frozen=True)
class Step:
    """A command, so many s after the last one; its `interrupted`-th call goes wrong."""

    command: str  # create, detach or delete
    pause_s: float = 0
    buckets: tuple[str, ...] = ()
    options: tuple[tuple[str, Any], ...] = ()
    interrupted: int | None = None
    kind: str = KINDS[0]


@dataclass(frozen=True)
class Schedule:
    nature: Nature
    steps: tuple[Step, ...]


@dataclass
class Wanted:
    """What AWS is to hold after the commands so far."""

    buckets: set[str] = field(default_factory=set)
    options: dict[str, Any] = field(default_factory=dict)
    exists: bool = False

    def note(self, step: Step) -> None:
        if step.command == "create":
            self.exists = True
            self.buckets |= set(step.buckets)
            self.options.update(step.options)
        elif step.command == "detach":
            self.buckets -= set(step.buckets)
        else:
            self.exists, self.buckets, self.options = False, set(), {}


@dataclass
class Life:
    """A stack's, by one user whose every command is a process of its own."""

    account: Account
    schedule: Schedule
    wanted: Wanted = field(default_factory=Wanted)
    harm: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.clock = Clock()
        self.terminal = Terminal(self.account.somebody, self.clock)
        self.plane = ControlPlane(self.clock, self.account.somebody, self.schedule.nature)
        self.plane.listen(self.terminal.session)

    def live(self) -> list[str]:
        for step in self.schedule.steps:
            if step.command == "detach" and not self.wanted.exists:
                continue
            self.clock.sleep(step.pause_s)
            self._try(step)
            self.wanted.note(step)
        self.plane.settle()
        self._judge()
        return self.harm

    def _try(self, step: Step) -> None:
        """Run it; once more if it was interrupted."""
        interruption = self.terminal.interruption
        interruption.arm(step.interrupted or 0, step.kind)
        try:
            run(self.terminal.process(), step)
        except (Died, S3aggError) as error:
            if not interruption.struck:
                self.harm.append(f"{step} failed: {error}")
                return
        else:
            return
        interruption.arm()
        try:
            run(self.terminal.process(), step)
        except S3aggError as error:
            self.harm.append(f"{step} failed when it was run again: {error}")

    def _judge(self) -> None:
        aws = self.terminal.process()
        self.terminal.interruption.arm()
        if not self.wanted.exists:
            left = [name for name in inventory(aws, *BUCKETS) if not name.startswith("bucket ")]
            self.harm += [f"{name} is left" for name in left]
            return
        deployment = deployed.read(aws, NAMES, Request())
        self.harm += [f"{change.resource} is {change.action}" for change in deployment.plan().to_do]
        if set(deployment.buckets) != self.wanted.buckets:
            self.harm.append(f"buckets are {deployment.buckets}, not {self.wanted.buckets}")
        for name, value in self.wanted.options.items():
            found = getattr(deployment.stack.settings, name)
            if found != value:
                self.harm.append(f"{name} is {found}, not {value}")
        self.harm += [f"{function} cannot start" for function in self.plane.cannot_start()]


def run(aws: Aws, step: Step) -> None:
    if step.command == "create":
        checked = preflight.check(aws, NAMES, Request(step.buckets, options=dict(step.options)))
        list(apply_create(aws, checked.passed(), checked.plan))
    elif step.command == "detach":
        deployment, plan = for_detach(aws, NAMES, list(step.buckets))
        list(detach_buckets(aws, deployment, list(step.buckets), plan))
    else:
        _, plan = for_delete(aws, NAMES)
        list(engine.apply(aws, plan, keep_going=True))


@pytest.fixture(scope="module")
def account(running_moto: MockAWS) -> Account:
    account = Account(running_moto)
    for bucket in BUCKETS:
        make_bucket(account.somebody, bucket)
    return account


@pytest.fixture(scope="module")
def empty(account: Account) -> Snapshot:  # noqa: ARG001  # with its buckets
    return Snapshot.take()


def harm(account: Account, empty: Snapshot, nature: Nature, *steps: Step) -> list[str]:
    empty.put_back()
    return Life(account, Schedule(nature, steps)).live()


CREATE = Step("create", buckets=("photos",))


def test_a_calm_life(account: Account, empty: Snapshot) -> None:
    steps = (CREATE, Step("create", buckets=("videos",)), Step("detach", buckets=("photos",)))

    assert harm(account, empty, Nature(), *steps) == []
    assert harm(account, empty, Nature(), *steps, Step("delete")) == []


@pytest.mark.parametrize(
    "nature",
    [
        Nature(role_s=120),
        Nature(iam_s=10),
        Nature(collides=0.3),
        Nature(function_s=10),
        Nature(queue_s=10),
    ],
    ids=str,
)
def test_what_spreads_late_is_waited_for(account: Account, empty: Snapshot, nature: Nature) -> None:
    """FACTS 1 to 3, and 26 to 33."""
    changed = Step("create", options=(("window", 300),))

    assert (
        harm(account, empty, nature, CREATE, changed, Step("detach", buckets=("photos",)), Step("delete"))
        == []
    )
