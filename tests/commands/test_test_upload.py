"""test-upload: its uploads, its reading of the functions' log lines, its results."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError
from moto.core.models import MockAWS

from s3agg import engine
from s3agg.aws.clock import from_ms
from s3agg.aws.session import Aws
from s3agg.commands import before_upload, follow, preflight, test_objects, watching
from s3agg.commands import test_upload as probe
from s3agg.commands.completion import why_not_complete
from s3agg.commands.test_objects import Encryption, Seen
from s3agg.commands.test_upload import Report
from s3agg.errors import Advice, S3aggError, UsageProblem
from s3agg.settings import Names, Settings
from s3agg.stack import declared, deployed
from s3agg.stack.deployed import Request
from tests.support.aws import REGION, Session, Wire, account_settings, empty, make_bucket, share_of
from tests.support.clock import Clock
from tests.support.functions import SHARE, Functions
from tests.support.handlers import classes, known

pytestmark = pytest.mark.stack

BUCKET = "uploads"
KEY = "arn:aws:kms:eu-west-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"
IF_REQUIRED = "If a policy requires encryption, pass"
# AWS's messages (FACTS, Denials); the resource differs from one call to the next.
USER = "User: arn:aws:iam::123456789012:user/somebody is not authorized to perform: {} on resource: arn:x"
DENIED_BY = f"{USER} with an explicit deny in a resource-based policy"
NOT_ALLOWED = f"{USER} because no identity-based policy allows the {{0}} action".replace("{}", "{0}", 1)


@dataclass
class Play(Functions):
    """A stack, and this test in the role of its functions: it writes their log lines and their item."""

    wire: Wire = field(default_factory=Wire)
    warnings: list[str] = field(default_factory=list)

    def make_stack(self, request: Request) -> None:
        for _ in engine.apply(self.aws, preflight.check(self.aws, Names(), request).passed().plan()):
            pass
        # An upload would make moto look for Docker to run the function: only the wire knows the rule now.
        rules = self.aws.s3.get_bucket_notification_configuration(Bucket=BUCKET)
        self.aws.s3.put_bucket_notification_configuration(Bucket=BUCKET, NotificationConfiguration={})
        self.wire.answer("s3:GetBucketNotificationConfiguration", rules)
        self.can_log()
        self.clock.jump(60)  # what fails from now on fails after the last change of the functions

    def run(
        self, on_waiting: Callable[[list[str]], object], **how: object
    ) -> tuple[list[follow.Event], Report]:
        """Run the probe; each time that it waits, this is called with the keys uploaded."""
        deployment = deployed.read(self.aws, Names())
        options: Mapping[str, object] = {"count": 3, "timeout_s": 8, "keep": False, **how}
        events: list[follow.Event] = []
        running = probe.run(self.aws, deployment, deployed.the_bucket(deployment, None), **options)  # type: ignore[arg-type]  # by name
        while True:
            try:
                events.append(next(running))
            except StopIteration as end:
                return events, end.value
            if isinstance(events[-1], watching.Waiting):
                on_waiting(sorted({each.key for each in events if isinstance(each, Seen)}))

    def stored(self) -> list[str]:
        """What is in the bucket: every version of every object, and delete markers."""
        page = self.aws.s3.list_object_versions(Bucket=BUCKET)
        return [each["Key"] for each in [*page.get("Versions", []), *page.get("DeleteMarkers", [])]]


@pytest.fixture(scope="module")
def watched() -> tuple[Session, Wire]:
    """A session whose clients are made once: that takes most time."""
    session, wire = Session().with_credentials(), Wire()
    wire.listen(session)
    return session, wire


@pytest.fixture
def play(watched: tuple[Session, Wire], running_moto: MockAWS) -> Play:
    """An account with one bucket. Its clock starts now: moto takes no log lines from far away."""
    empty(running_moto)
    session, wire = watched
    wire.reset()
    clock = Clock(time.time())
    wire.answer("lambda:GetAccountSettings", account_settings(1000))  # not in moto
    wire.have_shares(share_of(BUCKET, "share-1"))
    warnings: list[str] = []
    aws = Aws(
        session=session,
        region=REGION,
        workers=1,
        clock=clock,
        warn=lambda *what: warnings.append(" ".join(map(str, what))),
    )
    make_bucket(aws, BUCKET)
    return Play(aws, clock, BUCKET, wire=wire, warnings=warnings)


def have_prefixes(play: Play, *prefixes: str) -> None:
    """Give the bucket a file share for each prefix."""
    play.wire.have_shares(
        *(
            share_of(BUCKET, f"share-{number}", LocationARN=f"arn:aws:s3:::{BUCKET}/{prefix}")
            for number, prefix in enumerate(prefixes, 1)
        )
    )


def once(*actions: Callable[[list[str]], object]) -> Callable[[list[str]], None]:
    """Take these one after the other, one each time."""
    left = list(actions)

    def act(keys: list[str]) -> None:
        if left:
            left.pop(0)(keys)

    return act


def test_events_are_followed_to_a_refresh_that_began_after_the_last_of_them(play: Play) -> None:
    play.make_stack(Request((BUCKET,)))
    too_early = play.clock.time()

    events, report = play.run(
        once(play.handle, lambda _: play.refresh(started=too_early - 5), lambda _: play.refresh())
    )

    assert (report.ok, report.uploaded, report.opened_windows, report.within_window) == (True, 3, 1, 2)
    assert report.refreshes[-1].shares == (SHARE,)
    assert [event.became for event in events if isinstance(event, Seen)] == [
        "uploaded", "uploaded", "uploaded", "opened_window", "within_window", "within_window",
    ]  # fmt: skip


OTHER = f"{SHARE}2"


def test_it_ends_when_every_share_is_complete_and_not_when_all_have_accepted(play: Play) -> None:
    play.make_stack(Request((BUCKET,)))
    play.wire.have_shares(share_of(BUCKET, "share-1"), share_of(BUCKET, "share-12"))
    started: list[float] = []

    def accept(_: list[str]) -> None:
        started.append(play.clock.time())
        play.refresh(f"{SHARE},{OTHER}", started[0], complete=False)

    def complete(share: str) -> None:
        play.complete(share, int(started[0] * 1000))

    _, report = play.run(
        once(
            play.handle, accept, lambda _: complete(SHARE), *[lambda _: None] * 9, lambda _: complete(OTHER)
        ),
        timeout_s=60,
    )

    assert (report.ok, report.complete) == (True, True)
    assert [each.share for each in report.shares] == [SHARE, OTHER]
    assert report.refreshes[-1].complete == max(each.complete for each in report.shares if each.complete)
    assert all(each.took_s == 2.5 for each in report.shares)


def test_only_the_shares_that_must_show_the_objects_are_followed(play: Play) -> None:
    """Another share accepted too, and its gateway is not done."""
    play.make_stack(Request((BUCKET,), prefixes=("red/",)))
    have_prefixes(play, "red/", "blue/")
    started: list[float] = []

    def accept(_: list[str]) -> None:
        started.append(play.clock.time())
        play.refresh(f"{SHARE},{OTHER}", started[0], complete=False)

    def complete(_: list[str]) -> None:
        play.complete(SHARE, int(started[0] * 1000))

    events, report = play.run(once(play.handle, accept, complete), timeout_s=60)

    assert (report.ok, report.complete, report.showing) == (True, True, (SHARE,))
    assert [each.shares for each in events if isinstance(each, follow.Refresh)] == [(SHARE,), (SHARE,)]
    assert [each.share for each in report.shares] == [SHARE]
    assert any("these must show the uploaded objects" in str(note) for note in report.notes)


@pytest.mark.parametrize("began", ["after", "before"])
def test_a_share_that_shows_no_object_is_not_waited_for(play: Play, began: str) -> None:
    """Its gateway is off. A refresh of others, or one before the last event, is no reason to end."""
    play.make_stack(Request((BUCKET,), prefixes=("red/",)))
    have_prefixes(play, "red/", "blue/")

    def accept(_: list[str]) -> None:
        now = int(play.clock.time() * 1000)
        play.log(Names().refresher, f"Refreshing file share: {SHARE}, notification: one")
        play.log(Names().refresher, f"File share complete: {SHARE}, notification: one, took: 2500 ms")
        if began == "before":
            play.refresh(OTHER)
        share = classes("known_shares").KnownShare
        at = now if began == "after" else now - 3_600_000
        shares = {"share-1": share("red/", began=at), "share-2": share("blue/", owed=now)}
        item: Any = {"BucketName": {"S": BUCKET}, "pending": {"S": "one"}, **known(shares)}
        play.aws.dynamodb.put_item(TableName=Names().table, Item=item)

    _, report = play.run(once(play.handle, accept), timeout_s=90)

    assert (report.ok, report.complete) == (began == "after", began == "after")
    if report.ok:
        assert [each.shares for each in report.refreshes] == [(SHARE,)]
        assert [hop.step for hop in report.hops][-3:] == [
            "refresh_started", "refresh_accepted", "refresh_completed",
        ]  # fmt: skip


@pytest.mark.parametrize("told", ["none accepted", "none touched", "no file share in eu-west-1"])
def test_a_refresh_that_none_of_the_shares_accepted_is_no_success(play: Play, told: str) -> None:
    """The stack is new, so no item tells who accepted before."""
    play.make_stack(Request((BUCKET,)))

    _, report = play.run(once(play.handle, lambda _: play.refresh(told)))

    assert not report.ok


def test_a_completion_of_the_refresh_before_the_last_event_does_not_count(play: Play) -> None:
    """That refresh began before the event, and its gateway accepted it afterwards."""
    play.make_stack(Request((BUCKET,)))
    before, began = play.clock.time(), 0

    def rounds(_: list[str]) -> None:
        nonlocal began
        play.refresh(started=before)
        play.clock.sleep(5)
        began = int(play.clock.time() * 1000)
        play.refresh(started=began / 1000, complete=False)
        share = classes("known_shares").KnownShare("", began=began)
        item: Any = {"BucketName": {"S": BUCKET}, **known({"share-1": share})}
        play.aws.dynamodb.put_item(TableName=Names().table, Item=item)

    _, report = play.run(once(play.handle, rounds), timeout_s=90)

    assert (report.ok, report.complete) == (True, False)
    assert report.shares[0].accepted == from_ms(began)


def test_of_several_refreshes_after_the_last_event_the_first_is_told(play: Play) -> None:
    play.make_stack(Request((BUCKET,)))
    times: list[float] = []

    def refresh(_: list[str]) -> None:
        times.append(play.clock.time())
        play.refresh(complete=False)

    _, report = play.run(once(play.handle, refresh, *[lambda _: None] * 3, refresh), timeout_s=30)

    assert len(times) == 2
    assert report.shares[0].accepted == from_ms(int(times[0] * 1000))


def test_where_no_share_shows_the_rules_keys_the_objects_go_below_a_share(play: Play) -> None:
    play.make_stack(Request((BUCKET,)))
    have_prefixes(play, "red/", "blue/")
    blue = SHARE.replace("share-1", "share-2")

    _, report = play.run(once(play.handle, lambda _: play.refresh(blue)), keep=True)

    assert report.showing == (blue,)
    assert {each.key.partition("s3agg-test-")[0] for each in report.objects} == {"blue/"}


def test_the_steps_of_a_refresh_are_those_of_the_shares_that_must_show_the_objects(play: Play) -> None:
    """Another share accepts in a later round."""
    play.make_stack(Request((BUCKET,), prefixes=("red/",)))
    have_prefixes(play, "red/", "blue/")
    refresher = Names().refresher

    def rounds(_: list[str]) -> None:
        play.log(refresher, f"Refreshing file share: {SHARE}, notification: one")
        play.log(refresher, f"File share complete: {SHARE}, notification: one, took: 2500 ms")
        play.clock.jump(62)
        later = int(play.clock.time() * 1000)
        play.log(
            refresher,
            f"Refreshing file share: {OTHER}, notification: two",
            f"Refresh accepted for bucket: {BUCKET}, started: {later}, shares: {SHARE},{OTHER}",
        )

    _, report = play.run(once(play.handle, rounds), timeout_s=90)

    steps = [hop.step for hop in report.hops]
    assert report.complete
    assert "refresh_started" not in steps
    assert steps[-2:] == ["refresh_accepted", "refresh_completed"]


def test_objects_that_no_share_shows_are_said(play: Play) -> None:
    play.make_stack(Request((BUCKET,), prefixes=("blue/",)))
    have_prefixes(play, "red/")
    _, report = play.run(once(play.handle, lambda _: play.refresh("none touched")))

    assert (report.ok, report.showing) == (True, ())
    assert f"No file share of bucket {BUCKET} shows the uploaded objects: each has another prefix." in {
        str(note) for note in report.notes
    }


def test_a_refresh_that_no_gateway_confirms_is_no_failure(play: Play) -> None:
    play.make_stack(Request((BUCKET,)))

    _, report = play.run(once(play.handle, lambda _: play.refresh(complete=False)))

    assert (report.ok, report.complete) == (True, False)
    assert [each.complete for each in report.shares] == [None]
    assert "The refresh is accepted, but not every gateway finished it within 8 s." in str(report.notes[0])


@pytest.mark.parametrize(
    ("min_interval", "earlier_s", "waited"),
    [(5, 30, range(20, 30)), (5, 90, range(100, 102)), (60, 30, range(100, 102))],
    ids=["too soon for the gateway", "late enough", "an interval that AWS recommends"],
)
def test_a_completion_that_may_never_come_is_not_awaited_for_long(
    play: Play, min_interval: int, earlier_s: int, waited: range
) -> None:
    play.make_stack(Request((BUCKET,)))
    table = play.aws.dynamodb.describe_table(TableName=Names().table)["Table"]["TableArn"]
    play.aws.dynamodb.tag_resource(  # as by s3agg local
        ResourceArn=table, Tags=[{"Key": "s3agg:min-interval", "Value": str(min_interval)}]
    )
    play.clock.jump(-earlier_s)
    play.refresh()
    play.clock.jump(earlier_s)

    _, report = play.run(once(play.handle, lambda _: play.refresh(complete=False)), timeout_s=100)

    assert (report.ok, report.complete) == (True, False)
    assert int(report.seconds) in waited
    assert f"not every gateway finished it within {report.seconds:.0f} s." in str(report.notes[0])


def test_a_refresh_that_came_too_soon_for_the_gateway_has_that_cause() -> None:
    told = why_not_complete(59)

    assert told.startswith(
        "--min-interval is 59 s, and a refresh within 60 s of the last one may do nothing."
    )
    assert why_not_complete(60) == "A large bucket takes longer"


def test_a_completion_of_a_refresh_before_the_last_event_does_not_count(play: Play) -> None:
    """Of several rounds, the last one can end the refresh of an earlier window."""
    play.make_stack(Request((BUCKET,)))

    def early(keys: list[str]) -> None:
        play.refresh(started=play.clock.time(), complete=True)
        play.clock.sleep(1)
        play.handle(keys)

    started = int(play.clock.time() + 3600) * 1000
    late = f"Refresh accepted for bucket: {BUCKET}, started: {started}, shares: {SHARE}"
    _, report = play.run(once(early, lambda _: play.log(play.names.refresher, late)))

    assert (report.complete, report.shares) == (False, ())


def delete_rule(aws: Aws) -> None:
    aws.eventbridge.remove_targets(Rule=Names().refresh_rule, Ids=["s3agg"])
    aws.eventbridge.delete_rule(Name=Names().refresh_rule)


@pytest.mark.parametrize(
    "away", [lambda aws: aws.eventbridge.disable_rule(Name=Names().refresh_rule), delete_rule]
)
def test_without_the_rule_it_ends_when_every_share_has_accepted(
    play: Play, away: Callable[[Aws], object]
) -> None:
    play.make_stack(Request((BUCKET,)))
    away(play.aws)
    began = play.clock.time()

    _, report = play.run(once(play.handle, lambda _: play.refresh(complete=False)), timeout_s=300)

    assert (report.ok, report.complete, report.shares) == (True, False, ())
    assert play.clock.time() - began < 10
    assert "Rule S3EventAggregatorRefreshComplete is missing or drifted" in " ".join(map(str, report.notes))
    assert not [each for each in play.warnings if "may prevent the refresh" in each]


def test_lines_of_other_buckets_and_other_uploads_do_not_count(play: Play) -> None:
    play.make_stack(Request((BUCKET,)))
    other = "Refresh accepted for bucket: other, started: 9999999999999, shares: none"

    _, report = play.run(
        once(
            lambda _: play.handle(["somebody.txt", "s3agg-test-000000000000-1"]),
            lambda _: play.log("S3StorageGatewayRefresh", other),
        )
    )

    assert (report.ok, report.opened_windows, report.refreshes) == (False, 0, ())


def test_what_was_uploaded_is_removed_again_and_that_is_said(play: Play) -> None:
    play.make_stack(Request((BUCKET,)))
    _, report = play.run(once(play.handle, lambda _: play.refresh()))

    assert play.stored() == []
    assert "The deletion of the objects causes one more refresh." in map(str, report.notes)


def test_versions_are_removed_too(play: Play) -> None:
    play.aws.s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    play.make_stack(Request((BUCKET,)))
    play.run(once(play.handle, lambda _: play.refresh()))

    assert play.stored() == []


def test_keep_leaves_the_objects(play: Play) -> None:
    play.make_stack(Request((BUCKET,)))
    play.run(once(play.handle, lambda _: play.refresh()), keep=True)

    assert len(play.stored()) == 3


def test_what_was_uploaded_is_removed_even_if_the_user_gives_up(play: Play) -> None:
    play.make_stack(Request((BUCKET,)))

    def give_up(_: list[str]) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        play.run(give_up)

    assert play.stored() == []


def test_an_object_that_cannot_be_removed_is_named(play: Play) -> None:
    play.make_stack(Request((BUCKET,)))
    play.wire.refuse("s3:DeleteObject", "AccessDenied", times=1)
    _, report = play.run(once(play.handle, lambda _: play.refresh()))

    (key,) = play.stored()
    assert report.ok
    refused, left = play.warnings
    assert refused == (
        f"Could not delete {key}. While deleting from bucket {BUCKET}: DeleteObject failed: no"
        " (AccessDenied). Ask for permission to call DeleteObject, then run the same command again."
    )
    assert left == (
        f"Bucket {BUCKET} may still hold 1 uploaded object. The keys contain {key.rpartition('-')[0]}."
    )


def test_objects_that_could_not_be_removed_are_not_said_to_be(play: Play) -> None:
    play.make_stack(Request((BUCKET,)))
    play.wire.refuse("s3:DeleteObject", "AccessDenied", DENIED_BY.format("s3:DeleteObject"))

    def give_up(_: list[str]) -> None:
        raise KeyboardInterrupt

    _, report = play.run(once(play.handle, lambda _: play.refresh()))
    with pytest.raises(KeyboardInterrupt):
        play.run(give_up)

    refused, left, *_ = play.warnings
    assert len(play.stored()) == 6
    assert " and 2 more objects. While deleting" in refused
    assert "An explicit deny overrides every permission. Ask for a change of the resource-based p" in refused
    assert left.startswith(f"Bucket {BUCKET} may still hold 3 uploaded objects.")
    assert "Deleted the uploaded objects." not in play.warnings
    assert "The deletion of the objects causes one more refresh." not in map(str, report.notes)


def test_an_object_of_a_bucket_with_suspended_versioning_leaves_no_marker(play: Play) -> None:
    """S3 replaces the object by a marker of version null, and removes that if it is named."""
    play.make_stack(Request((BUCKET,)))
    play.wire.answer("s3:DeleteObject", {"DeleteMarker": True, "VersionId": "null"})

    play.run(once(play.handle, lambda _: play.refresh()), count=1)

    assert [call.get("VersionId") for call in play.wire.made("s3:DeleteObject")] == [None, "null"]
    assert play.warnings == []


# Strict buckets


@pytest.mark.parametrize(
    ("sse", "parameters"),
    [
        ("AES256", {"ServerSideEncryption": "AES256"}),
        ("aws:kms", {"ServerSideEncryption": "aws:kms"}),
        ("aws:kms:alias/mine", {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": "alias/mine"}),
        (f"aws:kms:{KEY}", {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": KEY}),
    ],
)
def test_the_objects_are_encrypted_as_the_user_says(play: Play, sse: str, parameters: dict[str, str]) -> None:
    play.make_stack(Request((BUCKET,)))
    play.run(once(play.handle, lambda _: play.refresh()), encryption=Encryption.of(sse), count=1)

    (call,) = play.wire.made("s3:PutObject")
    assert {name: value for name, value in call.items() if name in parameters} == parameters
    assert ("SSEKMSKeyId" in call) == ("SSEKMSKeyId" in parameters)


@pytest.mark.parametrize("sse", ["", "aes256", "AES256:key", "aws:kms:", "aws:kms:a key", "kms"])
def test_an_unknown_encryption_is_wrong_usage(sse: str) -> None:
    with pytest.raises(UsageProblem, match="Pass AES256, aws:kms or aws:kms:KEY"):
        Encryption.of(sse)


@pytest.mark.parametrize(
    ("sse", "message", "hint"),
    [
        (
            None,
            DENIED_BY.format("s3:PutObject"),
            f"{IF_REQUIRED} --sse, with AES256, aws:kms or aws:kms:KEY.",
        ),
        ("aws:kms", DENIED_BY.format("s3:PutObject"), f"{IF_REQUIRED} another --sse. An explicit deny over"),
        (None, "Access Denied", f"{IF_REQUIRED} --sse, with AES256, aws:kms or aws:kms:KEY. Ask for permiss"),
        (None, NOT_ALLOWED.format("s3:PutObject"), "Ask for permission to call PutObject, then run"),
        ("aws:kms", NOT_ALLOWED.format("kms:GenerateDataKey"), "Ask for permission to call GenerateDataKey"),
        ("aws:kms", DENIED_BY.format("kms:GenerateDataKey"), "An explicit deny overrides every permission."),
    ],
    ids=["no --sse", "another --sse", "unexplained", "not allowed", "key not allowed", "key denied"],
)
def test_a_refused_upload_names_what_helps(play: Play, sse: str | None, message: str, hint: str) -> None:
    play.make_stack(Request((BUCKET,)))
    play.wire.refuse("s3:PutObject", "AccessDenied", message, status=403)

    with pytest.raises(S3aggError) as refused:
        play.run(once(), encryption=None if sse is None else Encryption.of(sse))

    assert f"While uploading to bucket {BUCKET}: PutObject failed: {message}" in refused.value.problem
    assert refused.value.hint.startswith(hint)


def lock(mode: str, **length: int) -> dict[str, Any]:
    rule = {"DefaultRetention": {"Mode": mode, **length}}
    return {"ObjectLockConfiguration": {"ObjectLockEnabled": "Enabled", "Rule": rule}}


@pytest.mark.parametrize(
    ("locked", "days", "words"),
    [
        (lock("COMPLIANCE", Days=3), 3, "3 days, COMPLIANCE mode"),
        (lock("GOVERNANCE", Years=1), 365, "1 year, GOVERNANCE mode"),
        (lock("GOVERNANCE", Days=1, Years=0), 1, "1 day, GOVERNANCE mode"),
    ],
)
def test_nothing_is_uploaded_to_a_bucket_that_would_keep_it(
    play: Play, locked: dict[str, Any], days: int, words: str
) -> None:
    play.make_stack(Request((BUCKET,)))
    play.wire.answer("s3:GetObjectLockConfiguration", locked)

    with pytest.raises(S3aggError) as refused:
        play.run(once())

    until = from_ms(play.clock.time() * 1000) + timedelta(days=days)
    assert str(refused.value) == (
        f"The objects could not be deleted before {until:%Y-%m-%d}: bucket {BUCKET} has Object Lock with a"
        f" default retention of {words}. To upload all the same, pass --keep."
    )
    assert play.wire.made("s3:PutObject") == []


def test_with_keep_it_is_told_until_when_the_objects_stay(play: Play) -> None:
    play.make_stack(Request((BUCKET,)))
    play.wire.answer("s3:GetObjectLockConfiguration", lock("COMPLIANCE", Days=3))
    _, report = play.run(once(play.handle, lambda _: play.refresh()), keep=True)

    (note,) = [str(note) for note in report.notes if "stay" in str(note)]
    until = from_ms(play.clock.time() * 1000) + timedelta(days=3)
    assert note.startswith(f"The uploaded objects stay until {until:%Y-%m-%d} ")
    assert note.endswith(
        f" bucket {BUCKET} has Object Lock with a default retention of 3 days, COMPLIANCE mode."
    )
    assert play.wire.made("s3:DeleteObject") == []


def test_object_lock_without_a_default_retention_is_no_obstacle(play: Play) -> None:
    play.make_stack(Request((BUCKET,)))
    enabled = {"ObjectLockConfiguration": {"ObjectLockEnabled": "Enabled"}}
    play.wire.answer("s3:GetObjectLockConfiguration", enabled)
    _, report = play.run(once(play.handle, lambda _: play.refresh()))

    assert (report.ok, play.stored(), play.warnings) == (True, [], [])


def test_who_may_not_read_the_object_lock_is_only_warned(play: Play) -> None:
    play.make_stack(Request((BUCKET,)))
    message = NOT_ALLOWED.format("s3:GetBucketObjectLockConfiguration")
    play.wire.refuse("s3:GetObjectLockConfiguration", "AccessDenied", message, status=403)
    _, report = play.run(once(play.handle, lambda _: play.refresh()))

    (warning,) = play.warnings
    assert report.ok
    assert warning.startswith(
        f"Unknown whether bucket {BUCKET} keeps uploaded objects from deletion. While r"
    )
    assert "Ask for permission to call GetBucketObjectLockConfiguration, then run" in warning


def test_an_endpoint_without_object_lock_is_no_reason_for_a_warning(play: Play) -> None:
    play.make_stack(Request((BUCKET,)))
    play.wire.refuse("s3:GetObjectLockConfiguration", "NotImplemented", status=501)
    play.run(once(play.handle, lambda _: play.refresh()))

    assert play.warnings == []


def test_the_keys_fit_the_rules_prefix_and_suffix_and_are_found_in_the_log(play: Play) -> None:
    play.make_stack(Request((BUCKET,), prefixes=("in+box/%C3%BC/",), suffixes=(".t+x",)))
    _, report = play.run(once(play.handle, lambda _: play.refresh()), keep=True)

    assert report.ok
    assert all(key.startswith("in box/ü/s3agg-test-") and key.endswith(".t x") for key in play.stored())


def test_the_keys_fall_under_each_of_several_rules_and_left_over_ones_are_found(play: Play) -> None:
    play.make_stack(Request((BUCKET,), ("a/", "b/"), (".png",)))
    _, report = play.run(once(play.handle, lambda _: play.refresh()), keep=True)
    left = [f"b/s3agg-test-0123456789ab-{number}.png" for number in (1, 12)]
    put(play, *left, "c/s3agg-test-0123456789ab-1.png")
    play.clock.sleep(3700)

    assert report.ok
    ends = {(key[:2], key[-4:]) for key in play.stored() if "0123456789ab" not in key}
    assert ends == {("a/", ".png"), ("b/", ".png")}
    rule = deployed.the_bucket(deployed.read(play.aws, Names()), None)
    assert sorted(test_objects.left_over(play.aws, rule, [])) == left


def test_nothing_is_uploaded_to_a_bucket_whose_rule_lacks_created_objects(play: Play) -> None:
    play.make_stack(Request((BUCKET,), events=("removed", "expired")))

    with pytest.raises(S3aggError, match="because its event types are only removed, expired") as caught:
        play.run(lambda _: None)

    assert play.stored() == []
    assert caught.value.advice == Advice("create", BUCKET, {"events": "created,removed,expired"})


def test_without_the_removed_objects_their_deletion_causes_no_refresh(play: Play) -> None:
    play.make_stack(Request((BUCKET,), events=("created",)))
    _, report = play.run(once(play.handle, lambda _: play.refresh()))

    assert "The deletion of the objects causes one more refresh." not in [str(each) for each in report.notes]


@pytest.mark.parametrize("told", [f"no file share in {REGION}", "none"])  # the second by older functions
def test_a_bucket_without_a_share_is_no_failure_and_is_said(play: Play, told: str) -> None:
    """FACTS 40: a share may be in another region."""
    play.make_stack(Request((BUCKET,)))
    play.wire.have_shares()
    _, report = play.run(once(play.handle, lambda _: play.refresh(told)))

    assert report.ok
    assert report.refreshes[-1].shares == ()
    assert [str(note) for note in report.notes][-1] == (
        f"No file share in {REGION} is mapped to bucket {BUCKET}, so nothing was refreshed."
    )


@pytest.mark.parametrize(
    ("via", "seconds", "takes"),
    [
        ("notification", 300, "A new event notification can take minutes to take effect"),
        (
            "eventbridge",
            480,
            "EventBridge gets the events of a bucket about five minutes after it is turned on",
        ),
    ],
)
def test_events_that_do_not_arrive_are_counted_and_explained(
    play: Play, via: str, seconds: int, takes: str
) -> None:
    play.make_stack(Request((BUCKET,), via=via))
    _, report = play.run(once(lambda keys: play.handle(keys[:1])), timeout_s=None)

    assert not report.ok
    assert str(report.problems[0]) == (
        f"Timed out after {seconds} s: function S3EventAggregator has not handled 2 of 3 events."
        f" {takes}. Run the same command again."
    )


def test_a_refresh_that_does_not_come_is_a_failure(play: Play) -> None:
    play.make_stack(Request((BUCKET,)))
    _, report = play.run(once(play.handle))

    assert (report.ok, report.refreshes) == (False, ())
    assert (
        str(report.problems[0])
        == "Timed out after 8 s waiting for the refresh. To see why, run: s3agg status."
    )
    assert play.stored() == []


def put_item(play: Play, **attributes: str | float) -> None:
    """Be a function: write the bucket's item."""
    item = {
        name: {"S": value} if isinstance(value, str) else {"N": str(int(value * 1000))}
        for name, value in attributes.items()
    }
    play.aws.dynamodb.put_item(TableName="S3EventAggregator", Item={"BucketName": {"S": BUCKET}, **item})


