"""The refresh messages of buckets (DESIGN 2)."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from s3agg.aws.clock import to_ms
from s3agg.aws.session import Aws
from s3agg.live.items import BucketActivity
from s3agg.resources.queue import Queue
from s3agg.settings import SETTLE_S, Settings

LONGEST_DELAY_S = 900  # the limit of SQS; the refresh function waits for the rest


def message_for(
    due: int | None, now: int, settings: Settings, *, at_once: bool = False
) -> tuple[int, dict[str, int]]:
    """Return the delay in s and the number attributes of a bucket's message. Times in ms since 1970.

    `due` belongs to the bucket's open window; None if only a refresh is pending. The delay is limited,
    because a window of longer settings can be due too late: the refresh function then shortens it. With
    `at_once` there is no delay.
    """
    numbers = {"timestamp": now} | ({} if due is None else {"due": due})
    if at_once:
        return 0, numbers
    longest_s = max(settings.window, settings.min_interval + SETTLE_S)
    delay_s = settings.window if due is None else min(math.ceil((due - now) / 1000), longest_s)
    return min(max(delay_s, 0), LONGEST_DELAY_S), numbers


def send(
    aws: Aws,
    queue: Queue,
    buckets: Iterable[BucketActivity],
    settings: Settings,
    *,
    at_once: bool = False,
) -> None:
    """Send a message for each bucket with an open window or a pending refresh; `at_once` without a delay.

    The bucket's own message may be lost, which cannot be checked. A second message does no harm: the item
    decides what it does (DESIGN 2).
    """
    waiting = [each for each in buckets if each.window.open or each.pending]
    if not waiting:
        return
    url = str(queue.url(aws))
    now = int(aws.clock.time() * 1000)

    def send_one(bucket: BucketActivity) -> None:
        closes_at = bucket.window.closes_at if bucket.window.open else None
        due = None if closes_at is None else to_ms(closes_at)
        delay_s, numbers = message_for(due, now, settings, at_once=at_once)
        attributes: dict[str, Any] = {
            "bucket-name": {"DataType": "String", "StringValue": bucket.name},
            **{name: {"DataType": "Number", "StringValue": str(value)} for name, value in numbers.items()},
        }
        aws.sqs.send_message(
            QueueUrl=url,
            MessageBody="{}",
            DelaySeconds=delay_s,
            MessageAttributes=attributes,
        )

    aws.side_by_side(send_one, waiting)
