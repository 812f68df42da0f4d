"""logs: both functions' lines in one order, none twice, none missed."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from s3agg.aws.clock import from_ms
from s3agg.commands import logs
from s3agg.commands.logs import LOOK_S
from s3agg.errors import S3aggError, UsageProblem
from s3agg.live.log_entries import Entry
from s3agg.settings import Names
from s3agg.stack.elsewhere import NoStack
from tests.support import aws as support
from tests.support import deploying
from tests.support.aws import World

world = support.world

NAMES = Names()
GROUPS = {"aggregator": "/aws/lambda/S3EventAggregator", "refresh": "/aws/lambda/S3StorageGatewayRefresh"}
REQUEST = "5fdc5ab0-3a6f-4a0b-8d0e-6f5d0f1f2a3b"
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc)


@pytest.fixture
def account(world: World) -> World:
    """An account with both log groups; CloudWatch Logs answers what `write` has written."""
    for group in GROUPS.values():
        world.somebody.logs.create_log_group(logGroupName=group)
    return world


class CloudWatch:
    """Answers FilterLogEvents, two events a page, from what is written here."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.numbers = itertools.count(1)
        world.wire.answer("logs:FilterLogEvents", self._answer)

    def write(self, function: str, message: str, age_s: float = 0) -> None:
        at = int((self.world.clock.time() - age_s) * 1000)
        event = {"timestamp": at, "message": message, "eventId": str(next(self.numbers))}
        self.events.append((GROUPS[function], event))

    def _answer(self) -> dict[str, Any]:
        asked = self.world.wire.made("logs:FilterLogEvents")[-1]
        assert len(self.world.wire.made("logs:FilterLogEvents")) < 200, "a line that is missed is waited for"
        found = [
            event
            for group, event in self.events
            if group == asked["logGroupName"] and event["timestamp"] >= asked["startTime"]
        ]
        begin = int(asked.get("nextToken", "0"))
        more = {"nextToken": str(begin + 2)} if len(found) > begin + 2 else {}
        return {"events": found[begin : begin + 2], **more}


@pytest.fixture
def cloudwatch(account: World) -> CloudWatch:
    return CloudWatch(account)


def read(world: World, *, age_s: float = 600, **how: Any) -> Iterator[Entry]:
    return logs.read(world.aws, NAMES, since=from_ms((world.clock.time() - age_s) * 1000), **how)


def messages(world: World, **how: Any) -> list[str]:
    return [entry.message for entry in read(world, **how)]


def test_the_lines_of_both_functions_come_in_the_order_of_time(
    account: World, cloudwatch: CloudWatch
) -> None:
    for age_s, function in ((50, "aggregator"), (40, "refresh"), (30, "aggregator"), (20, "refresh")):
        cloudwatch.write(function, f"{age_s} s ago", age_s)

    assert messages(account) == ["50 s ago", "40 s ago", "30 s ago", "20 s ago"]


def test_what_is_older_than_asked_for_stays_away(account: World, cloudwatch: CloudWatch) -> None:
    cloudwatch.write("aggregator", "old", 700)
    cloudwatch.write("aggregator", "new", 500)

    assert messages(account) == ["new"]


def test_one_function_can_be_asked_for(account: World, cloudwatch: CloudWatch) -> None:
    cloudwatch.write("aggregator", "an event")
    cloudwatch.write("refresh", "a message")

    assert messages(account, functions=("refresh",)) == ["a message"]


def test_one_bucket_can_be_asked_for_and_none_whose_name_begins_like_it(
    account: World, cloudwatch: CloudWatch
) -> None:
    for words in (
        "for bucket: photos, timestamp",
        "Bucket: photos key=x",
        "bucket: photos-2,",
        "bucket: a.photos",
    ):
        cloudwatch.write("aggregator", words)

    assert messages(account, bucket="photos") == ["for bucket: photos, timestamp", "Bucket: photos key=x"]


def line(request: str, message: str, level: str = "INFO") -> str:
    return f"[{level}]\t2026-01-02T03:04:05.678Z\t{request}\t{message}"


def test_the_lines_of_an_invocation_that_names_the_bucket_are_the_buckets(
    account: World, cloudwatch: CloudWatch
) -> None:
    cloudwatch.write("refresh", line("r-1", "File share did not accept: share-1: busy", "WARNING"), 40)
    cloudwatch.write("refresh", line("r-2", "File share did not accept: share-2: busy", "WARNING"), 39)
    cloudwatch.write("aggregator", line("r-3", "Refresh for bucket: photos within"), 38)
    cloudwatch.write("refresh", line("r-2", "Putting off the message of bucket: music by 62 s"), 37)
    cloudwatch.write("refresh", line("r-1", "Putting off the message of bucket: photos by 62 s"), 36)
    cloudwatch.write("refresh", line("r-1", "after its name"), 35)

    assert messages(account, bucket="photos") == [
        "File share did not accept: share-1: busy",
        "Refresh for bucket: photos within",
        "Putting off the message of bucket: photos by 62 s",
        "after its name",
    ]