def test_a_window_that_is_open_at_the_timeout_is_no_step_and_its_end_is_told(play: Play) -> None:
    play.make_stack(Request((BUCKET,)))
    due: list[float] = []

    def open_window(keys: list[str]) -> None:
        play.handle(keys)
        due.append(play.clock.time() + 20)
        put_item(play, timestamp=due[0], opened_by="x")

    _, report = play.run(once(open_window))

    assert "window_closed" not in [hop.step for hop in report.hops]
    ends = f"{from_ms(due[0] * 1000):%H:%M:%S}"
    assert f"Timed out after 8 s waiting for the refresh, which is due at {ends} UTC." in str(
        report.problems[0]
    )


def test_while_a_window_is_open_the_time_to_its_end_is_told(play: Play) -> None:
    play.make_stack(Request((BUCKET,)))

    def open_window(keys: list[str]) -> None:
        play.handle(keys)
        put_item(play, timestamp=play.clock.time() + 10, opened_by="x")

    events, _ = play.run(once(open_window, lambda _: play.refresh()))

    waiting = [event.what for event in events if isinstance(event, watching.Waiting)]
    assert waiting[0] == "3 events to reach function S3EventAggregator"
    assert waiting[1:3] == ["the window to close in 10 s", "the window to close in 9 s"]


