"""Who may talk to the servers of this package: programs on this machine, never a web page.

The emulator answers any `Origin`, and whoever reaches it can run code: a page open in the user's
browser could. So a request is refused that a browser marked as a page's, or that names a host which
is not ours (a page's own name that was made to resolve to this machine).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

FORBIDDEN = 403
HTTP_PORT = 80


def refusal(headers: Iterable[tuple[str, str]], port: int) -> str | None:
    """Why a request with these headers is refused by the server on this port; `None`: it is welcome."""
    hosts = []
    for name, value in headers:
        match name.lower():
            case "origin" | "sec-fetch-site":
                return f"Refused: requests of web pages ({name}) are not answered here.\n"
            case "host":
                hosts.append(value.strip().lower())
    if len(hosts) != 1 or hosts[0] not in _own_names(port):
        return "Refused: this server answers to its loopback address only (Host).\n"
    return None


def _own_names(port: int) -> set[str]:
    names = {"127.0.0.1", "localhost", "[::1]"}
    with_port = {f"{name}:{port}" for name in names}
    # Clients leave the port out of Host where it is the protocol's own.
    return with_port | names if port == HTTP_PORT else with_port


class Guard:
    """An ASGI application that passes on what is welcome and answers 403 to the rest."""

    def __init__(self, app: App, port: int) -> None:
        self._app = app
        self._port = port

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        headers = ((name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"])
        reason = refusal(headers, self._port)
        if reason is None:
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            # Closed before it was accepted: the server makes that a 403.
            await send({"type": "websocket.close"})
        else:
            plain = [(b"content-type", b"text/plain; charset=utf-8"), (b"connection", b"close")]
            await send({"type": "http.response.start", "status": FORBIDDEN, "headers": plain})
            await send({"type": "http.response.body", "body": reason.encode()})
