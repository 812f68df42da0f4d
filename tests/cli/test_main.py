"""The command line: options, output and exit codes, with moto in this process."""

from __future__ import annotations

import io
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field, replace
from pathlib import Path

import click
import pytest
import yaml
from moto.core.models import MockAWS

from s3agg import __version__
from s3agg.__main__ import end_as_at_ctrl_c
from s3agg.cli.invocation import Seams
from s3agg.cli.main import cli, main
from s3agg.settings import Names
from tests.support import blog, deploying
from tests.support.aws import REGION, Session, Wire, account_settings, empty, make_bucket, make_world
from tests.support.clock import Clock
from tests.support.environment import environment
from tests.support.ran import Ran

README = Path(__file__).parents[2] / "README.md"
COMMANDS = [
    "create",
    "delete",
    "status",
    "list",
    "test-upload",
    "refresh",
    "redrive",
    "logs",
    "policy",
    "cost",
    "completion",
    "template",
    "local",
    "demo",
]


AS_JSON = ("--output", "json")
UNREAD = "could not read file shares"  # moto has no Storage Gateway


class Terminal(io.StringIO):
    """A terminal on which somebody types."""

    def isatty(self) -> bool:
        return True


@contextmanager
def answering(answer: str | None, *, terminal: bool) -> Iterator[None]:
    """Replace standard input by this text; close it for None."""
    before, sys.stdin = sys.stdin, (Terminal if terminal else io.StringIO)(answer)
    if answer is None:
        sys.stdin.close()
    try:
        yield
    finally:
        sys.stdin = before


@dataclass(frozen=True)
class Shell:
    """Runs command lines in this process."""

    capsys: pytest.CaptureFixture[str]
    session: Session | None = None
    clock: Clock = field(default_factory=Clock)  # no test waits in real time

    def __call__(self, *args: str, answer: str | None = "", terminal: bool = False) -> Ran:
        with pytest.raises(SystemExit) as exit_, answering(answer, terminal=terminal):
            main(args, Seams(self.session, self.clock, workers=1))
        out, err = self.capsys.readouterr()
        return Ran(int(str(exit_.value.code)), out, err, args[0])


@pytest.fixture
def shell(capsys: pytest.CaptureFixture[str]) -> Shell:
    """Command lines that must not call AWS."""
    return Shell(capsys)


@pytest.fixture(scope="module")
def wire() -> Wire:
    return Wire()


@pytest.fixture(scope="module")
def session(wire: Wire) -> Session:
    return make_session(wire)


def make_session(wire: Wire | None = None) -> Session:
    made = Session().with_credentials()
    made.set_config_variable("region", REGION)
    wire = wire or Wire()
    wire.listen(made)
    wire.answer("lambda:GetAccountSettings", account_settings(1000))  # not in moto
    return made


@pytest.fixture
def aws_shell(capsys: pytest.CaptureFixture[str], session: Session, running_moto: MockAWS) -> Shell:
    """Command lines for an account with only the bucket `uploads`."""
    session.set_config_variable("region", REGION)
    empty(running_moto)
    make_bucket(make_world().somebody, "uploads")
    return Shell(capsys, session)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_tells_of_every_option_and_shows_two_examples(shell: Shell, command: str) -> None:
    ran = shell(command, "--help")

    assert ran.code == 0
    assert all(option.opts[0] in ran.stdout for option in cli.commands[command].params)
    assert ran.stdout.partition("Examples:")[2].count(f"s3agg {command}") == 2


@pytest.mark.parametrize("command", COMMANDS)
def test_each_example_in_the_help_is_a_right_use_of_the_command(command: str) -> None:
    lines = re.findall(r"s3agg ([^\n>)]+)", str(cli.commands[command].epilog))

    for line in lines:
        name, *arguments = shlex.split(line)
        context = cli.commands[name].make_context(name, arguments, obj=Seams())
        assert context.params


OPTIONS = [
    (command, option)
    for command in COMMANDS
    for option in cli.commands[command].params
    if isinstance(option, click.Option)
]


@pytest.mark.parametrize(
    ("command", "option"), OPTIONS, ids=[f"{each[0]} {each[1].opts[0]}" for each in OPTIONS]
)
def test_every_option_tells_its_unit_its_default_and_its_range(command: str, option: click.Option) -> None:
    context = click.Context(cli.commands[command])
    words, told = option.get_help_record(context) or ("", "")

    assert "default: " in told
    assert words.split()[-1] not in {"TEXT", "INTEGER", "RANGE", "DIRECTORY"}
    if isinstance(option.type, click.Choice):
        assert all(str(choice).lower() in f"{words} {told}".lower() for choice in option.type.choices)
    if isinstance(option.type, click.IntRange):
        assert re.search(r"; \d+ (to \d+|or more)\]", told)


def test_no_commands_first_line_is_cut_off_in_the_list_of_commands(shell: Shell) -> None:
    ran = shell("--help")

    assert "..." not in ran.stdout.partition("Commands:")[2]


@pytest.mark.parametrize("command", [(), *((each,) for each in COMMANDS)])
def test_help_fits_into_80_columns(shell: Shell, command: tuple[str, ...]) -> None:
    with environment({"COLUMNS": "80"}):
        ran = shell(*command, "--help")

    assert max(map(len, ran.stdout.splitlines())) <= 80


