"""The view of `status`: one screen."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from s3agg.commands.health import Status
from s3agg.commands.problem import Problem
from s3agg.errors import NO_OPTIONS, Advice, AwsOptions, plural
from s3agg.live.counts import Counted
from s3agg.live.items import BucketActivity
from s3agg.live.log_lines import hides_lines
from s3agg.render.chart import Chart
from s3agg.render.differences import drifts, split
from s3agg.render.plan import difference_documents
from s3agg.render.settings import settings_block
from s3agg.render.share_status import last_refresh, shares_table
from s3agg.render.words import (
    STYLES,
    code,
    heading,
    lasting,
    new_table,
    number,
    place_of,
    plain,
    share_names,
    spaced,
)
from s3agg.render.wrapping import Wrapped
from s3agg.settings import SETTLE_S, Names, Settings
from s3agg.stack.elsewhere import NoStack

# A window that waits for the minimum interval closes when its refresh may start. The aggregator may only
# estimate that time from the last window, and then adds this much for a refresh.
ESTIMATED = timedelta(seconds=5)


def status_view(
    status: Status,
    now: datetime,
    *,
    aws_options: AwsOptions = NO_OPTIONS,
    brief: bool = False,
    every_share: bool = False,
) -> RenderableType:
    """The status on one screen, the verdict first.

    If `brief`, all healthy resources share a line, and the settings are left out.
    Only the first file shares of a bucket are shown, unless `every_share`.
    Each advised command repeats `aws_options`.
    """
    if not status.exists:
        return _verdict(status, aws_options)
    parts: list[RenderableType] = [_verdict(status, aws_options), *_advice(status, aws_options)]
    parts += [heading("Resources"), _resources(status, brief=brief)]
    if status.buckets:
        parts += [heading("Buckets"), _buckets(status, now)]
        if any(status.refreshes.values()):
            parts += [heading("File shares"), shares_table(status, now, every_share=every_share)]
        parts += _timers(status)
    if status.queues:
        parts += [heading("Queues"), _queues(status)]
    if status.functions or status.aggregated:
        parts += [heading("Activity"), _activity(status, brief=brief)]
    if hides_lines(status.log_level):
        parts.append(plain(f"The log level {status.log_level} hides events and refreshes.", "dim"))
    if status.settings and not brief:
        parts += [heading("Settings"), settings_block(status.settings)]
    return Group(*parts)


def status_document(status: Status, aws_options: AwsOptions = NO_OPTIONS) -> dict[str, object]:
    """The JSON of `status`, as schemas/status.json describes it. `aws_options` as for `status_view`."""
    return {
        "stack": status.stack,
        "region": status.region,
        "account": status.account,
        "elsewhere": status.elsewhere,
        "exists": status.exists,
        "healthy": status.healthy,
        "problems": [_problem(each, aws_options) for each in status.problems],
        "warnings": [_problem(each, aws_options) for each in status.warnings],
        "unread": status.unread,
        "dead_letters": status.dead_letters,
        "resources": [
            {
                "kind": code(each.kind),
                "name": each.name,
                "arn": each.arn or None,
                "state": each.state,
                "differences": difference_documents(each.differences),
                "owner": each.owner or None,
            }
            for each in status.resources
        ],
        "remedy": status.remedy or None,
        "buckets": [_bucket_document(status, each) for each in status.buckets],
        "median_hours": status.median_hours,
        "late": status.late,
        "queues": status.queues,
        "log_level": status.log_level,
        "functions": status.functions,
        "aggregated": status.aggregated,
        "timers": status.timers,
        "settings": status.settings,
    }


def _bucket_document(status: Status, bucket: BucketActivity) -> dict[str, object]:
    """The JSON of a bucket. Without the table's items it is not known whether a window is open."""
    unknown = {} if status.knows_windows else {"window": None, "pending": None}
    told = {name: value for name, value in vars(bucket).items() if name not in {"pause", "tried"}}
    return {**told, **unknown, "refreshes": status.refreshes.get(bucket.name, ())}


def _problem(problem: Problem, aws_options: AwsOptions) -> dict[str, str | None]:
    return {"what": f"{problem.what}.", "advice": problem.advice(aws_options) or None}


def _verdict(status: Status, aws_options: AwsOptions) -> RenderableType:
    where = place_of(status.stack, status.region, status.account)
    if not status.exists:
        missing = NoStack(status.stack, status.region, status.elsewhere).text(aws_options)
        create = "" if status.elsewhere else f" Create it: {Advice('create', 'BUCKET').words(aws_options)}"
        return Wrapped(f": {missing}{create}", "Not deployed", "bold red")
    unread = ", ".join(map(spaced, status.unread))
    if status.healthy and unread:
        return Text.assemble(
            (f"Healthy except for what could not be read ({unread})", "bold yellow"), f": {where}"
        )
    if status.healthy:
        return Text.assemble(("Healthy", "bold green"), f": {where}")
    briefs = [problem.brief for problem in status.problems if problem.brief]
    reasons = ", ".join([*briefs, f"could not read {unread}"] if unread else briefs)
    return Text.assemble(("Not healthy", "bold red"), plain(f": {reasons}; {where}"))


def _advice(status: Status, aws_options: AwsOptions) -> list[RenderableType]:
    """A line with the next steps for each problem and each warning."""
    labels = [*((each, "") for each in status.problems), *((each, "Warning: ") for each in status.warnings)]
    return [
        Wrapped(f"{each.what}. {each.advice(aws_options)}".rstrip(), label, "yellow")
        for each, label in labels
    ]


