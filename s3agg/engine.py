"""Plan and apply, for any resources.

A plan is data: `create --dry-run` and `status` print one, `create` and `delete` apply one. There is
no state file; AWS is asked, so a run that died is simply run again.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from graphlib import TopologicalSorter
from typing import Any, Literal, cast

from botocore.exceptions import ClientError

from s3agg.aws.refusals import describing_errors
from s3agg.aws.session import Aws
from s3agg.aws.snapshot import Snapshot
from s3agg.errors import S3aggError, combined
from s3agg.resources.resource import OURS, Difference, F, Found, Owner, Resource

Action = Literal["create", "update", "keep", "delete", "foreign"]
Key = tuple[str, str]


@dataclass(frozen=True)
class Verb:
    """An action in words: before, while and after it is done."""

    before: str
    during: str
    after: str


VERBS: Mapping[Action, Verb] = {
    "create": Verb("create", "creating", "created"),
    "update": Verb("update", "updating", "updated"),
    "delete": Verb("remove", "removing", "removed"),
}  # of the actions that change something


@dataclass(frozen=True)
class Change:
    """What is to become of one resource, and why."""

    resource: Resource[Any]
    action: Action
    differences: Sequence[Difference] = ()
    found: Found | None = None

    @property
    def arn(self) -> str:
        return self.resource.arn_of(self.found) if self.found else self.resource.arn

    @property
    def owner(self) -> Owner:
        """Whose it is; ours if it is not there yet."""
        return self.resource.owner(self.found) if self.found else OURS


@dataclass(frozen=True)
class Plan:
    """What is to become of each resource."""

    changes: Sequence[Change]

    @property
    def to_do(self) -> list[Change]:
        return [change for change in self.changes if change.action in VERBS]

    @property
    def foreign(self) -> list[Change]:
        return [change for change in self.changes if change.action == "foreign"]


class Findings(dict[Key, Found]):
    """What AWS has of some resources, by their keys."""

    def of(self, resource: Resource[F]) -> F | None:
        """What was found of a resource; None if nothing."""
        return cast("F | None", self.get(resource.key))

    def add(self, resource: Resource[F], found: F | None) -> None:
        """Keep what was found of a resource, if anything was."""
        if found is not None:
            self[resource.key] = found


@dataclass(frozen=True)
class Started:
    change: Change


@dataclass(frozen=True)
class Finished:
    change: Change


@dataclass(frozen=True)
class Failed:
    change: Change
    error: S3aggError


Event = Started | Finished | Failed
Events = Generator[Event, None, None]


def find(snapshot: Snapshot, resources: Sequence[Resource[Any]]) -> Findings:
    """Ask AWS what it has of each, side by side; raise S3aggError for all that it does not tell."""

    def find_one(resource: Resource[Any]) -> Found | None:
        with describing_errors(f"looking at {resource.kind} {resource.name}"):
            return resource.find(snapshot)

    findings = Findings()
    for resource, found in zip(resources, snapshot.aws.side_by_side(find_one, resources), strict=True):
        findings.add(resource, found)
    return findings


def is_foreign(resource: Resource[F], found: F, *, adopt: bool) -> bool:
    """Whether it is somebody else's and stays so; what nobody wants is not adopted either."""
    owner = resource.owner(found)
    return not owner.ours and not (adopt and resource.wanted and owner.adoptable)


def plan(resources: Sequence[Resource[Any]], found: Mapping[Key, Found], *, adopt: bool = False) -> Plan:
    """Plan what brings AWS to what is declared; `adopt` takes over what is foreign but nobody else's."""

    def change(resource: Resource[Any]) -> Change | None:
        have = found.get(resource.key)
        if have is None:
            return Change(resource, "create") if resource.wanted else None
        if is_foreign(resource, have, adopt=adopt):
            # Somebody else's is in nobody's way where we want none.
            return Change(resource, "foreign", found=have) if resource.wanted else None
        if not resource.wanted:
            return Change(resource, "delete", found=have)
        differences = resource.differences(have)
        return Change(resource, "update" if differences else "keep", differences, have)

    return Plan([each for each in map(change, resources) if each is not None])


def plan_delete(
    resources: Sequence[Resource[Any]], found: Mapping[Key, Found], *, adopt: bool = False
) -> Plan:
    """Plan what removes whatever AWS has of these; `adopt` as for `plan`."""
    changes = []
    for resource in resources:
        have = found.get(resource.key)
        if have is not None:
            foreign = is_foreign(resource, have, adopt=adopt)
            if resource.wanted or not foreign:
                changes.append(Change(resource, "foreign" if foreign else "delete", found=have))
    return Plan(changes)