@pytest.mark.parametrize("option", ["--help", "--version"])
def test_help_and_version_import_neither_boto3_nor_rich(option: str) -> None:
    code = (
        "import sys\n"
        "from s3agg.__main__ import run\n"
        f"sys.argv[1:] = ['{option}']\n"
        "try: run()\n"
        "except SystemExit: pass\n"
        "print([name for name in ('boto3', 'botocore', 'rich') if name in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)  # noqa: S603  # ours

    assert ran.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("output", ["table", "json"])
def test_an_estimate_needs_neither_boto3_nor_an_account_nor_a_region(output: str) -> None:
    code = (
        "import sys\n"
        "from s3agg.cli.main import main\n"
        f"try: main(['cost', '--objects-per-day', '1000', '--output', '{output}'])\n"
        "except SystemExit: pass\n"
        "print([name for name in ('boto3', 'botocore') if name in sys.modules])"
    )
    nothing = {"PYTHONPATH": os.pathsep.join(sys.path)}
    ran = subprocess.run(  # noqa: S603  # ours
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=nothing
    )

    assert "DynamoDB" in ran.stdout
    assert ran.stdout.splitlines()[-1] == "[]"


@pytest.mark.stack
@pytest.mark.parametrize(
    "command",
    [
        "create --bucket uploads",
        "status",
        "policy --bucket uploads",
        "cost --measured --bucket uploads",
        "redrive --dry-run",
        "delete --yes",
    ],
)
def test_a_command_makes_only_the_clients_that_it_uses(aws_shell: Shell, command: str) -> None:
    aws_shell("create", "--bucket", "uploads")
    session = make_session()
    used: set[str] = set()
    session.register("before-call", lambda model, **_: used.add(model.service_model.service_name))

    Shell(aws_shell.capsys, session)(*command.split())

    assert {service for service, *_ in session.made} == used


def test_the_version_is_told(shell: Shell) -> None:
    assert shell("--version").stdout.startswith("s3agg, version ")


@pytest.mark.parametrize("name", ["bash", "zsh", "fish"])
def test_the_script_of_each_shell_completes_s3agg(shell: Shell, name: str) -> None:
    assert "_S3AGG_COMPLETE" in shell("completion", name).stdout


WRONG = {
    "a window of 0": (
        "create --bucket bbb --window 0",
        "Invalid value for --window: 0 (1 to 42600 seconds,",
    ),
    "a window of 13 hours": (
        "create --bucket bbb --window 13h",
        "--window: 13h (1 to 42600 seconds, ",
    ),
    "a window of 5 weeks": ("create --bucket bbb --window 5w", "--window: 5w (1 to"),
    "a timeout of no time": ("test-upload --timeout 0m", "--timeout: 0m (1 or more seconds, or as"),
    "two values of a tag": ("create --tag team=a --tag team=b", "two values for the key 'team'"),
    "logs to keep where none is deleted": (
        "delete --bucket uploads --keep-logs",
        "--keep-logs has no effect with --bucket",
    ),
    "a template as JSON": ("template --zips zips --output json", "always YAML. Omit --output."),
    "a window of -1": ("create --bucket bbb --window -1", "--window: -1 ("),
    "a window of 50 000": ("create --bucket bbb --window 50000", "--window: 50000 ("),
    "a window of abc": ("create --bucket bbb --window abc", "--window: abc ("),
    "a malformed bucket": ("create --bucket Not_A_Bucket", "Invalid bucket name: 'Not_A_Bucket'"),
    "a bucket with a scheme": ("create --bucket s3://bbb", "not a URL or ARN"),
    "an ARN for a bucket": ("create --bucket arn:aws:s3:::bbb", "not a URL or ARN"),
    "two lines for a bucket": (r"create --bucket bad\ninput", r"bad\ninput"),
    "a mistyped command": ("crate", "Did you mean 'create'?"),
    "a mistyped option": ("status --otput json", "Did you mean '--output'?"),
    "an unknown log level": ("create --log-level LOUD", "'LOUD' is not one of"),
    "a tag without a value": ("create --tag team", "expected KEY=VALUE, found 'team'"),
    "a reserved tag": ("create --tag s3agg:stack=x --bucket uploads", "is reserved"),
    "a topic that is no topic": (
        "create --alarm-topic arn:aws:sqs:us-east-1:123456789012:q",
        "expected the ARN of an SNS topic or none",
    ),
    "a word for the help": ("help", "help is no command. Run s3agg --help."),
    "a word for a command's help": ("help create", "Run s3agg create --help."),
    "a word for the version": ("version", "version is no command. Run s3agg --version."),
    "an option without its value": ("redrive --discard", "requires an argument. See s3agg redrive --help."),
    "an option where a value belongs": (
        "create --bucket uploads --prefix --dry-run",
        "s3agg create: Option '--prefix' requires an argument.",
    ),
    "an option before the command": (
        "--output json status --watch",
        "--output belongs after the command: s3agg status --output json --watch.",
    ),
    "a flag without a command": ("-v", "-v belongs after the command: s3agg COMMAND -v."),
    "an option that no command has": ("--frobnicate status", "No such option '--frobnicate'."),
    "a topic with braces": (
        "template --zips z --alarm-topic arn:aws:sns:us-east-1:123456789012:{t}",
        "expected the ARN of an SNS topic or none",
    ),
    "prefixes that overlap": (
        "create --bucket uploads --prefix in/ --prefix in/a/",
        "--prefix in/ and --prefix in/a/ overlap, and S3 refuses rules that overlap. Pass only --prefix in/",
    ),
    "a prefix and none": (
        "create --bucket uploads --prefix in/ --no-prefix",
        "--no-prefix excludes --prefix. Pass only one of them.",
    ),
    "an event type that is none": (
        "create --bucket uploads --events created,deleted",
        "Invalid value for --events: 'deleted' (one or more of created, removed, expired, separated by",
    ),
    "a prefix that is no text": ("create --bucket uploads --prefix \udc9b", "is not UTF-8"),
    "a stack that cannot be": ("status --stack no.dots", "Invalid stack name: 'no.dots'"),
    "a region that cannot be": ("status --region no_underscores", "There is no region no_underscores"),
    "a mistyped region": ("status --region us-esat-1", "The nearest name is us-east-1."),
    "a mistyped region of a cost": (
        "cost --objects-per-day 1 --region us-esat-1",
        "The nearest name is us-east-1.",
    ),
    "a mistyped region of a template": (
        "template --zips z --region us-esat-1",
        "The nearest name is us-east-1.",
    ),
    "an endpoint that is no URL": ("status --endpoint-url x:1", "Pass a URL"),
    "a count of 0": ("test-upload --count 0", "--count: 0 ("),
    "a port that cannot be": ("local --port 99999", "--port: 99999 ("),
    "watching a pipe": ("status --watch", "--watch requires a terminal"),
    "an unknown runtime": ("create --bucket uploads --runtime python2.7", "no runtime python2.7"),
    "no bucket at all": ("create", "Pass --bucket"),
    "a policy for no bucket": ("policy", "Pass --bucket"),
    "a boundary that is no policy": (
        "policy --permissions-boundary Mine",
        "expected the ARN of an IAM policy or none",
    ),
    "a cost of nothing": ("cost", "requires either --objects-per-day or --measured"),
    "a capacity and no capacity": (
        "create --bucket uploads --on-demand --write-capacity 10",
        "--on-demand excludes --write-capacity. Pass --provisioned, or omit --write-capacity.",
    ),
    "both capacity modes": (
        "create --bucket uploads --provisioned --tag a=b --on-demand",
        "--on-demand and --provisioned exclude each other. Pass only one of them. See s3agg create --help.",
    ),
    "both capacity modes of a cost": (
        "cost --objects-per-day 1 --on-demand --provisioned",
        "--on-demand and --provisioned exclude each other.",
    ),
    "gateway writes included and ignored": (
        "template --zips z --ignore-gateway-writes --include-gateway-writes",
        "--include-gateway-writes and --ignore-gateway-writes exclude each other.",
    ),
    "a capacity of a cost on demand": (
        "cost --objects-per-day 1 --write-capacity 10",
        "The table is on demand, so --write-capacity cannot apply. Pass --provisioned as well.",
    ),
    "a capacity of a template on demand": (
        "template --zips zips --read-capacity 10 --write-capacity 10",
        "--read-capacity and --write-capacity cannot apply",
    ),
    "a cost of both": ("cost --objects-per-day 1 --measured", "--measured excludes --objects-per-day"),
    "objects below zero": ("cost --objects-per-day -1", "--objects-per-day: -1 ("),
    "objects in a bucket below zero": (
        "cost --objects-per-day 1 --objects-in-bucket -1",
        "--objects-in-bucket: -1 (",
    ),
    "shares of no objects": ("cost --objects-per-day 1 --shares 2", "--shares requires --objects-in-bucket"),
    "more refreshes than objects": (
        "cost --objects-per-day 1 --refreshes-per-day 2",
        "2 refreshes per day for 1 object. ",
    ),
    "refreshes beside measured ones": ("cost --measured --refreshes-per-day 1", "Omit --refreshes-per-day"),
    "a way beside the stack's": ("cost --measured --via eventbridge", "Omit --via, or pass --bucket"),
    "a bucket that is not measured": (
        "cost --objects-per-day 1 --bucket bbb",
        "--bucket requires --measured",
    ),
    "prices that are nowhere": ("cost --objects-per-day 1 --prices 1999-12", "price table 1999-12"),
    "prices that are none": (f"cost --objects-per-day 1 --prices {__file__}", "Invalid price table"),
    "hasty intervals": ("create --bucket uploads --min-interval 5", "--min-interval 5 is too short"),
    "a template of hasty intervals": (
        "template --code-bucket uploads --min-interval 5",
        "--min-interval 5 is too short",
    ),
    "a template for a malformed bucket": (
        "template --code-bucket uploads --bucket s3://uploads",
        "s3://uploads",
    ),
    "a template without code": ("template", "Pass --code-bucket BUCKET to upload the functions' code now"),
    "a template with its code twice": (
        "template --code-bucket uploads --zips build",
        "--zips excludes --code-bucket. Pass only one of them.",
    ),
    "zips where nothing can be": ("template --zips /dev/null/zips", "write to /dev/null/zips"),
}


@pytest.mark.parametrize(("command", "words"), WRONG.values(), ids=WRONG)
def test_wrong_usage_is_one_line_on_stderr_exit_code_2_and_no_change(
    aws_shell: Shell, wire: Wire, command: str, words: str
) -> None:
    wire.calls.clear()

    ran = aws_shell(*(word.replace(r"\n", "\n") for word in command.split()))

    assert (ran.code, ran.stdout) == (2, "")
    assert words in ran.stderr
    assert ran.stderr.count("\n") == 1
    assert wire.changes == []


def test_a_profile_that_does_not_exist_is_wrong_usage(shell: Shell) -> None:
    ran = shell("status", "--profile", "nobody")

    assert (ran.code, ran.stdout) == (2, "")
    assert "(nobody) could not be found" in ran.stderr


FAILING = {
    "a bucket that does not exist": ("create --bucket nobodys", "Bucket nobodys"),
    "a bucket of another region": ("create --bucket far-away", "is in us-west-2"),
    "the cost of what is not there": ("cost --measured", "--bucket to measure a bucket"),
    "the cost of a bucket that counts nothing": (
        "cost --measured --bucket uploads",
        "put-bucket-metrics-configuration --bucket uploads --id EntireBucket",
    ),
    "a template whose code has no bucket": ("template --code-bucket nobodys", "Bucket nobodys"),
    "testing what is not there": ("test-upload", "There is no stack S3EventAggregator in eu-west-1. "),
    "putting back to work what is not there": ("redrive --stack Other", "There is no stack Other in eu-w"),
    "logs of what is not there": (
        "logs --region us-west-2",
        "run: s3agg list --region us-west-2.",
    ),
}


@pytest.mark.parametrize(("command", "words"), FAILING.values(), ids=FAILING)
def test_a_failure_is_one_line_on_stderr_exit_code_1_and_no_change(
    aws_shell: Shell, wire: Wire, command: str, words: str
) -> None:
    make_bucket(make_world("us-west-2").somebody, "far-away", "us-west-2")
    wire.calls.clear()

    ran = aws_shell(*command.split())

    assert (ran.code, ran.stdout) == (1, "")
    assert words in ran.stderr
    assert ran.stderr.count("\n") == 1
    assert wire.changes == []


NAMES = Names()


def make_far_stack() -> None:
    far = make_world("us-west-2")
    far.bucket("far-away", "us-west-2")
    deploying.create(far, "far-away")


THERE = (
    "There is no stack S3EventAggregator in eu-west-1; there is one in us-west-2: pass --region us-west-2."
)


@pytest.mark.stack
@pytest.mark.parametrize(
    "command",
    [
        "test-upload",
        "test-upload --bucket uploads",
        "redrive",
        "refresh --bucket uploads",
        "cost --measured",
        "logs",
        "delete --yes",
        "delete --dry-run",
        "delete --yes --bucket far-away",
        "create",
        "create --bucket far-away",
        "create --bucket far-away --dry-run",
        "policy",
    ],
)
def test_a_stack_of_another_region_is_named_with_its_region(
    aws_shell: Shell, wire: Wire, command: str
) -> None:
    make_far_stack()
    wire.calls.clear()

    ran = aws_shell(*command.split())

    assert (ran.code, ran.stdout) == (1, "")
    assert ran.stderr.startswith(THERE)
    assert wire.changes == []


@pytest.mark.stack
def test_the_list_shows_the_stacks_of_all_regions(aws_shell: Shell) -> None:
    make_far_stack()
    aws_shell("create", "--bucket", "uploads", "--stack", "Near", "--window", "50")

    ran, shown = aws_shell("list", "--output", "json"), aws_shell("list")

    near, far = ran.json["stacks"]
    assert (ran.code, shown.code) == (0, 0)
    assert (near["stack"], near["buckets"][0]["name"], near["settings"]["window"]) == ("Near", "uploads", 50)
    assert far == {"stack": NAMES.stack, "region": "us-west-2", "buckets": None, "settings": None}
    assert shown.stdout.startswith("2 stacks in account 123456789012\n")


def test_an_account_without_stacks_is_told_with_the_command_that_makes_one(aws_shell: Shell) -> None:
    ran = aws_shell("list", "--region", REGION)

    assert (ran.code, ran.stderr) == (0, "")
    assert " ".join(ran.stdout.split()) == (
        "There are no stacks in account 123456789012."
        f" Create one: s3agg create --bucket BUCKET --region {REGION}"
    )


@pytest.mark.stack
def test_status_names_the_region_of_a_stack_of_another_region(aws_shell: Shell) -> None:
    make_far_stack()

    told, shown = aws_shell("status", "--output", "json"), aws_shell("status")

    assert (told.code, told.json["elsewhere"]) == (3, "us-west-2")
    assert " ".join(shown.stdout.split()) == f"Not deployed: {THERE}"


@pytest.mark.stack
def test_a_dry_run_shows_what_would_be_made_exits_3_and_makes_nothing(aws_shell: Shell, wire: Wire) -> None:
    wire.calls.clear()

    ran = aws_shell("create", "--bucket", "uploads", "--dry-run", "--output", "json")

    assert ran.code == 3
    assert {change["action"] for change in ran.json["changes"]} == {"create"}
    assert wire.changes == []


@pytest.mark.stack
def test_the_settings_of_a_new_stack_and_of_a_deployed_one_are_shown(aws_shell: Shell) -> None:
    chosen = ("--prefix", "in/", "--prefix", "new/", "--events", "created,removed", "--via", "eventbridge")
    create = ("create", "--bucket", "uploads", "--window", "300", *chosen)

    shown, plan = aws_shell(*create, "--dry-run"), aws_shell(*create, "--dry-run", "--output", "json").json
    done = aws_shell(*create, "--output", "json").json
    deployed, status = aws_shell("status").stdout, aws_shell("status", "--output", "json").json

    assert re.search(r"^window +300 s +chosen$", shown.stdout, re.MULTILINE)
    assert re.search(r"^memory +128 MB +default$", shown.stdout, re.MULTILINE)
    assert plan["settings"] == done["settings"] == status["settings"]
    assert plan["settings"]["chosen"] == ["window", "buckets"]
    assert plan["settings"]["buckets"] == {
        "uploads": {
            "prefixes": ["in/", "new/"],
            "suffixes": [],
            "events": ["created", "removed"],
            "via": "eventbridge",
        }
    }
    keys, events = "keys of uploads: prefix in/ or new/", "events of uploads: created, removed"
    way = "way of uploads: EventBridge"
    assert f" chosen window: 300 s; {keys}; {events}; {way} " in " ".join(deployed.split())


@pytest.mark.stack
@pytest.mark.parametrize(
    ("cleared", "left"),
    [
        (["--no-prefix"], ([], [".jpg"])),
        (["--prefix", ""], ([], [".jpg"])),
        (["--no-suffix"], (["in/", "new/"], [])),
        (["--suffix", ""], (["in/", "new/"], [])),
        (["--no-prefix", "--no-suffix"], ([], [])),
    ],
)
def test_prefixes_and_suffixes_are_cleared(
    aws_shell: Shell, cleared: list[str], left: tuple[list[str], list[str]]
) -> None:
    create = ("create", "--bucket", "uploads", "--output", "json")
    aws_shell(*create, "--prefix", "in/", "--prefix", "new/", "--suffix", ".jpg")

    chosen = aws_shell(*create, *cleared).json["settings"]["buckets"]["uploads"]

    assert (chosen["prefixes"], chosen["suffixes"]) == left


@pytest.mark.parametrize(
    ("command", "numbers"),
    [
        ("create --window 90", {"window": 90}),
        ("create --window 90s --min-interval 2h", {"window": 90, "min_interval": 7200}),
        ("create --full-every 2d --log-retention 60d", {"full_every": 48, "log_retention": 60}),
        ("template --window 5m --min-interval 60", {"window": 300, "min_interval": 60}),
        ("test-upload --timeout 1d", {"timeout": 86400}),
        ("demo --window 1m", {"window": 60}),
    ],
)
def test_a_duration_takes_other_units_too(command: str, numbers: dict[str, int]) -> None:
    name, *arguments = command.split()

    taken = cli.commands[name].make_context(name, arguments, obj=Seams()).params

    assert {each: taken[each] for each in numbers} == numbers


@pytest.mark.stack
def test_create_status_and_delete_go_all_the_way(aws_shell: Shell) -> None:
    created = aws_shell("create", "--bucket", "uploads", "--output", "json")
    status = aws_shell("status", "--output", "json")
    deleted = aws_shell("delete", "--yes", "--output", "json")

    assert [ran.code for ran in (created, status, deleted)] == [0, 0, 0]
    assert {change["action"] for change in created.json["changes"]} == {"create"}
    assert {resource["state"] for resource in status.json["resources"]} == {"ok"}
    assert {change["action"] for change in deleted.json["changes"]} == {"delete"}
    assert aws_shell("status").code == 3


@pytest.mark.stack
def test_create_ends_with_the_next_sensible_command(aws_shell: Shell) -> None:
    ran = aws_shell("create", "--bucket", "uploads")

    assert ran.stderr.splitlines()[-1] == "Next: s3agg test-upload --bucket uploads"
    assert ran.stdout.startswith("Done: 17 created; stack S3EventAggregator")


@pytest.mark.stack
@pytest.mark.parametrize("answer", ["", "n\n"])
def test_delete_asks_first_and_anything_but_yes_means_no(aws_shell: Shell, wire: Wire, answer: str) -> None:
    aws_shell("create", "--bucket", "uploads")
    wire.calls.clear()

    ran = aws_shell("delete", answer=answer)

    assert (ran.code, ran.stdout) == (1, "")
    assert "Delete these resources? [y/N]" in ran.stderr
    assert ran.stderr.endswith("Nothing was changed. Answer y, or pass --yes.\n")
    assert wire.changes == []


@pytest.mark.stack
@pytest.mark.parametrize("answer", ["", "n\n"])
def test_create_asks_before_it_excludes_keys_and_anything_but_yes_means_no(
    aws_shell: Shell, wire: Wire, answer: str
) -> None:
    aws_shell("create", "--bucket", "uploads")
    wire.calls.clear()

    ran = aws_shell("create", "--bucket", "uploads", "--prefix", "in/", answer=answer)

    assert (ran.code, ran.stdout) == (1, "")
    assert "Bucket uploads: the rule changes from all keys to prefix in/." in ran.stderr
    assert "Make these changes? [y/N]" in ran.stderr
    assert ran.stderr.endswith("Nothing was changed. Answer y, or pass --yes.\n")
    assert wire.changes == []


@pytest.mark.stack
def test_a_program_gets_the_plan_and_what_needs_yes_if_nobody_confirms(aws_shell: Shell, wire: Wire) -> None:
    aws_shell("create", "--bucket", "uploads")
    sqs = make_world().somebody.sqs
    url = sqs.get_queue_url(QueueName="S3EventAggregatorDeadLetters")["QueueUrl"]
    message = sqs.send_message(QueueUrl=url, MessageBody="strange")["MessageId"]
    json = ("--output", "json")
    wire.calls.clear()

    narrower = aws_shell("create", "--bucket", "uploads", "--prefix", "in/", *json, answer="n\n")
    deletion = aws_shell("delete", *json, answer="")
    discard = aws_shell("redrive", "--discard", message, *json, answer="n\n")

    assert [ran.code for ran in (narrower, deletion, discard)] == [1, 1, 1]
    assert [each["action"] for each in narrower.json["changes"] if each["action"] != "keep"] == ["update"]
    (needed,) = narrower.json["problems"]
    assert narrower.json["to_confirm"] == [needed["what"]]
    assert needed["advice"] == "To confirm this, pass --yes."
    assert {each["action"] for each in deletion.json["changes"]} == {"delete"}
    assert [each["what"] for each in deletion.json["problems"]] == [
        "The deletion of 17 resources needs a confirmation."
    ]
    assert discard.json["counts"] == {"to_discard": 1}
    assert [each["what"] for each in discard.json["problems"]] == [
        "The deletion of 1 message needs a confirmation."
    ]
    assert all("[y/N]" in ran.stderr for ran in (narrower, deletion, discard))
    assert [change for change in wire.changes if not change.startswith("sqs:")] == []


@pytest.mark.stack
def test_a_program_gets_a_document_with_the_problem_that_prevents_the_command(aws_shell: Shell) -> None:
    aws_shell("create", "--bucket", "uploads")
    sqs = make_world().somebody.sqs
    sqs.delete_queue(QueueUrl=sqs.get_queue_url(QueueName="S3EventAggregatorActionQueue")["QueueUrl"])
    json = ("--output", "json")

    test, short, refresh, redrive, nowhere = (
        aws_shell("test-upload", *json),
        aws_shell("test-upload", "--bucket", "uploads", "--timeout", "5", *json),
        aws_shell("refresh", *json),
        aws_shell("redrive", *json),
        aws_shell("redrive", "--stack", "Other", *json),
    )

    runs = (test, short, refresh, redrive, nowhere)
    problems = [problem for ran in runs for problem in ran.json["problems"]]
    assert [ran.code for ran in runs] == [1, 2, 1, 1, 1]
    for ran, problem in zip(runs, problems, strict=True):
        assert ran.stderr.startswith(problem["what"])
        assert ran.stderr.strip().endswith(problem["advice"])
    assert (test.json["bucket"], short.json["bucket"], test.json["ok"]) == (None, "uploads", False)
    assert refresh.json["buckets"] == redrive.json["dead_letters"] == []
    assert nowhere.json["stack"] == "Other"


@pytest.mark.parametrize(
    "command", ["create", "delete", "status", "list", "test-upload", "refresh", "redrive", "logs", "cost"]
)
def test_a_program_gets_a_document_with_the_problem_if_nothing_could_be_read(
    command: str, aws_shell: Shell
) -> None:
    ran = aws_shell(
        command, *(["--measured"] if command == "cost" else []), "--region", "us-esat-1", *AS_JSON
    )

    (problem,) = ran.json["problems"]
    assert ran.code == 2
    assert ran.stderr.startswith(problem["what"])
    assert ran.json.get("stack", "S3EventAggregator") == "S3EventAggregator"


@pytest.mark.parametrize("arguments", ["cost", "status --watch", "refresh --timeout 5"])
def test_a_program_gets_a_document_for_options_that_have_no_effect_together(
    arguments: str, shell: Shell
) -> None:
    ran = shell(*arguments.split(), *AS_JSON)

    assert ran.code == 2
    assert ran.json["problems"][0]["what"] in ran.stderr


@pytest.mark.parametrize(
    ("arguments", "what", "stack"),
    [
        ("status --output json --wacth", "--wacth", "S3EventAggregator"),
        ("logs --output json --sinc 3", "--sinc", None),
        ("create --output json --window 1x --stack Other", "--window: 1x (1 to 42600 seconds", "Other"),
        ("logs --output json --since", "requires an argument", None),
        ("create --bucket --output json", "--bucket", "S3EventAggregator"),
        ("list --output json nonsense", "unexpected extra argument", None),
        ("cost --output json --on-demand --provisioned", "exclude each other", None),
    ],
)
def test_a_program_gets_a_document_for_options_that_cannot_be_parsed(
    arguments: str, what: str, stack: str | None, shell: Shell
) -> None:
    command, *options = arguments.split()
    ran = shell(command, *options)

    (problem,) = ran.json["problems"]
    assert ran.code == 2
    assert what in problem["what"]
    assert ran.stderr.startswith(problem["what"])
    assert ran.stderr.count("\n") == 1
    assert problem["advice"].endswith(f"See s3agg {command} --help.")
    assert ran.json.get("stack") == stack


def test_an_empty_variable_that_cannot_be_parsed_gets_a_document(shell: Shell) -> None:
    with environment({"S3AGG_STACK": "", "S3AGG_OUTPUT": "json"}):
        ran = shell("status")

    assert ran.json["problems"] == [{"what": "S3AGG_STACK is empty.", "advice": "Unset it, or pass --stack."}]


def test_a_stack_that_cannot_be_gets_a_document(shell: Shell) -> None:
    ran = shell("status", "--stack", "no.dots", *AS_JSON)

    assert [each["what"] for each in ran.json["problems"]] == ["Invalid stack name: 'no.dots'."]


def test_an_output_that_cannot_be_parsed_gets_no_document(shell: Shell) -> None:
    ran = shell("status", "--output", "jsn")

    assert (ran.code, ran.stdout) == (2, "")


def test_a_policy_that_cannot_be_made_is_no_document(aws_shell: Shell) -> None:
    """Its output is a file for IAM."""
    assert aws_shell("policy", "--region", "us-esat-1", *AS_JSON).stdout == ""


@pytest.mark.stack
def test_a_program_gets_the_plan_if_a_change_fails(aws_shell: Shell, wire: Wire) -> None:
    wire.refuse("sqs:CreateQueue", "AccessDenied", status=403, times=1)

    ran = aws_shell("create", "--bucket", "uploads", *AS_JSON)

    assert ran.code == 1
    assert ran.json["changes"]
    assert "CreateQueue" in ran.json["problems"][0]["what"]


@pytest.mark.stack
def test_a_program_gets_the_plan_if_nobody_can_be_asked_or_problems_prevent_it(aws_shell: Shell) -> None:
    aws_shell("create", "--bucket", "uploads")

    unasked = aws_shell("delete", "--output", "json", answer=None)
    prevented = aws_shell("create", "--bucket", "nowhere", "--output", "json")

    assert (unasked.code, unasked.stderr.splitlines()[-1]) == (2, "No terminal to confirm on. Pass --yes.")
    assert len(unasked.json["problems"]) == 1
    assert prevented.code == 1
    assert "does not exist" in prevented.json["problems"][0]["what"]


@pytest.mark.stack
def test_create_excludes_keys_after_a_yes_or_with_the_option(aws_shell: Shell) -> None:
    aws_shell("create", "--bucket", "uploads")
    narrower = ("create", "--bucket", "uploads", "--output", "json", "--prefix")

    planned = aws_shell(*narrower, "in/", "--dry-run")
    answered = aws_shell(*narrower, "in/", answer="y\n")
    unasked = aws_shell(*narrower, "in/deep/", "--yes")
    wider = aws_shell(*narrower, "in/")

    assert planned.code == 3
    assert planned.json["to_confirm"] == answered.json["to_confirm"]
    assert len(answered.json["to_confirm"]) == len(unasked.json["to_confirm"]) == 1
    assert wider.json["to_confirm"] == []
    assert [ran.code for ran in (answered, unasked, wider)] == [0, 0, 0]
    assert "[y/N]" not in unasked.stderr + wider.stderr


@pytest.mark.stack
def test_delete_can_keep_the_logs(aws_shell: Shell) -> None:
    aws_shell("create", "--bucket", "uploads")

    ran = aws_shell("delete", "--keep-logs", "--yes", "--output", "json")

    kept = make_world().somebody.logs.describe_log_groups()["logGroups"]
    assert ran.code == 0
    assert [each["logGroupName"] for each in kept] == [
        "/aws/lambda/S3EventAggregator",
        "/aws/lambda/S3StorageGatewayRefresh",
    ]


@pytest.mark.stack
def test_detaching_a_bucket_leaves_the_others(aws_shell: Shell) -> None:
    make_bucket(make_world().somebody, "second")
    aws_shell("create", "--bucket", "uploads", "--bucket", "second")

    ran = aws_shell("delete", "--bucket", "second", "--yes", "--output", "json")

    assert {change["name"] for change in ran.json["changes"]} == {"second", "SID_second"}
    status = aws_shell("status", "--output", "json").json
    assert [each["name"] for each in status["buckets"]] == ["uploads"]


@pytest.mark.stack
@pytest.mark.parametrize(
    ("options", "terminal", "answer", "deleted"),
    [("", True, "y", 1), ("", True, "n", 0), ("", False, "y", 0), ("--yes", False, "", 1)],
)
def test_the_objects_of_an_interrupted_test_upload_are_deleted_if_the_user_agrees(
    aws_shell: Shell, wire: Wire, options: str, terminal: bool, answer: str, deleted: int
) -> None:
    s3 = make_world().somebody.s3
    s3.put_object(Bucket="uploads", Key="s3agg-test-0123456789ab-1")
    aws_shell("create", "--bucket", "uploads")
    wire.refuse("s3:PutObject", "AccessDenied", times=1)
    wire.answer("s3:DeleteObject", {}, times=deleted)  # moto would look for Docker to tell the function
    wire.calls.clear()
    later = replace(aws_shell, clock=Clock(time.time() + 7200))

    ran = later("test-upload", *options.split(), answer=answer, terminal=terminal)

    assert "While uploading to bucket uploads" in ran.stderr
    told = " ".join(ran.stderr.split())
    assert ("Deleted 1 object of interrupted runs in bucket uploads." in told) == bool(deleted)
    assert ("Left 1 object of interrupted runs in bucket uploads. To delete" in told) == (not deleted)
    assert [each["Key"] for each in wire.made("s3:DeleteObject")] == ["s3agg-test-0123456789ab-1"] * deleted


@pytest.mark.stack
def test_objects_of_an_interrupted_test_upload_that_stay_are_not_said_to_be_deleted(
    aws_shell: Shell, wire: Wire
) -> None:
    make_world().somebody.s3.put_object(Bucket="uploads", Key="s3agg-test-0123456789ab-1")
    aws_shell("create", "--bucket", "uploads")
    for operation in ("s3:PutObject", "s3:DeleteObject"):
        wire.refuse(operation, "AccessDenied", times=1)
    later = replace(aws_shell, clock=Clock(time.time() + 7200))

    told = " ".join(later("test-upload", "--yes").stderr.split())

    assert "Could not delete s3agg-test-0123456789ab-1. While deleting from bucket uploads: " in told
    assert "Deleted" not in told


def test_an_encryption_that_s3_does_not_have_is_wrong_usage_before_any_call(
    aws_shell: Shell, wire: Wire
) -> None:
    wire.calls.clear()
    ran = aws_shell("test-upload", "--sse", "AES512")

    assert (ran.code, ran.stderr) == (2, "Invalid --sse: AES512. Pass AES256, aws:kms or aws:kms:KEY.\n")
    assert wire.calls == []


@pytest.mark.skipif(sys.platform == "win32", reason="has no SIGHUP")
def test_a_signal_that_would_end_the_process_ends_it_as_ctrl_c_and_an_ignored_one_does_not() -> None:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as by nohup
    try:
        end_as_at_ctrl_c()
        after = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGHUP)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

    assert after == (signal.default_int_handler, signal.SIG_IGN)


