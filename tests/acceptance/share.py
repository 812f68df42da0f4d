"""The user's file share, if there is one: where it is, and what the run may do with it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from s3agg.aws.session import Aws
from s3agg.errors import UsageProblem
from s3agg.local import shares

VARIABLE = "S3AGG_AWS_SHARE"  # the ARN of the share
MOUNT_VARIABLE = "S3AGG_AWS_MOUNT"  # a folder of this machine where the share is mounted


@dataclass(frozen=True)
class Share:
    """A file share; `prefix` is the key prefix of its location, and may be empty."""

    arn: str
    kind: str
    bucket: str
    prefix: str
    gateway: str
    status: str

    @property
    def id(self) -> str:
        return self.arn.rpartition("/")[2]


def describe(aws: Aws, arn: str) -> Share:
    """Read the share; raise UsageProblem if there is none, or if it is not directly on a bucket."""
    client: Any = aws.storage_gateway
    listed = [
        each
        for page in client.get_paginator("list_file_shares").paginate()
        for each in page["FileShareInfoList"]
        if each["FileShareARN"] == arn
    ]
    if not listed:
        raise UsageProblem(f"{VARIABLE} names no file share of this account and region", "Check the ARN")
    kind = str(listed[0]["FileShareType"])
    call = client.describe_nfs_file_shares if kind == "NFS" else client.describe_smb_file_shares
    (info,) = call(FileShareARNList=[arn])[f"{kind}FileShareInfoList"]
    bucket, prefix = shares.Share(arn, "NFS", info).location
    if ":" in bucket:
        raise UsageProblem("The file share is on an access point", "Pass a share that is on a bucket")
    return Share(arn, kind, bucket, prefix, str(info["GatewayARN"]), str(listed[0]["FileShareStatus"]))
