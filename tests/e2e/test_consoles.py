"""Whatever the output goes to: terminals, pipes, logs, narrow ones, and consoles with few characters."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import pytest

from tests.e2e.support import Cli, OwnStack, Ran, World, eventually
from tests.support.terminal import running

pytestmark = pytest.mark.e2e

ESCAPE = "\x1b"
COLOUR = re.compile(r"\x1b\[[\d;]*m")
BUCKET = "bucket-with-a-name-of-sixty-three-letters".ljust(63, "z")
# What answers without changing anything.
READING = (
    ("--help",),
    ("create", "--help"),
    ("status",),
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
TABLES = READING[2:7]


def shown(cli: Cli, *arguments: str) -> tuple[int, str]:
    """Run a command on a terminal: its exit code, and all that it wrote there."""
    with running([*cli.command, *arguments], cli.environment, cli.folder) as terminal:
        return terminal.wait(), terminal.written.decode()


@dataclass(frozen=True)
class Place:
    """A stack that has something of everything to show."""

    own: OwnStack
    cli: Cli

    def each(
        self, commands: tuple[tuple[str, ...], ...], **variables: str
    ) -> Iterator[tuple[tuple[str, ...], Ran]]:
        cli = self.cli.set(**variables)
        with ThreadPoolExecutor(2) as pool:
            yield from zip(commands, pool.map(lambda command: cli(*command), commands), strict=True)


@pytest.fixture(scope="module")
def place(world: World) -> Iterator[Place]:
    """Names as long as they may be, drift, an error in the log, a dead letter and an odd key."""
    stack = world.stack()
    name = "S".ljust(32, "x")
    own = replace(
        stack, names=type(stack.names)(name), run=stack.run.set(S3AGG_STACK=name, S3AGG_OUTPUT=None)
    )
    world.client("s3").create_bucket(Bucket=BUCKET)
    share = world.share(BUCKET)
    own.run.must("create", "--bucket", BUCKET, "--window", "1", "--min-interval", "1")
    world.upload(BUCKET, "Käse-\u2603")
    eventually(lambda: world.refreshes(share))
    world.client("sqs").send_message(
        QueueUrl=world.client("sqs").get_queue_url(QueueName=own.names.dead_letters)["QueueUrl"],
        MessageBody="{}",
        MessageAttributes={"bucket-name": {"DataType": "String", "StringValue": BUCKET}},
    )
    own.run.must("create", "--log-level", "DEBUG")
    own.set_variables(own.names.aggregator, LOG_LEVEL="ERROR")
    yield Place(own, own.run)
    own.end_functions()


# Colour and cursor movement


def test_a_terminal_gets_colour(place: Place) -> None:
    assert COLOUR.search(shown(place.cli, "status")[1])


@pytest.mark.parametrize("command", READING)
def test_no_color_leaves_no_escape_code_on_a_terminal(place: Place, command: tuple[str, ...]) -> None:
    assert ESCAPE not in shown(place.cli.set(NO_COLOR="1"), *command)[1]


CHANGING = (("create", "--window", "2"), ("test-upload", "--count", "1"), ("create", "--window", "1"))


@pytest.mark.parametrize("variables", [{"NO_COLOR": "1"}, {"TERM": "dumb"}], ids=str)
def test_progress_comes_as_lines_where_nothing_can_be_redrawn(
    place: Place, variables: Mapping[str, str]
) -> None:
    screens = [shown(place.cli.set(**variables), *command)[1] for command in CHANGING]

    assert "updated function" in screens[0]
    assert "Waiting for" in screens[1]
    assert ESCAPE not in "".join(screens)


def test_progress_is_redrawn_on_a_terminal(place: Place) -> None:
    _, screen = shown(place.cli, "test-upload", "--count", "1")

    assert "\x1b[?25l" in screen
    assert screen.index("\x1b[?25l") < screen.index("\x1b[?25h")


@pytest.mark.parametrize("variables", [{}, {"CI": "true", "GITHUB_ACTIONS": "true"}], ids=str)
def test_there_are_no_escape_codes_and_few_lines_in_a_log(place: Place, variables: Mapping[str, str]) -> None:
    cli = place.cli.set(TERM="xterm-256color", COLORTERM="truecolor", **variables)

    ran = [cli.must(*command) for command in CHANGING]

    told = "".join(each.stdout + each.stderr for each in ran)
    assert ESCAPE not in told
    assert "\r" not in told
    assert all(len(each.stderr.splitlines()) <= 20 for each in ran), ran
    assert all(len(set(lines)) == len(lines) for lines in [each.stderr.splitlines() for each in ran])


def test_colour_that_is_forced_moves_no_cursor_in_a_log(place: Place) -> None:
    ran = place.cli.set(FORCE_COLOR="1", CI="true").must("test-upload", "--count", "1")

    told = ran.stdout + ran.stderr
    assert COLOUR.search(told)
    assert ESCAPE not in COLOUR.sub("", told)


@pytest.mark.parametrize("variables", [{"FORCE_COLOR": "1", "NO_COLOR": "1"}, {"FORCE_COLOR": "0"}], ids=str)
def test_colour_that_is_not_wanted_is_not_forced(place: Place, variables: Mapping[str, str]) -> None:
    assert ESCAPE not in place.cli.set(**variables)("status").stdout


def test_a_status_is_watched_without_colour(place: Place) -> None:
    cli = place.cli.set(NO_COLOR="1")
    with running([*cli.command, "status", "--watch"], cli.environment, cli.folder) as watched:
        watched.look_until(lambda watched: "Buckets" in watched.text)
        watched.interrupt()
        code = watched.wait()

    assert code == 0
    assert not COLOUR.search(watched.written.decode())


def test_a_dumb_terminal_is_not_watched(place: Place) -> None:
    code, screen = shown(place.cli.set(TERM="dumb"), "status", "--watch")

    assert code == 2
    assert len(screen.splitlines()) == 1


# Width


def column(screen: str, title: str) -> str:
    """All that stands in a column of any table, its folded parts put together."""
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
    ran = dict(place.each(TABLES, COLUMNS=str(columns)))

    names = place.own.names
    assert max(len(line) for each in ran.values() for line in each.stdout.splitlines()) <= columns
    told = column(ran["delete", "--dry-run"].stdout, "name")
    for name in (names.refresher, names.refresh_role, names.gateway_policy, names.dead_letters, BUCKET):
        assert name in told
    for title, name in (("bucket", BUCKET), ("queue", names.dead_letters)):
        assert name in column(ran["status",].stdout, title)


@pytest.mark.parametrize("columns", ["0", "nonsense", ""])
def test_columns_that_are_no_number_of_columns_do_not_count(place: Place, columns: str) -> None:
    ran = place.cli.set(COLUMNS=columns)("status")

    assert place.own.names.gateway_policy in ran.stdout


def test_names_are_whole_in_a_pipe_that_nobody_gave_a_width(place: Place) -> None:
    ran = place.cli.set(FORCE_COLOR="1")("status")

    assert place.own.names.gateway_policy in ran.stdout


# Encodings


@pytest.mark.parametrize(
    "variables",
    [
        {"PYTHONIOENCODING": "cp1252"},
        {"PYTHONIOENCODING": "cp437:strict"},
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    ],
    ids=str,
)
def test_every_console_can_print_what_every_command_says(place: Place, variables: Mapping[str, str]) -> None:
    for command, ran in place.each(READING, **variables):
        told = ran.stdout + ran.stderr
        assert "Traceback" not in told, (command, told)
        assert "\\u25" not in told, (command, told)  # a bar or a box, escaped
        # Only what is of the user's or of AWS's own making is more than ASCII.
        assert told.replace("ä", "").replace("é", "").isascii(), (command, told)


def test_a_spinner_is_of_characters_that_every_console_has(place: Place) -> None:
    _, screen = shown(place.cli.set(PYTHONIOENCODING="ascii"), "create", "--window", "4")

    assert screen.isascii()
