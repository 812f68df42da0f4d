"""The progress and the result of a command."""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from itertools import chain
from typing import TypeVar

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.segment import Segment, Segments
from rich.text import Text

from s3agg.aws.trace import Call
from s3agg.commands import demo, redrive, refresh, watching
from s3agg.commands import test_upload as probe
from s3agg.commands.delete import Left
from s3agg.commands.health import Status
from s3agg.commands.list_stacks import Stacks
from s3agg.commands.test_objects import Seen
from s3agg.engine import Plan
from s3agg.errors import NO_OPTIONS, AwsOptions, Note, S3aggError, plural
from s3agg.live.log_entries import Entry
from s3agg.render.demo import demo_view
from s3agg.render.document import to_json
from s3agg.render.list_stacks import stacks_view
from s3agg.render.logs import day_line, log_document, log_line
from s3agg.render.page import Page, console, print_to
from s3agg.render.plan import plan_document, plan_table, unfinished_lines
from s3agg.render.progress import Progress
from s3agg.render.redrive import redrive_document, redrive_view
from s3agg.render.refresh import refresh_document, refresh_view
from s3agg.render.status import status_document, status_view
from s3agg.render.test_upload import probe_document, probe_view
from s3agg.render.words import plain, utc_now
from s3agg.render.wrapping import print_line
from s3agg.stack.chosen import StackSettings
from s3agg.stack.deployed import Deployment

T = TypeVar("T")


