"""Names of AWS's that a shell completes, where the credentials at hand allow.

A shell waits with the cursor in the line: this is quick, asks nothing, and is silent about what goes wrong.
"""

from __future__ import annotations

import queue
import re
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Literal

import botocore.session

from s3agg.aws.profiles import wants_codes
from s3agg.aws.session import Aws
from s3agg.settings import STACK_TAG

PATIENCE_S = 2.0  # that a shell is kept waiting
# A shell would take other names apart: it never sees what else a tag, or what is not AWS, may say.
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def names(
    of: Literal["buckets", "stacks"],
    begin: str,
    *,
    profile: str | None,
    region: str | None,
    endpoint_url: str | None,
    session: botocore.session.Session | None = None,
) -> list[str]:
    """The names that begin so; none where AWS cannot be asked, refuses, or is slow."""

    def ask() -> list[str]:
        asking = session or botocore.session.Session(profile=profile)
        if wants_codes(asking):
            return []
        aws = Aws(session=asking, region=region, endpoint_url=endpoint_url)
        found = _buckets(aws) if of == "buckets" else _stacks(aws)
        return [name for name in found if name.startswith(begin) and NAME.fullmatch(name)]

    return in_time(ask)


def in_time(ask: Callable[[], list[str]], patience_s: float = PATIENCE_S) -> list[str]:
    """What is answered within so many seconds; nothing, if it is not, or if anything goes wrong."""
    answers: queue.SimpleQueue[list[str]] = queue.SimpleQueue()

    def answer() -> None:
        found: list[str] = []
        with suppress(Exception):  # whatever it is, a shell is no place to tell it
            found = ask()
        answers.put(found)

    # The process does not wait for such a thread at its end.
    threading.Thread(target=answer, daemon=True).start()
    with suppress(queue.Empty):
        return answers.get(timeout=patience_s)
    return []


def _buckets(aws: Aws) -> list[str]:
    """The account's buckets."""
    return [bucket["Name"] for bucket in aws.s3.list_buckets()["Buckets"]]


def _stacks(aws: Aws) -> list[str]:
    """The stacks of the region, as the tags of their tables tell."""
    pages = (
        aws.client("resourcegroupstaggingapi")
        .get_paginator("get_resources")
        .paginate(TagFilters=[{"Key": STACK_TAG}], ResourceTypeFilters=["dynamodb:table"])
    )
    tags = [tag for page in pages for found in page["ResourceTagMappingList"] for tag in found["Tags"]]
    return sorted({tag["Value"] for tag in tags if tag["Key"] == STACK_TAG})
