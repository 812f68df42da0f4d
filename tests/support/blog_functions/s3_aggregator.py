"""Stands in for the blog's aggregator: its rule, in words of our own, as Python 3.6 could run it."""

import logging
import os
from datetime import datetime, timezone
from typing import Any

import boto3

TABLE = "S3EventAggregator"

logging.basicConfig()  # of no effect where the runtime has set logging up
logger = logging.getLogger()
logger.setLevel(os.environ.get("LOG_LEVEL", "INFO"))
dynamodb = boto3.client("dynamodb")
sqs = boto3.client("sqs")


def lambda_handler(event: Any, _context: Any) -> None:
    for record in event.get("Records", []):
        handle(record["s3"]["bucket"]["name"], milliseconds(record["eventTime"]))


def handle(bucket: str, happened: int) -> None:
    """Open a window and send its message, unless the event falls within the window that is open."""
    delay = int(os.environ["REFRESH_DELAY_SECONDS"])
    if not open_window(bucket, happened, happened + delay * 1000):
        logger.info(
            "Refresh for bucket: %s within refresh window, skipping. S3 Event timestamp: %d", bucket, happened
        )
        return
    # What fails from here on is lost: the event, tried again, finds the window that it has opened.
    sqs.send_message(
        QueueUrl=os.environ["QUEUE_URL"],
        MessageBody="{}",
        DelaySeconds=delay,
        MessageAttributes={
            "bucket-name": {"DataType": "String", "StringValue": bucket},
            "timestamp": {"DataType": "Number", "StringValue": str(happened)},
        },
    )
    logger.info("Sending refresh request for bucket: %s, timestamp: %d", bucket, happened)


def open_window(bucket: str, happened: int, end: int) -> bool:
    """Write the window's end, unless the event falls within the window that is open.

    Every event costs a write, refused or not: hence the blog's 5 write units for 5 objects a second.
    """
    try:
        dynamodb.update_item(
            TableName=TABLE,
            Key={"BucketName": {"S": bucket}},
            UpdateExpression="SET #timestamp = :end",
            ConditionExpression="attribute_not_exists(#timestamp) OR #timestamp < :happened",
            ExpressionAttributeNames={"#timestamp": "timestamp"},
            ExpressionAttributeValues={":end": {"N": str(end)}, ":happened": {"N": str(happened)}},
        )
    except dynamodb.exceptions.ConditionalCheckFailedException:
        return False
    return True


def milliseconds(event_time: str) -> int:
    """Since 1970."""
    moment = datetime.strptime(event_time, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=timezone.utc)
    return round(moment.timestamp() * 1000)
