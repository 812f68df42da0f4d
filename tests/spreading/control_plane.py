"""AWS's control plane as it is: a write shows late, and calls that depend on it are refused for a while.

moto answers. Hooks of botocore between it and the commands make FACTS 1 to 4, 8, 23 to 31, and 33 true.
Time is virtual.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import botocore.session
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders

from s3agg.aws.session import Aws
from s3agg.resources.resource import tag_dict
from tests.support.aws import PLACE, Call
from tests.support.clock import Clock

Answer = tuple[AWSResponse, dict[str, Any]]

QUEUE_NAME_LOCKED_S = 60  # FACTS 8


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
    collides: float = 0  # the share of writes to IAM and Logs that meet another one (FACTS 26, 30)
    often: float = 1  # the share of calls that meet the old state
    seed: int = 0


class ControlPlane:
    """What AWS knows and does not tell yet. `somebody` asks moto itself."""

    def __init__(self, clock: Clock, somebody: Aws) -> None:
        self.clock = clock
        self.somebody = somebody
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
        self.is_calm = False  # whether everything shows at once, and what dies is dead

    def listen(self, session: botocore.session.Session) -> None:
        session.register("before-call", self._before)  # type: ignore[arg-type]  # its keywords
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

    def _before(self, context: dict[str, Any], **_: Any) -> Answer | None:
        self._bury()
        call: Call = context["call"]
        if self.is_calm:
            is_dead = call.operation in QUEUE_CALLS and _queue(call.params) in self.dying
            return NO_QUEUE if is_dead else None
        self.calls += 1
        for rule in RULES.get(call.operation, ()):
            if answer := rule(self, call.params):
                self.refused += 1
                return answer
        self._remember_old(call)
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

    def _remember_old(self, call: Call) -> None:
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
            self.old_attributes[_queue(call.params)] = old

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


def _refusal(code: str, message: str, status: int = 400) -> Answer:
    parsed = {
        "Error": {"Code": code, "Message": message},
        "ResponseMetadata": {"HTTPStatusCode": status, "HTTPHeaders": {}, "RequestId": "spreading"},
    }
    return AWSResponse("https://injected", status, HTTPHeaders(), None), parsed


NO_QUEUE = _refusal("AWS.SimpleQueueService.NonExistentQueue", "The specified queue does not exist.")


def _done() -> Answer:
    meta = {"HTTPStatusCode": 200, "HTTPHeaders": {}, "RequestId": "spreading"}
    return AWSResponse("https://injected", 200, HTTPHeaders(), None), {"ResponseMetadata": meta}


def _last(arn: str) -> str:
    return arn.rpartition("/")[2].rpartition(":")[2]


def _queue(params: Mapping[str, Any]) -> str:
    return str(params.get("QueueName") or params["QueueUrl"].rpartition("/")[2])


Rule = Callable[[ControlPlane, Mapping[str, Any]], "Answer | None"]


def function_is_new(plane: ControlPlane, params: Mapping[str, Any]) -> Answer | None:
    name = params["FunctionName"]
    if plane.is_young(plane.nature.function_s, "function", name):
        return _refusal(
            "ResourceNotFoundException", f"Function not found: {PLACE.arn('lambda', f'function:{name}')}", 404
        )
    return None


def mapping_is_too_soon(plane: ControlPlane, params: Mapping[str, Any]) -> Answer | None:
    name, queue = params["FunctionName"], _last(params["EventSourceArn"])
    if plane.is_young(plane.nature.function_s, "function", name):
        return _refusal("InvalidParameterValueException", "Function does not exist")
    if plane.is_young(plane.nature.queue_s, "queue", queue) or queue in plane.dying:
        return _refusal(
            "InvalidParameterValueException",
            "Error occurred while ReceiveMessage. SQS Error Code: AWS.SimpleQueueService.NonExistentQueue."
            " SQS Error Message: The specified queue does not exist.",
        )
    return _role_cannot(
        plane, name, "The provided execution role does not have permissions to call ReceiveMessage on SQS"
    )


def destination_is_too_soon(plane: ControlPlane, params: Mapping[str, Any]) -> Answer | None:
    if plane.is_young(plane.nature.function_s, "function", params["FunctionName"]):
        return _refusal("ResourceNotFoundException", "The function doesn't exist.", 404)
    queue = params.get("DestinationConfig", {}).get("OnFailure", {}).get("Destination", "")
    if plane.is_young(plane.nature.queue_s, "queue", _last(queue)):
        return _refusal("InvalidParameterValueException", f"The destination ARN {queue} is invalid.")
    return _role_cannot(
        plane,
        params["FunctionName"],
        "The function's execution role does not have permissions to call SendMessage on SQS",
    )


def _role_cannot(plane: ControlPlane, function: str, message: str) -> Answer | None:
    role, _ = plane.granted.get(function, ("", 0))
    youngest = [what for what in plane.written if what[:2] == ("attached", role)]
    if any(plane.is_young(plane.nature.role_s, *what) for what in youngest):
        return _refusal("InvalidParameterValueException", message)
    return None


def role_is_new(plane: ControlPlane, params: Mapping[str, Any]) -> Answer | None:
    if "Role" in params and plane.is_young(plane.nature.role_s, "role", _last(params["Role"])):
        return _refusal(
            "InvalidParameterValueException",
            "The role defined for the function cannot be assumed by Lambda.",
        )
    return None


def function_name_is_locked(plane: ControlPlane, params: Mapping[str, Any]) -> Answer | None:
    if plane.is_young(plane.nature.function_gone_s, "deleted function", params["FunctionName"]):
        return _refusal("ResourceConflictException", "The function is currently being deleted.", 409)
    return None


def attached_too_soon(plane: ControlPlane, params: Mapping[str, Any]) -> Answer | None:
    role, policy = params["RoleName"], params["PolicyArn"]
    if plane.is_young(plane.nature.iam_s, "role", role):
        return _refusal("NoSuchEntity", f"The role with name {role} cannot be found.", 404)
    if plane.is_young(plane.nature.iam_s, "policy", _last(policy)):
        return _refusal("NoSuchEntity", f"Policy {policy} does not exist or is not attachable.", 404)
    return None


def collides(plane: ControlPlane, _: Mapping[str, Any]) -> Answer | None:
    if plane.random.random() < plane.nature.collides:
        return _refusal("ConcurrentModification", "The request was rejected, as another one changes it.", 409)
    return None


def is_aborted(plane: ControlPlane, _: Mapping[str, Any]) -> Answer | None:
    if plane.random.random() < plane.nature.collides:
        return _refusal(
            "OperationAbortedException", "A conflicting operation is in progress. Please try again."
        )
    return None


def cannot_be_validated(plane: ControlPlane, params: Mapping[str, Any]) -> Answer | None:
    if params.get("SkipDestinationValidation"):
        return None
    rules = params["NotificationConfiguration"].get("LambdaFunctionConfigurations", [])
    for function in {_last(rule["LambdaFunctionArn"]) for rule in rules}:
        permissions = [what for what in plane.written if what[:2] == ("permission", function)]
        if any(plane.is_young(plane.nature.permission_s, *what) for what in permissions):
            return _refusal("InvalidArgument", "Unable to validate the following destination configurations")
    return None


def tags_are_busy(plane: ControlPlane, params: Mapping[str, Any]) -> Answer | None:
    if plane.is_young(plane.nature.tags_s, "tags", params["ResourceArn"]):
        return _refusal("ResourceInUseException", "Attempt to change a resource which is still in use.")
    return None


def queue_dies(plane: ControlPlane, params: Mapping[str, Any]) -> Answer | None:
    name = _queue(params)
    if name in plane.dying or not plane.has_queue(name):
        return _done()
    plane.freed[name] = plane.clock.time() + QUEUE_NAME_LOCKED_S
    if not plane.nature.queue_gone_s:
        return None
    plane.dying[name] = plane.clock.time() + plane.nature.queue_gone_s
    return _done()


def queue_is_dying(plane: ControlPlane, params: Mapping[str, Any]) -> Answer | None:
    if _queue(params) in plane.dying and not plane.meets():
        return NO_QUEUE
    return None


def queue_name_is_locked(plane: ControlPlane, params: Mapping[str, Any]) -> Answer | None:
    if plane.clock.time() < plane.freed.get(_queue(params), 0):
        return _refusal(
            "AWS.SimpleQueueService.QueueDeletedRecently",
            "You must wait 60 seconds after deleting a queue before you can create another.",
        )
    return None


IAM_WRITES = (
    *(
        "CreateRole",
        "TagRole",
        "UpdateAssumeRolePolicy",
        "DeleteRole",
        "AttachRolePolicy",
        "DetachRolePolicy",
    ),
    *("CreatePolicy", "TagPolicy", "CreatePolicyVersion", "DeletePolicyVersion", "DeletePolicy"),
)
LOGS_WRITES = ("CreateLogGroup", "PutRetentionPolicy", "DeleteLogGroup")
QUEUE_CALLS = tuple(
    f"sqs:{name}"
    for name in (
        "GetQueueUrl",
        "GetQueueAttributes",
        "ListQueueTags",
        "SetQueueAttributes",
        "TagQueue",
        "SendMessage",
    )
)
RULES: dict[str, tuple[Rule, ...]] = {
    **{f"iam:{name}": (collides,) for name in IAM_WRITES},
    **{f"logs:{name}": (is_aborted,) for name in LOGS_WRITES},
    **dict.fromkeys(QUEUE_CALLS, (queue_is_dying,)),
    "iam:AttachRolePolicy": (collides, attached_too_soon),
    "lambda:CreateFunction": (function_name_is_locked, role_is_new),
    "lambda:UpdateFunctionConfiguration": (role_is_new,),
    "lambda:AddPermission": (function_is_new,),
    "lambda:PutFunctionConcurrency": (function_is_new,),
    "lambda:GetFunctionConfiguration": (function_is_new,),
    "lambda:PutFunctionEventInvokeConfig": (destination_is_too_soon,),
    "lambda:CreateEventSourceMapping": (mapping_is_too_soon,),
    "s3:PutBucketNotificationConfiguration": (cannot_be_validated,),
    "dynamodb:TagResource": (tags_are_busy,),
    "dynamodb:UntagResource": (tags_are_busy,),
    "sqs:DeleteQueue": (queue_dies,),
    "sqs:CreateQueue": (queue_name_is_locked,),
}
# What a call writes, whose age then counts.
MADE: dict[str, Callable[[Mapping[str, Any]], list[tuple[str, ...]]]] = {
    "iam:CreateRole": lambda params: [("role", params["RoleName"])],
    "iam:CreatePolicy": lambda params: [("policy", params["PolicyName"])],
    "iam:AttachRolePolicy": lambda params: [("attached", params["RoleName"], params["PolicyArn"])],
    "lambda:CreateFunction": lambda params: [("function", params["FunctionName"])],
    "lambda:DeleteFunction": lambda params: [("deleted function", params["FunctionName"])],
    "lambda:AddPermission": lambda params: [("permission", params["FunctionName"], params["StatementId"])],
    "sqs:CreateQueue": lambda params: [("queue", params["QueueName"])],
    "sqs:SetQueueAttributes": lambda params: [("attributes", _queue(params))],
    "dynamodb:TagResource": lambda params: [("tags", params["ResourceArn"])],
    "dynamodb:UntagResource": lambda params: [("tags", params["ResourceArn"])],
}


def makes_a_principal(plane: ControlPlane, params: Mapping[str, Any], _: dict[str, Any]) -> None:
    plane.principals[params["RoleName"]] = plane.principals.get(params["RoleName"], 0) + 1


def grants(plane: ControlPlane, params: Mapping[str, Any], _: dict[str, Any]) -> None:
    if "Role" in params:
        plane.grant(params["FunctionName"], _last(params["Role"]))


def ungrants(plane: ControlPlane, params: Mapping[str, Any], _: dict[str, Any]) -> None:
    plane.granted.pop(params["FunctionName"], None)


def tags_show_late(plane: ControlPlane, params: Mapping[str, Any], parsed: dict[str, Any]) -> None:
    arn = params["ResourceArn"]
    if plane.is_young(plane.nature.tags_s, "tags", arn):
        old = plane.old_tags[arn] if plane.meets() else {}
        parsed["Tags"] = [{"Key": key, "Value": value} for key, value in old.items()]


def attributes_show_late(plane: ControlPlane, params: Mapping[str, Any], parsed: dict[str, Any]) -> None:
    name, nature = _queue(params), plane.nature
    for attribute, old in plane.old_attributes.get(name, {}).items():
        late_s = nature.retention_s if attribute == "MessageRetentionPeriod" else nature.attributes_s
        if plane.is_young(late_s, "attributes", name):
            parsed["Attributes"][attribute] = old


def forgets_tags(plane: ControlPlane, params: Mapping[str, Any], parsed: dict[str, Any]) -> None:
    del params
    arn = parsed["TableDescription"]["TableArn"]
    plane.old_tags[arn] = {}
    plane.written["tags", arn] = plane.clock.time()


SHOWN: dict[str, Callable[[ControlPlane, Mapping[str, Any], dict[str, Any]], None]] = {
    "iam:CreateRole": makes_a_principal,
    "lambda:CreateFunction": grants,
    "lambda:UpdateFunctionConfiguration": grants,
    "lambda:DeleteFunction": ungrants,
    "dynamodb:CreateTable": forgets_tags,
    "dynamodb:ListTagsOfResource": tags_show_late,
    "sqs:GetQueueAttributes": attributes_show_late,
}
