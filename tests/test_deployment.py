"""One stack, from the first create to the delete."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ReadTimeoutError

from s3agg import activity, deployment, engine
from s3agg.aws import Aws
from s3agg.deployment import Request
from s3agg.errors import S3aggError, UsageProblem
from s3agg.resources.s3 import EVENTS, KeyFilter
from s3agg.settings import STACK_TAG, Names
from tests.support import aws as support
from tests.support.aws import PLACE, REGION, Session, World, make_bucket, make_world, moto, watch

world = support.world

NAMES = Names()
RULE = "s3-event-aggregator"


@pytest.fixture
def photos(world: World) -> World:
    """An account with the stack, attached to the bucket `photos`."""
    world.bucket("photos")
    create(world, "photos")
    world.wire.calls.clear()
    return world


def create(
    world: World,
    *buckets: str,
    prefix: str | None = None,
    suffix: str | None = None,
    names: Names = NAMES,
    **options: Any,
) -> list[str]:
    """What `create` does: the kinds and actions of what it changed."""
    request = Request(buckets, prefix, suffix, options)
    deployed = deployment.for_create(world.aws, names, request)
    return carry_out(deployment.bring(world.aws, deployed, deployed.plan()))


def carry_out(events: Iterable[engine.Event]) -> list[str]:
    finished = [event.change for event in events if isinstance(event, engine.Finished)]
    return [f"{change.action} {change.resource.kind} {change.resource.name}" for change in finished]


def delete(world: World, *, names: Names = NAMES, keep_logs: bool = False) -> list[str]:
    _, plan = deployment.for_delete(world.aws, names, keep_logs=keep_logs)
    return carry_out(engine.apply(world.aws, plan))


def detach(world: World, *buckets: str) -> list[str]:
    _, plan = deployment.for_detach(world.aws, NAMES, buckets)
    return carry_out(deployment.detach(world.aws, NAMES, buckets, plan))


def now(world: World, names: Names = NAMES) -> deployment.Deployment:
    return deployment.read(world.aws, names)


def actions(world: World, names: Names = NAMES) -> set[str]:
    return {change.action for change in now(world, names).plan().changes}


def keys(world: World) -> dict[str, KeyFilter]:
    return {each.bucket: each.keys for each in now(world).stack.notifications}


def rules(world: World, bucket: str) -> list[str]:
    answer = world.somebody.s3.get_bucket_notification_configuration(Bucket=bucket)
    ours, theirs = answer.get("LambdaFunctionConfigurations", []), answer.get("QueueConfigurations", [])
    return [*(each["Id"] for each in ours), *(each["Id"] for each in theirs)]


def statements(world: World) -> list[str]:
    policy = world.somebody.lambda_.get_policy(FunctionName=NAMES.aggregator)["Policy"]
    return [each["Sid"] for each in json.loads(policy)["Statement"]]


def put_item(world: World, bucket: str, **item: str) -> None:
    numbers = {name: {"N" if value.isdecimal() else "S": value} for name, value in item.items()}
    world.somebody.dynamodb.put_item(
        TableName=NAMES.table,
        Item={"BucketName": {"S": bucket}, **numbers},
    )


def what_there_is(world: World) -> list[str]:
    """The names of everything in the account."""
    aws = world.somebody
    return sorted(
        [
            *aws.dynamodb.list_tables()["TableNames"],
            *aws.sqs.list_queues().get("QueueUrls", []),
            *(each["PolicyName"] for each in aws.iam.list_policies(Scope="Local")["Policies"]),
            *(each["RoleName"] for each in aws.iam.list_roles()["Roles"]),
            *(each["FunctionName"] for each in aws.lambda_.list_functions()["Functions"]),
            *(each["UUID"] for each in aws.lambda_.list_event_source_mappings()["EventSourceMappings"]),
            *(each["logGroupName"] for each in aws.logs.describe_log_groups()["logGroups"]),
            *(each["AlarmName"] for each in aws.cloudwatch.describe_alarms()["MetricAlarms"]),
        ]
    )


# Create


def test_the_first_create_makes_everything_and_all_is_as_declared(world: World) -> None:
    world.bucket("photos")

    made = create(world, "photos")

    assert len(made) == 16
    assert {each.split()[0] for each in made} == {"create"}
    assert actions(world) == {"keep"}
    assert rules(world, "photos") == [RULE]


def test_the_second_create_changes_nothing(photos: World) -> None:
    made = create(photos, "photos")

    assert made == []
    assert photos.wire.changes == []


def test_create_works_side_by_side_too(world: World) -> None:
    world.bucket("photos")
    world.aws.workers = 8

    create(world, "photos")

    assert actions(world) == {"keep"}


@pytest.mark.parametrize("operation", ["lambda:CreateFunction", "s3:PutBucketNotificationConfiguration"])
def test_a_create_that_died_can_be_run_again(world: World, operation: str) -> None:
    world.bucket("photos")
    world.wire.refuse(operation, "ServiceException", times=1)
    with pytest.raises(S3aggError, match="ServiceException"):
        create(world, "photos")

    create(world, "photos")

    assert actions(world) == {"keep"}


def test_an_option_that_is_not_given_keeps_what_was_asked_for(world: World) -> None:
    world.bucket("photos")
    create(world, "photos", window=45, on_demand=True, tags={"team": "a"})

    made = create(world, "photos", log_level="DEBUG")

    settings = now(world).stack.settings
    assert (settings.window, settings.on_demand, settings.log_level) == (45, True, "DEBUG")
    assert settings.tags == {"team": "a"}
    assert sorted(made) == [
        "update function S3EventAggregator",
        "update function S3StorageGatewayRefresh",
        "update table S3EventAggregator",
    ]


def test_a_new_window_changes_the_aggregator_and_what_is_kept(photos: World) -> None:
    assert sorted(create(photos, window=45)) == [
        "update function S3EventAggregator",
        "update table S3EventAggregator",
    ]
    assert actions(photos) == {"keep"}


def test_an_option_can_be_taken_back(world: World) -> None:
    world.bucket("photos")
    create(world, "photos", alarm_topic=PLACE.arn("sns", "ops"))

    made = create(world, alarm_topic="none")

    assert [each for each in made if "alarm" in each] == [
        "delete alarm S3EventAggregatorDeadLettersWaiting",
        "delete alarm S3EventAggregatorActionQueueOldest",
    ]
    assert actions(world) == {"keep"}


def test_what_somebody_changed_by_hand_is_mended_and_nothing_else(photos: World) -> None:
    photos.somebody.lambda_.update_function_configuration(FunctionName=NAMES.aggregator, Timeout=3)

    made = create(photos)

    assert made == ["update function S3EventAggregator"]
    assert photos.wire.changes == ["lambda:UpdateFunctionConfiguration"]


def test_a_bucket_is_added_to_those_there_are(photos: World) -> None:
    photos.bucket("my.scans")

    made = create(photos, "my.scans")

    assert made == ["create permission SID_my_scans", "create notification my.scans"]
    assert now(photos).buckets == ["my.scans", "photos"]


def test_each_bucket_keeps_its_own_keys(photos: World) -> None:
    photos.bucket("scans")
    create(photos, "scans", prefix="in/", suffix=".pdf")

    create(photos, "photos", suffix=".jpg")
    create(photos, "scans", suffix="")
    made = create(photos)

    assert keys(photos) == {"photos": KeyFilter("", ".jpg"), "scans": KeyFilter("in/", "")}
    assert made == []


def test_what_others_have_in_the_bucket_stays(world: World) -> None:
    world.bucket("photos")
    theirs: dict[str, Any] = {
        "Id": "theirs",
        "QueueArn": PLACE.arn("sqs", "theirs"),
        "Events": ["s3:ObjectCreated:*"],
        "Filter": {"Key": {"FilterRules": [{"Name": "prefix", "Value": "out/"}]}},
    }
    world.somebody.s3.put_bucket_notification_configuration(
        Bucket="photos",
        NotificationConfiguration={"QueueConfigurations": [theirs]},  # type: ignore[list-item]  # a plain dict
    )

    create(world, "photos", prefix="in/")
    both = rules(world, "photos")
    delete(world)

    assert both == [RULE, "theirs"]
    assert rules(world, "photos") == ["theirs"]


def test_two_stacks_live_side_by_side(photos: World) -> None:
    other = Names("Other")
    photos.bucket("scans")

    create(photos, "scans", names=other)
    delete(photos, names=other)

    assert actions(photos) == {"keep"}
    assert not now(photos, other).exists


# What cannot be


def refused(world: World, *buckets: str, **options: Any) -> S3aggError:
    """Why `create` refuses; it must have changed nothing."""
    with pytest.raises(S3aggError) as caught:
        create(world, *buckets, **options)
    assert world.wire.changes == []
    return caught.value


def test_a_bucket_that_does_not_exist_is_refused_before_any_change(world: World) -> None:
    assert refused(world, "photos").problem == "There is no bucket photos"


def test_a_bucket_of_somebody_else_is_refused_before_any_change(world: World) -> None:
    world.bucket("photos")
    world.wire.refuse("s3:HeadBucket", "403", "Forbidden", status=403)

    assert "is not of account" in refused(world, "photos").problem


def test_a_bucket_that_cannot_be_looked_at_is_named_in_one_line(world: World) -> None:
    world.bucket("photos")
    world.wire.fail("s3:HeadBucket", ReadTimeoutError(endpoint_url="https://s3"))

    assert "While looking at bucket photos" in refused(world, "photos").problem


def test_a_bucket_of_another_region_is_refused_before_any_change(world: World) -> None:
    world.bucket("photos")
    world.wire.answer("s3:HeadBucket", {"BucketRegion": "us-east-2"})

    assert "is in us-east-2" in refused(world, "photos").problem


def test_all_buckets_that_cannot_be_are_named_at_once(world: World) -> None:
    world.bucket("photos")

    problem = str(refused(world, "scans", "photos", "songs"))

    assert "There is no bucket scans. Check" in problem
    assert "There is no bucket songs. Check" in problem


def test_a_bucket_that_was_attached_and_is_gone_is_named_before_any_change(photos: World) -> None:
    photos.bucket("scans")
    photos.somebody.s3.delete_bucket(Bucket="photos")

    assert refused(photos, "scans").problem == "There is no bucket photos"


def test_a_rule_of_somebody_else_for_the_same_keys_is_named_before_any_change(world: World) -> None:
    world.bucket("photos")
    theirs: Any = {"Id": "theirs", "TopicArn": PLACE.arn("sns", "theirs"), "Events": list(EVENTS)}
    world.somebody.s3.put_bucket_notification_configuration(
        Bucket="photos", NotificationConfiguration={"TopicConfigurations": [theirs]}
    )

    refusal = refused(world, "photos")

    assert "theirs" in refusal.problem
    assert "--prefix" in refusal.hint


@pytest.mark.parametrize(
    ("buckets", "options", "words"),
    [
        (("s3://photos",), {}, "is no bucket name"),
        ((), {}, "The stack has no bucket yet"),
        (("photos",), {"runtime": "python2.7"}, "Lambda has no runtime python2.7"),
        (("photos",), {"min_interval": 59}, "--min-interval 59 is too short"),
        (("photos",), {"window": 0}, "--window 0 is out of range"),
        (("photos",), {"tags": {"aws:x": "y"}}, "is reserved"),
    ],
)
def test_wrong_usage_is_refused_before_any_change(
    world: World, buckets: tuple[str, ...], options: dict[str, Any], words: str
) -> None:
    world.bucket("photos")

    refusal = refused(world, *buckets, **options)

    assert words in refusal.problem
    assert isinstance(refusal, UsageProblem)


GATEWAY = (
    "[default]\nservices = mine\n[services mine]\nstorage_gateway =\n  endpoint_url = http://127.0.0.1:9\n"
)


def test_another_storage_gateway_is_refused_where_the_functions_run_in_aws(tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text(GATEWAY, encoding="utf-8")
    aws = Aws(session=Session(str(config)).with_credentials(), region=REGION)

    # Nothing was called: no AWS is there to be called.
    with pytest.raises(UsageProblem, match=r"http://127\.0\.0\.1:9 is set for Storage Gateway"):
        deployment.for_create(aws, NAMES, Request(("photos",)))


class HereAws(Aws):
    """An Aws whose Lambda counts as local; moto answers no endpoint on loopback."""

    @property
    def lambda_is_local(self) -> bool:
        return True


def test_where_lambda_is_local_its_functions_get_the_other_storage_gateway_and_short_intervals(
    tmp_path: Path,
) -> None:
    config = tmp_path / "config"
    config.write_text(GATEWAY, encoding="utf-8")
    session = Session(str(config)).with_credentials()
    aws = HereAws(session=session, region=REGION, workers=1)
    request = Request(("photos",), options={"min_interval": 1})

    with moto():
        watch(session)
        make_bucket(aws, "photos")
        declared = deployment.for_create(aws, NAMES, request).stack.refresher.environment

    assert declared["AWS_ENDPOINT_URL_STORAGE_GATEWAY"] == "http://127.0.0.1:9"
    assert declared["MIN_INTERVAL_SECONDS"] == "1"


# Read


def test_nothing_there_is_nothing_found(world: World) -> None:
    found = now(world)

    assert not found.exists
    assert found.buckets == []
    assert {change.action for change in found.plan().changes} == {"create"}


def test_a_bucket_whose_permission_is_gone_is_found_by_its_item(photos: World) -> None:
    put_item(photos, "photos", refreshed="1")
    photos.somebody.lambda_.remove_permission(FunctionName=NAMES.aggregator, StatementId="SID_photos")

    found = now(photos)

    assert found.buckets == ["photos"]
    assert [each.resource.kind for each in found.plan().changes if each.action != "keep"] == ["permission"]


def test_a_bucket_whose_rule_is_gone_is_found_by_its_permission(photos: World) -> None:
    photos.somebody.s3.put_bucket_notification_configuration(Bucket="photos", NotificationConfiguration={})

    found = now(photos)

    assert found.buckets == ["photos"]
    assert [each.resource.kind for each in found.plan().changes if each.action != "keep"] == ["notification"]


def test_a_bucket_with_an_item_alone_is_not_attached(photos: World) -> None:
    photos.bucket("scans")
    put_item(photos, "scans", refreshed="1")

    found = now(photos)

    assert found.buckets == ["photos"]
    assert set(found.activity) == {"scans"}


def test_permissions_that_others_gave_name_no_buckets(photos: World) -> None:
    for sid, arn in (("SID_all", "arn:aws:s3:::*"), ("theirs", "arn:aws:s3:::scans")):
        photos.somebody.lambda_.add_permission(
            FunctionName=NAMES.aggregator,
            StatementId=sid,
            Action="lambda:InvokeFunction",
            Principal="s3.amazonaws.com",
            SourceArn=arn,
        )

    assert now(photos).buckets == ["photos"]


def test_reading_changes_nothing(photos: World) -> None:
    now(photos)

    assert photos.wire.changes == []


def test_a_denied_look_stops_reading_and_names_what_was_looked_at(photos: World) -> None:
    photos.wire.refuse("iam:GetRole", "AccessDenied", "not you", status=403)

    with pytest.raises(S3aggError, match=r"While looking at role \w+: AWS said to GetRole: not you"):
        now(photos)


def test_something_foreign_stops_create_and_delete_before_any_change(world: World) -> None:
    world.bucket("photos")
    world.somebody.sqs.create_queue(QueueName=NAMES.queue, tags={STACK_TAG: "Other"})

    with pytest.raises(S3aggError, match="queue S3EventAggregatorActionQueue"):
        create(world, "photos")
    with pytest.raises(S3aggError, match="queue S3EventAggregatorActionQueue"):
        delete(world)

    assert world.wire.changes == []


# Detach and delete


@pytest.mark.usefixtures("photos")
def test_the_same_stack_in_another_region_is_recognised_by_what_iam_keeps() -> None:
    far = make_world("us-west-2")
    far.bucket("far-away", "us-west-2")

    with pytest.raises(
        S3aggError, match=r"role S3EventAggregatorLambdaRole \(of the stack of this name in eu-w"
    ):
        create(far, "far-away")

    assert far.wire.changes == []


def test_detaching_a_bucket_removes_its_rule_permission_and_item_alone(photos: World) -> None:
    photos.bucket("scans")
    create(photos, "scans")
    put_item(photos, "scans", refreshed="1")
    put_item(photos, "photos", refreshed="1")

    removed = detach(photos, "scans")

    assert removed == ["delete notification scans", "delete permission SID_scans"]
    assert (rules(photos, "scans"), rules(photos, "photos")) == ([], [RULE])
    assert statements(photos) == ["SID_photos"]
    assert set(activity.buckets(photos.aws, NAMES.table)) == {"photos"}
    assert actions(photos) == {"keep"}


def test_detaching_a_bucket_keeps_the_item_of_a_window_that_is_open(photos: World) -> None:
    put_item(photos, "photos", timestamp="1750000000000", opened_by="event")

    detach(photos, "photos")

    assert activity.bucket(photos.aws, NAMES.table, "photos").window.open
    assert now(photos).buckets == []


def test_a_bucket_that_is_gone_can_be_detached(photos: World) -> None:
    photos.somebody.s3.delete_bucket(Bucket="photos")

    removed = detach(photos, "photos")

    assert removed == ["delete permission SID_photos"]


def test_a_bucket_that_is_not_attached_cannot_be_detached(photos: World) -> None:
    photos.bucket("scans")

    with pytest.raises(S3aggError, match=r"Not attached .*: bucket scans\. Attached are: photos"):
        detach(photos, "photos", "scans")

    assert photos.wire.changes == []


def test_delete_leaves_nothing(world: World) -> None:
    world.bucket("photos")
    create(world, "photos", alarm_topic=PLACE.arn("sns", "ops"))
    before = what_there_is(world)

    delete(world)

    assert len(before) == 16
    assert what_there_is(world) == []
    assert rules(world, "photos") == []


def test_delete_removes_rule_then_permission_then_function(photos: World) -> None:
    removed = delete(photos)

    order = [
        "delete notification photos",
        "delete permission SID_photos",
        "delete function S3EventAggregator",
    ]
    assert [each for each in removed if each in order] == order


def test_delete_can_keep_the_log_groups(photos: World) -> None:
    delete(photos, keep_logs=True)

    assert what_there_is(photos) == ["/aws/lambda/S3EventAggregator", "/aws/lambda/S3StorageGatewayRefresh"]


def test_a_delete_that_died_can_be_run_again(photos: World) -> None:
    photos.wire.refuse("lambda:DeleteFunction", "ServiceException", times=1)
    with pytest.raises(S3aggError, match="ServiceException"):
        delete(photos)

    delete(photos)

    assert what_there_is(photos) == []


def test_deleting_nothing_is_an_error_that_says_where_it_looked(world: World) -> None:
    with pytest.raises(S3aggError, match="no stack S3EventAggregator in eu-west-1 of account 123456789012"):
        delete(world)


def test_a_bucket_that_is_gone_does_not_keep_the_stack_from_going(photos: World) -> None:
    photos.somebody.s3.delete_bucket(Bucket="photos")

    delete(photos)

    assert what_there_is(photos) == []


# Which bucket is meant


def test_the_only_bucket_is_meant_when_none_is_named(photos: World) -> None:
    assert deployment.the_bucket(now(photos), None).bucket == "photos"


def test_among_several_buckets_one_must_be_named(photos: World) -> None:
    photos.bucket("scans")
    create(photos, "scans")
    found = now(photos)

    with pytest.raises(UsageProblem, match="photos, scans"):
        deployment.the_bucket(found, None)

    assert deployment.the_bucket(found, "scans").bucket == "scans"


def test_a_bucket_that_is_not_attached_is_not_meant(photos: World) -> None:
    with pytest.raises(S3aggError, match="Bucket scans is not attached"):
        deployment.the_bucket(now(photos), "scans")


def test_a_table_of_somebody_elses_is_not_read(world: World) -> None:
    world.bucket("photos")
    world.somebody.dynamodb.create_table(
        TableName="S3EventAggregator",
        AttributeDefinitions=[{"AttributeName": "Order", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "Order", "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
    )
    world.somebody.dynamodb.put_item(TableName="S3EventAggregator", Item={"Order": {"S": "1"}})

    with pytest.raises(S3aggError, match=r"table S3EventAggregator \(without the tag"):
        create(world, "photos")

    assert world.wire.made("dynamodb:Scan") == []


def test_a_bucket_of_somebody_else_is_named_although_its_rules_cannot_be_read_either(world: World) -> None:
    world.wire.refuse("s3:HeadBucket", "403", status=403)
    world.wire.refuse("s3:GetBucketNotificationConfiguration", "AccessDenied", status=403)

    with pytest.raises(S3aggError, match="Bucket photos is not of account"):
        create(world, "photos")


def test_an_attached_bucket_that_became_somebody_elses_does_not_keep_the_stack_from_going(
    photos: World,
) -> None:
    photos.wire.refuse("s3:GetBucketNotificationConfiguration", "AccessDenied", status=403)

    delete(photos)

    assert not now(photos).exists
    assert photos.warnings[0].startswith("Bucket photos is left alone: While looking at notification photos")


def test_a_prefix_without_a_bucket_is_wrong_usage(photos: World) -> None:
    with pytest.raises(UsageProblem, match="Name them with --bucket"):
        create(photos, prefix="in/")


@pytest.mark.parametrize("prefix", ["with blanks/", "*", "ü/", "50%"])
def test_a_prefix_that_s3_would_not_match_is_wrong_usage(photos: World, prefix: str) -> None:
    with pytest.raises(UsageProblem, match="S3 does not take the prefix"):
        create(photos, "photos", prefix=prefix)


def test_a_log_group_of_our_name_alone_is_no_stack(world: World) -> None:
    world.somebody.logs.create_log_group(logGroupName="/aws/lambda/S3EventAggregator")

    with pytest.raises(S3aggError, match="so there is nothing to delete"):
        delete(world)
