"""The server side of the AWS JSON 1.1 protocol. Requests are validated by botocore's service model."""

from __future__ import annotations

import functools
import json
import re
from typing import Any

from botocore.model import ListShape, OperationModel, ServiceModel, Shape, StringShape, StructureShape
from botocore.validate import ParamValidator

from s3agg.local.session import isolated_session
from s3agg.local.shares import Refused


@functools.cache
def load(service: str) -> ServiceModel:
    """Load botocore's model of a service."""
    return isolated_session().get_service_model(service)


def operation(model: ServiceModel, target: str) -> OperationModel:
    """The operation in the header `X-Amz-Target`; raises `Refused` if there is none."""
    prefix, _, name = target.rpartition(".")
    if prefix != model.metadata["targetPrefix"] or name not in model.operation_names:
        raise Refused("", code="UnknownOperationException")
    return model.operation_model(name)


def parameters(called: OperationModel, body: bytes) -> dict[str, Any]:
    """The validated parameters of a request; raises `Refused` if they are invalid."""
    try:
        return _validated(called, json.loads(body or b"{}"))
    except ValueError as error:
        raise Refused("The request body is not JSON.", code="SerializationException") from error
    except RecursionError as error:
        raise Refused("The request body is nested too deeply.", code="SerializationException") from error


def _validated(called: OperationModel, given: Any) -> dict[str, Any]:
    if not isinstance(given, dict):
        raise Refused("Start of structure or map found where not expected.", code="SerializationException")
    if called.input_shape is not None:
        # Botocore checks only types, required members and minima.
        found = ParamValidator().validate(given, called.input_shape)
        problems = found.generate_report().splitlines() or _constraint_violations(given, called.input_shape)
        if problems:
            plural = "" if len(problems) == 1 else "s"
            message = f"{len(problems)} validation error{plural} detected: {'; '.join(problems)}"
            raise Refused(message, code="ValidationException")
    return given


def _constraint_violations(value: Any, shape: Shape, name: str = "") -> list[str]:
    """The violations of maximum length, maximum value, enumeration and pattern."""
    problems = []
    rules = shape.metadata
    most = rules.get("max")
    if most is not None and isinstance(value, (str, list)) and len(value) > most:
        problems.append(f"Member must have length less than or equal to {most}")
    if most is not None and isinstance(value, int) and value > most:
        problems.append(f"Member must have value less than or equal to {most}")
    if isinstance(shape, StringShape) and shape.enum and value not in shape.enum:
        problems.append(f"Member must satisfy enum value set: [{', '.join(shape.enum)}]")
    if isinstance(value, str) and "pattern" in rules and not re.search(rules["pattern"], value):
        problems.append(f"Member must satisfy regular expression pattern: {rules['pattern']}")
    given = f"[{', '.join(map(str, value))}]" if isinstance(value, list) else value
    violations = [
        f"Value '{given}' at '{name}' failed to satisfy constraint: {problem}" for problem in problems
    ]
    if isinstance(shape, ListShape):
        for number, each in enumerate(value, start=1):
            violations += _constraint_violations(each, shape.member, f"{name}.{number}.member")
    if isinstance(shape, StructureShape):
        for member, each in value.items():
            if member in shape.members and each is not None:
                violations += _constraint_violations(
                    each, shape.members[member], f"{name}.{_lower(member)}".lstrip(".")
                )
    return violations


def _lower(member: str) -> str:
    return member[:1].lower() + member[1:]


def answer(called: OperationModel, members: dict[str, Any]) -> bytes:
    """The body of a response. A member that the model does not have is a bug in this package."""
    known = called.output_shape.members if called.output_shape is not None else {}
    unknown = members.keys() - known.keys()
    if unknown:
        raise AssertionError(f"The output of {called.name} has no members {unknown}")
    return json.dumps(members).encode()


def error(refused: Refused) -> bytes:
    body: dict[str, Any] = {"__type": refused.code}
    if str(refused):
        body["message"] = str(refused)
    if refused.error_code:
        body["error"] = {"errorCode": refused.error_code}
    return json.dumps(body).encode()
