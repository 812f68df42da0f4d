"""What the user sees: tables, live progress, JSON. The only file that imports rich.

Results go to stdout, progress and warnings to stderr. What comes from AWS is data: always `Text`,
never markup, with control characters shown escaped.
"""

from __future__ import annotations

import json
import re
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import fields, is_dataclass
from datetime import datetime, timezone
from typing import Any, TypeVar

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from s3agg import demo, engine, probe, redrive
from s3agg.activity import BucketActivity
from s3agg.aws import Call
from s3agg.deployment import Deployment
from s3agg.engine import Change, Plan
from s3agg.errors import S3aggError, printable
from s3agg.resources.resource import Difference
from s3agg.settings import Names
from s3agg.status import Status

T = TypeVar("T")

WIDE = 200  # where nobody says how wide: a pipe must not break names in two
LONGEST_VALUE = 60
BEFORE = {"create": "create", "update": "update", "delete": "remove", "keep": "keep", "foreign": "foreign"}
DURING = {"create": "creating", "update": "updating", "delete": "removing"}
AFTER = {"create": "created", "update": "updated", "delete": "removed"}
STYLES = {
    "ok": "green",
    "missing": "red",
    "drifted": "yellow",
    "foreign": "red",
    "create": "green",
    "created": "green",
    "update": "yellow",
    "updated": "yellow",
    "remove": "red",
    "removed": "red",
    "would go back": "green",
    "would stay": "yellow",
    "done": "green",
    "stays": "red",
}


def console(*, stderr: bool = False) -> Console:
    """A console for stdout or stderr; no colour where it is no terminal, or NO_COLOR is set."""
    made = Console(stderr=stderr, highlight=False, soft_wrap=False, emoji=False)
    if not made.is_terminal and "COLUMNS" not in made._environ:  # noqa: SLF001  # rich's own view of it
        made = Console(stderr=stderr, highlight=False, soft_wrap=False, emoji=False, width=WIDE)
    return made


def utc_now() -> datetime:
    return datetime.now(timezone.utc)


def plain(value: object, style: str = "") -> Text:
    return Text(printable(str(value)), style=style)


class Screen:
    """Where one command shows its progress and its result."""

    def __init__(self, *, as_json: bool, out: Console | None = None, err: Console | None = None) -> None:
        self.as_json = as_json
        self.out = out or console()
        self.err = err or console(stderr=True)
        self.progress = Progress()
        self._said: set[str] = set()

    # Progress and warnings, to stderr.

    def say(self, text: str, style: str = "") -> None:
        self.err.print(plain(text, style))

    def warn(self, text: str) -> None:
        """Warn, once of each thing: what was foreseen may also come about."""
        if text not in self._said:
            self._said.add(text)
            self.err.print(Text.assemble(("Warning: ", "yellow"), plain(text)))

    def waiting(self, text: str) -> None:
        """Show what is being waited for: in place on a terminal, elsewhere once, whatever the seconds."""
        self.progress.waiting = text
        what = re.sub(r"\d+ s", "... s", text)
        if not self.err.is_terminal and what not in self._said:
            self._said.add(what)
            self.say(text)

    def trace(self, call: Call) -> None:
        """Show one AWS call, for -v."""
        words = f"{call.milliseconds:6.0f} ms  {call.service} {call.operation} {call.resource}"
        self.err.print(plain(f"{words}  {call.request_id}  {call.error}".rstrip(), "dim"))

    def follow(self, events: Iterable[T]) -> Iterator[T]:
        """Show the events as they come, live on a terminal and as lines elsewhere; pass them on."""
        withheld: list[str] = []
        try:
            with closed_after(events), self._live():
                for event in events:
                    if line := self._tell(event):
                        withheld.append(line)
                    yield event
        except (S3aggError, KeyboardInterrupt):
            for line in withheld:  # the live view is gone, and what was done is worth knowing now
                self.say(line)
            raise

    def _live(self) -> AbstractContextManager[object]:
        if not self.err.is_terminal:
            return nullcontext()
        return Live(self.progress, console=self.err, transient=True, refresh_per_second=10)

    def _tell(self, event: object) -> str:
        """Show an event; return the line about it that only the live view shows."""
        line = self.progress.fold(event)
        if isinstance(event, probe.Waiting):
            self.waiting(f"Waiting for {event.what}")
        elif isinstance(event, demo.Step):
            self.err.print(Text.assemble("\n", (event.what, "bold"), f"  {event.command}"))
        elif isinstance(event, Status):
            self.err.print(status_view(event, utc_now()))
        elif line and (isinstance(event, probe.Seen) or not self.err.is_terminal):
            self.say(line)
        else:
            return line
        return ""

    def watch(self, events: Iterable[T]) -> T | None:
        """Follow to the end; return the last event."""
        last = deque(self.follow(events), maxlen=1)
        return last[0] if last else None

    # Results, to stdout.

    def show(self, as_object: object, as_table: Callable[[], RenderableType]) -> None:
        """Print a result, as one JSON document or as a table."""
        if self.as_json:
            self.document(as_object)
        else:
            self.out.print(as_table())

    def document(self, content: object) -> None:
        """Print a JSON document, for a program whatever --output says."""
        self.out.file.write(to_json(content) + "\n")
        self.out.file.flush()

    def ask_about(self, deployment: Deployment, plan: Plan) -> None:
        """Show on stderr what a question is about."""
        self.err.print(plan_table(deployment, plan, done=False))

    def plan(self, deployment: Deployment, plan: Plan, *, done: bool) -> None:
        """Show a plan: what would be done, or what was."""
        place = deployment.place
        report = {
            "stack": deployment.stack.names.stack,
            "region": place.region,
            "account": place.account,
            "changes": [
                {
                    "kind": change.resource.kind,
                    "name": change.resource.name,
                    "arn": change.arn,
                    "action": change.action,
                    "differences": change.differences,
                }
                for change in plan.changes
            ],
        }
        self.show(report, lambda: plan_table(deployment, plan, done=done))

    def status(self, status: Status) -> None:
        self.show(status, lambda: status_view(status, utc_now()))

    def probe(self, report: probe.Report) -> None:
        self.show(report, lambda: probe_view(report))

    def redrive(self, report: redrive.Report) -> None:
        self.show(report, lambda: redrive_view(report, utc_now()))

    def demo(self, report: demo.Report) -> None:
        self.show(report, lambda: demo_view(report))

    @contextmanager
    def live_status(self) -> Iterator[Callable[[Status], None]]:
        """Redraw a status in place, for --watch."""
        with Live(console=self.out, auto_refresh=False, screen=True) as live:
            yield lambda status: live.update(status_view(status, utc_now()), refresh=True)


