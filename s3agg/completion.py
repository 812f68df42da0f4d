"""Names of AWS's that a shell completes, where the credentials at hand allow."""

from __future__ import annotations

from s3agg.aws import Aws
from s3agg.refusals import doing
from s3agg.settings import STACK_TAG


def buckets(aws: Aws) -> list[str]:
    """The account's buckets."""
    with doing("listing the buckets"):
        return [bucket["Name"] for bucket in aws.s3.list_buckets()["Buckets"]]


def stacks(aws: Aws) -> list[str]:
    """The stacks of the region, as the tags of their tables tell."""
    with doing("looking for stacks"):
        pages = (
            aws.client("resourcegroupstaggingapi")
            .get_paginator("get_resources")
            .paginate(TagFilters=[{"Key": STACK_TAG}], ResourceTypeFilters=["dynamodb:table"])
        )
        tags = [tag for page in pages for found in page["ResourceTagMappingList"] for tag in found["Tags"]]
    return sorted({tag["Value"] for tag in tags if tag["Key"] == STACK_TAG})