@pytest.mark.stack
def test_a_message_is_discarded_only_if_the_user_agrees(aws_shell: Shell) -> None:
    aws_shell("create", "--bucket", "uploads")
    sqs = make_world().somebody.sqs
    url = sqs.get_queue_url(QueueName="S3EventAggregatorDeadLetters")["QueueUrl"]
    message = sqs.send_message(QueueUrl=url, MessageBody="strange")["MessageId"]

    looked = aws_shell("redrive", "--discard", message, "--dry-run", "--output", "json")
    refused = aws_shell("redrive", "--discard", message, answer="n\n")
    agreed = aws_shell("redrive", "--discard", message, "--output", "json", answer="y\n")
    again = aws_shell("redrive", "--discard", message, "--yes")

    assert (looked.code, looked.json["counts"]) == (3, {"to_discard": 1})
    assert (refused.code, refused.stdout) == (1, "")
    assert "strange" in refused.stderr
    assert (agreed.code, agreed.json["counts"]) == (0, {"discarded": 1, "kept": 0})
    assert (again.code, again.stderr.partition(".")[0]) == (
        1, f"Queue S3EventAggregatorDeadLetters has no message with the ID '{message}'",
    )  # fmt: skip


@pytest.mark.stack
def test_a_test_upload_must_say_which_of_two_buckets(aws_shell: Shell) -> None:
    make_bucket(make_world().somebody, "second")
    aws_shell("create", "--bucket", "uploads", "--bucket", "second")

    ran = aws_shell("test-upload")

    assert ran.code == 2
    assert ran.stderr == "Several buckets are attached: second, uploads. Pass one of them with --bucket.\n"


