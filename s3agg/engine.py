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

from s3agg.aws.refusals import doing
from s3agg.aws.session import Aws
from s3agg.aws.snapshot import Snapshot
from s3agg.errors import S3aggError, together
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
        with doing(f"looking at {resource.kind} {resource.name}"):
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

    A resource is made or updated after those it needs, and removed before them. Nothing new is started
    after a failure, unless `keep_going` says so: then only what waits for what failed is left. Nor is it when
    the iteration is given up. What is under way is waited for.
    """
    if plan.foreign:
        raise foreign(plan)
    changes = {change.resource.key: change for change in plan.to_do}
    order = _order(changes)
    left = dict(changes)
    failures: list[S3aggError] = []
    running: dict[Future[None], Change] = {}
    with ThreadPoolExecutor(aws.workers) as pool:
        try:
            while order.is_active():
                for key in order.get_ready() if keep_going or not failures else ():
                    yield Started(changes[key])
                    running[pool.submit(_carry_out, aws, left.pop(key))] = changes[key]
                if not running:
                    break
                done, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in [each for each in running if each in done]:  # in the order started
                    event = _outcome(future, running.pop(future))
                    if isinstance(event, Failed):
                        failures.append(event.error)
                    else:
                        order.done(event.change.resource.key)
                    yield event
        except BaseException:
            aws.wait.stopping.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    if failures and keep_going and left:
        raise together("Not everything could be done", [*failures, _waits(left.values())])
    if failures:
        raise together("Several things failed", failures)


def _waits(left: Iterable[Change]) -> S3aggError:
    names = ", ".join(f"{change.resource.kind} {change.resource.name}" for change in left)
    return S3aggError(f"Left because of that: {names}", "Run the same command again then")


def _outcome(future: Future[None], change: Change) -> Finished | Failed:
    try:
        future.result()
    except S3aggError as error:
        return Failed(change, error)
    return Finished(change)


def _order(changes: Mapping[Key, Change]) -> TopologicalSorter[Key]:
    order: TopologicalSorter[Key] = TopologicalSorter()
    for key, change in changes.items():
        order.add(key)
        for needed in _needs(change.resource, changes):
            if change.action == "delete":
                order.add(needed, key)
            else:
                order.add(key, needed)
    order.prepare()
    return order


def _needs(resource: Resource[Any], changes: Mapping[Key, Change]) -> Iterator[Key]:
    """The changes that this resource waits for, also through resources that do not change."""
    for needed in resource.needs:
        if needed.key in changes:
            yield needed.key
        else:
            yield from _needs(needed, changes)


def _carry_out(aws: Aws, change: Change) -> None:
    resource = change.resource
    with doing(f"{VERBS[change.action].during} {resource.kind} {resource.name}"):
        if change.found is None:
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
        if not any(refusal.matches(error) for refusal in resource.taken):
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
        f"This has the stack's names, but is not this stack's: {', '.join(whose)}", way_out(plan)
    )


def way_out(plan: Plan) -> str:
    """What to do about what is somebody else's."""
    ways = [change.resource.way_out for change in plan.foreign]
    if all(change.owner.adoptable for change in plan.foreign):
        ways.insert(0, "take it over with --adopt, of create or delete")
    hint = ", or ".join(dict.fromkeys(ways))
    return hint[:1].upper() + hint[1:]
