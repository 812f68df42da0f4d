"""How long `test-upload` takes."""

from __future__ import annotations

from tests.benchmarks.figures import Figure
from tests.benchmarks.provisioning import timed
from tests.e2e.support import PATIENCE_S, World, eventually

WINDOW_S = 3
SPARE_S = 3
OBJECTS = 5


def figures(world: World, *, repeat: int) -> list[Figure]:
    """Five objects, again and again: the functions are warm but for the first time, which is not counted."""
    stack, bucket = world.stack(), world.bucket()
    world.share(bucket)
    stack.run.must("create", "--bucket", bucket, "--window", str(WINDOW_S), "--min-interval", "1")
    seconds = []
    for _ in range(repeat + 1):
        seconds.append(timed(lambda: stack.run.must("test-upload", "--count", str(OBJECTS))))
        eventually(stack.is_quiet, PATIENCE_S)  # what its removal of the objects brings
    stack.end_functions()
    return [
        Figure(
            f"test-upload, {OBJECTS} objects, window of {WINDOW_S} s",
            "s",
            seconds[1:],
            at_most=WINDOW_S + SPARE_S,
            note="the refresh function itself waits 2 s after the window, so that no event is missed.",
        )
    ]
