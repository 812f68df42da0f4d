"""What the demo has shown."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.text import Text

from s3agg.commands import demo
from s3agg.render.words import new_table


def demo_view(report: demo.Report) -> RenderableType:
    """What an NFS client saw, and what it cost."""
    table = new_table("an NFS client of the share sees", "files")
    table.add_row("before", str(report.share_before))
    table.add_row("after", str(report.share_after))
    times = "one refresh" if report.refreshes == 1 else f"{report.refreshes} refreshes"
    return Group(
        table,
        Text(f"\n{report.uploaded} uploads took {times}, in {report.seconds:.0f} s. Nothing is left behind."),
    )
