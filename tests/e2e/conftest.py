"""One machine for all: MiniStack and the Storage Gateway; each test has a stack and buckets of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e import support
from tests.e2e.support import Cli, LocalAws, OwnStack, user


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAws]:
    with support.world(tmp_path_factory.mktemp("homes")) as running:
        yield running


@pytest.fixture
def stack(world: LocalAws) -> Iterator[OwnStack]:
    """A stack that only this test has; it is not made yet."""
    own = world.stack()
    yield own
    own.end_functions()


@pytest.fixture
def somebody(tmp_path: Path) -> Cli:
    """A user without anything of AWS; what their commands leave behind is below `tmp_path`."""
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    return user(tmp_path / "home", TMPDIR=str(temporary))
