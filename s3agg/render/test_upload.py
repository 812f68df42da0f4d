"""The view of `test-upload`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from rich.console import Group, RenderableType
from rich.text import Text

from s3agg.commands import follow
from s3agg.commands import test_upload as probe
from s3agg.commands.test_objects import Became, Seen
from s3agg.errors import NO_OPTIONS, AwsOptions, plural
from s3agg.live.share_refreshes import ShareRefresh
from s3agg.render.document import problem_documents
from s3agg.render.words import counted, lasting, new_table, plain, share_names, spaced
from s3agg.render.wrapping import Wrapped

MOST_OBJECTS = 10  # rows in the table of objects
BECAME: Mapping[Became, str] = {
    "uploaded": "uploaded",
    "opened_window": "opened the window",
    "within_window": "in the window",
}
STYLES: Mapping[Became, str] = {"uploaded": "dim", "opened_window": "bold green", "within_window": "cyan"}


def probe_document(report: probe.Report, aws_options: AwsOptions = NO_OPTIONS) -> dict[str, object]:
    """The JSON of `test-upload`, as schemas/test-upload.json describes it."""
    notes = [note.text(aws_options) for note in report.notes]
    problems = problem_documents(report.problems, aws_options)
    return {**vars(report), "notes": notes, "problems": problems}


def probe_view(report: probe.Report, aws_options: AwsOptions = NO_OPTIONS) -> RenderableType:
    """The verdict, the objects with their results, and the time of each step."""
    parts: list[RenderableType] = [
        Text.assemble(
            _verdict(report),
            plain(f": {_summary(report)}, in {report.seconds:.1f} s"),
        )
    ]
    if report.opened_windows is not None:
        parts += ["", objects_table(report.objects)]
    hops = new_table("after", "step", "UTC")
    hops.columns[0].justify = "right"
    for hop in report.hops:
        time = f"{hop.time:%H:%M:%S}.{hop.time.microsecond // 100_000}"
        hops.add_row(f"{hop.seconds:.1f} s", plain(spaced(hop.step)), time)
    parts += ["", hops]
    if report.shares:
        parts += ["", shares_table(report.shares)]
    else:
        parts += [plain(refreshed(each)) for each in report.refreshes if each.shares]
    return Group(*parts, *(Wrapped(each.text(aws_options)) for each in (*report.problems, *report.notes)))


def _verdict(report: probe.Report) -> tuple[str, str]:
    if not report.ok:
        return "The stack does not work", "bold red"
    if report.refreshes and not any(refresh.found_shares for refresh in report.refreshes):
        region = report.refreshes[-1].region
        return f"The stack works, but there is no file share in {region} to refresh", "bold yellow"
    if report.showing == ():
        return "The stack works, but no file share shows the uploaded objects", "bold yellow"
    if report.shares and not report.complete:
        return "The stack works, but the refresh is not complete yet", "bold yellow"
    return "The stack works", "bold green"


def _summary(report: probe.Report) -> str:
    refreshes = plural(len(report.refreshes), "refresh", "es")
    return f"{plural(report.uploaded, 'upload')} to {report.bucket}, {refreshes}"


def objects_table(objects: Sequence[Seen]) -> RenderableType:
    """The first objects, a row each. If there are more, also the number of objects for each result."""
    table = new_table("object", "result", "after")
    table.columns[-1].justify = "right"
    for each in objects[:MOST_OBJECTS]:
        table.add_row(
            plain(each.key), plain(BECAME[each.became], STYLES[each.became]), f"{each.seconds:.1f} s"
        )
    if len(objects) > MOST_OBJECTS:
        became = Counter(BECAME[each.became] for each in objects)
        return Group(table, plain(f"{len(objects)} objects: {counted(became)}"))
    return table


def shares_table(shares: Sequence[ShareRefresh]) -> RenderableType:
    """Each share with the times of its refresh, and how long its gateway took."""
    table = new_table("file share", "accepted", "complete", "took")
    table.columns[-1].justify = "right"
    for each in shares:
        complete = f"{each.complete:%H:%M:%S}" if each.complete else "-"
        took = "-" if each.took_s is None else lasting(each.took_s)
        table.add_row(plain(share_names([each.share])), f"{each.accepted:%H:%M:%S}", complete, took)
    return table


def progressed(refresh: follow.Refresh) -> str:
    """The line about a refresh while the test runs. It differs from the result's: both may go to one pipe."""
    if not refresh.found_shares:
        return f"The refresh found no file share in {refresh.region}"
    if not refresh.shares:
        return "The refresh was for no file share: none was touched"
    done = "is complete on" if refresh.complete else "is accepted by"
    return f"The refresh {done} {share_names(refresh.shares)}"


def refreshed(refresh: follow.Refresh) -> str:
    """The line about a refresh, with its file shares."""
    return f"Refresh {'complete' if refresh.complete else 'accepted'}: {share_names(refresh.shares)}"
