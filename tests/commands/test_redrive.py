"""redrive: its outcomes, their order, and the queue after an interruption at any call."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from io import BytesIO
from typing import Any

import pytest
from botocore.exceptions import ReadTimeoutError
from moto.core.models import MockAWS
from moto.sqs.models import Message, sqs_backends
from moto.sqs.models import Queue as MotoQueue

from s3agg import engine
from s3agg.aws.clock import from_ms
from s3agg.commands import redrive
from s3agg.commands.redrive import DeadLetter, Report
from s3agg.engine import Findings
from s3agg.errors import S3aggError
from s3agg.resources.function import FoundFunction
from s3agg.settings import STACK_TAG, Names, Settings
from s3agg.stack import declared
from s3agg.stack.deployed import Deployment
from tests.support.aws import ACCOUNT, PLACE, REGION, World, empty, make_world, refusal
from tests.support.progress import ended
from tests.support.wrapped_events import by_event_bridge, by_sns, by_sqs, in_sns_envelope

NAMES = Names()
FUNCTION: dict[str, Any] = {
    "role": "",
    "is_granted": True,
    "handler": None,
    "runtime": None,
    "architecture": "",
    "timeout": 0,
    "memory": 0,
    "code": "",
    "variables": {},
    "unreadable": None,
    "queue_url": None,
    "reserved": None,
    "reservable": 0,
    "invoke_config": {},
    "changed": from_ms(0),
}
AGGREGATOR = PLACE.arn("lambda", f"function:{NAMES.aggregator}:$LATEST")
REFRESH = {
    "bucket-name": {"DataType": "String", "StringValue": "uploads"},
    "timestamp": {"DataType": "Number", "StringValue": "1750000000000"},
    "due": {"DataType": "Number.ms", "StringValue": "1750000030000"},
    "more": {"DataType": "Binary.x", "BinaryValue": b"\x00\xff"},
}


class Killed(BaseException):
    """Nothing more happens in this process."""


@dataclass
class Post:
    """The two queues, and this test in the role of Lambda: it fails events, and is given them again."""

    world: World
    deployment: Deployment
    events: list[DeadLetter] = field(default_factory=list)

    def queue(self, name: str) -> MotoQueue:
        return sqs_backends[ACCOUNT][REGION].queues[name]

    def messages(self, name: str) -> list[Message]:
        """What a queue holds, hidden or not."""
        return self.queue(name)._messages  # noqa: SLF001  # AWS shows no hidden ones

    @property
    def dead(self) -> list[str]:
        """The bodies of the dead letters, hidden or not."""
        return [message.body for message in self.messages(NAMES.dead_letters)]

    @property
    def hidden(self) -> int:
        return len([each for each in self.messages(NAMES.dead_letters) if not each.visible])

    @property
    def sent(self) -> list[Any]:
        """The attributes of the messages in the action queue."""
        return [message.message_attributes for message in self.messages(NAMES.queue)]

    @property
    def invoked(self) -> list[Any]:
        """The events that reached the aggregator."""
        return [json.loads(params["Payload"]) for params in self.world.wire.made("lambda:Invoke")]

    def put(self, body: str, attributes: Any = None) -> str:
        dead_letters = self.deployment.found.of(self.deployment.stack.dead_letters)
        assert dead_letters is not None
        url = dead_letters.url
        self.world.somebody.sqs.send_message(
            QueueUrl=url, MessageBody=body, MessageAttributes=attributes or {}
        )
        return body

    def empty(self) -> None:
        for name in (NAMES.dead_letters, NAMES.queue):
            self.messages(name).clear()
        self.world.wire.reset()
        self.world.warnings.clear()
        self.answer(b"null")

    def answer(self, payload: bytes, *, times: float = float("inf"), **how: str) -> None:
        """Be the aggregator that says this."""
        self.world.wire.answer("lambda:Invoke", lambda: {"Payload": BytesIO(payload), **how}, times=times)

    def let_time_pass(self) -> None:
        """Until all that is hidden has come back."""
        for message in self.messages(NAMES.dead_letters):
            message.change_visibility(0)

    def redrive(self, *, dry_run: bool = False, discard: Collection[str] = ()) -> Report:
        running = redrive.run(self.world.aws, self.deployment, dry_run=dry_run, discard=discard)
        self.events, report = ended(running)
        return report

    @contextmanager
    def hook(self, when: str, act: Callable[[str], None]) -> Iterator[None]:
        """Do this with the name of each operation before its call, or after it."""

        def told(model: Any, **_: Any) -> None:
            act(model.name)

        clients = {"sqs": self.world.aws.sqs, "lambda": self.world.aws.lambda_}
        for service, client in clients.items():
            client.meta.events.register(f"{when}-call.{service}", told)
        try:
            yield
        finally:
            for service, client in clients.items():
                client.meta.events.unregister(f"{when}-call.{service}", told)


@pytest.fixture(scope="module")
def deployment(running_moto: MockAWS) -> Deployment:
    """The queues are moto's; nothing else of the stack is needed, as this test is the function."""
    empty(running_moto)
    world = make_world()
    stack = declared.make(PLACE, NAMES, Settings(), {})
    queues = [stack.dead_letters, stack.queue]
    for queue in queues:
        queue.create(world.aws)
    found = engine.find(world.snapshot, queues)
    found.add(stack.aggregator, FoundFunction(**FUNCTION, tags={STACK_TAG: NAMES.stack}))
    return Deployment(PLACE, stack, found, activity={}, unread={}, snapshot=world.snapshot)