@pytest.mark.stack
@pytest.mark.parametrize(
    ("arguments", "advice"),
    [
        (("status", "--region", REGION), f"s3agg create --bucket BUCKET --region {REGION}"),
        (("status", "--stack", "Other"), "s3agg create --bucket BUCKET --stack Other"),
        (("create", "--bucket", "uploads", "--region", REGION), f"--bucket uploads --region {REGION}"),
    ],
)
def test_advice_is_for_the_aws_and_the_stack_at_hand(
    aws_shell: Shell, arguments: tuple[str, ...], advice: str
) -> None:
    ran = aws_shell(*arguments)

    assert advice in " ".join((ran.stdout + ran.stderr).split())


@pytest.mark.stack
def test_redrive_exits_1_only_if_something_fails_to_go_back(aws_shell: Shell, wire: Wire) -> None:
    aws_shell("create", "--bucket", "uploads")
    sqs = make_world().somebody.sqs
    url = sqs.get_queue_url(QueueName="S3EventAggregatorDeadLetters")["QueueUrl"]
    sqs.send_message(
        QueueUrl=url,
        MessageBody="{}",
        MessageAttributes={"bucket-name": {"DataType": "String", "StringValue": "uploads"}},
    )

    dry = aws_shell("redrive", "--dry-run", "--output", "json", "--stack", "S3EventAggregator")
    done = aws_shell("redrive")
    sqs.send_message(QueueUrl=url, MessageBody="strange")
    stays = aws_shell("redrive")
    send_dead_letter()
    wire.refuse("sqs:SendMessage", "AccessDenied", status=403, times=1)
    failed = aws_shell("redrive")

    assert [ran.code for ran in (dry, done, stays, failed)] == [3, 0, 0, 1]
    assert dry.json["counts"] == {"to_redrive": 1, "to_keep": 0}
    assert dry.stderr == "Next: s3agg redrive --stack S3EventAggregator\n"
    assert done.stdout.startswith(
        "1 dead letter: 1 redriven; stack S3EventAggregator in eu-west-1 of account"
    )
    assert stays.stderr == "message that redrive does not understand: kept\n"


