"""The queues."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from botocore.exceptions import ClientError

from s3agg.resources.queue import Queue
from s3agg.settings import STACK_TAG
from tests.support.aws import PLACE, World

TAGS = {STACK_TAG: "Test", "team": "a"}
DEAD = Queue(PLACE, "Dead", TAGS, visibility=180, retention=1_209_600)
QUEUE = Queue(PLACE, "Queue", TAGS, visibility=180, retention=1_209_600, dead_letters=DEAD, max_receives=100)


def set_by_hand(world: World, queue: Queue, name: str, value: str) -> None:
    url = world.found(queue).url
    world.somebody.sqs.set_queue_attributes(QueueUrl=url, Attributes={name: value})  # type: ignore[dict-item]  # any name


def test_a_queue_that_is_not_there_is_not_found(world: World) -> None:
    assert QUEUE.find(world.snapshot) is None


def test_new_queues_are_as_declared(world: World) -> None:
    world.create(DEAD, QUEUE)

    assert world.differences(DEAD) == {}
    assert world.differences(QUEUE) == {}


def test_a_new_queue_has_its_tags_from_the_start(world: World) -> None:
    world.create(DEAD)

    assert world.found(DEAD).tags == TAGS


def test_a_retention_period_that_was_mended_is_no_difference_for_15_minutes(world: World) -> None:
    """FACTS 33."""
    world.create(DEAD)
    set_by_hand(world, DEAD, "MessageRetentionPeriod", "60")
    named = world.differences(DEAD)
    world.update(DEAD)
    set_by_hand(world, DEAD, "MessageRetentionPeriod", "60")  # as SQS may still answer
    meanwhile = world.differences(DEAD)
    world.clock.sleep(15 * 60)

    assert named == {"message retention period": ("1209600 s", "60 s")}
    assert world.warnings == ["SQS takes up to 15 minutes to apply the new retention period of queue Dead."]
    assert meanwhile == {}
    assert world.differences(DEAD) == named


def test_a_visibility_timeout_is_waited_for_until_it_has_shown_ten_times_in_a_row(world: World) -> None:
    """FACTS 33."""
    world.create(DEAD)
    set_by_hand(world, DEAD, "VisibilityTimeout", "30")
    old = world.somebody.sqs.get_queue_attributes(QueueUrl=world.found(DEAD).url, AttributeNames=["All"])
    world.wire.answer("sqs:GetQueueAttributes", dict(old), after=5, times=1)
    world.update(DEAD)

    assert len(world.wire.made("sqs:GetQueueAttributes")) == 4 + 1 + 10


def test_a_redrive_policy_that_is_not_declared_is_taken_off(world: World) -> None:
    other = replace(DEAD, name="Other")
    world.create(DEAD, other)
    redrive = {"deadLetterTargetArn": other.arn, "maxReceiveCount": 3}
    set_by_hand(world, DEAD, "RedrivePolicy", json.dumps(redrive))

    named = world.differences(DEAD)
    world.update(DEAD)

    assert named == {"dead-letter queue": ("(none)", other.arn), "maximum receives": ("(none)", "3")}
    assert world.differences(DEAD) == {}


@pytest.mark.parametrize("tags", [{}, {STACK_TAG: "Other"}])
def test_a_queue_without_our_tag_or_with_another_stacks_is_foreign(
    world: World, tags: dict[str, str]
) -> None:
    world.create(replace(DEAD, tags=tags))

    assert not DEAD.owner(world.found(DEAD)).ours


@pytest.mark.parametrize("code", ["AWS.SimpleQueueService.QueueDeletedRecently", "QueueDeletedRecently"])
def test_the_name_of_a_queue_deleted_just_now_is_waited_for_in_words(world: World, code: str) -> None:
    world.wire.refuse("sqs:CreateQueue", code, "You must wait 60 seconds", times=75)

    DEAD.create(world.aws)

    assert 60 < world.clock.waited < 70
    left = [int(words.rpartition("at most ")[2].removesuffix(" s more)")) for words in world.waiting]
    assert (
        world.waiting[0]
        == "waiting for SQS to release the name of the deleted queue Dead (1 s, at most 59 s more)"
    )
    assert (left[0], left[-1]) == (59, 0)
    assert left == sorted(left, reverse=True)


def test_a_queue_name_that_never_comes_free_is_an_error_in_awss_words(world: World) -> None:
    world.wire.refuse(
        "sqs:CreateQueue", "AWS.SimpleQueueService.QueueDeletedRecently", "You must wait 60 seconds"
    )

    with pytest.raises(ClientError, match="You must wait 60 seconds"):
        DEAD.create(world.aws)

    assert 90 < world.clock.waited < 92


def test_delete_removes_it(world: World) -> None:
    world.create(DEAD)

    world.delete(DEAD)

    assert DEAD.find(world.snapshot) is None


def test_a_deleted_queue_that_still_answers_is_made_again(world: World) -> None:
    """FACTS 24."""
    world.create(DEAD)
    world.wire.answer("sqs:DeleteQueue", {}, times=1)
    world.delete(DEAD)
    named = world.differences(DEAD)
    world.update(DEAD)

    assert named == {"state": ("active", "being deleted")}
    assert len(world.wire.made("sqs:CreateQueue")) == 1
    assert world.differences(DEAD) == {}


def test_deleting_what_somebody_just_deleted_is_no_error(world: World) -> None:
    world.create(DEAD)
    found = world.found(DEAD)
    world.somebody.sqs.delete_queue(QueueUrl=found.url)

    DEAD.delete(world.aws, found)

    assert DEAD.find(world.snapshot) is None


def test_a_queue_that_goes_while_it_is_looked_at_is_not_found(world: World) -> None:
    world.create(DEAD)
    world.wire.refuse("sqs:GetQueueAttributes", "AWS.SimpleQueueService.NonExistentQueue")

    assert DEAD.find(world.snapshot) is None


@pytest.mark.parametrize("operation", ["GetQueueUrl", "GetQueueAttributes", "ListQueueTags"])
def test_a_denied_look_is_not_taken_for_absence(world: World, operation: str) -> None:
    world.create(DEAD)
    world.aws.queue_urls.clear()  # as in another process
    world.wire.refuse(f"sqs:{operation}", "AccessDenied")

    with pytest.raises(ClientError, match="AccessDenied"):
        DEAD.find(world.snapshot)
