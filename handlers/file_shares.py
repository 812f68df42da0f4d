"""The account's file shares: finds those of a bucket, and refreshes them. Zipped with s3_sgw_refresh.

s3agg itself finds them with the same code (s3agg/live/file_shares.py).
"""

from __future__ import annotations

import logging
import random
import re
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain, takewhile
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

logger = logging.getLogger("s3_sgw_refresh")  # its lines belong to that function

AT_A_TIME = 8
PER_DESCRIBE = 10  # the limit of Storage Gateway for ARNs in one call
TIME_TO_FINISH_MS = 8000  # at most 6 s for a refresh, the rest for writing the result
TIME_TO_LOOK_UP_MS = 15_000  # at most 13 s for a call of a lookup, which may be tried twice, and the rest
DELETING = {"DELETING", "FORCE_DELETING"}  # the statuses of a share that is being deleted
GONE = re.compile("(file share|gateway) (was )?not found", re.IGNORECASE)

TimeLeft = Callable[[], int]  # of this invocation, in ms


@dataclass(frozen=True)
class Place:
    """Where in S3 a file share is located."""

    name: str  # of the bucket, the alias of an access point, or its ARN
    prefix: str  # as of prefix_of

    @property
    def is_access_point(self) -> bool:
        return "accesspoint/" in self.name or self.name.endswith("-s3alias")


class UnfinishedLookupError(Exception):
    """The time of this round is over. The next one continues."""


