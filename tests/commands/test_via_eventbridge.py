"""`create --via eventbridge`: a bucket attached beside any rule of others, and the ways there and back."""

from __future__ import annotations

import json
from typing import Any

import pytest

from s3agg.commands import preflight, status
from s3agg.commands.consent import to_confirm
from s3agg.commands.create import EFFECT_S, may_have_missed
from s3agg.errors import S3aggError
from s3agg.live import items
from s3agg.resources.delivery import SWITCH
from s3agg.resources.event_filter import EVENT_TYPES, EVENTBRIDGE, EventFilter
from s3agg.resources.event_pattern import pattern_of
from s3agg.resources.permission import statements
from s3agg.settings import LONGEST_RULE_NAME, Names, bucket_rule, stack_of_bucket_rule
from s3agg.stack import deployed
from s3agg.stack.deployed import Request
from tests.support import aws as support
from tests.support import deploying
from tests.support.aws import PLACE, World
from tests.support.deploying import create, delete, detach

pytestmark = pytest.mark.stack
world = support.world

NAMES, OTHER = Names(), Names("Other")
PUT = "s3:PutBucketNotificationConfiguration"
RULE = "S3EventAggregator-photos"
SID = "EVENTS_photos"
WAY = [f"create permission {SID}", f"create rule {RULE}", "create EventBridge delivery photos"]
GONE = ["delete EventBridge delivery photos", f"delete rule {RULE}", f"delete permission {SID}"]
THEIRS: dict[str, Any] = {
    "Id": "theirs",
    "QueueArn": PLACE.arn("sqs", "theirs"),
    "Events": sorted(EVENT_TYPES.values()),
}


@pytest.fixture
def photos(world: World) -> World:
    """An account with a bucket, on which somebody has a rule for all keys and events."""
    world.bucket("photos")
    put(world, QueueConfigurations=[THEIRS])
    return world


@pytest.fixture
def bridged(photos: World) -> World:
    """The same, and the stack is attached to the bucket by EventBridge."""
    create(photos, "photos", prefix="in/", via=EVENTBRIDGE)
    photos.wire.calls.clear()
    photos.warnings.clear()
    return photos


@pytest.fixture
def attached(world: World) -> World:
    """An account with the stack, attached to the bucket by an event notification."""
    deploying.make(world, "photos", prefix="in/")
    return world


def put(world: World, **configuration: Any) -> None:
    world.somebody.s3.put_bucket_notification_configuration(
        Bucket="photos",
        NotificationConfiguration=configuration,  # type: ignore[arg-type]  # a plain dict
        SkipDestinationValidation=True,
    )


def get(world: World) -> dict[str, Any]:
    answer: Any = world.somebody.s3.get_bucket_notification_configuration(Bucket="photos")
    return {name: each for name, each in answer.items() if name != "ResponseMetadata"}


def rules(world: World) -> list[str]:
    """The rules for buckets on the default bus."""
    names = [each["Name"] for each in world.somebody.eventbridge.list_rules()["Rules"]]
    return [each for each in names if not each.endswith("RefreshComplete")]


def have_rule(world: World, name: str, pattern: dict[str, Any]) -> None:
    """Somebody has a rule on the default bus."""
    world.somebody.eventbridge.put_rule(Name=name, EventPattern=json.dumps(pattern))


def stored(world: World) -> EventFilter | None:
    return items.read_one(world.somebody, NAMES.table, "photos").event_filter


def checked(world: World, *buckets: str, **request: Any) -> preflight.Checked:
    return preflight.check(world.aws, NAMES, Request(buckets, **request))


# Attaching


def test_a_bucket_is_attached_beside_a_rule_for_the_same_keys_and_events(photos: World) -> None:
    made = create(photos, "photos", prefix="a+b/", via=EVENTBRIDGE)

    assert set(WAY) <= set(made)
    assert not any(each.startswith("create notification") for each in made)
    assert get(photos) == {"QueueConfigurations": [THEIRS], SWITCH: {}}
    rule = photos.somebody.eventbridge.describe_rule(Name=RULE)
    chosen = EventFilter(("a+b/",), via=EVENTBRIDGE)
    assert json.loads(rule["EventPattern"]) == pattern_of("photos", chosen)
    (target,) = photos.somebody.eventbridge.list_targets_by_rule(Rule=RULE)["Targets"]
    assert target == {"Id": "s3agg", "Arn": PLACE.arn("lambda", "function:S3EventAggregator")}
    (statement,) = statements(photos.snapshot, NAMES.aggregator).values()
    assert statement["Principal"] == {"Service": "events.amazonaws.com"}
    assert statement["Condition"]["ArnLike"] == {"AWS:SourceArn": rule["Arn"]}
    assert stored(photos) == chosen


