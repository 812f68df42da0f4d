"""Plan and apply, with resources that only log their changes."""

from __future__ import annotations

import signal
import sys
import threading
import traceback
from collections.abc import Callable, Mapping, Sequence
from concurrent import futures
from dataclasses import dataclass, field
from typing import Any, ClassVar

import pytest
from botocore.exceptions import ClientError

from s3agg import engine
from s3agg.aws.refusals import Refusal
from s3agg.aws.session import Aws
from s3agg.aws.snapshot import Snapshot
from s3agg.engine import Change, Failed, Finished, Plan, Started
from s3agg.errors import Interrupted, S3aggError
from s3agg.resources.resource import Difference, Found, Resource
from s3agg.settings import STACK_TAG
from tests.support.aws import PLACE, Session
from tests.support.clock import Clock
from tests.support.polling import eventually

OURS = {STACK_TAG: "Test"}


@dataclass(frozen=True, kw_only=True)
class FoundThing(Found):
    size: str

    @property
    def properties(self) -> Mapping[str, str]:
        return {"size": self.size}


AS_DECLARED = FoundThing(size="1", tags=OURS)
DRIFTED = FoundThing(size="2", tags=OURS)
FOREIGN = FoundThing(size="1", tags={})


@dataclass(frozen=True, eq=False)
class Thing(Resource[FoundThing]):
    """A resource that logs its changes in `log`; `act` runs before each."""

    kind: ClassVar[str] = "thing"
    attached_fields: ClassVar[tuple[str, ...]] = ("friends",)
    early_fields: ClassVar[tuple[str, ...]] = ("host",)
    already_exists: ClassVar[tuple[Refusal, ...]] = (Refusal("Taken"),)

    log: list[str]
    base: Thing | None = None
    others: tuple[Thing, ...] = ()
    friends: tuple[Thing, ...] = ()
    there: FoundThing | None = None
    is_wanted: bool = True
    act: Callable[[], object] = field(default=lambda: None)
    host: Thing | None = None

    @property
    def wanted(self) -> bool:
        return self.is_wanted

    @property
    def arn(self) -> str:
        return self.place.arn("test", self.name)

    @property
    def properties(self) -> Mapping[str, str]:
        return {"size": "1"}

    @property
    def cloudformation(self) -> Mapping[str, Mapping[str, Any]]:
        return {}

    def find(self, snapshot: Snapshot) -> FoundThing | None:  # noqa: ARG002  # a Resource's
        self.act()
        return self.there

    def create(self, aws: Aws) -> None:  # noqa: ARG002  # a Resource's
        self.act()
        self.log.append(f"create {self.name}")

    def update(self, aws: Aws, found: FoundThing) -> None:  # noqa: ARG002  # a Resource's
        self.act()
        self.log.append(f"update {self.name}")

    def attach(self, aws: Aws, found: FoundThing | None) -> None:  # noqa: ARG002  # a Resource's
        if self.friends or self.host:
            self.log.append(f"attach {self.name}")

    def delete(self, aws: Aws, found: FoundThing) -> None:  # noqa: ARG002  # a Resource's
        self.act()
        self.log.append(f"delete {self.name}")


class Workshop:
    """The log and the things that write to it."""

    def __init__(self) -> None:
        self.log: list[str] = []

    def thing(
        self,
        name: str,
        *others: Thing,
        base: Thing | None = None,
        friends: tuple[Thing, ...] = (),
        there: FoundThing | None = None,
        wanted: bool = True,
        act: Callable[[], object] = lambda: None,
        host: Thing | None = None,
    ) -> Thing:
        return Thing(PLACE, name, OURS, self.log, base, others, friends, there, wanted, act, host)


@pytest.fixture
def workshop() -> Workshop:
    return Workshop()


def aws_with(workers: int) -> Aws:
    return Aws(session=Session(), region="eu-west-1", workers=workers, clock=Clock())


def refuse() -> None:
    raise ClientError({"Error": {"Code": "AccessDenied", "Message": "not you"}}, "MakeThing")


def plan(*things: Thing) -> Plan:
    return engine.plan(things, {thing.key: thing.there for thing in things if thing.there is not None})


def plan_delete(*things: Thing) -> Plan:
    found = {thing.key: thing.there for thing in things if thing.there is not None}
    return engine.plan_delete(things, found)


def apply(a_plan: Plan, workers: int = 1) -> list[engine.Event]:
    return list(engine.apply(aws_with(workers), a_plan))