class Shares:
    """The file shares as one execution environment knows them."""

    def __init__(
        self,
        gateway: Any,
        lookup: Any,
        s3control: Callable[[], Any],
        pool: Callable[[int], Executor] = ThreadPoolExecutor,
    ) -> None:
        self.gateway = gateway  # for refreshes, without retries, which would come too soon
        self.lookup = lookup  # for finding shares
        self.s3control = s3control  # creates the client, which is rarely needed
        self.pool = pool
        # Where each share is located, which never changes. So a lookup describes only new shares, and one of
        # thousands of shares goes on where the last round stopped.
        self.places: dict[str, Place] = {}
        self.buckets: dict[str, str] = {}  # of shares, as far as this environment has met them
        self.unanswered: set[str] = set()  # shares whose last refresh got no answer in time
        self.given: dict[str, str] = {}  # the notification's id of the last refresh of a share, shortened

    def refresh(
        self, bucket: str, shares: Sequence[str], time_left_ms: TimeLeft
    ) -> tuple[frozenset[str], frozenset[str], dict[str, str]]:
        """Refresh each share; return the shares that accepted, those that no longer exist, and refusals.

        `shares` begins with those to try first. The refusals hold the gateway's answer by the share's ARN.
        """
        refusals = {}
        self.buckets.update(dict.fromkeys(shares, bucket))

        def one(share: str) -> str:
            if time_left_ms() < TIME_TO_FINISH_MS:
                logger.warning("No time left in this round for file share: %s", share)
                return "later"
            try:
                self.unanswered.add(share)
                answer = self.gateway.refresh_cache(FileShareARN=share)
                self.unanswered.discard(share)
            except (BotoCoreError, ClientError) as error:
                if isinstance(error, ClientError):
                    self.unanswered.discard(share)
                if is_gone(error):
                    logger.warning("File share is gone: %s", share)
                    return "gone"
                # Usually the gateway is busy: it accepts two refreshes at a time.
                logger.warning(
                    "File share did not accept, it stays for later: %s of bucket: %s: %s",
                    share,
                    bucket,
                    error,
                )
                refusals[share] = words_of(error)
                return "later"
            notification = answer.get("NotificationId", "-")  # in the gateway's event of the finished refresh
            self.given[share] = shortened(notification)
            logger.info("Refreshing file share: %s, notification: %s", share, notification)
            return "accepted"

        # Gateways that do not answer can take all the time of a round, so they come last. In a fixed order,
        # the last shares would never have a turn. So every second share is taken by chance.
        pairs = zip(shares, random.sample(shares, len(shares)), strict=True)
        mixed = sorted(dict.fromkeys(chain.from_iterable(pairs)), key=lambda share: share in self.unanswered)
        with self.pool(AT_A_TIME) as pool:
            answers = list(zip(mixed, pool.map(one, mixed), strict=True))
        return (
            frozenset(share for share, answer in answers if answer == "accepted"),
            frozenset(share for share, answer in answers if answer == "gone"),
            refusals,
        )

    def of(self, bucket: str, function_arn: str, time_left_ms: TimeLeft) -> dict[str, str]:
        """Return the file shares of any kind and gateway whose location is in the bucket: prefixes by ARN.

        A share that is being deleted is gone. Raises UnfinishedLookupError without time for the next call;
        the first call of a round always has it.
        """
        self.look_up(time_left_ms)
        ours, others = self.mapped_to(bucket, *region_and_account(function_arn))
        for share in sorted(others):
            logger.warning("File share of another region or account, leaving it alone: %s", share)
        return {share: self.places[share].prefix for share in ours}

    def look_up(self, time_left_ms: TimeLeft) -> None:
        """Find where each share is located."""
        is_over = lookup_end(time_left_ms)
        kinds = self.listed(is_over)
        self.places = {share: place for share, place in self.places.items() if share in kinds}
        self.locate(kinds, is_over)

    def bucket_of(self, share: str, account: str, time_left_ms: TimeLeft) -> str | None:
        """Return the bucket of one share; None if the share, or its access point, does not exist.

        Only a share that this environment has not met takes calls. Raises UnfinishedLookupError.
        """
        if share not in self.buckets:
            is_over = lookup_end(time_left_ms)
            if share not in self.places:
                kind = self.listed(is_over).get(share)
                if kind is None:
                    return None
                self.describe(kind, [share], is_over)
            place = self.places.get(share)
            name = None if place is None else place.name
            if place is not None and place.is_access_point:
                buckets = (
                    point["Bucket"]
                    for point in self.access_points(AccountId=account)
                    if name in (point.get("AccessPointArn"), point.get("Alias"))
                )
                name = next(buckets, None)
            if not name:
                return None
            self.buckets[share] = name
        return self.buckets[share]

    def mapped_to(self, bucket: str, region: str, account: str) -> tuple[frozenset[str], frozenset[str]]:
        """Return the bucket's shares of the region and account, and those of others."""
        names = {bucket}
        if any(place.is_access_point for place in self.places.values()):
            for point in self.access_points(AccountId=account, Bucket=bucket):
                names |= {point[name] for name in ("AccessPointArn", "Alias") if name in point}
        ours = frozenset(share for share, place in self.places.items() if place.name in names)
        here = frozenset(share for share in ours if region_and_account(share) == (region, account))
        return here, ours - here

    def listed(self, is_over: Callable[[], bool]) -> dict[str, str]:
        """Return the kind of each share that is not being deleted, by its ARN."""
        kinds: dict[str, str] = {}
        for page in self.lookup.get_paginator("list_file_shares").paginate():
            kinds |= {
                share["FileShareARN"]: share.get("FileShareType", "")
                for share in page.get("FileShareInfoList", [])
                if share.get("FileShareStatus") not in DELETING
            }
            if "NextMarker" in page and is_over():
                raise UnfinishedLookupError(f"no time left in this round, file shares listed: {len(kinds)}")
        return kinds

    def locate(self, kinds: dict[str, str], is_over: Callable[[], bool]) -> None:
        """Describe the shares whose location is not known yet; raise at the end if a call failed."""

        def one(batch: tuple[str, list[str]]) -> Exception | None:
            try:
                self.describe(*batch, is_over)
            except (BotoCoreError, ClientError, UnfinishedLookupError) as error:
                return error
            return None

        new = [
            (kind, batch)
            for kind in ("NFS", "SMB")
            for batch in batches(
                [share for share in kinds if kinds[share] == kind and share not in self.places]
            )
        ]
        with self.pool(AT_A_TIME) as pool:
            failures = [failure for failure in pool.map(one, new) if failure is not None]
        if failures:
            raise failures[0]

    def describe(self, kind: str, shares: list[str], is_over: Callable[[], bool]) -> None:
        """Keep the locations of at most ten shares of one kind; skip shares that were deleted meanwhile."""
        if is_over():
            raise UnfinishedLookupError(
                f"no time left in this round, file shares described: {len(self.places)}"
            )
        try:
            if kind == "NFS":
                found = self.lookup.describe_nfs_file_shares(FileShareARNList=shares)["NFSFileShareInfoList"]
            else:
                found = self.lookup.describe_smb_file_shares(FileShareARNList=shares)["SMBFileShareInfoList"]
        except ClientError as error:
            if not is_gone(error):
                raise
            if len(shares) > 1:
                for share in shares:
                    self.describe(kind, [share], is_over)
            return
        self.places.update({share["FileShareARN"]: place_of(share.get("LocationARN", "")) for share in found})

    def access_points(self, **asked: str) -> list[dict[str, Any]]:
        """Return the access points of a bucket or an account, which can be a share's location."""
        s3control = self.s3control()
        page = s3control.list_access_points(**asked)
        points: list[dict[str, Any]] = page.get("AccessPointList", [])
        while page.get("NextToken"):  # botocore has no paginator for this call
            page = s3control.list_access_points(**asked, NextToken=page["NextToken"])
            points += page.get("AccessPointList", [])
        return points


