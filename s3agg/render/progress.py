"""The live view of a running command."""

from __future__ import annotations

from collections import Counter

from rich.console import RenderableType
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table

from s3agg import engine
from s3agg.commands import demo, follow, redrive, watching
from s3agg.commands.test_objects import Seen
from s3agg.render.redrive import of_kind
from s3agg.render.test_upload import BECAME, objects_table, progressed
from s3agg.render.words import counted, plain

COUNTDOWN_WIDTH = 40


class Progress:
    """The state of a running command, updated by its events."""

    def __init__(self) -> None:
        self.waiting = ""
        self.running: dict[tuple[str, str], str] = {}
        self.finished = 0
        self.objects: dict[str, Seen] = {}
        self.passed: float | None = None  # of the awaited window: 0 to 1
        self.letters: list[redrive.Outcome] = []
        self.spinner = Spinner("line")

    def fold(self, event: object) -> str:
        """Update the view with an event. Return the line about it for a stream that is no terminal, or ""."""
        line = ""
        if isinstance(event, engine.Started | engine.Finished | engine.Failed):
            line = self._fold_change(event)
        elif isinstance(event, Seen):
            self.objects[event.key] = event
            line = "" if event.became == "uploaded" else f"{event.key}: {BECAME[event.became]}"
        elif isinstance(event, watching.Waiting):
            self.passed = event.passed
        elif isinstance(event, follow.Refresh):
            self.waiting, self.passed = "", None
            line = progressed(event)
        elif isinstance(event, redrive.DeadLetter):
            self.letters.append(event.outcome)
            if event.outcome in {"redriven", "kept", "discarded"}:
                bucket = f" of bucket {event.bucket}" if event.bucket else ""
                line = f"{of_kind(event.kind)}{bucket}: {event.outcome}"
        elif isinstance(event, demo.Step):
            self.running, self.finished, self.objects, self.waiting, self.passed = {}, 0, {}, "", None
        return line

    def _fold_change(self, event: engine.Event) -> str:
        change = event.change
        resource = change.resource
        if isinstance(event, engine.Started):
            self.running[resource.key] = (
                f"{engine.VERBS[change.action].during} {resource.kind} {resource.name}"
            )
            return ""
        self.running.pop(resource.key, None)
        self.waiting = ""
        if isinstance(event, engine.Failed):
            return f"failed: {resource.kind} {resource.name}"
        self.finished += 1
        return f"{engine.VERBS[change.action].after} {resource.kind} {resource.name}"

    def __rich__(self) -> RenderableType:
        rows = Table.grid(padding=(0, 1))
        for words in self.running.values():
            rows.add_row(self.spinner, plain(words))
        if self.running:
            rows.add_row("", plain(f"{self.finished} done", "dim"))
        if self.objects:
            rows.add_row("", objects_table(list(self.objects.values())))
        if self.letters:
            rows.add_row(self.spinner, plain(counted(Counter(self.letters))))
        if self.waiting:
            rows.add_row(self.spinner if self.objects else "", plain(self.waiting, "dim"))
        if self.passed is not None:
            rows.add_row("", ProgressBar(total=1, completed=self.passed, width=COUNTDOWN_WIDTH))
        return rows
