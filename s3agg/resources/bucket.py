"""Checks of a bucket, which belongs to the user: its region and whether it can be attached."""

from __future__ import annotations

from botocore.exceptions import ClientError

from s3agg.aws.place import Place
from s3agg.aws.refusals import is_error
from s3agg.aws.session import Aws
from s3agg.errors import S3aggError


class OtherRegion(S3aggError):
    """A bucket is in `region`, but its stack in another one."""

    def __init__(self, bucket: str, region: str, stack_region: str, *, new_stack: bool = False) -> None:
        """`new_stack` if there is no stack of this name yet: its name is free in the bucket's region."""
        self.bucket = bucket
        self.region = region
        self.stack_region = stack_region
        where = (
            f"a stack in {stack_region} cannot serve it" if new_stack else f"the stack is in {stack_region}"
        )
        super().__init__(
            f"Bucket {bucket} is in {region}, but {where}. S3 can only notify a function in the bucket's"
            " region",
            f"Pass --region {region}"
            if new_stack
            else f"Create a stack in that region: pass --region {region} and another --stack name",
        )


def check_bucket(aws: Aws, place: Place, bucket: str) -> None:
    """Raise S3aggError if the bucket does not exist or is inaccessible, OtherRegion if it is far away."""
    region = region_of(aws, place, bucket)
    if region != place.region:
        raise OtherRegion(bucket, region, place.region)


def region_of(aws: Aws, place: Place, bucket: str) -> str:
    """Return the region of a bucket; raise S3aggError if it does not exist or is inaccessible (FACTS 17)."""
    try:
        head = aws.s3.head_bucket(Bucket=bucket, ExpectedBucketOwner=place.account)
    except ClientError as error:
        if is_error(error, "404", "NoSuchBucket"):
            raise S3aggError(
                f"Bucket {bucket} does not exist", "Check the name, or create the bucket"
            ) from error
        if is_error(error, "403", "AccessDenied"):
            raise S3aggError(
                f"Bucket {bucket} is not in account {place.account}, or access to it is denied",
                "Check the bucket name and --profile",
            ) from error
        region = error.response.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("x-amz-bucket-region")
        if region is None:
            raise
        return str(region)
    return head.get("BucketRegion") or place.region