def test_the_switch_is_turned_on_last_and_stored_as_ours_before(photos: World) -> None:
    create(photos, "photos", via=EVENTBRIDGE)

    calls = [
        f"{each.operation} delivery_on" if "delivery_on" in str(each.params) else each.operation
        for each in photos.wire.calls
    ]
    before = calls[: calls.index(PUT)]
    assert {
        "dynamodb:UpdateItem delivery_on",
        "events:TagResource",
        "events:PutTargets",
        "lambda:AddPermission",
    } <= set(before)


def test_a_gateways_own_writes_are_told_once_unless_they_count_anyway(photos: World) -> None:
    create(photos, "photos", via=EVENTBRIDGE)
    create(photos, "photos", via=EVENTBRIDGE)

    (warning,) = photos.warnings
    assert warning == (
        "EventBridge does not tell who wrote an object. So a gateway's own writes to bucket photos also cause"
        " refreshes."
    )


def test_with_gateway_writes_included_there_is_no_warning(photos: World) -> None:
    create(photos, "photos", via=EVENTBRIDGE, include_gateway_writes=True)

    assert photos.warnings == []


def test_destinations_of_others_that_are_gone_are_no_problem(photos: World) -> None:
    assert "create EventBridge delivery photos" in create(photos, "photos", via=EVENTBRIDGE)
    assert [each["SkipDestinationValidation"] for each in photos.wire.made(PUT)] == [True]


def test_a_pattern_that_eventbridge_does_not_accept_is_a_problem_before_any_change(photos: World) -> None:
    prefixes = tuple(f"{number:03}{'x' * 100}/" for number in range(30))

    problems = checked(photos, "photos", prefixes=prefixes, via=EVENTBRIDGE).problems

    assert [str(each).partition(" would have ")[0] for each in problems] == [
        "The event pattern of bucket photos"
    ]


def test_another_stack_that_gets_the_events_by_eventbridge_is_named(bridged: World) -> None:
    with pytest.raises(S3aggError, match=f"Stack {NAMES.stack} already refreshes .* by its rule {RULE}"):
        create(bridged, "photos", via=EVENTBRIDGE, names=OTHER)

    create(bridged, "photos", via=EVENTBRIDGE, names=OTHER, share_bucket=True)
    assert sorted(rules(bridged)) == ["Other-photos", RULE]


def test_somebodys_rule_with_such_a_name_is_no_stack(photos: World) -> None:
    put(photos, EventBridgeConfiguration={})
    have_rule(photos, "backup-photos", {"source": ["aws.s3"], "detail": {"bucket": {"name": ["photos"]}}})

    assert "create notification photos" in create(photos, "photos")


@pytest.mark.parametrize("bucket", ["photos", "my.photos-2026", "x" * 63])
@pytest.mark.parametrize("stack", ["S3EventAggregator", "Two-Parts", "N" * 43])
def test_a_rules_name_is_short_and_tells_the_stack(stack: str, bucket: str) -> None:
    name = bucket_rule(stack, bucket)

    assert len(name) <= LONGEST_RULE_NAME
    assert stack_of_bucket_rule(name, bucket) == stack
    assert name != bucket_rule(stack, f"{bucket[:-1]}y")


# Keeping the way


def test_without_via_an_attached_bucket_keeps_its_way(bridged: World) -> None:
    made = create(bridged, "photos")

    assert made == []
    assert stored(bridged) == EventFilter(("in/",), via=EVENTBRIDGE)


def test_another_prefix_changes_only_the_rule_and_is_confirmed(bridged: World) -> None:
    plan = checked(bridged, "photos", prefixes=("in/deep/",))
    confirm = to_confirm(plan.deployment, plan.plan)
    made = create(bridged, "photos", prefix="in/deep/")

    (sentence,) = confirm
    assert sentence == (
        "Bucket photos: the rule changes from prefix in/ to prefix in/deep/."
        " Events of the other keys no longer cause a refresh."
    )
    assert made == [f"update rule {RULE}"]
    assert may_have_missed(plan.plan) == []


