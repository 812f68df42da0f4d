"""What is wrong with a stack, and what to do: the problems and warnings of `status`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from s3agg import __version__
from s3agg.commands import shares
from s3agg.commands.completion import why_not_complete
from s3agg.commands.problem import SEE_THE_LOGS, Problem, Step, as_problem
from s3agg.commands.stack_state import StackState, State
from s3agg.errors import Advice, plural, shell_quoted
from s3agg.live import share_status
from s3agg.live.items import BucketActivity
from s3agg.live.share_status import interval_for
from s3agg.resources.delivery import Delivery
from s3agg.resources.function import Function
from s3agg.resources.notification import Notification
from s3agg.resources.queue import Queue
from s3agg.resources.table import Table
from s3agg.settings import SHORTEST_INTERVAL_S, Names


@dataclass(frozen=True)
class Status(StackState):
    """A stack as `status` shows it, with what is wrong."""

    @property
    def healthy(self) -> bool:
        """The definition of "healthy" for the words, the JSON and the exit code."""
        return not self.problems

    @property
    def problems(self) -> list[Problem]:
        """The reasons why the stack is not healthy."""
        return problems(self)

    @property
    def warnings(self) -> list[Problem]:
        """Other things to look at. They leave the stack healthy."""
        return warnings(self)


def problems(status: StackState) -> list[Problem]:
    """The reasons why the stack is not healthy."""
    if status.elsewhere:
        there = f"there is one in {status.elsewhere}"
        missing = f"There is no stack {status.stack} in {status.region}; {there}"
        return [Problem(missing, [Step(f"Pass --region {shell_quoted(status.elsewhere)}")])]
    if not status.exists:
        return [Problem("The stack is not deployed", [Step("Create it:", Advice("create", "BUCKET"))])]
    problems = []
    is_of_other_version = status.made_by is not None and status.made_by.differs
    if is_of_other_version:
        problems.append(_of_other_version(status))
    if _states(status)["foreign"] or (_states(status) and not is_of_other_version):
        problems.append(_not_as_declared(status))
    problems += [
        Problem(
            f"Bucket {bucket} no longer exists",
            [Step("Detach it:", Advice("delete", bucket))],
            brief=f"bucket {bucket} no longer exists",
        )
        for bucket in status.gone
    ]
    problems += _overdue(status)
    if lost := _delivery_failures(status, hours=1):
        problems.append(
            Problem(
                f"Lambda could not send {plural(lost, 'failed event')} of the last hour to the"
                " dead-letter queue, so files may be missing",
                [
                    Step("To correct drift, run", Advice("create")),
                    Step("to refresh every bucket, run", Advice("refresh")),
                ],
                brief=plural(lost, "lost event"),
            )
        )
    if status.dead_letters:
        problems.append(
            Problem(
                f"The dead-letter queue holds {plural(status.dead_letters, 'message')}",
                _redrive_steps(status),
                brief=plural(status.dead_letters, "dead letter"),
            )
        )
    return problems


def warnings(status: StackState) -> list[Problem]:
    """Other things to look at. They leave the stack healthy."""
    if not status.exists:
        return []
    warnings = []
    if not status.buckets:
        warnings.append(
            Problem(
                "No bucket is attached, so nothing can be refreshed",
                [Step("Attach a bucket:", Advice("create", "BUCKET"))],
            )
        )
    if status.shares is None:  # then at least what the refresh function found
        there = [each for each in status.buckets if each.name not in status.gone]
        if without := [each.name for each in there if each.last_refresh and not each.shares]:
            warnings.append(as_problem(shares.nothing_to_refresh(status.region, without)))
    warnings += status.of_shares
    warnings += _ignored(status)
    warnings += _slow(status)
    table = (Table.kind, Names(status.stack).table, "missing")
    if any((each.kind, each.name, each.state) == table for each in status.resources):
        warnings.append(
            Problem(
                f"The capacity mode of the missing table {Names(status.stack).table} is unknown",
                [Step("If it was provisioned, pass --provisioned to create")],
            )
        )
    warnings += [
        Problem(
            f"{_waiting(each)} still to accept a refresh. Its gateway's answer: {_answer(each) or 'none'}",
            [Step("To see each try, run", Advice("logs", each.name))],
        )
        for each in status.buckets
        if each.owed and each.name not in status.late
    ]
    if any(ran.hours == 1 and ran.errors.total for ran in status.functions or ()):
        warnings.append(Problem("A function failed in the last hour", [SEE_THE_LOGS]))
    return warnings


def _delivery_failures(status: StackState, *, hours: int) -> int:
    """The failed events of the last hours that Lambda could not send to the dead-letter queue."""
    return sum(each.delivery_failures.total or 0 for each in status.functions or () if each.hours == hours)


def _overdue(status: StackState) -> list[Problem]:
    """The overdue refreshes: one problem for each bucket with refusing shares, one for all others."""
    refused = [each for each in status.buckets if each.name in status.late and each.owed]
    refused = [each for each in refused if each.unrefreshed_since is not None]
    others = [name for name in status.late if name not in {each.name for each in refused}]
    problems = [
        Problem(
            f"{_waiting(each)} not refreshed since {each.unrefreshed_since:%Y-%m-%d %H:%M} UTC",
            [
                *_last_answer(each),
                Step("Look at the gateway. To see each try, run", Advice("logs", each.name, {"since": "1h"})),
                Step("to try again now, run", Advice("create")),
            ],
        )
        for each in refused
    ]
    if others:
        problems.append(
            Problem(
                f"The refresh of {shares.named(others)} is overdue",
                [SEE_THE_LOGS, Step("to start it, run", Advice("create"))],
            )
        )
    brief = f"{plural(len(status.late), 'refresh', 'es')} overdue"
    return [replace(each, brief=brief if each is problems[0] else "") for each in problems]


def _states(status: StackState) -> Counter[State]:
    """The number of resources in each state but `ok`, without the settings of buckets that are gone."""
    gone = {(kind, bucket) for kind in (Notification.kind, Delivery.kind) for bucket in status.gone}
    return Counter(
        each.state for each in status.resources if each.state != "ok" and (each.kind, each.name) not in gone
    )


def _of_other_version(status: StackState) -> Problem:
    """The resources differ because another version of s3agg declares them otherwise."""
    if status.made_by is not None and status.made_by.is_newer:
        steps = [
            Step(f"Use {status.made_by} or newer"),
            Step(f"to go back to {__version__}, run", Advice("create")),
        ]
    else:
        steps = [Step("To update it, run", Advice("create"))]
    return Problem(
        f"The stack was made by {status.made_by}; this is {__version__}",
        steps,
        brief=f"made by {status.made_by} (this is {__version__})",
    )


def _redrive_steps(status: StackState) -> Sequence[Step]:
    """What to do about dead letters. `redrive` needs both queues and the aggregator.

    `status` does not read the messages, because that would hide them from `redrive` for a while. So it
    cannot tell those that `redrive` does not understand from the others.
    """
    see = Advice("redrive", options={"dry-run": None})
    redrive = Step("to redrive them, run", Advice("redrive"))
    discard = Step(
        "to delete one that redrive does not understand, run", Advice("redrive", options={"discard": "ID"})
    )
    names = Names(status.stack)
    needed = {(Queue.kind, names.queue), (Function.kind, names.aggregator)}
    states = {each.state for each in status.resources if (each.kind, each.name) in needed}
    if "foreign" in states:
        return [Step("First resolve the foreign resources, because redrive needs them")]
    if "missing" in states:
        first = Step("Redrive needs the missing resources. First run", Advice("create"))
        return [first, Step("then, to see each, run", see), redrive, discard]
    return [Step("To see each and why it failed, run", see), redrive, discard]


def _not_as_declared(status: StackState) -> Problem:
    states = _states(status)
    counted = ", ".join(f"{count} {state}" for state, count in states.items())
    if "foreign" in states:
        steps = [Step(f"Foreign resources have this stack's names but not its tags. {status.remedy}")]
    else:
        steps = [Step("To create missing resources and correct drift, run", Advice("create"))]
    return Problem(f"Resources are not as declared: {counted}", steps, brief=counted)


def _ignored(status: StackState) -> list[Problem]:
    """The refreshes that a gateway may have ignored, because they came too soon after the last ones."""
    interval = status.settings.min_interval if status.settings else SHORTEST_INTERVAL_S
    running = [
        bucket for bucket, found in status.refreshes.items() if any(each.state == "running" for each in found)
    ]
    if interval >= SHORTEST_INTERVAL_S or not running:
        return []
    return [
        Problem(
            f"The last refresh of {shares.named(running)} is accepted and not complete."
            f" {why_not_complete(interval)}",
            [_choose(SHORTEST_INTERVAL_S)],
        )
    ]


def _slow(status: StackState) -> list[Problem]:
    """The buckets whose refreshes pile up. The stack has one interval, which is to suit all of them."""
    slow = share_status.slow(status.refreshes, status.apart_s)
    if not slow or status.settings is None:
        return []
    interval = interval_for(max(each.took_s for each in slow))
    if interval <= status.settings.min_interval:
        return []  # it is the longest one already
    return [
        Problem(
            f"Refreshes of bucket {each.bucket} take {each.took_s:.0f} s (median), longer than"
            f" --min-interval {status.settings.min_interval}, so they pile up at the gateway",
            [_choose(interval)],
        )
        for each in slow
    ]


def _choose(interval: int) -> Step:
    return Step("Choose a longer interval:", Advice("create", options={"min-interval": str(interval)}))


def _waiting(bucket: BucketActivity) -> str:
    named = [share.rpartition("/")[2] for share in bucket.owed]
    words = f"share {named[0]}" if len(named) == 1 else f"shares {', '.join(named)}"
    return f"File {words} of bucket {bucket.name} {'is' if len(named) == 1 else 'are'}"


def _last_answer(bucket: BucketActivity) -> list[Step]:
    answer = _answer(bucket)
    return [Step(f"The gateway's last answer was: {answer}")] if answer else []


def _answer(bucket: BucketActivity) -> str:
    return (bucket.answer or "").rstrip(".")
