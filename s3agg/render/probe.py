"""What became of the objects that test-upload uploaded."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.text import Text

from s3agg import probe
from s3agg.render.words import new_table, plain


def probe_view(report: probe.Report) -> RenderableType:
    """What became of the uploaded objects."""
    lines = [
        Text.assemble(
            ("It works", "bold green") if report.ok else ("It does not work", "bold red"),
            plain(f": bucket {report.bucket}, {report.seconds:.0f} s"),
        )
    ]
    table = new_table("", "")
    table.show_header = False
    table.add_row("objects uploaded", str(report.uploaded))
    if report.opened_windows is not None:
        table.add_row("opened a window", str(report.opened_windows))
        table.add_row("fell into a window", str(report.within_window))
    for refresh in report.refreshes:
        shares = ", ".join(share.rpartition("/")[2] for share in refresh.shares) or "no file share"
        table.add_row("refresh", plain(f"{refresh.start:%H:%M:%S} UTC, {shares}"))
    return Group(*lines, table, *(plain(note) for note in report.notes))
