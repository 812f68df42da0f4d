"""The stack's functions, played by a test: it writes the log lines that they would write."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from urllib.parse import quote_plus

from s3agg.aws.session import Aws
from s3agg.settings import Names
from tests.support.clock import Clock

SHARE = "arn:aws:storagegateway:eu-west-1:123456789012:share/share-1"


@dataclass
class Functions:
    """Both functions of a stack with one bucket. The clock is to start now: moto takes no old log lines."""

    aws: Aws
    clock: Clock
    bucket: str
    names: Names = field(default_factory=Names)

    def can_log(self) -> None:
        for function in (self.names.aggregator, self.names.refresher):
            self.aws.logs.create_log_stream(logGroupName=f"/aws/lambda/{function}", logStreamName="one")

    def log(self, function: str, *lines: str) -> None:
        now = int(self.clock.time() * 1000)
        self.aws.logs.put_log_events(
            logGroupName=f"/aws/lambda/{function}",
            logStreamName="one",
            logEvents=[{"timestamp": now, "message": f"[INFO]\t{line}"} for line in lines],
        )

    def handle(self, keys: Iterable[str]) -> None:
        """Be the aggregator: the first opens the window, the others fall into it."""
        first, *others = [quote_plus(key, safe="/") for key in keys]
        skipped = f"Refresh for bucket: {self.bucket} within refresh window, skipping. S3 Event timestamp: 1"
        self.log(
            self.names.aggregator,
            f"Sending refresh request for bucket: {self.bucket}, timestamp: 1 key={first}",
            *(f"{skipped} key={key}" for key in others),
        )

    def refresh(self, shares: str = SHARE, started: float | None = None, *, complete: bool = True) -> None:
        """Be the refresh function, and the gateways, which finish at once if they are to be `complete`."""
        at = int((self.clock.time() if started is None else started) * 1000)
        arns = [share for share in shares.split(",") if share.startswith("arn:")]
        self.log(
            self.names.refresher,
            *(f"Refreshing file share: {share}, notification: {_notification(share, at)}" for share in arns),
            f"Refresh accepted for bucket: {self.bucket}, started: {at}, shares: {shares}",
        )
        if complete:
            for share in arns:
                self.complete(share, at)

    def complete(self, share: str = SHARE, started_ms: int = 0) -> None:
        """Be the refresh function that gets a gateway's event: of the refresh that started then."""
        notification = _notification(share, started_ms)
        self.log(
            self.names.refresher, f"File share complete: {share}, notification: {notification}, took: 2500 ms"
        )


def _notification(share: str, started_ms: int) -> str:
    return f"{share.rpartition('-')[2]}-{started_ms}"
