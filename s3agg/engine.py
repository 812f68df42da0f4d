"""Plan and apply, for any resources.

A plan is data: `create --dry-run` and `status` print one, `create` and `delete` apply one. There is no state
file. Every run reads AWS, so an interrupted run is simply run again.
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
from s3agg.errors import Interrupted, S3aggError, combined
from s3agg.resources.resource import OURS, Difference, F, Found, Owner, Resource

LAST_S = 1  # after Ctrl-C, for the running changes
COLLISION_S = 300  # the longest that collisions with other changes go on
Action = Literal["create", "update", "keep", "delete", "foreign"]
Key = tuple[str, str]


@dataclass(frozen=True)
class Verb:
    """The verb of an action: its infinitive, present participle and past participle."""

    before: str
    during: str
    after: str


VERBS: Mapping[Action, Verb] = {
    "create": Verb("create", "creating", "created"),
    "update": Verb("update", "updating", "updated"),
    "delete": Verb("delete", "deleting", "deleted"),
}  # for the actions that change something


@dataclass(frozen=True)
class Change:
    """The action for one resource, with the differences that cause it."""

    resource: Resource[Any]
    action: Action
    differences: Sequence[Difference] = ()
    found: Found | None = None

    @property
    def arn(self) -> str:
        return self.resource.arn_of(self.found) if self.found else self.resource.arn

    @property
    def owner(self) -> Owner:
        """The owner of the found resource; ours if nothing was found."""
        return self.resource.owner(self.found) if self.found else OURS


@dataclass(frozen=True)
class Plan:
    """The changes of a stack's resources."""

    changes: Sequence[Change]

    @property
    def to_do(self) -> list[Change]:
        return [change for change in self.changes if change.action in VERBS]

    @property
    def foreign(self) -> list[Change]:
        return [change for change in self.changes if change.action == "foreign"]

    def check_owners(self) -> None:
        """Raise S3aggError if resources are foreign."""
        if self.foreign:
            raise self.foreign_error()

    def foreign_error(self) -> S3aggError:
        """Return the error that names the foreign resources and the remedy."""
        names = [f"{each.resource.kind} {each.resource.name} ({each.owner.reason})" for each in self.foreign]
        return S3aggError(
            f"Resources with this stack's names belong to something else: {', '.join(names)}", self.remedy
        )

    @property
    def remedy(self) -> str:
        """What the user can do about the foreign resources, without a final period; "" without any."""
        remedies = [change.resource.remedy for change in self.foreign]
        if remedies and all(change.owner.adoptable for change in self.foreign):
            remedies.insert(0, "to adopt untagged resources, pass --adopt to create")
        hint = ", or ".join(dict.fromkeys(remedies))
        return hint[:1].upper() + hint[1:]


class Findings(dict[Key, Found]):
    """Found resources by their keys."""

    def of(self, resource: Resource[F]) -> F | None:
        """Return the found resource; None if it does not exist."""
        return cast("F | None", self.get(resource.key))

    def ours(self, resource: Resource[F]) -> F | None:
        """Return the found resource; None if it does not exist or is not the stack's."""
        found = self.of(resource)
        return found if found is not None and resource.owner(found).ours else None

    def add(self, resource: Resource[F], found: F | None) -> None:
        """Add a found resource; do nothing for None."""
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
    """Read the resources concurrently; raise S3aggError with every failure."""

    def find_one(resource: Resource[Any]) -> Found | None:
        with describing_errors(f"reading {resource.kind} {resource.name}"):
            return resource.find(snapshot)

    findings = Findings()
    for resource, found in zip(resources, snapshot.aws.side_by_side(find_one, resources), strict=True):
        findings.add(resource, found)
    return findings


def is_foreign(resource: Resource[F], found: F, *, adopt: bool) -> bool:
    """Whether the resource is foreign and is not adopted; unwanted resources are never adopted."""
    owner = resource.owner(found)
    return not owner.ours and not (adopt and resource.wanted and owner.adoptable)


def plan(resources: Sequence[Resource[Any]], found: Mapping[Key, Found], *, adopt: bool = False) -> Plan:
    """Plan the changes from found to declared; `adopt` includes untagged foreign resources."""

    def change(resource: Resource[Any]) -> Change | None:
        have = found.get(resource.key)
        if have is None:
            return Change(resource, "create") if resource.wanted else None
        if is_foreign(resource, have, adopt=adopt):
            # A foreign resource is no problem if the stack does not want that resource.
            return Change(resource, "foreign", found=have) if resource.wanted else None
        if not resource.wanted:
            return Change(resource, "delete", found=have)
        differences = resource.differences(have)
        return Change(resource, "update" if differences else "keep", differences, have)

    return Plan([each for each in map(change, resources) if each is not None])


def plan_delete(
    resources: Sequence[Resource[Any]], found: Mapping[Key, Found], *, adopt: bool = False
) -> Plan:
    """Plan the deletion of the found resources; `adopt` as for `plan`."""
    changes = []
    for resource in resources:
        have = found.get(resource.key)
        if have is not None:
            foreign = is_foreign(resource, have, adopt=adopt)
            if resource.wanted or not foreign:
                changes.append(Change(resource, "foreign" if foreign else "delete", found=have))
    return Plan(changes)