def test_a_refresh_that_may_not_come_yet_is_counted_down_to(play: Play) -> None:
    play.make_stack(Request((BUCKET,), options={"window": 5}))

    def open_window(keys: list[str]) -> None:
        play.handle(keys)
        now = play.clock.time()
        put_item(play, timestamp=now + 2, opened_by="x", not_before=now + 4)

    events, report = play.run(
        once(open_window, *[lambda _: None] * 7, lambda _: play.refresh()), timeout_s=60
    )

    waiting = [event for event in events if isinstance(event, watching.Waiting)]
    assert report.ok
    assert [event.what for event in waiting[1:6]] == [
        "the window to close in 2 s",
        "the window to close in 1 s",
        "the minimum interval to end in 2 s",
        "the minimum interval to end in 1 s",
        "the refresh",
    ]
    assert [event.passed for event in waiting[1:3]] == [
        pytest.approx(0.6, abs=0.1),
        pytest.approx(0.8, abs=0.1),
    ]


def test_the_end_of_a_refresh_under_way_is_not_counted_down_to(play: Play) -> None:
    play.make_stack(Request((BUCKET,), options={"window": 5}))

    def open_window(keys: list[str]) -> None:
        play.handle(keys)
        now = play.clock.time()
        put_item(play, timestamp=now + 1, opened_by="x", pending="token", not_before=now + 90)

    events, _ = play.run(once(open_window, lambda _: None, lambda _: play.refresh()), timeout_s=60)

    assert not [
        event for event in events if isinstance(event, watching.Waiting) and "long enough" in event.what
    ]


