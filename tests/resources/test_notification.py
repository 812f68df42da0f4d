"""Our rules in a bucket's notifications, among those of others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from s3agg.errors import S3aggError
from s3agg.resources.bucket import check_bucket
from s3agg.resources.event_filter import EventFilter
from s3agg.resources.notification import MOST_RULES, normal
from s3agg.resources.overlap import Rule
from s3agg.settings import Names, Settings
from s3agg.stack import declared
from tests.support.aws import ACCOUNT, PLACE, World

(RULE,) = declared.make(PLACE, Names(), Settings(), {"photos": EventFilter()}).notifications
FUNCTION = RULE.permission.function.arn
THEIR_FUNCTION = PLACE.arn("lambda", "function:theirs")
THEIR_QUEUE = PLACE.arn("sqs", "theirs")
THEIR_TOPIC = PLACE.arn("sns", "theirs")
PUT_ALL = "s3:PutBucketNotificationConfiguration"
CREATED, PUT, REMOVED = "s3:ObjectCreated:*", "s3:ObjectCreated:Put", "s3:ObjectRemoved:*"
TWO_BY_TWO = EventFilter(("in/", "new/"), (".jpg", ".png"), ("created", "removed"))


def rule(rule_id: str, kind: str, target: str, *events: str, **keys: str) -> dict[str, Any]:
    """Somebody's rule, as S3 gives it back."""
    filters = [{"Name": name, "Value": value} for name, value in keys.items()]
    with_keys = {"Filter": {"Key": {"FilterRules": filters}}} if filters else {}
    return {"Id": rule_id, f"{kind}Arn": target, "Events": list(events), **with_keys}


OTHERS: dict[str, Any] = {
    "LambdaFunctionConfigurations": [
        rule("Zm9v/+= odd", "LambdaFunction", THEIR_FUNCTION, "s3:ObjectRestore:*", prefix="a b/ü/"),
        rule("s3-event-aggregator-Other", "LambdaFunction", THEIR_FUNCTION, "s3:ObjectTagging:*"),
    ],
    "QueueConfigurations": [
        rule("q", "Queue", THEIR_QUEUE, "s3:ObjectAcl:Put", "s3:ObjectTagging:Put", suffix=".jpg")
    ],
    "TopicConfigurations": [
        rule("t", "Topic", THEIR_TOPIC, "s3:ReducedRedundancyLostObject", prefix="x", suffix="y"),
    ],
}


@pytest.fixture
def photos(world: World) -> World:
    """An account with the bucket `photos`, and an active function."""
    world.bucket("photos")
    world.wire.answer("lambda:GetFunctionConfiguration", {"State": "Active"})
    return world


def put(world: World, configuration: dict[str, Any]) -> None:
    """Somebody sets all of the bucket's notifications."""
    world.somebody.s3.put_bucket_notification_configuration(
        Bucket="photos",
        NotificationConfiguration=configuration,  # type: ignore[arg-type]  # a plain dict
        SkipDestinationValidation=True,
    )


def get(world: World) -> dict[str, Any]:
    return RULE.read(world.somebody)


def turn_event_bridge_on(world: World) -> None:
    """Have `world.aws` see the switch until it writes without it; moto forgets it."""

    def read() -> dict[str, Any]:
        writes = world.wire.made("s3:PutBucketNotificationConfiguration")
        is_on = not writes or "EventBridgeConfiguration" in writes[-1]["NotificationConfiguration"]
        return {**get(world), **({"EventBridgeConfiguration": {}} if is_on else {})}

    world.wire.answer("s3:GetBucketNotificationConfiguration", read)


def ours(**changed: Any) -> dict[str, Any]:
    return {**rule(RULE.rule, "LambdaFunction", FUNCTION, *EventFilter().s3_events), **changed}


def test_a_bucket_without_our_rule_has_none(photos: World) -> None:
    put(photos, OTHERS)

    assert RULE.find(photos.snapshot) is None


def test_a_bucket_that_is_gone_has_no_rule(world: World) -> None:
    assert RULE.find(world.snapshot) is None


