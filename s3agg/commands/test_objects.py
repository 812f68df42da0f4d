"""The objects that test-upload puts into a bucket: upload, delete, and those that ended runs have left."""

from __future__ import annotations

import re
import uuid
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import cycle
from typing import Any, Literal

from botocore.exceptions import BotoCoreError

from s3agg.aws.clock import from_ms
from s3agg.aws.refusals import denied_action, denying_policy, describing_errors, is_denied
from s3agg.aws.session import Aws, batches
from s3agg.errors import S3aggError, UsageProblem, plural
from s3agg.keys import decoded
from s3agg.resources.notification import TEST_OBJECT, Notification

CLOCKS_DIFFER_MS = 5 * 60 * 1000  # the limit of AWS; the run id separates our lines from others
OLD = timedelta(hours=1)  # longer than a run takes
SSE_VALUES = "AES256, aws:kms or aws:kms:KEY"
KEPT = "kept-"  # starts the run id with --keep: later runs leave these objects alone
ID_DIGITS = 12

NULL = "null"  # the version id of each object of a bucket whose versioning is suspended

Became = Literal["uploaded", "opened_window", "within_window"]  # codes: the view has words for them


@dataclass(frozen=True)
class Seen:
    """The state of an uploaded object, with the s since the start of the upload."""

    key: str
    became: Became
    seconds: float


@dataclass(frozen=True)
class Encryption:
    """The server-side encryption of the uploaded objects."""

    algorithm: str
    key: str = ""  # of KMS: its id, alias or ARN; without one, S3 selects the key

    @classmethod
    def of(cls, text: str) -> Encryption:
        """Parse the value of --sse; raise UsageProblem."""
        parsed = re.fullmatch(r"(AES256|aws:kms)|(aws:kms):(\S+)", text)
        if parsed is None:
            raise UsageProblem(f"Invalid --sse: {text}", f"Pass {SSE_VALUES}")
        return cls(parsed[1] or parsed[2], parsed[3] or "")

    @property
    def parameters(self) -> dict[str, str]:
        """The parameters of PutObject."""
        key = {"SSEKMSKeyId": self.key} if self.key else {}
        return {"ServerSideEncryption": self.algorithm, **key}


@dataclass
class Upload:
    """The objects that one run uploads."""

    aws: Aws
    notification: Notification
    keep: bool = False
    encryption: Encryption | None = None  # None: as the bucket has it
    prefixes: Collection[str] = ()  # of the keys that the bucket's file shares show
    run: str = field(default_factory=lambda: uuid.uuid4().hex[:ID_DIGITS])
    started: float = 0
    versions: dict[str, str | None] = field(default_factory=dict)  # version ids by key
    uploaded_at: list[int] = field(default_factory=list)  # ms since 1970
    seen: dict[str, Seen] = field(default_factory=dict)  # by key

    @property
    def bucket(self) -> str:
        return self.notification.bucket

    @property
    def run_id(self) -> str:
        """What the keys of this run contain, and no others."""
        return f"{KEPT if self.keep else ''}{self.run}"

    def is_below(self, prefix: str) -> bool:
        """Whether any key of this run may begin with this prefix."""
        return any(start.startswith(prefix) for start, _ in _ends(self.notification, self.prefixes))

    @property
    def since(self) -> int:
        """The earliest time of a log line about these objects, ms since 1970."""
        return int(self.started * 1000) - CLOCKS_DIFFER_MS

    def seconds_at(self, time: int) -> float:
        """Return the s from the start of the upload to a time, given in ms since 1970."""
        return round(time / 1000 - self.started, 1) + 0.0  # no -0.0

    def put(self, count: int) -> Iterator[Seen]:
        self.started = self.aws.clock.time()
        ends = cycle(_ends(self.notification, self.prefixes))  # so that several objects try several rules
        names = [
            f"{prefix}{self.run_id}-{number}{suffix}"
            for number, (prefix, suffix) in zip(range(1, count + 1), ends, strict=False)
        ]
        for some in batches(names, self.aws.workers):
            try:
                with describing_errors(f"uploading to bucket {self.bucket}"):
                    uploaded = self.aws.side_by_side(self._put, some)
            except S3aggError as error:
                raise self._refused(error) from error.__cause__
            self.seen.update({each.key: each for each in uploaded})
            yield from uploaded

    def _put(self, key: str) -> Seen:
        more: Any = self.encryption.parameters if self.encryption else {}
        try:
            answer = self.aws.s3.put_object(
                Bucket=self.bucket,
                Key=key,
                Body=b"Uploaded by s3agg test-upload; can be deleted.\n",
                ChecksumAlgorithm="CRC32",  # a bucket with a default retention requires a checksum
                ExpectedBucketOwner=self.notification.place.account,
                **more,
            )
        except BotoCoreError:  # no answer: the object may exist
            self.versions[key] = None
            raise
        self.versions[key] = answer.get("VersionId")
        now = int(self.aws.clock.time() * 1000)
        self.uploaded_at.append(now)
        return Seen(key, "uploaded", self.seconds_at(now))

    def _refused(self, error: S3aggError) -> S3aggError:
        """Name --sse if a policy that requires encryption can be the reason."""
        action, policy = denied_action(error.__cause__), denying_policy(error.__cause__)
        is_unexplained = not action  # as for a bucket of another organization
        is_policy = action == "PutObject" and policy is not None
        if not is_denied(error) or not (is_unexplained or is_policy):
            return error
        option = "another --sse" if self.encryption else f"--sse, with {SSE_VALUES}"
        return S3aggError(error.problem, f"If a policy requires encryption, pass {option}. {error.hint}")

    def clean_up(self) -> int:
        """Delete the objects; return how many may be left."""
        return delete(self.aws, self.notification, self.versions)


