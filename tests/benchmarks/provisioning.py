"""How long `create`, `status` and `delete` take, process start included, on the emulator."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

from tests.benchmarks import baseline, chains, delayed
from tests.benchmarks.chains import Chain
from tests.benchmarks.figures import Figure
from tests.e2e.support import OwnStack, World

# The blog's script sleeps 10 s, twice; how many times as fast `create` is to be beside it, and without.
PAUSES = {10: 20, 0: 6}
DELAY_MS = 100
MANY = 30
TREE = Path(__file__).parents[2]


@dataclass(frozen=True)
class Run:
    """One command: how long it took, and the calls that it made."""

    seconds: float
    calls: Sequence[delayed.Call]


def figures(world: World, *, repeat: int, small: bool) -> list[Figure]:
    """`small` leaves the sleeps away and most of the buckets: then only the counts mean something."""
    return [
        *_against_the_script(world, repeat, {0: None} if small else PAUSES),
        *_with_slow_calls(world, repeat),
        _many_buckets(world, repeat, 3 if small else MANY),
    ]


def _against_the_script(world: World, repeat: int, pauses: Mapping[int, float | None]) -> list[Figure]:
    ours: list[float] = []
    theirs: dict[int, list[float]] = {pause: [] for pause in pauses}
    for _ in range(repeat):
        ours.append(timed(lambda: _create(world)))
        for pause, seconds in theirs.items():
            seconds.append(_script(world, pause))
    return [
        Figure(
            "create, a new stack",
            "s",
            ours,
            against=f"AWS CLI script, {f'two sleeps of {pause} s' if pause else 'no sleeps'}",
            theirs=theirs[pause],
            ratio_of=ratio,
        )
        for pause, ratio in pauses.items()
    ]


def _create(world: World) -> None:
    stack = world.stack()
    stack.run.must("create", "--bucket", world.bucket())


def _script(world: World, pause_s: float) -> float:
    with tempfile.TemporaryDirectory() as folder:
        return baseline.run(world.stack(), world.bucket(), Path(folder), pause_s=pause_s)


def _with_slow_calls(world: World, repeat: int) -> list[Figure]:
    """Each command with and without 100 ms on every call, in turn."""
    fast: dict[str, list[Run]] = {}
    slow: dict[str, list[Run]] = {}
    for _ in range(repeat):
        for runs, delay_ms in ((fast, 0), (slow, DELAY_MS)):
            stack, bucket = world.stack(), world.bucket()
            for name, arguments in {
                "create, a new stack": ("create", "--bucket", bucket),
                "create, nothing to change": ("create", "--bucket", bucket),
                "status": ("status",),
                "delete": ("delete", "--yes"),
            }.items():
                runs.setdefault(name, []).append(_recorded(stack, delay_ms, *arguments))
    limits = {
        "create, a new stack": (chains.NEW, 1.5 * len(chains.NEW)),
        "create, nothing to change": (chains.UNCHANGED, 5),
        "status": (chains.STATUS, 4),
        "delete": (chains.DELETE, None),
    }
    return [
        figure
        for name, (chain, most) in limits.items()
        for figure in _slow(name, fast[name], slow[name], chain, most)
    ]


def _slow(
    name: str, fast: Sequence[Run], slow: Sequence[Run], chain: Chain, most_rounds: float | None
) -> list[Figure]:
    """`most_rounds` of slow calls, on top of the start-up, is what the command may take."""
    start_up = [run.seconds for run in fast]
    for run in slow:
        there = chains.found(chain, run.calls)
        assert there == len(chain), f"{name}: no {chain[there]} after {', '.join(chain[:there])}"
    row = chains.rounds(slow[-1].calls)
    return [
        Figure(
            f"{name}, + {DELAY_MS} ms a call",
            "s",
            [run.seconds for run in slow],
            at_most=None if most_rounds is None else most_rounds * DELAY_MS / 1000 + median(start_up),
            against="start-up: the same without",
            theirs=start_up,
        ),
        Figure(
            f"{name}, calls",
            "calls",
            [len(run.calls) for run in slow],
            note=f"{len(row)} go one after the other, of which {len(chain)} need each other:"
            f" {', '.join(chain)}.",
        ),
    ]


def _recorded(stack: OwnStack, delay_ms: int, *arguments: str) -> Run:
    record = stack.run.folder / "calls.json"
    slowed = replace(
        stack.run.set(PYTHONPATH=str(TREE)),
        command=(sys.executable, "-m", "tests.benchmarks.delayed", str(delay_ms), str(record)),
    )
    seconds = timed(lambda: slowed.must(*arguments))
    return Run(seconds, delayed.read(record))


def _many_buckets(world: World, repeat: int, number: int) -> Figure:
    one, many = [], []
    for _ in range(repeat):
        one.append(timed(lambda: _create(world)))
        buckets = [word for _ in range(number) for word in ("--bucket", world.bucket())]
        stack = world.stack()
        many.append(timed(lambda stack=stack, words=buckets: stack.run.must("create", *words)))  # type: ignore[misc]  # mypy sees no default arguments of a lambda
    return Figure(
        f"create, {number} buckets",
        "s",
        many,
        at_most=3 * median(one),
        against="one bucket",
        theirs=one,
    )


def timed(act: Callable[[], object]) -> float:
    """How long that takes, in s."""
    started = time.monotonic()
    act()
    return time.monotonic() - started
