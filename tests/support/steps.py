"""The commands of a stack's life that need its operator's rights, one after the other."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from s3agg import engine
from s3agg.aws.session import Aws
from s3agg.commands import cost, list_stacks, preflight, redrive, status, test_objects
from s3agg.commands import test_upload as probe
from s3agg.commands.create import apply_create
from s3agg.commands.delete import detach_buckets, for_delete, for_detach
from s3agg.errors import S3aggError
from s3agg.prices import tables as prices
from s3agg.resources.event_filter import EVENTBRIDGE
from s3agg.settings import PRICE_TABLES, Names
from s3agg.stack import deployed
from s3agg.stack.deployed import Request
from tests.support.deploying import finish

Step = Callable[[Aws], object]


@dataclass(frozen=True)
class Steps:
    """Those of one stack; `somebody` may do everything, and leaves behind what some steps are about."""

    names: Names
    buckets: tuple[str, ...]
    somebody: Aws
    test_upload_s: float

    def after_create(self) -> Iterator[Step]:
        """All that can be done with a stack, to its end."""
        yield self.adopt
        yield partial(status.read, names=self.names)
        yield list_stacks.read
        yield self.measure
        for bucket in self.buckets:
            yield partial(self.test_upload, bucket=bucket)
        yield self.redrive
        yield self.create(self.buckets[-1:], via=EVENTBRIDGE)
        yield self.detach
        yield self.delete

    def create(self, buckets: tuple[str, ...] = (), **how: Any) -> Step:
        def create(aws: Aws) -> None:
            checked = preflight.check(aws, self.names, Request(buckets, **how))
            finish(apply_create(aws, checked.passed(), checked.plan))

        return create

    def adopt(self, aws: Aws) -> None:
        """Bring it up to date while a window of the blog's is open."""
        window = {"BucketName": {"S": self.buckets[0]}, "timestamp": {"N": "1"}}
        self.somebody.dynamodb.put_item(TableName=self.names.table, Item=window)
        self.create(adopt=True)(aws)

    def measure(self, aws: Aws) -> None:
        """Ask what the stack and its buckets cost; nothing was counted yet."""
        table = prices.read(PRICE_TABLES[-1])
        with suppress(S3aggError):
            cost.of_stack(aws, self.names, {}, table)
        with suppress(S3aggError):
            cost.of_buckets(aws, self.buckets, None, {}, table)

    def test_upload(self, aws: Aws, bucket: str) -> None:
        deployment = deployed.read(aws, self.names)
        rule = deployed.the_bucket(deployment, bucket)
        test_objects.left_over(aws, rule, [])
        finish(probe.run(aws, deployment, rule, count=2, timeout_s=self.test_upload_s, keep=False))

    def redrive(self, aws: Aws) -> None:
        """One event, one refresh message, and one message that is not understood."""
        url = self.somebody.sqs.get_queue_url(QueueName=self.names.dead_letters)["QueueUrl"]
        event = {"Records": [{"s3": {"bucket": {"name": self.buckets[0]}}}]}
        arn = self.somebody.place.arn("lambda", f"function:{self.names.aggregator}:$LATEST")
        record = {"requestContext": {"functionArn": arn}, "requestPayload": event}
        for body in (json.dumps(record), "strange"):
            self.somebody.sqs.send_message(QueueUrl=url, MessageBody=body)
        attributes: Any = {"bucket-name": {"DataType": "String", "StringValue": self.buckets[0]}}
        self.somebody.sqs.send_message(QueueUrl=url, MessageBody="{}", MessageAttributes=attributes)
        finish(redrive.run(aws, deployed.read(aws, self.names), dry_run=False))

    def detach(self, aws: Aws) -> None:
        deployment, plan = for_detach(aws, self.names, self.buckets[-1:])
        finish(detach_buckets(aws, deployment, self.buckets[-1:], plan))

    def delete(self, aws: Aws) -> None:
        _, plan = for_delete(aws, self.names)
        finish(engine.apply(aws, plan, keep_going=True))