def test_each_hop_is_told_with_its_time(play: Play) -> None:
    play.make_stack(Request((BUCKET,)))
    play.clock.sleep(1)  # else the pace of calls delays the first ones
    began = play.clock.time()
    opened: list[float] = []

    def open_window(keys: list[str]) -> None:
        opened.append(round(play.clock.time() - began, 1))
        play.handle(keys)
        put_item(play, timestamp=began + 3, opened_by="x")

    _, report = play.run(once(open_window, *[lambda _: None] * 4, lambda _: play.refresh()), timeout_s=60)

    hops = {hop.step: hop.seconds for hop in report.hops}
    assert list(hops) == [
        *("upload_started", "last_object_uploaded", "first_event_handled", "window_opened"),
        *("last_event_handled", "window_closed", "refresh_started", "refresh_accepted", "refresh_completed"),
    ]
    assert [hops["upload_started"], hops["window_opened"], hops["window_closed"]] == [0, *opened, 3]
    assert hops["refresh_started"] >= 3
    assert report.hops[0].time == from_ms(int(began * 1000))
    assert {(seen.became, seen.seconds) for seen in report.objects} == {
        ("opened_window", opened[0]),
        ("within_window", opened[0]),
    }


def test_while_a_window_is_open_aws_is_left_alone(play: Play) -> None:
    play.make_stack(Request((BUCKET,)))
    closes_at = play.clock.time() + 30
    asked: list[float] = []

    def open_window(keys: list[str]) -> None:
        play.handle(keys)
        put_item(play, timestamp=closes_at, opened_by="x")
        play.wire.calls.clear()

    def look(_: list[str]) -> None:
        asked.extend(play.clock.time() for _ in play.wire.calls)
        play.wire.calls.clear()

    play.run(once(open_window, *[look] * 30), timeout_s=30)

    assert len(asked) == 2  # for the events, and for the item: until when to wait