@pytest.mark.stack
def test_a_stack_of_an_older_version_is_exit_code_3_and_named_so_until_create_updates_it(
    aws_shell: Shell,
) -> None:
    aws_shell("create", "--bucket", "uploads")
    deploying.say_made_by(make_world().somebody, "0.0.9")

    before, dry = aws_shell("status"), aws_shell("create", "--dry-run")
    aws_shell("create")
    after = aws_shell("status")

    assert (before.code, dry.code, after.code) == (3, 3, 0)
    assert before.words.startswith(
        f"Not healthy: made by s3agg 0.0.9 (this is {__version__}), {UNREAD}; stack"
    )
    assert f"this is {__version__}. To update it, run s3agg create." in before.words


@pytest.mark.stack
def test_what_was_changed_by_hand_is_exit_code_3_of_status_and_of_a_dry_run(aws_shell: Shell) -> None:
    aws_shell("create", "--bucket", "uploads")
    lambda_ = make_world().somebody.lambda_
    lambda_.update_function_configuration(FunctionName="S3EventAggregator", MemorySize=256)

    status, dry = aws_shell("status"), aws_shell("create", "--dry-run")

    assert (status.code, dry.code) == (3, 3)
    assert "memory: 256 MB (expected 128 MB)" in status.stdout
    assert "memory: 256 MB -> 128 MB" in dry.stdout


