"""Counts what a function asks of the table: a door of its own in front of the emulator.

The emulator keeps no count of requests. A function goes through the door once its variable
`AWS_ENDPOINT_URL_DYNAMODB` names it. That variable wins over the emulator's `AWS_ENDPOINT_URL`.
"""

from __future__ import annotations

import http.client
import itertools
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingTCPServer
from time import time
from typing import Any
from urllib.parse import urlsplit

from s3agg.local import guard
from s3agg.local.loopback import ADDRESS

VARIABLE = "AWS_ENDPOINT_URL_DYNAMODB"
WRITES = ("UpdateItem", "PutItem", "DeleteItem", "BatchWriteItem", "TransactWriteItems")
# Of one connection, which is not the next one's; and the length is sent anew.
HOP_BY_HOP = {"host", "connection", "keep-alive", "transfer-encoding", "content-length", "date", "server"}
PATIENCE_S = 30  # longer than any client of ours has


@dataclass(frozen=True)
class Request:
    """One request, refused or not: a refused write costs a unit too."""

    operation: str  # "UpdateItem"
    asked: dict[str, Any]
    at: float  # when it came, s since 1970
    instance: int  # a warm instance keeps its connection: so many connections, so many instances


@dataclass(frozen=True)
class Closing:
    """A window that the refresh function closed."""

    due: float  # s since 1970
    at: float  # when the write came, s since 1970


@dataclass
class Door:
    """What came through."""

    url: str
    requests: list[Request] = field(default_factory=list)

    @property
    def writes(self) -> list[Request]:
        return [request for request in self.requests if request.operation in WRITES]

    @property
    def instances(self) -> int:
        """How many instances have ever come."""
        return len({request.instance for request in self.requests})

    @property
    def closings(self) -> list[Closing]:
        return [
            Closing(int(request.asked["ExpressionAttributeValues"][":due"]["N"]) / 1000, request.at)
            for request in self.writes
            if "closed = :due" in request.asked.get("UpdateExpression", "")
        ]


@contextmanager
def door(emulator_url: str) -> Iterator[Door]:
    """A door to the emulator, open while the `with` block runs."""
    with _Server(emulator_url) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield server.door
        finally:
            server.shutdown()
            thread.join()


class _Server(ThreadingTCPServer):
    # A connection stays as long as the instance that it is of: nobody waits for its thread.
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, emulator_url: str) -> None:
        super().__init__((ADDRESS, 0), _Handler)
        self.port = int(self.server_address[1])
        self.door = Door(f"http://{ADDRESS}:{self.port}")
        self.emulator = urlsplit(emulator_url).netloc
        self.connections = itertools.count(1)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # headers and body in one piece
    server: _Server

    def setup(self) -> None:
        super().setup()
        self.instance = next(self.server.connections)
        self.emulator = http.client.HTTPConnection(self.server.emulator, timeout=PATIENCE_S)

    def finish(self) -> None:
        self.emulator.close()
        super().finish()

    def do_POST(self) -> None:
        at = time()
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if reason := guard.refusal(self.headers.items(), self.server.port):
            self.close_connection = True
            self._send(HTTPStatus.FORBIDDEN, {}, reason.encode())
            return
        operation = self.headers.get("X-Amz-Target", "").rpartition(".")[2]
        self.server.door.requests.append(Request(operation, json.loads(body), at, self.instance))
        # The emulator's guard wants to be called by its own name: http.client sends that.
        passed_on = {name: value for name, value in self.headers.items() if name.lower() not in HOP_BY_HOP}
        self.emulator.request("POST", self.path, body, passed_on)
        answer = self.emulator.getresponse()
        self._send(answer.status, dict(answer.getheaders()), answer.read())

    def _send(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            if name.lower() not in HOP_BY_HOP:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    def log_message(self, *_: Any) -> None:
        """Silent: what came is in the door's list."""
