"""What one command did, as its user sees it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from tests.support import documents

TRACED = re.compile(r" *\d+ ms  (\S+) ([A-Z]\w+) ")


@dataclass(frozen=True)
class Ran:
    """A command's exit code, and what it wrote where. `command` is its name, for the schema of its JSON."""

    code: int
    stdout: str
    stderr: str
    command: str = ""

    @property
    def output(self) -> str:
        return self.stdout + self.stderr

    @property
    def words(self) -> str:
        """All that it wrote, however wide the terminal is."""
        return " ".join(self.output.split())

    @property
    def json(self) -> Any:
        """The JSON document on stdout, which must be as the command's schema says."""
        return documents.parse(self.stdout, self.command)

    @property
    def is_one_line(self) -> bool:
        """Whether it failed with one line and one problem, beside a plan and lines about a silent service."""
        told = [line for line in self.stderr.splitlines() if not line.startswith("waiting for ")]
        explained = not self.stdout or len(self.json["problems"]) == 1
        return self.code in {1, 2} and explained and len(told) == 1 and self.stderr.endswith("\n")

    @property
    def actions(self) -> dict[str, str]:
        """What `create` or `delete` did, by `kind name`."""
        return {f"{each['kind']} {each['name']}": each["action"] for each in self.json["changes"]}

    @property
    def calls(self) -> list[str]:
        """The AWS operations that -v showed."""
        return [found[2] for line in self.stderr.splitlines() if (found := TRACED.match(line))]