@pytest.fixture
def post(deployment: Deployment) -> Post:
    made = Post(make_world(), deployment)
    made.empty()
    return made


def event(*keys: str, bucket: str = "uploads") -> dict[str, Any]:
    return {"Records": [{"s3": {"bucket": {"name": bucket}, "object": {"key": key}}} for key in keys]}


def record(payload: object, *, function: str = AGGREGATOR, **differing: Any) -> str:
    """What Lambda sends of an event that failed, as AWS documents it."""
    context = {"condition": "RetriesExhausted", "approximateInvokeCount": 3, **differing}
    response = context.pop("responsePayload", {"errorMessage": "no such queue", "errorType": "ClientError"})
    return json.dumps(
        {
            "version": "1.0",
            "timestamp": "2025-06-15T15:07:10.000Z",
            "requestContext": {"requestId": "1", "functionArn": function, **context},
            "requestPayload": payload,
            "responseContext": {
                "statusCode": 200,
                "executedVersion": "$LATEST",
                "functionError": "Unhandled",
            },
            "responsePayload": response,
        }
    )


def only(report: Report) -> DeadLetter:
    (letter,) = report.dead_letters
    return letter


def test_a_failed_event_is_given_to_the_aggregator_again(post: Post) -> None:
    post.put(record(event("key ü")))

    report = post.redrive()

    (call,) = post.world.wire.made("lambda:Invoke")
    assert (call["FunctionName"], call["InvocationType"]) == (NAMES.aggregator, "RequestResponse")
    assert post.invoked == [event("key ü")]
    assert (post.dead, only(report).outcome, report.ok) == ([], "redriven", True)


def test_a_refresh_message_goes_back_to_its_queue_with_all_its_attributes_and_their_types(post: Post) -> None:
    post.put("{}", REFRESH)

    report = post.redrive()

    (message,) = post.messages(NAMES.queue)
    assert (message.body, message.message_attributes) == ("{}", REFRESH)
    assert (post.dead, only(report).outcome, only(report).bucket) == ([], "redriven", "uploads")


def test_nothing_is_removed_before_it_is_at_work(post: Post) -> None:
    post.put(record(event("key")))
    post.put("{}", REFRESH)

    post.redrive()

    assert post.world.wire.changes == [
        *("sqs:ReceiveMessage", "lambda:Invoke", "sqs:DeleteMessage"),
        *("sqs:SendMessage", "sqs:DeleteMessage", "sqs:ReceiveMessage"),
    ]