def test_a_window_is_waited_for_no_longer_than_it_lasts_by_whatever_clock(play: Play) -> None:
    play.make_stack(Request((BUCKET,), options={"window": 5}))
    opened: list[float] = []

    def open_window(keys: list[str]) -> None:
        opened.append(play.clock.monotonic())
        play.handle(keys)
        put_item(play, timestamp=play.clock.time() + 200, opened_by="x")

    _, report = play.run(once(open_window, lambda _: play.refresh()), timeout_s=300)

    assert report.ok
    assert play.clock.monotonic() - opened[0] < 10


def test_the_logs_are_read_no_more_than_five_times_a_second(play: Play) -> None:
    play.make_stack(Request((BUCKET,)))
    reads: list[int] = []

    def look(_: list[str]) -> None:
        second = int(play.clock.waited)
        reads.extend(second for call in play.wire.calls if call.operation == "logs:FilterLogEvents")
        play.wire.calls.clear()

    play.run(once(*[look] * 100), timeout_s=20)

    assert max(reads.count(second) for second in reads) <= 5


def test_where_the_log_level_hides_the_lines_the_table_is_the_judge(play: Play) -> None:
    play.make_stack(Request((BUCKET,), options={"log_level": "WARN"}))

    def still_open(_: list[str]) -> None:
        put_item(play, timestamp=play.clock.time() + 3, opened_by="x", refreshed=play.clock.time())

    _, report = play.run(
        once(still_open, lambda _: put_item(play, refreshed=play.clock.time())),
    )

    assert (report.ok, report.opened_windows, report.within_window) == (True, None, None)
    assert len(report.refreshes) == 1
    assert str(report.notes[0]) == (
        "Log level WARN hides the functions' log lines. This result comes from DynamoDB."
    )