def lookup_end(time_left_ms: TimeLeft) -> Callable[[], bool]:
    """Return a function that tells whether this round has no time left for another call of a lookup."""
    # If somebody lowered the timeout, a third of the time is still for the lookup.
    kept_free_ms = min(TIME_TO_LOOK_UP_MS, time_left_ms() * 2 // 3)
    return lambda: time_left_ms() < kept_free_ms


def ids(shares: Collection[str]) -> list[str]:
    """Return the ids of the shares, as DynamoDB charges by size and the rest of the ARNs is the same."""
    return sorted(share.rpartition("/")[2] for share in shares)


def shortened(notification: str) -> str:
    """Return the beginning of a notification's id, a UUID: enough to know it again, and cheap to store."""
    return notification[:6]


def batches(shares: list[str]) -> list[list[str]]:
    return [shares[start : start + PER_DESCRIBE] for start in range(0, len(shares), PER_DESCRIBE)]


def place_of(location: str) -> Place:
    """Return the place in a share's LocationARN.

    Forms: arn:...:s3:::bucket, arn:...:s3:::bucket/prefix/, alias/prefix/, arn:...:accesspoint/name/prefix/.
    A prefix may contain colons. A bucket may be named accesspoint.
    """
    first, *folders = location.split("/")
    head, _, name = first.rpartition(":")
    if name == "accesspoint" and not head.endswith("::"):  # a bucket's ARN has no region and no account
        prefix = "" if folders[1:2] == ["object"] else prefix_of(folders[1:])  # as in the ARN of an object
        return Place("/".join([first, *folders[:1]]), prefix)
    return Place(name, prefix_of(folders))


def prefix_of(folders: list[str]) -> str:
    """Return a prefix of every key that a share can show; "" or with a slash at its end.

    In doubt it is shorter than the share's own. What follows the last slash may be a folder, or the beginning
    of one. A percent sign or a plus may be itself, or stand for another character. The rest may name another
    folder in a gateway than in S3.
    """
    certain = takewhile(
        lambda folder: folder not in {"", ".", ".."} and not {"%", "+"} & {*folder}, folders[:-1]
    )
    return "".join(f"{folder}/" for folder in certain)


def region_and_account(arn: str) -> tuple[str, str]:
    _, _, _, region, account, *_ = arn.split(":")
    return region, account


def words_of(error: BotoCoreError | ClientError) -> str:
    """Return the service's own words in an error, if it answered."""
    if isinstance(error, ClientError):
        return error.response.get("Error", {}).get("Message") or str(error)
    return str(error)


def is_gone(error: Exception) -> bool:
    """Whether the error means that the share, or its gateway, no longer exists; any other means "busy"."""
    if not isinstance(error, ClientError):
        return False
    answer: dict[str, Any] = dict(error.response)
    code = (answer.get("error") or {}).get("errorCode")
    return code in {"FileShareNotFound", "GatewayNotFound"} or GONE.search(str(error)) is not None
