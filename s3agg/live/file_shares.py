"""File shares as Storage Gateway describes them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import chain

from s3agg.aws.refusals import describing_errors
from s3agg.aws.session import Aws, batches

PER_DESCRIBE = 10
DELETING = {"DELETING", "FORCE_DELETING"}  # the statuses of a share that is being deleted (FACTS 37)


def timers(aws: Aws, shares: Collection[str]) -> dict[str, int]:
    """Return the shares with automated cache refresh: CacheStaleTimeoutInSeconds by ARN.

    Such a share lists a folder again when a client opens it after that many seconds. A share that is being
    deleted is left out. Raises S3aggError.
    """
    with describing_errors("reading the file shares"):
        pages = aws.storage_gateway.get_paginator("list_file_shares").paginate()
        found = [each for page in pages for each in page["FileShareInfoList"]]
        there = [
            each
            for each in found
            if each["FileShareARN"] in shares and each.get("FileShareStatus") not in DELETING
        ]
        asked = [
            (kind, batch)
            for kind in ("NFS", "SMB")
            for batch in batches(
                [each["FileShareARN"] for each in there if each["FileShareType"] == kind], PER_DESCRIBE
            )
        ]
    return dict(chain.from_iterable(aws.side_by_side(lambda each: _described(aws, *each), asked)))


def _described(aws: Aws, kind: str, shares: Sequence[str]) -> list[tuple[str, int]]:
    with describing_errors("reading the file shares"):
        if kind == "NFS":
            nfs = aws.storage_gateway.describe_nfs_file_shares(FileShareARNList=shares)
            found = [
                (each["FileShareARN"], each.get("CacheAttributes")) for each in nfs["NFSFileShareInfoList"]
            ]
        else:
            smb = aws.storage_gateway.describe_smb_file_shares(FileShareARNList=shares)
            found = [
                (each["FileShareARN"], each.get("CacheAttributes")) for each in smb["SMBFileShareInfoList"]
            ]
    seconds = [
        (share, (attributes or {}).get("CacheStaleTimeoutInSeconds", 0)) for share, attributes in found
    ]
    return [(share, after) for share, after in seconds if after]
