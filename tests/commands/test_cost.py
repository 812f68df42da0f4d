"""What a month costs, measured."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest

from s3agg.aws import clock
from s3agg.commands import cost
from s3agg.errors import S3aggError, UsageProblem
from s3agg.prices import tables as prices
from s3agg.prices.bill import Bill
from s3agg.resources.event_filter import EVENTBRIDGE
from s3agg.settings import PRICE_TABLES, Names, bucket_rule
from tests.support import aws as support
from tests.support import blog, deploying
from tests.support.aws import World

pytestmark = pytest.mark.stack
world = support.world

NAMES = Names()
PRICES = prices.read(PRICE_TABLES[-1])


def counted(
    world: World, namespace: str, name: str, of: Mapping[str, str], value: float, *, days_ago: float = 30
) -> None:
    """Let CloudWatch have counted so much then."""
    world.somebody.cloudwatch.put_metric_data(
        Namespace=namespace,
        MetricData=[
            {
                "MetricName": name,
                "Dimensions": [{"Name": each, "Value": value} for each, value in of.items()],
                "Timestamp": clock.from_ms(world.clock.time() * 1000) - timedelta(days=days_ago),
                "Value": value,
            }
        ],
    )


def use(world: World, *, days_ago: float = 30) -> None:
    """Let the stack have been used."""
    world.clock.sleep(1)  # else the pace of calls delays the next ones
    aggregator, refresher = {"FunctionName": NAMES.aggregator}, {"FunctionName": NAMES.refresher}
    queue, table = {"QueueName": NAMES.queue}, {"TableName": NAMES.table}
    for namespace, name, of, value in (
        ("AWS/Lambda", "Invocations", aggregator, 30_000),
        ("AWS/Lambda", "Duration", aggregator, 300_000),
        ("AWS/Lambda", "Invocations", refresher, 1600),
        ("AWS/Lambda", "Duration", refresher, 4_500_000),
        ("AWS/Logs", "IncomingBytes", {"LogGroupName": f"/aws/lambda/{NAMES.aggregator}"}, 15e6),
        ("AWS/Logs", "IncomingBytes", {"LogGroupName": f"/aws/lambda/{NAMES.refresher}"}, 5e6),
        ("AWS/SQS", "NumberOfMessagesSent", queue, 1500),
        ("AWS/SQS", "NumberOfMessagesReceived", queue, 1600),
        ("AWS/SQS", "NumberOfEmptyReceives", queue, 600_000),
        ("AWS/DynamoDB", "ConsumedWriteCapacityUnits", table, 6000),
        ("AWS/DynamoDB", "ConsumedReadCapacityUnits", table, 1600),
    ):
        counted(world, namespace, name, of, value, days_ago=days_ago)


def of_stack(world: World, **options: Any) -> Bill:
    return cost.of_stack(world.aws, NAMES, options, PRICES)


def of_buckets(world: World, *buckets: str, refreshes: float | None = None) -> Bill:
    return cost.of_buckets(world.aws, buckets, refreshes, {}, PRICES)


def quantities(made: Bill) -> dict[str, float]:
    return {f"{line.service} {line.unit}": line.quantity for line in made.lines}


@pytest.fixture
def stack(world: World) -> World:
    """An account with a stack."""
    deploying.create(world, world.bucket("uploads"))
    world.wire.calls.clear()
    return world


def test_a_stack_is_billed_for_what_it_used(stack: World) -> None:
    use(stack)

    made = of_stack(stack)

    assert quantities(made) == {
        "Lambda requests": 31_600,
        "Lambda GB-seconds": 600,
        "DynamoDB writes": 6000,
        "DynamoDB reads": 1600,
        "DynamoDB write unit-hours": 0,
        "DynamoDB read unit-hours": 0,
        "SQS requests": 1500 + 2 * 1600 + 600_000,
        "CloudWatch Logs GB ingested": 0.02,
        "CloudWatch Logs GB-months stored": 0.003,
        "CloudWatch alarms": 0,
    }
    assert (made.objects_per_day, made.refreshes_per_day) == (1000, 50)
    assert made.of.startswith("stack S3EventAggregator, measured over 30.0 days: 1 000 objects")
    assert stack.wire.changes == []


def test_beside_it_is_what_the_same_objects_cost_by_the_blogs_rule(stack: World) -> None:
    use(stack)

    lines = {line.unit: line.blog_quantity for line in of_stack(stack).lines if line.service != "SQS"}

    assert (lines["requests"], lines["GB-seconds"]) == (31_500, 581.25)


def test_fewer_days_are_scaled_to_a_month(stack: World) -> None:
    use(stack, days_ago=3)

    made = of_stack(stack)

    assert quantities(made)["Lambda requests"] == pytest.approx(316_000)
    assert made.objects_per_day == pytest.approx(10_000)
    assert "measured over 3.0 days" in made.of


def test_less_than_a_day_is_not_made_a_month_of(stack: World) -> None:
    use(stack, days_ago=0.9)

    with pytest.raises(
        S3aggError, match=r"metrics of stack S3EventAggregator for the last 2\d\.\d hours only"
    ):
        of_stack(stack)


def test_less_than_a_day_of_a_bucket_is_not_made_a_month_of(world: World) -> None:
    upload(world, "EntireBucket", 8000, 2000, days_ago=0.5)

    with pytest.raises(S3aggError, match=r"metrics of bucket uploads for the last 12\.0 hours only"):
        of_buckets(world, "uploads")


def test_a_measured_cost_tells_that_its_prices_are_of_another_region(stack: World) -> None:
    use(stack)
    upload(stack, "EntireBucket", 8000, 2000)

    for made in (of_stack(stack), of_buckets(stack, "uploads")):
        assert made.caveats[0].startswith("Prices of us-east-1, not of eu-west-1.")


def test_a_stack_is_paid_for_as_it_was_asked_for_or_as_is_asked_now(world: World) -> None:
    deploying.create(
        world,
        world.bucket("uploads"),
        on_demand=False,
        memory=256,
        log_retention=60,
        alarm_topic="arn:aws:sns:x:1:t",
    )
    world.clock.sleep(1)  # so that the two reads need not wait, and both meet the same 30 days (FACTS 35)
    use(world)

    as_it_is, if_on_demand = of_stack(world), of_stack(world, on_demand=True)

    assert quantities(as_it_is)["Lambda GB-seconds"] == 1200
    assert quantities(as_it_is)["CloudWatch Logs GB-months stored"] == 0.006
    assert quantities(as_it_is)["CloudWatch alarms"] == 3
    assert quantities(as_it_is)["DynamoDB write unit-hours"] == 3600
    assert quantities(if_on_demand)["DynamoDB writes"] == 6000
    assert quantities(if_on_demand)["DynamoDB reads"] == 1600


def test_the_blogs_stack_is_measured_as_it_is_deployed(world: World) -> None:
    blog.create(world.somebody, world.bucket("uploads"))
    use(world, days_ago=29.99)

    made = of_stack(world)

    assert quantities(made)["Lambda requests"] == pytest.approx(31_600, rel=0.001)
    assert world.wire.changes == []


def test_a_stack_without_metrics_is_not_billed_for_nothing(stack: World) -> None:
    with pytest.raises(S3aggError, match=r"CloudWatch has no metrics for stack S3EventAggregator yet\."):
        of_stack(stack)


def test_without_a_stack_it_is_said_what_can_be_measured(world: World) -> None:
    with pytest.raises(S3aggError, match="Pass --bucket to measure a bucket, or --objects-per-day"):
        of_stack(world)


def upload(
    world: World,
    filter_id: str,
    puts: float,
    deletes: float,
    bucket: str = "uploads",
    *,
    days_ago: float = 10,
) -> None:
    """Let a bucket's request metrics have counted these, by a filter."""
    for name, value in (("PutRequests", puts), ("DeleteRequests", deletes), ("GetRequests", 1e9)):
        of = {"BucketName": bucket, "FilterId": filter_id}
        counted(world, "AWS/S3", name, of, value, days_ago=days_ago)


