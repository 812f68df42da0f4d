"""The view of a plan: of `create` and `delete`."""

from __future__ import annotations

from collections import Counter

from rich.console import Group, RenderableType
from rich.text import Text

from s3agg.engine import VERBS, Change, Plan
from s3agg.render.words import STYLES, counted, difference_lines, new_table, place_of, plain
from s3agg.stack.deployed import Deployment


def plan_table(deployment: Deployment, plan: Plan, *, done: bool, brief: bool = False) -> RenderableType:
    """The planned or completed changes, a row each. If `brief`, or without changes, only one line."""
    place = deployment.place
    where = place_of(deployment.stack.names.stack, place.region, place.account)
    shown = [*plan.foreign, *plan.to_do]
    if not plan.changes:
        reason = f"no such bucket is attached to {where}" if deployment.exists else f"{where} does not exist"
        return plain(f"Nothing to delete: {reason}.")
    if not shown:
        return plain(f"No changes: {where} matches its settings ({len(plan.changes)} resources).")
    words = [_word(change, done=done) for change in shown]
    table = new_table("", "resource", "name")
    for change, word in zip(shown, words, strict=True):
        resource = change.resource
        # Differences stand below the name: a column of their own would be too narrow.
        lines = Text("\n").join([plain(resource.name), *difference_lines(change.differences)])
        table.add_row(plain(word, STYLES.get(word, "")), plain(resource.kind), lines)
    kept = len(plan.changes) - len(shown)
    title = "Done" if done else "Plan"
    counts = counted(Counter(_counted_as(change, done=done) for change in shown))
    heading = plain(f"{title}: {counts}{f', {kept} unchanged' if kept else ''}; {where}", "bold")
    return heading if brief else Group(heading, table)


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
