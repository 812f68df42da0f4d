"""Protects the servers of this package from web pages. Only programs on this machine may send requests.

The emulator answers requests from any `Origin`, and a client of it can run code. A web page in the user's
browser could be such a client. So requests with a browser's `Origin` or `Sec-Fetch-Site` header are refused.
So are requests with a foreign `Host`: a page's domain can resolve to this machine (DNS rebinding).

Older browsers send neither header with the GET of a link or an image. So a request also needs a signature of
Signature Version 4 in a header. A page cannot add that header. An action in the URL is refused, too.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any
from urllib.parse import parse_qsl, urlsplit

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

FORBIDDEN = 403
HTTP_PORT = 80
SIGNED = "AWS4-"  # the beginning of Authorization in a signed request
HEALTH = "/_ministack/health"  # `emulator.py` asks for it before there are clients


def refusal(
    headers: Iterable[tuple[str, str]], port: int, query: str = "", *, unsigned: bool = False
) -> str | None:
    """The reason to refuse a request to the server on this port; None to accept it.

    `query` is the query string of its URL. `unsigned` accepts a request without a signature.
    """
    hosts, signed = [], False
    for name, value in headers:
        match name.lower():
            case "origin" | "sec-fetch-site":
                return f"Refused: requests from web pages are not allowed ({name}).\n"
            case "referer" if _host_of(value) not in _own_names(port):
                return "Refused: requests from web pages are not allowed (Referer).\n"
            case "host":
                hosts.append(value.strip().lower())
            case "authorization":
                signed = value.startswith(SIGNED)
    if len(hosts) != 1 or hosts[0] not in _own_names(port):
        return "Refused: the Host header must be the server's loopback address.\n"
    if any(name.lower() == "action" for name, _ in parse_qsl(query, keep_blank_values=True)):
        return "Refused: an action in the URL is not allowed. AWS tools send it in the body.\n"
    if not (signed or unsigned):
        return "Refused: the request has no Authorization header of Signature Version 4.\n"
    return None


def _host_of(url: str) -> str:
    """Host and port of a URL; empty if it is invalid."""
    try:
        return urlsplit(url.strip()).netloc.lower()
    except ValueError:
        return ""


def _own_names(port: int) -> set[str]:
    names = {"127.0.0.1", "localhost", "[::1]"}
    with_port = {f"{name}:{port}" for name in names}
    # Clients omit the default port of HTTP from Host.
    return with_port | names if port == HTTP_PORT else with_port


class Guard:
    """An ASGI application that forwards accepted requests and answers the others with 403."""

    def __init__(self, app: App, port: int) -> None:
        self._app = app
        self._port = port

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        headers = ((name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"])
        query = scope.get("query_string", b"").decode("latin-1")
        reason = refusal(headers, self._port, query, unsigned=scope.get("path") == HEALTH)
        if reason is None:
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            # Closing before accepting makes the server answer 403.
            await send({"type": "websocket.close"})
        else:
            plain = [(b"content-type", b"text/plain; charset=utf-8"), (b"connection", b"close")]
            await send({"type": "http.response.start", "status": FORBIDDEN, "headers": plain})
            await send({"type": "http.response.body", "body": reason.encode()})
