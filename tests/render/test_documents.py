"""The JSON documents of commands are as their schemas say."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from s3agg.cli.main import cli
from s3agg.commands import demo
from s3agg.commands.health import Status
from s3agg.commands.problem import Problem
from s3agg.commands.stack_state import State
from s3agg.errors import S3aggError
from s3agg.live.counts import Aggregated, Counted
from s3agg.live.items import BucketActivity, Window
from s3agg.live.log_entries import Entry
from s3agg.live.share_status import ShareStatus
from s3agg.render.document import problem_documents
from s3agg.render.logs import log_document
from s3agg.resources.event_filter import EventFilter
from s3agg.resources.resource import Difference
from tests.support import documents
from tests.support.screens import NOW, make_screen, text_of
from tests.support.statuses import counted, make_resource, make_status

SCHEMAS = sorted(path.stem for path in documents.FOLDER.glob("*.json"))


def printed(status: Status, **aws_options: str) -> Any:
    screen = make_screen(as_json=True)
    screen.aws_options = aws_options
    screen.status(status)
    return documents.parse(text_of(screen.out), "status")


def test_each_command_that_prints_json_has_a_schema() -> None:
    takes_output = {
        name for name, command in cli.commands.items() if "output" in {p.name for p in command.params}
    }

    assert set(SCHEMAS) == takes_output - {"template"}  # always YAML


@pytest.mark.parametrize("command", SCHEMAS)
def test_each_schema_is_a_schema(command: str) -> None:
    Draft202012Validator.check_schema(documents.schema(command))


@pytest.mark.parametrize("command", SCHEMAS)
def test_each_schema_accepts_keys_of_a_later_version(command: str) -> None:
    """A schema that forbids other keys would make each new key a breaking change."""
    assert '"additionalProperties": false' not in (documents.FOLDER / f"{command}.json").read_text("utf-8")


@pytest.mark.parametrize("command", [each for each in SCHEMAS if each != "policy"])
def test_each_key_of_a_schema_is_always_present(command: str) -> None:
    assert [
        part
        for part in objects(documents.schema(command))
        if set(part["properties"]) != set(part["required"])
    ] == []


def objects(part: Any) -> Iterator[dict[str, Any]]:
    """The parts of a schema that describe an object by its keys."""
    if isinstance(part, dict):
        if part.get("type") == "object" and "properties" in part:
            yield part
        for each in part.values():
            yield from objects(each)


def test_a_full_status_is_as_its_schema_says() -> None:
    hour = Aggregated(1, counted(1, 30), counted(1, 4), events_per_refresh=7.5, complete=True)
    day = Aggregated(24, Counted(50000, ()), Counted(None, ()), events_per_refresh=None, complete=False)
    bucket = BucketActivity(
        "b",
        Window(open=True, closes_at=NOW),
        last_refresh=NOW,
        not_before=NOW,
        event_filter=EventFilter(("in/",)),
        refreshed_shares=1,
        last_full=NOW,
        prefixes={"arn": "", "other": "in/"},
    )
    drift = make_resource("drifted", "x", Difference("what", "10", "20"))
    status = make_status(
        make_resource(),
        drift,
        dead=1,
        buckets=(bucket,),
        aggregated=(hour, day),
        late=("b",),
        timers={"arn": 300},
        refreshes={"b": [ShareStatus("arn", "complete", NOW, NOW, 2.5, 2.5), ShareStatus("other")]},
    )

    assert printed(status)["healthy"] is False


def test_problems_are_what_is_wrong_and_what_to_do_with_the_options_at_hand() -> None:
    assert printed(make_status(make_resource(), dead=1), stack="Other")["problems"] == [
        {
            "what": "The dead-letter queue holds 1 message.",
            "advice": "To see each and why it failed, run s3agg redrive --dry-run --stack Other;"
            " to redrive them, run s3agg redrive --stack Other;"
            " to delete one that redrive does not understand, run s3agg redrive --discard ID --stack Other.",
        }
    ]


def test_a_healthy_status_has_no_problems() -> None:
    document = printed(make_status(make_resource()))

    assert (document["exists"], document["healthy"], document["problems"]) == (True, True, [])


def test_a_stack_that_does_not_exist_has_one_problem_and_no_settings() -> None:
    document = printed(make_status(make_resource("missing")))

    assert (document["exists"], document["settings"]) == (False, None)
    assert document["problems"] == [
        {"what": "The stack is not deployed.", "advice": "Create it: s3agg create --bucket BUCKET."}
    ]


def test_dead_letters_are_a_number_or_null_without_their_queue() -> None:
    status = make_status(make_resource(), dead=3)

    assert printed(status)["dead_letters"] == 3
    assert printed(replace(status, queues=()))["dead_letters"] is None


def test_metrics_that_were_not_counted_are_null() -> None:
    document = printed(replace(make_status(make_resource()), functions=None, aggregated=None, timers=None))

    assert [document[name] for name in ("functions", "aggregated", "timers")] == [None, None, None]


def test_parts_that_could_not_be_read_are_codes() -> None:
    document = printed(replace(make_status(make_resource()), unread=["file_shares"]))

    assert (document["healthy"], document["unread"]) == (True, ["file_shares"])


def test_an_absent_value_is_null() -> None:
    drift = Difference("concurrency", "10", "(none)")

    (resource,) = printed(make_status(make_resource("drifted", "x", drift)))["resources"]

    assert resource["differences"] == [{"what": "concurrency", "declared": "10", "found": None}]


def test_what_there_is_not_is_null_and_no_empty_text() -> None:
    trigger = replace(make_resource("missing", "trigger", kind="trigger"), arn="")
    nothing_known = Problem("The share has no name", [])
    status = replace(make_status(make_resource(), trigger), remedy="", of_shares=[nothing_known])

    document = printed(status)

    assert document["remedy"] is None
    assert {each["owner"] for each in document["resources"]} == {None}
    assert document["resources"][1]["arn"] is None
    assert {"what": "The share has no name.", "advice": None} in document["warnings"]
    assert problem_documents([S3aggError("It failed")], {}) == [{"what": "It failed.", "advice": None}]


@pytest.mark.parametrize("state", ["missing", "foreign"])
def test_without_the_table_the_windows_are_unknown(state: State) -> None:
    other = make_resource(name="S3EventAggregator", kind="function")
    status = make_status(make_resource(state), other, buckets=(BucketActivity("b"),))

    (bucket,) = printed(status)["buckets"]
    screen = make_screen()
    screen.status(status)

    assert (bucket["window"], bucket["pending"]) == (None, None)
    assert text_of(screen.out).splitlines().count("b       unknown  unknown       not looked up yet") == 1


def test_a_log_line_of_lambda_has_no_level_and_no_request() -> None:
    document = log_document(Entry(NOW, "refresh", "", "", "INIT_START"))

    assert (document["level"], document["request_id"]) == (None, None)


def test_a_demo_is_as_its_schema_says() -> None:
    screen = make_screen(as_json=True)
    screen.demo(demo.Report(uploaded=5, refreshes=1, share_before=0, share_after=5, seconds=12.5))

    assert documents.parse(text_of(screen.out), "demo")["share_after"] == 5