def test_a_new_rule_waits_until_the_function_can_be_called(photos: World) -> None:
    photos.wire.answer("lambda:GetFunctionConfiguration", {"State": "Pending"}, times=3)
    photos.create(RULE)

    assert RULE.find(photos.snapshot) is not None
    assert 0.3 < photos.clock.waited < 2


@pytest.mark.parametrize(
    "chosen",
    [
        EventFilter(),
        EventFilter(("in/",)),
        EventFilter((), (".jpg",)),
        EventFilter(("in/a b/",), (".jpg",), ("removed",)),
        TWO_BY_TWO,
    ],
    ids=str,
)
def test_new_rules_are_as_declared(photos: World, chosen: EventFilter) -> None:
    declared = replace(RULE, event_filter=chosen)

    declared.create(photos.aws)

    assert photos.differences(declared) == {}
    assert photos.found(declared).event_filter == chosen
    assert len(photos.wire.made(PUT_ALL)) == 1


def test_each_combination_of_a_prefix_and_a_suffix_is_a_rule_and_the_first_keeps_the_id(
    photos: World,
) -> None:
    photos.create(replace(RULE, event_filter=TWO_BY_TWO))

    ids = [each["Id"] for each in get(photos)["LambdaFunctionConfigurations"]]
    assert ids[0] == RULE.rule
    assert ids[1:] == [f"{RULE.rule}.{number}" for number in ("346878bf", "0b2da61b", "0538b5f4")]


def test_fewer_prefixes_leave_no_rule_of_ours_behind_and_none_of_others_goes(photos: World) -> None:
    """Nobody but the stack has an Id of the stack's with a hash."""
    backup = rule(f"{RULE.rule}.backup", "LambdaFunction", FUNCTION, "s3:ObjectRestore:*")
    put(photos, {"LambdaFunctionConfigurations": [backup]})
    several, one = replace(RULE, event_filter=TWO_BY_TWO), replace(RULE, event_filter=EventFilter(("z/",)))
    photos.create(several)
    photos.update(one)
    updated = get(photos)["LambdaFunctionConfigurations"]
    photos.create(several)
    several.delete(photos.aws, photos.found(several))

    assert sorted(each["Id"] for each in updated) == [RULE.rule, backup["Id"]]
    assert get(photos) == {"LambdaFunctionConfigurations": [backup]}


def test_more_rules_than_s3_allows_are_refused_before_any_change(photos: World) -> None:
    others = [
        rule(f"q{number}", "Queue", THEIR_QUEUE, CREATED, prefix=f"{number:02}/") for number in range(98)
    ]
    put(photos, {"QueueConfigurations": others})
    several = EventFilter(("a/", "b/", "c/"))

    replace(RULE, event_filter=replace(several, prefixes=("a/", "b/"))).check_room(photos.snapshot)
    with pytest.raises(S3aggError) as refusal:
        replace(RULE, event_filter=several).check_room(photos.snapshot)

    assert str(refusal.value) == (
        f"Bucket photos would have 101 notification rules, and S3 allows {MOST_RULES}: 3 of this stack, 98 of"
        " others. Pass fewer prefixes or suffixes, or delete other rules."
    )


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"Events": ["s3:ObjectCreated:*"]}, "event types"),
        ({"Filter": {"Key": {"FilterRules": [{"Name": "prefix", "Value": "in/"}]}}}, "prefix"),
        ({"Filter": {"Key": {"FilterRules": [{"Name": "suffix", "Value": "x"}]}}}, "suffix"),
    ],
)
def test_a_rule_changed_by_hand_is_named_and_mended(
    photos: World, changed: dict[str, Any], named: str
) -> None:
    put(photos, {"LambdaFunctionConfigurations": [ours(**changed)]})

    differences = photos.differences(RULE)
    changes = photos.update(RULE)

    assert list(differences) == [named]
    assert changes == ["s3:PutBucketNotificationConfiguration"]
    assert photos.differences(RULE) == {}