def _resources(status: Status, *, brief: bool) -> Table:
    """A row for each resource with a problem, and its differences. A row for each kind of healthy ones.

    Tags that differ in the same way for several resources share a row.
    """
    table = Table.grid(padding=(0, 2, 0, 0))
    odd = [each for each in status.resources if each.state != "ok"]
    own, shared = split([(each.state, each.differences) for each in odd])
    for each, differences in zip(odd, own, strict=True):
        if differences or not each.differences:
            owner = [plain(each.owner)] if each.owner else []
            lacks = [plain(f"depends on {', '.join(each.lacks)}: missing")] if each.lacks else []
            words = Group(plain(each.name), *owner, *drifts(differences), *lacks)
            table.add_row(plain(each.state, STYLES[each.state]), plain(each.kind), words)
    for tags in shared:
        words = Group(*drifts(tags.differences))
        table.add_row(plain(tags.state, STYLES[tags.state]), plain(tags.what), words)
    healthy: dict[str, list[str]] = {}
    for each in status.resources:
        if each.state == "ok":
            healthy.setdefault(each.kind, []).append(each.name)
    if brief:
        count = sum(map(len, healthy.values()))
        table.add_row(plain("ok", STYLES["ok"]), plain(plural(count, "resource")))
        return table
    for kind, names in healthy.items():
        table.add_row(plain("ok", STYLES["ok"]), plain(kind), plain(", ".join(sorted(names))))
    table.columns[-1].overflow = "fold"
    return table


def _buckets(status: Status, now: datetime) -> Table:
    table = new_table("bucket", "window", "last refresh", "file shares")
    for bucket in status.buckets:
        never = "never" if status.knows_windows else "unknown"
        last = last_refresh(bucket, status.refreshes.get(bucket.name, ()), now) or never
        last = last if bucket.shares or not bucket.last_refresh else "nothing to refresh"
        pause_s = (status.settings or Settings).min_interval + SETTLE_S
        window = _window(now, bucket, pause_s) if status.knows_windows else Text("unknown")
        # The functions look for file shares when they refresh, in their own region (FACTS 40).
        looked_up = bucket.last_refresh or status.shares is not None
        missing = f"no file share in {status.region}" if looked_up else "not looked up yet"
        shares = len(bucket.shares) or len((status.shares or {}).get(bucket.name, ())) or missing
        table.add_row(plain(bucket.name), window, last, plain(shares))
    return table


def _window(now: datetime, bucket: BucketActivity, pause_s: float) -> Text:
    """The state of a bucket's window. `pause_s` is the time from an acceptance to the next refresh, in s."""
    closes_at, not_before = bucket.window.closes_at, bucket.not_before
    # A running round sets `not_before` to the pause after its own timeout. That is no time of a refresh.
    is_running = bucket.pending and not_before is not None and (not_before - now).total_seconds() > pause_s
    if not bucket.window.open or closes_at is None:
        if is_running or not bucket.pending:
            return Text("closed, refresh in progress" if is_running else "closed")
        # For shares that did not accept, the next try comes later after each one.
        if not bucket.owed and not_before is not None and not_before > now:
            return Text(f"closed, refresh pending, next in {(not_before - now).total_seconds():.0f} s")
        return Text("closed, refresh pending")
    if is_running:
        return Text("open, refresh in progress")
    if not_before is not None and not_before > now and closes_at - not_before <= ESTIMATED:
        next_in = f"in {(max(closes_at, not_before) - now).total_seconds():.0f} s"
        if bucket.pending:
            return Text(f"open, refresh pending, next {next_in}")
        return Text(f"open, waits for --min-interval, refresh {next_in}")
    left = (closes_at - now).total_seconds()
    return Text(f"open, closes in {left:.0f} s" if left > 0 else f"closed {-left:.0f} s ago")


def _timers(status: Status) -> list[Text]:
    """A line about the file shares with automated cache refresh, for each interval."""
    by_seconds: dict[int, list[str]] = {}
    for share, seconds in (status.timers or {}).items():
        by_seconds.setdefault(seconds, []).append(share)
    return [
        Text.assemble(
            "Automated cache refresh is on for ",
            plain(share_names(shares), "yellow"),
            f", with a TTL of {lasting(seconds)} (CacheStaleTimeoutInSeconds)."
            " If files may show that late, you may not need this stack.",
        )
        for seconds, shares in by_seconds.items()
    ]


def _queues(status: Status) -> Table:
    table = new_table("queue", "available", "delayed", "in flight")
    for queue in status.queues:
        table.add_row(plain(queue.name), *map(number, (queue.visible, queue.delayed, queue.in_flight)))
    for column in table.columns[1:]:
        column.justify = "right"
    return table


def _activity(status: Status, *, brief: bool) -> Table:
    """Totals and charts of the last hour and the last day."""
    table = new_table("", "last hour", "over time", "last day", "over time")
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
    functions = status.functions or ()
    for function in dict.fromkeys(each.function for each in functions):
        ran = [each for each in functions if each.function == function]
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
    """A row of totals, each with its chart if the times are known. Totals other than 0 are coloured."""
    cells: list[RenderableType] = []
    for each in counted:
        shade = style if each.total else "dim"
        if each.over_time:
            cells += [plain(number(each.total or 0), shade), Chart(each.over_time, shade)]
        else:
            cells += [plain(f"{number(each.total)}+" if each.total else "-", shade), ""]
    table.add_row(what, *cells)


def _ratio(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}".removesuffix(".0")
