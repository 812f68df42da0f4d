"""A stack that the blog's scripts made, with functions that follow the blog's rule, is taken over or removed.

Its names are the blog's, so each test has AWS on this machine to itself.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from s3agg.aws.session import Aws
from s3agg.settings import Names
from tests.e2e import support
from tests.e2e.support import LocalAws, OwnStack
from tests.support import blog
from tests.support.polling import eventually

pytestmark = pytest.mark.e2e

# The emulator ends functions that run while they are changed. Then an event is tried again, and what became
# of a message does not matter, as adopting sends one for it.
PAUSE_S = 1 / 3  # between two uploads
SHARES = 10  # the blog's refresh function fails at 11


@pytest.fixture
def world(tmp_path: Path) -> Iterator[LocalAws]:
    with support.world(tmp_path) as running:
        yield running


@pytest.fixture
def stack(world: LocalAws) -> OwnStack:
    return OwnStack(world, Names(), world.cli.set(S3AGG_OUTPUT="json"))


def make(world: LocalAws, *buckets: str, window: int, timeout: int = 10) -> dict[str, str]:
    """Run the blog's scripts; the shares by their buckets, each of which has one."""
    s3 = world.client("s3")
    for bucket in buckets:
        s3.create_bucket(Bucket=bucket)
    aws = Aws.on_this_machine(world.machine.emulator.url, world.machine.gateway.url)
    blog.create(aws, buckets[0], window=window, timeout=timeout, gateway_url=world.machine.gateway.url)
    for bucket in buckets[1:]:
        blog.attach(aws, bucket)
    # A gateway takes two refreshes at a time, and the blog's function forgets one that is refused.
    return {bucket: world.share(bucket, gateway=number) for number, bucket in enumerate(buckets)}


def test_the_blogs_stack_works_here(world: LocalAws, stack: OwnStack) -> None:
    shares = make(world, "photos", window=3)

    world.upload("photos", *(f"file-{number}" for number in range(3)), threads=1)
    eventually(lambda: len(world.files(shares["photos"])) == 3)
    eventually(lambda: stack.queued(blog.QUEUE) == 0)

    assert world.refreshes(shares["photos"]) == 1
    assert stack.items["photos"].keys() == {"BucketName", "timestamp", "share"}


def test_adopting_the_blogs_stack_loses_neither_its_windows_nor_an_event(
    world: LocalAws, stack: OwnStack
) -> None:
    busy, *quiet = (f"photos-{number}" for number in range(SHARES))
    # The command waits for the old aggregator's timeout, so the refresh function changes some 9 s after the
    # command's start: of the windows that the old aggregator has opened, the first close before, the others
    # after.
    shares = make(world, busy, *quiet, timeout=5, window=9)
    world.upload(busy, "first")
    eventually(lambda: busy in stack.items)  # the function has started

    with uploading(world, busy, *quiet) as uploaded:
        eventually(lambda: len(stack.items) > 3)
        adopted = stack.run("create", "--adopt", "--yes", "--min-interval", "1")
        ended = len(uploaded[busy])
        eventually(lambda: len(uploaded[busy]) > ended + 6)
    uploaded[busy].append("first")
    for bucket, share in shares.items():
        # A round of refreshes that broke off is made again after half a minute.
        eventually(partial(shows_all, world, share, uploaded[bucket]), within=90)
    status = stack.run("status")

    assert adopted.code == 0, adopted.stderr
    assert min(map(len, uploaded.values())) == 1  # each of the quiet buckets has had its file
    assert status.code == 0, status.stderr
    function = world.client("lambda").get_function_configuration(FunctionName=blog.AGGREGATOR)
    assert function["Environment"]["Variables"]["REFRESH_DELAY_SECONDS"] == "9"


@contextmanager
def uploading(world: LocalAws, busy: str, *quiet: str) -> Iterator[dict[str, list[str]]]:
    """Go on uploading; gives the files that are there, by their buckets.

    At first every other one goes to a quiet bucket, which never gets a second one: what the busy bucket
    loses, its next refresh would show all the same.
    """
    files: dict[str, list[str]] = {bucket: [] for bucket in (busy, *quiet)}
    left = list(quiet)
    stop = threading.Event()

    def go_on() -> None:
        for number in itertools.count():
            if stop.wait(PAUSE_S):
                return
            bucket = left.pop(0) if left and number % 2 else busy
            world.upload(bucket, f"file-{number}")
            files[bucket].append(f"file-{number}")

    with ThreadPoolExecutor(1) as pool:
        going_on = pool.submit(go_on)
        try:
            yield files
        finally:
            stop.set()
    going_on.result()


def shows_all(world: LocalAws, share: str, files: Collection[str]) -> bool:
    return set(files) == set(world.files(share))


def test_deleting_the_blogs_stack_leaves_nothing_of_it_and_somebody_elses_rule(
    world: LocalAws, stack: OwnStack
) -> None:
    world.client("sqs").create_queue(QueueName="theirs")
    before = world.inventory()
    shares = make(world, "photos", window=1)
    theirs = add_their_rule(world, "photos", "theirs")
    world.upload("photos", "file")
    eventually(partial(world.shows, shares["photos"], "file"))
    eventually(lambda: stack.queued(blog.QUEUE) == 0)

    refused = stack.run("delete", "--yes")
    refused_left = world.notifications("photos")
    stack.run.must("delete", "--adopt", "--yes")

    assert (refused.code, "--adopt" in refused.stderr) == (1, True)
    assert refused_left.keys() == {"LambdaFunctionConfigurations", *theirs}
    assert world.inventory() == {**before, "rules": {"photos": theirs}, "objects": {"photos": ["file"]}}


def add_their_rule(world: LocalAws, bucket: str, queue: str) -> dict[str, object]:
    """Let the bucket fill somebody's queue too; what its notifications are without the blog's rule."""
    sqs = world.client("sqs")
    url = sqs.get_queue_url(QueueName=queue)["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    theirs: dict[str, object] = {
        "QueueConfigurations": [{"Id": queue, "QueueArn": arn, "Events": ["s3:ObjectRestore:*"]}]
    }
    world.client("s3").put_bucket_notification_configuration(
        Bucket=bucket, NotificationConfiguration={**world.notifications(bucket), **theirs}
    )
    return theirs
