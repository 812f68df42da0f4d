"""Stands in for the blog's refresh function: its rule, in words of our own, as Python 3.6 could run it."""

import logging
import os
from typing import Any

import boto3
from botocore.exceptions import ClientError

TABLE = "S3EventAggregator"

logging.basicConfig()  # of no effect where the runtime has set logging up
logger = logging.getLogger()
logger.setLevel(os.environ.get("LOG_LEVEL", "INFO"))
dynamodb = boto3.client("dynamodb")
gateway = boto3.client("storagegateway")


def lambda_handler(event: Any, _context: Any) -> None:
    for record in event["Records"]:
        bucket = record["messageAttributes"]["bucket-name"]["stringValue"]
        share = known_share(bucket) or look_up(bucket)
        if not share:
            logger.error("No file share of bucket: %s", bucket)
            continue
        try:
            gateway.refresh_cache(FileShareARN=share)
        except ClientError:  # and yet the message is done: this refresh is lost
            logger.exception("Could not refresh share: %s of bucket: %s", share, bucket)
        else:
            logger.info("Refreshing share: %s of bucket: %s", share, bucket)


def known_share(bucket: str) -> str:
    """The share that was noted in the table, if it was."""
    item = dynamodb.get_item(TableName=TABLE, Key={"BucketName": {"S": bucket}}).get("Item", {})
    return item.get("share", {"S": ""})["S"]


def look_up(bucket: str) -> str:
    """Find one share of exactly this bucket, on the first page of all shares, and note it in the table."""
    for share in described(gateway.list_file_shares()["FileShareInfoList"]):
        if share["LocationARN"] == "arn:aws:s3:::" + bucket:
            dynamodb.update_item(
                TableName=TABLE,
                Key={"BucketName": {"S": bucket}},
                UpdateExpression="SET #share = :share",
                ExpressionAttributeNames={"#share": "share"},
                ExpressionAttributeValues={":share": {"S": share["FileShareARN"]}},
            )
            return str(share["FileShareARN"])
    return ""


def described(listed: Any) -> Any:
    """These shares with their locations; more than 10 of a kind are refused."""
    shares: Any = []
    nfs, smb = (
        [each["FileShareARN"] for each in listed if each["FileShareType"] == kind] for kind in ("NFS", "SMB")
    )
    if nfs:
        shares += gateway.describe_nfs_file_shares(FileShareARNList=nfs)["NFSFileShareInfoList"]
    if smb:
        shares += gateway.describe_smb_file_shares(FileShareARNList=smb)["SMBFileShareInfoList"]
    return shares
