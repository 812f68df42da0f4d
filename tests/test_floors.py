"""A file imports only from the floors below it, and few may reach what is special."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from s3agg import assets

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "s3agg"
# Low to high. A folder's files may import each other.
FLOORS = (
    {"errors"},
    {"assets", "refusals", "local/*"},
    {"profiles"},
    {"aws", "settings"},
    {"resources/*", "prices/*"},
    {"activity", "bill", "metrics", "file_shares"},
    {"stack", "engine", "counts"},
    {"adoption"},
    {"deployment"},
    {"preflight", "status", "probe", "redrive", "operator_policy", "logs", "cost", "completion", "template"},
    {"demo"},
    {"render/*"},
    {"options"},
    {"cli", "__main__"},
)
MAY_IMPORT_ITS_OWN_FLOOR = {"demo", "__main__"}

MODULES = sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")
HANDLERS = sorted((ROOT / "handlers").glob("*.py"))


def place_of(module: str) -> str:
    """How FLOORS calls a module `a/b`, or the folder `a`."""
    folder, slash, _ = module.partition("/")
    return f"{folder}/*" if slash or (PACKAGE / folder).is_dir() else module


def floors_of(module: str) -> list[int]:
    return [number for number, floor in enumerate(FLOORS) if place_of(module) in floor]


def name_of(path: Path) -> str:
    return path.relative_to(PACKAGE).with_suffix("").as_posix()


def imported(path: Path) -> Iterator[str]:
    """Every module that a file imports, with dots; `from a import b` counts as `a.b` too."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def own(path: Path) -> set[str]:
    """The modules of the package that a file imports, as `a/b`."""
    found = set()
    for name in imported(path):
        parts = name.split(".")
        if parts[0] == "s3agg" and parts[1:] != ["__version__"]:  # which is of no floor
            known = [parts[1:end] for end in range(len(parts), 1, -1)]
            found |= {next("/".join(each) for each in known if exists("/".join(each)))} if known else set()
    return found


def exists(module: str) -> bool:
    if module in {"handlers", "policies"}:
        return True
    return (PACKAGE / f"{module}.py").is_file() or (PACKAGE / module / "__init__.py").is_file()


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_each_file_is_on_one_floor(path: Path) -> None:
    assert len(floors_of(name_of(path))) == 1


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_each_file_imports_only_from_floors_below(path: Path) -> None:
    module = name_of(path)
    (floor,) = floors_of(module)
    highest = floor if module in MAY_IMPORT_ITS_OWN_FLOOR else floor - 1

    too_high = [
        each
        for each in own(path)
        if "/" not in module or place_of(each) != place_of(module)
        if not (floors := floors_of(each)) or floors[0] > highest
    ]

    assert too_high == []


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_only_the_renderer_knows_rich(path: Path) -> None:
    knows = any(name.split(".")[0] == "rich" for name in imported(path))

    assert not knows or name_of(path).startswith("render/")


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_nothing_below_the_renderer_prints(path: Path) -> None:
    (floor,) = floors_of(name_of(path))
    (renderer,) = floors_of("render/screen")
    tree = ast.parse(path.read_text(encoding="utf-8"))

    prints = [node.lineno for node in ast.walk(tree) if isinstance(node, ast.Name) and node.id == "print"]

    assert floor >= renderer or prints == []


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_only_assets_reaches_what_aws_gets(path: Path) -> None:
    reached = {f"s3agg.{folder}" for folder in ("handlers", "policies")}
    tree = ast.parse(path.read_text(encoding="utf-8"))

    names = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)} | set(imported(path))

    assert name_of(path) == "assets" or not [
        name for name in names if isinstance(name, str) and name.startswith(tuple(reached))
    ]


@pytest.mark.parametrize("path", HANDLERS, ids=lambda path: path.stem)
def test_a_handler_needs_only_what_the_runtime_has(path: Path) -> None:
    needed = {name.split(".")[0] for name in imported(path)}

    assert needed <= {*sys.stdlib_module_names, "botocore", *assets.SHARED}
