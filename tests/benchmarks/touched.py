"""An upload to one of many file shares of a bucket: seconds until its share shows it, and refreshes.

python -m tests.benchmarks.touched 50
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from s3agg.local.shares import FileShares
from tests.e2e import support
from tests.e2e.support import LocalAws, OwnStack
from tests.support.handlers import known
from tests.support.polling import eventually

TAKES_S = 2.0  # a refresh; the gateway takes two at a time
UPLOADS_TO = (7, 31)


def main(many: int) -> None:
    asked: list[object] = []
    accept = FileShares.refresh

    def refresh(self: FileShares, *arguments: Any, **more: Any) -> Any:
        asked.append(arguments)
        return accept(self, *arguments, **more)

    FileShares.refresh = refresh  # type: ignore[method-assign]  # it counts the refused ones too
    home = Path(tempfile.mkdtemp())
    with support.world(home, refresh_seconds=TAKES_S, interval_seconds=1) as world:
        stack, bucket = world.stack(), world.bucket()
        stack.run.must("create", "--bucket", bucket, "--window", "5", "--min-interval", "0")
        shares = [world.share(bucket, at=f"arn:aws:s3:::{bucket}/p{number}/") for number in range(many)]
        know(world, stack, bucket, shares)
        for number in UPLOADS_TO:
            asked.clear()
            started = time.monotonic()
            world.upload(bucket, f"p{number}/file")
            eventually(lambda share=shares[number]: world.shows(share, "file"))  # type: ignore[misc]
            shown_s = time.monotonic() - started
            eventually(stack.is_quiet)
            quiet_s = time.monotonic() - started
            print(  # noqa: T201  # its result
                f"share {number} of {many}: shown after {shown_s:.1f} s, all done after {quiet_s:.1f} s,"
                f" {len(asked)} calls of RefreshCache"
            )


def know(world: LocalAws, stack: OwnStack, bucket: str, shares: list[str]) -> None:
    """Store the shares as an earlier lookup and a refresh of everything did."""
    now = {"N": str(int(time.time() * 1000))}
    ids = [share.rpartition("/")[2] for share in shares]
    prefixes = {share: f"p{number}/" for number, share in enumerate(ids)}
    world.client("dynamodb").update_item(
        TableName=stack.names.table,
        Key={"BucketName": {"S": bucket}},
        UpdateExpression="SET known = :known, shares_found = :now, refreshed_all = :now",
        ExpressionAttributeValues={":known": known(prefixes)["known"], ":now": now},
    )


if __name__ == "__main__":
    main(int(sys.argv[1]))
