"""What the tool needs of the machine and of Python, as far as it shows on this one."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "s3agg"
# The emulator's own process, which is started on Linux and macOS alone.
ON_POSIX = {"s3agg.local.serve"}
MODULES = {
    ".".join(("s3agg", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__")
    for path in PACKAGE.rglob("*.py")
}
WITHOUT_POSIX = """
import sys
sys.modules.update(dict.fromkeys(("fcntl", "grp", "pty", "pwd", "resource", "termios", "tty")))
"""
ON_WINDOWS = """
import sys
import s3agg.render.screen, s3agg.commands.demo
from s3agg.cli.main import main
sys.platform = "win32"
main(sys.argv[1:])
"""


def python(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603  # ours
        [sys.executable, "-W", "error", "-c", code, *arguments], capture_output=True, text=True, check=False
    )


def test_the_oldest_dependencies_that_are_declared_are_those_that_the_gate_tests() -> None:
    declared = re.search(r"^dependencies = \[(.*)\]", (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    tested = (ROOT / ".ci" / "oldest.txt").read_text()

    assert declared
    lowest = re.findall(r'"([\w-]+)>=([\d.]+)"', declared[1])
    constraints = dict(re.findall(r"^([\w-]+)==([\d.]+)$", tested, re.MULTILINE))
    assert len(lowest) == declared[1].count(">=")
    assert dict(lowest) == {name: version for name, version in constraints.items() if name != "botocore"}
    assert constraints["botocore"] == constraints["boto3"]


def test_no_module_needs_what_windows_does_not_have() -> None:
    imports = "".join(f"import {name}\n" for name in sorted(MODULES - ON_POSIX))

    assert python(WITHOUT_POSIX + imports).stderr == ""


@pytest.mark.parametrize("command", ["local", "demo"])
def test_windows_is_told_in_one_line_what_it_cannot_run(command: str) -> None:
    ran = python(ON_WINDOWS, command)

    assert ran.returncode == 1
    assert ran.stderr.splitlines()[-1] == "The AWS emulator requires Linux or macOS. On Windows, use WSL."


def test_only_the_charts_which_know_their_console_print_more_than_ascii() -> None:
    files = [
        *PACKAGE.rglob("*.py"),
        *PACKAGE.parent.glob("handlers/*.py"),
        *PACKAGE.rglob("schemas/*.json"),
        *PACKAGE.parent.glob("policies/*.json"),
    ]
    texts = {path.name: path.read_text(encoding="utf-8") for path in files if path.is_file()}

    assert [name for name, text in texts.items() if not text.isascii()] == ["chart.py"]