def test_a_letter_tells_what_it_is_and_since_when(post: Post) -> None:
    post.put(record(event("one", "two")))

    letter = only(post.redrive())

    (call,) = post.world.wire.made("sqs:ReceiveMessage")[:1]
    assert (letter.kind, letter.bucket, letter.keys) == ("s3_event", "uploads", 2)
    assert letter.since is not None
    assert letter.reason == "failed 3 times: ClientError: no such queue"
    assert (call["VisibilityTimeout"], call["WaitTimeSeconds"]) == (60, 1)


def test_an_event_that_fails_again_stays_and_keeps_nobody_waiting(post: Post) -> None:
    failing = post.put(record(event("one")))
    post.put(record(event("two")))
    post.answer(
        b'{"errorMessage": "still\\nno queue", "errorType": "ClientError"}',
        times=1,
        FunctionError="Unhandled",
    )

    report = post.redrive()

    stays, done = report.dead_letters
    assert (stays.outcome, done.outcome) == ("kept", "redriven")
    assert str(stays.error) == "Function S3EventAggregator failed again: ClientError: still no queue."
    assert (post.dead, post.hidden) == ([failing], 0)
    assert (report.ok, report.counts) == (False, {"redriven": 1, "kept": 1})


@pytest.mark.parametrize("payload", [b"", b"null", b'"oh"', b"[" * 100_000])
def test_a_failure_that_says_nothing_is_one_too(post: Post, payload: bytes) -> None:
    post.put(record(event("key")))
    post.answer(payload, FunctionError="Unhandled")

    letter = only(post.redrive())

    assert str(letter.error) == "Function S3EventAggregator failed again: no reason given."


NOT_UNDERSTOOD = {
    "no JSON": "hello",
    "nested without end": "[" * 100_000,
    "another document": json.dumps({"requestContext": [], "requestPayload": 1}),
    "an event by itself": json.dumps(event("key")),
    "no event": record(None),
    "of another function": record(event("key"), function=f"{AGGREGATOR[: -len(':$LATEST')]}2"),
    "not of S3": record({"detail-type": "Scheduled Event"}),
    "no list of records": record({"Records": {"s3": {}}}),
    "a message that is no event": record(by_sqs("hello")),
}


@pytest.mark.parametrize("body", NOT_UNDERSTOOD.values(), ids=NOT_UNDERSTOOD)
def test_what_is_not_understood_stays_and_is_said_to(post: Post, body: str) -> None:
    post.put(body)
    post.put("{}", REFRESH)

    report = post.redrive()

    strange, refresh = report.dead_letters
    assert (strange.kind, strange.outcome, refresh.outcome) == ("not_understood", "kept", "redriven")
    assert strange.reason
    assert (post.dead, post.hidden, post.invoked) == ([body], 0, [])


def test_a_gateways_event_goes_back_as_it_was(post: Post) -> None:
    """The refresh function puts it off while a refresh that it has ordered is refused."""
    body = json.dumps({"source": "aws.storagegateway", "detail-type": "Storage Gateway Refresh Cache Event"})
    post.put(body)

    letter = only(post.redrive())

    assert (letter.kind, letter.outcome, letter.bucket) == ("refresh_message", "redriven", None)
    assert [message.body for message in post.messages(NAMES.queue)] == [body]


def test_an_event_goes_back_though_one_of_its_records_makes_no_sense(post: Post) -> None:
    mixed = {"Records": [{"eventName": "x"}, "y", *event("key")["Records"]]}
    post.put(record(mixed))

    letter = only(post.redrive())

    assert (letter.kind, letter.outcome, letter.bucket, letter.keys) == ("s3_event", "redriven", "uploads", 1)
    assert letter.reason == "failed 3 times: ClientError: no such queue; not an S3 event: 2 parts of 3"
    assert letter.body == record(mixed)
    assert post.invoked == [mixed]


WRAPPED = {
    "SNS": by_sns(event("one", "two")),
    "SQS": by_sqs(event("one"), event("two")),
    "SNS in SQS": by_sqs(in_sns_envelope(event("one", "two"))),
    "EventBridge in SQS": by_sqs(by_event_bridge(bucket="uploads"), by_event_bridge(bucket="uploads")),
}