def test_the_end_of_a_refresh_belongs_to_the_bucket_that_it_was_accepted_for(
    account: World, cloudwatch: CloudWatch
) -> None:
    """The line is of another invocation, and names no bucket."""
    for number, (bucket, notification) in enumerate([("photos", "id-1"), ("music", "id-2")]):
        accepted = f"Refreshing file share: share-{number}, notification: {notification}"
        cloudwatch.write("refresh", line(f"r-{number}", accepted), 50)
        cloudwatch.write("refresh", line(f"r-{number}", f"Refresh accepted for bucket: {bucket}, x"), 49)
    for number, notification in enumerate(["id-2", "id-1", "theirs"]):
        done = f"File share complete: share, notification: {notification}, took: 5 ms"
        cloudwatch.write("refresh", line(f"r-9{number}", done), 9 - number)

    assert messages(account, bucket="photos") == [
        "Refreshing file share: share-0, notification: id-1",
        "Refresh accepted for bucket: photos, x",
        "File share complete: share, notification: id-1, took: 5 ms",
    ]


def test_following_a_bucket_does_not_wait_for_invocations_that_may_still_name_it(
    account: World, cloudwatch: CloudWatch
) -> None:
    cloudwatch.write("refresh", line("r-1", "File share did not accept: share-1: busy"), 3)
    cloudwatch.write("refresh", line("r-2", "Refresh accepted for bucket: photos, started"), 2)
    following = read(account, bucket="photos", follow=True)
    told = [next(following).message]
    cloudwatch.write("refresh", line("r-1", "Putting off the message of bucket: photos by 62 s"), 1)
    told += [next(following).message for _ in range(2)]

    assert told == [
        "Refresh accepted for bucket: photos, started",
        "File share did not accept: share-1: busy",
        "Putting off the message of bucket: photos by 62 s",
    ]


def test_what_lambda_writes_for_every_invocation_is_left_out_unless_asked_for(
    account: World, cloudwatch: CloudWatch
) -> None:
    written = [
        "INIT_START Runtime Version: python:3.13",
        "START RequestId: r-1 Version: $LATEST",
        line("r-1", "Refresh accepted for bucket: photos, started"),
        "END RequestId: r-1",
        "REPORT RequestId: r-1\tDuration: 3 ms",
        '{"_aws": {"Timestamp": 1}, "UnrefreshedFor": 3}',
        f"2026-01-02T03:04:05.678Z {REQUEST} Task timed out after 30.00 seconds",
    ]
    for each in written:
        cloudwatch.write("refresh", each)

    own = ["Refresh accepted for bucket: photos, started", "Task timed out after 30.00 seconds"]
    assert messages(account) == own
    assert len(messages(account, everything=True)) == len(written)
    assert len(messages(account, everything=True, bucket="photos")) == 4  # those of r-1


REASON = "Invalid type for parameter QueueUrl"


@pytest.mark.parametrize(
    ("raised", "copied"),
    [
        ("KeyError: 'X'", "KeyError: 'X'"),
        (f"botocore.exceptions.ParamValidationError: {REASON}", f"ParamValidationError: {REASON}"),
        (f"botocore.exceptions.ParamValidationError:\n{REASON}", "ParamValidationError:"),
    ],
)
def test_an_error_that_the_runtime_repeats_is_told_once_and_its_traceback_only_on_request(
    account: World, cloudwatch: CloudWatch, raised: str, copied: str
) -> None:
    traceback = "\nTraceback (most recent call last):\n  File x\n    code"
    own, copy = f"Could not handle it{traceback}\n{raised}", f"[ERROR] {copied}{traceback}"
    cloudwatch.write("refresh", copy)  # of the other function: no copy
    cloudwatch.write("aggregator", line("r-1", own, "ERROR"))
    cloudwatch.write("aggregator", copy)
    cloudwatch.write("aggregator", "[ERROR] KeyError: 'Y'")

    brief = messages(account)

    assert sorted(brief) == sorted(
        [copied, "Could not handle it: " + raised.replace("\n", " "), "KeyError: 'Y'"]
    )
    assert own in messages(account, everything=True)
    assert len(messages(account, everything=True)) == 4


def test_a_level_leaves_out_what_is_below_it_and_no_failure_without_a_level(
    account: World, cloudwatch: CloudWatch
) -> None:
    for level in ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"):
        cloudwatch.write("refresh", line("r-1", level.lower(), level))
    cloudwatch.write("refresh", f"2026-01-02T03:04:05.678Z {REQUEST} Task timed out after 30.00 seconds")

    assert messages(account, level="WARN")[:-1] == ["warning", "error", "critical"]
    assert messages(account, level="ERROR") == ["error", "critical", "Task timed out after 30.00 seconds"]


