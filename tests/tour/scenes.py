"""The tour: every command, really run on this machine, and what its user then sees."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import pyte

from s3agg.local import machine
from s3agg.settings import Names
from tests.e2e.support import LocalAws
from tests.support import terminal
from tests.support.polling import eventually
from tests.support.terminal import Terminal

BUCKET = "my-uploads"
CODE_BUCKET = "my-code"
NAMES = Names()
COLUMNS, ROWS = 80, 100
WIDE = 240  # a log line with ARNs and ids, whole
QUICK = "--window 12 --min-interval 1"


@dataclass(frozen=True)
class Scene:
    """A command line, and the screen as it is now."""

    name: str
    line: str
    screen: pyte.Screen


@dataclass(frozen=True)
class Tour:
    """One walk through all commands, on a machine of its own."""

    world: LocalAws
    home: Path

    def terminal(self, line: str, columns: int = COLUMNS) -> AbstractContextManager[Terminal]:
        environment = self.world.cli.environment
        path = f"{Path(sys.executable).parent}:{environment['PATH']}"
        return terminal.running(
            ["sh", "-c", line], {**environment, "PATH": path}, self.home, columns=columns, rows=ROWS
        )

    def run(self, name: str, line: str, *, code: int = 0, columns: int = COLUMNS) -> Scene:
        """Run to the end."""
        with self.terminal(line, columns) as seen:
            ended = seen.wait()
            assert ended == code, seen.text
            return Scene(name, line, seen.screen)


def scenes(home: Path) -> Iterator[Scene]:
    """Walk through all of it."""
    with machine.running() as here:
        tour = Tour(LocalAws(here, home), home)
        yield from walk(tour)


def walk(tour: Tour) -> Iterator[Scene]:
    """Every command in an order in which somebody might meet them."""
    world = tour.world
    world.client("s3").create_bucket(Bucket=BUCKET)
    world.share(BUCKET, CacheAttributes={"CacheStaleTimeoutInSeconds": 300})
    yield tour.run("help", "s3agg --help")
    yield tour.run("dry-run", f"s3agg create --bucket {BUCKET} {QUICK} --dry-run", code=3)
    yield tour.run("create", f"s3agg create --bucket {BUCKET} {QUICK}")
    line = f"s3agg test-upload --bucket {BUCKET}"
    with tour.terminal(line) as seen:
        seen.look_until(lambda so: "to close in" in so.text and "uploaded" not in so.text)
        yield Scene("test-upload-live", line, seen.screen)
        assert seen.wait() == 0, seen.text
        yield Scene("test-upload", line, seen.screen)
    yield tour.run("logs", f"s3agg logs --bucket {BUCKET}", columns=WIDE)
    eventually(lambda: not world_is_busy(world))
    yield tour.run("status", "s3agg status")
    yield tour.run("list", "s3agg list")
    spoil(world)
    yield tour.run("status-unhealthy", "s3agg status", code=3)
    yield tour.run("redrive", "s3agg redrive --dry-run", code=3)
    yield tour.run("mend", "s3agg create")
    yield tour.run("refresh", f"s3agg refresh --bucket {BUCKET}")
    ways = "--prefix in/ --prefix new/ --via eventbridge"
    yield tour.run("eventbridge", f"s3agg create --bucket {BUCKET} {ways} --dry-run", code=3)
    yield tour.run("policy", f"s3agg policy --bucket {BUCKET} | head -n 24")
    yield tour.run("cost", "s3agg cost --objects-per-day 1000 --refreshes-per-day 50")
    world.client("s3").create_bucket(Bucket=CODE_BUCKET)
    line = f"s3agg template --bucket {BUCKET} --code-bucket {CODE_BUCKET} | head -n 28"
    yield tour.run("template", line)
    yield tour.run("completion", "s3agg completion bash | head -n 8")
    line = "s3agg delete"
    with tour.terminal(line) as seen:
        seen.look_until(lambda so: "[y/N]" in so.text)
        seen.type("y\n")
        assert seen.wait() == 0, seen.text
        yield Scene("delete", line, seen.screen)
    yield tour.run("mistake", "s3agg staus", code=2)
    yield tour.run("demo", "s3agg demo --count 8")
    line = "s3agg local --port 0"
    with tour.terminal(f"exec {line}") as seen:
        seen.look_until(lambda so: "Ctrl-C" in so.text)
        yield Scene("local", line, seen.screen)
        seen.interrupt()
        seen.wait()


def world_is_busy(world: LocalAws) -> bool:
    items = world.client("dynamodb").scan(TableName=NAMES.table)["Items"]
    return any({"opened_by", "pending"} & item.keys() for item in items)


def spoil(world: LocalAws) -> None:
    """Be somebody who changes this and that by hand, and have a message fail for good."""
    sqs = world.client("sqs")
    world.client("logs").delete_retention_policy(logGroupName=f"/aws/lambda/{NAMES.aggregator}")
    world.client("lambda").remove_permission(FunctionName=NAMES.aggregator, StatementId=f"SID_{BUCKET}")
    sqs.send_message(
        QueueUrl=sqs.get_queue_url(QueueName=NAMES.dead_letters)["QueueUrl"],
        MessageBody="{}",
        MessageAttributes={
            "bucket-name": {"DataType": "String", "StringValue": BUCKET},
            "timestamp": {"DataType": "Number", "StringValue": "1534097642149"},
        },
    )


SAME = {"help", "dry-run", "create", "list", "mend", "cost", "completion", "delete", "mistake"}
SHUFFLED = {"policy", "template"}  # what goes to stderr comes sooner or later
SLOW = re.compile(r"^waiting for [^(]*\(\d+ s[^)]*\)\n?", re.MULTILINE)  # where the machine has other work
# What differs from run to run, and what stands for it.
DIFFERS = (
    (r"\d{4}-\d\d-\d\dT[\d:.]+Z|\d{4}-\d\d-\d\d|\d\d:\d\d:\d\d(\.\d+)?", "TIME"),
    (r"[0-9a-f]{8}-[0-9a-f-]{27}", "REQUEST"),
    (r"s3agg-test-[0-9a-f]{12}", "s3agg-test-RUN"),
    (r"share-[0-9A-F]{8}", "SHARE"),
    (r"opened the window|in the window", "BECAME"),
    (r"[▁▂▃▄▅▆▇█]+", "BARS"),
    (r"-?\d[\d. ]*(?=$|\W)|\d+", "N"),
    (r"^[|/\\-] ", ""),
    (r"[ ━╸╺]+", " "),
)


def form(line: str) -> str:
    """A line without what differs from run to run."""
    for pattern, name in DIFFERS:
        line = re.sub(pattern, name, line)
    return line.strip()


def forms(name: str, text: str) -> list[str]:
    """What a scene shows in every run: its lines, or their forms where time and chance have a say."""
    lines = SLOW.sub("", text).splitlines()
    if name in SAME:
        return lines
    if name in SHUFFLED:
        return sorted(lines)
    return sorted({each for each in map(form, lines) if each})
