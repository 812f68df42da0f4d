"""Output to terminals, pipes and logs, of different widths and encodings.

The commands run in this process, with moto. The streams for stdout and stderr have an encoding, and are a
terminal or not: a process knows no more about them.
"""

from __future__ import annotations

import io
import os
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

import pytest
from moto.core.models import MockAWS

from s3agg.aws.session import Aws
from s3agg.cli.invocation import Seams
from s3agg.cli.main import main
from s3agg.commands.status import LOOK_S
from s3agg.settings import Names
from tests.support.aws import REGION, Session, Wire, empty, make_bucket, share_of, watch
from tests.support.clock import Clock
from tests.support.environment import environment
from tests.support.functions import Functions
from tests.support.ran import Ran

pytestmark = pytest.mark.stack

ESCAPE = "\x1b"
COLOUR = re.compile(r"\x1b\[[\d;]*m")
HIDDEN, SHOWN = "\x1b[?25l", "\x1b[?25h"  # the cursor
# Names of the maximum length.
BUCKET = "bucket-with-a-name-of-sixty-three-letters".ljust(63, "z")
NAMES = Names("S".ljust(32, "x"))
USAGE = 2
Variables = Mapping[str, str]
NONE: Variables = MappingProxyType({})
# Commands that change nothing.
READING = (
    ("--help",),
    ("create", "--help"),
    ("status",),
    ("list",),
    ("create", "--window", "9", "--dry-run"),
    ("delete", "--dry-run"),
    ("redrive", "--dry-run"),
    ("cost", "--objects-per-day", "100000"),
    ("logs", "--since", "1h"),
    ("policy",),
    ("template", "--zips", "zips", "--tag", "team=Käse"),
    ("completion", "bash"),
    ("status", "--stack", "Café"),
)
TABLES = READING[2:8]
CHANGING = (("create", "--window", "2"), ("test-upload", "--count", "1"), ("create", "--window", "1"))


class Stream(io.BytesIO):
    """An output stream: a terminal or not."""

    def __init__(self, *, terminal: bool) -> None:
        super().__init__()
        self.terminal = terminal

    def isatty(self) -> bool:
        return self.terminal


@contextmanager
def standard_streams(*, terminal: bool, encoding: str) -> Iterator[Callable[[], tuple[str, str]]]:
    """Replace stdout and stderr for a while, and record the output."""
    streams = [io.TextIOWrapper(Stream(terminal=terminal), encoding, newline="\n") for _ in range(2)]
    read_as = "utf-8" if encoding == "ascii" else encoding  # click treats ASCII as a mistake and uses UTF-8

    def written() -> tuple[str, str]:
        for stream in streams:
            stream.flush()
        out, err = (stream.buffer.getvalue().decode(read_as) for stream in streams)
        return out, err

    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = streams
    try:
        yield written
    finally:
        sys.stdout, sys.stderr = before


class Working(Clock):
    """A fake clock. On each sleep, the functions process the uploads."""

    def __init__(self) -> None:
        super().__init__(time.time())
        self.work: Callable[[], object] = lambda: None

    def sleep(self, seconds: float, /) -> None:
        super().sleep(seconds)
        self.work()


