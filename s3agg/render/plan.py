"""The view of a plan: of `create` and `delete`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime

from rich.console import Group, RenderableType

from s3agg.commands.delete import Effect, Left, Unfinished
from s3agg.engine import VERBS, Change, Plan
from s3agg.errors import NO_OPTIONS, AwsOptions, S3aggError, plural
from s3agg.render.differences import changes, split
from s3agg.render.document import problem_documents, stack_document
from s3agg.render.settings import settings_table
from s3agg.render.words import STYLES, code, counted, heading, new_table, place_of, plain
from s3agg.resources.resource import ABSENT, Difference
from s3agg.stack.chosen import StackSettings
from s3agg.stack.deployed import Deployment

EFFECTS: Mapping[Effect, str] = {
    "lost": "The delete loses these refreshes. To wait for them first, pass --finish.",
    "kept": "The stack still makes these refreshes. To wait for them first, pass --finish.",
    "awaited": "s3agg first stops the events of the buckets, and then waits for these refreshes.",
}


def plan_document(
    deployment: Deployment,
    plan: Plan,
    problems: Sequence[S3aggError],
    aws_options: AwsOptions = NO_OPTIONS,
    settings: StackSettings | None = None,
    to_confirm: Sequence[str] = (),
    unfinished: Left | None = None,
) -> dict[str, object]:
    """The JSON of a plan, as schemas/create.json and schemas/delete.json describe it.

    `problems` prevent the changes. `settings` are those that `create` declares, and `to_confirm` are the
    effects that it asks about. `unfinished` are the refreshes that `delete` can lose. Each advised
    command repeats `aws_options`.
    """
    return {
        **stack_document(deployment),
        **({"settings": settings, "to_confirm": to_confirm} if settings else {}),
        **({} if unfinished is None else {"unfinished": unfinished.refreshes}),
        "problems": problem_documents(problems, aws_options),
        "changes": [
            {
                "kind": code(change.resource.kind),
                "name": change.resource.name,
                "arn": change.arn or None,
                "action": change.action,
                "differences": difference_documents(change.differences),
            }
            for change in plan.changes
        ],
    }


def difference_documents(differences: Sequence[Difference]) -> list[dict[str, str | None]]:
    """The JSON of differences; None stands for an absent value."""
    return [
        {
            "what": each.what,
            "declared": None if each.declared == ABSENT else each.declared,
            "found": None if each.found == ABSENT else each.found,
        }
        for each in differences
    ]


def plan_table(
    deployment: Deployment,
    plan: Plan,
    *,
    done: bool,
    brief: bool = False,
    settings: StackSettings | None = None,
    to_confirm: Sequence[str] = (),
    unfinished: Sequence[str] = (),
) -> RenderableType:
    """The planned or completed changes, a row each; of a plan of `create` also the settings.

    `to_confirm` are the effects that `create` asks about. `unfinished` tells of the refreshes that `delete`
    can lose.

    If `brief`, or without changes, only one line.
    """
    place = deployment.place
    where = place_of(deployment.stack.names.stack, place.region, place.account)
    shown = [*plan.foreign, *plan.to_do]
    if not plan.changes:
        return plain(_nothing_to_delete(where, exists=deployment.exists))
    if not shown:
        return plain(f"No changes: {where} matches its settings ({plural(len(plan.changes), 'resource')}).")
    words = [_word(change, done=done) for change in shown]
    own, shared = split([(word, each.differences) for word, each in zip(words, shown, strict=True)])
    table = new_table("", "resource", "name")
    for change, word, differences in zip(shown, words, own, strict=True):
        if differences or not change.differences:
            # Differences stand below the name: a column of their own would be too narrow.
            lines = Group(plain(change.resource.name), *changes(differences))
            table.add_row(plain(word, STYLES.get(word, "")), plain(change.resource.kind), lines)
    for tags in shared:
        lines = Group(*changes(tags.differences))
        table.add_row(plain(tags.state, STYLES.get(tags.state, "")), plain(tags.what), lines)
    kept = len(plan.changes) - len(shown)
    title = "Done" if done else "Plan"
    counts = counted(Counter(_counted_as(change, done=done) for change in shown))
    title_line = plain(f"{title}: {counts}{f', {kept} unchanged' if kept else ''}; {where}", "bold")
    if brief:
        return title_line
    parts: list[RenderableType] = [title_line, table]
    if settings and not done:
        parts += [heading("Settings"), settings_table(settings)]
    if to_confirm and not done:
        parts += [heading("To be confirmed"), *(plain(f"- {each}") for each in to_confirm)]
    if unfinished and not done:
        parts += [heading("Unfinished refreshes"), *map(plain, unfinished)]
    return Group(*parts)


def _nothing_to_delete(where: str, *, exists: bool) -> str:
    """Why `delete` finds nothing. A stack that exists lacks the buckets that were passed."""
    if exists:
        return f"Nothing to detach: no such bucket is attached to {where}."
    return f"Nothing to delete: {where} does not exist."


def unfinished_lines(left: Left, now: datetime) -> list[str]:
    """A line for each unfinished refresh, and one about what becomes of them; none without any."""
    lines = [f"- bucket {each.bucket}: {_left(each, now)}" for each in left.refreshes]
    return [*lines, EFFECTS[left.effect]] if lines else []


def _left(unfinished: Unfinished, now: datetime) -> str:
    """What is unfinished, with the time until it can be finished."""

    def ahead(*moments: datetime | None) -> str:
        seconds = max((each - now).total_seconds() for each in (now, *moments) if each)
        return f"in {seconds:.0f} s" if seconds > 0 else "now"

    parts = []
    if unfinished.pending:
        parts.append(f"a refresh is pending, and the functions try it again {ahead(unfinished.not_before)}")
    if unfinished.window_closes_at is not None:
        when = ahead(unfinished.window_closes_at, unfinished.not_before)
        parts.append(f"a window is open, and its refresh is due {when}")
    return "; ".join(parts)


def _word(change: Change, *, done: bool) -> str:
    """The first cell of a change: its verb, or `foreign`."""
    verb = VERBS.get(change.action)
    if verb is None:
        return change.action
    return verb.after if done else verb.before


def _counted_as(change: Change, *, done: bool) -> str:
    """The words after a count in the heading: created, to create, foreign."""
    word = _word(change, done=done)
    return f"to {word}" if change.action in VERBS and not done else word