@pytest.mark.parametrize(
    ("there", "wanted", "action"),
    [
        (None, True, "create"),
        (AS_DECLARED, True, "keep"),
        (DRIFTED, True, "update"),
        (FOREIGN, True, "foreign"),
        (AS_DECLARED, False, "delete"),
        (DRIFTED, False, "delete"),
    ],
)
def test_a_plan_says_what_becomes_of_each(
    workshop: Workshop, there: FoundThing | None, wanted: bool, action: str
) -> None:
    (change,) = plan(workshop.thing("a", there=there, wanted=wanted)).changes

    assert change.action == action


def test_what_is_neither_wanted_nor_there_is_not_in_the_plan(workshop: Workshop) -> None:
    assert plan(workshop.thing("a", wanted=False)).changes == []


def test_what_is_somebody_elses_and_not_wanted_is_in_nobodys_way(workshop: Workshop) -> None:
    assert plan(workshop.thing("a", wanted=False, there=FOREIGN)).changes == []


def test_an_update_says_what_differs(workshop: Workshop) -> None:
    (change,) = plan(workshop.thing("a", there=DRIFTED)).changes

    assert list(change.differences) == [Difference("size", "1", "2")]


def test_a_plan_to_delete_holds_what_is_there(workshop: Workshop) -> None:
    things = [workshop.thing("a", there=DRIFTED), workshop.thing("b"), workshop.thing("c", there=FOREIGN)]

    changes = plan_delete(*things).changes

    assert [(each.resource.name, each.action) for each in changes] == [("a", "delete"), ("c", "foreign")]


def test_find_asks_for_all_and_leaves_out_what_is_not_there(workshop: Workshop) -> None:
    things = [workshop.thing("a", there=DRIFTED), workshop.thing("b")]

    found = engine.find(Snapshot(aws_with(1)), things)

    assert found == {("thing", "a"): DRIFTED}


def test_a_failed_look_names_what_was_looked_at(workshop: Workshop) -> None:
    with pytest.raises(S3aggError, match=r"While reading thing a: .*not you"):
        engine.find(Snapshot(aws_with(1)), [workshop.thing("a", act=refuse)])


@pytest.mark.parametrize("workers", [1, 8])
def test_what_is_needed_is_made_first(workshop: Workshop, workers: int) -> None:
    a = workshop.thing("a")
    b = workshop.thing("b", base=a)
    c = workshop.thing("c", a, b)

    apply(plan(c, b, a), workers)

    assert workshop.log == ["create a", "create b", "create c"]


@pytest.mark.parametrize("workers", [1, 8])
def test_what_is_needed_is_removed_last(workshop: Workshop, workers: int) -> None:
    a = workshop.thing("a", there=AS_DECLARED)
    b = workshop.thing("b", base=a, there=AS_DECLARED)
    c = workshop.thing("c", a, b, there=AS_DECLARED)

    apply(plan_delete(a, b, c), workers)

    assert workshop.log == ["delete c", "delete b", "delete a"]


def test_an_attached_dependency_is_created_side_by_side(workshop: Workshop) -> None:
    both = threading.Barrier(2, timeout=5)
    a = workshop.thing("a", act=both.wait)
    b = workshop.thing("b", friends=(a,), act=both.wait)
    c = workshop.thing("c", base=b)

    events = apply(plan(c, b, a), workers=2)

    assert set(workshop.log[:2]) == {"create a", "create b"}
    assert workshop.log[2:] == ["attach b", "create c"]
    assert [type(event) for event in events if event.change.resource is b] == [Started, Finished]


def test_an_early_dependency_is_attached_only_before_this_attaches(workshop: Workshop) -> None:
    slow = threading.Event()
    a = workshop.thing("a", act=lambda: slow.wait(5))
    b = workshop.thing("b", friends=(a,))
    c = workshop.thing("c", host=b, act=slow.set)

    apply(plan(c, b, a), workers=2)

    assert workshop.log[0] == "create b"
    assert set(workshop.log[1:3]) == {"create c", "create a"}
    assert workshop.log[3:] == ["attach b", "attach c"]


def test_a_resource_is_deleted_before_its_attached_dependency(workshop: Workshop) -> None:
    a = workshop.thing("a", there=AS_DECLARED)
    b = workshop.thing("b", friends=(a,), there=AS_DECLARED)

    apply(plan_delete(a, b))

    assert workshop.log == ["delete b", "delete a"]


