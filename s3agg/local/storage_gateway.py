"""A Storage Gateway server on loopback, in threads of this process."""

from __future__ import annotations

import contextlib
import json
import logging
import socket
import sys
import threading
import time
import uuid
from collections import defaultdict, deque
from collections.abc import Callable, Mapping
from datetime import datetime
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from s3agg.local import ACCOUNT, REGION, aws_json, guard
from s3agg.local.loopback import ADDRESS, listen
from s3agg.local.shares import FileShares, Kind, Refresh, Refused, Share

if TYPE_CHECKING:
    from types import TracebackType

    from botocore.model import OperationModel
    from mypy_boto3_s3.client import S3Client
    from typing_extensions import Self

logger = logging.getLogger(__name__)

LONGEST_BODY = 1_000_000
EVENT_TIME = "%Y-%m-%dT%H:%M:%SZ"


class StorageGateway:
    """Serves the file shares of Storage Gateway during its `with` block. Times in seconds.

    A refresh lists the bucket through `s3`, and takes effect `refresh_seconds` later. A refresh within
    `interval_seconds` of the share's previous one is accepted without effect. `access_points` maps the ARN
    or alias of an access point to its bucket. `on_event` gets an event when a refresh has taken effect.
    """

    def __init__(
        self,
        s3: S3Client,
        port: int = 0,
        *,
        region: str = REGION,
        account: str = ACCOUNT,
        refresh_seconds: float = 0.2,
        interval_seconds: float = 60.0,
        page_size: int = 100,
        access_points: Mapping[str, str] | None = None,
        clock: Callable[[], float] = time.monotonic,
        on_event: Callable[[dict[str, Any]], None] | None = None,
    ) -> None:
        self.port = port
        self.page_size = page_size
        self._region, self._account = region, account
        self._on_event = on_event
        self._shares = FileShares(
            s3,
            region=region,
            account=account,
            refresh_seconds=refresh_seconds,
            interval_seconds=interval_seconds,
            access_points=access_points or {},
            clock=clock,
            on_complete=self._tell if on_event else None,
        )
        self._model = aws_json.load("storagegateway")
        self._to_refuse: dict[str, deque[Refused]] = defaultdict(deque)
        self._undo = contextlib.ExitStack()
        self._operations: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
            "CreateNFSFileShare": lambda asked: self._create("NFS", asked),
            "CreateSMBFileShare": lambda asked: self._create("SMB", asked),
            "DescribeNFSFileShares": lambda asked: self._describe("NFS", asked),
            "DescribeSMBFileShares": lambda asked: self._describe("SMB", asked),
            "ListFileShares": self._list,
            "RefreshCache": self._refresh_cache,
            "DeleteFileShare": self._delete,
        }

    @property
    def url(self) -> str:
        return f"http://{ADDRESS}:{self.port}"

    @property
    def shares(self) -> list[Share]:
        """All shares, oldest first."""
        return self._shares.all()

    def inventory(self, share_arn: str) -> list[str]:
        """The keys that clients see now, relative to the share's location. Raises `Refused`."""
        return self._shares.inventory(share_arn)

    def refreshes(self, share_arn: str) -> list[Refresh]:
        """The accepted refreshes, oldest first. Raises `Refused`."""
        return self._shares.refreshes(share_arn)

    def lead(self, access_point: str, bucket: str) -> None:
        """Attach an access point, given by ARN or alias, to this bucket: adds to `access_points`."""
        self._shares.lead(access_point, bucket)

    def refuse_next(self, operation: str, refused: Refused, times: int = 1) -> None:
        """Answer the next calls of an operation with this error. `InternalServerError` has status 500."""
        self._to_refuse[operation].extend([refused] * times)

    def __enter__(self) -> Self:
        """Start. Raises `S3aggError` if the port cannot be opened."""
        with contextlib.ExitStack() as undo:
            server = _Server(self, undo.enter_context(listen(self.port)))
            self.port = server.server_port
            thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
            undo.callback(self._shares.close)
            undo.callback(server.end)
            thread.start()
            undo.callback(thread.join)
            undo.callback(server.shutdown)
            self._undo = undo.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._undo.close()

    def call(self, target: str, body: bytes) -> bytes:
        """Answer one request of the protocol. Raises `Refused`."""
        called: OperationModel = aws_json.operation(self._model, target)
        run = self._operations.get(called.name)
        if run is None:
            raise Refused(f"{called.name} is not emulated.", code="UnknownOperationException")
        asked = aws_json.parameters(called, body)
        with contextlib.suppress(IndexError):
            raise self._to_refuse[called.name].popleft()
        return aws_json.answer(called, run(asked))

    def page(self, path: str) -> tuple[str, bytes]:
        """Content type and body of `/shares` or `/shares/<share id>`, for curl. Raises `KeyError`."""
        by_id = {share.id: share for share in self.shares}
        if path == "/shares":
            overview = [
                {
                    "FileShareARN": share.arn,
                    "FileShareType": share.kind,
                    "LocationARN": share.location_arn,
                    "Files": len(self.inventory(share.arn)),
                }
                for share in by_id.values()
            ]
            return "application/json", json.dumps(overview, indent=2).encode() + b"\n"
        folder, _, share_id = path.rpartition("/")
        if folder != "/shares":
            raise KeyError(path)
        keys = self.inventory(by_id[share_id].arn)
        return "text/plain; charset=utf-8", "".join(f"{_visible(key)}\n" for key in keys).encode()

    def _tell(self, share: Share, refresh: Refresh, completed: datetime) -> None:
        """Pass on the event of a finished refresh, in the form of AWS's user guide."""
        if self._on_event is not None:
            self._on_event(
                {
                    "version": "0",
                    "id": str(uuid.uuid4()),
                    "detail-type": "Storage Gateway Refresh Cache Event",
                    "source": "aws.storagegateway",
                    "account": self._account,
                    "time": f"{completed:{EVENT_TIME}}",
                    "region": self._region,
                    "resources": [share.arn, share.gateway_arn],
                    "detail": {
                        "event-type": "refresh-complete",
                        "notification-id": refresh.notification_id,
                        "started": f"{refresh.started:{EVENT_TIME}}",
                        "completed": f"{completed:{EVENT_TIME}}",
                        "folderList": list(refresh.folders),
                    },
                }
            )

    def _create(self, kind: Kind, asked: dict[str, Any]) -> dict[str, Any]:
        return {"FileShareARN": self._shares.create(kind, asked).arn}

    def _delete(self, asked: dict[str, Any]) -> dict[str, Any]:
        self._shares.delete(asked["FileShareARN"])
        return {"FileShareARN": asked["FileShareARN"]}

    def _list(self, asked: dict[str, Any]) -> dict[str, Any]:
        gateway = asked.get("GatewayARN")
        found = [share for share in self.shares if gateway in (None, share.gateway_arn)]
        marker = asked.get("Marker", "0")
        if not marker.isdecimal():
            raise Refused("The specified marker is not valid.", error_code="InvalidParameters")
        start = int(marker)
        end = start + min(asked.get("Limit", self.page_size), self.page_size)
        answer: dict[str, Any] = {
            "FileShareInfoList": [
                {
                    "FileShareType": share.kind,
                    "FileShareARN": share.arn,
                    "FileShareId": share.id,
                    "FileShareStatus": "AVAILABLE",
                    "GatewayARN": share.gateway_arn,
                }
                for share in found[start:end]
            ]
        }
        if "Marker" in asked:
            answer["Marker"] = asked["Marker"]
        if end < len(found):
            answer["NextMarker"] = str(end)
        return answer

    def _describe(self, kind: Kind, asked: dict[str, Any]) -> dict[str, Any]:
        shares = [self._shares.get(arn, kind) for arn in asked["FileShareARNList"]]
        known = self._model.shape_for(f"{kind}FileShareInfo")
        members = getattr(known, "members", {})
        return {
            f"{kind}FileShareInfoList": [
                {name: value for name, value in share.asked.items() if name in members}
                | {
                    "FileShareARN": share.arn,
                    "FileShareId": share.id,
                    "FileShareStatus": "AVAILABLE",
                    "Path": f"/{share.asked.get('FileShareName') or share.location[0]}",
                }
                for share in shares
            ]
        }

    def _refresh_cache(self, asked: dict[str, Any]) -> dict[str, Any]:
        folders = asked.get("FolderList", ["/"])
        if any(folder != "/" and folder.endswith("/") for folder in folders):
            raise Refused("A folder must not end with a slash.", error_code="InvalidParameters")
        refresh = self._shares.refresh(asked["FileShareARN"], folders, recursive=asked.get("Recursive", True))
        return {"FileShareARN": refresh.share_arn, "NotificationId": refresh.notification_id}


