"""Bucket and stack names from AWS, for shell completion.

The shell blocks until it has the names: this has a short timeout, never prompts and prints no errors.
"""

from __future__ import annotations

import queue
import re
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Literal

import botocore.session

from s3agg.aws.profiles import requires_mfa
from s3agg.aws.session import Aws
from s3agg.stack.elsewhere import all_stacks

TIMEOUT_S = 2.0  # the longest time that the shell waits
# Only safe names: a shell would interpret other characters in a tag or in a forged answer.
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def names(
    kind: Literal["buckets", "stacks"],
    prefix: str,
    *,
    profile: str | None,
    region: str | None,
    endpoint_url: str | None,
    session: botocore.session.Session | None = None,
    timeout_s: float = TIMEOUT_S,
) -> list[str]:
    """The names that start with `prefix`; none if AWS fails or is slow, or credentials are missing."""

    def fetch() -> list[str]:
        user_session = session or botocore.session.Session(profile=profile)
        if requires_mfa(user_session):
            return []
        aws = Aws(session=user_session, region=region, endpoint_url=endpoint_url)
        found = _buckets(aws) if kind == "buckets" else _stacks(aws)
        return [name for name in found if name.startswith(prefix) and NAME.fullmatch(name)]

    return with_timeout(fetch, timeout_s)


def with_timeout(fetch: Callable[[], list[str]], timeout_s: float) -> list[str]:
    """The result of `fetch`; empty if it fails or takes longer than `timeout_s` seconds."""
    answers: queue.SimpleQueue[list[str]] = queue.SimpleQueue()

    def answer() -> None:
        found: list[str] = []
        with suppress(Exception):  # a message would end up in the user's command line
            found = fetch()
        answers.put(found)

    # A daemon: the process exits without waiting for it.
    threading.Thread(target=answer, daemon=True).start()
    with suppress(queue.Empty):
        return answers.get(timeout=timeout_s)
    return []


def _buckets(aws: Aws) -> list[str]:
    """The buckets of the account."""
    return [bucket["Name"] for bucket in aws.s3.list_buckets()["Buckets"]]


def _stacks(aws: Aws) -> list[str]:
    """The stacks in the region, found as by `list`."""
    return [each.stack for each in all_stacks(aws) if each.region == aws.region]
