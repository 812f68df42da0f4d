"""The view of `demo`."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.text import Text

from s3agg.commands import demo
from s3agg.errors import plural
from s3agg.render.words import new_table


def demo_view(report: demo.Report) -> RenderableType:
    """The number of files that an NFS client sees, and the number of refreshes."""
    table = new_table("files that an NFS client sees", "")
    table.columns[1].justify = "right"
    table.add_row("before the refresh", str(report.share_before))
    table.add_row("after the refresh", str(report.share_after))
    refreshes = plural(report.refreshes, "refresh", "es")
    return Group(
        table,
        Text(f"\n{plural(report.uploaded, 'upload')} caused {refreshes}, in {report.seconds:.0f} s."),
        Text("All resources of the demo are deleted."),
    )
