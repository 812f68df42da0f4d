"""The guard accepts requests from programs on this machine and refuses those from web pages."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from s3agg.local.guard import Guard, Receive, Scope, Send, refusal

SIGNED = ("Authorization", "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/s3/aws4_request, ...")
OWN = [("Host", "127.0.0.1:4566"), SIGNED]


@pytest.mark.parametrize("host", ["127.0.0.1:4566", "localhost:4566", "LocalHost:4566", "[::1]:4566"])
def test_our_own_names_are_welcome(host: str) -> None:
    assert refusal([("Host", host), SIGNED], 4566) is None


@pytest.mark.parametrize(
    "host", ["evil.example:4566", "127.0.0.1:4567", "127.0.0.1", "127.0.0.1.evil.example:4566", ""]
)
def test_any_other_host_is_refused(host: str) -> None:
    reason = refusal([("Host", host), SIGNED], 4566)

    assert reason is not None
    assert reason.endswith("\n")
    assert reason.count("\n") == 1


def test_the_port_of_http_itself_may_be_left_out() -> None:
    assert refusal([("Host", "127.0.0.1"), SIGNED], 80) is None


def test_a_request_without_host_is_refused() -> None:
    assert refusal([SIGNED], 4566)


def test_a_request_with_two_hosts_is_refused() -> None:
    assert refusal([*OWN, ("host", "evil.example")], 4566)


@pytest.mark.parametrize("name", ["Origin", "origin", "Sec-Fetch-Site", "SEC-FETCH-SITE"])
def test_a_page_of_our_own_is_refused_too(name: str) -> None:
    assert refusal([*OWN, (name, "http://127.0.0.1:4566")], 4566)


@pytest.mark.parametrize(
    "url",
    ["https://evil.example/", "http://127.0.0.1:8000/", "http://127.0.0.1:4566.evil.example/", "x", "["],
)
def test_a_link_on_another_page_is_refused(url: str) -> None:
    assert refusal([*OWN, ("Referer", url)], 4566)


def test_a_link_on_a_page_of_our_own_is_welcome() -> None:
    assert refusal([*OWN, ("Referer", "http://localhost:4566/shares")], 4566) is None


@pytest.mark.parametrize("query", ["Action=CreateStack&StackName=x", "action=", "a=b&ACTION=Invoke"])
def test_an_action_in_the_url_is_refused_although_signed(query: str) -> None:
    assert refusal(OWN, 4566, query)


def test_other_query_strings_are_welcome() -> None:
    assert refusal(OWN, 4566, "list-type=2&prefix=Action") is None


@pytest.mark.parametrize("more", [[], [("Authorization", "Basic eDp5")]], ids=["none", "another"])
def test_a_request_without_a_signature_is_refused(more: list[tuple[str, str]]) -> None:
    assert refusal([("Host", "127.0.0.1:4566"), *more], 4566)
    assert refusal([("Host", "127.0.0.1:4566"), *more], 4566, unsigned=True) is None


def asked(
    kind: str, headers: list[tuple[bytes, bytes]], **more: Any
) -> tuple[list[str], list[dict[str, Any]]]:
    """The scopes that reach the application behind the guard, and the guard's own answers."""
    reached: list[str] = []
    sent: list[dict[str, Any]] = []

    async def application(scope: Scope, _receive: Receive, _send: Send) -> None:
        reached.append(scope["type"])

    async def receive() -> None:
        """Never called."""

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    asyncio.run(Guard(application, 4566)({"type": kind, "headers": headers, **more}, receive, send))
    return reached, sent


HEADERS = [(b"host", b"localhost:4566"), (b"authorization", SIGNED[1].encode())]


def test_a_welcome_request_reaches_the_application() -> None:
    assert asked("http", HEADERS) == (["http"], [])


def test_an_action_in_the_url_does_not_reach_the_application() -> None:
    reached, sent = asked("http", HEADERS, query_string=b"Action=CreateStack")

    assert (reached, sent[0]["status"]) == ([], 403)


def test_only_the_question_whether_the_emulator_runs_needs_no_signature() -> None:
    unsigned = [(b"host", b"localhost:4566")]

    assert asked("http", unsigned, path="/_ministack/health")[0] == ["http"]
    assert asked("http", unsigned, path="/_ministack/reset")[0] == []


def test_a_refused_request_gets_403_and_does_not_reach_it() -> None:
    reached, sent = asked("http", [*HEADERS, (b"origin", b"https://evil.example")])

    assert reached == []
    assert sent[0]["status"] == 403
    assert b"Origin" in sent[1]["body"].title()


def test_a_refused_websocket_is_closed_before_it_opens() -> None:
    reached, sent = asked("websocket", [(b"host", b"evil.example")])

    assert reached == []
    assert sent == [{"type": "websocket.close"}]


def test_the_servers_own_start_is_no_request() -> None:
    assert asked("lifespan", []) == (["lifespan"], [])
