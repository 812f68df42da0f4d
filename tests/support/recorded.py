"""Answers that were recorded on AWS, put on the wire again: botocore parses them as it parses AWS's own.

localstack's parity tests recorded them on AWS (Apache-2.0). A recording holds what botocore parsed.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from xml.sax.saxutils import escape

import pytest
from botocore import xform_name
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders
from botocore.exceptions import ClientError
from botocore.model import ListShape, Shape, StructureShape
from moto.core.botocore_stubber import MockRawResponse

from s3agg.aws.session import Aws
from tests.support.aws import REGION, Session
from tests.support.clock import Clock

XML = ("iam", "s3")  # the other services answer in JSON


@dataclass(frozen=True)
class Answer:
    """What AWS answered to an operation, as botocore parsed it."""

    operation: str  # lambda:GetFunction
    members: Mapping[str, Any] = field(default_factory=dict)

    def on_the_wire(self) -> AWSResponse:
        service, _, name = self.operation.partition(":")
        if service not in XML:
            return _response(200, json.dumps(self.members))
        shape = _session().get_service_model(service).operation_model(name).output_shape
        assert shape is not None
        result = _xml(shape, self.members, shape.serialization.get("resultWrapper", shape.name))
        return _response(200, f"<{name}Response>{result}</{name}Response>" if service == "iam" else result)


@dataclass(frozen=True)
class Refused:
    """An error of an operation: in which scenario of the recordings, and on which day."""

    operation: str
    code: str
    message: str | None
    scenario: str
    day: str
    status: int = 400
    more: Mapping[str, Any] = field(default_factory=dict)  # what the error holds besides
    query_code: str = ""  # SQS: the code in the body; the header has the one that botocore takes

    def __str__(self) -> str:
        return f"{self.operation} in {self.scenario}, {self.day}"

    def on_the_wire(self) -> AWSResponse:
        service = self.operation.partition(":")[0]
        if service in XML:
            parts = {"Code": self.code, "Message": str(self.message), **self.more}
            error = "".join(f"<{name}>{escape(value)}</{name}>" for name, value in parts.items())
            whole = f"<Error>{error}</Error>"
            return _response(
                self.status, f"<ErrorResponse>{whole}</ErrorResponse>" if service == "iam" else whole
            )
        body = {"message": self.message, **self.more}
        if service == "lambda":
            return _response(
                self.status, json.dumps({"Type": "User", **body}), {"x-amzn-ErrorType": self.code}
            )
        headers = {"x-amzn-query-error": f"{self.code};Sender"} if self.query_code else {}
        kind = f"com.amazonaws#{self.query_code or self.code}"
        return _response(self.status, json.dumps({"__type": kind, **body}), headers)


def replay(*recorded: Answer | Refused) -> Aws:
    """AWS that answers so. Several answers to one operation come one after the other; the last one stays."""
    _replies().clear()
    for each in recorded:
        _replies().setdefault(each.operation, []).append(each)
    return Aws(session=_session(), region=REGION, workers=1, clock=Clock())


def raised(refused: Refused) -> ClientError:
    """The error that botocore raises when AWS refuses a call so."""
    aws = replay(refused)
    service, _, name = refused.operation.partition(":")
    client = aws.client(service)
    shape = client.meta.service_model.operation_model(name).input_shape
    with pytest.raises(ClientError) as caught:
        getattr(client, xform_name(name))(**anything(shape))
    return caught.value


@functools.cache
def _replies() -> dict[str, list[Answer | Refused]]:
    return {}


@functools.cache
def _session() -> Session:
    session = Session().with_credentials()
    for service in ("dynamodb", "iam", "lambda", "logs", "s3", "sqs"):
        hyphenated = session.get_service_model(service).service_id.hyphenize()
        session.register(f"before-send.{hyphenated}", functools.partial(_reply, service))
    return session


def _reply(service: str, event_name: str, **_: Any) -> AWSResponse:
    replies = _replies()[f"{service}:{event_name.rpartition('.')[2]}"]
    return (replies.pop(0) if len(replies) > 1 else replies[0]).on_the_wire()


def _response(status: int, body: str, headers: Mapping[str, str] | None = None) -> AWSResponse:
    raw: Any = MockRawResponse(body.encode())
    with_id = HTTPHeaders.from_dict({"x-amzn-requestid": "recorded", **(headers or {})})
    return AWSResponse("https://recorded", status, with_id, raw)


def _xml(shape: Shape, value: Any, name: str) -> str:
    if isinstance(shape, ListShape):
        if shape.serialization.get("flattened"):
            return "".join(_xml(shape.member, each, name) for each in value)
        inner = "".join(_xml(shape.member, each, "member") for each in value)
    elif isinstance(shape, StructureShape):
        members = [(shape.members[member], each, member) for member, each in value.items()]
        inner = "".join(
            _xml(kind, each, kind.serialization.get("name", member)) for kind, each, member in members
        )
    else:
        inner = escape(str(value).lower() if isinstance(value, bool) else str(value))
    return f"<{name}>{inner}</{name}>"


def anything(shape: Any) -> Any:
    """A value that botocore takes."""
    if isinstance(shape, StructureShape):
        return {name: anything(shape.members[name]) for name in shape.required_members}
    if isinstance(shape, ListShape):
        return [anything(shape.member)]
    return {"integer": 1, "boolean": True, "blob": b"", "timestamp": 0}.get(shape.type_name, 60 * "a")
