"""Many uploads, one refresh: does the share show the files?"""

from __future__ import annotations

from functools import partial

import pytest

from tests.e2e.support import LocalAws, OwnStack
from tests.support.polling import eventually

pytestmark = pytest.mark.e2e


def test_twenty_uploads_take_one_refresh(world: LocalAws, stack: OwnStack) -> None:
    bucket = world.bucket()
    share = world.share(bucket)
    # Each execution starts a Python of its own here: five at once, and a window that a slow machine fits in.
    stack.run.must("create", "--bucket", bucket, "--window", "6", "--concurrency", "5", "--min-interval", "1")
    assert world.files(share) == []

    world.upload(bucket, *(f"file-{number}" for number in range(20)))
    eventually(lambda: len(world.files(share)) == 20)
    eventually(stack.is_quiet)

    assert world.refreshes(share) == 1


def test_uploads_in_two_windows_take_two_refreshes(world: LocalAws, stack: OwnStack) -> None:
    bucket = world.bucket()
    share = world.share(bucket)
    stack.run.must("create", "--bucket", bucket, "--window", "1", "--min-interval", "1")

    for file in ("first", "second"):
        world.upload(bucket, file)
        eventually(partial(world.shows, share, file))
        eventually(stack.is_quiet)
    (seen,) = stack.run.must("status").json["buckets"]

    assert world.refreshes(share) == 2
    assert world.files(share) == ["first", "second"]
    assert seen["shares"] == [share]
    assert seen["last_refresh"].endswith("Z")


def test_a_bucket_joins_and_leaves_without_disturbing_the_first(world: LocalAws, stack: OwnStack) -> None:
    first, second = world.bucket(), world.bucket()
    share = world.share(first)
    stack.run.must("create", "--bucket", first, "--window", "3", "--min-interval", "1")
    rules, statements = world.notifications(first), world.statements(stack.names.aggregator)

    joining = stack.run.must("create", "--bucket", second)
    joined = [bucket["name"] for bucket in stack.run.must("status").json["buckets"]]
    world.upload(first, "file")
    leaving = stack.run.must("delete", "--bucket", second, "--yes")
    eventually(partial(world.shows, share, "file"))

    name = second.replace(".", "_")
    theirs = {f"permission SID_{name}", f"notification {second}"}
    assert {what for what, action in joining.actions.items() if action != "keep"} == theirs
    assert set(leaving.actions) == theirs
    assert joined == sorted([first, second])
    assert world.notifications(first) == rules
    assert world.notifications(second) == {}
    assert world.statements(stack.names.aggregator) == statements


def test_a_requested_refresh_shows_what_was_uploaded_before_the_bucket_was_attached(
    world: LocalAws, stack: OwnStack
) -> None:
    bucket = world.bucket()
    share = world.share(bucket)
    world.upload(bucket, "before")
    stack.run.must("create", "--bucket", bucket, "--window", "6", "--min-interval", "1")

    first = stack.run.must("refresh", "--bucket", bucket, "--wait")
    eventually(lambda: world.files(share) == ["before"])
    again = stack.run.must("refresh", "--wait")

    assert [ran.json["buckets"][0]["shares"] for ran in (first, again)] == [[share], [share]]
    assert world.refreshes(share) == 2
    assert stack.run.must("status").json["healthy"]


def test_a_bucket_is_refreshed_by_eventbridge_beside_a_rule_for_the_same_events(
    world: LocalAws, stack: OwnStack
) -> None:
    bucket = world.bucket()
    share = world.share(bucket)
    topic = world.client("sns").create_topic(Name="theirs")["TopicArn"]
    theirs = {"Id": "theirs", "TopicArn": topic, "Events": ["s3:ObjectCreated:*"]}
    world.client("s3").put_bucket_notification_configuration(
        Bucket=bucket, NotificationConfiguration={"TopicConfigurations": [theirs]}
    )
    options = ("--bucket", bucket, "--prefix", "a+b/", "--window", "1", "--min-interval", "1")

    refused = stack.run("create", *options)
    stack.run.must("create", *options, "--via", "eventbridge")
    world.upload(bucket, "a b/file")
    eventually(partial(world.shows, share, "a b/file"))
    stack.run.must("delete", "--bucket", bucket, "--yes")

    assert refused.code == 1
    assert ", or --via eventbridge, or " in refused.stderr
    assert world.notifications(bucket) == {"TopicConfigurations": [theirs]}