@pytest.mark.parametrize("kind", ["LambdaFunction", "Queue", "Topic"])
def test_a_rule_with_our_id_that_calls_something_else_is_foreign(photos: World, kind: str) -> None:
    target = {"LambdaFunction": THEIR_FUNCTION, "Queue": THEIR_QUEUE, "Topic": THEIR_TOPIC}[kind]
    put(photos, {f"{kind}Configurations": [rule(RULE.rule, kind, target, "s3:ObjectCreated:*")]})

    assert not RULE.owner(photos.found(RULE)).ours


def test_our_rule_is_not_foreign(photos: World) -> None:
    photos.create(RULE)

    assert RULE.owner(photos.found(RULE)).ours


def test_create_update_and_delete_leave_everything_of_others_as_it_was(photos: World) -> None:
    put(photos, OTHERS)
    turn_event_bridge_on(photos)
    before = RULE.read(photos.aws)
    filtered = replace(RULE, event_filter=EventFilter(("in/",)))

    RULE.create(photos.aws)
    created = RULE.read(photos.aws)
    filtered.update(photos.aws, photos.found(filtered))
    updated = RULE.read(photos.aws)
    filtered.delete(photos.aws, photos.found(filtered))

    assert normal(created) == normal(
        {**before, "LambdaFunctionConfigurations": [*before["LambdaFunctionConfigurations"], ours()]}
    )
    assert [each["Id"] for each in updated["LambdaFunctionConfigurations"]] == [
        each["Id"] for each in created["LambdaFunctionConfigurations"]
    ]
    assert "EventBridgeConfiguration" in before
    assert RULE.read(photos.aws) == before


def test_the_event_bridge_switch_stays_on_where_it_is_all_there_is(photos: World) -> None:
    turn_event_bridge_on(photos)

    RULE.create(photos.aws)
    RULE.delete(photos.aws, photos.found(RULE))

    assert RULE.read(photos.aws) == {"EventBridgeConfiguration": {}}


def test_the_last_rule_leaves_an_empty_configuration(photos: World) -> None:
    photos.create(RULE)

    photos.delete(RULE)

    assert get(photos) == {}


def test_what_is_as_it_should_be_is_not_written_again(photos: World) -> None:
    photos.create(RULE)

    RULE.create(photos.aws)
    found = photos.found(RULE)
    RULE.delete(photos.somebody, found)
    RULE.delete(photos.aws, found)

    assert photos.wire.changes == []


@pytest.mark.parametrize(
    "theirs",
    [{}, OTHERS, {"TopicConfigurations": OTHERS["TopicConfigurations"]}],
    ids=["emptied", "others", "topics"],
)
def test_a_rule_lost_to_somebodys_write_just_after_ours_is_written_again(
    photos: World, theirs: dict[str, Any]
) -> None:
    photos.wire.before("s3:GetBucketNotificationConfiguration", lambda: put(photos, theirs), after=1)

    RULE.create(photos.aws)

    assert photos.differences(RULE) == {}
    assert len(photos.wire.made("s3:PutBucketNotificationConfiguration")) == 2
    assert "another write changed the notifications of bucket photos, retrying" in photos.waiting
    photos.delete(RULE)
    assert normal(get(photos)) == normal(theirs)


def test_a_rule_that_comes_back_by_somebodys_write_is_taken_out_again(photos: World) -> None:
    photos.create(RULE)
    stale = get(photos)
    found = photos.found(RULE)
    photos.wire.before("s3:GetBucketNotificationConfiguration", lambda: put(photos, stale), after=1)

    RULE.delete(photos.aws, found)

    assert get(photos) == {}


def test_a_rule_that_somebody_wrote_while_ours_was_refused_stays(photos: World) -> None:
    theirs = {"TopicConfigurations": OTHERS["TopicConfigurations"]}
    photos.wire.refuse("s3:PutBucketNotificationConfiguration", "OperationAborted", times=1, status=409)
    photos.wire.before("s3:GetBucketNotificationConfiguration", lambda: put(photos, theirs), after=1)

    RULE.create(photos.aws)

    (_, written) = photos.wire.made("s3:PutBucketNotificationConfiguration")
    assert written["NotificationConfiguration"].keys() == {
        "TopicConfigurations",
        "LambdaFunctionConfigurations",
    }