def test_before_there_is_a_stack_a_bucket_tells_its_objects(world: World) -> None:
    upload(world, "EntireBucket", 8000, 2000)

    made = of_buckets(world, "uploads", refreshes=50)

    assert (made.objects_per_day, made.refreshes_per_day) == (1000, 50)
    assert made.of.startswith("uploads, measured over 10.0 days: 1 000 objects and 50 refreshes a day")
    assert world.wire.changes == []


def test_a_buckets_filters_overlap_and_its_widest_counts(world: World) -> None:
    upload(world, "photos", 1000, 0)
    upload(world, "all", 4000, 1000)

    assert of_buckets(world, "uploads").objects_per_day == 500


def test_a_measured_cost_includes_the_gateways_requests_when_it_is_asked_to(world: World) -> None:
    upload(world, "EntireBucket", 1000, 0)
    made = cost.of_buckets(world.aws, ["uploads"], 10, {}, PRICES, objects_in_bucket=2000)

    assert quantities(made)["S3 LIST requests"] == 30 * 10 * 2
    assert quantities(made)["S3 HEAD requests"] == 30 * 10 * 2000


def known_shares(world: World, bucket: str, shares: int) -> None:
    world.somebody.dynamodb.update_item(
        TableName=NAMES.table,
        Key={"BucketName": {"S": bucket}},
        UpdateExpression="SET shares = :shares",
        ExpressionAttributeValues={":shares": {"SS": [f"share-{number}" for number in range(shares)]}},
    )


