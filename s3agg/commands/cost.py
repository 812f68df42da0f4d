"""cost --measured: a monthly bill from the CloudWatch metrics of a stack or of buckets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from s3agg.aws.refusals import describing_errors
from s3agg.aws.session import Aws
from s3agg.errors import Advice, AwsAdvice, S3aggError
from s3agg.live import metrics
from s3agg.live.metrics import Metric
from s3agg.prices import bill
from s3agg.prices.bill import Bill, Usage
from s3agg.prices.tables import Prices
from s3agg.settings import Names, Settings, check_bucket_name
from s3agg.stack import deployed
from s3agg.stack.declared import Stack
from s3agg.stack.deployed import Deployment, Request

UPLOADS = ("PutRequests", "DeleteRequests")  # as in the blog; each part of an object is a put
LEAST_HOURS = 24  # a shorter time of a day says little about a month
BRIDGED = "bridged"  # begins the names of metrics in `of_stack`
EVERYTHING = "EntireBucket"  # the metrics filter that the console creates


def of_stack(
    aws: Aws,
    names: Names,
    options: Mapping[str, Any],
    prices: Prices,
    objects_in_bucket: int = 0,
    shares: int | None = None,
) -> Bill:
    """Return the bill of a stack from its usage in the last 30 days, or since its first metric.

    `options` replace the stack's own, `objects_in_bucket` and `shares` are as for Load; by default the shares
    that the stack knows. Raises S3aggError if there is no stack, or no metric that is a day old.
    """
    deployment = deployed.read(
        aws, names, Request(options=options, adopt=True)
    )  # stacks of the blog's scripts too
    missing = deployment.missing
    if missing.elsewhere:
        raise missing
    if not deployment.exists:
        raise S3aggError(
            missing.problem,
            "Pass --bucket to measure a bucket, or --objects-per-day. To list the stacks, run",
            Advice("list"),
        )
    stack = deployment.stack
    with describing_errors(f"reading the metrics of stack {names.stack}"):
        summed = metrics.summed(aws, _metrics(stack), bill.HOURS)
    if not summed.hours:
        raise S3aggError(
            f"CloudWatch has no metrics for stack {names.stack} yet",
            "Wait for the first events, or pass --objects-per-day",
        )
    _check_long_enough(f"stack {names.stack}", summed.hours)
    month = {each: value * _to_a_month(summed.hours) for each, value in summed.sums.items()}
    usage = Usage(
        requests=month["events"] + month["refreshes"],
        seconds=(month["events_ms"] + month["refreshes_ms"]) / 1000,
        writes=month["writes"],
        reads=month["reads"],
        # Each received message is then deleted or put off.
        sqs_requests=month["sent"] + 2 * month["received"] + month["polls"],
        log_bytes=month["events_bytes"] + month["refreshes_bytes"],
    )
    return bill.make(
        f"stack {names.stack}, measured {_span(summed.hours)}: ",
        bill.Load(
            month["events"] / bill.DAYS,
            month["sent"] / bill.DAYS,
            month["polls"],
            objects_in_bucket,
            _shares(deployment) if shares is None else shares,
            max(len(deployment.buckets), 1),
            sum(value for name, value in month.items() if name.startswith(BRIDGED)),
        ),
        usage,
        stack.settings,
        prices,
        "s3agg: measured. The Duration metric excludes the billed init phase of cold starts.",
        deployment.place.region,
    )


def _shares(deployment: Deployment) -> int:
    """Return the number of file shares of the bucket that has fewest, as its refreshes cost most.

    Buckets without a known share do not count; without any, 1.
    """
    known = (len(deployment.activity_of(bucket).shares) for bucket in deployment.buckets)
    return min(filter(None, known), default=1)


def _check_long_enough(measured: str, hours: float) -> None:
    """Raise S3aggError for metrics of less than a day."""
    if hours < LEAST_HOURS:
        raise S3aggError(
            f"CloudWatch has metrics of {measured} for the last {hours:.1f} hours only",
            f"Wait until they cover {LEAST_HOURS} hours, or pass --objects-per-day",
        )


def _metrics(stack: Stack) -> dict[str, Metric]:
    """Return the metrics of a stack by their names in `of_stack`."""
    queue, table = {"QueueName": stack.queue.name}, {"TableName": stack.table.name}
    found = {
        "sent": Metric("AWS/SQS", "NumberOfMessagesSent", queue),
        "received": Metric("AWS/SQS", "NumberOfMessagesReceived", queue),
        "polls": Metric("AWS/SQS", "NumberOfEmptyReceives", queue),
        "writes": Metric("AWS/DynamoDB", "ConsumedWriteCapacityUnits", table),
        "reads": Metric("AWS/DynamoDB", "ConsumedReadCapacityUnits", table),
    }
    for what, function in (("events", stack.aggregator), ("refreshes", stack.refresher)):
        of, group = {"FunctionName": function.name}, {"LogGroupName": function.log_group.name}
        found[what] = Metric("AWS/Lambda", "Invocations", of)
        found[f"{what}_ms"] = Metric("AWS/Lambda", "Duration", of)
        found[f"{what}_bytes"] = Metric("AWS/Logs", "IncomingBytes", group)
    for number, each in enumerate(stack.deliveries):
        # Unlike the event notifications, AWS bills these (FACTS, EventBridge). An invocation is an event.
        found[f"{BRIDGED}{number}"] = Metric("AWS/Events", "Invocations", {"RuleName": each.rule.name})
    return found


def of_buckets(
    aws: Aws,
    buckets: Sequence[str],
    refreshes_per_day: float | None,
    options: Mapping[str, Any],
    prices: Prices,
    objects_in_bucket: int = 0,
    shares: int = 1,
    *,
    via_eventbridge: bool = False,
) -> Bill:
    """Return the bill of a stack for these buckets from their requests of the last 30 days, or fewer.

    `objects_in_bucket` and `shares` as for Load. `via_eventbridge` is whether S3 sends the events through
    EventBridge. Raises UsageProblem for an invalid bucket name. Raises S3aggError for a bucket without
    request metrics that are a day old.
    """
    settings = Settings.declared(options, {})
    region = aws.cloudwatch.meta.region_name
    measured = aws.side_by_side(lambda bucket: _uploads(aws, check_bucket_name(bucket, region)), buckets)
    if refreshes_per_day is None:
        refreshes_per_day = sum(bill.most_refreshes(per_day) for per_day, _ in measured)
    return bill.estimate(
        sum(per_day for per_day, _ in measured),
        refreshes_per_day,
        settings,
        prices,
        f"{', '.join(buckets)}, measured {_span(min(hours for _, hours in measured))}: ",
        objects_in_bucket,
        aws.region,
        shares,
        len(measured),
        via_eventbridge=via_eventbridge,
    )


def _uploads(aws: Aws, bucket: str) -> tuple[float, float]:
    """Return the objects written and deleted per day, and the measured hours."""
    with describing_errors(f"reading the request metrics of bucket {bucket}"):
        of_bucket = metrics.metrics_of(aws, "AWS/S3", {"BucketName": bucket})
        wanted = {f"m{number}": each for number, each in enumerate(of_bucket) if each.name in UPLOADS}
        summed = metrics.summed(aws, wanted, bill.HOURS) if wanted else None
    if summed is None or not summed.hours:
        region = aws.cloudwatch.meta.region_name  # the metrics are in the bucket's region
        raise S3aggError(
            f"Bucket {bucket} has no request metrics for the last two weeks in {region}",
            "Pass --objects-per-day. Or enable request metrics, which CloudWatch charges for, and wait a few"
            " days",
            AwsAdvice(
                "s3api put-bucket-metrics-configuration",
                options={"bucket": bucket, "id": EVERYTHING, "metrics-configuration": f"Id={EVERYTHING}"},
            ),
        )
    _check_long_enough(f"bucket {bucket}", summed.hours)
    by_filter = dict.fromkeys((each.of["FilterId"] for each in wanted.values()), 0.0)
    for each, metric in wanted.items():
        by_filter[metric.of["FilterId"]] += summed.sums[each]
    most = max(by_filter.values())  # filters may overlap; one for the whole bucket counts everything
    return most * _to_a_month(summed.hours) / bill.DAYS, summed.hours


def _to_a_month(hours: float) -> float:
    """Return the factor from a count of these hours to a month."""
    return bill.HOURS / min(hours, bill.HOURS)


def _span(hours: float) -> str:
    return f"over {min(hours / 24, bill.DAYS):.1f} days"
