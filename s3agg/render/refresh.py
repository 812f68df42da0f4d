"""The view of `refresh`."""

from __future__ import annotations

from collections import Counter
from datetime import datetime

from rich.console import Group, RenderableType
from rich.text import Text

from s3agg.commands.refresh import Refreshed, Report
from s3agg.errors import NO_OPTIONS, Advice, AwsOptions, S3aggError, plural
from s3agg.render.document import problem_documents
from s3agg.render.words import STYLES, ago, counted, new_table, place_of, plain, share_names, spaced
from s3agg.render.wrapping import Wrapped


def refresh_document(report: Report, aws_options: AwsOptions = NO_OPTIONS) -> dict[str, object]:
    """The JSON of `refresh`, as schemas/refresh.json describes it."""
    problems = [] if report.ok else [_timed_out(report)]
    return {**vars(report), "problems": problem_documents(problems, aws_options)}


def refresh_view(report: Report, now: datetime, aws_options: AwsOptions = NO_OPTIONS) -> RenderableType:
    """The outcome of each bucket. Each advised command repeats `aws_options`."""
    where = place_of(report.stack, report.region, report.account)
    counts = counted(Counter(each.outcome for each in report.buckets))
    table = new_table("result", "bucket")
    for each in report.buckets:
        lines = [plain(each.bucket), *(plain(line, "dim") for line in _details(each, report.region, now))]
        table.add_row(plain(spaced(each.outcome), STYLES[each.outcome]), Text("\n").join(lines))
    heading = plain(f"{plural(len(report.buckets), 'refresh', 'es')}: {counts}; {where}", "bold")
    if report.ok:
        return Group(heading, table)
    return Group(heading, table, Wrapped(_timed_out(report).text(aws_options)))


def _timed_out(report: Report) -> S3aggError:
    waited = f"Timed out after {report.seconds:.0f} s. The stack goes on trying"
    return S3aggError(waited, "To see the state, run", Advice("status"))


def _details(refreshed: Refreshed, region: str, now: datetime) -> list[str]:
    if refreshed.outcome == "requested":
        if refreshed.not_before is None:
            return ["starts now"]
        return [f"starts in {(refreshed.not_before - now).total_seconds():.0f} s, after --min-interval"]
    if refreshed.outcome == "no_file_share":
        return [f"no file share in {region} is mapped to the bucket, so nothing was refreshed"]
    if refreshed.outcome in {"accepted", "complete"}:
        started = f", started {ago(now, refreshed.started)}" if refreshed.started else ""
        return [f"{plural(len(refreshed.shares), 'file share')}{started}"]
    lines = [f"waits for {refreshed.waits_for}"]
    if refreshed.owed:
        lines.append(f"not accepted by {share_names(refreshed.owed)}")
    if refreshed.answer:
        lines.append(f"the gateway's last answer: {refreshed.answer}")
    return lines