def send_dead_letter() -> None:
    """Put a refresh message into the dead-letter queue."""
    sqs = make_world().somebody.sqs
    sqs.send_message(
        QueueUrl=sqs.get_queue_url(QueueName="S3EventAggregatorDeadLetters")["QueueUrl"],
        MessageBody="{}",
        MessageAttributes={"bucket-name": {"DataType": "String", "StringValue": "uploads"}},
    )


@pytest.mark.stack
def test_the_item_of_a_bucket_that_was_never_attached_is_told_deleted(aws_shell: Shell) -> None:
    aws_shell("create", "--bucket", "uploads")
    make_world().somebody.dynamodb.put_item(
        TableName=Names().table, Item={"BucketName": {"S": "example-bucket"}, "refreshed": {"N": "1"}}
    )
    make_world().somebody.dynamodb.put_item(
        TableName=Names().table, Item={"BucketName": {"S": "busy-bucket"}, "pending": {"S": "token"}}
    )

    busy = aws_shell("delete", "--bucket", "busy-bucket", "--dry-run")
    planned = aws_shell("delete", "--bucket", "example-bucket", "--dry-run")
    ran = aws_shell("delete", "--bucket", "example-bucket")

    assert (busy.code, planned.code, ran.code) == (0, 3, 0)
    assert "item" not in busy.stderr
    item = "the item of bucket example-bucket in table S3EventAggregator."
    assert f"Would also delete {item}" in planned.stderr
    assert f"Deleted {item}" in ran.stderr
    assert ran.stdout.startswith("Nothing to detach: no such bucket is attached to stack ")


@pytest.mark.stack
def test_the_test_of_a_bucket_that_is_gone_tells_how_to_detach_it(aws_shell: Shell) -> None:
    aws_shell("create", "--bucket", "uploads")
    make_world().somebody.s3.delete_bucket(Bucket="uploads")

    ran = aws_shell("test-upload")

    assert ran.code == 1
    assert ran.stderr.endswith("Bucket uploads no longer exists. Detach it: s3agg delete --bucket uploads.\n")


@pytest.mark.stack
@pytest.mark.parametrize("command", ["test-upload", "refresh", "delete", "logs"])
def test_a_name_that_no_bucket_can_have_is_wrong_usage(command: str, aws_shell: Shell) -> None:
    aws_shell("create", "--bucket", "uploads")

    ran = aws_shell(command, "--bucket", "x\x1b[31m")

    assert ran.code == 2
    assert "Invalid bucket name" in ran.stderr


@pytest.mark.stack
def test_delete_tells_that_it_loses_dead_letters(aws_shell: Shell) -> None:
    aws_shell("create", "--bucket", "uploads")
    send_dead_letter()

    ran = aws_shell("delete", "--dry-run")

    assert ran.stderr.startswith(
        "Warning: The deletion loses 1 message of the dead-letter queue. To see each,"
    )


@pytest.mark.stack
def test_a_stack_that_does_not_exist_is_no_error_of_delete(aws_shell: Shell) -> None:
    ran = aws_shell("delete", "--stack", "Typo")

    assert (ran.code, ran.stdout.startswith("Nothing to delete: ")) == (0, True)
    assert "To list the stacks of this account: s3agg list" in ran.stderr


@pytest.mark.stack
def test_a_bucket_that_is_not_attached_is_no_error_of_delete(aws_shell: Shell) -> None:
    aws_shell("create", "--bucket", "uploads")

    ran = aws_shell("delete", "--bucket", "other")

    assert (ran.code, ran.stdout.startswith("Nothing to detach: ")) == (0, True)


def open_window(clock: Clock, closed_s_ago: int) -> None:
    """Put a window into the table whose refresh never came."""
    make_world().somebody.dynamodb.put_item(
        TableName="S3EventAggregator",
        Item={
            "BucketName": {"S": "uploads"},
            "opened_by": {"S": "token"},
            "timestamp": {"N": str(int((clock.time() - closed_s_ago) * 1000))},
        },
    )


@pytest.mark.stack
def test_dead_letters_are_exit_code_4_of_status(aws_shell: Shell) -> None:
    aws_shell("create", "--bucket", "uploads")
    send_dead_letter()

    ran = aws_shell("status")

    assert ran.stdout.startswith(f"Not healthy: 1 dead letter, {UNREAD}; ")
    assert ran.code == 4


@pytest.mark.stack
def test_an_overdue_refresh_is_exit_code_4_of_status(aws_shell: Shell) -> None:
    aws_shell("create", "--bucket", "uploads")
    open_window(aws_shell.clock, closed_s_ago=400)

    ran = aws_shell("status")

    assert ran.stdout.startswith(f"Not healthy: 1 refresh overdue, {UNREAD}; ")
    assert ran.code == 4


@pytest.mark.stack
def test_drift_beside_dead_letters_is_exit_code_3_of_status(aws_shell: Shell) -> None:
    aws_shell("create", "--bucket", "uploads")
    send_dead_letter()
    make_world().somebody.logs.delete_log_group(logGroupName="/aws/lambda/S3EventAggregator")

    ran = aws_shell("status")

    assert ran.stdout.startswith(f"Not healthy: 1 missing, 1 dead letter, {UNREAD}; ")
    assert ran.code == 3


@pytest.mark.stack
def test_refresh_exits_1_only_if_a_share_has_not_accepted_at_the_timeout(aws_shell: Shell) -> None:
    aws_shell("create", "--bucket", "uploads")

    requested = aws_shell("refresh", "--bucket", "uploads")
    late = aws_shell("refresh", "--wait", "--timeout", "5", "--output", "json")
    told = aws_shell("refresh", "--wait", "--timeout", "5")

    assert requested.code == 0
    assert "requested  uploads\n           starts now\n" in requested.stdout
    assert (late.code, late.json["buckets"][0]["outcome"]) == (1, "not_accepted")
    assert told.code == 1
    assert "Timed out after 5 s. The stack goes on trying. To see the state, run: s3agg status" in told.words


def test_a_timeout_of_refresh_needs_a_wait(shell: Shell) -> None:
    ran = shell("refresh", "--timeout", "5")

    assert (ran.code, ran.stderr) == (
        2,
        "--timeout requires --wait. Pass --wait as well, or omit --timeout.\n",
    )


@pytest.mark.stack
def test_delete_tells_of_an_open_window_before_it_asks_and_in_its_json(aws_shell: Shell) -> None:
    aws_shell("create", "--bucket", "uploads")
    window = {"timestamp": {"N": "1"}, "opened_by": {"S": "event"}, "BucketName": {"S": "uploads"}}
    make_world().somebody.dynamodb.put_item(TableName="S3EventAggregator", Item=window)

    dry = aws_shell("delete", "--dry-run", "--output", "json")
    asked = aws_shell("delete", answer="n\n")
    of_bucket = aws_shell("delete", "--bucket", "uploads", answer="n\n")
    done = aws_shell("delete", "--yes", "--output", "json")

    told = "- bucket uploads: a window is open, and its refresh is due now\n"
    assert f"{told}The delete loses these refreshes. To wait for them first, pass --finish." in asked.stderr
    assert f"{told}The stack still makes these refreshes." in of_bucket.stderr
    assert [each["bucket"] for each in dry.json["unfinished"]] == ["uploads"]
    assert done.json["unfinished"] == dry.json["unfinished"]