def test_a_dependency_that_could_not_be_created_is_not_attached(workshop: Workshop) -> None:
    a = workshop.thing("a", act=refuse)
    b = workshop.thing("b", friends=(a,))

    with pytest.raises(S3aggError, match="While creating thing a"):
        apply(plan(b, a), workers=2)

    assert "attach b" not in workshop.log


@pytest.mark.parametrize("workers", [1, 8])
def test_the_order_holds_through_what_does_not_change(workshop: Workshop, workers: int) -> None:
    a = workshop.thing("a", there=DRIFTED)
    b = workshop.thing("b", base=a, there=AS_DECLARED)
    c = workshop.thing("c", base=b)

    apply(plan(c, b, a), workers)

    assert workshop.log == ["update a", "create c"]


@pytest.mark.parametrize("workers", [1, 8])
def test_the_order_of_removal_holds_through_what_is_gone(workshop: Workshop, workers: int) -> None:
    a = workshop.thing("a", there=AS_DECLARED)
    b = workshop.thing("b", base=a)
    c = workshop.thing("c", base=b, there=AS_DECLARED)

    apply(plan_delete(a, b, c), workers)

    assert workshop.log == ["delete c", "delete a"]


def test_what_is_not_wanted_any_more_goes_before_what_it_needs_changes(workshop: Workshop) -> None:
    a = workshop.thing("a", there=DRIFTED)
    b = workshop.thing("b", base=a, there=AS_DECLARED, wanted=False)

    apply(plan(a, b))

    assert workshop.log == ["delete b", "update a"]


def test_nothing_to_do_does_nothing(workshop: Workshop) -> None:
    events = apply(plan(workshop.thing("a", there=AS_DECLARED)))

    assert (events, workshop.log) == ([], [])


def test_the_events_tell_the_start_and_the_end_of_each(workshop: Workshop) -> None:
    a = workshop.thing("a")
    b = workshop.thing("b", base=a)

    events = apply(plan(a, b))

    assert [(type(event), event.change.resource.name) for event in events] == [
        (Started, "a"),
        (Finished, "a"),
        (Started, "b"),
        (Finished, "b"),
    ]


def test_something_foreign_stops_everything_before_any_change(workshop: Workshop) -> None:
    a_plan = plan(workshop.thing("a"), workshop.thing("b", there=FOREIGN), workshop.thing("c", there=FOREIGN))

    with pytest.raises(S3aggError, match=r"thing b \(.*\), thing c \(.*\)\. .*--stack"):
        apply(a_plan)

    assert workshop.log == []


def collect(events: list[engine.Event], aws: Aws, a_plan: Plan) -> None:
    for event in engine.apply(aws, a_plan):
        events.append(event)  # noqa: PERF402  # what came before a failure counts


def test_after_a_failure_nothing_new_is_started(workshop: Workshop) -> None:
    a = workshop.thing("a", act=refuse)
    b = workshop.thing("b", base=a)
    events: list[engine.Event] = []

    with pytest.raises(S3aggError, match="While creating thing a: MakeThing failed: not you"):
        collect(events, aws_with(8), plan(a, b))

    assert [type(event) for event in events] == [Started, Failed]
    assert workshop.log == []


def test_after_a_failure_what_is_under_way_is_waited_for_and_nothing_follows_it(workshop: Workshop) -> None:
    failed, slow_ended = threading.Event(), threading.Event()
    slow = workshop.thing("slow", act=lambda: failed.wait(5))
    slower = workshop.thing("slower", act=lambda: slow_ended.wait(5))
    after = workshop.thing("after", base=slow)

    def let_go_one_after_the_other() -> None:
        for event in engine.apply(aws_with(8), plan(slow, slower, workshop.thing("a", act=refuse), after)):
            if isinstance(event, Failed):
                failed.set()
            elif isinstance(event, Finished):
                slow_ended.set()

    with pytest.raises(S3aggError, match="thing a"):
        let_go_one_after_the_other()

    assert workshop.log == ["create slow", "create slower"]


def test_a_removal_goes_on_after_a_failure_and_names_what_had_to_stay(workshop: Workshop) -> None:
    base = workshop.thing("base")
    needed = workshop.thing("needed", base=base)
    stuck = workshop.thing("stuck", base=needed, act=refuse)
    a_plan = Plan(
        [Change(thing, "delete", found=DRIFTED) for thing in (base, needed, stuck, workshop.thing("a"))]
    )

    with pytest.raises(S3aggError) as caught:
        list(engine.apply(aws_with(1), a_plan, keep_going=True))

    header, why, skipped = caught.value.lines()
    assert workshop.log == ["delete a"]
    assert header == "Some changes failed:"
    assert why.startswith("- While deleting thing stuck: MakeThing failed: not you (AccessDenied).")
    assert skipped == (
        "- Skipped because of the failures above: thing base, thing needed."
        " Fix the failures and run the same command again."
    )


