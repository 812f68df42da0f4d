"""The view of `status`."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from s3agg import __version__
from s3agg.commands.health import Status
from s3agg.live.counts import Aggregated, Counted, Invocations
from s3agg.live.items import BucketActivity, Window
from s3agg.live.queues import QueueDepth
from s3agg.live.share_status import State
from s3agg.render.share_status import last_refresh
from s3agg.render.status import status_view
from s3agg.resources.resource import Difference
from tests.support.screens import NOW, make_screen, text_of
from tests.support.statuses import SHARE, counted, make_resource, make_status, of_shares, share


def shown(status: Status, width: int = 80, **aws_options: str) -> str:
    screen = make_screen(width=width)
    screen.out.print(status_view(status, NOW, aws_options=aws_options))
    return text_of(screen.out)


def words(status: Status, width: int = 200, **aws_options: str) -> str:
    return " ".join(shown(status, width, **aws_options).split())


def quiet(buckets: tuple[BucketActivity, ...]) -> Status:
    """A status without invocations."""
    return replace(make_status(make_resource(), buckets=buckets), functions=())


def test_the_first_line_answers_whether_it_is_working() -> None:
    first = shown(make_status(make_resource())).splitlines()[0]

    assert first == "Healthy: stack S3EventAggregator in eu-west-1 of account 123456789012"


def test_the_first_line_tells_what_could_not_be_read() -> None:
    unread = replace(make_status(make_resource()), unread=["file_shares", "metrics"])

    assert shown(unread, width=200).startswith(
        "Healthy except for what could not be read (file shares, metrics): stack S3EventAggregator in "
    )
    assert shown(replace(make_status(make_resource(), dead=1), unread=["logs"]), width=200).startswith(
        "Not healthy: 1 dead letter, could not read logs; stack "
    )


def test_what_is_not_healthy_is_told_in_the_first_line() -> None:
    status = make_status(make_resource("missing"), make_resource("drifted"), make_resource("missing"), dead=3)

    first = shown(status, width=120).splitlines()[0]

    assert first.startswith("Not healthy: 2 missing, 1 drifted, 3 dead letters; ")


@pytest.mark.parametrize(
    ("kind", "name"), [("queue", "S3EventAggregatorActionQueue"), ("function", "S3EventAggregator")]
)
def test_dead_letters_that_cannot_be_redriven_yet_are_followed_by_create_first(kind: str, name: str) -> None:
    status = make_status(make_resource(), make_resource("missing", name, kind=kind), dead=1)

    assert (
        "Redrive needs the missing resources. First run s3agg create;"
        " then, to see each, run s3agg redrive --dry-run; to redrive them, run s3agg redrive;"
    ) in words(status)


@pytest.mark.parametrize("width", range(60, 120, 7))
def test_a_command_to_copy_stays_on_one_line(width: int) -> None:

    lines = shown(make_status(make_resource(), dead=2), width, stack="Other", region="eu-west-1").splitlines()

    for command in ("redrive --dry-run", "redrive", "redrive --discard ID"):
        assert any(f"s3agg {command} --stack Other --region eu-west-1" in line for line in lines)


def test_dead_letters_are_followed_by_what_to_do_with_them() -> None:
    status = make_status(make_resource(), dead=2)

    first, second, *_ = shown(status, width=300).splitlines()
    other = shown(
        replace(status, stack="Other", queues=(QueueDepth("OtherDeadLetters", 0, 0, 1),)),
        width=300,
        stack="Other",
    )

    assert first.startswith("Not healthy: 2 dead letters; ")
    assert second == (
        "The dead-letter queue holds 2 messages."
        " To see each and why it failed, run s3agg redrive --dry-run; to redrive them, run s3agg redrive;"
        " to delete one that redrive does not understand, run s3agg redrive --discard ID."
    )
    assert "holds 1 message." in other
    assert "s3agg redrive --dry-run --stack Other" in other
    assert "s3agg redrive --stack Other" in other
    assert "s3agg redrive --discard ID --stack Other" in other


@pytest.mark.parametrize(
    ("state", "command"),
    [
        ("missing", "To create missing resources and correct drift, run s3agg create --profile p."),
        ("drifted", "s3agg create --profile p"),
        ("foreign", "not its tags. Choose another name with --stack."),
    ],
)
def test_what_is_not_as_declared_is_followed_by_the_command_that_mends_it(state: str, command: str) -> None:
    status = make_status(make_resource(), make_resource(state))  # type: ignore[arg-type]  # a State

    assert command in words(status, profile="p")


def test_an_overdue_refresh_is_told_in_the_first_line_with_what_wakes_it() -> None:
    status = make_status(make_resource(), buckets=(BucketActivity("b"),), late=("b",))
    first, second, *_ = shown(status, width=200).splitlines()

    assert first.startswith("Not healthy: 1 refresh overdue; ")
    assert second.startswith("The refresh of bucket b is overdue. ")
    assert second.endswith("to start it, run s3agg create.")


def test_an_event_that_never_became_a_dead_letter_is_not_healthy_for_an_hour() -> None:
    status = make_status(make_resource(), buckets=(BucketActivity("b"),))
    none, some = Counted(None, ()), Counted(2, ())
    hour, day = (Invocations("S3EventAggregator", hours, none, none, none, some) for hours in (1, 24))

    first, second, *_ = shown(replace(status, functions=(hour, day)), width=200).splitlines()

    assert first.startswith("Not healthy: 2 lost events; ")
    assert second.startswith(
        "Lambda could not send 2 failed events of the last hour to the dead-letter queue"
    )
    assert second.endswith("To correct drift, run s3agg create; to refresh every bucket, run s3agg refresh.")
    assert replace(status, functions=(day,)).healthy


def test_a_share_that_refuses_for_long_is_named_with_the_gateways_answer() -> None:
    refusing = BucketActivity(
        "b", unrefreshed_since=NOW, owed=(f"{SHARE}1", f"{SHARE}2"), answer="The gateway is not connected."
    )
    status = make_status(make_resource(), buckets=(refusing, BucketActivity("c")), late=("b", "c"))
    text = words(status)

    assert text.startswith("Not healthy: 2 refreshes overdue; ")
    assert (
        f"File shares share-1, share-2 of bucket b are not refreshed since {NOW:%Y-%m-%d %H:%M} UTC." in text
    )
    assert "The gateway's last answer was: The gateway is not connected; Look at the gateway." in text
    assert "The refresh of bucket c is overdue." in text


def test_a_late_bucket_is_told_whatever_its_item_lacks() -> None:
    odd = BucketActivity("b", owed=(f"{SHARE}1",))  # without the time since when

    assert "The refresh of bucket b is overdue." in words(
        make_status(make_resource(), buckets=(odd,), late=("b",))
    )


def test_what_is_as_declared_needs_no_advice() -> None:
    assert "s3agg " not in shown(quiet(buckets=(BucketActivity("b"),)))


def test_errors_of_the_last_hour_are_followed_by_where_to_look() -> None:
    assert "A function failed in the last hour. To see why, run s3agg logs --since 1h." in words(
        make_status(make_resource())
    )


def test_a_bucket_without_a_file_share_is_a_warning_with_the_next_step() -> None:
    unshared = BucketActivity("b", last_refresh=NOW)
    first, second, *_ = shown(quiet(buckets=(unshared,)), width=400, stack="S").splitlines()

    assert first.startswith("Healthy: ")
    assert second == (
        "Warning: No file share in eu-west-1 is mapped to bucket b, so nothing can be refreshed for it."
        " A stack refreshes no gateway of another region or account:"
        " set automated cache refresh (TTL) there."
        " Otherwise create a file share for it in eu-west-1, or detach it:"
        " s3agg delete --bucket b --stack S."
    )


def test_several_buckets_without_a_file_share_are_one_warning() -> None:
    unshared = [BucketActivity(name, last_refresh=NOW) for name in ("b", "c")]

    text = words(quiet(buckets=tuple(unshared)))

    assert "is mapped to buckets b, c, so nothing can be refreshed for them." in text
    assert "or detach each: s3agg delete --bucket b" in text


def test_a_stack_without_a_bucket_is_a_warning_with_the_next_step() -> None:
    first, second, *_ = shown(quiet(buckets=()), width=200).splitlines()

    assert first.startswith("Healthy: ")
    assert second == (
        "Warning: No bucket is attached, so nothing can be refreshed."
        " Attach a bucket: s3agg create --bucket BUCKET."
    )


def test_resources_that_are_as_declared_share_a_row_with_their_kind() -> None:
    queues = [make_resource("ok", name, kind="queue") for name in ("One", "Two")]
    lines = shown(make_status(make_resource(), *queues)).splitlines()

    begin = lines.index("Resources") + 1
    assert [line.split() for line in lines[begin : begin + 2]] == [
        ["ok", "table", "S3EventAggregator"],
        ["ok", "queue", "One,", "Two"],
    ]


def test_what_has_drifted_comes_first_with_its_differences() -> None:
    drift = Difference("retention", "30 days", "forever")
    status = make_status(make_resource(), make_resource("drifted", "x", drift, kind="log group"))
    lines = shown(status).splitlines()
    begin = lines.index("Resources") + 1

    assert lines[begin].split() == ["drifted", "log", "group", "x"]
    assert lines[begin + 1].strip() == "retention: forever (expected 30 days)"
    assert lines[begin + 2].split() == ["ok", "table", "S3EventAggregator"]


def test_what_has_drifted_tells_what_it_lacks() -> None:
    url = "https://sqs.eu-west-1.amazonaws.com/123456789012/Queue"
    drift = Difference("environment variable QUEUE_URL", "URL of queue Queue", url)
    status = make_status(replace(make_resource("drifted", "x", drift), lacks=["queue Queue"]))
    lines = [line.strip() for line in shown(status, width=100).splitlines()]
    begin = lines.index("environment variable QUEUE_URL:")

    assert lines[begin + 1 : begin + 4] == [
        f"found:    {url}",
        "expected: URL of queue Queue",
        "depends on queue Queue: missing",
    ]


def test_in_brief_what_is_as_declared_is_one_line() -> None:
    screen = make_screen()
    status = make_status(make_resource(), make_resource(name="Two"), make_resource("missing", "Three"))
    screen.out.print(status_view(status, NOW, brief=True))
    lines = [line.split() for line in text_of(screen.out).splitlines()]

    assert ["missing", "table", "Three"] in lines
    assert ["ok", "2", "resources"] in lines
    assert not [line for line in lines if "Two" in line]


@pytest.mark.parametrize(
    ("declared", "found", "told"),
    [
        ("30 days", "forever", "what: forever (expected 30 days)"),
        ("10", "(none)", "what: missing (expected 10)"),
        ("yes", "(none)", "what: missing"),
        ("(none)", "arn", "what: arn (expected none)"),
        ("(none)", "yes", "what: present (expected none)"),
    ],
)
def test_drift_is_a_name_with_what_is_found_and_what_is_expected(
    declared: str, found: str, told: str
) -> None:
    lines = shown(
        make_status(make_resource("drifted", "x", Difference("what", declared, found)))
    ).splitlines()

    assert told in [line.strip() for line in lines]


def test_long_values_are_shown_whole_on_lines_of_their_own() -> None:
    values = [f"https://sqs.eu-west-1.amazonaws.com/123456789012/{name}" for name in ("Queue", "Queu")]
    status = make_status(make_resource("drifted", "x", Difference("variable URL", *values)))

    lines = [line.strip() for line in shown(status, width=120).splitlines()]

    begin = lines.index("variable URL:")
    assert lines[begin + 1 : begin + 3] == [f"found:    {values[1]}", f"expected: {values[0]}"]


def test_long_values_are_folded_and_not_cut_on_a_narrow_terminal() -> None:
    value = "z" * 200
    text = shown(make_status(make_resource("drifted", "x", Difference("what", value, "y"))), width=60)

    assert text.count("z") == len(value)


def test_other_code_is_told_without_its_hash() -> None:
    hashes = ("q0yegAAA=", "TQU94BBB=")
    text = words(make_status(make_resource("drifted", "x", Difference("code SHA-256", *hashes))))

    assert f"code: differs from that of s3agg {__version__}" in text
    assert not [each for each in hashes if each in text]


def test_tags_that_several_resources_lack_share_a_row_with_their_number() -> None:
    tag = Difference("tag team", "storage", "(none)")
    own = Difference("tag s3agg:tags", "team", "(none)")
    drifted = [make_resource("drifted", name, tag, kind="queue") for name in ("one", "two")]
    lines = shown(make_status(*drifted, make_resource("drifted", "x", own, tag))).splitlines()

    begin = lines.index("Resources") + 1
    assert [line.split() for line in lines[begin : begin + 3]] == [
        ["drifted", "table", "x"],
        ["keys", "of", "your", "tags:", "missing", "(expected", "team)"],
        ["drifted", "3", "resources", "tag", "team:", "missing", "(expected", "storage)"],
    ]


def test_whose_a_foreign_resource_is_stands_below_its_name() -> None:
    resource = replace(make_resource("foreign", "x"), owner="of the stack of this name in us-east-1")
    lines = [line.strip() for line in shown(make_status(resource, make_resource("missing"))).splitlines()]

    assert lines[lines.index("Resources") + 2] == "of the stack of this name in us-east-1"
    assert not [line for line in lines if "run s3agg create" in line]


def test_a_bucket_that_is_gone_is_followed_by_how_to_detach_it() -> None:
    rule = make_resource("missing", "gone", kind="notification")
    status = make_status(make_resource(), rule, buckets=(BucketActivity("gone"),), gone=("gone",))

    first, second, third, *_ = shown(replace(status, functions=()), width=200).splitlines()

    assert first.startswith("Not healthy: bucket gone no longer exists; ")
    assert second == "Bucket gone no longer exists. Detach it: s3agg delete --bucket gone."
    assert third == ""


def test_a_missing_rule_of_a_bucket_that_exists_is_no_reason_to_detach_it() -> None:
    status = make_status(make_resource(), make_resource("missing", "there", kind="notification"))

    assert "s3agg delete" not in words(status)


def test_a_stack_that_is_not_there_is_one_line_and_the_command_that_makes_it() -> None:
    lines = shown(make_status(make_resource("missing")), width=200).splitlines()

    assert len(lines) == 1
    assert lines[0].endswith("Create it: s3agg create --bucket BUCKET")


def test_a_stack_that_is_nowhere_is_followed_by_the_list_of_all_stacks() -> None:
    line = words(make_status(make_resource("missing")), stack="Other", profile="p")

    assert "There is no stack S3EventAggregator in eu-west-1. " in line
    assert "run: s3agg list --profile p." in line


def test_a_stack_of_another_region_is_one_line_that_names_the_region() -> None:
    status = make_status(make_resource("missing"), make_resource("foreign", "x"), elsewhere="us-east-1")

    assert shown(status, width=200) == (
        "Not deployed: There is no stack S3EventAggregator in eu-west-1; there is one in us-east-1:"
        " pass --region us-east-1.\n"
    )


@pytest.mark.parametrize(
    ("bucket", "told"),
    [
        (
            BucketActivity("b", Window(open=True, closes_at=NOW + timedelta(seconds=90))),
            "open, closes in 90 s",
        ),
        (BucketActivity("b", Window(open=True, closes_at=NOW - timedelta(seconds=90))), "closed 90 s ago"),
        (
            BucketActivity(
                "b",
                Window(open=True, closes_at=NOW - timedelta(seconds=28)),
                not_before=NOW + timedelta(seconds=4),
            ),
            "open, waits for --min-interval, refresh in 4 s ",
        ),
        (
            BucketActivity(
                "b",
                Window(open=True, closes_at=NOW - timedelta(seconds=28)),
                pending=True,
                not_before=NOW + timedelta(seconds=4),
            ),
            "open, refresh pending, next in 4 s ",
        ),
        (  # a round is running: its claim ends later than any pause
            BucketActivity(
                "b",
                Window(open=True, closes_at=NOW + timedelta(seconds=64)),
                pending=True,
                not_before=NOW + timedelta(seconds=63),
            ),
            "open, refresh in progress ",
        ),
        (
            BucketActivity("b", pending=True, not_before=NOW + timedelta(seconds=63)),
            "closed, refresh in progress ",
        ),
        (
            BucketActivity("b", pending=True, not_before=NOW + timedelta(seconds=61)),
            "closed, refresh pending, next in 61 s",
        ),
        (
            BucketActivity(
                "b",
                Window(open=True, closes_at=NOW + timedelta(seconds=9)),
                not_before=NOW + timedelta(seconds=14),
            ),
            "open, waits for --min-interval, refresh in 14 s",
        ),
        (  # as the aggregator opens one that waits: it closes when its refresh may start, or a bit later
            BucketActivity(
                "b",
                Window(open=True, closes_at=NOW + timedelta(seconds=17)),
                not_before=NOW + timedelta(seconds=14),
            ),
            "open, waits for --min-interval, refresh in 17 s",
        ),
        (  # closes long after the interval
            BucketActivity(
                "b",
                Window(open=True, closes_at=NOW + timedelta(seconds=90)),
                not_before=NOW + timedelta(seconds=14),
            ),
            "open, closes in 90 s",
        ),
        (BucketActivity("b", pending=True), "closed, refresh pending "),
        (
            BucketActivity("b", pending=True, owed=("share",), not_before=NOW + timedelta(seconds=30)),
            "closed, refresh pending ",
        ),
        (BucketActivity("b", shares=("share",), last_refresh=NOW - timedelta(minutes=3)), "3 min ago"),
        (BucketActivity("b", shares=("share",), last_refresh=NOW - timedelta(hours=5)), "5 h ago"),
        (BucketActivity("b", shares=("share",), last_refresh=NOW - timedelta(days=2)), "2 d ago"),
        (BucketActivity("b", last_refresh=NOW), "nothing to refresh"),
        (BucketActivity("b"), "never"),
        (BucketActivity("b"), "not looked up yet"),
        (BucketActivity("b", last_refresh=NOW), "no file share in eu-west-1"),
        (BucketActivity("b", shares=(f"{SHARE}1",)), "share-1"),
        (
            BucketActivity("b", shares=tuple(f"{SHARE}{n}" for n in range(4))),
            "share-0 unknown share-1 unknown share-2 unknown share-3 unknown",
        ),
        (
            BucketActivity("b", shares=tuple(f"{SHARE}{n}" for n in range(250))),
            "share-0 unknown share-1 unknown share-2 unknown and 247 more",
        ),
    ],
)
def test_a_buckets_window_refresh_and_shares_are_told_in_words(bucket: BucketActivity, told: str) -> None:
    assert told in words(make_status(make_resource(), buckets=(bucket,)))


def rows(status: Status, heading: str, *, every_share: bool = False) -> list[str]:
    """The lines below a heading, on 80 columns, with single spaces."""
    screen = make_screen()
    screen.out.print(status_view(status, NOW, every_share=every_share))
    lines = text_of(screen.out).split(f"\n{heading}\n")[1].split("\n\n")[0].splitlines()
    return [" ".join(line.split()) for line in lines]


def test_each_share_has_its_last_refresh_and_how_long_the_last_and_the_median_took() -> None:
    status = of_shares(share(1), share(2, "running", 40), share(3, "accepted", 50, took_s=180))

    assert rows(status, "File shares") == [
        "bucket file share last refresh took median of 24 h",
        "b share-02 running for 40 s - 12 s",
        "share-03 accepted 50 s ago - 3 min",
        "share-01 complete 0 s ago 12 s 12 s",
    ]


def test_a_share_that_has_not_accepted_yet_is_told_so_whatever_came_before() -> None:
    status = of_shares(share(1), share(2))
    (bucket,) = status.buckets
    waiting = replace(status, buckets=(replace(bucket, pending=True, owed=(f"{SHARE}02",)),))

    assert rows(waiting, "File shares")[1:] == [
        "b share-02 not accepted yet - 12 s",
        "share-01 complete 0 s ago 12 s 12 s",
    ]


def test_a_refresh_that_the_gateway_may_ignore_is_not_called_running() -> None:
    status = of_shares(share(1, "running", 420), interval=5)

    assert "share-01 not complete for 7 min" in words(status)


def test_of_many_shares_the_running_and_the_slow_ones_come_first_and_a_pipe_shows_all() -> None:
    many = [share(number) for number in range(48)]
    status = of_shares(*many, share(48, took_s=61), share(49, "running", 40))

    first = [line.removeprefix("b ") for line in rows(status, "File shares")[1:]]
    every = rows(status, "File shares", every_share=True)[1:]

    assert [line.split()[0] for line in first] == ["share-49", "share-48", "share-00", "and"]
    assert first[-1] == "and 47 more"
    assert len(every) == 50


def test_times_of_which_nothing_is_known_have_no_column() -> None:
    unknown = replace(share(1, "accepted"), last_took_s=None, median_took_s=None)

    assert rows(of_shares(unknown), "File shares") == [
        "bucket file share last refresh",
        "b share-01 accepted 0 s ago",
    ]


@pytest.mark.parametrize(
    ("count", "told"), [(1, ", 1 of 3 shares"), (0, ", 0 of 3 shares"), (3, ""), (None, "")]
)
def test_the_last_refresh_tells_how_many_shares_it_was_for(count: int | None, told: str) -> None:
    bucket = BucketActivity("b", last_refresh=NOW, shares=("1", "2", "3"), refreshed_shares=count)

    assert last_refresh(bucket, (), NOW) == f"accepted 0 s ago{told}"


@pytest.mark.parametrize(
    ("state", "told"), [("running", "accepted 90 s ago"), ("complete", "complete 0 s ago")]
)
def test_a_buckets_refresh_is_complete_if_that_of_each_share_is(state: State, told: str) -> None:
    assert rows(of_shares(share(1), share(2, state)), "Buckets")[1] == f"b closed {told} 2"


def test_who_has_file_shares_that_refresh_themselves_is_told_that_this_may_do() -> None:
    timers = {f"{SHARE}1": 300, f"{SHARE}2": 86400, f"{SHARE}3": 300}
    text = words(make_status(make_resource(), buckets=(BucketActivity("b"),), timers=timers))

    assert "Automated cache refresh is on for share-1, share-3, with a TTL of 5 min" in text
    assert "share-2, with a TTL of 24 h" in text


def test_the_last_hour_and_day_tell_of_events_refreshes_and_events_per_refresh() -> None:
    hour = Aggregated(1, counted(1, 30), counted(1, 4), events_per_refresh=7.5, complete=True)
    day = Aggregated(24, counted(24, 12000), counted(24, 12), events_per_refresh=1000, complete=True)
    lines = [
        line.split() for line in shown(make_status(make_resource(), aggregated=(hour, day))).splitlines()
    ]

    assert ["events", "30", "▁" * 11 + "█", "12", "000", "▁" * 23 + "█"] in lines
    assert ["refreshes", "4", "▁" * 11 + "█", "12", "▁" * 23 + "█"] in lines
    assert ["events", "per", "refresh", "7.5", "1000"] in lines


def test_what_is_counted_in_part_only_is_told_to_be_more() -> None:
    hour = Aggregated(1, counted(1, 30), counted(1, 4), events_per_refresh=7.5, complete=True)
    day = Aggregated(24, Counted(50000, ()), Counted(None, ()), events_per_refresh=None, complete=False)
    lines = [
        line.split() for line in shown(make_status(make_resource(), aggregated=(hour, day))).splitlines()
    ]

    assert ["events", "30", "▁" * 11 + "█", "50", "000+"] in lines
    assert ["refreshes", "4", "▁" * 11 + "█", "-"] in lines
    assert ["events", "per", "refresh", "7.5", "-"] in lines


def test_a_log_level_that_hides_events_is_told_instead() -> None:
    text = words(make_status(make_resource()))

    assert "The log level WARN hides events and refreshes." in text
    assert "events per refresh" not in text


def test_functions_are_told_of_with_their_errors_and_throttles() -> None:
    lines = [line.split()[:3] for line in shown(make_status(make_resource())).splitlines()]
    begin = lines.index(["aggregator", "function"])

    assert [line[:2] for line in lines[begin + 1 : begin + 4]] == [
        ["invocations", "1"],
        ["errors", "1"],
        ["throttles", "0"],
    ]


@pytest.mark.parametrize("width", [60, 80, 200])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    drift = Difference("document", "x" * 500, "y" * 500)
    hour = Aggregated(1, counted(1, 1_000_000), counted(1, 60), events_per_refresh=16666.7, complete=True)
    day = Aggregated(24, counted(24, 24_000_000), counted(24, 1440), None, complete=False)
    status = make_status(
        make_resource("drifted", "N" * 150, drift),
        buckets=(BucketActivity("b" * 63),),
        aggregated=(hour, day),
        timers={f"{SHARE}{'1' * 90}": 300},
    )

    assert max(len(line) for line in shown(status, width).splitlines()) <= width


def test_a_console_that_has_no_bars_gets_ascii() -> None:
    screen = make_screen(encoding="cp1252")
    screen.out.print(status_view(make_status(make_resource()), NOW))

    assert text_of(screen.out).isascii()
    assert "___________#" in text_of(screen.out)


def test_names_are_never_taken_for_markup_and_control_characters_are_shown_escaped() -> None:
    text = shown(make_status(make_resource(name="[red]x[/red]\x1b[31m\nend")))

    assert "[red]x[/red]\\x1b[31m\\nend" in text
