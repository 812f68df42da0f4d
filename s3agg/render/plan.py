"""What would be done to a stack, or was."""

from __future__ import annotations

from collections import Counter

from rich.console import Group, RenderableType
from rich.text import Text

from s3agg.engine import VERBS, Change, Plan
from s3agg.render.words import STYLES, counted, difference_lines, new_table, place_of, plain
from s3agg.stack.deployed import Deployment


def plan_table(deployment: Deployment, plan: Plan, *, done: bool, brief: bool = False) -> RenderableType:
    """What would be done, or was, resource by resource; one line if that is nothing, or is known already."""
    place = deployment.place
    where = place_of(deployment.stack.names.stack, place.region, place.account)
    shown = [*plan.foreign, *plan.to_do]
    if not plan.changes:
        there_is = f"no such bucket is attached to {where}" if deployment.exists else f"there is no {where}"
        return plain(f"Nothing to remove: {there_is}.")
    if not shown:
        return plain(f"Nothing to change: {where} is as declared ({len(plan.changes)} resources).")
    words = [_word(change, done=done) for change in shown]
    table = new_table("", "resource", "name")
    for change, word in zip(shown, words, strict=True):
        resource = change.resource
        # What differs stands below the name: beside it there would be too little room for either.
        lines = Text("\n").join([plain(resource.name), *difference_lines(change.differences)])
        table.add_row(plain(word, STYLES.get(word, "")), plain(resource.kind), lines)
    kept = len(plan.changes) - len(shown)
    verb = "Done" if done else "To do"
    first = plain(
        f"{verb}: {counted(Counter(words))}{f', {kept} unchanged' if kept else ''}; {where}", "bold"
    )
    return first if brief else Group(first, table)


def _word(change: Change, *, done: bool) -> str:
    """What would become of a resource, or has."""
    verb = VERBS.get(change.action)
    if verb is None:
        return change.action
    return verb.after if done else verb.before
