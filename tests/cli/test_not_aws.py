"""Each command ends with one line if a page comes in the place of any answer that it reads."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from moto.core.models import MockAWS

from s3agg.cli.invocation import Seams
from s3agg.cli.main import main
from tests.support import deploying
from tests.support.aws import REGION, Page, Session, Wire, empty, make_world, watch
from tests.support.clock import Clock
from tests.support.ran import Ran

pytestmark = pytest.mark.proof

ID = {"x-amzn-RequestId": "1"}
PAGES = (
    Page(b"<html><body>Please log in</body></html>"),
    Page(b""),
    Page(b"null", headers=ID),
    Page(b"{}"),
    Page(b"<Portal><Login/></Portal>", headers=ID),
)
COMMANDS = (
    "create --window 40",
    "delete --yes",
    "delete --yes --bucket uploads",
    "status",
    "test-upload --count 1 --timeout 90",
    "logs",
    "redrive",
    "refresh",
    "cost --measured",
    "policy",
)


# Without these, status shows the rest, and warns.
OPTIONAL = {"status": {"cloudwatch:GetMetricData", "logs:FilterLogEvents"}}


@dataclass(frozen=True)
class User:
    """Somebody with a stack, at the command line."""

    account: MockAWS
    session: Session
    wire: Wire
    capsys: pytest.CaptureFixture[str]

    def make_stack(self) -> None:
        empty(self.account)
        deploying.make(make_world(), "uploads")
        self.wire.reset()
        # moto would ask Docker for the function that gets the event.
        self.wire.answer("s3:PutObject", {})
        self.wire.answer("s3:DeleteObject", {})

    def run(self, command: str) -> Ran:
        if self.wire.changes:
            self.make_stack()
        self.wire.calls.clear()
        with pytest.raises(SystemExit) as exit_:
            main(command.split(), Seams(self.session, Clock(), workers=1))
        return Ran(int(str(exit_.value.code)), *self.capsys.readouterr())

    def reads(self, command: str) -> set[str]:
        """The operations with which the command reads from moto."""
        self.run(command)
        injected = {fault.operation for fault in self.wire.faults}
        return {call.operation for call in self.wire.calls if not call.changes} - injected

    def run_with_pages(self, command: str) -> Iterator[tuple[str, Ran]]:
        """Run the command once for each of its reads, with a page in the place of the answer."""
        for operation, page in zip(sorted(self.reads(command)), itertools.cycle(PAGES), strict=False):
            if self.wire.changes:
                self.make_stack()
            self.wire.pages = {operation: page}
            yield operation, self.run(command)


@pytest.fixture(scope="module")
def watched() -> tuple[Session, Wire]:
    session = Session().with_credentials()
    session.set_config_variable("region", REGION)
    return session, watch(session)


@pytest.fixture
def user(running_moto: MockAWS, watched: tuple[Session, Wire], capsys: pytest.CaptureFixture[str]) -> User:
    user = User(running_moto, *watched, capsys)
    user.make_stack()
    return user


@pytest.mark.parametrize("command", COMMANDS)
def test_a_page_in_the_place_of_any_answer_is_told_in_one_line(user: User, command: str) -> None:
    for operation, ran in user.run_with_pages(command):
        name = operation.partition(":")[2]
        told = re.findall(rf"What answers at https://\S+ is not AWS: {name} got status 200,", ran.words)
        assert len(told) == 1, (operation, ran)
        assert ran.code == 1 or operation in OPTIONAL.get(command, ()), (operation, ran)