def test_an_old_answer_just_after_our_write_is_not_blamed_on_somebody(photos: World) -> None:
    photos.wire.answer("s3:GetBucketNotificationConfiguration", {}, after=1, times=3)

    RULE.create(photos.aws)

    assert len(photos.wire.made("s3:PutBucketNotificationConfiguration")) == 1
    assert photos.waiting == []


def test_a_rule_that_somebody_keeps_taking_out_is_an_error(photos: World) -> None:
    photos.wire.answer("s3:GetBucketNotificationConfiguration", {})

    with pytest.raises(S3aggError, match="S3 to accept the notification rule of bucket photos"):
        RULE.create(photos.aws)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("OperationAborted", "A conflicting conditional operation is currently in progress"),
        ("InvalidArgument", "Unable to validate the following destination configurations"),
    ],
)
def test_a_refusal_that_passes_is_tried_again(photos: World, code: str, message: str) -> None:
    photos.wire.refuse("s3:PutBucketNotificationConfiguration", code, message, times=3)

    RULE.create(photos.aws)

    assert photos.differences(RULE) == {}
    assert 0 < photos.clock.waited < 2


def test_another_invalid_argument_is_an_error_at_once(photos: World) -> None:
    photos.wire.refuse("s3:PutBucketNotificationConfiguration", "InvalidArgument", "Configurations overlap")

    with pytest.raises(ClientError, match="Configurations overlap"):
        RULE.create(photos.aws)

    assert photos.clock.waited == 0


UNVALIDATED = "Unable to validate the following destination configurations"
SPREADING = {FUNCTION: f"Not authorized to invoke function [{FUNCTION}]"}
DEAD = {THEIR_QUEUE: "The destination queue does not exist"}


def cannot_reach(world: World, dead: dict[str, str], *, times: float = float("inf")) -> None:
    """Have S3 refuse what is put, because of these destinations."""
    more: dict[str, str] = {}
    for number, (target, reason) in enumerate(dead.items(), 1):
        null = ", null" if ":lambda:" in target else ""
        more |= {f"ArgumentName{number}": target + null, f"ArgumentValue{number}": reason}
    world.wire.refuse(PUT_ALL, "InvalidArgument", UNVALIDATED, more=more, times=times)


def test_somebody_elses_dead_destination_is_named_without_waiting(photos: World) -> None:
    put(photos, OTHERS)
    gone = {**DEAD, THEIR_FUNCTION: "Not authorized"}
    cannot_reach(photos, gone)

    with pytest.raises(S3aggError) as refusal:
        RULE.create(photos.aws)

    assert refusal.value.problem.endswith(
        f": q to {THEIR_QUEUE} (The destination queue does not exist),"
        f" Zm9v/+= odd, s3-event-aggregator-Other to {THEIR_FUNCTION} (Not authorized)"
    )
    assert refusal.value.hint.startswith("Restore the missing destination, or delete its rule")
    assert photos.clock.waited == 0


def test_somebody_elses_dead_destination_is_named_once_ours_is_reached(photos: World) -> None:
    put(photos, OTHERS)
    cannot_reach(photos, DEAD)
    cannot_reach(photos, {**SPREADING, **DEAD}, times=3)

    with pytest.raises(S3aggError, match=rf": q to {THEIR_QUEUE} \(The destination queue"):
        RULE.create(photos.aws)

    assert 0 < photos.clock.waited < 2


def test_a_permission_that_spreads_slowly_is_waited_for_and_then_named(photos: World) -> None:
    put(photos, OTHERS)
    cannot_reach(photos, SPREADING)

    with pytest.raises(S3aggError, match=rf": {RULE.rule} to {FUNCTION} \(Not .*Run the same command again"):
        RULE.create(photos.aws)

    assert 60 < photos.clock.waited < 62


def test_where_s3_names_no_destination_the_rules_of_others_are_named(photos: World) -> None:
    put(photos, OTHERS)
    cannot_reach(photos, {})

    with pytest.raises(S3aggError, match=f"{UNVALIDATED}.* q to {THEIR_QUEUE}"):
        RULE.create(photos.aws)

    assert 60 < photos.clock.waited < 62


