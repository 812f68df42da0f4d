"""What a process can print is decided before its first line: by the encoding that Python finds."""

from __future__ import annotations

import pytest

from tests.e2e.support import LocalAws

pytestmark = pytest.mark.e2e


@pytest.mark.parametrize(
    "variables",
    [
        {"PYTHONIOENCODING": "cp1252"},
        {"PYTHONIOENCODING": "cp437:strict"},
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    ],
    ids=str,
)
@pytest.mark.parametrize("command", ["template --tag team=K\u00e4se", "status --stack Caf\u00e9"])
def test_a_process_can_print_what_its_console_cannot_show(
    world: LocalAws, command: str, variables: dict[str, str]
) -> None:
    ran = world.cli.set(**variables)(*command.split())

    told = ran.stdout + ran.stderr
    assert "Traceback" not in told
    assert told.replace("\u00e4", "").replace("\u00e9", "").isascii()