@dataclass
class Place:
    """A stack with content for every view, and command lines for it."""

    session: Session
    wire: Wire
    aws: Aws
    clock: Working
    handled: set[str] = field(default_factory=set)

    def __call__(
        self, *arguments: str, terminal: bool = False, encoding: str = "utf-8", variables: Variables = NONE
    ) -> Ran:
        """Run a command, with a terminal or without one."""
        seams = Seams(self.session, self.clock, workers=1)
        known = {"TERM": "xterm-256color", "S3AGG_STACK": NAMES.stack, **variables}
        streams = standard_streams(terminal=terminal, encoding=encoding)
        with environment(known), streams as written, pytest.raises(SystemExit) as ended:
            main(arguments, seams)
        return Ran(int(str(ended.value.code)), *written(), arguments[0])

    def must(self, *arguments: str, terminal: bool = False, variables: Variables = NONE) -> Ran:
        """Run a command that must succeed."""
        ran = self(*arguments, terminal=terminal, variables=variables)
        assert ran.code == 0, ran
        return ran

    def work(self) -> None:
        """Act as the functions: log the events first, then the refresh."""
        functions = Functions(self.aws, self.clock, BUCKET, NAMES)
        uploaded = {str(put["Key"]) for put in self.wire.made("s3:PutObject")} - self.handled
        if uploaded:
            functions.handle(sorted(uploaded))
            self.handled |= uploaded
        else:
            functions.refresh()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A working folder for what the commands write."""
    before = Path.cwd()
    os.chdir(tmp_path_factory.mktemp("folder"))
    yield
    os.chdir(before)


@pytest.fixture(scope="module")
def place(running_moto: MockAWS, folder: None) -> Place:  # noqa: ARG001  # to be in it
    """A stack with drift, an error in the log, a dead letter and an unusual key."""
    empty(running_moto)
    session, clock = Session().with_credentials(), Working()
    session.set_config_variable("region", REGION)
    wire = watch(session)
    wire.answer("s3:PutObject", {})  # moto would start Docker to run the function
    wire.have_shares(share_of(BUCKET, "share-1"))
    aws = Aws(session=Session().with_credentials(), region=REGION)
    place = Place(session, wire, aws, clock)
    make_bucket(aws, BUCKET)
    place.must("create", "--bucket", BUCKET)
    functions = Functions(aws, clock, BUCKET, NAMES)
    functions.can_log()
    functions.handle(["Käse-\u2603"])
    functions.log(NAMES.refresher, "[ERROR]\tKäse-\u2603")
    url = aws.sqs.get_queue_url(QueueName=NAMES.dead_letters)["QueueUrl"]
    letter = {"bucket-name": {"DataType": "String", "StringValue": BUCKET}}
    aws.sqs.send_message(QueueUrl=url, MessageBody="{}", MessageAttributes=letter)  # type: ignore[arg-type]
    found = aws.lambda_.get_function_configuration(FunctionName=NAMES.aggregator)
    variables = {**found["Environment"]["Variables"], "LOG_LEVEL": "ERROR"}
    aws.lambda_.update_function_configuration(
        FunctionName=NAMES.aggregator, Environment={"Variables": variables}
    )
    clock.work = place.work
    return place


# Colour and cursor movement


def test_a_terminal_gets_colour(place: Place) -> None:
    assert COLOUR.search(place("status", terminal=True).stdout)


@pytest.mark.parametrize("command", READING)
def test_no_color_leaves_no_escape_code_on_a_terminal(place: Place, command: tuple[str, ...]) -> None:
    ran = place(*command, terminal=True, variables={"NO_COLOR": "1"})

    assert ran.output
    assert ESCAPE not in ran.output


@pytest.mark.parametrize("variables", [{"NO_COLOR": "1"}, {"TERM": "dumb"}], ids=str)
def test_progress_comes_as_lines_where_nothing_can_be_redrawn(place: Place, variables: Variables) -> None:
    screens = [place.must(*command, terminal=True, variables=variables).output for command in CHANGING]

    assert "updated function" in screens[0]
    assert "Waiting for" in screens[1]
    assert ESCAPE not in "".join(screens)


def test_progress_is_redrawn_on_a_terminal(place: Place) -> None:
    screen = place.must("test-upload", "--count", "1", terminal=True).stderr

    assert HIDDEN in screen
    assert screen.index(HIDDEN) < screen.index(SHOWN)


@pytest.mark.parametrize("variables", [{}, {"CI": "true", "GITHUB_ACTIONS": "true"}], ids=str)
def test_there_are_no_escape_codes_and_few_lines_in_a_log(place: Place, variables: Variables) -> None:
    ran = [place.must(*command, variables={"COLORTERM": "truecolor", **variables}) for command in CHANGING]

    told = "".join(each.output for each in ran)
    assert ESCAPE not in told
    assert "\r" not in told
    assert all(len(each.stderr.splitlines()) <= 20 for each in ran), ran
    assert all(len(set(lines)) == len(lines) for lines in [each.stderr.splitlines() for each in ran])


def test_colour_that_is_forced_moves_no_cursor_in_a_log(place: Place) -> None:
    told = place.must("test-upload", "--count", "1", variables={"FORCE_COLOR": "1", "CI": "true"}).output

    assert COLOUR.search(told)
    assert ESCAPE not in COLOUR.sub("", told)


@pytest.mark.parametrize("variables", [{"FORCE_COLOR": "1", "NO_COLOR": "1"}, {"FORCE_COLOR": "0"}], ids=str)
def test_colour_that_is_not_wanted_is_not_forced(place: Place, variables: Variables) -> None:
    assert ESCAPE not in place("status", variables=variables).stdout


@contextmanager
def ctrl_c_while_waiting(place: Place) -> Iterator[None]:
    """Press Ctrl-C when a command waits between two reads."""

    def press() -> None:
        if place.clock.slept[-1] >= LOOK_S:  # not while it only paces its calls (FACTS 35)
            raise KeyboardInterrupt

    place.clock.work = press
    try:
        yield
    finally:
        place.clock.work = place.work


def test_a_status_is_watched_without_colour(place: Place) -> None:
    with ctrl_c_while_waiting(place):
        watched = place("status", "--watch", terminal=True, variables={"NO_COLOR": "1"})

    assert "Buckets" in watched.stdout
    assert not COLOUR.search(watched.output)


def test_a_watched_status_exits_with_the_code_of_the_last_screen(place: Place) -> None:
    with ctrl_c_while_waiting(place):
        watched = place("status", "--watch", terminal=True)

    assert "Not healthy" in watched.stdout
    assert watched.code == place("status").code


def test_a_dumb_terminal_is_not_watched(place: Place) -> None:
    with ctrl_c_while_waiting(place):
        ran = place("status", "--watch", terminal=True, variables={"TERM": "dumb"})

    assert ran.code == USAGE
    assert len(ran.output.splitlines()) == 1


# Width


def column(screen: str, title: str) -> str:
    """The text of a column in any table, with folded parts joined."""
    words = ""
    start = end = None
    for line in screen.splitlines():
        if found := re.search(rf"(?:^|  ){title}(?:  +(\S)|\s*$)", line):
            start = found.start() + len(found[0]) - len(found[0].lstrip())
            end = found.start(1) if found[1] else None
        elif start is not None:
            words += line[start:end].strip()
    return words


@pytest.mark.parametrize("columns", [60, 200])
def test_no_line_is_longer_than_the_screen_and_no_name_is_cut_off(place: Place, columns: int) -> None:
    ran = {command: place(*command, variables={"COLUMNS": str(columns)}) for command in TABLES}

    assert max(len(line) for each in ran.values() for line in each.stdout.splitlines()) <= columns
    told = column(ran["delete", "--dry-run"].stdout, "name")
    for name in (NAMES.refresher, NAMES.refresh_role, NAMES.gateway_policy, NAMES.dead_letters, BUCKET):
        assert name in told
    for title, name in (("bucket", BUCKET), ("queue", NAMES.dead_letters)):
        assert name in column(ran["status",].stdout, title)


def names_cut_off(ran: Ran) -> list[str]:
    """The longest names that the output does not contain whole."""
    longest = (NAMES.gateway_policy, f"/aws/lambda/{NAMES.refresher}", BUCKET)
    return [name for name in longest if name not in ran.stdout]


@pytest.mark.parametrize(
    "columns", ["0", "nonsense", "", "\u00b2\u00b3", "9" * 5000], ids=lambda each: each[:9]
)
def test_columns_that_are_no_number_of_columns_do_not_count(place: Place, columns: str) -> None:
    assert names_cut_off(place("status", variables={"COLUMNS": columns, "LINES": columns})) == []


def test_names_are_whole_in_a_pipe_that_nobody_gave_a_width(place: Place) -> None:
    assert names_cut_off(place("status", variables={"FORCE_COLOR": "1"})) == []


TOPIC = f"arn:aws:sns:{REGION}:123456789012:{'x' * 256}"


def test_an_arn_of_the_greatest_length_is_whole_in_a_pipe(place: Place) -> None:
    assert TOPIC in place("create", "--dry-run", "--alarm-topic", TOPIC).stdout


def test_an_error_is_wrapped_at_words_on_a_terminal_and_one_line_elsewhere(place: Place) -> None:
    command = ("create", "--dry-run", "--bucket", "no-such-bucket", "--bucket", "no-such-bucket-either")
    narrow = {"COLUMNS": "40", "NO_COLOR": "1"}

    piped, shown = place(*command), place(*command, terminal=True, variables=narrow)

    assert len(piped.stderr.splitlines()) == 3
    assert len(shown.stderr.splitlines()) > 3
    assert max(map(len, shown.stderr.splitlines())) <= 40
    assert shown.stderr.split() == piped.stderr.split()


# Encodings


@pytest.mark.parametrize("encoding", ["cp1252", "cp437", "ascii"])
@pytest.mark.parametrize("command", READING)
def test_every_console_can_print_what_every_command_says(
    place: Place, command: tuple[str, ...], encoding: str
) -> None:
    told = place(*command, encoding=encoding).output

    assert told
    assert "\\u25" not in told  # a bar or a box, escaped
    # Only names from the user or AWS contain other characters than ASCII.
    assert told.replace("ä", "").replace("é", "").isascii()


def test_a_spinner_is_of_characters_that_every_console_has(place: Place) -> None:
    screen = place("create", "--window", "4", terminal=True, encoding="ascii").stderr

    assert HIDDEN in screen
    assert screen.isascii()
