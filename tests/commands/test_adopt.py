"""create --adopt and delete --adopt on a stack of the blog's scripts."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from s3agg import engine
from s3agg.aws.snapshot import Snapshot
from s3agg.commands import preflight
from s3agg.commands.create import apply_create
from s3agg.commands.delete import detach_buckets, for_delete, for_detach
from s3agg.errors import S3aggError
from s3agg.live import messages
from s3agg.resources.permission import statements
from s3agg.settings import STACK_TAG, VERSION_TAG, Names
from s3agg.stack import deployed
from s3agg.stack.deployed import Deployment, Request
from tests.support import aws as support
from tests.support import blog
from tests.support.aws import PLACE, World, make_world
from tests.support.deploying import carry_out
from tests.support.handlers import load, record

pytestmark = pytest.mark.stack
world = support.world

NAMES = Names()
SHARE = PLACE.arn("storagegateway", "share/share-12345678")
CODE = "lambda:UpdateFunctionCode"
TOPIC = PLACE.arn("sns", "ops")
BOUNDARY = PLACE.iam("policy/Boundary")


@pytest.fixture
def photos(world: World) -> World:
    """An account with the blog's stack, for the bucket `photos`."""
    world.bucket("photos")
    blog.create(world.somebody, "photos")
    return world


def adopt(world: World, *buckets: str, **options: Any) -> list[str]:
    """What `create --adopt` does: the kinds, names and actions of what it changed."""
    world.wire.calls.clear()
    deployment = preflight.check(world.aws, NAMES, Request(buckets, options=options, adopt=True)).passed()
    return carry_out(apply_create(world.aws, deployment, deployment.plan()))


def delete(world: World, *, adopting: bool = True) -> list[str]:
    _, plan = for_delete(world.aws, NAMES, adopt=adopting)
    return carry_out(engine.apply(world.aws, plan))


def now(world: World) -> Deployment:
    return deployed.read(world.aws, NAMES)


def actions(world: World) -> set[str]:
    return {change.action for change in now(world).plan().changes}


def item(world: World, bucket: str = "photos") -> dict[str, Any]:
    answer = world.somebody.dynamodb.get_item(TableName=NAMES.table, Key={"BucketName": {"S": bucket}})
    return {name: next(iter(value.values())) for name, value in answer.get("Item", {}).items()}


def put_item(world: World, **attributes: Any) -> None:
    world.somebody.dynamodb.put_item(
        TableName=NAMES.table, Item={"BucketName": {"S": "photos"}, **attributes}
    )


def refused(world: World, act: Callable[[World], object]) -> S3aggError:
    """Why; nothing must have been changed."""
    world.wire.calls.clear()
    with pytest.raises(S3aggError) as caught:
        act(world)
    assert world.wire.changes == []
    return caught.value


# What is taken over


def test_without_adopt_the_blogs_stack_stops_create_and_delete_before_any_change(photos: World) -> None:
    def create(world: World) -> None:
        deployment = preflight.check(world.aws, NAMES, Request(("photos",))).passed()
        list(apply_create(world.aws, deployment, deployment.plan()))

    for problem in (refused(photos, create), refused(photos, lambda world: delete(world, adopting=False))):
        assert "function S3EventAggregator (has no tag s3agg:stack)" in problem.problem
        assert "--adopt" in problem.hint


def test_an_adopted_stack_is_as_declared(photos: World) -> None:
    done = adopt(photos, "photos")

    assert {each for each in done if each.startswith("create")} == {
        "create queue S3EventAggregatorDeadLetters",
        "create rule S3EventAggregatorRefreshComplete",
        "create log group /aws/lambda/S3EventAggregator",
        "create log group /aws/lambda/S3StorageGatewayRefresh",
    }
    assert len(done) == 16  # the permission is as we would have made it
    assert actions(photos) == {"keep"}


