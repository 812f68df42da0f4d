"""How long `test-upload` takes."""

from __future__ import annotations

from tests.benchmarks.figures import Figure
from tests.benchmarks.timing import timed
from tests.e2e.support import LocalAws, OwnStack
from tests.support.polling import eventually

WINDOW_S = 3
SPARE_S = 3
OBJECTS = 5


def figures(world: LocalAws, *, repeat: int) -> list[Figure]:
    """Five objects, each time to a new stack, and then once more when its functions are warm."""
    cold, warm = zip(*(_twice(world) for _ in range(repeat)), strict=True)
    return [
        Figure(
            f"test-upload, {OBJECTS} objects, window of {WINDOW_S} s",
            "s",
            warm,
            at_most=WINDOW_S + SPARE_S,
            note="the refresh function itself waits 2 s after the window, so that no event is missed",
        ),
        Figure(
            "the same, right after create",
            "s",
            cold,
            at_most=WINDOW_S + SPARE_S,
            note="both functions start first, one after the other",
        ),
    ]


def _twice(world: LocalAws) -> tuple[float, float]:
    stack, bucket = world.stack(), world.bucket()
    world.share(bucket)
    stack.run.must("create", "--bucket", bucket, "--window", str(WINDOW_S), "--min-interval", "1")
    try:
        cold, warm = _upload(stack), _upload(stack)
    finally:
        stack.end_functions()
    return cold, warm


def _upload(stack: OwnStack) -> float:
    seconds = timed(lambda: stack.run.must("test-upload", "--count", str(OBJECTS)))
    eventually(stack.is_quiet)  # what its removal of the objects brings
    return seconds
