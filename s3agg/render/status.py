"""Is it working? One screen."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from s3agg.commands.status import Status
from s3agg.errors import plural
from s3agg.live.counts import Counted
from s3agg.live.items import BucketActivity
from s3agg.live.log_lines import hides_lines
from s3agg.render.chart import Chart
from s3agg.render.words import (
    STYLES,
    ago,
    dead_letters,
    heading,
    lasting,
    new_table,
    number,
    place_of,
    plain,
    share_names,
    short,
)
from s3agg.resources.notification import Notification
from s3agg.resources.resource import ABSENT, Difference
from s3agg.settings import Names

PRESENT = "yes"  # of what is there or not, and no more


def status_view(status: Status, now: datetime, *, option: str = "", brief: bool = False) -> RenderableType:
    """One screen whose first line answers whether it is working; in brief, what is well has one line.

    `option` is how a command that is advised has to name the stack, and where it is.
    """
    if not status.exists:
        return _verdict(status, option)
    parts: list[RenderableType] = [_verdict(status, option), *_advice(status, option)]
    parts += [heading("Resources"), _resources(status, brief=brief)]
    if status.buckets:
        parts += [heading("Buckets"), _buckets(status, now), *_timers(status)]
    if status.queues:
        parts += [heading("Queues"), _queues(status)]
    if status.functions or status.aggregated:
        parts += [heading("Lately"), _lately(status, brief=brief)]
    if hides_lines(status.log_level):
        parts.append(plain(f"The log level {status.log_level} hides events and refreshes.", "dim"))
    return Group(*parts)


def _verdict(status: Status, option: str) -> Text:
    where = place_of(status.stack, status.region, status.account)
    if not status.exists:
        return Text.assemble(
            ("Not there", "bold red"),
            f": {where}; make it with s3agg create --bucket BUCKET{option}",
        )
    if status.healthy:
        return Text.assemble(("Healthy", "bold green"), f": {where}")
    states = [resource.state for resource in status.resources if resource.state != "ok"]
    reasons = [f"{states.count(state)} {state}" for state in dict.fromkeys(states)]
    if status.late:
        reasons.append(f"{plural(len(status.late), 'refresh', 'es')} overdue")
    if status.dead_letters:
        reasons.append(dead_letters(status.dead_letters))
    return Text.assemble(("Not healthy", "bold red"), plain(f": {', '.join(reasons)}; {where}"))


def _advice(status: Status, option: str) -> list[Text]:
    """What to do about what is not as it should be."""
    states = {resource.state for resource in status.resources}
    lines = []
    if status.dead_letters:
        lines.append(
            f"{dead_letters(status.dead_letters)}, which failed after all retries:"
            f" s3agg redrive --dry-run{option} shows what, s3agg redrive{option} puts it back to work."
        )
    if status.late:
        lines.append(
            f"The refresh of {', '.join(status.late)} should have come by now: s3agg create{option} wakes it"
            f" up, s3agg logs --since 1h{option} may tell why."
        )
    if any(ran.hours == 1 and ran.errors.total for ran in status.functions):
        lines.append(f"A function has failed in the last hour: s3agg logs --since 1h{option} tells why.")
    if "foreign" not in states and states & {"missing", "drifted"}:
        lines.append(f"s3agg create{option} makes what is missing, and brings back what has drifted.")
    gone = [
        each.name for each in status.resources if (each.state, each.kind) == ("missing", Notification.kind)
    ]
    if "foreign" not in states and gone:
        lines.append(f"Is a bucket gone, too? Then detach it: s3agg delete --bucket {gone[0]}{option}")
    if "foreign" in states:
        lines.append(f"What is foreign has the stack's names, but is not this stack's. {status.remedy}.")
    return [plain(line) for line in lines]


def _resources(status: Status, *, brief: bool) -> Table:
    """What is as declared, a row for each kind; what is not, a row for each, with what it has drifted to."""
    table = Table.grid(padding=(0, 2, 0, 0))
    for each in status.resources:
        if each.state != "ok":
            owner = [plain(each.owner)] if each.owner else []
            words = Text("\n").join([plain(each.name), *owner, *map(_drift, each.differences)])
            table.add_row(plain(each.state, STYLES[each.state]), plain(each.kind), words)
    fine: dict[str, list[str]] = {}
    for each in status.resources:
        if each.state == "ok":
            fine.setdefault(each.kind, []).append(each.name)
    if brief:
        count = sum(map(len, fine.values()))
        table.add_row(plain("ok", STYLES["ok"]), plain(f"{count} resources"))
        return table
    for kind, names in fine.items():
        table.add_row(plain("ok", STYLES["ok"]), plain(kind), plain(", ".join(sorted(names))))
    table.columns[-1].overflow = "fold"
    return table


def _drift(each: Difference) -> Text:
    """What has drifted, in a sentence."""
    what = plain(each.what)
    if each.found == ABSENT:
        declared = "" if each.declared == PRESENT else f", {each.declared} is declared"
        return Text.assemble(what, " is missing", short(declared))
    if each.declared == ABSENT:
        found = "" if each.found == PRESENT else f": {each.found}"
        return Text.assemble(what, " should not be there", short(found))
    return Text.assemble(what, " is ", short(each.found), ", not ", short(each.declared))


def _buckets(status: Status, now: datetime) -> Table:
    table = new_table("bucket", "window", "last refresh", "file shares")
    for bucket in status.buckets:
        last = ago(now, bucket.last_refresh) if bucket.last_refresh else "never"
        shares = share_names(bucket.shares) or "none known yet"
        table.add_row(plain(bucket.name), _window(now, bucket), last, plain(shares))
    return table


def _window(now: datetime, bucket: BucketActivity) -> Text:
    if bucket.window.open and bucket.window.closes_at is not None:
        left = (bucket.window.closes_at - now).total_seconds()
        words = f"open, closes in {left:.0f} s" if left > 0 else f"open, due for {-left:.0f} s"
        if bucket.not_before is not None and bucket.not_before > max(now, bucket.window.closes_at):
            words += f", refresh in {(bucket.not_before - now).total_seconds():.0f} s"
        return Text(words)
    return Text("closed, refresh under way" if bucket.pending else "closed")


def _timers(status: Status) -> list[Text]:
    """Who may not need this at all."""
    by_seconds: dict[int, list[str]] = {}
    for share, seconds in status.timers.items():
        by_seconds.setdefault(seconds, []).append(share)
    return [
        Text.assemble(
            plain(share_names(shares), "yellow"),
            f" {'refreshes itself' if len(shares) == 1 else 'refresh themselves'}"
            f" when a folder is opened that was listed more than {lasting(seconds)} ago"
            " (CacheStaleTimeoutInSeconds). Where that is fresh enough, you may not need this stack.",
        )
        for seconds, shares in by_seconds.items()
    ]


def _queues(status: Status) -> Table:
    table = new_table("queue", "waiting", "delayed", "in flight")
    for queue in status.queues:
        table.add_row(plain(queue.name), *map(number, (queue.visible, queue.delayed, queue.in_flight)))
    for column in table.columns[1:]:
        column.justify = "right"
    return table


def _lately(status: Status, *, brief: bool) -> Table:
    """The last hour beside the last day: what went on, how much, and when."""
    table = new_table("", "last hour", "to now", "last day", "to now")
    for column in table.columns[1:]:
        column.justify = "right"
    for column in (table.columns[0], table.columns[1], table.columns[3]):
        column.no_wrap = True
    names = Names(status.stack)
    if status.aggregated:
        _add(table, "events", [each.events for each in status.aggregated])
        _add(table, "refreshes", [each.refreshes for each in status.aggregated])
        hour, day = ([_ratio(each.events_per_refresh), ""] for each in status.aggregated)
        table.add_row("events per refresh", *hour, *day)
    for function in dict.fromkeys(each.function for each in status.functions):
        ran = [each for each in status.functions if each.function == function]
        counts = {
            "invocations": ([each.invocations for each in ran], "cyan"),
            "errors": ([each.errors for each in ran], "red"),
            "throttles": ([each.throttles for each in ran], "yellow"),
        }
        shown = [
            what for what, (counted, _) in counts.items() if not brief or any(each.total for each in counted)
        ]
        if shown:
            table.add_row("aggregator function" if function == names.aggregator else "refresh function")
        for what in shown:
            _add(table, f"  {what}", *counts[what])
    return table


def _add(table: Table, what: str, counted: Sequence[Counted], style: str = "cyan") -> None:
    """A row of totals, each with its chart, if it is known when; in colour if there is anything."""
    cells: list[RenderableType] = []
    for each in counted:
        shade = style if each.total else "dim"
        if each.over_time:
            cells += [plain(number(each.total), shade), Chart(each.over_time, shade)]
        else:
            cells += [plain(f"{number(each.total)}+" if each.total else "-", shade), ""]
    table.add_row(what, *cells)


def _ratio(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}".removesuffix(".0")
