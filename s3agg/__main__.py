"""The entry point of `s3agg` and of `python -m s3agg`."""

from __future__ import annotations

import gc
from typing import NoReturn

from s3agg.cli.main import main
from s3agg.cli.options import DEFAULT_SEAMS, Seams

# Most objects of a command, such as botocore's service models, live until its end. Garbage collection would
# scan them many times, find nothing, and take as long as dozens of AWS calls.
OBJECTS_BETWEEN_LOOKS = 100_000


def run(seams: Seams = DEFAULT_SEAMS) -> NoReturn:
    """Run the command line. At the end, skip garbage collection: the process exits."""
    gc.set_threshold(OBJECTS_BETWEEN_LOOKS)
    try:
        main(seams=seams)
    finally:
        gc.freeze()


if __name__ == "__main__":
    run()
