"""A bucket, which is not ours: where it is, and whether it can be attached."""

from __future__ import annotations

from botocore.exceptions import ClientError

from s3agg.aws.place import Place
from s3agg.aws.refusals import is_error
from s3agg.aws.session import Aws
from s3agg.errors import S3aggError


def check_bucket(aws: Aws, place: Place, bucket: str) -> None:
    """Raise S3aggError if it cannot be attached: gone, somebody else's, or of another region."""
    region = region_of(aws, place, bucket)
    if region != place.region:
        raise S3aggError(
            f"Bucket {bucket} is in {region}, and its notifications can only call a function there,"
            f" not in {place.region}",
            f"Make a stack there: --region {region}, with a --stack name of its own",
        )


def region_of(aws: Aws, place: Place, bucket: str) -> str:
    """The region of a bucket; raise S3aggError if it is gone or somebody else's (FACTS 17)."""
    try:
        head = aws.s3.head_bucket(Bucket=bucket, ExpectedBucketOwner=place.account)
    except ClientError as error:
        if is_error(error, "404", "NoSuchBucket"):
            raise S3aggError(f"There is no bucket {bucket}", "Check its name, or make it first") from error
        if is_error(error, "403", "AccessDenied"):
            raise S3aggError(
                f"Bucket {bucket} is not of account {place.account}, or you may not see it",
                "Check its name, and --profile",
            ) from error
        region = error.response.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("x-amz-bucket-region")
        if region is None:
            raise
        return str(region)
    return head.get("BucketRegion") or place.region
