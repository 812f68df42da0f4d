"""Checks of a bucket, which belongs to the user: its account, its region and whether it can be attached."""

from __future__ import annotations

from botocore.exceptions import ClientError

from s3agg.aws.place import Place
from s3agg.aws.refusals import AGAIN, is_error, is_not_found
from s3agg.aws.session import Aws
from s3agg.errors import S3aggError

DENIED = ("403", "AccessDenied")


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


class OtherAccount(S3aggError):
    """A bucket belongs to another account; `region` is where it is, or "" if S3 did not tell."""

    def __init__(self, bucket: str, account: str, region: str) -> None:
        super().__init__(
            f"Bucket {bucket} belongs to another account than {account}",
            "Check the bucket name and --profile",
        )
        self.region = region


def check_bucket(aws: Aws, place: Place, bucket: str) -> None:
    """Raise S3aggError if the bucket does not exist or is inaccessible, OtherRegion if it is far away.

    Raises OtherAccount if the bucket is not of this account: its stack must be where the bucket is.
    """
    try:
        region = region_of(aws, place, bucket)
    except OtherAccount as error:
        there = f" and --region {error.region}" if error.region not in {"", place.region} else ""
        error.hint = (
            f"Create a stack in the account that owns the bucket: pass --profile{there} for it."
            " That stack refreshes the file shares of its own account only"
        )
        raise
    if region != place.region:
        raise OtherRegion(bucket, region, place.region)


def region_of(aws: Aws, place: Place, bucket: str) -> str:
    """Return the region of a bucket (FACTS 17).

    Raises S3aggError if it does not exist or is inaccessible, OtherAccount if it is not of this account.
    """
    try:
        head = aws.s3.head_bucket(Bucket=bucket, ExpectedBucketOwner=place.account)
    except ClientError as error:
        if is_not_found(error):
            raise S3aggError(
                f"Bucket {bucket} does not exist", "Check the name, or create the bucket"
            ) from error
        region = error.response.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("x-amz-bucket-region")
        if is_error(error, *DENIED):
            raise _why_denied(aws, place, bucket, region or "") from error
        if region is None:
            raise
        return str(region)
    return head.get("BucketRegion") or place.region


def _why_denied(aws: Aws, place: Place, bucket: str, region: str) -> S3aggError:
    """Tell a bucket of another account from a denied one (FACTS, Owners of buckets).

    S3 answers 403 for both.
    """
    try:
        aws.s3.head_bucket(Bucket=bucket)
    except ClientError as error:
        if not is_error(error, *DENIED):
            raise
    else:  # only the owner was wrong
        return OtherAccount(bucket, place.account, region)
    try:
        ours = [each["Name"] for each in aws.s3.list_buckets()["Buckets"]]
    except ClientError as error:
        if not is_error(error, *DENIED):
            raise
        return S3aggError(
            f"Bucket {bucket} is not in account {place.account}, or access to it is denied",
            "Check the bucket name and --profile. If the account is right, ask for permission to call"
            " HeadBucket",
        )
    if bucket not in ours:
        return OtherAccount(bucket, place.account, region)
    return S3aggError(
        f"Access to bucket {bucket} is denied, although it is in account {place.account}",
        f"Ask for permission to call HeadBucket (s3:ListBucket), then r{AGAIN[1:]}",
    )