def test_a_window_that_other_events_keep_open_is_no_failure_where_the_table_is_the_judge(play: Play) -> None:
    """The first refresh may have begun before the events were handled, the second one has not."""
    play.make_stack(Request((BUCKET,), options={"log_level": "WARN"}))
    starts: list[float] = []

    def refresh(_: list[str]) -> None:
        starts.append(play.clock.time())
        put_item(play, timestamp=starts[-1] + 2, opened_by="x", refreshed=starts[-1])

    def reopen(_: list[str]) -> None:
        put_item(play, timestamp=play.clock.time() + 9, opened_by="y", refreshed=starts[-1])

    later = [lambda _: None] * 6
    _, first_only = play.run(once(*later, refresh), timeout_s=30)
    _, report = play.run(once(*later, refresh, *later, reopen, refresh), timeout_s=30)

    assert (first_only.ok, report.ok) == (False, True)
    assert "window_closed" not in [hop.step for hop in report.hops]  # one that closes later is of others


def test_a_refresh_from_before_the_upload_is_not_taken_from_the_table(play: Play) -> None:
    play.make_stack(Request((BUCKET,), options={"log_level": "ERROR"}))
    put_item(play, refreshed=play.clock.time() - 60)

    _, report = play.run(once())

    assert not report.ok


def test_a_refresh_that_the_share_did_not_accept_is_not_taken_from_the_table(play: Play) -> None:
    """The gateway does not know the share, and never did."""
    play.make_stack(Request((BUCKET,), options={"log_level": "WARN"}))

    def leave_out(_: list[str]) -> None:
        refreshed = {"N": str(int(play.clock.time() * 1000) + 1)}
        shares = known({"share-1": classes("known_shares").KnownShare("")})
        item: Any = {"BucketName": {"S": BUCKET}, "refreshed": refreshed, **shares}
        play.aws.dynamodb.put_item(TableName=Names().table, Item=item)

    _, report = play.run(once(leave_out))

    assert not report.ok


def test_an_object_whose_upload_was_not_answered_is_removed_too(play: Play) -> None:
    play.make_stack(Request((BUCKET,)))
    play.wire.fail("s3:PutObject", EndpointConnectionError(endpoint_url="https://s3"))

    with pytest.raises(S3aggError, match=f"While uploading to bucket {BUCKET}"):
        play.run(once(), count=1)

    assert len(play.wire.made("s3:DeleteObject")) == 1


def test_what_is_advised_is_for_the_aws_at_hand(play: Play) -> None:
    play.make_stack(Request((BUCKET,)))
    play.aws.logs.delete_retention_policy(logGroupName="/aws/lambda/S3EventAggregator")
    _, report = play.run(once(), count=1, timeout_s=1)

    assert report.problems[0].text({"profile": "p"}).endswith("run: s3agg status --profile p.")


def test_a_stack_that_is_not_as_declared_is_told_first_when_nothing_comes(play: Play) -> None:
    play.make_stack(Request((BUCKET,)))
    play.aws.logs.delete_retention_policy(logGroupName="/aws/lambda/S3EventAggregator")
    _, report = play.run(once())

    assert (
        str(report.problems[0])
        == "Resources are missing or drifted, which may be the cause. To see them, run: s3agg status."
    )


def test_who_gives_up_is_told_that_the_objects_are_removed(play: Play) -> None:
    play.make_stack(Request((BUCKET,)))

    def give_up(_: list[str]) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        play.run(give_up)

    assert play.warnings == ["Deleted the uploaded objects."]


def test_a_refresh_that_was_held_back_is_told_until_when(play: Play) -> None:
    play.make_stack(Request((BUCKET,), options={"window": 5}))

    def open_window(keys: list[str]) -> None:
        play.handle(keys)
        now = play.clock.time()
        put_item(play, timestamp=now + 2, opened_by="x", not_before=now + 4)

    _, report = play.run(once(open_window, *[lambda _: None] * 7, lambda _: play.refresh()), timeout_s=60)

    hops = {hop.step: hop.seconds for hop in report.hops}
    assert hops["min_interval_ended"] == pytest.approx(hops["window_closed"] + 2, abs=0.1)


def test_where_the_refresh_does_not_come_the_removal_is_told_of_too(play: Play) -> None:
    play.make_stack(Request((BUCKET,)))
    _, report = play.run(once(play.handle))

    assert not report.ok
    assert "The deletion of the objects causes one more refresh." in map(str, report.notes)


def test_an_upload_that_is_refused_removes_what_had_been_uploaded(play: Play) -> None:
    play.make_stack(Request((BUCKET,)))
    play.wire.refuse("s3:PutObject", "AccessDenied", after=2)

    with pytest.raises(Exception, match=f"While uploading to bucket {BUCKET}: "):
        play.run(once())

    assert play.stored() == []


def fail(play: Play, function: str, *messages: str, level: str = "ERROR") -> None:
    """Be a failing function."""
    log(play, function, *[f"[{level}]\t2026-01-02T03:04:05.678Z\tr-1\t{message}" for message in messages])


def log(play: Play, function: str, *messages: str) -> None:
    play.aws.logs.put_log_events(
        logGroupName=f"/aws/lambda/{function}",
        logStreamName="one",
        logEvents=[{"timestamp": int(play.clock.time() * 1000), "message": message} for message in messages],
    )


AGGREGATOR, REFRESHER = "S3EventAggregator", "S3StorageGatewayRefresh"
TRACEBACK = "Traceback (most recent call last):\n  x"
DENIED = f"Could not handle a record of bucket: {BUCKET}\n{TRACEBACK}\nClientError: AccessDenied"
BUSY = f"File share did not accept, it stays for later: share-1 of bucket: {BUCKET}: busy"