def test_a_stack_knows_the_shares_that_its_refreshes_list(stack: World) -> None:
    """Of several buckets the one with the fewest: its refreshes cost most."""
    deploying.create(stack, stack.bucket("second"))
    use(stack, days_ago=20)

    def shares_of(asked: int | None = None) -> int:
        made = cost.of_stack(stack.aws, NAMES, {}, PRICES, objects_in_bucket=1000, shares=asked)
        assert made.gateways is not None
        return made.gateways.shares

    before = shares_of()
    known_shares(stack, "uploads", 4)
    known_shares(stack, "second", 2)

    assert (before, shares_of(), shares_of(10)) == (1, 2, 10)


def test_only_events_that_came_through_eventbridge_are_billed(stack: World) -> None:
    before = of_stack_after_use(stack)
    deploying.create(stack, stack.bucket("photos"), via=EVENTBRIDGE)
    counted(
        stack, "AWS/Events", "Invocations", {"RuleName": bucket_rule(NAMES.stack, "photos")}, 2e6, days_ago=20
    )

    made = of_stack(stack)

    assert "EventBridge events of S3" not in before
    assert quantities(made)["EventBridge events of S3"] == pytest.approx(2e6 * 30 / 20, rel=0.01)


def of_stack_after_use(world: World) -> dict[str, float]:
    use(world, days_ago=20)
    return quantities(of_stack(world))


def test_before_there_is_a_stack_the_way_of_a_buckets_events_can_be_chosen(world: World) -> None:
    upload(world, "EntireBucket", 8000, 2000)

    made = cost.of_buckets(world.aws, ["uploads"], 50, {}, PRICES, via_eventbridge=True)

    assert quantities(made)["EventBridge events of S3"] == 30_000


def test_several_buckets_make_one_stack(world: World) -> None:
    upload(world, "EntireBucket", 1000, 0)
    upload(world, "EntireBucket", 3000, 0, bucket="second")

    assert of_buckets(world, "uploads", "second").objects_per_day == 400


def test_of_several_buckets_it_is_said_how_long_the_shortest_was_measured(world: World) -> None:
    upload(world, "EntireBucket", 1000, 0)
    upload(world, "EntireBucket", 400, 0, bucket="second", days_ago=4)

    made = of_buckets(world, "uploads", "second")

    assert made.of.startswith("uploads, second, measured over 4.0 days: 200 objects")


def test_each_bucket_can_have_as_many_refreshes_as_fit_into_a_day(world: World) -> None:
    upload(world, "EntireBucket", 1_000_000, 0)
    upload(world, "EntireBucket", 1_000_000, 0, bucket="second")
    upload(world, "EntireBucket", 100, 0, bucket="quiet")

    assert of_buckets(world, "uploads", "second", "quiet").refreshes_per_day == 1393 + 1393 + 10


def test_more_refreshes_than_were_measured_objects_are_refused(world: World) -> None:
    upload(world, "EntireBucket", 100, 0)

    with pytest.raises(UsageProblem, match="50 refreshes per day for 10 objects"):
        of_buckets(world, "uploads", refreshes=50)


def test_a_bucket_without_request_metrics_is_told_how_to_turn_them_on(world: World) -> None:
    with pytest.raises(S3aggError) as refused:
        of_buckets(world, "uploads")

    assert "Bucket uploads has no request metrics for the last two weeks in eu-west-1" in str(refused.value)
    assert "aws s3api put-bucket-metrics-configuration --bucket uploads" in str(refused.value)


def test_the_command_that_turns_request_metrics_on_is_for_the_same_account_and_region(world: World) -> None:
    with pytest.raises(S3aggError) as refused:
        of_buckets(world, "uploads")

    told = refused.value.text({"stack": "Photos", "profile": "p", "region": "us-west-2"})
    assert told.endswith(" --metrics-configuration Id=EntireBucket --profile p --region us-west-2.")


def test_what_cannot_be_a_bucket_is_refused(world: World) -> None:
    with pytest.raises(UsageProblem, match="Invalid bucket name"):
        of_buckets(world, "Not_A_Bucket")


def test_a_denied_look_is_said_in_plain_words(stack: World) -> None:
    stack.wire.refuse("cloudwatch:GetMetricData", "AccessDenied")

    with pytest.raises(S3aggError, match="While reading the metrics of stack S3EventAggregator: "):
        of_stack(stack)