def test_what_was_deployed_is_kept_as_asked_for_and_what_the_scripts_fixed_is_not(photos: World) -> None:
    adopt(photos)

    tags = now(photos).stack.table.tags
    kept = {name: value for name, value in tags.items() if name not in {STACK_TAG, VERSION_TAG}}
    functions = [photos.found(each).properties for each in (now(photos).stack.aggregator, refresher(photos))]
    assert kept == {
        "s3agg:window": "30",
        "s3agg:log-level": "INFO",
        "s3agg:read-capacity": "1",
        "s3agg:write-capacity": "5",
        "s3agg:on-demand": "false",
        "s3agg:memory": "128",
        "s3agg:architecture": "x86_64",
    }
    assert [each["timeout"] for each in functions] == ["10 s", "30 s"]
    assert [each["reserved concurrency"] for each in functions] == ["10", "2"]
    assert functions[0]["on-failure destination"] == PLACE.arn("sqs", NAMES.dead_letters)


def refresher(world: World) -> Any:
    return now(world).stack.refresher


def test_what_is_given_now_wins_over_what_is_deployed(world: World) -> None:
    world.bucket("photos")
    blog.create(world.somebody, "photos", window=45)
    configure(world, NAMES.aggregator, MemorySize=256)

    adopt(world, memory=512)

    settings = now(world).stack.settings
    assert (settings.window, settings.memory) == (45, 512)


def configure(world: World, function: str, **configuration: Any) -> None:
    world.somebody.lambda_.update_function_configuration(FunctionName=function, **configuration)


def set_variables(world: World, function: str, **variables: str) -> None:
    configure(world, function, Environment={"Variables": variables})


def on_demand(world: World) -> None:
    world.somebody.dynamodb.update_table(TableName=NAMES.table, BillingMode="PAY_PER_REQUEST")


def set_capacity(world: World) -> None:
    world.somebody.dynamodb.update_table(
        TableName=NAMES.table, ProvisionedThroughput={"ReadCapacityUnits": 2, "WriteCapacityUnits": 20}
    )


def reserve(number: int) -> Callable[[World], object]:
    return lambda world: world.somebody.lambda_.put_function_concurrency(
        FunctionName=NAMES.aggregator, ReservedConcurrentExecutions=number
    )


def keep_logs(world: World) -> None:
    group = f"/aws/lambda/{NAMES.refresher}"
    world.somebody.logs.create_log_group(logGroupName=group)
    world.somebody.logs.put_retention_policy(logGroupName=group, retentionInDays=365)


def ring(world: World) -> None:
    world.somebody.cloudwatch.put_metric_alarm(
        AlarmName="S3EventAggregatorActionQueueOldest",
        ComparisonOperator="GreaterThanThreshold",
        EvaluationPeriods=1,
        AlarmActions=[TOPIC],
    )


CHOICES: dict[str, tuple[Callable[[World], object], str, object]] = {
    "a window": (
        lambda world: set_variables(world, NAMES.aggregator, REFRESH_DELAY_SECONDS="300"),
        "window",
        300,
    ),
    "a window that cannot be": (
        lambda world: set_variables(world, NAMES.aggregator, REFRESH_DELAY_SECONDS="0"),
        "window",
        30,
    ),
    "a window that is no number": (
        lambda world: set_variables(world, NAMES.aggregator, REFRESH_DELAY_SECONDS="2.5"),
        "window",
        30,
    ),
    "a log level": (
        lambda world: set_variables(world, NAMES.aggregator, LOG_LEVEL="warning"),
        "log_level",
        "WARN",
    ),
    "writes of the gateway": (
        lambda world: set_variables(world, NAMES.aggregator, INCLUDE_GATEWAY_WRITES="true"),
        "include_gateway_writes",
        True,
    ),
    "an interval": (
        lambda world: set_variables(world, NAMES.refresher, MIN_INTERVAL_SECONDS="90"),
        "min_interval",
        90,
    ),
    "a capacity": (set_capacity, "write_capacity", 20),
    "billing on demand": (on_demand, "on_demand", True),
    "a concurrency": (reserve(5), "concurrency", 5),
    "the scripts' concurrency": (reserve(1), "concurrency", 10),
    "the larger memory": (
        lambda world: configure(world, NAMES.refresher, MemorySize=256),
        "memory",
        256,
    ),
    "a runtime": (
        lambda world: configure(world, NAMES.aggregator, Runtime="python3.12"),
        "runtime",
        "python3.12",
    ),
    "a runtime that is gone": (lambda _: None, "runtime", "python3.13"),
    "a log retention": (keep_logs, "log_retention", 365),
    "a permissions boundary": (
        lambda world: world.somebody.iam.put_role_permissions_boundary(
            RoleName=NAMES.aggregator_role, PermissionsBoundary=BOUNDARY
        ),
        "permissions_boundary",
        BOUNDARY,
    ),
    "an alarm's topic": (ring, "alarm_topic", TOPIC),
}