@pytest.mark.parametrize("keeps_rule", [True, False])
def test_after_the_table_was_deleted_by_hand_the_way_and_the_keys_are_kept(
    bridged: World, keeps_rule: bool
) -> None:
    bridged.somebody.dynamodb.delete_table(TableName=NAMES.table)
    if not keeps_rule:
        bridged.somebody.eventbridge.remove_targets(Rule=RULE, Ids=["s3agg"])
        bridged.somebody.eventbridge.delete_rule(Name=RULE)

    create(bridged)

    # Only the rule's pattern tells the keys then.
    assert stored(bridged) == EventFilter(("in/",) if keeps_rule else (), via=EVENTBRIDGE)
    assert not any(name == "LambdaFunctionConfigurations" for name in get(bridged))


# Changing the way


def test_a_bucket_gets_the_new_way_and_minutes_later_loses_the_old_one(attached: World) -> None:
    began = attached.clock.monotonic()
    plan = checked(attached, "photos", via=EVENTBRIDGE).plan

    made = create(attached, "photos", via=EVENTBRIDGE)

    assert made == [*WAY, "delete notification photos", "delete permission SID_photos"]
    first, last = attached.wire.made(PUT)
    assert set(first["NotificationConfiguration"]) == {"LambdaFunctionConfigurations", SWITCH}
    assert set(last["NotificationConfiguration"]) == {SWITCH}
    assert attached.clock.monotonic() - began >= EFFECT_S
    assert stored(attached) == EventFilter(("in/",), via=EVENTBRIDGE)
    assert may_have_missed(plan) == []  # the old way brought all events until then


def test_the_way_back_takes_the_rule_away_last(bridged: World) -> None:
    put(bridged, EventBridgeConfiguration={})  # the other rule is gone
    began = bridged.clock.monotonic()

    made = create(bridged, "photos", via="notification")

    assert made == ["create permission SID_photos", "create notification photos", *GONE]
    first, last = bridged.wire.made(PUT)
    assert set(first["NotificationConfiguration"]) == {"LambdaFunctionConfigurations", SWITCH}
    assert set(last["NotificationConfiguration"]) == {"LambdaFunctionConfigurations"}
    assert bridged.clock.monotonic() - began >= EFFECT_S
    assert not items.read_one(bridged.somebody, NAMES.table, "photos").delivery_is_ours
    assert create(bridged, "photos") == []


def test_the_way_back_is_refused_while_the_other_rule_is_there(bridged: World) -> None:
    with pytest.raises(S3aggError, match="another rule for the same events and keys"):
        create(bridged, "photos", via="notification")

    assert bridged.wire.changes == []


def test_after_a_loss_of_the_action_queue_a_refresh_is_advised(bridged: World) -> None:
    url = bridged.somebody.sqs.get_queue_url(QueueName=NAMES.queue)["QueueUrl"]
    bridged.somebody.sqs.delete_queue(QueueUrl=url)

    assert may_have_missed(checked(bridged, "photos").plan) == ["photos"]


@pytest.mark.parametrize("via", [EVENTBRIDGE, None])
def test_a_change_of_the_way_that_left_out_events_until_now_advises_a_refresh(
    attached: World, via: str | None
) -> None:
    plan = checked(attached, "photos", prefixes=(), via=via).plan

    assert may_have_missed(plan) == ["photos"]


# Detaching


@pytest.mark.parametrize("whole", [False, True])
def test_a_bucket_is_left_as_it_was_found(bridged: World, whole: bool) -> None:
    gone = delete(bridged) if whole else detach(bridged, "photos")

    assert [each for each in gone if each in GONE] == GONE
    assert get(bridged) == {"QueueConfigurations": [THEIRS]}
    assert rules(bridged) == []


def test_delivery_that_was_on_before_stays_on(photos: World) -> None:
    put(photos, EventBridgeConfiguration={})
    create(photos, "photos", via=EVENTBRIDGE)

    gone = detach(photos, "photos")

    assert gone == GONE[1:]
    assert photos.wire.made(PUT) == []
    assert get(photos) == {SWITCH: {}}


@pytest.mark.parametrize("whole", [False, True])
def test_delivery_that_another_rule_came_to_need_stays_on(bridged: World, whole: bool) -> None:
    have_rule(bridged, "theirs", {"source": ["aws.s3"]})

    _ = delete(bridged) if whole else detach(bridged, "photos")

    assert get(bridged) == {"QueueConfigurations": [THEIRS], SWITCH: {}}
    assert rules(bridged) == ["theirs"]