def _visible(key: str) -> str:
    """The key with control characters escaped: it may contain a line feed or a terminal's escape code."""
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in key)


class _Server(ThreadingHTTPServer):
    # `end` waits for the threads of all connections.
    daemon_threads = False

    def __init__(self, gateway: StorageGateway, listener: socket.socket) -> None:
        super().__init__(listener.getsockname(), _Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listener
        self.server_port = listener.getsockname()[1]
        self.gateway = gateway
        self._open: set[socket.socket] = set()

    def process_request(self, request: Any, client_address: Any) -> None:
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, *_: Any) -> None:
        # A closed connection is no error. stderr belongs to the command, so log instead of printing.
        problem = sys.exc_info()[1]
        if not isinstance(problem, ConnectionError):
            logger.error("Storage Gateway failed to answer a request: %r", problem, exc_info=problem)

    def end(self) -> None:
        """Close the server and all idle connections: their threads wait for the next request."""
        for connection in list(self._open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server
    # Send headers and body in one packet: a second one would wait for a delayed acknowledgement.
    wbufsize = -1
    # Seconds until an idle connection is closed.
    timeout = 60

    def parse_request(self) -> bool:
        """Apply the guard to all methods."""
        return super().parse_request() and not self._is_refused()

    def do_GET(self) -> None:
        try:
            kind, body = self.server.gateway.page(self.path)
        except (KeyError, Refused):
            self._send(HTTPStatus.NOT_FOUND, "text/plain", b"Not found. See /shares\n")
            return
        self._send(HTTPStatus.OK, kind, body)

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or int(length) > LONGEST_BODY:
            self.close_connection = True
            self._send(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "text/plain", b"Invalid Content-Length\n")
            return
        body = self.rfile.read(int(length))
        json_type = "application/x-amz-json-1.1"
        try:
            answer = self.server.gateway.call(self.headers.get("X-Amz-Target", ""), body)
        except Refused as refused:
            ours = refused.code.startswith("Internal")
            status = HTTPStatus.INTERNAL_SERVER_ERROR if ours else HTTPStatus.BAD_REQUEST
            self._send(status, json_type, aws_json.error(refused))
        else:
            self._send(HTTPStatus.OK, json_type, answer)

    def _is_refused(self) -> bool:
        query = urlsplit(self.path).query
        # curl reads the inventories without a signature. A web page cannot read the answers.
        unsigned = self.command == "GET"
        reason = guard.refusal(self.headers.items(), self.server.server_port, query, unsigned=unsigned)
        if reason is None:
            return False
        self.close_connection = True
        self._send(HTTPStatus(guard.FORBIDDEN), "text/plain; charset=utf-8", reason.encode())
        return True

    def _send(self, status: HTTPStatus, content_type: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("x-amzn-RequestId", str(uuid.uuid4()))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    def log_message(self, *_: Any) -> None:
        """Print nothing: stderr belongs to the command."""