class Screen(Page):
    """Shows the progress of one command on stderr, and its result on stdout."""

    def __init__(
        self,
        *,
        as_json: bool,
        aws_options: AwsOptions = NO_OPTIONS,
        out: Console | None = None,
        err: Console | None = None,
    ) -> None:
        super().__init__(as_json=as_json, aws_options=aws_options, out=out)
        self.err = err or console(stderr=True)
        self.progress = Progress()
        self._printed: set[str] = set()
        self._plan_shown = False
        self._is_live = False
        self._held_warnings: list[str] | None = None  # warnings while --watch owns the screen
        self._note: Callable[[str], None] | None = None  # shows a line while --watch owns the screen

    # Progress and warnings, to stderr.

    def say(self, text: str, style: str = "") -> None:
        """Print a text to stderr, on a terminal wrapped at words."""
        print_line(self.err, text, style)

    def warn(self, *what: str | S3aggError) -> None:
        """Print a warning or a note to stderr, each text only once. Sentences and errors make one text."""
        texts = [each.text(self.aws_options) if isinstance(each, S3aggError) else each for each in what]
        text = " ".join(texts)
        if text in self._printed:
            return
        self._printed.add(text)
        label = "" if isinstance(what[0], Note) else "Warning: "
        if self._held_warnings is None:
            print_line(self.err, text, label=label, label_style="yellow")
        else:
            self._held_warnings.append(f"{label}{text}")

    def waiting(self, text: str) -> None:
        """Show what the command waits for: in place in a live view, elsewhere once, ignoring numbers."""
        self.progress.waiting = text
        if self._note is not None:
            self._note(text)
            return
        what = re.sub(r"\d+", "...", text)
        if not self._is_live and what not in self._printed:
            self._printed.add(what)
            self.say(text)

    def trace(self, call: Call) -> None:
        """Print one AWS call, for -v."""
        words = f"{call.milliseconds:6.0f} ms  {call.service} {call.operation} {call.resource}"
        print_line(self.err, f"{words}  {call.request_id}  {call.error}".rstrip(), "dim")

    def watch(self, events: Generator[object, None, T]) -> T:
        """Show events as they occur, live on a terminal and as lines elsewhere. Return the result."""
        unprinted: list[str] = []
        try:
            with closing(events), self._live():
                while True:
                    if line := self._show_event(next(events)):
                        unprinted.append(line)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]  # the generator's T
        except (S3aggError, KeyboardInterrupt):
            for line in unprinted:  # the live view is gone: print what was done before the error
                self.say(line)
            raise

    @contextmanager
    def _live(self) -> Iterator[None]:
        if not self.err.is_terminal:
            yield
            return
        with Live(self.progress, console=self.err, transient=True, refresh_per_second=10):
            self._is_live = True
            try:
                yield
            finally:
                self._is_live = False

    def _show_event(self, event: object) -> str:
        """Show an event. Return its line if only the live view shows it."""
        line = self.progress.fold(event)
        if isinstance(event, watching.Waiting):
            self.waiting(f"Waiting for {event.what}")
        elif isinstance(event, demo.Step):
            print_to(self.err, Text.assemble("\n", (event.what, "bold"), f"  {event.command}"))
        elif isinstance(event, Status):
            print_to(self.err, status_view(event, utc_now(), aws_options=self.aws_options))
        elif line and not self.err.is_terminal:
            self.say(line)
        elif not isinstance(event, Seen):  # the result lists these
            return line
        return ""

    # Results, to stdout.

    def ask_about(
        self,
        deployment: Deployment,
        plan: Plan,
        settings: StackSettings | None = None,
        to_confirm: Sequence[str] = (),
        left: Left | None = None,
    ) -> None:
        """Show the plan on stderr, before the confirmation. The last three as for `plan`."""
        lines = unfinished_lines(left, utc_now()) if left else ()
        print_to(
            self.err,
            plan_table(
                deployment, plan, done=False, settings=settings, to_confirm=to_confirm, unfinished=lines
            ),
        )
        self._plan_shown = True

    def ask_about_letters(self, report: redrive.Report) -> None:
        """Show the messages on stderr, before the confirmation."""
        print_to(self.err, redrive_view(report, utc_now(), self.aws_options))

    def plan(
        self,
        deployment: Deployment,
        plan: Plan,
        *,
        done: bool,
        problems: Sequence[S3aggError] = (),
        settings: StackSettings | None = None,
        to_confirm: Sequence[str] = (),
        left: Left | None = None,
    ) -> None:
        """Show a planned or completed plan. After a confirmation on the terminal, only its first line.

        `problems` prevent the changes. They are part of the JSON; a table leaves them to the error message.
        `settings` are those that `create` declares, and `to_confirm` are the effects that it asks about.
        `left` are the refreshes that `delete` finds unfinished.
        """
        lines = unfinished_lines(left, utc_now()) if left else ()
        brief = self._plan_shown and self.out.is_terminal
        self.show(
            plan_document(deployment, plan, problems, self.aws_options, settings, to_confirm, left),
            lambda: plan_table(
                deployment,
                plan,
                done=done,
                brief=brief,
                settings=settings,
                to_confirm=to_confirm,
                unfinished=lines,
            ),
        )

    def status(self, status: Status) -> None:
        self.show(
            status_document(status, self.aws_options),
            lambda: status_view(
                status, utc_now(), aws_options=self.aws_options, every_share=not self.out.is_terminal
            ),
        )

    def stacks(self, found: Stacks) -> None:
        self.show({**vars(found), "problems": []}, lambda: stacks_view(found, aws_options=self.aws_options))

    def probe(self, report: probe.Report) -> None:
        self.show(probe_document(report, self.aws_options), lambda: probe_view(report, self.aws_options))

    def redrive(self, report: redrive.Report, *, problems: Sequence[S3aggError] = ()) -> None:
        """Show the results for the dead letters. `problems` prevent them, and are only part of the JSON."""
        self.show(
            redrive_document(report, problems, self.aws_options),
            lambda: redrive_view(report, utc_now(), self.aws_options),
        )

    def refresh(self, report: refresh.Report) -> None:
        document = refresh_document(report, self.aws_options)
        self.show(document, lambda: refresh_view(report, utc_now(), self.aws_options))

    def demo(self, report: demo.Report) -> None:
        self.show({**vars(report), "problems": []}, lambda: demo_view(report))

    def logs(self, entries: Iterable[Entry]) -> None:
        """Print each entry when it arrives, as a line or as a JSON document on a line."""
        day = None
        for entry in entries:
            if self.as_json:
                self.out.file.write(to_json(log_document(entry), indent=None) + "\n")
            else:
                if entry.time.date() != day:
                    day = entry.time.date()
                    self.print(day_line(entry.time))
                print_to(self.out, log_line(entry), soft_wrap=True)
            self.out.file.flush()
        if day is None and not self.as_json:
            self.say("No matching log lines.")

    def watch_status(self, readings: Iterable[Status | S3aggError]) -> Status | None:
        """Redraw the status in place until Ctrl-C, and return the last one.

        The first status is read before the screen is cleared.
        """
        each = iter(readings)
        first = next(each)
        status: Status | None = None
        live = Live(console=self.out, auto_refresh=False, screen=True)
        with suppress(KeyboardInterrupt), live:
            self._held_warnings = []
            read_at = utc_now()

            def note(text: str) -> None:
                if status is not None:
                    live.update(self._fitted(status, [*notes, text]), refresh=True)

            notes: list[str] = []
            self._note = note
            for reading in chain([first], each):
                notes = list(self._held_warnings)
                if isinstance(reading, S3aggError):
                    why = reading.text(self.aws_options)
                    notes.append(f"Not updated since {read_at:%H:%M:%S} UTC: {why}")
                else:
                    status, read_at = reading, utc_now()
                if status is not None:
                    live.update(self._fitted(status, notes), refresh=True)
        return status

    def _fitted(self, status: Status, notes: Sequence[str]) -> RenderableType:
        """The status in full or brief, cut to the height of the terminal, with the number of lines cut."""
        for brief in (False, True):
            view = Group(
                *(plain(note, "yellow") for note in notes),
                status_view(status, utc_now(), aws_options=self.aws_options, brief=brief),
            )
            lines = self.out.render_lines(view, pad=False)
            if len(lines) <= self.out.height:
                return view
        shown = lines[: self.out.height - 1]
        more = plain(
            f"... {plural(len(lines) - len(shown), 'more line')}. Enlarge the terminal to see all.", "dim"
        )
        return Group(Segments(segment for line in shown for segment in [*line, Segment.line()]), more)