@pytest.mark.parametrize(("choose", "option", "expected"), CHOICES.values(), ids=CHOICES)
def test_a_choice_that_somebody_made_is_asked_for(
    photos: World, choose: Callable[[World], object], option: str, expected: object
) -> None:
    choose(photos)

    declared = deployed.read(photos.aws, NAMES, Request(adopt=True)).stack.settings

    assert getattr(declared, option) == expected


def test_a_function_gets_a_runtime_that_exists_before_its_code(photos: World) -> None:
    adopt(photos)

    for name in (NAMES.aggregator, NAMES.refresher):
        calls = [call for call in photos.wire.calls if call.params.get("FunctionName") == name]
        changed = [call for call in calls if call.operation.startswith("lambda:UpdateFunction")]
        assert [call.operation for call in changed] == ["lambda:UpdateFunctionConfiguration", CODE]
        assert changed[0].params["Runtime"] == "python3.13"


def test_a_permission_without_a_source_is_narrowed_and_names_its_bucket(world: World) -> None:
    world.bucket("photos")
    blog.create(world.somebody, "photos", source=False)
    allowed: list[bool] = []
    for number in range(2):
        world.wire.before(
            "lambda:RemovePermission",
            lambda: allowed.append(bool(statements(Snapshot(make_world_reading(world)), NAMES.aggregator))),
            after=number,
        )

    adopt(world)

    assert now(world).buckets == ["photos"]
    assert actions(world) == {"keep"}
    assert list(statements(world.snapshot, NAMES.aggregator)) == ["SID_photos"]
    assert allowed == [True, True]


def make_world_reading(world: World) -> Any:
    return world.somebody


def test_a_bucket_can_be_added_while_adopting(photos: World) -> None:
    photos.bucket("scans")

    adopt(photos, "scans")

    assert now(photos).buckets == ["photos", "scans"]
    assert actions(photos) == {"keep"}


# What is not ours to take


def test_what_is_tagged_for_another_stack_is_not_taken_from_it(photos: World) -> None:
    url = photos.somebody.sqs.get_queue_url(QueueName=NAMES.queue)["QueueUrl"]
    photos.somebody.sqs.tag_queue(QueueUrl=url, Tags={STACK_TAG: "Other"})

    for problem in (refused(photos, adopt), refused(photos, delete)):
        assert problem.problem.endswith("queue S3EventAggregatorActionQueue (belongs to stack Other)")
        assert problem.hint == "Choose another name with --stack"


def test_the_blogs_stack_of_another_region_is_not_taken_from_it(photos: World) -> None:
    far = make_world("us-west-2")
    far.bucket("far-away", "us-west-2")

    problem = refused(far, lambda world: adopt(world, "far-away"))

    assert "policy S3EventAggregatorDynamo (belongs to a stack in eu-west-1)" in problem.problem
    assert problem.hint == "Choose another name with --stack"
    assert "a stack in eu-west-1" in refused(far, delete).problem
    assert {change.action for change in now(photos).plan().foreign} == {"foreign"}