@pytest.mark.parametrize("wrapped", WRAPPED.values(), ids=WRAPPED)
def test_an_event_that_another_service_passed_on_is_told_in_words_and_goes_back(
    post: Post, wrapped: dict[str, Any]
) -> None:
    post.put(record(wrapped))

    letter = only(post.redrive())

    assert (letter.kind, letter.outcome, letter.bucket, letter.keys) == ("s3_event", "redriven", "uploads", 2)
    assert (letter.body, post.invoked) == (None, [wrapped])


def test_a_function_that_is_busy_is_waited_for(post: Post) -> None:
    post.world.wire.refuse("lambda:Invoke", "TooManyRequestsException", "Rate Exceeded.", times=3)
    post.answer(b"null")
    post.put(record(event("key")))

    assert only(post.redrive()).outcome == "redriven"


def test_the_event_by_which_s3_tests_a_rule_goes_back_too(post: Post) -> None:
    post.put(record({"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "uploads"}))

    assert only(post.redrive()).outcome == "redriven"


REASONS = {
    "failed once: X": {"approximateInvokeCount": 1, "responsePayload": {"errorType": "X"}},
    "failed 3 times: timed out": {"responsePayload": {"errorMessage": "timed  out"}},
    "failed 3 times": {"responsePayload": None},
    "exceeded the maximum event age": {"condition": "EventAgeExceeded", "responsePayload": None},
    "discarded by Lambda (Tired): ClientError: no such queue": {"condition": "Tired"},
}


@pytest.mark.parametrize(("reason", "said"), REASONS.items(), ids=REASONS)
def test_why_an_event_was_given_up_is_told_in_words(post: Post, reason: str, said: dict[str, Any]) -> None:
    post.put(record(event("key"), **said))

    assert only(post.redrive(dry_run=True)).reason == reason


def test_more_than_one_batch_is_worked_off_side_by_side(post: Post) -> None:
    post.world.aws.workers = 8
    for number in range(13):
        post.put(record(event(f"key{number}")))
        post.put("{}", REFRESH)

    report = post.redrive()

    assert (post.dead, len(post.invoked), len(post.sent)) == ([], 13, 13)
    assert (report.counts, len(post.events)) == ({"redriven": 26, "kept": 0}, 26)


def test_those_that_stay_and_come_again_in_a_long_run_keep_nobody_waiting(post: Post) -> None:
    for number in range(12):
        post.put(f"strange {number}")
    post.put("{}", REFRESH)

    post.world.wire.before("sqs:ReceiveMessage", post.let_time_pass, after=1)
    report = post.redrive()

    assert report.counts == {"redriven": 1, "kept": 12}
    assert (len(post.sent), post.hidden) == (1, 0)


def test_a_run_ends_although_those_that_stay_come_again_and_again(post: Post) -> None:
    post.put("strange")

    with post.hook("before", lambda _: post.let_time_pass()):
        report = post.redrive()

    assert report.counts == {"redriven": 0, "kept": 1}
    assert len(post.world.wire.made("sqs:ReceiveMessage")) == 2


def test_a_refresh_message_that_fails_again_meanwhile_is_left_for_the_next_run(post: Post) -> None:
    post.put("{}", REFRESH)

    def fail_again() -> None:
        queue = post.messages(NAMES.queue)
        post.queue(NAMES.dead_letters).add_message(queue.pop())

    post.world.wire.before("sqs:ReceiveMessage", fail_again, after=1)
    report = post.redrive()

    assert (len(report.dead_letters), post.sent, post.dead, post.hidden) == (1, [], ["{}"], 0)


def test_no_dead_letters_is_as_asked(post: Post) -> None:
    report = post.redrive()

    assert (report.ok, list(report.dead_letters), report.in_flight) == (True, [], 0)


def test_a_dry_run_changes_nothing_and_hides_nothing(post: Post) -> None:
    bodies = [post.put(record(event("key"))), post.put("{}", REFRESH), post.put("strange")]

    reports = [post.redrive(dry_run=True), post.redrive(dry_run=True)]

    kinds = ["s3_event", "refresh_message", "not_understood"]
    outcomes = ["to_redrive", "to_redrive", "to_keep"]
    for report in reports:
        assert report.counts == {"to_redrive": 2, "to_keep": 1}
        assert [letter.kind for letter in report.dead_letters] == kinds
        assert [letter.outcome for letter in report.dead_letters] == outcomes
    assert (post.dead, post.hidden, post.sent, post.invoked) == (bodies, 0, [], [])
    assert set(post.world.wire.changes) == {"sqs:ReceiveMessage", "sqs:ChangeMessageVisibilityBatch"}


def test_what_others_hold_is_counted(post: Post) -> None:
    post.put("{}", REFRESH)
    running = redrive.run(post.world.aws, post.deployment, dry_run=True)
    next(running)

    meanwhile = post.redrive()
    running.close()

    assert (list(meanwhile.dead_letters), meanwhile.in_flight) == ([], 1)
    assert post.hidden == 0


def stop(post: Post, at: int, how: str) -> bool:
    """Redrive, but let the call of this number go wrong; return whether there was one."""
    calls = 0
    killed = False

    def now() -> bool:
        nonlocal calls
        calls += 1
        return calls == at + 1

    def go_wrong(operation: str) -> None:
        nonlocal killed
        if killed or (now() and how.startswith("killed")):
            killed = True  # not even what was received is given back
            raise Killed
        if calls == at + 1 and how == "refused":
            raise refusal("AccessDenied")
        if calls == at + 1 and how == "its reply lost":
            raise ReadTimeoutError(endpoint_url=f"https://{operation}")

    when = "before" if how in {"refused", "killed before it"} else "after"
    try:
        with post.hook(when, go_wrong):
            post.redrive()
    except (S3aggError, Killed):
        pass
    return calls > at


@pytest.mark.parametrize("how", ["refused", "its reply lost", "killed before it", "killed after it"])
def test_whichever_call_goes_wrong_nothing_is_lost_and_the_next_run_finishes(post: Post, how: str) -> None:
    at = 0
    while True:
        post.empty()
        failed = post.put(record(event("key")))
        post.put("{}", REFRESH)
        went_wrong = stop(post, at, how)

        assert failed in post.dead or post.invoked, f"lost the event: call {at} {how}"
        assert "{}" in post.dead or post.sent, f"lost the refresh: call {at} {how}"
        post.let_time_pass()
        post.redrive()
        assert (post.dead, bool(post.invoked), bool(post.sent)) == ([], True, True)
        if not went_wrong:
            break
        at += 1
    assert at >= 7


@pytest.mark.parametrize("operation", ["Invoke", "SendMessage", "DeleteMessage"])
def test_after_ctrl_c_what_is_left_is_visible_at_once(post: Post, operation: str) -> None:
    for _ in range(3):
        post.put(record(event("key")))
        post.put("{}", REFRESH)

    def press(called: str) -> None:
        if called == operation:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), post.hook("before", press):
        post.redrive()

    assert (len(post.dead) + len(post.invoked) + len(post.sent) >= 6, post.hidden) == (True, 0)


def test_what_cannot_be_given_back_is_said_to_come_back_by_itself(post: Post) -> None:
    post.put("strange")
    post.world.wire.refuse("sqs:ChangeMessageVisibilityBatch", "AccessDenied")

    report = post.redrive()

    assert [letter.outcome for letter in report.dead_letters] == ["kept"]
    (warning,) = post.world.warnings
    assert warning == (
        "Messages still in flight in queue S3EventAggregatorDeadLetters: 1. Each becomes visible within 60 s."
    )


def test_a_queue_that_cannot_be_read_is_one_line(post: Post) -> None:
    post.world.wire.refuse("sqs:ReceiveMessage", "AccessDenied")

    with pytest.raises(S3aggError, match="While receiving messages from queue S3EventAggregatorDeadLetters:"):
        post.redrive()


def test_what_aws_refuses_for_one_letter_is_that_letters_error(post: Post) -> None:
    post.put(record(event("key")))
    post.put("{}", REFRESH)
    post.world.wire.refuse("lambda:Invoke", "AccessDeniedException", "not you")

    stays, done = post.redrive().dead_letters

    assert (stays.outcome, done.outcome) == ("kept", "redriven")
    assert stays.error is not None
    assert str(stays.error).startswith("While invoking function S3EventAggregator: ")


NEEDED = ["dead_letters", "queue", "aggregator"]


@pytest.mark.parametrize("name", NEEDED)
def test_what_is_foreign_is_named_and_nothing_is_touched(post: Post, name: str) -> None:
    post.put("{}", REFRESH)
    resource = getattr(post.deployment.stack, name)
    foreign = replace(post.deployment.found[resource.key], tags={})
    post.deployment = replace(
        post.deployment, found=Findings({**post.deployment.found, resource.key: foreign})
    )

    with pytest.raises(S3aggError, match=rf"{resource.kind} {resource.name} \(has no tag"):
        post.redrive()

    assert (post.dead, post.world.wire.changes) == (["{}"], [])


@pytest.mark.parametrize("name", NEEDED)
def test_what_is_missing_is_named_with_the_command_that_makes_it(post: Post, name: str) -> None:
    resource = getattr(post.deployment.stack, name)
    found = {key: each for key, each in post.deployment.found.items() if key != resource.key}
    post.deployment = replace(post.deployment, found=Findings(found))

    with pytest.raises(S3aggError) as error:
        post.redrive()

    assert str(error.value) == (
        f"Missing resources: {resource.kind} {resource.name}. Create them first: s3agg create."
    )
    assert post.world.wire.calls == []


def ids_of(post: Post) -> dict[str, str]:
    """The ids of the dead letters by their bodies."""
    return {message.body: message.id for message in post.messages(NAMES.dead_letters)}


def test_only_what_is_not_understood_is_told_with_its_body(post: Post) -> None:
    post.put("strange")
    post.put("{}", REFRESH)

    bodies = {letter.kind: letter.body for letter in post.redrive(dry_run=True).dead_letters}

    assert bodies == {"not_understood": "strange", "refresh_message": None}


def test_a_discard_deletes_the_messages_named_and_no_others(post: Post) -> None:
    for number in range(12):
        post.put(f"strange {number}")
    ids = ids_of(post)
    chosen = [ids["strange 3"], ids["strange 11"]]

    seen = post.redrive(dry_run=True, discard=chosen)
    before = len(post.dead)
    report = post.redrive(discard=chosen)

    assert (seen.counts, seen.to_do, before) == ({"to_discard": 2}, 2, 12)
    assert (report.counts, report.ok) == ({"discarded": 2, "kept": 0}, True)
    assert sorted(letter.body or "" for letter in report.dead_letters) == ["strange 11", "strange 3"]
    assert (len(post.dead), post.hidden) == (10, 0)


def test_a_discarded_event_does_not_go_back(post: Post) -> None:
    body = post.put(record(event("a")))

    report = post.redrive(discard=[ids_of(post)[body]])

    assert (only(report).outcome, post.dead, post.invoked) == ("discarded", [], [])


def test_a_message_to_discard_that_is_not_there_is_an_error_and_nothing_is_hidden(post: Post) -> None:
    post.put("strange")

    with pytest.raises(S3aggError, match=r"no message with the ID 'no-such-id'\. A message in"):
        post.redrive(dry_run=True, discard=["no-such-id"])

    assert (post.dead, post.hidden) == (["strange"], 0)


def test_a_discard_needs_only_the_dead_letters(post: Post) -> None:
    post.put("strange")
    found = Findings(post.deployment.found)
    del found[post.deployment.stack.queue.key]
    bare = replace(post, deployment=replace(post.deployment, found=found))

    report = bare.redrive(discard=[ids_of(post)["strange"]])

    assert report.counts["discarded"] == 1