@pytest.mark.parametrize(
    ("written", "level", "request_id", "message"),
    [
        ("[INFO]\t2026-01-02T03:04:05.678Z\tabc-1\tSending\tit", "INFO", "abc-1", "Sending\tit"),
        ("[ERROR]\t2026-01-02T03:04:05.678Z\tabc-1\tNo\nTrace:\n  x", "ERROR", "abc-1", "No\nTrace:\n  x"),
        ("[ERROR] KeyError: 'x'\nTrace:\n  x", "ERROR", "", "KeyError: 'x'\nTrace:\n  x"),
        (
            f"2026-01-02T03:04:05.678Z {REQUEST} Task timed out after 30.00 seconds",
            *("", REQUEST, "Task timed out after 30.00 seconds"),
        ),
        ("RequestId: abc-1 Error: Runtime exited", "", "abc-1", "RequestId: abc-1 Error: Runtime exited"),
        ("START RequestId: abc-1 Version: $LATEST", "", "abc-1", "START RequestId: abc-1 Version: $LATEST"),
        ("REPORT RequestId: abc-1\tDuration: 3 ms", "", "abc-1", "REPORT RequestId: abc-1\tDuration: 3 ms"),
        ("Something of Python's own", "", "", "Something of Python's own"),
    ],
)
def test_a_line_is_taken_apart_as_the_runtime_put_it_together(
    account: World, cloudwatch: CloudWatch, written: str, level: str, request_id: str, message: str
) -> None:
    cloudwatch.write("aggregator", written)

    (entry,) = read(account, everything=True)

    assert (entry.level, entry.request_id, entry.message) == (level, request_id, message)


def test_following_tells_each_line_once_however_many_pages_there_are(
    account: World, cloudwatch: CloudWatch
) -> None:
    told: list[str] = []
    for number in range(5):
        cloudwatch.write("aggregator", f"line {number}")
    following = read(account, follow=True)
    told += [next(following).message for _ in range(5)]
    for number in range(5, 12):
        cloudwatch.write("refresh", f"line {number}")
    told += [next(following).message for _ in range(7)]
    cloudwatch.write("aggregator", "the last")
    told.append(next(following).message)

    assert told == [f"line {number}" for number in range(12)] + ["the last"]


def test_following_goes_on_after_a_failure_and_misses_nothing(account: World, cloudwatch: CloudWatch) -> None:
    following = read(account, follow=True)
    cloudwatch.write("aggregator", "before")
    told = [next(following).message]
    for number in range(4):
        cloudwatch.write("aggregator" if number % 2 else "refresh", f"line {number}", age_s=-number)
    # The next look reads of both logs; its third call, a page further on, fails.
    account.wire.refuse("logs:FilterLogEvents", "ServiceUnavailableException", after=2, times=1)
    told += [next(following).message for _ in range(4)]

    assert sorted(told) == ["before", *(f"line {number}" for number in range(4))]
    assert account.warnings[0].endswith("Retrying.")


def test_without_following_a_failure_is_an_error(account: World, cloudwatch: CloudWatch) -> None:
    cloudwatch.write("aggregator", "before")
    account.wire.refuse("logs:FilterLogEvents", "ServiceUnavailableException")

    with pytest.raises(S3aggError, match="While reading log group"):
        messages(account)


def test_a_line_that_cloudwatch_shows_later_than_younger_ones_is_not_missed(
    account: World, cloudwatch: CloudWatch
) -> None:
    cloudwatch.write("aggregator", "young")
    following = read(account, follow=True)
    first = next(following).message
    cloudwatch.write("aggregator", "older, and late", age_s=20)

    assert (first, next(following).message) == ("young", "older, and late")


def test_lines_of_one_millisecond_are_told_once_each_and_in_their_order(
    account: World, cloudwatch: CloudWatch
) -> None:
    for number in range(5):
        cloudwatch.write("refresh", f"line {number}")
    following = read(account, follow=True)
    told = [next(following).message for _ in range(5)]
    cloudwatch.write("refresh", "line 5")
    told.append(next(following).message)

    assert told == [f"line {number}" for number in range(6)]


def test_following_what_goes_far_back_tells_each_line_once(account: World, cloudwatch: CloudWatch) -> None:
    for age_s in range(600, -1, -10):
        cloudwatch.write("aggregator", f"{age_s} s ago", age_s)
    following = read(account, follow=True)
    told = [next(following).message for _ in range(61)]
    cloudwatch.write("aggregator", "the last")

    assert [*told, next(following).message] == [
        *(f"{age_s} s ago" for age_s in range(600, -1, -10)),
        "the last",
    ]