@contextmanager
def closed_after(events: Iterable[object]) -> Iterator[None]:
    """Let a generator clean up now, not when Python gets round to it: the demo's servers end with it."""
    try:
        yield
    finally:
        if isinstance(events, Generator):
            events.close()


class Progress:
    """What is going on, folded from events into one view."""

    def __init__(self) -> None:
        self.waiting = ""
        self.running: dict[tuple[str, str], str] = {}
        self.finished = 0
        self.objects: dict[str, probe.Became] = {}
        self.letters: list[redrive.Outcome] = []
        self.spinner = Spinner("line")

    def fold(self, event: object) -> str:
        """Take one event in; return the line that tells of it where nothing can be redrawn, or ""."""
        line = ""
        if isinstance(event, engine.Started | engine.Finished | engine.Failed):
            line = self._fold_change(event)
        elif isinstance(event, probe.Seen):
            self.objects[event.key] = event.became
            line = "" if event.became == "uploaded" else f"{event.key}: {event.became}"
        elif isinstance(event, redrive.DeadLetter):
            self.letters.append(event.outcome)
            if event.outcome in {"done", "stays"}:
                bucket = f" of bucket {event.bucket}" if event.bucket else ""
                line = f"{event.kind}{bucket}: {event.outcome}"
        elif isinstance(event, demo.Step):
            self.running, self.finished, self.objects, self.waiting = {}, 0, {}, ""
        return line

    def _fold_change(self, event: engine.Event) -> str:
        change = event.change
        resource = change.resource
        if isinstance(event, engine.Started):
            self.running[resource.key] = f"{DURING[change.action]} {resource.kind} {resource.name}"
            return ""
        self.running.pop(resource.key, None)
        self.waiting = ""
        if isinstance(event, engine.Failed):
            return f"failed: {resource.kind} {resource.name}"
        self.finished += 1
        return f"{AFTER[change.action]} {resource.kind} {resource.name}"

    def __rich__(self) -> RenderableType:
        rows = Table.grid(padding=(0, 1))
        for words in self.running.values():
            rows.add_row(self.spinner, plain(words))
        if self.running:
            rows.add_row("", plain(f"{self.finished} done", "dim"))
        if self.objects:
            became = list(self.objects.values())
            counts = [f"{became.count(kind)} {kind}" for kind in dict.fromkeys(became)]
            rows.add_row(self.spinner, plain(", ".join(counts)))
        if self.letters:
            rows.add_row(self.spinner, plain(_counts(Counter(self.letters))))
        if self.waiting:
            rows.add_row("", plain(self.waiting, "dim"))
        return rows


