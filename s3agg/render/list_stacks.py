"""The view of `list`."""

from __future__ import annotations

from rich.console import Group, RenderableType

from s3agg.commands.list_stacks import AttachedBucket, ListedStack, Stacks
from s3agg.errors import NO_OPTIONS, Advice, AwsOptions, plural
from s3agg.render.words import new_table, plain
from s3agg.render.wrapping import Wrapped
from s3agg.resources.event_filter import EVENTBRIDGE


def stacks_view(found: Stacks, *, aws_options: AwsOptions = NO_OPTIONS) -> RenderableType:
    """A row for each stack. Each advised command repeats `aws_options`."""
    if not found.stacks:
        return Wrapped(
            f"There are no stacks in account {found.account}."
            f" Create one: {Advice('create', 'BUCKET').words(aws_options)}"
        )
    table = new_table("stack", "region", "buckets", "window", "min interval")
    for each in found.stacks:
        table.add_row(*map(plain, _cells(found, each)))
    title = plain(f"{plural(len(found.stacks), 'stack')} in account {found.account}", "bold")
    notes = []
    if any(each.region != found.region for each in found.stacks):
        notes = [plain("To see the buckets and settings of another region, pass its --region.", "dim")]
    return Group(title, table, *notes)


def _cells(found: Stacks, each: ListedStack) -> list[str]:
    if each.buckets is None or each.settings is None:
        unknown = "unknown" if each.region == found.region else "-"
        return [each.stack, each.region, *[unknown] * 3]
    buckets = ", ".join(map(_with_way, each.buckets)) or "none"
    window, interval = each.settings.window, each.settings.min_interval
    return [each.stack, each.region, buckets, f"{window} s", f"{interval} s"]


def _with_way(bucket: AttachedBucket) -> str:
    return f"{bucket.name} (EventBridge)" if bucket.via == EVENTBRIDGE else bucket.name
