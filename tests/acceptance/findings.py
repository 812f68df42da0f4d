"""What an acceptance run finds: each fact about AWS with its evidence, as a table and as JSON to send."""

from __future__ import annotations

import json
import platform
import re
import textwrap
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Literal

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from s3agg import __version__
from s3agg.aws.refusals import Refusal, aws_message

Verdict = Literal["held", "not so", "not seen"]

WIDTH = 110
ACCOUNT_ID = re.compile(r"(?<![0-9A-Fa-f])\d{12}(?![0-9A-Fa-f])")
PRINCIPAL = re.compile(r"\b(assumed-role|user|federated-user)/[\w+=,.@/-]+")
KEY_ID = re.compile(r"\b(A(?:KIA|SIA|ROA|IDA|GPA|NPA|3T))[A-Z0-9]{8,}")


@dataclass(frozen=True)
class Finding:
    """One look at a fact: its number in FACTS, and AWS's answer."""

    fact: str
    looked_at: str
    verdict: Verdict
    evidence: str  # AWS's own words, or a measurement
    seconds: float | None = None  # how long the state lasted, if it was measured


@dataclass(frozen=True)
class Ended:
    """How a test ended, and why it failed."""

    test: str
    outcome: str
    seconds: float
    reason: str = ""


@dataclass(frozen=True)
class Command:
    """One run of s3agg; `refused` counts AWS's refusals by operation and error code."""

    words: str
    code: int
    seconds: float
    calls: int
    refused: Mapping[str, int]


@dataclass
class Report:
    """Everything that a run found. `hidden` maps private names to the words that replace them."""

    where: str = ""
    region: str = ""
    findings: list[Finding] = field(default_factory=list)
    tests: list[Ended] = field(default_factory=list)
    commands: list[Command] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    hidden: dict[str, str] = field(default_factory=dict)

    def parts(self) -> dict[str, Any]:
        """Everything as plain values, which a worker of xdist can send."""
        return asdict(self)

    def add(self, parts: Mapping[str, Any]) -> None:
        """Add what another worker found."""
        self.where, self.region = parts["where"] or self.where, parts["region"] or self.region
        self.findings += [Finding(**each) for each in parts["findings"]]
        self.tests += [Ended(**each) for each in parts["tests"]]
        self.commands += [Command(**each) for each in parts["commands"]]
        self.left += parts["left"]
        self.hidden.update(parts["hidden"])

    def note(
        self, fact: str, looked_at: str, verdict: Verdict, evidence: object, seconds: float | None = None
    ) -> None:
        """Add a finding. The same one with other seconds is kept once, with the most seconds."""
        found = Finding(fact, looked_at, verdict, " ".join(str(evidence).split()), seconds)
        same = [each for each in self.findings if replace(each, seconds=seconds) == found]
        for each in same:
            self.findings.remove(each)
        most = max((each.seconds for each in (*same, found) if each.seconds is not None), default=None)
        self.findings.append(replace(found, seconds=None if most is None else round(most, 2)))

    def refused(self, fact: str, looked_at: str, call: Callable[[], object], *expected: Refusal) -> bool:
        """Make a call that AWS should refuse; return whether it did. Any of the `expected` errors holds."""
        try:
            call()
        except ClientError as error:
            held = any(each.matches(error) for each in expected)
            self.note(fact, looked_at, "held" if held else "not so", answer(error))
            return True
        except BotoCoreError as error:
            self.note(fact, looked_at, "not seen", error)
            return True
        self.note(fact, looked_at, "not so", "AWS accepted the call")
        return False

    def lasted(self, fact: str, looked_at: str, seconds: float | None) -> None:
        """Note how long a state lasted after its end was due; None if it was not seen at all."""
        if seconds is None:
            self.note(fact, looked_at, "not seen", "the first look showed the new state")
        else:
            self.note(fact, looked_at, "held", "the old state still showed", seconds)

    def sorted(self) -> list[Finding]:
        def place(finding: Finding) -> tuple[int, str]:
            number = re.match(r"\d+", finding.fact)
            return (int(number[0]), "") if number else (1000, finding.fact)

        return sorted(self.findings, key=place)

    def redact(self, text: str) -> str:
        """Replace account ids, key ids, users and private names."""
        for name, word in sorted(self.hidden.items(), key=lambda pair: -len(pair[0])):
            text = text.replace(name, word)
        return PRINCIPAL.sub(r"\1/...", KEY_ID.sub(r"\1...", ACCOUNT_ID.sub("ACCOUNT", text)))

    def table(self) -> Iterator[str]:
        """The lines of the table: fact, verdict, what was looked at, and the evidence below it."""
        yield f"{'fact':<8} {'verdict':<8} {'looked at'}"
        for each in self.sorted():
            yield self.redact(f"{each.fact:<8} {each.verdict:<8} {each.looked_at}")
            seconds = "" if each.seconds is None else f" ({each.seconds} s)"
            for line in textwrap.wrap(self.redact(each.evidence + seconds), WIDTH - 18):
                yield f"{'':<18}{line}"

    def counts(self) -> dict[str, int]:
        found = [each.verdict for each in self.findings]
        verdicts: tuple[Verdict, ...] = ("held", "not so", "not seen")
        return {verdict: found.count(verdict) for verdict in verdicts}

    def document(self) -> dict[str, Any]:
        return {
            "s3agg": __version__,
            "boto3": boto3.__version__,
            "python": platform.python_version(),
            "time": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "where": self.where,
            "region": self.region,
            "counts": self.counts(),
            "facts": [asdict(each) for each in self.sorted()],
            "tests": [asdict(each) for each in self.tests],
            "commands": [asdict(each) for each in self.commands],
            "left": self.left,
        }

    def write(self, path: Path) -> None:
        """Write the JSON, redacted as a whole."""
        text = json.dumps(self.document(), indent=2)
        path.write_text(self.redact(text) + "\n", encoding="utf-8")


def answer(error: ClientError) -> str:
    """AWS's error in its own words."""
    code = error.response.get("Error", {}).get("Code", "")
    return f"{error.operation_name}: {code}: {aws_message(error)}"