def test_a_look_that_finds_nothing_for_once_does_not_have_all_told_again(
    account: World, cloudwatch: CloudWatch
) -> None:
    cloudwatch.write("aggregator", "first")
    following = read(account, follow=True)
    told = [next(following).message]
    account.wire.answer(
        "logs:FilterLogEvents", {"events": []}, times=3
    )  # the rest of this look, and one more
    account.wire.before("logs:FilterLogEvents", lambda: cloudwatch.write("aggregator", "second"), after=4)

    assert [*told, next(following).message] == ["first", "second"]


def test_a_log_group_that_is_made_later_is_followed_from_then_on(
    account: World, cloudwatch: CloudWatch
) -> None:
    account.wire.refuse(
        "logs:FilterLogEvents",
        "ResourceNotFoundException",
        times=2,
        when=lambda call: call.params["logGroupName"] == GROUPS["refresh"],
    )
    cloudwatch.write("aggregator", "an event")
    cloudwatch.write("refresh", "a message")
    following = read(account, follow=True)

    assert [next(following).message for _ in range(2)] == ["an event", "a message"]


def test_what_has_come_is_told_before_further_pages_are_asked_for(
    account: World, cloudwatch: CloudWatch
) -> None:
    for number in range(20):
        cloudwatch.write("aggregator", f"line {number}")

    next(read(account))

    assert len(account.wire.made("logs:FilterLogEvents")) == len(GROUPS)


def test_following_looks_every_two_seconds(account: World, cloudwatch: CloudWatch) -> None:
    cloudwatch.write("aggregator", "first")
    following = read(account, follow=True)
    next(following)
    cloudwatch.write("aggregator", "second")
    next(following)

    assert account.clock.waited == LOOK_S


def test_cloudwatch_is_not_asked_for_what_was_before_1970(account: World, cloudwatch: CloudWatch) -> None:
    cloudwatch.write("aggregator", "a line")

    entries = list(logs.read(account.aws, NAMES, since=logs.since("1960-01-01", NOW)))

    assert len(entries) == 1
    assert {call["startTime"] for call in account.wire.made("logs:FilterLogEvents")} == {0}


def test_what_cannot_be_a_bucket_is_in_no_line(account: World) -> None:
    with pytest.raises(UsageProblem, match="Invalid bucket name"):
        list(read(account, bucket="s3://photos"))


def test_a_stack_that_is_not_there_is_an_error(world: World) -> None:
    with pytest.raises(NoStack, match="There is no stack S3EventAggregator in eu-west-1"):
        list(read(world))


@pytest.mark.stack
def test_a_stack_without_log_groups_is_an_error(world: World) -> None:
    deploying.make(world, "photos")
    for name in (NAMES.aggregator, NAMES.refresher):
        world.somebody.logs.delete_log_group(logGroupName=f"/aws/lambda/{name}")

    with pytest.raises(S3aggError, match="No log groups found for stack S3EventAggregator"):
        list(read(world))


def test_without_permission_to_read_roles_only_the_log_groups_are_missing(world: World) -> None:
    world.wire.refuse("iam:GetRole", "AccessDenied")

    with pytest.raises(S3aggError, match="No log groups found for stack S3EventAggregator"):
        list(read(world))


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("30s", NOW - timedelta(seconds=30)),
        ("10m", NOW - timedelta(minutes=10)),
        ("2h", NOW - timedelta(hours=2)),
        ("90", NOW - timedelta(seconds=90)),
        ("7d", NOW - timedelta(days=7)),
        ("2026-01-01T08:00:00Z", datetime(2026, 1, 1, 8, tzinfo=timezone.utc)),
        ("2026-01-01T08:00:00+02:00", datetime(2026, 1, 1, 6, tzinfo=timezone.utc)),
        ("2026-01-01", datetime(2026, 1, 1, tzinfo=timezone.utc)),
    ],
)
def test_a_moment_is_an_age_or_a_time(text: str, moment: datetime) -> None:
    assert logs.since(text, NOW) == moment


@pytest.mark.parametrize("text", ["2026-01-02T03:04:06Z", "2026-01-02T04:04:05", "2026-01-02T03:04:05-01:00"])
def test_logs_of_the_future_are_refused_with_the_time_now(text: str) -> None:
    with pytest.raises(UsageProblem, match=f"{text} is in the future: it is now 2026-01-02T03:04:05Z"):
        logs.since(text, NOW)


@pytest.mark.parametrize(
    "text", ["", "123456789", "10x", "m", "-5m", "yesterday", "2026-13-01", "9" * 30 + "d"]
)
def test_what_is_no_moment_is_wrong_usage(text: str) -> None:
    with pytest.raises(UsageProblem, match="is not an age or a time"):
        logs.since(text, NOW)
