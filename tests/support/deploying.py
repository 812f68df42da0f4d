"""The commands of a stack's life as a test says them; what each changed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from s3agg import engine
from s3agg.aws.session import Aws
from s3agg.commands import preflight
from s3agg.commands.create import apply_create
from s3agg.commands.delete import detach_buckets, for_delete, for_detach
from s3agg.settings import VERSION_TAG, Names
from s3agg.stack.deployed import Request
from tests.support.aws import World
from tests.support.snapshots import Snapshot

NAMES = Names()


_made: dict[object, Snapshot] = {}


def make(world: World, *buckets: str, **options: Any) -> None:
    """Make the buckets and the stack in an empty account; once in this process, later it is put back."""
    key = buckets, tuple(options.items())
    if key in _made:
        _made[key].put_back()
    else:
        for bucket in buckets:
            world.bucket(bucket)
        create(world, *buckets, **options)
        _made[key] = Snapshot.take()
    world.wire.calls.clear()


def create(
    world: World,
    *buckets: str,
    prefix: str | tuple[str, ...] | None = None,
    suffix: str | tuple[str, ...] | None = None,
    events: tuple[str, ...] | None = None,
    names: Names = NAMES,
    skip_validation: bool = False,
    share_bucket: bool = False,
    via: str | None = None,
    **options: Any,
) -> list[str]:
    """What `create` does: the kinds and actions of what it changed."""
    request = Request(
        buckets,
        several(prefix),
        several(suffix),
        events,
        options,
        skip_validation=skip_validation,
        share_bucket=share_bucket,
        via=via,
    )
    deployment = preflight.check(world.aws, names, request).passed()
    return carry_out(apply_create(world.aws, deployment, deployment.plan()))


def several(values: str | tuple[str, ...] | None) -> tuple[str, ...] | None:
    """One prefix or suffix, or several, as a Request has them."""
    return (values,) if isinstance(values, str) else values


def say_made_by(aws: Aws, version: str) -> None:
    """Tag the table as that of a stack of another version of s3agg."""
    arn = aws.dynamodb.describe_table(TableName=NAMES.table)["Table"]["TableArn"]
    aws.dynamodb.tag_resource(ResourceArn=arn, Tags=[{"Key": VERSION_TAG, "Value": version}])


def finish(events: Iterable[object]) -> None:
    for _ in events:
        pass


def carry_out(events: Iterable[object]) -> list[str]:
    finished = [event.change for event in events if isinstance(event, engine.Finished)]
    return [f"{change.action} {change.resource.kind} {change.resource.name}" for change in finished]


def delete(world: World, *, names: Names = NAMES, keep_logs: bool = False) -> list[str]:
    """What `delete` does: the kinds and actions of what it changed."""
    _, plan = for_delete(world.aws, names, keep_logs=keep_logs)
    return carry_out(engine.apply(world.aws, plan, keep_going=True))


def detach(world: World, *buckets: str, names: Names = NAMES) -> list[str]:
    """What `delete --bucket` does: the kinds and actions of what it changed."""
    deployment, plan = for_detach(world.aws, names, buckets)
    return carry_out(detach_buckets(world.aws, deployment, buckets, plan))