def taken() -> None:
    raise ClientError({"Error": {"Code": "Taken", "Message": "there is one"}}, "MakeThing")


def create_what_came_to_be(workshop: Workshop, there: FoundThing | None) -> None:
    refusals = iter([taken])  # only the first act, which is to create it

    def act() -> None:
        for refusal in refusals:
            refusal()

    thing = workshop.thing("a", there=there, act=act)
    list(engine.apply(aws_with(1), Plan([Change(thing, "create")])))


def test_what_came_to_be_since_it_was_looked_for_is_brought_up_to_date(workshop: Workshop) -> None:
    create_what_came_to_be(workshop, DRIFTED)

    assert workshop.log == ["update a"]


@pytest.mark.parametrize("there", [FOREIGN, None], ids=["somebody else's", "gone again"])
def test_a_name_that_is_taken_otherwise_is_an_error(workshop: Workshop, there: FoundThing | None) -> None:
    with pytest.raises(S3aggError, match="While creating thing a: MakeThing failed: there is one"):
        create_what_came_to_be(workshop, there)

    assert workshop.log == []


def test_a_mistake_in_our_code_keeps_its_traceback(workshop: Workshop) -> None:
    def mistake() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        apply(plan(workshop.thing("a", act=mistake)))


def test_giving_the_iteration_up_starts_nothing_more_and_waits_for_what_runs(workshop: Workshop) -> None:
    aws = aws_with(1)
    go = threading.Event()
    a = workshop.thing("a", act=lambda: go.wait(5))
    b = workshop.thing("b", base=a)
    events = engine.apply(aws, plan(a, b))
    first = next(events)
    go.set()

    events.close()

    assert isinstance(first, Started)
    assert set(workshop.log) <= {"create a"}


def test_giving_the_iteration_up_ends_the_waiting_of_what_runs(workshop: Workshop) -> None:
    aws = aws_with(1)
    waiting = threading.Event()

    def wait_forever() -> None:
        def look() -> bool:
            waiting.set()
            return False

        try:
            aws.wait.poll("nothing", look, patience_s=100_000)
        except S3aggError as error:
            workshop.log.append(error.problem)
            raise

    events = engine.apply(aws, plan(workshop.thing("a", act=wait_forever), workshop.thing("b")))
    next(events)
    next(events)
    waiting.wait(5)

    events.close()

    assert workshop.log == ["Interrupted while waiting for nothing"]


def test_ctrl_c_names_the_changes_that_still_run_and_shows_those_that_end(workshop: Workshop) -> None:
    go, main = threading.Event(), threading.main_thread().ident or 0

    def engine_waits() -> bool:
        frames = traceback.walk_stack(sys._current_frames()[main])  # noqa: SLF001  # as documented
        return any(frame.f_code is futures.wait.__code__ for frame, _ in frames)

    def ends_after_ctrl_c() -> None:
        eventually(engine_waits, every=0.001)
        signal.pthread_kill(main, signal.SIGINT)

    a = workshop.thing("a", act=lambda: go.wait(30))
    b = workshop.thing("b", act=ends_after_ctrl_c)
    events = engine.apply(aws_with(3), plan(a, b, workshop.thing("c", base=a)))
    ended: list[str] = []
    with pytest.raises(Interrupted) as caught:
        ended.extend(event.change.resource.name for event in events if isinstance(event, Finished))
    go.set()

    assert ended == ["b"]
    assert caught.value.problem == "Interrupted. AWS may still be creating thing a"


def test_what_is_ready_runs_side_by_side(workshop: Workshop) -> None:
    together = threading.Barrier(3, timeout=5)
    things: Sequence[Thing] = [workshop.thing(name, act=together.wait) for name in "abc"]

    apply(plan(*things), workers=3)

    assert sorted(workshop.log) == ["create a", "create b", "create c"]


def test_looks_run_side_by_side_too(workshop: Workshop) -> None:
    together = threading.Barrier(3, timeout=5)

    found = engine.find(Snapshot(aws_with(3)), [workshop.thing(name, act=together.wait) for name in "abc"])

    assert found == {}
