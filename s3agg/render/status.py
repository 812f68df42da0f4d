"""Is it working? One screen."""

from __future__ import annotations

from datetime import datetime

from rich.console import Group, RenderableType
from rich.text import Text

from s3agg.activity import BucketActivity
from s3agg.render.words import (
    STYLES,
    ago,
    dead_letters,
    difference_lines,
    heading,
    new_table,
    place_of,
    plain,
)
from s3agg.settings import Names
from s3agg.status import Status


def status_view(status: Status, now: datetime) -> RenderableType:
    """One screen that answers in its first line whether it is working."""
    if not status.exists:
        return _verdict(status)
    first: list[RenderableType] = [_verdict(status)]
    if status.dead_letters:
        option = Names(status.stack).option
        first.append(
            Text(
                f"{dead_letters(status.dead_letters)}, which failed after all retries:"
                f" s3agg redrive --dry-run{option} shows what, s3agg redrive{option} puts it back to work."
            )
        )
    resources = new_table("state", "resource", "name", "declared -> found")
    kinds = list(dict.fromkeys(each.kind for each in status.resources))
    for each in sorted(status.resources, key=lambda each: kinds.index(each.kind)):
        row = [plain(each.state, STYLES[each.state]), plain(each.kind), plain(each.name)]
        resources.add_row(*row, difference_lines(each.differences))
    if not any(each.differences for each in status.resources):
        resources.columns.pop()
    buckets = new_table("bucket", "window", "last refresh", "file shares")
    for bucket in status.buckets:
        shares = ", ".join(share.rpartition("/")[2] for share in bucket.shares) or "none known yet"
        last = f"{ago(now, bucket.last_refresh)}" if bucket.last_refresh else "never"
        buckets.add_row(plain(bucket.name), _window(now, bucket), last, plain(shares))
    queues = new_table("queue", "waiting", "delayed", "in flight")
    for queue in status.queues:
        queues.add_row(plain(queue.name), str(queue.visible), str(queue.delayed), str(queue.in_flight))
    functions = new_table("function", "last", "invocations", "errors", "throttles")
    for ran in status.functions:
        counts = (str(ran.invocations), str(ran.errors), str(ran.throttles))
        functions.add_row(plain(ran.function), f"{ran.hours} h", *counts)
    parts: list[RenderableType] = [*first, heading("Resources"), resources]
    for title, table in (("Buckets", buckets), ("Queues", queues), ("Functions", functions)):
        if table.row_count:
            parts += [heading(title), table]
    return Group(*parts)


def _verdict(status: Status) -> Text:
    where = place_of(status.stack, status.region, status.account)
    if not status.exists:
        return Text.assemble(
            ("Not there", "bold red"),
            f": {where}; make it with s3agg create --bucket BUCKET{Names(status.stack).option}",
        )
    if status.healthy:
        return Text.assemble(("Healthy", "bold green"), f": {where}")
    states = [resource.state for resource in status.resources if resource.state != "ok"]
    reasons = [f"{states.count(state)} {state}" for state in dict.fromkeys(states)]
    if status.dead_letters:
        reasons.append(dead_letters(status.dead_letters))
    return Text.assemble(("Not healthy", "bold red"), plain(f": {', '.join(reasons)}; {where}"))


def _window(now: datetime, bucket: BucketActivity) -> Text:
    if bucket.window.open and bucket.window.closes_at is not None:
        left = (bucket.window.closes_at - now).total_seconds()
        return Text(f"open, closes in {left:.0f} s" if left > 0 else f"open, due for {-left:.0f} s")
    return Text("closed, refresh under way" if bucket.pending else "closed")
