"""AWS's control plane as it is: a write shows late, and calls that depend on it are refused for a while.

moto answers. Between it and the commands, hooks of botocore apply the rules of rules.py.
Time is virtual.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import botocore.session

from s3agg.aws.session import Aws
from s3agg.resources.resource import tag_dict
from tests.spreading.rules import MADE, NO_QUEUE, QUEUE_CALLS, RULES, SHOWN, Answer, queue_of
from tests.support.aws import Call
from tests.support.clock import Clock


@dataclass(frozen=True)
class Nature:
    """For how many s each kind of write spreads. `often` is the share of calls that meet the old state."""

    tags_s: float = 0  # of a table (FACTS 23)
    queue_gone_s: float = 0  # FACTS 24
    role_s: float = 0  # to Lambda, roles and their policies (FACTS 1 to 3, 31)
    iam_s: float = 0  # within IAM (FACTS 30)
    function_s: float = 0  # FACTS 27
    function_gone_s: float = 0  # how long a deleted function keeps its name (FACTS 29)
    queue_s: float = 0  # to Lambda (FACTS 24, 28)
    permission_s: float = 0  # to S3 (FACTS 4)
    attributes_s: float = 0  # of a queue (FACTS 33)
    retention_s: float = 0  # of a queue (FACTS 33)
    rule_s: float = 0  # of EventBridge: a new one, and a target that was removed (FACTS 42)
    loses: float = 0  # the share of statements that another one, added side by side, replaces (FACTS 34)
    collides: float = 0  # the share of writes to IAM and Logs that meet another one (FACTS 26, 30)
    often: float = 1  # the share of calls that meet the old state
    seed: int = 0


class ControlPlane:
    """What AWS knows and does not tell yet. `somebody` asks moto itself."""

    def __init__(self, clock: Clock, somebody: Aws, policy: str) -> None:
        """`policy` is that of the users of s3agg (FACTS 36)."""
        self.clock = clock
        self.somebody = somebody
        self.policy = policy
        self.calls = 0
        self.refused = 0  # calls that are answered with "not yet" or a collision
        self.begin(Nature())

    def begin(self, nature: Nature) -> None:
        """Know nothing, and be of this nature from now on."""
        self.nature = nature
        self.random = random.Random(nature.seed)  # noqa: S311  # no secret
        self.written: dict[tuple[str, ...], float] = {}  # when each thing was
        self.dying: dict[str, float] = {}  # until when a deleted queue answers, by name
        self.freed: dict[str, float] = {}  # from when a queue's name is free again
        self.old_tags: dict[str, dict[str, str]] = {}  # of tables, by ARN
        self.old_attributes: dict[str, dict[str, str]] = {}  # of queues, by name
        self.principals: dict[str, int] = {}  # how often each role was made
        self.granted: dict[str, tuple[str, int]] = {}  # by function: role and which of them
        self.dead: dict[str, dict[str, Any]] = {}  # deleted functions as they were, by name (FACTS 39)
        self.failed: set[str] = set()  # the functions whose last update failed (FACTS 39)
        # Who added each statement and has not read the policy since, by function and statement id.
        self.unread_statements: dict[tuple[str, str], str] = {}
        self.is_unreadable = False  # whether nobody may read the functions' variables (FACTS 32)
        self.is_calm = False  # whether everything shows at once, and what dies is dead

    def listen(self, session: botocore.session.Session, who: str) -> None:
        session.register("before-call", partial(self._before, who))  # type: ignore[arg-type]  # its keywords
        session.register("after-call", self._after)  # type: ignore[arg-type]  # its keywords

    def settle(self) -> None:
        """Let everything spread."""
        self.clock.sleep(20 * 60)
        self._bury()

    @contextmanager
    def calm(self) -> Iterator[None]:
        """Look at what AWS will hold, not at what it tells yet."""
        self.is_calm = True
        try:
            yield
        finally:
            self.is_calm = False

    def cannot_start(self) -> list[str]:
        """The functions whose role was made anew since they were given it (FACTS 25)."""
        return [
            function
            for function, (role, which) in self.granted.items()
            if self.principals.get(role, 0) != which
        ]

    # Before a call

    def _before(self, who: str, context: dict[str, Any], **_: Any) -> Answer | None:
        self._bury()
        call: Call = context["call"]
        if self.is_calm:
            is_dead = call.operation in QUEUE_CALLS and queue_of(call.params) in self.dying
            return NO_QUEUE if is_dead else None
        self.calls += 1
        self.who = who
        for rule in RULES.get(call.operation, ()):
            if answer := rule(self, call.params):
                self.refused += 1
                return answer
        self._remember(call)
        return None

    def is_young(self, seconds: float, *what: str) -> bool:
        """Whether a call still meets the time before this was written."""
        written = self.written.get(what)
        return written is not None and self.clock.time() < written + seconds and self.meets()

    def meets(self) -> bool:
        return self.random.random() < self.nature.often

    def _bury(self) -> None:
        for name in [name for name, until in self.dying.items() if self.clock.time() >= until]:
            del self.dying[name]
            self.somebody.sqs.delete_queue(QueueUrl=self._url(name))

    def has_queue(self, name: str) -> bool:
        there = self.somebody.sqs.list_queues(QueueNamePrefix=name).get("QueueUrls", [])
        return name in {url.rpartition("/")[2] for url in there}

    def _url(self, name: str) -> str:
        return self.somebody.sqs.get_queue_url(QueueName=name)["QueueUrl"]

    @contextmanager
    def unreadable(self) -> Iterator[None]:
        """Nobody may read the functions' variables."""
        self.is_unreadable = True
        try:
            yield
        finally:
            self.is_unreadable = False

    def _remember(self, call: Call) -> None:
        """Keep what this call replaces, if AWS goes on showing it for a while."""
        if call.operation == "lambda:DeleteFunction":
            name = call.params["FunctionName"]
            with suppress(self.somebody.lambda_.exceptions.ResourceNotFoundException):
                self.dead[name] = dict(self.somebody.lambda_.get_function(FunctionName=name))
        if call.operation in {"dynamodb:TagResource", "dynamodb:UntagResource"}:
            arn = call.params["ResourceArn"]
            found = self.somebody.dynamodb.list_tags_of_resource(ResourceArn=arn)["Tags"]
            self.old_tags[arn] = tag_dict(found)
        if call.operation == "sqs:SetQueueAttributes":
            url = call.params["QueueUrl"]
            now: Any = self.somebody.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])[
                "Attributes"
            ]
            old = {name: now.get(name, "") for name in call.params["Attributes"]}
            self.old_attributes[queue_of(call.params)] = old

    # After a call

    def _after(self, parsed: dict[str, Any], context: dict[str, Any], **_: Any) -> None:
        call: Call = context["call"]
        if self.is_calm or parsed["ResponseMetadata"].get("HTTPStatusCode", 500) >= 300:
            return
        if made := MADE.get(call.operation):
            for what in made(call.params):
                self.written[what] = self.clock.time()
        if shown := SHOWN.get(call.operation):
            shown(self, call.params, parsed)

    def grant(self, function: str, role: str) -> None:
        """Lambda gives the function's role a grant; of a role of the same name it does not notice."""
        if self.granted.get(function, ("", 0))[0] != role:
            self.granted[function] = role, self.principals.get(role, 0)
