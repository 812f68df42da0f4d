"""Steady uploads: an hour in virtual time on tables of several sizes, and ten minutes on the emulator.

    python -m tests.benchmarks.load
    python -m tests.benchmarks.load --handlers ../before/handlers

The second line measures the functions of another version, from the folder with their modules.
"""

from __future__ import annotations

import argparse
import inspect
import logging
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from s3agg import assets
from s3agg.local.machine import PATIENCE
from tests.benchmarks import report
from tests.e2e import support
from tests.e2e.bursts import counted
from tests.e2e.support import OwnStack
from tests.protocol.load import Load, figures
from tests.support.polling import eventually

BUCKETS, A_SECOND, INSTANCES = 20, 2, 10
QUIET_S = 600  # until the share shows every file
Cells = Mapping[str, float | None]  # of a row, by the heading of their column


def main() -> None:
    asked = _parser().parse_args()
    logging.disable(logging.CRITICAL)
    rows: dict[str, Cells] = {}
    with _handlers(asked.handlers) as modules:
        for units in (None, 5):
            load = Load(BUCKETS, A_SECOND, INSTANCES, asked.hours, units=units)
            name = "on demand" if units is None else f"{units} write units"
            sys.stderr.write(f"measuring {asked.hours:g} h in virtual time, {name}\n")
            rows[f"{BUCKETS} buckets, {A_SECOND}/s each, {name}, {asked.hours:g} h"] = virtual(load, modules)
    if asked.minutes:
        sys.stderr.write(f"measuring {asked.minutes:g} min on the emulator\n")
        rows[f"the emulator, one bucket, 20/s, {asked.minutes:g} min"] = real(
            asked.minutes, 20, asked.handlers
        )
    headings = list(next(iter(rows.values())))
    table = [
        ["load", *headings],
        *(
            [name, *("-" if row[each] is None else report.number(row[each] or 0) for each in headings)]
            for name, row in rows.items()
        ),
    ]
    sys.stdout.write(report.as_text(report.machine(), table) + "\n")


def virtual(load: Load, modules: Mapping[str, Any]) -> Cells:
    """The load in the protocol's world, with these modules of the functions instead of ours, if any."""
    found = figures(load.run(modules))
    return {
        "events": found.events,
        "dead letters": found.dead,
        "throttled calls": found.throttled,
        "aggregator writes": found.opening,
        "for each instance and window": found.writes_of_an_instance,
        "refresh writes": found.refreshing,
        "latest refresh s": found.latest_ms / 1000,
    }


def real(minutes: float, a_second: float, handlers: Path | None) -> Cells:
    """Uploads to one bucket on the emulator, with the default window and interval."""
    with tempfile.TemporaryDirectory() as home, support.world(Path(home), patience=PATIENCE) as world:
        bucket, stack = world.bucket(), world.stack()
        share = world.share(bucket)
        stack.run.must("create", "--bucket", bucket)
        if handlers is not None:
            _deploy(stack, handlers)
        with counted(stack) as counting:
            uploaded = _upload(world, bucket, minutes * 60, a_second)
            eventually(lambda: len(world.files(share)) == len(uploaded), QUIET_S)
            starts = [
                event["timestamp"] / 1000
                for event in stack.log(stack.names.refresher)
                if "Refreshing file share" in event["message"]
            ]
            windows = len(counting.refresher.closings)
            instances = counting.aggregator.instances
            writes = len(counting.aggregator.writes)
            refreshing = len(counting.refresher.writes)
        waits = [min((at - moment for at in starts if at >= moment), default=0.0) for moment in uploaded]
        return {
            "events": len(uploaded),
            "dead letters": stack.queued(stack.names.dead_letters),
            "throttled calls": None,
            "aggregator writes": writes,
            "for each instance and window": writes / (instances * windows),
            "refresh writes": refreshing,
            "latest refresh s": max(waits),
        }


def _upload(world: support.LocalAws, bucket: str, seconds: float, a_second: float) -> list[float]:
    """When each upload ended, s since 1970; they begin at an even pace."""
    uploaded: list[float] = []
    began = time.monotonic()
    count = round(seconds * a_second)
    pause = threading.Event()
    for number in range(count):
        pause.wait(max(began + number / a_second - time.monotonic(), 0))
        world.upload(bucket, f"file-{number}", threads=1)
        uploaded.append(time.time())
    return uploaded


def _deploy(stack: OwnStack, handlers: Path) -> None:
    """Give the stack's functions the code of a folder."""
    functions = stack.world.client("lambda")
    sources = {path.stem: path.read_text(encoding="utf-8") for path in handlers.glob("*.py")}
    sources.pop("__init__", None)
    for name in (stack.names.aggregator, stack.names.refresher):
        functions.update_function_code(FunctionName=name, ZipFile=assets.zipped(sources))
        functions.get_waiter("function_updated_v2").wait(FunctionName=name)


@contextmanager
def _handlers(folder: Path | None) -> Iterator[Mapping[str, Any]]:
    """The functions' modules from a folder, as the protocol's world wants them; none: ours."""
    if folder is None:
        yield {}
        return
    sys.path.insert(0, str(folder))
    zipped = {*assets.AGGREGATOR, *assets.REFRESHER} & sys.modules.keys()
    ours = {name: sys.modules.pop(name) for name in zipped}
    try:
        modules = {name: _module(folder / f"{name}.py") for name in ("s3_aggregator", "s3_sgw_refresh")}
        yield {
            "aggregators": _tolerant(modules["s3_aggregator"], "Aggregator"),
            "refreshers": _tolerant(modules["s3_sgw_refresh"], "Refresher"),
        }
    finally:
        sys.path.remove(str(folder))
        sys.modules.update(ours)


def _module(path: Path) -> Any:
    name = f"{path.stem} (another version)"
    module = sys.modules[name] = type(sys)(name)  # dataclasses look their module up while they are made
    exec(compile(path.read_text(encoding="utf-8"), str(path), "exec"), module.__dict__)  # noqa: S102  # ours
    return module


def _tolerant(module: Any, name: str) -> Any:
    """The module with a class that leaves aside what another version's does not take."""
    made = getattr(module, name)
    known = inspect.signature(made).parameters

    def make(**given: Any) -> Any:
        return made(**{key: value for key, value in given.items() if key in known})

    return SimpleNamespace(**{**vars(module), name: make})


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.load", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--hours", type=float, default=1, help="of virtual time")
    parser.add_argument("--minutes", type=float, default=10, help="on the emulator; 0: leave it out")
    parser.add_argument("--handlers", type=Path, help="folder of another version's functions")
    return parser


if __name__ == "__main__":
    main()
