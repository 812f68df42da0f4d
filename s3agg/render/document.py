"""Results as JSON documents."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from datetime import datetime, timezone
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from s3agg.errors import AwsOptions, S3aggError

if TYPE_CHECKING:  # some commands make no AWS calls, and do not wait for boto3
    from s3agg.stack.deployed import Deployment


def to_json(value: object, indent: int | None = 2) -> str:
    """Serialize a result. Times are ISO 8601 in UTC. ASCII only, so that any console can print it."""
    return json.dumps(_jsonable(value), indent=indent)


def problem_documents(problems: Sequence[S3aggError], aws_options: AwsOptions) -> list[dict[str, str | None]]:
    """The JSON of problems. Each advised command repeats `aws_options`."""
    return [{"what": f"{each.problem}.", "advice": each.step(aws_options) or None} for each in problems]


def failed_document(
    command: str, known: Mapping[str, object], problems: Sequence[S3aggError], aws_options: AwsOptions
) -> dict[str, object] | None:
    """The JSON of a command that these problems prevented or ended, with the keys that its schema has.

    What is not `known` is null, or empty if the schema allows no null. Returns None for a command whose
    output has no problems: it is a file, as that of `policy`.
    """
    path = files("s3agg") / "schemas" / f"{command}.json"
    schema = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    keys = schema.get("anyOf", [schema])[-1].get("properties", {})
    if "problems" not in keys:
        return None
    told = {**known, "problems": problem_documents(problems, aws_options)}
    return {key: told[key] if key in told else _emptiest(part) for key, part in keys.items()}


def _emptiest(part: Mapping[str, Any]) -> object:
    """The value that says least, of those that this part of a schema allows."""
    empty: dict[str, object] = {"array": [], "object": {}, "boolean": False}
    kind = part.get("type")
    return empty[kind] if isinstance(kind, str) and kind in empty else None


def stack_document(deployment: Deployment) -> dict[str, object]:
    """The JSON of a stack's name and place."""
    place = deployment.place
    return {"stack": deployment.stack.names.stack, "region": place.region, "account": place.account}


def _jsonable(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return {each.name: _jsonable(getattr(value, each.name)) for each in fields(value)}
    if isinstance(value, dict):
        return {key: _jsonable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_jsonable(item) for item in value]
    if isinstance(value, datetime):
        return value.astimezone(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return value
