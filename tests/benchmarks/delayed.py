"""The command line, with some milliseconds added to each AWS call, and a record of the calls.

python -m tests.benchmarks.delayed 100 calls.json status --output json
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import botocore.session

from s3agg.__main__ import run
from s3agg.cli.invocation import Seams

TREE = str(Path(__file__).parents[2])


@dataclass(frozen=True)
class Call:
    """One call; the operation is named as IAM names it, `sqs:CreateQueue`; moments in s of one clock."""

    operation: str
    began: float
    ended: float


@dataclass
class Recorder:
    """Holds each request back for `delay_s`, and remembers each call."""

    delay_s: float
    calls: list[Call] = field(default_factory=list)

    def listen(self, session: botocore.session.Session) -> None:
        session.register("before-parameter-build", self._begun)  # type: ignore[arg-type]  # its keywords
        session.register("before-send", self._sent)
        session.register("after-call", self._ended)  # type: ignore[arg-type]  # its keywords

    def _begun(self, context: dict[str, Any], **_: Any) -> None:
        context["began"] = time.monotonic()

    def _sent(self, **_: Any) -> None:
        time.sleep(self.delay_s)

    def _ended(self, model: Any, context: dict[str, Any], **_: Any) -> None:
        operation = f"{model.service_model.service_name}:{model.name}"
        self.calls.append(Call(operation, context["began"], time.monotonic()))


def command(delay_ms: int, record: Path) -> tuple[str, ...]:
    """The words before the arguments of the command; TREE must be its PYTHONPATH."""
    return sys.executable, "-m", "tests.benchmarks.delayed", str(delay_ms), str(record)


def read(record: Path) -> list[Call]:
    """The calls that a command left a record of."""
    return [Call(**each) for each in json.loads(record.read_text(encoding="utf-8"))]


def main() -> NoReturn:
    _, milliseconds, record, *sys.argv[1:] = sys.argv
    recorder = Recorder(float(milliseconds) / 1000)
    session = botocore.session.Session()
    recorder.listen(session)
    try:
        run(Seams(session))
    finally:
        Path(record).write_text(json.dumps([asdict(call) for call in recorder.calls]), encoding="utf-8")


if __name__ == "__main__":
    main()