def _ends(notification: Notification, prefixes: Collection[str]) -> list[tuple[str, str]]:
    """Return the start and the end of the keys of all runs, for each rule of the bucket."""
    # A rule's prefix and suffix are URL-encoded, keys are not.
    return [
        (f"{_folder(decoded(keys.prefix), prefixes)}{TEST_OBJECT}", decoded(keys.suffix))
        for keys in notification.event_filter.keys
    ]


def _folder(start: str, prefixes: Collection[str]) -> str:
    """Return where to upload below a rule's prefix: there, or in a folder that a file share shows.

    `prefixes` are those of the file shares. One of them is enough: the others are not refreshed for it.
    """
    if any(f"{start}{TEST_OBJECT}".startswith(prefix) for prefix in prefixes):
        return start
    return min((each for each in prefixes if each.startswith(start) and each.endswith("/")), default=start)


def delete(aws: Aws, notification: Notification, versions: Mapping[str, str | None]) -> int:
    """Delete these objects, given with their version ids if known; warn of a refusal.

    Return how many may be left, as AWS refused it or did not answer before Ctrl-C.
    """
    deleted: list[str] = []
    refused: dict[str, S3aggError] = {}  # by key

    def remove(key: str) -> None:
        try:
            with describing_errors(f"deleting from bucket {notification.bucket}"):
                _delete(aws, notification, key, versions[key])
        except S3aggError as error:
            refused[key] = error
        else:
            deleted.append(key)

    aws.finish(remove, list(versions))
    if refused:
        key, first = next(iter(refused.items()))
        more = f" and {plural(len(refused) - 1, 'more object')}" if len(refused) > 1 else ""
        aws.warn(S3aggError(f"Could not delete {key}{more}. {first.problem}", first.hint))
    return len(versions) - len(deleted)


def _delete(aws: Aws, notification: Notification, key: str, version: str | None) -> None:
    def call(version: str | None) -> Mapping[str, Any]:
        more: Any = {"VersionId": version} if version else {}
        return aws.s3.delete_object(
            Bucket=notification.bucket,
            Key=key,
            ExpectedBucketOwner=notification.place.account,
            **more,
        )

    answer = call(version)
    if version or not answer.get("DeleteMarker"):
        return
    if answer.get("VersionId") == NULL:  # a marker has replaced the object, as versioning is suspended
        call(NULL)
    else:
        aws.warn(f"Bucket {notification.bucket} is versioned and keeps versions of deleted objects.")


def left_over(aws: Aws, notification: Notification, prefixes: Collection[str]) -> dict[str, str | None]:
    """Return the objects of runs that ended without deleting them, as `delete` takes them.

    `prefixes` as of `Upload`, as far as they are known: a run may have known no share. The objects are older
    than an hour. Empty without permission to list objects: the test does not need the list.
    """
    ends = {*_ends(notification, prefixes), *_ends(notification, ())}
    ours = re.compile(
        "|".join(rf"{re.escape(start)}[0-9a-f]{{{ID_DIGITS}}}-\d+{re.escape(end)}" for start, end in ends)
    )
    now = from_ms(aws.clock.time() * 1000)
    try:
        with describing_errors(f"listing the objects of bucket {notification.bucket}"):
            return {
                each["Key"]: None
                for start in dict(ends)
                for page in aws.s3.get_paginator("list_objects_v2").paginate(
                    Bucket=notification.bucket, Prefix=start, ExpectedBucketOwner=notification.place.account
                )
                for each in page.get("Contents", [])
                if ours.fullmatch(each["Key"]) and now - each["LastModified"] > OLD
            }
    except S3aggError as error:
        if not is_denied(error):
            raise
        return {}
