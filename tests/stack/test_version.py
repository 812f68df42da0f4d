"""The version of s3agg that made a stack."""

from __future__ import annotations

import pytest

from s3agg import __version__
from s3agg.engine import Findings
from s3agg.resources.table import KEY, FoundTable
from s3agg.settings import STACK_TAG, VERSION_TAG, Names, Settings
from s3agg.stack import declared
from s3agg.stack.version import MadeBy
from tests.support.aws import PLACE

TABLE = declared.make(PLACE, Names(), Settings(), {}).table


def made_by(**tags: str) -> MadeBy | None:
    """The version of a stack whose table has these tags."""
    found = FoundTable(key=KEY, read_capacity=0, write_capacity=0, on_demand=True, tags=tags)
    return MadeBy.of(TABLE, Findings({TABLE.key: found}))


@pytest.mark.parametrize(
    ("version", "differs", "is_newer"),
    [
        (__version__, False, False),
        (f"{__version__}.1", True, True),
        ("99.0.0", True, True),
        ("0.0.9", True, False),
        ("0.0.10", True, False),
        (f"{__version__}rc1", True, False),
        ("edited by hand", True, False),
        (None, True, False),
    ],
)
def test_another_version_differs_and_may_be_newer(version: str | None, differs: bool, is_newer: bool) -> None:
    made = MadeBy(version)

    assert (made.differs, made.is_newer) == (differs, is_newer)


def test_the_tag_of_the_table_names_the_version() -> None:
    assert made_by(**{STACK_TAG: "S3EventAggregator", VERSION_TAG: "0.0.9"}) == MadeBy("0.0.9")
    assert str(made_by(**{STACK_TAG: "S3EventAggregator"})) == "an older s3agg"


def test_a_foreign_or_missing_table_names_no_version() -> None:
    assert made_by(**{STACK_TAG: "Other", VERSION_TAG: "0.0.9"}) is None
    assert made_by() is None
    assert MadeBy.of(TABLE, Findings()) is None
