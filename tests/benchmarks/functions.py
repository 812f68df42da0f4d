"""Both functions beside the blog's rule and beside `import boto3`: their time, calls and table writes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from s3agg import assets
from s3agg.errors import plural
from s3agg.local.session import KEY
from tests.benchmarks import refreshes
from tests.benchmarks.figures import Figure
from tests.e2e.counting import VARIABLE, door
from tests.e2e.support import LocalAws
from tests.support import blog
from tests.support.handlers import known

ROOT = Path(__file__).parents[2]
REGION = "eu-west-3"  # the blog's function knows its table by name alone: no stack is here
WINDOW_S = 900  # longer than all events of a run take, and as long as SQS delays a message
PATIENCE_S = 600
HANDLERS = Path(str(files("s3agg.handlers")))
OURS = HANDLERS / "s3_aggregator.py"
THEIRS = blog.FUNCTIONS / "s3_aggregator.py"
THE_BLOGS = "the blog's rule"

# What a cold start does until it can make its first call; and what it does not get on without.
AGGREGATOR = "import s3_aggregator; instance = s3_aggregator.this_instance()"
REFRESHER = "import s3_sgw_refresh; s3_sgw_refresh.this_instance('arn:aws:lambda:eu-west-3:000000000000:f')"
BOTO3 = "import boto3; boto3.client('dynamodb')"
BOTO3_AND_ALL = f"{BOTO3}; boto3.client('sqs'); [boto3.client('storagegateway') for _ in range(2)]"
TIMED = "from time import perf_counter\nbegan = perf_counter()\n{}\nprint((perf_counter() - began) * 1000)"
LISTED = "import sys\n{}\nprint(*sys.modules)"


def figures(world: LocalAws, *, small: bool) -> list[Figure]:
    """Their figures, on an emulator that runs; `small` shows that all of it works, and not more."""
    with a_place(world) as environment, a_folder_of_handlers() as folder:
        return [
            *inside_a_window(
                environment, runs=1 if small else 5, ours=50 if small else 5000, theirs=10 if small else 300
            ),
            *with_known_shares(world, environment, runs=1 if small else 5, events=50 if small else 5000),
            writes(world, environment, events=200 if small else 10_000),
            *cold_starts(environment, folder, runs=1 if small else 15),
            packages(environment, folder),
            *refreshes.figures(world, REGION, shares=25 if small else 250),
        ]


@contextmanager
def a_place(world: LocalAws) -> Iterator[dict[str, str]]:
    """The environment of a function, whose table and queue are gone afterwards."""
    dynamodb, sqs = world.client("dynamodb", REGION), world.client("sqs", REGION)
    dynamodb.create_table(
        TableName=blog.TABLE,
        KeySchema=[{"AttributeName": "BucketName", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "BucketName", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    queue_url = sqs.create_queue(QueueName=blog.QUEUE)["QueueUrl"]
    try:
        yield {
            "PATH": os.environ["PATH"],
            "HOME": str(world.home),
            "NO_PROXY": "127.0.0.1",
            "PYTHONDONTWRITEBYTECODE": "1",  # a function's folder cannot be written to
            "AWS_ENDPOINT_URL": world.machine.emulator.url,
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": KEY,
            "AWS_DEFAULT_REGION": REGION,
            "TABLE_NAME": blog.TABLE,
            "QUEUE_URL": queue_url,
            "REFRESH_DELAY_SECONDS": str(WINDOW_S),
            "LOG_LEVEL": "INFO",
        }
    finally:
        dynamodb.delete_table(TableName=blog.TABLE)
        sqs.delete_queue(QueueUrl=queue_url)


@contextmanager
def a_folder_of_handlers() -> Iterator[Path]:
    """As Lambda unpacks them: the source alone, which each cold start compiles."""
    with tempfile.TemporaryDirectory() as folder:
        for module in HANDLERS.glob("[!_]*.py"):
            shutil.copy(module, folder)
        yield Path(folder)


# Events within one window


@dataclass(frozen=True)
class Instance:
    """One warm instance; see one_function."""

    median_us: float
    network: int


def run(handler: Path, bucket: str, events: int, environment: Mapping[str, str]) -> Instance:
    """Run the function for so many events after the first one of a bucket that had none."""
    module = ["-m", "tests.benchmarks.one_function"]
    told = python([*module, str(handler), bucket, str(events)], ROOT, environment)
    return Instance(**json.loads(told))


def inside_a_window(
    environment: Mapping[str, str], *, runs: int, ours: int, theirs: int
) -> tuple[Figure, Figure]:
    """How long such an event takes, and how often it uses the network; in turn with the blog's."""
    pairs = [
        (
            run(OURS, f"ours-{each}", ours, environment),
            run(THEIRS, f"theirs-{each}", theirs, environment),
        )
        for each in range(runs)
    ]
    assert all(their.network >= theirs for _, their in pairs), "they did not hear every call"
    return (
        Figure(
            "event inside a known window",
            "µs",
            [our.median_us for our, _ in pairs],
            at_most=50,
            against=THE_BLOGS,
            theirs=[their.median_us for _, their in pairs],
            ratio_of=20,
            note=f"the whole handler, with its log line; each run is the median of {ours} events in a warm "
            f"process of its own, of {theirs} for the blog's rule, which asks the emulator",
        ),
        Figure(
            "network calls of such an event",
            "calls",
            [our.network / ours for our, _ in pairs],
            at_most=0,
            note="by Python's audit events in the same processes, which hear every call of the blog's rule",
        ),
    )