def test_where_s3_names_no_destination_and_ours_is_alone_it_is_awss_error(photos: World) -> None:
    cannot_reach(photos, {})

    with pytest.raises(ClientError, match=UNVALIDATED):
        RULE.create(photos.aws)


def test_ours_is_validated_when_it_is_put_and_dead_rules_of_others_do_not_keep_us_from_leaving(
    photos: World,
) -> None:
    RULE.create(photos.aws)
    RULE.delete(photos.aws, photos.found(RULE))

    made = photos.wire.made("s3:PutBucketNotificationConfiguration")
    assert [each["SkipDestinationValidation"] for each in made] == [False, True]


@pytest.mark.parametrize("operation", ["Get", "Put"])
def test_deleting_from_a_bucket_that_is_gone_is_no_error(photos: World, operation: str) -> None:
    photos.create(RULE)
    found = photos.found(RULE)
    photos.wire.refuse(f"s3:{operation}BucketNotificationConfiguration", "NoSuchBucket", status=404)

    RULE.delete(photos.aws, found)

    assert photos.clock.waited < 1


def test_every_call_says_whose_bucket_it_expects(photos: World) -> None:
    RULE.create(photos.aws)
    RULE.update(photos.aws, photos.found(RULE))
    RULE.delete(photos.aws, photos.found(RULE))
    check_bucket(photos.aws, PLACE, "photos")

    calls = [call for call in photos.wire.calls if call.operation.startswith("s3:")]
    assert {call.operation for call in calls} == {
        "s3:GetBucketNotificationConfiguration",
        "s3:PutBucketNotificationConfiguration",
        "s3:HeadBucket",
    }
    assert {call.params.get("ExpectedBucketOwner") for call in calls} == {ACCOUNT}


def refused_find(world: World) -> None:
    RULE.find(world.snapshot)


def refused_create(world: World) -> None:
    RULE.create(world.aws)


def refused_delete(world: World) -> None:
    RULE.delete(world.aws, world.found(RULE))


@pytest.mark.parametrize("act", [refused_find, refused_create, refused_delete])
def test_a_denied_look_is_not_taken_for_absence(photos: World, act: Callable[[World], None]) -> None:
    photos.create(RULE)
    photos.wire.refuse("s3:GetBucketNotificationConfiguration", "AccessDenied", status=403)

    with pytest.raises(ClientError, match="AccessDenied"):
        act(photos)

    assert photos.wire.changes == []


@pytest.mark.parametrize(
    ("events", "theirs", "chosen", "overlaps"),
    [
        ([CREATED], {}, EventFilter(), True),
        ([PUT], {}, EventFilter(), True),
        (["s3:ObjectRemoved:Delete"], {}, EventFilter(), True),
        (["s3:LifecycleExpiration:DeleteMarkerCreated"], {}, EventFilter(), True),
        (["s3:ObjectRestore:*", REMOVED], {}, EventFilter(), True),
        (["s3:ObjectRestore:*"], {}, EventFilter(), False),
        (["s3:ObjectTagging:Put", "s3:Replication:*"], {}, EventFilter(), False),
        ([CREATED], {"prefix": "in/"}, EventFilter(), True),
        ([CREATED], {"prefix": "in/"}, EventFilter(("in/",)), True),
        ([CREATED], {"prefix": "in/a"}, EventFilter(("in/",)), True),
        ([CREATED], {"prefix": "in/"}, EventFilter(("in/a",)), True),
        ([CREATED], {"prefix": "in/"}, EventFilter(("out/",)), False),
        ([CREATED], {}, EventFilter(("out/",)), True),
        ([CREATED], {"suffix": ".jpg"}, EventFilter((), (".png",)), False),
        ([CREATED], {"suffix": "g"}, EventFilter((), (".png",)), True),
        ([CREATED], {"prefix": "in/", "suffix": ".jpg"}, EventFilter(("in/",), (".png",)), False),
        ([CREATED], {"prefix": "in/", "suffix": ".jpg"}, EventFilter(("out/",), (".jpg",)), False),
        ([CREATED], {"prefix": "in/"}, EventFilter((), (".jpg",)), True),
        ([CREATED], {"Prefix": "in/"}, EventFilter(("out/",)), False),
        # As the console writes a rule without a filter.
        ([CREATED], {"Prefix": "", "Suffix": ""}, EventFilter(("in/",)), True),
        # https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-how-to-filtering.html
        ([CREATED], {}, EventFilter(("images",)), True),
        ([PUT], {"suffix": "pg"}, EventFilter((), ("jpg",)), True),
        ([PUT], {"suffix": "jpg"}, EventFilter(("images",), ("jpg",)), True),
        ([PUT], {"prefix": "images/"}, EventFilter(("logs/",)), False),
        ([PUT], {"suffix": ".png"}, EventFilter((), (".jpg",)), False),
        ([PUT], {"prefix": "images", "suffix": ".png"}, EventFilter(("images",), (".jpg",)), False),
        (["s3:ObjectTagging:*"], {"prefix": "image/"}, EventFilter(("image/",)), False),
    ],
)
def test_rules_overlap_if_they_share_an_event_and_a_key(
    events: list[str], theirs: dict[str, str], chosen: EventFilter, overlaps: bool
) -> None:
    configuration = {"QueueConfigurations": [rule("theirs", "Queue", THEIR_QUEUE, *events, **theirs)]}

    problem = replace(RULE, event_filter=chosen).overlap(configuration)

    assert (problem is not None) is overlaps