def to_json(value: object) -> str:
    """One JSON document; times are ISO 8601 UTC, and it is ASCII, so that any console can print it."""
    return json.dumps(_jsonable(value), indent=2)


def _jsonable(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return {each.name: _jsonable(getattr(value, each.name)) for each in fields(value)}
    if isinstance(value, dict):
        return {key: _jsonable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_jsonable(item) for item in value]
    if isinstance(value, datetime):
        return value.astimezone(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return value


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _heading(title: str) -> Text:
    return Text(f"\n{title}", style="bold")


def _differences(differences: Sequence[Difference], *, found_first: bool = False) -> Text:
    lines = []
    for each in differences:
        sides = [_short(each.declared), _short(each.found)]
        if found_first:
            sides.reverse()
        lines.append(Text.assemble(plain(each.what), ": ", sides[0], " -> ", sides[1]))
    return Text("\n").join(lines)


def _short(value: str) -> Text:
    return plain(value if len(value) <= LONGEST_VALUE else value[: LONGEST_VALUE - 3] + "...")


def _where(stack: str, region: str, account: str) -> str:
    return f"stack {stack} in {region} of account {account}"


def plan_table(deployment: Deployment, plan: Plan, *, done: bool) -> RenderableType:
    """What would be done, or was, resource by resource; one line if that is nothing."""
    place = deployment.place
    where = _where(deployment.stack.names.stack, place.region, place.account)
    shown = [*plan.foreign, *plan.to_do]
    if not plan.changes:
        there_is = f"no such bucket is attached to {where}" if deployment.exists else f"there is no {where}"
        return plain(f"Nothing to remove: {there_is}.")
    if not shown:
        return plain(f"Nothing to change: {where} is as declared ({len(plan.changes)} resources).")
    words = AFTER if done else BEFORE
    table = _table("", "resource", "name", "found -> declared")
    for change in shown:
        word = words.get(change.action, change.action)
        resource = change.resource
        row = [plain(word, STYLES.get(word, "")), plain(resource.kind), plain(resource.name)]
        table.add_row(*row, _differences(change.differences, found_first=True))
    if not any(change.differences for change in shown):
        table.columns.pop()
    kept = len(plan.changes) - len(shown)
    verb = "Done" if done else "To do"
    return Group(
        plain(f"{verb}: {_summary(shown, words)}{f', {kept} unchanged' if kept else ''}; {where}", "bold"),
        table,
    )


def _summary(changes: Sequence[Change], words: dict[str, str]) -> str:
    counts: dict[str, int] = {}
    for change in changes:
        word = words.get(change.action, change.action)
        counts[word] = counts.get(word, 0) + 1
    return ", ".join(f"{count} {word}" for word, count in counts.items())


def status_view(status: Status, now: datetime) -> RenderableType:
    """One screen that answers in its first line whether it is working."""
    if not status.exists:
        return _verdict(status)
    first: list[RenderableType] = [_verdict(status)]
    if status.dead_letters:
        option = Names(status.stack).option
        first.append(
            Text(
                f"{_dead_letters(status.dead_letters)}, which failed after all retries:"
                f" s3agg redrive --dry-run{option} shows what, s3agg redrive{option} puts it back to work."
            )
        )
    resources = _table("state", "resource", "name", "declared -> found")
    kinds = list(dict.fromkeys(each.kind for each in status.resources))
    for each in sorted(status.resources, key=lambda each: kinds.index(each.kind)):
        row = [plain(each.state, STYLES[each.state]), plain(each.kind), plain(each.name)]
        resources.add_row(*row, _differences(each.differences))
    if not any(each.differences for each in status.resources):
        resources.columns.pop()
    buckets = _table("bucket", "window", "last refresh", "file shares")
    for bucket in status.buckets:
        shares = ", ".join(share.rpartition("/")[2] for share in bucket.shares) or "none known yet"
        last = f"{_ago(now, bucket.last_refresh)}" if bucket.last_refresh else "never"
        buckets.add_row(plain(bucket.name), _window(now, bucket), last, plain(shares))
    queues = _table("queue", "waiting", "delayed", "in flight")
    for queue in status.queues:
        queues.add_row(plain(queue.name), str(queue.visible), str(queue.delayed), str(queue.in_flight))
    functions = _table("function", "last", "invocations", "errors", "throttles")
    for ran in status.functions:
        counts = (str(ran.invocations), str(ran.errors), str(ran.throttles))
        functions.add_row(plain(ran.function), f"{ran.hours} h", *counts)
    parts: list[RenderableType] = [*first, _heading("Resources"), resources]
    for title, table in (("Buckets", buckets), ("Queues", queues), ("Functions", functions)):
        if table.row_count:
            parts += [_heading(title), table]
    return Group(*parts)


def _verdict(status: Status) -> Text:
    where = _where(status.stack, status.region, status.account)
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
        reasons.append(_dead_letters(status.dead_letters))
    return Text.assemble(("Not healthy", "bold red"), plain(f": {', '.join(reasons)}; {where}"))


def _dead_letters(count: int) -> str:
    return f"{count} dead letter{'' if count == 1 else 's'}"


def _window(now: datetime, bucket: BucketActivity) -> Text:
    if bucket.window.open and bucket.window.closes_at is not None:
        left = (bucket.window.closes_at - now).total_seconds()
        return Text(f"open, closes in {left:.0f} s" if left > 0 else f"open, due for {-left:.0f} s")
    return Text("closed, refresh under way" if bucket.pending else "closed")


def _ago(now: datetime, then: datetime) -> str:
    seconds = (now - then).total_seconds()
    for unit, name in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= unit:
            return f"{seconds / unit:.0f} {name} ago"
    return f"{max(seconds, 0):.0f} s ago"


def probe_view(report: probe.Report) -> RenderableType:
    """What became of the uploaded objects."""
    lines = [
        Text.assemble(
            ("It works", "bold green") if report.ok else ("It does not work", "bold red"),
            plain(f": bucket {report.bucket}, {report.seconds:.0f} s"),
        )
    ]
    table = _table("", "")
    table.show_header = False
    table.add_row("objects uploaded", str(report.uploaded))
    if report.opened_windows is not None:
        table.add_row("opened a window", str(report.opened_windows))
        table.add_row("fell into a window", str(report.within_window))
    for refresh in report.refreshes:
        shares = ", ".join(share.rpartition("/")[2] for share in refresh.shares) or "no file share"
        table.add_row("refresh", plain(f"{refresh.start:%H:%M:%S} UTC, {shares}"))
    return Group(*lines, table, *(plain(note) for note in report.notes))


def redrive_view(report: redrive.Report, now: datetime) -> RenderableType:
    """What became of the dead letters; those that share their fate share a row."""
    where = _where(report.stack, report.region, report.account)
    notes = []
    if report.in_flight:
        notes.append(
            plain(
                f"{report.in_flight} more, about, are in flight: in the hands of another run, or of one that"
                f" was killed. They are back within {redrive.HIDDEN_S} s: run this again then."
            )
        )
    if not report.dead_letters:
        return Group(plain(f"No dead letters: nothing waits to be put back to work; {where}."), *notes)
    alike: dict[tuple[object, ...], list[redrive.DeadLetter]] = {}
    for each in report.dead_letters:
        alike.setdefault((each.outcome, each.kind, each.bucket, each.reason, each.error), []).append(each)
    table = _table("", "what failed, and why")
    for letters in alike.values():
        letter = letters[0]
        lines = [plain(_about_all(letters, now)), plain(letter.reason, "dim")]
        if letter.error:
            lines.append(plain(letter.error, "red"))
        table.add_row(plain(letter.outcome, STYLES[letter.outcome]), Text("\n").join(lines))
    heading = f"{_dead_letters(len(report.dead_letters))}: {_counts(report.counts)}; {where}"
    return Group(plain(heading, "bold"), table, *notes)


def _about_all(letters: Sequence[redrive.DeadLetter], now: datetime) -> str:
    """How many, of what, and since when."""
    kind, bucket, count = letters[0].kind, letters[0].bucket, len(letters)
    words = f"{count} {kind}" if count == 1 or kind == "not understood" else f"{count} {kind}s"
    if bucket:
        words += f" of bucket {bucket}"
    if keys := sum(each.keys or 0 for each in letters):
        words += f", {keys} key{'' if keys == 1 else 's'}"
    since = min((each.since for each in letters if each.since is not None), default=None)
    if since is not None:
        words += f", {'' if count == 1 else 'the oldest '}{_ago(now, since)}"
    return words


def _counts(counts: Mapping[redrive.Outcome, int]) -> str:
    return ", ".join(f"{count} {outcome}" for outcome, count in counts.items() if count)


def demo_view(report: demo.Report) -> RenderableType:
    """What an NFS client saw, and what it cost."""
    table = _table("an NFS client of the share sees", "files")
    table.add_row("before", str(report.share_before))
    table.add_row("after", str(report.share_after))
    times = "one refresh" if report.refreshes == 1 else f"{report.refreshes} refreshes"
    return Group(
        table,
        Text(f"\n{report.uploaded} uploads took {times}, in {report.seconds:.0f} s. Nothing is left behind."),
    )