def with_known_shares(
    world: LocalAws, environment: Mapping[str, str], *, runs: int, events: int
) -> Iterator[Figure]:
    """How long an event in a known window takes if the item tells of many file shares."""
    for shares in (1, 50, 250):
        took = []
        for each in range(runs):
            bucket = f"shares-{shares}-{each}"
            prefixes = {f"share-{number:08X}": f"folder-{number}/" for number in range(1, shares)}
            item = {"BucketName": {"S": bucket}, **known({"share-00000000": "folder/", **prefixes})}
            world.client("dynamodb", REGION).put_item(TableName=blog.TABLE, Item=item)
            took.append(run(OURS, bucket, events, environment).median_us)
        yield Figure(
            f"such an event with {plural(shares, 'file share')} known",
            "µs",
            took,
            at_most=50,
            note="each on a prefix of its own; one of them shows the object",
        )


def writes(world: LocalAws, environment: Mapping[str, str], *, events: int) -> Figure:
    """How often one warm instance writes to the table."""

    def counted(handler: Path, bucket: str) -> int:
        with door(world.machine.emulator.url) as counting:
            run(handler, bucket, events - 1, {**environment, VARIABLE: counting.url})
        return len(counting.writes)

    return Figure(
        f"table writes of {events} events in one window",
        "writes",
        [counted(OURS, "counted-ours")],
        at_most=1,  # DESIGN 2, Cost: once a window, and once a second where it is due in 2 s, which it is not
        against=THE_BLOGS,
        theirs=[counted(THEIRS, "counted-theirs")],
        note="counted in front of the emulator, of one warm instance; a refused one is a write",
    )


# Cold starts


def cold_starts(environment: Mapping[str, str], folder: Path, *, runs: int) -> Iterator[Figure]:
    """How long imports and first clients take, in turn with those of boto3."""

    def measured(code: str) -> float:
        return float(python(["-c", TIMED.format(code)], folder, environment))

    each = [[measured(code) for code in (AGGREGATOR, BOTO3, REFRESHER, BOTO3_AND_ALL)] for _ in range(runs)]
    aggregator, boto3, refresher, boto3_and_all = zip(*each, strict=True)
    yield Figure(
        "aggregator's import and first client",
        "ms",
        aggregator,
        ratio_of=1,
        against="import boto3, one client",
        theirs=boto3,
        note="within a new process; its own file is compiled each time, as in Lambda",
    )
    yield Figure(
        "refresh function's import and its clients",
        "ms",
        refresher,
        against="import boto3, the same clients",
        theirs=boto3_and_all,
    )


def packages(environment: Mapping[str, str], folder: Path) -> Figure:
    """Which packages a cold start imports for the aggregator alone."""

    def modules(code: str) -> set[str]:
        return set(python(["-c", LISTED.format(code)], folder, environment).split())

    own = modules(f"{AGGREGATOR}; instance.sqs()") - modules(f"{BOTO3}; boto3.client('sqs')")
    own -= {OURS.stem, *assets.AGGREGATOR}
    packages = {name.split(".")[0] for name in own} - sys.stdlib_module_names - {"boto3", "botocore"}
    return Figure(
        "packages that it imports and boto3 does not",
        "packages",
        [len(packages)],
        at_most=0,
        note=f"with its clients of both services; modules of its own: {', '.join(sorted(own)) or 'none'}",
    )


def python(arguments: list[str], folder: Path, environment: Mapping[str, str]) -> str:
    """What a process says that has this environment alone."""
    return subprocess.run(  # noqa: S603  # our own code
        [sys.executable, *arguments],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        timeout=PATIENCE_S,
        check=True,
    ).stdout