@pytest.mark.parametrize("kind", ["LambdaFunction", "Queue", "Topic"])
def test_an_overlapping_rule_is_named_with_its_destination(kind: str) -> None:
    target = PLACE.arn("any", "theirs")
    theirs = rule("theirs", kind, target, CREATED, REMOVED, prefix="in/")

    problem = RULE.overlap({f"{kind}Configurations": [theirs]})

    assert problem is not None
    assert problem.problem.endswith(
        f": theirs ({CREATED} {REMOVED}, prefix in/) to {target}, for created, removed"
    )


def test_event_bridge_does_not_overlap_with_our_rule() -> None:
    assert RULE.overlap({"EventBridgeConfiguration": {}}) is None


def test_our_own_rule_does_not_overlap_with_itself(photos: World) -> None:
    photos.create(RULE)

    assert RULE.overlap(get(photos)) is None


LIFECYCLE = "s3:LifecycleExpiration:*"
ALL = [CREATED, REMOVED, LIFECYCLE]


@pytest.mark.parametrize(
    ("chosen", "theirs", "shared", "advised"),
    [
        (EventFilter(), [([REMOVED], {})], ["removed"], ["--events created,expired"]),
        (EventFilter(events=("removed",)), [([REMOVED], {})], ["removed"], ["--events created,expired"]),
        (EventFilter(), [(ALL, {})], ["created, removed, expired"], []),
        (EventFilter(), [(ALL, {"prefix": "in/"})], ["created, removed, expired"], ["--prefix outside in/"]),
        (
            EventFilter(("in/a/", "out/")),
            [(ALL, {"suffix": ".jpg"})],
            ["created, removed, expired"],
            ["--suffix other than .jpg"],
        ),
        (
            EventFilter(),
            [([PUT], {"prefix": "in/", "suffix": ".jpg"})],
            ["created"],
            [
                "--events removed,expired (then no upload causes a refresh)",
                "--prefix outside in/",
                "--suffix other than .jpg",
            ],
        ),
        (
            EventFilter(),
            [([REMOVED], {}), ([CREATED], {"prefix": "in/"})],
            ["removed", "created"],
            [
                "--events expired (then no upload causes a refresh)",
                "--prefix outside in/ with --events created,expired",
            ],
        ),
        (
            EventFilter(),
            [(ALL, {"prefix": "in/"}), (ALL, {"suffix": ".jpg"})],
            ["created, removed, expired"] * 2,
            ["--prefix outside in/ with --suffix other than .jpg"],
        ),
    ],
)
def test_the_refusal_names_the_shared_event_types_and_only_options_that_help(
    chosen: EventFilter,
    theirs: list[tuple[list[str], dict[str, str]]],
    shared: list[str],
    advised: list[str],
) -> None:
    rules = [
        rule(f"q{number}", "Queue", THEIR_QUEUE, *events, **keys)
        for number, (events, keys) in enumerate(theirs)
    ]

    problem = replace(RULE, event_filter=chosen).overlap({"QueueConfigurations": rules})

    assert problem is not None
    named = [f"{Rule.of(each)}, for {types}" for each, types in zip(rules, shared, strict=True)]
    assert problem.problem.endswith(f" for the same events and keys: {'; '.join(named)}")
    assert problem.hint == (
        f"Pass {', or '.join(advised)}, or --via eventbridge, or narrow the other rule first"
        if advised
        else "No prefix, suffix or event type separates them. Pass --via eventbridge, or narrow or delete the"
        " other rule"
    )