def apply(aws: Aws, plan: Plan, *, keep_going: bool = False) -> Events:
    """Carry the plan out, what is ready side by side; raise what failed when all has come to rest.

    A resource is made or updated after those it needs, and removed before them. One that is only joined to
    others is made beside them, and joined when they are there. Nothing new is started after a failure, unless
    `keep_going` says so: then only what waits for what failed is left. Nor is it when the iteration is given
    up. What is under way is waited for.
    """
    if plan.foreign:
        raise foreign(plan)
    changes = {change.resource.key: change for change in plan.to_do}
    order = _order(changes)
    left = dict(changes)
    failures: list[S3aggError] = []
    running: dict[Future[None], _Step] = {}
    with ThreadPoolExecutor(aws.workers) as pool:
        try:
            while order.is_active():
                for step in order.get_ready() if keep_going or not failures else ():
                    if left.pop(step.change.resource.key, None):
                        yield Started(step.change)
                    running[pool.submit(_carry_out, aws, step)] = step
                if not running:
                    break
                for step, error in _settled(running):
                    if error is None:
                        order.done(step)
                    else:
                        failures.append(error)
                    yield from _ended(step, error)
        except BaseException:
            aws.wait.stopping.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    if failures:
        raise _all_of(failures, left.values() if keep_going else ())


def _all_of(failures: Sequence[S3aggError], left: Iterable[Change]) -> S3aggError:
    """Say what failed, and what was left because of that."""
    names = ", ".join(f"{change.resource.kind} {change.resource.name}" for change in left)
    if not names:
        return combined("Several things failed", failures)
    waits = S3aggError(f"Left because of that: {names}", "Run the same command again then")
    return combined("Not everything could be done", [*failures, waits])


@dataclass(frozen=True)
class _Step:
    """A part of a change: the resource itself, or its joining to others."""

    change: Change
    joining: bool = False

    def __hash__(self) -> int:
        return hash((self.change.resource.key, self.joining))


def _settled(running: dict[Future[None], _Step]) -> list[tuple[_Step, S3aggError | None]]:
    """Wait until some of it has ended; take that out, in the order started, with what went wrong."""

    def failure(future: Future[None]) -> S3aggError | None:
        try:
            future.result()
        except S3aggError as error:
            return error
        return None

    done, _ = wait(running, return_when=FIRST_COMPLETED)
    return [(running.pop(each), failure(each)) for each in list(running) if each in done]


def _ended(step: _Step, error: S3aggError | None) -> Events:
    """What is to be told of a step that has ended."""
    if error is not None:
        yield Failed(step.change, error)
    elif step == _last_step(step.change):
        yield Finished(step.change)


def _last_step(change: Change) -> _Step:
    """The step after which a change is done."""
    return _Step(change, joining=change.action != "delete" and bool(change.resource.joins))


def _order(changes: Mapping[Key, Change]) -> TopologicalSorter[_Step]:
    order: TopologicalSorter[_Step] = TopologicalSorter()
    for change in changes.values():
        first, last = _Step(change), _last_step(change)
        order.add(last, *([first] if last != first else []))
        joins = change.resource.joins
        for needed in change.resource.needs:
            for other in _changed(needed, changes):
                if change.action == "delete":
                    order.add(_Step(other), first)
                else:
                    order.add(last if needed in joins else first, _last_step(other))
    order.prepare()
    return order


def _changed(resource: Resource[Any], changes: Mapping[Key, Change]) -> Iterator[Change]:
    """The change of a resource; of one that does not change, the changes of those it needs."""
    if resource.key in changes:
        yield changes[resource.key]
    else:
        for needed in resource.needs:
            yield from _changed(needed, changes)


def _carry_out(aws: Aws, step: _Step) -> None:
    change, resource = step.change, step.change.resource
    with describing_errors(f"{VERBS[change.action].during} {resource.kind} {resource.name}"):
        if step.joining:
            resource.join(aws, change.found)
        elif change.found is None:
            _create(aws, resource)
        elif change.action == "delete":
            resource.delete(aws, change.found)
        else:
            resource.update(aws, change.found)


def _create(aws: Aws, resource: Resource[Any]) -> None:
    """Make it, or bring up to date what has come to be since AWS was asked.

    That is by a call of ours whose answer was lost, or by somebody who creates the same stack just now.
    """
    try:
        resource.create(aws)
    except ClientError as error:
        if not any(refusal.matches(error) for refusal in resource.already_exists):
            raise
        found = resource.find(Snapshot(aws))
        if found is None or not resource.owner(found).ours:
            raise
        resource.update(aws, found)


def foreign(plan: Plan) -> S3aggError:
    """Say which resources of our names are somebody else's, and what to do."""
    whose = [
        f"{change.resource.kind} {change.resource.name} ({change.owner.words})" for change in plan.foreign
    ]
    return S3aggError(
        f"This has the stack's names, but is not this stack's: {', '.join(whose)}", remedy(plan)
    )


def remedy(plan: Plan) -> str:
    """What to do about what is somebody else's."""
    ways = [change.resource.remedy for change in plan.foreign]
    if all(change.owner.adoptable for change in plan.foreign):
        ways.insert(0, "take it over with --adopt, of create or delete")
    hint = ", or ".join(dict.fromkeys(ways))
    return hint[:1].upper() + hint[1:]
