"""What is going on, while it does."""

from __future__ import annotations

from collections import Counter

from rich.console import RenderableType
from rich.spinner import Spinner
from rich.table import Table

from s3agg import demo, engine, probe, redrive
from s3agg.render.plan import AFTER
from s3agg.render.words import counted, plain

DURING = {"create": "creating", "update": "updating", "delete": "removing"}


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
            rows.add_row(self.spinner, plain(counted(Counter(self.letters))))
        if self.waiting:
            rows.add_row("", plain(self.waiting, "dim"))
        return rows