def test_a_timeout_of_delete_needs_finish(shell: Shell) -> None:
    ran = shell("delete", "--timeout", "5")

    assert (ran.code, ran.stderr) == (
        2,
        "--timeout requires --finish. Pass --finish as well, or omit --timeout.\n",
    )


@pytest.mark.stack
def test_create_advises_a_refresh_where_events_may_be_missing(aws_shell: Shell) -> None:
    advice = "For objects that changed before: s3agg refresh --bucket uploads"
    somebody = make_world().somebody

    first = aws_shell("create", "--bucket", "uploads", "--prefix", "in/")
    unchanged = aws_shell("create", "--window", "40")
    somebody.s3.put_bucket_notification_configuration(Bucket="uploads", NotificationConfiguration={})
    restored = aws_shell("create")
    narrower = aws_shell("create", "--bucket", "uploads", "--prefix", "in/this/", "--yes")
    wider = aws_shell("create", "--bucket", "uploads", "--prefix", "")
    somebody.lambda_.remove_permission(FunctionName="S3EventAggregator", StatementId="SID_uploads")
    permitted = aws_shell("create")
    somebody.dynamodb.delete_table(TableName="S3EventAggregator")
    with_table = aws_shell("create")

    runs = [first, unchanged, restored, narrower, wider, permitted, with_table]
    assert [advice in ran.stderr.splitlines() for ran in runs] == [True, False, True, False, True, True, True]


DRY_RUNS = ("create --dry-run", "delete --dry-run", "delete --bucket uploads --dry-run", "redrive --dry-run")


@pytest.mark.stack
@pytest.mark.parametrize("command", DRY_RUNS)
def test_a_dry_run_with_something_to_do_exits_3(aws_shell: Shell, command: str) -> None:
    aws_shell("create", "--bucket", "uploads")
    send_dead_letter()
    make_world().somebody.logs.delete_log_group(logGroupName="/aws/lambda/S3EventAggregator")

    assert aws_shell(*command.split()).code == 3


@pytest.mark.stack
@pytest.mark.parametrize(
    "command", ["create --dry-run", "delete --bucket nobodys --dry-run", "redrive --dry-run"]
)
def test_a_dry_run_with_nothing_to_do_exits_0(aws_shell: Shell, command: str) -> None:
    aws_shell("create", "--bucket", "uploads")

    assert aws_shell(*command.split()).code == 0


@pytest.mark.stack
def test_a_dry_run_of_deleting_no_stack_exits_0(aws_shell: Shell) -> None:
    assert aws_shell("delete", "--dry-run").code == 0


@pytest.mark.stack
@pytest.mark.parametrize("command", ["create --dry-run", "delete --dry-run"])
def test_a_dry_run_of_a_command_that_would_fail_shows_the_plan_and_exits_1(
    aws_shell: Shell, command: str
) -> None:
    aws_shell("create", "--bucket", "uploads")
    role = "S3EventAggregatorLambdaRole"
    make_world().somebody.iam.untag_role(RoleName=role, TagKeys=["s3agg:stack"])

    ran = aws_shell(*command.split())

    assert re.search(rf"^foreign +role +{role}$", ran.stdout, re.MULTILINE)
    assert "--adopt" in ran.stderr
    assert ran.code == 1


@pytest.mark.stack
@pytest.mark.parametrize(
    ("command", "advice"),
    [
        (
            "create",
            "To adopt untagged resources, pass --adopt to create, or choose another name with --stack.",
        ),
        (
            "delete",
            "To adopt untagged resources, pass --adopt to create, or choose another name with --stack.",
        ),
    ],
)
def test_the_json_of_a_failing_dry_run_names_its_problems(
    aws_shell: Shell, command: str, advice: str
) -> None:
    aws_shell("create", "--bucket", "uploads")
    role = "S3EventAggregatorLambdaRole"
    make_world().somebody.iam.untag_role(RoleName=role, TagKeys=["s3agg:stack"])

    (problem,) = aws_shell(command, "--dry-run", "--output", "json").json["problems"]

    assert f"role {role}" in problem["what"]
    assert problem["advice"] == advice


@pytest.mark.stack
def test_the_json_of_a_dry_run_that_can_be_carried_out_has_no_problems(aws_shell: Shell) -> None:
    dry = aws_shell("create", "--bucket", "uploads", "--dry-run", "--output", "json")

    assert dry.json["problems"] == []


@pytest.mark.stack
def test_the_json_of_status_has_the_settings_of_the_stack(aws_shell: Shell) -> None:
    aws_shell("create", "--bucket", "uploads", "--prefix", "in/", "--window", "40", "--tag", "team=a")

    assert aws_shell("status", "--output", "json").json["settings"] == {
        "window": 40,
        "min_interval": 60,
        "full_every": 24,
        "concurrency": 10,
        "memory": 128,
        "architecture": "arm64",
        "runtime": "python3.13",
        "log_level": "INFO",
        "log_retention": 30,
        "capacity_mode": "on-demand",
        "read_capacity": None,
        "write_capacity": None,
        "include_gateway_writes": False,
        "permissions_boundary": None,
        "alarm_topic": None,
        "tags": {"team": "a"},
        "buckets": {
            "uploads": {
                "prefixes": ["in/"],
                "suffixes": [],
                "events": ["created", "removed", "expired"],
                "via": "notification",
            }
        },
        "chosen": ["window", "tags", "buckets"],
        "version": __version__,
    }


@pytest.mark.stack
def test_the_json_of_status_has_the_capacity_units_of_a_provisioned_table(aws_shell: Shell) -> None:
    aws_shell("create", "--bucket", "uploads", "--provisioned", "--write-capacity", "7")

    settings = aws_shell("status", "--output", "json").json["settings"]

    capacity = (settings["capacity_mode"], settings["read_capacity"], settings["write_capacity"])
    assert capacity == ("provisioned", 1, 7)


def test_the_readme_and_the_help_have_the_same_exit_codes(shell: Shell) -> None:
    listed = re.findall(r"^ +(\d+) +(.+)$", shell("--help").stdout.partition("Exit codes:")[2], re.MULTILINE)
    rows = re.findall(r"^\| (\d+) \| (.+) \|$", README.read_text(encoding="utf-8"), re.MULTILINE)

    assert [code for code, _ in listed] == ["0", "1", "2", "3", "4", "130"]
    assert [(code, what.replace("`", "")) for code, what in rows] == listed


@pytest.mark.stack
def test_the_blogs_stack_is_taken_over_only_if_that_is_said(aws_shell: Shell) -> None:
    blog.create(make_world().somebody, "uploads")

    refused = [aws_shell("create"), aws_shell("delete", "--yes"), aws_shell("delete", "--bucket", "uploads")]
    shown = aws_shell("create", "--bucket", "uploads", "--adopt", "--dry-run", "--output", "json")
    adopted = aws_shell("create", "--adopt", "--yes")
    after = aws_shell("status")

    assert [ran.code for ran in refused] == [1, 1, 1]
    assert all("--adopt" in ran.stderr for ran in refused)
    assert shown.code == 3
    assert {change["action"] for change in shown.json["changes"]} == {"create", "update", "keep"}
    assert (adopted.code, after.code) == (0, 0)


@pytest.mark.stack
def test_the_blogs_stack_is_removed_if_that_is_said(aws_shell: Shell) -> None:
    blog.create(make_world().somebody, "uploads")

    ran = aws_shell("delete", "--adopt", "--yes")

    assert ran.code == 0
    assert aws_shell("delete", "--yes", "--output", "json").json["changes"] == []


@pytest.mark.stack
@pytest.mark.parametrize("output", ["table", "json"])
def test_a_policy_is_one_json_document_whatever_the_output(aws_shell: Shell, output: str) -> None:
    ran = aws_shell("policy", "--bucket", "uploads", "--output", output, "--stack", "Other")

    assert ran.code == 0
    assert ran.json["Version"] == "2012-10-17"
    assert f"arn:aws:dynamodb:{REGION}:123456789012:table/Other" in ran.stdout
    assert "arn:aws:s3:::uploads" in ran.stdout
    assert ran.stderr.startswith("Warning: Anyone who can edit these roles' policies")