@pytest.mark.parametrize("kind", ["rule", "queue", "table", "disabled trigger"])
def test_nothing_is_uploaded_where_no_refresh_can_come(play: Play, kind: str) -> None:
    play.make_stack(Request((BUCKET,)))
    match kind:
        case "rule":
            play.wire.answer("s3:GetBucketNotificationConfiguration", {})
            told = f"notification {BUCKET} is missing"
        case "queue":
            url = play.aws.sqs.get_queue_url(QueueName="S3EventAggregatorActionQueue")["QueueUrl"]
            play.aws.sqs.delete_queue(QueueUrl=url)
            told = "queue S3EventAggregatorActionQueue is missing"
        case "table":
            play.aws.dynamodb.delete_table(TableName="S3EventAggregator")
            told = "table S3EventAggregator is missing"
        case _:
            (trigger,) = play.aws.lambda_.list_event_source_mappings()["EventSourceMappings"]
            play.aws.lambda_.update_event_source_mapping(UUID=trigger["UUID"], Enabled=False)
            told = f"the trigger of function {REFRESHER} is disabled"

    with pytest.raises(S3aggError) as refused:
        play.run(once())

    assert refused.value.problem == f"No upload to bucket {BUCKET} can cause a refresh: {told}"
    assert str(refused.value).endswith("To correct this, run: s3agg create.")
    assert play.wire.made("s3:PutObject") == []


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("disable_rule", "is disabled"),
        ("remove_targets", "does not send to function S3EventAggregator"),
    ],
)
def test_nothing_is_uploaded_where_eventbridge_sends_nothing(play: Play, change: str, told: str) -> None:
    play.make_stack(Request((BUCKET,), via="eventbridge"))
    play.aws.s3.put_bucket_notification_configuration(
        Bucket=BUCKET, NotificationConfiguration={"EventBridgeConfiguration": {}}
    )
    rule = f"S3EventAggregator-{BUCKET}"
    ids = {"Rule": rule, "Ids": ["s3agg"]} if change == "remove_targets" else {"Name": rule}
    getattr(play.aws.eventbridge, change)(**ids)

    with pytest.raises(S3aggError, match=f"can cause a refresh: rule {rule} {told}"):
        play.run(once())


def test_of_a_bucket_that_is_gone_the_way_to_detach_it_is_told(play: Play) -> None:
    play.make_stack(Request((BUCKET,)))
    play.wire.refuse("s3:GetBucketNotificationConfiguration", "NoSuchBucket", status=404)

    with pytest.raises(S3aggError, match=f"Bucket {BUCKET} no longer exists") as refused:
        play.run(once())

    assert str(refused.value).endswith(f"Detach it: s3agg delete --bucket {BUCKET}.")


def test_a_function_that_never_runs_is_a_reason_not_to_upload(play: Play) -> None:
    play.make_stack(Request((BUCKET,)))
    deployment = deployed.read(play.aws, Names())
    function = deployment.found.of(deployment.stack.aggregator)
    assert function is not None
    deployment.found.add(deployment.stack.aggregator, replace(function, reserved=0))  # moto shows no 0

    with pytest.raises(S3aggError, match=f"the reserved concurrency of function {AGGREGATOR} is 0"):
        before_upload.check(deployment, deployed.the_bucket(deployment, None))


def test_what_the_refresh_does_not_need_keeps_nobody_from_uploading(play: Play) -> None:
    play.make_stack(Request((BUCKET,)))
    url = play.aws.sqs.get_queue_url(QueueName="S3EventAggregatorDeadLetters")["QueueUrl"]
    play.aws.sqs.delete_queue(QueueUrl=url)

    _, report = play.run(once(play.handle, lambda _: play.refresh()))

    assert report.ok


def test_an_aggregator_that_has_only_failed_of_late_is_told_before_the_upload(play: Play) -> None:
    play.make_stack(Request((BUCKET,)))
    fail(play, AGGREGATOR, DENIED, DENIED.replace(BUCKET, "other"))
    told: list[str] = []

    play.run(once(lambda _: told.extend(play.warnings)))

    (warning,) = told
    assert warning.startswith(f"Function {AGGREGATOR} has handled no event since it failed at ")
    assert warning.endswith(
        f" UTC: Could not handle a record of bucket: {BUCKET}: ClientError: AccessDenied."
        f" To see why, run: s3agg logs --bucket {BUCKET}."
    )


def test_an_aggregator_that_has_handled_an_event_since_it_failed_is_no_warning(play: Play) -> None:
    play.make_stack(Request((BUCKET,)))
    fail(play, AGGREGATOR, DENIED)
    play.clock.sleep(1)
    play.handle(["a"])

    play.run(once(play.handle, lambda _: play.refresh()))

    assert play.warnings == []


def test_a_gateway_that_did_not_accept_the_last_refresh_is_told_before_the_upload(play: Play) -> None:
    play.make_stack(Request((BUCKET,)))
    put_item(play, pending="token", not_before=play.clock.time() + 100)
    fail(play, REFRESHER, BUSY, level="WARNING")
    told: list[str] = []

    play.run(once(lambda _: told.extend(play.warnings)))

    assert told[0].startswith(f"A refresh of bucket {BUCKET} is pending. It failed last at ")
    assert BUSY in told[0]


def test_what_failed_before_a_function_was_changed_is_no_warning(play: Play) -> None:
    """The change may have removed the cause."""
    play.make_stack(Request((BUCKET,)))
    put_item(play, pending="token", not_before=play.clock.time() + 100)
    play.clock.jump(-300)
    fail(play, AGGREGATOR, DENIED)
    fail(play, REFRESHER, BUSY, level="WARNING")
    play.clock.jump(300)

    play.run(once(play.handle, lambda _: play.refresh()))

    assert play.warnings == []


def test_what_failed_before_the_last_refresh_is_no_warning(play: Play) -> None:
    play.make_stack(Request((BUCKET,)))
    fail(play, REFRESHER, BUSY, level="WARNING")
    play.clock.sleep(5)
    put_item(play, pending="token", refreshed=play.clock.time(), not_before=play.clock.time() + 100)
    told: list[str] = []

    play.run(once(lambda _: told.extend(play.warnings)))

    assert told == []


def test_a_share_that_the_refresh_function_does_not_know_is_made_known_before_the_upload(play: Play) -> None:
    play.make_stack(Request((BUCKET,)))
    key = {"BucketName": {"S": BUCKET}}
    item: Any = {**key, **known({"share-1": ""}), "shares_found": {"N": "1750000000000"}}
    play.aws.dynamodb.put_item(TableName=Names().table, Item=item)
    play.wire.have_shares(share_of(BUCKET, "share-1"), share_of(BUCKET, "share-2"))
    at_upload: list[Mapping[str, object]] = []
    play.wire.before(
        "s3:PutObject",
        lambda: at_upload.append(play.aws.dynamodb.get_item(TableName=Names().table, Key=key)["Item"]),
    )

    play.run(once(play.handle, lambda _: play.refresh()))

    assert play.warnings == [f"File share share-2 of bucket {BUCKET} is new. The next refresh includes it."]
    assert at_upload[0].keys() == {"BucketName", "known"}


def test_a_storage_gateway_that_does_not_answer_keeps_nobody_from_the_test(play: Play) -> None:
    play.make_stack(Request((BUCKET,)))
    play.wire.fail("storagegateway:ListFileShares", EndpointConnectionError(endpoint_url="https://gateway"))

    _, report = play.run(once(play.handle, lambda _: play.refresh()))

    assert report.ok
    assert play.warnings[0].startswith("Could not look up the file shares. ")


