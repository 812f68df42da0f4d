"""An installed s3agg is complete: from a wheel, and from the working tree, wherever it is called from."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

from tests.e2e.support import Cli, user

pytestmark = pytest.mark.e2e

TREE = Path(__file__).parents[2]
PACKAGED = ("s3agg", "handlers", "policies", "pyproject.toml", "MANIFEST.in", "README.md", "LICENSE")
SHIPPED = (*PACKAGED, "tests", ".ci", "CHANGELOG.md")
BUILD = "import sys; from setuptools import build_meta; build_meta.build_sdist(sys.argv[1])"
ASSETS = """
from importlib.resources import files
from s3agg import assets
for handler in ("s3_aggregator", "s3_sgw_refresh"):
    assert "def lambda_handler" in assets.handler_source(handler)
for policy in ("dynamo-writer", "lambda-trust", "sgw-refresh", "sqs-reader", "sqs-writer"):
    assert files("s3agg.policies").joinpath(policy + ".json").is_file()
for prices in ("2018-08", "2025-07"):
    assert files("s3agg.prices").joinpath(prices + ".json").is_file()
for command in "cost create delete demo logs policy redrive refresh status test-upload".split():
    assert files("s3agg").joinpath("schemas", command + ".json").is_file()
print(files("s3agg.handlers").joinpath("s3_aggregator.py"))
print(files("s3agg.policies").joinpath("sqs-writer.json"))
"""


def pip(*arguments: str, python: Path) -> None:
    """Run pip as this machine has set it up."""
    subprocess.run(  # noqa: S603  # pip
        [sys.executable, "-m", "pip", "--python", str(python), "-q", *arguments],
        env={**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1"},
        check=True,
        capture_output=True,
        text=True,
    )


def copy(names: tuple[str, ...], to: Path) -> None:
    """Copy these files and folders of the working tree."""
    to.mkdir()
    for name in names:
        if (TREE / name).is_dir():
            shutil.copytree(TREE / name, to / name, ignore=shutil.ignore_patterns("__pycache__", ".*_cache"))
        else:
            shutil.copy(TREE / name, to / name)


@pytest.fixture(scope="module")
def source_distribution(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The archive, as setuptools makes it; newer Pythons do not bring setuptools."""
    folder = tmp_path_factory.mktemp("sdist")
    copy(SHIPPED, folder / "source")
    pip("install", "--target", str(folder / "tools"), "setuptools>=77", python=Path(sys.executable))
    subprocess.run(  # noqa: S603  # setuptools
        [sys.executable, "-c", BUILD, str(folder)],
        cwd=folder / "source",
        env={**os.environ, "PYTHONPATH": str(folder / "tools")},
        check=True,
        capture_output=True,
        text=True,
    )
    (archive,) = folder.glob("s3agg-*.tar.gz")
    return archive


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Cli:
    """The command that the wheel, with its extra `local`, puts into an empty environment."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    copy(PACKAGED, source)
    venv.create(folder / "venv", symlinks=True)
    python = folder / "venv" / "bin" / "python"
    pip("wheel", "--no-deps", "--wheel-dir", str(folder), str(source), python=Path(sys.executable))
    (wheel,) = folder.glob("s3agg-*.whl")
    pip("install", f"s3agg[local] @ {wheel.as_uri()}", python=python)
    shutil.rmtree(source)
    cli = user(folder / "home")
    return Cli(cli.environment, cli.folder, (str(folder / "venv" / "bin" / "s3agg"),))


@pytest.mark.proof
def test_an_installed_wheel_runs_the_demo(installed: Cli) -> None:
    ran = installed("demo", "--count", "5", "--window", "2", "--output", "json")

    assert ran.code == 0, ran.stderr
    assert (ran.json["uploaded"], ran.json["refreshes"], ran.json["share_after"]) == (5, 1, 5)


@pytest.mark.proof
def test_a_wheel_brings_its_own_handlers_policies_and_schemas(installed: Cli) -> None:
    python = str(Path(installed.command[0]).with_name("python"))
    found = Cli(installed.environment, installed.folder, (python, "-c", ASSETS)).must().stdout.splitlines()

    packages = [Path(path).parents[2].name for path in found]
    assert packages == ["site-packages", "site-packages"]
    assert not any(path.startswith(str(TREE)) for path in found)


@pytest.mark.proof
def test_a_source_distribution_has_every_page_and_its_wheel_has_neither_pages_nor_tests(
    source_distribution: Path, tmp_path: Path
) -> None:
    pages = {
        path.relative_to(TREE).as_posix()
        for folder in ("handlers", "policies", "s3agg", "tests")
        for path in (TREE / folder).rglob("*")
        if path.suffix in {".md", ".svg"}
    }
    with tarfile.open(source_distribution) as archive:
        shipped = {name.partition("/")[2] for name in archive.getnames()}
    pip(
        "wheel",
        "--no-deps",
        "--wheel-dir",
        str(tmp_path),
        str(source_distribution),
        python=Path(sys.executable),
    )
    (wheel,) = tmp_path.glob("s3agg-*.whl")
    with zipfile.ZipFile(wheel) as archive_of_wheel:
        packed = archive_of_wheel.namelist()

    assert {*pages, "README.md", "CHANGELOG.md", ".ci/run"} <= shipped
    assert [name for name in packed if name.startswith("tests/") or name.endswith(".md")] == []


def test_the_working_tree_finds_its_assets_from_any_folder(tmp_path: Path) -> None:
    python = user(tmp_path)
    found = Cli(python.environment, python.folder, (sys.executable, "-c", ASSETS)).must().stdout.splitlines()

    assert found == [str(TREE / "handlers" / "s3_aggregator.py"), str(TREE / "policies" / "sqs-writer.json")]
