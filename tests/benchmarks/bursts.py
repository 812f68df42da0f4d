"""A burst of uploads at several concurrencies of the aggregator, each on an emulator and a stack of its own.

    python -m tests.benchmarks.bursts --repeat 3

Not all of it carries over to AWS. The emulator starts workers on the processors that the uploads need too.
It tries a throttled event again within 4 s. The pauses of AWS grow to 5 minutes.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from tests.benchmarks import report
from tests.e2e import support
from tests.e2e.bursts import counted

HEADING = "concurrency"
# Of one run, by the heading of their column; None: it did not come about.
Figures = Mapping[str, float | None]


def main() -> None:
    asked = _parser().parse_args()
    about = {
        "uploads": asked.uploads,
        "threads": asked.threads,
        "window s": asked.window,
        **report.machine(),
    }

    runs: dict[int, list[Figures]] = {concurrency: [] for concurrency in asked.concurrency}
    for time in range(1, asked.repeat + 1):
        for concurrency, several in runs.items():  # in turn: what disturbs the machine disturbs them alike
            sys.stderr.write(f"run {time} of {asked.repeat}: concurrency {concurrency}\n")
            several.append(figures(concurrency, asked.uploads, asked.threads, asked.window))
    if asked.json:
        each = [{HEADING: concurrency, **run} for concurrency, several in runs.items() for run in several]
        text = report.as_json(about, "runs", each)
    else:
        names = list(next(iter(runs.values()))[0])
        rows = [
            [str(concurrency), *(report.several([run[name] for run in several]) for name in names)]
            for concurrency, several in runs.items()
        ]
        text = report.as_text(about, [[HEADING, *names], *rows])
    sys.stdout.write(f"{text}\n")


def figures(concurrency: int, uploads: int, threads: int, window_s: int) -> Figures:
    """One burst, from an emulator without anything to the end of all that follows."""
    with tempfile.TemporaryDirectory() as home, support.world(Path(home)) as world:
        bucket, stack = world.bucket(), world.stack()
        share = world.share(bucket)
        options = {"--window": window_s, "--min-interval": 1, "--concurrency": concurrency}
        words = [str(word) for option in options.items() for word in option]
        stack.run.must("create", "--bucket", bucket, *words)
        with counted(stack) as counting:
            burst = counting.burst(bucket, share, uploads=uploads, threads=threads)
    return {
        "uploading s": burst.uploaded - burst.began,
        "complete s": None if burst.complete is None else burst.complete - burst.began,
        "missing": burst.missing,
        "throttled": burst.throttled,
        "dead letters": len(burst.dead),
        "executions": burst.log.executions,
        "median ms": burst.log.median_ms,
        "slowest ms": burst.log.slowest_ms,
        "sent": burst.log.opened,
        "skipped": burst.log.skipped,
        "refreshes": burst.refreshes,
        "instances": burst.instances,
        "aggregator writes": burst.aggregator_writes,
        "of at most": burst.most_aggregator_writes,
        "refresh writes": burst.refresher_writes,
    }


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.bursts", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--uploads", type=int, default=2000)
    parser.add_argument("--threads", type=int, default=16)
    parser.add_argument("--window", type=int, default=4, help="in seconds")
    parser.add_argument("--concurrency", type=int, nargs="+", default=[1, 2, 5, 10])
    parser.add_argument("--repeat", type=int, default=1, help="how often each; medians are shown")
    parser.add_argument("--json", action="store_true", help="every run's figures as JSON")
    return parser


if __name__ == "__main__":
    main()