def test_on_the_way_back_delivery_that_another_rule_needs_stays_on_for_good(bridged: World) -> None:
    put(bridged, EventBridgeConfiguration={})
    have_rule(bridged, "theirs", {"source": ["aws.s3"]})

    made = create(bridged, "photos", via="notification")
    bridged.somebody.eventbridge.delete_rule(Name="theirs")

    assert made[2:] == GONE[1:]
    assert create(bridged, "photos") == []
    assert SWITCH in get(bridged)


@pytest.mark.parametrize("whole", [False, True])
def test_after_the_table_was_deleted_by_hand_the_bucket_is_left_as_it_was_found(
    bridged: World, whole: bool
) -> None:
    bridged.somebody.dynamodb.delete_table(TableName=NAMES.table)

    _ = delete(bridged) if whole else detach(bridged, "photos")

    assert get(bridged) == {"QueueConfigurations": [THEIRS]}


@pytest.mark.parametrize("on_before", [False, True])
def test_a_new_table_stores_again_who_turned_delivery_on(photos: World, on_before: bool) -> None:
    if on_before:
        put(photos, EventBridgeConfiguration={})
    create(photos, "photos", via=EVENTBRIDGE)
    photos.somebody.dynamodb.delete_table(TableName=NAMES.table)

    create(photos)

    assert items.read_one(photos.somebody, NAMES.table, "photos").delivery_is_ours != on_before


def test_a_new_rule_is_tagged_again_so_that_delivery_is_turned_off_without_the_table(bridged: World) -> None:
    bridged.somebody.eventbridge.remove_targets(Rule=RULE, Ids=["s3agg"])
    bridged.somebody.eventbridge.delete_rule(Name=RULE)
    create(bridged)
    bridged.somebody.dynamodb.delete_table(TableName=NAMES.table)

    detach(bridged, "photos")

    assert SWITCH not in get(bridged)


def test_a_bucket_that_is_gone_is_told_once_and_detached(bridged: World) -> None:
    bridged.somebody.s3.delete_bucket(Bucket="photos")

    briefs = [each.brief for each in status.read(bridged.aws, NAMES).problems if each.brief]
    assert briefs == ["bucket photos no longer exists"]
    assert detach(bridged, "photos") == GONE[1:]
    assert rules(bridged) == []


def test_after_the_function_and_the_table_were_deleted_by_hand_the_rule_is_found(bridged: World) -> None:
    bridged.somebody.lambda_.delete_function(FunctionName=NAMES.aggregator)
    bridged.somebody.dynamodb.delete_table(TableName=NAMES.table)

    assert detach(bridged, "photos") == GONE[:2]
    assert rules(bridged) == []


# What is shown


def test_status_and_its_settings_tell_the_way(bridged: World) -> None:
    found = status.read(bridged.aws, NAMES)

    assert found.as_declared
    assert {(each.kind, each.name) for each in found.resources} >= {
        ("EventBridge delivery", "photos"),
        ("rule", RULE),
        ("permission", SID),
    }
    assert found.settings is not None
    assert found.settings.buckets["photos"].via_words == "EventBridge"


def test_a_rule_of_a_stack_that_needs_the_same_name_stops_create_and_stays(photos: World) -> None:
    photos.bucket("bar-photos")
    create(photos, "photos", via=EVENTBRIDGE, names=Names("Foo-bar"))

    with pytest.raises(S3aggError) as caught:
        create(photos, "bar-photos", via=EVENTBRIDGE, names=Names("Foo"))

    assert str(caught.value) == (
        "Resources with this stack's names belong to something else: rule Foo-bar-photos (belongs to stack"
        " Foo-bar). Attach the rule's bucket with --via notification, or to a stack of another name."
    )
    create(photos, "bar-photos", names=Names("Foo"))
    _ = delete(photos, names=Names("Foo"))
    assert rules(photos) == ["Foo-bar-photos"]


def test_a_rule_of_the_same_name_that_is_not_ours_stops_create(photos: World) -> None:
    have_rule(photos, RULE, {"source": ["aws.ec2"]})

    with pytest.raises(S3aggError, match=f"rule {RULE} \\(has no tag s3agg:stack\\)"):
        create(photos, "photos", via=EVENTBRIDGE)

    assert "photos" not in deployed.read(photos.aws, NAMES).buckets
