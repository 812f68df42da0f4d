"""cost --measured: a month's bill by CloudWatch's metrics, of a stack, or of buckets before there is one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from s3agg.aws.refusals import describing_errors
from s3agg.aws.session import Aws
from s3agg.errors import S3aggError
from s3agg.live import metrics
from s3agg.live.metrics import Metric
from s3agg.prices import bill
from s3agg.prices.bill import Bill, Usage
from s3agg.prices.tables import Prices
from s3agg.settings import Names, Settings, check_bucket_name
from s3agg.stack import deployed
from s3agg.stack.declared import Stack
from s3agg.stack.deployed import Request

UPLOADS = ("PutRequests", "DeleteRequests")  # that the blog looks at; parts of an object are puts, too
EVERYTHING = "EntireBucket"  # the filter that the console makes, and we advise to


def of_stack(aws: Aws, names: Names, options: Mapping[str, Any], prices: Prices) -> Bill:
    """The bill of a stack, by what it used in the last 30 days, or since its first metric.

    `options` stand in for those that it has. Raises S3aggError where there is no stack, or no metric yet.
    """
    deployment = deployed.read(aws, names, Request(options=options, adopt=True))  # the blog's, too
    if not deployment.exists:
        nothing = deployed.no_stack(deployment, "so nothing is measured")
        raise S3aggError(nothing.problem, "Measure a bucket with --bucket, or say --objects-per-day")
    stack = deployment.stack
    with describing_errors(f"reading the metrics of stack {names.stack}"):
        summed = metrics.summed(aws, _metrics(stack), bill.HOURS)
    if not summed.hours:
        raise S3aggError(
            f"CloudWatch has no metrics of the stack {names.stack} yet",
            "Wait for its first events, or say --objects-per-day",
        )
    month = {each: value * _to_a_month(summed.hours) for each, value in summed.sums.items()}
    usage = Usage(
        requests=month["events"] + month["refreshes"],
        seconds=(month["events_ms"] + month["refreshes_ms"]) / 1000,
        writes=month["writes"],
        reads=month["reads"],
        # What is received is then deleted or put off.
        sqs_requests=month["sent"] + 2 * month["received"] + month["polls"],
        log_bytes=month["events_bytes"] + month["refreshes_bytes"],
    )
    return bill.make(
        f"stack {names.stack}, measured {_span(summed.hours)}: ",
        bill.Load(month["events"] / bill.DAYS, month["sent"] / bill.DAYS, polls=month["polls"]),
        usage,
        stack.settings,
        prices,
        "s3agg: measured, but for the start of an instance, which Lambda bills and its metrics leave out.",
    )


def _metrics(stack: Stack) -> dict[str, Metric]:
    """What AWS counts of a stack, by what it is here."""
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
    return found


def of_buckets(
    aws: Aws,
    buckets: Sequence[str],
    refreshes_per_day: float | None,
    options: Mapping[str, Any],
    prices: Prices,
) -> Bill:
    """The bill of a stack for these buckets, by their requests of the last 30 days, or since the first.

    Raises UsageProblem for what cannot name a bucket, S3aggError where one has no request metrics.
    """
    settings = Settings.declared(options, {})
    measured = aws.side_by_side(lambda bucket: _uploads(aws, check_bucket_name(bucket)), buckets)
    if refreshes_per_day is None:
        refreshes_per_day = sum(bill.most_refreshes(per_day) for per_day, _ in measured)
    return bill.estimate(
        sum(per_day for per_day, _ in measured),
        refreshes_per_day,
        settings,
        prices,
        f"{', '.join(buckets)}, measured {_span(min(hours for _, hours in measured))}: ",
    )


def _uploads(aws: Aws, bucket: str) -> tuple[float, float]:
    """How many objects are written and removed in a day, and over how many hours that was measured."""
    with describing_errors(f"reading the request metrics of bucket {bucket}"):
        of_bucket = metrics.metrics_of(aws, "AWS/S3", {"BucketName": bucket})
        wanted = {f"m{number}": each for number, each in enumerate(of_bucket) if each.name in UPLOADS}
        summed = metrics.summed(aws, wanted, bill.HOURS) if wanted else None
    if summed is None or not summed.hours:
        region = aws.cloudwatch.meta.region_name  # a bucket's metrics are where the bucket is
        raise S3aggError(
            f"Bucket {bucket} has no request metrics of the last two weeks in {region}",
            "Turn them on, at CloudWatch's price for metrics, and wait some days: aws s3api"
            f" put-bucket-metrics-configuration --bucket {bucket} --id {EVERYTHING}"
            f" --metrics-configuration Id={EVERYTHING}. Or say --objects-per-day",
        )
    by_filter = dict.fromkeys((each.of["FilterId"] for each in wanted.values()), 0.0)
    for each, metric in wanted.items():
        by_filter[metric.of["FilterId"]] += summed.sums[each]
    most = max(by_filter.values())  # filters may overlap, and one for the whole bucket has all
    return most * _to_a_month(summed.hours) / bill.DAYS, summed.hours


def _to_a_month(hours: float) -> float:
    """What to multiply with what was counted in so many hours."""
    return bill.HOURS / min(max(hours, 1), bill.HOURS)


def _span(hours: float) -> str:
    return f"over {min(hours / 24, bill.DAYS):.1f} days"
