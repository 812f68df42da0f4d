"""The guard accepts requests from programs on this machine and refuses those from web pages."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from s3agg.local.guard import Guard, Receive, Scope, Send, refusal

OWN = [("Host", "127.0.0.1:4566")]


@pytest.mark.parametrize("host", ["127.0.0.1:4566", "localhost:4566", "LocalHost:4566", "[::1]:4566"])
def test_our_own_names_are_welcome(host: str) -> None:
    assert refusal([("Host", host)], 4566) is None


@pytest.mark.parametrize(
    "host", ["evil.example:4566", "127.0.0.1:4567", "127.0.0.1", "127.0.0.1.evil.example:4566", ""]
)
def test_any_other_host_is_refused(host: str) -> None:
    reason = refusal([("Host", host)], 4566)

    assert reason is not None
    assert reason.endswith("\n")
    assert reason.count("\n") == 1


def test_the_port_of_http_itself_may_be_left_out() -> None:
    assert refusal([("Host", "127.0.0.1")], 80) is None


def test_a_request_without_host_is_refused() -> None:
    assert refusal([], 4566)


def test_a_request_with_two_hosts_is_refused() -> None:
    assert refusal([*OWN, ("host", "evil.example")], 4566)


@pytest.mark.parametrize("name", ["Origin", "origin", "Sec-Fetch-Site", "SEC-FETCH-SITE"])
def test_a_page_of_our_own_is_refused_too(name: str) -> None:
    assert refusal([*OWN, (name, "http://127.0.0.1:4566")], 4566)


def asked(kind: str, headers: list[tuple[bytes, bytes]]) -> tuple[list[str], list[dict[str, Any]]]:
    """The scopes that reach the application behind the guard, and the guard's own answers."""
    reached: list[str] = []
    sent: list[dict[str, Any]] = []

    async def application(scope: Scope, _receive: Receive, _send: Send) -> None:
        reached.append(scope["type"])

    async def receive() -> None:
        """Never called."""

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    asyncio.run(Guard(application, 4566)({"type": kind, "headers": headers}, receive, send))
    return reached, sent


def test_a_welcome_request_reaches_the_application() -> None:
    assert asked("http", [(b"host", b"localhost:4566")]) == (["http"], [])


def test_a_refused_request_gets_403_and_does_not_reach_it() -> None:
    reached, sent = asked("http", [(b"host", b"localhost:4566"), (b"origin", b"https://evil.example")])

    assert reached == []
    assert sent[0]["status"] == 403
    assert b"Origin" in sent[1]["body"].title()


def test_a_refused_websocket_is_closed_before_it_opens() -> None:
    reached, sent = asked("websocket", [(b"host", b"evil.example")])

    assert reached == []
    assert sent == [{"type": "websocket.close"}]


def test_the_servers_own_start_is_no_request() -> None:
    assert asked("lifespan", []) == (["lifespan"], [])
