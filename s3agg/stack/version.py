"""The version of s3agg that made or last updated a stack, beside the running version (DESIGN 1)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from s3agg import __version__
from s3agg.engine import Findings
from s3agg.resources.table import Table
from s3agg.settings import VERSION_TAG


@dataclass(frozen=True)
class MadeBy:
    """The version in the table's tag; None without the tag, which the first versions did not write."""

    version: str | None

    @classmethod
    def of(cls, table: Table, found: Findings) -> MadeBy | None:
        """Return the version of a stack; None if its table is missing or foreign."""
        have = found.ours(table)
        return None if have is None else cls((have.tags or {}).get(VERSION_TAG))

    def __str__(self) -> str:
        return f"s3agg {self.version}" if self.version else "an older s3agg"

    @property
    def differs(self) -> bool:
        """Whether it is not the running version."""
        return self.version != __version__

    @property
    def is_newer(self) -> bool:
        """Whether it is newer than the running version; false for a tag that is no version."""
        return _numbers(self.version or "") > _numbers(__version__)


def _numbers(version: str) -> list[int]:
    """The numbers at the start of a version, without zeros at the end: `0.2.0rc1` is 0.2."""
    begin = re.match(r"\d+(?:\.\d+)*", version)
    numbers = [int(number) for number in begin[0].split(".")] if begin else []
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return numbers