def test_a_cost_is_shown_item_by_item_and_beside_the_blogs_if_asked(shell: Shell) -> None:
    example = ("--objects-per-day", "1000", "--refreshes-per-day", "50", "--provisioned")
    alone = shell("cost", *example, "--prices", "2018-08")
    ran = shell("cost", *example, "--prices", "2018-08", "--compare")

    rows, of_alone = ([" ".join(line.split()) for line in each.stdout.splitlines()] for each in (ran, alone))
    assert ran.code == 0
    assert "3.35 USD a month: 1 000 objects and 50 refreshes a day" in rows
    assert "Lambda requests 33 000 0.20 31 500 0.20" in rows
    assert "DynamoDB write unit-hours 3 600 2.65 3 600 2.65" in rows
    assert "total 3.35 3.36" in rows
    assert {"Lambda requests 33 000 0.20", "total 3.35"} <= set(of_alone)
    assert "blog's" not in alone.stdout.replace("the blog's prices", "")


def test_a_cost_tells_what_it_lacks_and_whose_prices_it_has_before_the_total(shell: Shell) -> None:
    ran = shell("cost", "--objects-per-day", "1000", "--region", "eu-west-1")

    above = " ".join(ran.stdout.partition(" USD a month")[0].split())
    assert above.startswith(
        "Prices of us-east-1, not of eu-west-1. For those, pass --prices FILE. Not included:"
    )
    assert "the gateways' requests to S3, which grow with the bucket" in above


def test_a_cost_includes_the_requests_of_the_gateways(shell: Shell) -> None:
    example = ("--objects-per-day", "1", "--objects-in-bucket", "1000000", "--region", "us-east-1")
    ran = shell("cost", *example)

    assert ran.stdout.startswith("12.")  # nothing is missing from the total
    assert "S3 LIST requests 30 000 0.15" in ran.words
    assert "S3 HEAD requests 30 000 000 12.00" in ran.words


def test_a_cost_bills_events_that_come_through_eventbridge(shell: Shell) -> None:
    ran = shell("cost", "--objects-per-day", "100000", "--via", "eventbridge")

    assert "EventBridge events of S3 3 000 000 3.00" in ran.words


def test_a_cost_shows_the_touched_share_beside_all(shell: Shell) -> None:
    example = ("--objects-per-day", "1000", "--refreshes-per-day", "50", "--objects-in-bucket", "10000")
    shares, one = shell("cost", *example, "--shares", "4"), shell("cost", *example)

    assert "S3 requests of the gateways LIST HEAD USD" in shares.words
    assert "if a window touches one file share, as above 4 770 3 975 000 1.61" in shares.words
    assert "if each window touches every file share 18 000 15 000 000 6.09" in shares.words
    assert "for each window" not in one.words


def test_the_readme_shows_the_cost_as_it_is(shell: Shell) -> None:
    ran = shell("cost", "--objects-per-day", "1000", "--refreshes-per-day", "50")
    shown, page = ran.stdout.partition("\n\n")[0], README.read_text(encoding="utf-8")

    assert " ".join(shown.split()) in " ".join(page.split())  # wherever a line is wrapped


def test_the_prices_of_a_json_cost_are_a_table_to_be_changed(shell: Shell, tmp_path: Path) -> None:
    estimate = ("cost", "--objects-per-day", "1000", "--output", "json")
    before = shell(*estimate).json
    table = tmp_path / "mine.json"
    table.write_text(json.dumps(before["prices"]), encoding="utf-8")

    assert shell(*estimate, "--prices", str(table)).json == before


@pytest.mark.stack
def test_create_tells_of_the_dead_letters_that_stay(aws_shell: Shell) -> None:
    aws_shell("create", "--bucket", "uploads")
    before = aws_shell("create")
    sqs = make_world().somebody.sqs
    url = sqs.get_queue_url(QueueName="S3EventAggregatorDeadLetters")["QueueUrl"]
    for _ in range(2):
        sqs.send_message(QueueUrl=url, MessageBody="{}")

    after = aws_shell("create")

    assert "dead-letter" not in before.stderr
    assert (
        "The dead-letter queue still holds 2 messages. To see each: s3agg redrive --dry-run\n" in after.stderr
    )


@pytest.mark.stack
def test_a_template_is_all_of_stdout_and_stderr_tells_of_the_code_and_what_attaches_the_bucket(
    aws_shell: Shell,
) -> None:
    command = ("template", "--bucket", "uploads", "--code-bucket", "uploads", "--stack", "Other")
    ran, again = aws_shell(*command), aws_shell(*command)

    assert ran.code == 0
    assert yaml.compose(ran.stdout)
    assert again.stdout == ran.stdout
    assert again.stderr.startswith("The functions' code is already in bucket uploads.\n")
    assert ran.stderr == (
        "Uploaded the functions' code to bucket uploads.\n"
        "CloudFormation cannot change the notifications of an existing bucket.\n"
        "After the deployment, attach the bucket: s3agg create --adopt --bucket uploads --stack Other\n"
        "In that command, --prefix, --suffix, --events and --via choose the bucket's events."
        " With --via eventbridge, it also creates the EventBridge rule, and turns EventBridge on.\n"
        "Before you delete CloudFormation's stack, detach it: s3agg delete --bucket uploads --stack Other\n"
    )


def test_a_template_with_zips_tells_how_they_and_its_own_length_are_to_be_dealt_with(
    shell: Shell, tmp_path: Path
) -> None:
    zips = tmp_path / "zips"
    tags = [word for number in range(20) for word in ("--tag", f"{number}={'x' * 200}")]

    zipped = shell("template", "--zips", str(zips))
    long = shell("template", "--zips", str(zips), *tags)

    upload = (
        f"First upload the functions' code: aws s3 cp --recursive {zips} s3://CODE-BUCKET\n"
        "Then deploy the template with --parameter-overrides CodeBucket=CODE-BUCKET\n"
    )
    assert zipped.stderr.startswith(upload)
    assert len(list(zips.glob("s3agg/*.zip"))) == 2
    assert long.stderr.startswith(upload + "The template exceeds 51 200 bytes. Pass --s3-bucket BUCKET ")


def test_the_folder_of_the_zips_is_one_word_of_the_command_whatever_its_name(
    shell: Shell, tmp_path: Path
) -> None:
    zips = tmp_path / "it's\x1b[31m; new"

    ran = shell("template", "--zips", str(zips))

    assert f"--recursive $'{tmp_path}/it\\'s\\x1b[31m; new' s3://CODE-BUCKET\n" in ran.stderr


@pytest.mark.parametrize("command", ["delete --yes", "status", "cost --objects-per-day 1"])
def test_an_empty_name_of_a_stack_is_not_the_default_stack(shell: Shell, command: str) -> None:
    with environment({"S3AGG_STACK": ""}):
        ran = shell(*command.split())

    assert (ran.code, ran.stderr) == (2, "S3AGG_STACK is empty. Unset it, or pass --stack.\n")


FULL = Path("/dev/full")


@pytest.mark.skipif(not FULL.exists(), reason="only Linux has a device that is always full")
@pytest.mark.parametrize(
    "command", ["--help", "cost --objects-per-day 5", "cost --objects-per-day 5 --output json"]
)
def test_output_that_cannot_be_written_is_one_line_of_an_error(
    capsys: pytest.CaptureFixture[str], command: str
) -> None:
    with FULL.open("w") as full, redirect_stdout(full), pytest.raises(SystemExit) as ended:
        main(command.split())

    assert ended.value.code == 1
    told = capsys.readouterr().err
    assert told.startswith("Could not write the output: No space left on device. ")
    assert told.count("\n") == 1


@pytest.mark.skipif(not FULL.exists(), reason="only Linux has a device that is always full")
def test_an_error_that_cannot_be_written_keeps_its_exit_code() -> None:
    with FULL.open("w") as full, redirect_stderr(full), pytest.raises(SystemExit) as ended:
        main(["cost"])

    assert ended.value.code == 2


@pytest.mark.stack
def test_every_call_is_shown_with_v_and_nothing_of_what_it_carried(aws_shell: Shell) -> None:
    fresh = replace(aws_shell, session=make_session())  # it has no clients yet

    ran = fresh("create", "--bucket", "uploads", "--tag", "plan=zebra", "-v", "--output", "json")

    assert " ms  lambda CreateFunction S3EventAggregator" in ran.stderr
    assert "zebra" not in ran.stderr