def apply(aws: Aws, plan: Plan, *, keep_going: bool = False) -> Events:
    """Apply the plan with concurrent changes; yield events, and raise all failures at the end.

    A resource is created or updated after its dependencies and deleted before them. The dependencies in its
    `attached_fields` are created concurrently with it and attached afterwards. Those in its `early_fields`
    are created before it, and have their own attachments before it attaches.

    After a failure no new change starts. With `keep_going` only the changes that depend on the failed one are
    skipped. No new change starts either when the caller closes the generator: running changes are waited for.
    Ctrl-C waits for a second only, as a call may have no answer. It raises Interrupted, which names the rest.
    """
    plan.check_owners()
    changes = {change.resource.key: change for change in plan.to_do}
    order = _order(changes)
    left = dict(changes)
    failures: list[S3aggError] = []
    running: dict[Future[None], _Step] = {}
    pool = ThreadPoolExecutor(aws.workers)
    try:
        while order.is_active():
            for step in order.get_ready() if keep_going or not failures else ():
                if left.pop(step.change.resource.key, None):
                    yield Started(step.change)
                running[pool.submit(_carry_out, aws, step)] = step
            if not running:
                break
            for step, error in _wait_for_some(running):
                if error is None:
                    order.done(step)
                else:
                    failures.append(error)
                yield from _end_events(step, error)
    except BaseException as error:
        aws.wait.stopping.set()
        if isinstance(error, KeyboardInterrupt):
            pool.shutdown(wait=False, cancel_futures=True)
            yield from _wait_for_the_last(running)
        pool.shutdown(cancel_futures=True)
        raise
    pool.shutdown()
    if failures:
        raise _combined(failures, left.values() if keep_going else ())


def _wait_for_the_last(running: dict[Future[None], _Step]) -> Events:
    """Wait for the running steps, but not long, and raise Interrupted. It names those that have not ended."""
    started = [future for future in running if not future.cancelled()]
    for future in wait(started, timeout=LAST_S).done:
        error = future.exception()
        if error is None or isinstance(error, S3aggError):
            yield from _end_events(running[future], error)
    left = {
        running[future].change.resource.key: running[future].change for future in started if future.running()
    }
    raise Interrupted(
        [f"{VERBS[each.action].during} {each.resource.kind} {each.resource.name}" for each in left.values()]
    ) from None


def _combined(failures: Sequence[S3aggError], skipped: Iterable[Change]) -> S3aggError:
    """Return one error of all failures and skipped changes."""
    names = ", ".join(f"{change.resource.kind} {change.resource.name}" for change in skipped)
    if not names:
        return combined("Several changes failed", failures)
    rest = S3aggError(
        f"Skipped because of the failures above: {names}", "Fix the failures and run the same command again"
    )
    return combined("Some changes failed", [*failures, rest])


@dataclass(frozen=True)
class _Step:
    """A step of a change: the resource itself, or its `attach`."""

    change: Change
    attaching: bool = False

    def __hash__(self) -> int:
        return hash((self.change.resource.key, self.attaching))


def _wait_for_some(running: dict[Future[None], _Step]) -> list[tuple[_Step, S3aggError | None]]:
    """Wait for the next steps to end; remove them from `running` and return them with their errors."""

    def failure(future: Future[None]) -> S3aggError | None:
        try:
            future.result()
        except S3aggError as error:
            return error
        return None

    done, _ = wait(running, return_when=FIRST_COMPLETED)
    return [(running.pop(each), failure(each)) for each in list(running) if each in done]


def _end_events(step: _Step, error: S3aggError | None) -> Events:
    """Yield the event of a step that has ended."""
    if error is not None:
        yield Failed(step.change, error)
    elif step == _last_step(step.change):
        yield Finished(step.change)


def _last_step(change: Change) -> _Step:
    """Return the last step of a change."""
    resource = change.resource
    return _Step(change, attaching=change.action != "delete" and bool(resource.attachments or resource.early))


def _order(changes: Mapping[Key, Change]) -> TopologicalSorter[_Step]:
    order: TopologicalSorter[_Step] = TopologicalSorter()
    for change in changes.values():
        first, last = _Step(change), _last_step(change)
        order.add(last, *([first] if last != first else []))
        attachments, early = change.resource.attachments, change.resource.early
        for needed in change.resource.needs:
            for other in _changes_of(needed, changes):
                if change.action == "delete":
                    order.add(_Step(other), first)
                    continue
                order.add(last if needed in [*attachments, *early] else first, _last_step(other))
                if needed in early:
                    order.add(first, _Step(other))
    order.prepare()
    return order


def _changes_of(resource: Resource[Any], changes: Mapping[Key, Change]) -> Iterator[Change]:
    """Yield the change of a resource; for an unchanged one, the changes of its dependencies."""
    if resource.key in changes:
        yield changes[resource.key]
    else:
        for needed in resource.needs:
            yield from _changes_of(needed, changes)


def _carry_out(aws: Aws, step: _Step) -> None:
    """Carry out the step; after a collision, read the resource again and do what is left (FACTS 26, 30)."""
    change, resource = step.change, step.change.resource
    collided = False

    def attempt() -> None:
        nonlocal collided
        have = resource.find(Snapshot(aws)) if collided else change.found
        collided = True
        if have is not None and change.found is None and not resource.owner(have).ours:
            # Somebody created it meanwhile.
            raise Plan([Change(resource, "foreign", found=have)]).foreign_error()
        if step.attaching:
            resource.attach(aws, have)
        elif change.action == "delete":
            if have is not None:
                resource.delete(aws, have)
        elif have is None:
            _create(aws, resource)
        else:
            resource.update(aws, have)

    with describing_errors(f"{VERBS[change.action].during} {resource.kind} {resource.name}"):
        aws.wait.retry(
            f"another change to finish that collides with {resource.kind} {resource.name}",
            attempt,
            on=resource.collides,
            patience_s=COLLISION_S,
        )


def _create(aws: Aws, resource: Resource[Any]) -> None:
    """Create the resource, or update it if it appeared after the plan was made.

    It may come from an earlier call whose answer was lost, or from another run that creates the same stack.
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
