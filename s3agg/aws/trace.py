"""A trace of the AWS calls, for `-v`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from s3agg.aws.clock import Clock


@dataclass(frozen=True)
class Call:
    """One AWS call, without its parameters and headers, which can hold secrets."""

    service: str
    operation: str
    resource: str
    milliseconds: float
    request_id: str
    error: str


NAMED_BY = (
    "Bucket",
    "FunctionName",
    "TableName",
    "QueueName",
    "QueueUrl",
    "RoleName",
    "PolicyName",
    "PolicyArn",
    "logGroupName",
    "logGroupNamePrefix",
    "UUID",
    "AlarmName",
    "ResourceArn",
    "ResourceARN",
    "resourceArn",
)


def trace(session: Any, clock: Clock, tell: Callable[[Call], None]) -> None:
    """Report each call when it has ended. Of its parameters only the resource's name is reported."""

    def before(params: dict[str, Any], model: Any, context: dict[str, Any], **_: Any) -> None:
        resource = next((str(params[name]) for name in NAMED_BY if name in params), "")
        context["s3agg"] = model, resource, clock.monotonic()

    def ended(context: dict[str, Any], request_id: str, error: str) -> None:
        model, resource, started = context["s3agg"]
        elapsed = (clock.monotonic() - started) * 1000
        tell(Call(model.service_model.service_name, model.name, resource, elapsed, request_id, error))

    def answered(parsed: dict[str, Any], context: dict[str, Any], **_: Any) -> None:
        request_id = parsed.get("ResponseMetadata", {}).get("RequestId", "")
        ended(context, request_id, parsed.get("Error", {}).get("Code", ""))

    def failed(exception: Exception, context: dict[str, Any], **_: Any) -> None:
        ended(context, "", type(exception).__name__)

    session.register("before-parameter-build", before)
    session.register("after-call", answered)
    session.register("after-call-error", failed)
