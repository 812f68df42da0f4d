"""The process `s3agg`; `python -m s3agg` is the same."""

from __future__ import annotations

import gc
from typing import NoReturn

from s3agg.cli.main import main
from s3agg.cli.options import AS_USUAL, Seams

# What a command makes, mostly botocore's models of the services, stays to its end: looking through that for
# garbage, again and again and once more at the exit, takes as long as dozens of calls, and finds nothing.
OBJECTS_BETWEEN_LOOKS = 100_000


def run(seams: Seams = AS_USUAL) -> NoReturn:
    """Run the command line, and leave without tidying up what the end of the process tidies up anyway."""
    gc.set_threshold(OBJECTS_BETWEEN_LOOKS)
    try:
        main(seams=seams)
    finally:
        gc.freeze()


if __name__ == "__main__":
    run()
