"""Storage Gateway: file shares, and gateways with a limit of concurrent refreshes."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import Executor, Future
from functools import partial
from types import SimpleNamespace
from typing import Any, TypeVar

from botocore.exceptions import ClientError

from tests.protocol.schedule import Schedule, Share
from tests.protocol.virtual_time import Calls, Environment, Time, refusal

T = TypeVar("T")

ACCOUNT = "123456789012"
REGION = "eu-west-1"
PAGE = 100
PER_DESCRIBE = 10
STARTED = "2018-02-06T21:34:42Z"


def arn(share: Share) -> str:
    return f"arn:aws:storagegateway:{REGION}:{ACCOUNT}:share/{share.name}"


class Gateways:
    """All shares, and when each accepted a refresh, ms since the start."""

    def __init__(self, time: Time, schedule: Schedule, tell: Callable[[str], None] = lambda _: None) -> None:
        self.time = time
        self.schedule = schedule
        self.tell = tell
        self.accepted: dict[str, list[int]] = {share.name: [] for share in schedule.shares}
        self._busy_till: defaultdict[str, list[int]] = defaultdict(list)

    @property
    def shares(self) -> dict[str, Share]:
        """The existing shares by ARN."""
        return {
            arn(share): share
            for share in self.schedule.shares
            if share.made_ms <= self.time.now < share.removed_ms
        }

    @property
    def listed(self) -> dict[str, Share]:
        """The shares that the lists and descriptions hold: also some that are being deleted (FACTS 37)."""
        return {
            arn(share): share
            for share in self.schedule.shares
            if share.made_ms <= self.time.now < max(share.removed_ms, share.listed_ms)
        }

    def status(self, name: str) -> str:
        return "AVAILABLE" if name in self.shares else self.listed[name].status

    def find(self, name: str, among: dict[str, Share] | None = None) -> Share:
        known = self.shares if among is None else among
        if name not in known:
            error: Any = {
                "Code": "InvalidGatewayRequestException",
                "Message": "The file share was not found.",
            }
            answer: Any = {"Error": error, "error": {"errorCode": "FileShareNotFound"}}
            raise ClientError(answer, "of a share")
        return known[name]

    def refresh(self, name: str) -> dict[str, str]:
        share = self.find(name)
        now = self.time.now
        busy = [till for till in self._busy_till[share.gateway] if till > now]
        if len(busy) >= self.schedule.at_once:
            raise refusal("gateway")
        self._busy_till[share.gateway] = [*busy, now + self.schedule.takes_ms]
        self.accepted[share.name].append(now)
        notification = f"{share.name}-{len(self.accepted[share.name])}"
        for _ in range(self.schedule.tells):
            self.time.at(now + self.schedule.takes_ms, partial(self.tell, self._event(name, notification)))
        return {"FileShareARN": name, "NotificationId": notification}

    @staticmethod
    def _event(name: str, notification: str) -> str:
        """The event of a finished refresh, as EventBridge sends it."""
        detail = {"notification-id": notification, "started": STARTED, "completed": STARTED}
        source = {"source": "aws.storagegateway", "detail-type": "Storage Gateway Refresh Cache Event"}
        return json.dumps({**source, "resources": [name], "detail": detail})

    def listing(self) -> list[dict[str, str]]:
        return [
            {"FileShareARN": name, "FileShareType": share.kind, "FileShareStatus": self.status(name)}
            for name, share in self.listed.items()
        ]

    def describe(self, kind: str, names: Collection[str]) -> dict[str, Any]:
        assert len(names) <= PER_DESCRIBE
        found = [(name, self.find(name, self.listed)) for name in names]
        assert all(share.kind == kind for _, share in found)
        infos = [
            {"FileShareARN": name, "LocationARN": share.location.format(share.bucket)}
            for name, share in found
        ]
        return {f"{kind}FileShareInfoList": infos}


class StorageGateway:
    """The client of one environment, and its pool, which makes one call after the other."""

    def __init__(self, gateways: Gateways, calls: Calls, environment: Environment) -> None:
        self.gateways = gateways
        self.calls = calls
        self.environment = environment

    def _call(self, act: Callable[[], Any], *, once: bool = False) -> Any:
        return self.calls.make(self.environment, "gateway", act, once=once)

    def refresh_cache(self, FileShareARN: str) -> Any:  # noqa: N803  # boto3's name
        def refresh() -> Any:
            if self.calls.is_out(self.gateways.find(FileShareARN).gateway):
                raise refusal("gateway")
            return self.gateways.refresh(FileShareARN)

        return self._call(refresh, once=True)

    def describe_nfs_file_shares(self, FileShareARNList: list[str]) -> Any:  # noqa: N803  # boto3's name
        return self._call(lambda: self.gateways.describe("NFS", FileShareARNList))

    def describe_smb_file_shares(self, FileShareARNList: list[str]) -> Any:  # noqa: N803  # boto3's name
        return self._call(lambda: self.gateways.describe("SMB", FileShareARNList))

    def get_paginator(self, _: str) -> Any:
        return SimpleNamespace(paginate=self._list)

    def _list(self) -> Iterator[Any]:
        start = 0
        while True:
            listed = self._call(self.gateways.listing)
            page = {"FileShareInfoList": listed[start : start + PAGE]}
            start += PAGE
            if start >= len(listed):
                yield page
                return
            yield {**page, "NextMarker": str(start)}


class S3Control:
    """The client for access points: each bucket has one, with the bucket's name."""

    def __init__(self, calls: Calls, environment: Environment) -> None:
        self.calls = calls
        self.environment = environment

    def list_access_points(self, AccountId: str, Bucket: str) -> Any:  # noqa: N803  # boto3's names
        point = {
            "AccessPointArn": f"arn:aws:s3:{REGION}:{AccountId}:accesspoint/{Bucket}",
            "Alias": f"{Bucket}-alias-s3alias",
        }
        return self.calls.make(self.environment, "gateway", lambda: {"AccessPointList": [point]})


class InTurn(Executor):
    """A pool without threads: it runs each call immediately, on the greenlet of the invocation."""

    def __init__(self, _workers: int) -> None:
        pass

    def submit(self, fn: Callable[..., T], /, *args: Any, **more: Any) -> Future[T]:
        done: Future[T] = Future()
        try:
            done.set_result(fn(*args, **more))
        except Exception as error:  # noqa: BLE001  # raised where the result is asked for
            done.set_exception(error)
        return done