def test_a_table_with_another_key_is_not_taken(world: World) -> None:
    world.bucket("photos")
    world.somebody.dynamodb.create_table(
        TableName=NAMES.table,
        AttributeDefinitions=[{"AttributeName": "Order", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "Order", "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
    )

    problem = refused(world, lambda world: adopt(world, "photos"))

    assert "(has no tag s3agg:stack, key schema Order (S, HASH))" in problem.problem
    assert world.wire.made("dynamodb:Scan") == []


def test_a_rule_of_our_id_that_calls_something_else_is_not_taken(photos: World) -> None:
    rule: Any = {"Id": NAMES.rule, "QueueArn": PLACE.arn("sqs", "theirs"), "Events": list(blog.EVENTS)}
    photos.somebody.s3.put_bucket_notification_configuration(
        Bucket="photos", NotificationConfiguration={"QueueConfigurations": [rule]}
    )

    problem = refused(photos, adopt)

    assert f"(its rule {NAMES.rule} notifies {rule['QueueArn']})" in problem.problem
    assert problem.hint == "Delete that rule from the bucket's event notifications"


def test_the_tags_of_our_own_table_say_what_was_asked_for_not_what_is_deployed(photos: World) -> None:
    adopt(photos, window=45)
    set_variables(photos, NAMES.aggregator, REFRESH_DELAY_SECONDS="99", LOG_LEVEL="DEBUG")
    photos.somebody.lambda_.untag_resource(
        Resource=PLACE.arn("lambda", f"function:{NAMES.aggregator}"), TagKeys=[STACK_TAG]
    )

    done = adopt(photos)

    assert done == ["update function S3EventAggregator"]
    assert (now(photos).stack.settings.window, now(photos).stack.settings.log_level) == (45, "INFO")


def test_a_handler_in_a_module_of_another_name_is_replaced(photos: World) -> None:
    configure(photos, NAMES.aggregator, Handler="index.lambda_handler")

    adopt(photos)

    assert now(photos).stack.aggregator.handler == "s3_aggregator.lambda_handler"
    assert actions(photos) == {"keep"}


# No window is lost


@dataclass
class Shares:
    """One file share that shows every bucket."""

    refreshed: list[str] = field(default_factory=list)
    given: dict[str, str] = field(default_factory=lambda: {SHARE: "id"})

    def of(self, _bucket: str, _function_arn: str, _time_left_ms: object) -> dict[str, str]:
        return {SHARE: ""}

    def refresh(
        self, _bucket: str, shares: Collection[str], _: object
    ) -> tuple[frozenset[str], frozenset[str], dict[str, str]]:
        self.refreshed += shares
        return frozenset(shares), frozenset(), {}


@dataclass
class Functions:
    """Our functions, on an adopted stack."""

    world: World
    shares: Shares = field(default_factory=Shares)

    def refresh(self, message: Mapping[str, Any]) -> bool:
        """Give the refresh function a message; whether it is still needed."""
        attributes = {
            name: {"stringValue": value["StringValue"], "dataType": value["DataType"]}
            for name, value in message["MessageAttributes"].items()
        }
        record = {"messageId": "m", "receiptHandle": "r", "body": "{}", "messageAttributes": attributes}
        refresher = load("s3_sgw_refresh").Refresher(
            **self._common,
            full_every_h=24,
            function_arn=PLACE.arn("lambda", f"function:{NAMES.refresher}"),
            shares=self.shares,
        )
        kept: bool = refresher.handle_record(record, lambda: 30_000)
        return kept

    def event(self, key: str = "a.jpg") -> None:
        """Give the aggregator an event."""
        aggregator = load("s3_aggregator").Aggregator(
            **{**self._common, "sqs": lambda: self.world.somebody.sqs},
            include_gateway_writes=False,
        )
        aggregator.handle_record(record(key, bucket="photos"))

    @property
    def _common(self) -> dict[str, Any]:
        somebody = self.world.somebody
        url = somebody.sqs.get_queue_url(QueueName=NAMES.queue)["QueueUrl"]
        clients = {"dynamodb": somebody.dynamodb, "sqs": somebody.sqs}
        lengths = {"window_s": 30, "interval_s": 60}
        return {"table": NAMES.table, "queue_url": url, "clock": self.world.clock, **lengths, **clients}


def open_the_blogs_window(world: World) -> Mapping[str, Any]:
    """Open one; its message."""
    return blog.open_window(world.somebody, "photos", int(world.clock.time() * 1000))


def woken(world: World) -> Mapping[str, Any]:
    """The only message that adopting sent."""
    (message,) = world.wire.made("sqs:SendMessage")
    return message


def test_the_message_of_a_window_of_the_blogs_still_brings_its_refresh(photos: World) -> None:
    message = open_the_blogs_window(photos)
    functions = Functions(photos)

    adopt(photos)
    kept = functions.refresh(message), functions.refresh(woken(photos))

    assert functions.shares.refreshed == [SHARE]
    assert kept == (False, False)
    assert "pending" not in item(photos)


def test_a_window_of_the_blogs_is_refreshed_although_its_message_is_gone(photos: World) -> None:
    open_the_blogs_window(photos)
    functions = Functions(photos)

    adopt(photos)
    functions.refresh(woken(photos))

    assert functions.shares.refreshed == [SHARE]
    assert woken(photos)["DelaySeconds"] == 30  # not before the window's own message


def test_our_first_window_after_the_blogs_has_a_refresh_of_its_own(photos: World) -> None:
    message = open_the_blogs_window(photos)
    functions = Functions(photos)
    adopt(photos)

    functions.event()
    due = item(photos)["timestamp"]
    functions.refresh(message)
    still_open = item(photos)["timestamp"]
    photos.clock.sleep(100)
    functions.refresh(with_due(message, due))

    assert still_open == due
    assert functions.shares.refreshed == [SHARE, SHARE]
    assert "opened_by" not in item(photos)


def with_due(message: Mapping[str, Any], due: str) -> dict[str, Any]:
    attributes = {**message["MessageAttributes"], "due": {"DataType": "Number", "StringValue": due}}
    return {**message, "MessageAttributes": attributes}


def test_a_windows_refresh_is_noted_after_the_old_aggregator_and_before_our_refresh_function(
    photos: World,
) -> None:
    open_the_blogs_window(photos)
    marks: list[tuple[str, float]] = []
    # The first one makes the next refreshes ones of everything, the second keeps that the bucket is attached.
    photos.wire.before("dynamodb:UpdateItem", lambda: marks.append(("noted", photos.clock.waited)), after=2)
    for number, name in enumerate(("aggregator", "refresher")):

        def mark(name: str = name) -> None:
            marks.append((name, photos.clock.waited))

        photos.wire.before(CODE, mark, after=number)

    adopt(photos)

    names, times = zip(*marks, strict=True)
    assert names == ("aggregator", "noted", "refresher")
    assert times[1] - times[0] >= 10  # as long as an old invocation may take


def test_a_window_that_our_aggregator_has_opened_meanwhile_is_left_alone(photos: World) -> None:
    open_the_blogs_window(photos)
    photos.wire.before("dynamodb:UpdateItem", lambda: Functions(photos).event(), after=2)

    adopt(photos)

    assert "pending" not in item(photos)
    assert woken(photos)["MessageAttributes"]["due"]["StringValue"] == item(photos)["timestamp"]


def test_what_shares_did_before_the_blogs_window_does_not_count_for_it(photos: World) -> None:
    put_item(photos, timestamp={"N": "1"}, pending={"S": "old"}, done={"SS": ["share-12345678"]})

    adopt(photos)

    assert item(photos)["pending"] != "old"
    assert item(photos).keys() == {
        *("BucketName", "pending", "attached", "unrefreshed_since", "everything_until")
    }


def test_buckets_for_which_nothing_is_to_come_are_not_woken(photos: World) -> None:
    put_item(photos, refreshed={"N": "1"}, share={"S": SHARE})

    adopt(photos)

    assert photos.wire.made("sqs:SendMessage") == []
    assert item(photos).keys() == {"BucketName", "refreshed", "share", "attached", "everything_until"}


@pytest.mark.parametrize(
    ("operation", "after"),
    [(CODE, 0), (CODE, 1), ("lambda:UpdateEventSourceMapping", 0), ("sqs:SendMessage", 0)],
)
def test_an_adoption_that_died_is_run_again_and_loses_no_window(
    photos: World, operation: str, after: int
) -> None:
    open_the_blogs_window(photos)
    photos.wire.refuse(operation, "ServiceException", after=after, times=1)
    with pytest.raises(S3aggError, match="ServiceException"):
        adopt(photos)

    adopt(photos)

    functions = Functions(photos)
    functions.refresh(woken(photos))
    assert actions(photos) == {"keep"}
    assert functions.shares.refreshed == [SHARE]


def test_messages_that_a_trigger_without_partial_responses_deleted_are_sent_again(photos: World) -> None:
    adopt(photos)
    put_item(photos, pending={"S": "token"})
    mappings = photos.somebody.lambda_.list_event_source_mappings()["EventSourceMappings"]
    photos.somebody.lambda_.update_event_source_mapping(UUID=mappings[0]["UUID"], FunctionResponseTypes=[])
    photos.wire.calls.clear()

    deployment = preflight.check(photos.aws, NAMES, Request()).passed()
    list(apply_create(photos.aws, deployment, deployment.plan()))

    assert woken(photos)["MessageAttributes"]["bucket-name"]["StringValue"] == "photos"


# What is removed


def test_delete_removes_the_blogs_stack(photos: World) -> None:
    blog.open_window(photos.somebody, "photos", 0)
    photos.somebody.logs.create_log_group(logGroupName=f"/aws/lambda/{NAMES.aggregator}")

    removed = delete(photos)

    kinds = [each.split()[1] for each in removed]
    assert [kinds.count(kind) for kind in ("policy", "role", "function", "queue", "table")] == [4, 2, 2, 1, 1]
    order = [removed.index(f"delete {each}") for each in ("notification photos", "permission SID_photos")]
    assert order == sorted(order)
    assert order[-1] < removed.index("delete function S3EventAggregator")
    assert not now(photos).exists
    answer = photos.somebody.s3.get_bucket_notification_configuration(Bucket="photos")
    assert "LambdaFunctionConfigurations" not in answer


def test_a_bucket_is_detached_from_the_blogs_stack_only_if_that_is_adopted(photos: World) -> None:
    blog.open_window(photos.somebody, "photos", 0)

    _, kept = for_detach(photos.aws, NAMES, ["photos"])
    deployment, removed = for_detach(photos.aws, NAMES, ["photos"], adopt=True)
    list(detach_buckets(photos.aws, deployment, ["photos"], removed))

    assert [change.resource.name for change in kept.foreign] == ["S3EventAggregator", "S3EventAggregator"]
    assert removed.foreign == []
    assert now(photos).buckets == []
    assert item(photos) == {}


def test_what_nobody_wants_is_not_taken_over_to_be_removed(photos: World) -> None:
    photos.somebody.cloudwatch.put_metric_alarm(
        AlarmName="S3EventAggregatorDeadLettersWaiting",
        ComparisonOperator="GreaterThanThreshold",
        EvaluationPeriods=1,
    )

    adopt(photos)

    assert len(photos.somebody.cloudwatch.describe_alarms()["MetricAlarms"]) == 1


def test_a_message_is_delayed_no_longer_than_sqs_can(photos: World) -> None:
    put_item(photos, pending={"S": "token"})

    adopt(photos, window=3600)

    assert woken(photos)["DelaySeconds"] == messages.LONGEST_DELAY_S
    assert json.loads(woken(photos)["MessageBody"]) == {}