def test_a_bucket_of_this_account_and_region_is_no_problem(photos: World) -> None:
    check_bucket(photos.aws, PLACE, "photos")


def refused(world: World) -> S3aggError:
    with pytest.raises(S3aggError) as caught:
        check_bucket(world.aws, PLACE, "photos")
    return caught.value


def test_a_bucket_that_is_not_there_is_a_problem(world: World) -> None:
    problem = refused(world)

    assert str(problem) == "Bucket photos does not exist. Check the name, or create the bucket."


def deny_head(world: World, *, times: float = float("inf"), region: str = "") -> None:
    headers = {"x-amz-bucket-region": region} if region else {}
    world.wire.refuse("s3:HeadBucket", "403", "Forbidden", status=403, times=times, headers=headers)


@pytest.mark.parametrize(("region", "option"), [("eu-west-1", ""), ("us-east-2", " and --region us-east-2")])
def test_a_bucket_of_another_account_is_told_with_where_its_stack_must_be(
    photos: World, region: str, option: str
) -> None:
    deny_head(photos, times=1, region=region)  # for its owner only

    assert str(refused(photos)) == (
        f"Bucket photos belongs to another account than {ACCOUNT}."
        f" Create a stack in the account that owns the bucket: pass --profile{option} for it."
        " That stack refreshes the file shares of its own account only."
    )


def test_a_bucket_that_the_account_does_not_list_belongs_to_another_account(world: World) -> None:
    deny_head(world)

    assert refused(world).problem == f"Bucket photos belongs to another account than {ACCOUNT}"


def test_a_denied_bucket_of_this_account_is_said_to_be_denied(photos: World) -> None:
    deny_head(photos)

    assert str(refused(photos)) == (
        f"Access to bucket photos is denied, although it is in account {ACCOUNT}."
        " Ask for permission to call HeadBucket (s3:ListBucket), then run the same command again."
    )


def test_where_the_buckets_cannot_be_listed_either_both_reasons_are_told(photos: World) -> None:
    deny_head(photos)
    photos.wire.refuse("s3:ListBuckets", "AccessDenied", status=403)

    assert str(refused(photos)) == (
        f"Bucket photos is not in account {ACCOUNT}, or access to it is denied."
        " Check the bucket name and --profile."
        " If the account is right, ask for permission to call HeadBucket."
    )


def test_a_bucket_of_another_region_is_a_problem_that_names_the_region(world: World) -> None:
    world.wire.answer("s3:HeadBucket", {"BucketRegion": "eu-central-1"})

    problem = refused(world)

    assert problem.problem.startswith("Bucket photos is in eu-central-1")
    assert "--region eu-central-1" in problem.hint


@pytest.mark.parametrize(("code", "status"), [("301", 301), ("400", 400)])
def test_a_redirect_that_was_not_followed_names_the_region_too(photos: World, code: str, status: int) -> None:
    photos.wire.refuse("s3:HeadBucket", code, status=status, headers={"x-amz-bucket-region": "us-east-2"})

    problem = refused(photos)

    assert "is in us-east-2" in problem.problem


def test_an_unknown_refusal_of_the_bucket_is_an_error(photos: World) -> None:
    photos.wire.refuse("s3:HeadBucket", "400", "Bad Request")

    with pytest.raises(ClientError, match="Bad Request"):
        check_bucket(photos.aws, PLACE, "photos")