def test_failures_are_told_while_the_refresh_is_awaited_and_the_last_ones_at_the_timeout(play: Play) -> None:
    play.make_stack(Request((BUCKET,)))

    def refuse(keys: list[str]) -> None:
        play.handle(keys)
        fail(play, REFRESHER, *["first", "second", BUSY, BUSY, "third"], level="WARNING")
        fail(play, REFRESHER, f"Putting off the message of bucket: {BUCKET} by 62 s", level="INFO")

    _, report = play.run(once(refuse), timeout_s=20)

    notes = [str(note) for note in report.problems]
    assert play.warnings.count(f"Function {REFRESHER}: {BUSY}.") == 1
    assert notes[0].startswith("Timed out after 20 s waiting for the refresh")
    assert [note.partition("UTC: ")[2] for note in notes[1:4]] == ["second.", f"{BUSY}.", "third."]


@pytest.mark.parametrize("code", ['\n\u00a0 File "f.py", line 1, in f\n\u00a0   os.environ["X"]', ""])
def test_an_exception_that_the_function_did_not_catch_is_quoted_without_its_code(
    play: Play, code: str
) -> None:
    play.make_stack(Request((BUCKET,)))

    def crash(_: list[str]) -> None:
        log(play, AGGREGATOR, f"[ERROR] KeyError: 'X'\nTraceback (most recent call last):{code}")

    _, report = play.run(once(crash), timeout_s=20)

    assert " has not handled 3 of 3 events: KeyError: 'X'. To see" in str(report.problems[0])


COPY = f"[ERROR] ClientError: AccessDenied\n{TRACEBACK}"


@pytest.mark.parametrize("level", ["INFO", "WARN"])
def test_a_failure_of_the_aggregator_ends_the_test_early_and_is_named_once(play: Play, level: str) -> None:
    play.make_stack(Request((BUCKET,), options={"log_level": level}))

    def crash(keys: list[str]) -> None:
        play.handle(keys[1:])
        fail(play, AGGREGATOR, DENIED)
        log(play, AGGREGATOR, COPY)

    _, report = play.run(once(crash), timeout_s=300)

    (note, *_) = notes = [str(note) for note in report.problems]
    events = ", and has not handled 1 of 3 events" if level == "INFO" else ""
    assert (report.ok, report.seconds < 20, play.warnings) == (False, True, [])
    assert f"UTC{events}: Could not handle a record of bucket: {BUCKET}: ClientError: AccessDenied." in note
    assert note.endswith(f" To see all of its failures, run: s3agg logs --bucket {BUCKET}.")
    assert str(notes).count("AccessDenied") == 1
    assert "one more refresh" not in str(notes)


def test_a_failure_of_a_drifted_aggregator_names_the_drift_and_how_to_correct_it(play: Play) -> None:
    play.make_stack(Request((BUCKET,)))
    play.aws.lambda_.update_function_configuration(
        FunctionName=AGGREGATOR, Environment={"Variables": {"QUEUE_URL": "broken"}}
    )

    _, report = play.run(once(lambda _: fail(play, AGGREGATOR, f"{DENIED}.")), timeout_s=5)

    assert str(report.problems[0]).endswith(
        f"AccessDenied. Drifted: function {AGGREGATOR}. To correct this, run: s3agg create."
    )


def test_a_failure_is_no_reason_once_every_event_is_handled(play: Play) -> None:
    """Lambda retries the event."""
    play.make_stack(Request((BUCKET,)))

    def recover(keys: list[str]) -> None:
        fail(play, AGGREGATOR, DENIED)
        play.handle(keys)

    _, report = play.run(once(recover, *[lambda _: None] * 10, lambda _: play.refresh()), timeout_s=60)

    assert report.ok


def test_a_table_that_differs_only_in_the_version_does_not_prevent_the_refresh(play: Play) -> None:
    play.make_stack(Request((BUCKET,)))
    table = play.aws.dynamodb.describe_table(TableName="S3EventAggregator")["Table"]["TableArn"]
    play.aws.dynamodb.tag_resource(ResourceArn=table, Tags=[{"Key": "s3agg:version", "Value": "0.0.9"}])

    play.run(once(play.handle, lambda _: play.refresh()))

    assert play.warnings == []


def test_what_failed_before_the_upload_is_not_told_as_of_this_run(play: Play) -> None:
    play.make_stack(Request((BUCKET,)))
    fail(play, REFRESHER, BUSY, level="WARNING")
    play.clock.sleep(60)

    _, report = play.run(once(play.handle), timeout_s=20)

    assert play.warnings == []
    assert BUSY not in str(report.notes)


def test_failures_of_other_buckets_are_not_told(play: Play) -> None:
    play.make_stack(Request((BUCKET,)))

    def other(_: list[str]) -> None:
        fail(play, AGGREGATOR, "Could not handle a record of bucket: other")
        fail(play, REFRESHER, BUSY.replace(BUCKET, "other"), level="WARNING")

    _, report = play.run(once(other), timeout_s=20)

    assert play.warnings == []
    assert "other" not in str(report.notes)


def test_a_timeout_before_which_no_refresh_may_come_is_refused_with_the_least_value(play: Play) -> None:
    stack = declared.make(play.aws.place, Names(), Settings(window=100, min_interval=70), {})

    with pytest.raises(UsageProblem, match="Pass --timeout 170 or more"):
        before_upload.check_timeout(stack, 169)
    before_upload.check_timeout(stack, 170)
    before_upload.check_timeout(stack, None)


def put(play: Play, *keys: str) -> None:
    for key in keys:
        play.aws.s3.put_object(Bucket=BUCKET, Key=key, Body=b"")


def test_objects_of_runs_that_died_are_found_after_an_hour_and_those_kept_are_not(play: Play) -> None:
    play.make_stack(Request((BUCKET,), prefixes=("in/",), suffixes=(".t+x",)))
    rule = deployed.the_bucket(deployed.read(play.aws, Names()), None)
    ours = ["in/red/s3agg-test-0123456789ab-1.t x", "in/s3agg-test-0123456789ab-12.t x"]
    put(
        play, *ours, "s3agg-test-0123456789ab-1.t x", "in/s3agg-test-mine.t x", "in/s3agg-test-0123456789ab-1"
    )
    play.run(once(play.handle, lambda _: play.refresh()), keep=True)

    young = test_objects.left_over(play.aws, rule, ["in/red/"])
    play.clock.sleep(3700)

    assert young == {}
    assert sorted(test_objects.left_over(play.aws, rule, ["in/red/"])) == ours


def test_without_permission_to_list_objects_none_are_found(play: Play) -> None:
    play.make_stack(Request((BUCKET,)))
    rule = deployed.the_bucket(deployed.read(play.aws, Names()), None)
    play.wire.refuse("s3:ListObjectsV2", "AccessDenied")

    assert test_objects.left_over(play.aws, rule, []) == {}


def test_who_deletes_objects_of_a_versioned_bucket_is_told_that_versions_stay(play: Play) -> None:
    play.aws.s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    play.make_stack(Request((BUCKET,)))
    put(play, "s3agg-test-0123456789ab-1")
    rule = deployed.the_bucket(deployed.read(play.aws, Names()), None)

    test_objects.delete(play.aws, rule, {"s3agg-test-0123456789ab-1": None})

    assert play.warnings == [f"Bucket {BUCKET} is versioned and keeps versions of deleted objects."]
