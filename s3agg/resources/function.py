"""The Lambda functions."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from typing import Any, ClassVar

from botocore.exceptions import ClientError

from s3agg import assets
from s3agg.aws.refusals import Refusal, unless_absent
from s3agg.aws.session import Aws
from s3agg.aws.snapshot import Snapshot
from s3agg.errors import S3aggError
from s3agg.resources import concurrency
from s3agg.resources.log_group import LogGroup
from s3agg.resources.policy import IAM_PATIENCE_S
from s3agg.resources.queue import Queue
from s3agg.resources.resource import ABSENT, Difference, Found, Resource, tag_list
from s3agg.resources.role import NEW, Role
from s3agg.resources.table import Table

# Lambda sees a new role or a change of its policies after seconds, rarely minutes (FACTS 1 to 3, 31).
ROLE_SPREADING = (
    Refusal("InvalidParameterValueException", "cannot be assumed by Lambda"),
    Refusal("InvalidParameterValueException", "does not have permissions"),
    # The KMS key encrypts the environment variables.
    Refusal("InvalidParameterValueException", "KMS key is invalid for CreateGrant"),
)
# Lambda sees a new visibility timeout after up to a minute (FACTS 19).
VISIBILITY_SPREADING = (Refusal("InvalidParameterValueException", "is less than Function timeout"),)
ALREADY_EXISTS = (Refusal("ResourceConflictException", "already exist"),)
# A function of this name is still being deleted (FACTS 29).
NOT_YET = (Refusal("ResourceConflictException", unless="already exist"),)
UPDATING = (Refusal("ResourceConflictException"),)  # FACTS 11
# Lambda's other calls see a new function after seconds (FACTS 27).
NEW_FUNCTION = (
    Refusal("ResourceNotFoundException", "function not found"),
    Refusal("ResourceNotFoundException", "function doesn't exist"),
    Refusal("InvalidParameterValueException", "function does not exist"),
)
# Lambda sees a new queue after seconds (FACTS 24, 28).
NEW_QUEUE = (
    Refusal("InvalidParameterValueException", "NonExistentQueue"),
    Refusal("InvalidParameterValueException", "destination ARN"),
)
ACTIVATION_S = 120  # the longest that a new or changed function takes to become active
ROLE_TAG = "s3agg:role"  # the id of the role that Lambda granted the use of the function's variables
GRANT = "grant for the execution role"
CODE = "code SHA-256"
CURRENT = "current"
UNREAD: Mapping[str, Any] = {}  # a role that could not be read
VARIABLES = "environment variables"
VARIABLE = "environment variable "  # begins the label of a variable
QUEUE_URL = f"{VARIABLE}QUEUE_URL"
INVOKE_CONFIG = ("MaximumRetryAttempts", "MaximumEventAgeInSeconds", "DestinationConfig")


@dataclass(frozen=True, kw_only=True)
class FoundFunction(Found):
    """A function; timeout in s, memory in MB."""

    role: str  # ARN of the execution role
    is_granted: bool  # False if the role was deleted and created again since Lambda granted it (FACTS 25)
    handler: str | None
    runtime: str | None
    architecture: str
    timeout: int
    memory: int
    code: str  # SHA-256 of the zip, in Base64
    variables: Mapping[str, str]
    unreadable: str | None  # why Lambda does not show the variables (FACTS 32)
    queue_url: str | None  # of the stack's queue, None if there is none
    reserved: int | None  # reserved concurrency
    reservable: int  # the highest reserved concurrency that the account allows
    invoke_config: Mapping[str, Any]  # configuration of asynchronous invocation, empty if there is none
    changed: datetime  # last change of the code or the configuration

    @property
    def failures_to(self) -> str | None:
        """The ARN of the on-failure destination."""
        destination = self.invoke_config.get("DestinationConfig", {}).get("OnFailure", {}).get("Destination")
        return str(destination) if destination else None

    @property
    def properties(self) -> Mapping[str, str]:
        return {
            "execution role": self.role,
            GRANT: CURRENT if self.is_granted else "for a deleted role of this name",
            "handler": self.handler or ABSENT,
            "runtime": self.runtime or ABSENT,
            "architecture": self.architecture,
            "timeout": f"{self.timeout} s",
            "memory": f"{self.memory} MB",
            CODE: self.code,
            **{f"{VARIABLE}{name}": value for name, value in self.variables.items()},
            "reserved concurrency": ABSENT if self.reserved is None else str(self.reserved),
            "on-failure destination": self.failures_to or ABSENT,
        }


@dataclass(frozen=True, eq=False)
class Function(Resource[FoundFunction]):
    """A Lambda function; timeout in s, memory in MB.

    `environment` holds the variables that s3agg manages; None means that the variable must be absent.
    Other variables of the function are kept. `TABLE_NAME` and `QUEUE_URL` come from the table and the queue.
    """

    kind: ClassVar[str] = "function"
    already_exists: ClassVar[tuple[Refusal, ...]] = ALREADY_EXISTS
    early_fields: ClassVar[tuple[str, ...]] = ("role",)  # Lambda accepts a role without policies

    role: Role
    other_role: str  # ARN of the role of the stack's other function
    log_group: LogGroup
    table: Table
    queue: Queue
    failures_to: Queue | None
    modules: tuple[str, ...]  # of handlers/; the first one contains the handler
    runtime: str
    architecture: str
    timeout: int
    memory: int
    environment: Mapping[str, str | None]
    concurrency: int

    @property
    def arn(self) -> str:
        return self.place.arn("lambda", f"function:{self.name}")

    @property
    def handler(self) -> str:
        return f"{self.modules[0]}.lambda_handler"

    @cached_property
    def code(self) -> bytes:
        return assets.handler_zip(*self.modules)

    @property
    def code_key(self) -> str:
        """The S3 key of the zip. CloudFormation updates the function only if this key changes."""
        return f"s3agg/{self.modules[0]}-{self._digest.hex()}.zip"

    @property
    def _digest(self) -> bytes:
        return hashlib.sha256(self.code).digest()

    @property
    def properties(self) -> Mapping[str, str]:
        return {
            "execution role": self.role.arn,
            GRANT: CURRENT,
            "handler": self.handler,
            "runtime": self.runtime,
            "architecture": self.architecture,
            "timeout": f"{self.timeout} s",
            "memory": f"{self.memory} MB",
            CODE: base64.b64encode(self._digest).decode(),
            **{f"{VARIABLE}{name}": value or ABSENT for name, value in self.environment.items()},
            f"{VARIABLE}TABLE_NAME": self.table.name,
            QUEUE_URL: f"URL of queue {self.queue.name}",
            "reserved concurrency": str(self.concurrency),
            **({"on-failure destination": self.failures_to.arn} if self.failures_to else {}),
        }

    @property
    def cloudformation(self) -> Mapping[str, Mapping[str, Any]]:
        """The template adds the bucket of the code."""
        function = {
            "FunctionName": self.name,
            "Architectures": [self.architecture],
            **self._configuration(self.queue, {}),
            "ReservedConcurrentExecutions": self.concurrency,
            "Tags": tag_list(self.tags),
            "Code": {"S3Key": self.code_key},
        }
        if self.failures_to is None:
            return {"AWS::Lambda::Function": function}
        failures = {
            "FunctionName": self,
            "Qualifier": "$LATEST",
            "DestinationConfig": {"OnFailure": {"Destination": self.failures_to.arn}},
        }
        return {"AWS::Lambda::Function": function, "AWS::Lambda::EventInvokeConfig": failures}

    def find(self, snapshot: Snapshot) -> FoundFunction | None:
        function, invoke_config, queue_url, room, role = snapshot.aws.concurrently(
            self._function,
            self._invoke_config,
            lambda _: self.queue.url_in(snapshot),
            lambda _: concurrency.reservable(snapshot),
            lambda _: self._role_in(snapshot),
        )
        if function is None:
            return None
        configuration = function["Configuration"]
        environment = configuration.get("Environment", {})
        variables = environment.get("Variables", {})
        tags = function.get("Tags", {})
        reserved = function.get("Concurrency", {}).get("ReservedConcurrentExecutions")
        return FoundFunction(
            role=configuration["Role"],
            is_granted=_is_granted(role, configuration, tags.get(ROLE_TAG)),
            changed=_changed(configuration),
            handler=configuration.get("Handler"),
            runtime=configuration.get("Runtime"),
            architecture=configuration.get("Architectures", ["x86_64"])[0],
            timeout=configuration["Timeout"],
            memory=configuration["MemorySize"],
            code=configuration["CodeSha256"],
            variables=variables,
            unreadable=environment.get("Error", {}).get("Message"),
            queue_url=queue_url,
            reserved=reserved,
            reservable=room + (reserved or 0),
            invoke_config=invoke_config,
            tags=tags,
        )

    def differences(self, found: FoundFunction) -> list[Difference]:
        """Ignore the reserved concurrency if the account cannot reserve it (FACTS 7), which is safe.

        The URL of the queue is known only if the queue exists, because SQS chooses it.
        """
        has_no_room = self.concurrency > found.reservable and not concurrency.is_too_low(found.reserved)
        has_url = found.queue_url is not None and found.variables.get("QUEUE_URL") == found.queue_url
        differences = [
            replace(each, declared=found.queue_url) if each.what == QUEUE_URL and found.queue_url else each
            for each in super().differences(found)
            if not (has_no_room and each.what == "reserved concurrency")
            and not (has_url and each.what == QUEUE_URL)
        ]
        if found.unreadable is None:
            return differences
        readable = [each for each in differences if not each.what.startswith(VARIABLE)]
        return [Difference(VARIABLES, "readable", found.unreadable), *readable]

    def create(self, aws: Aws) -> None:
        _, role = aws.concurrently(self._make, self._new_role)
        # Resources that need the active function wait for it. Until then others can be created.
        aws.concurrently(
            lambda aws: self._reserve(aws, None), lambda aws: self._tag(aws, {ROLE_TAG: role["RoleId"]})
        )

    def _make(self, aws: Aws) -> None:
        configuration = self._configuration(self._queue_url(aws), {})
        aws.wait.retry(
            f"role {self.role.name} to become usable by Lambda",
            lambda: aws.lambda_.create_function(
                FunctionName=self.name,
                Code={"ZipFile": self.code},
                Architectures=[self.architecture],  # type: ignore[list-item]  # AWS judges
                Tags=dict(self.tags),
                **configuration,
            ),
            on=(*ROLE_SPREADING, *NOT_YET),
            patience_s=IAM_PATIENCE_S,
        )

    def _role_in(self, snapshot: Snapshot) -> Any:
        """Return the role; None if there is none. UNREAD if it cannot be read, which the role reports."""
        try:
            return self.role.described_in(snapshot)
        except ClientError:
            return UNREAD

    def _new_role(self, aws: Aws) -> Any:
        """Return the role as IAM describes it; it may have been created a moment ago."""
        return aws.wait.retry(
            f"role {self.role.name} to show in IAM",
            lambda: self.role.described(aws),
            on=NEW,
            patience_s=IAM_PATIENCE_S,
        )

    def check_readable(self, found: FoundFunction) -> None:
        """Raise S3aggError if an update would replace variables that nobody has read (FACTS 32)."""
        if found.unreadable:
            raise S3aggError(
                f"Lambda does not show the environment variables of function {self.name}: {found.unreadable}",
                "Ask for permission to use the function's KMS key, then run the same command again",
            )

    def update(self, aws: Aws, found: FoundFunction) -> None:
        self.check_readable(found)
        if missing := self.missing_tags(found):
            self._tag(aws, missing)
        # The configuration first: Lambda accepts no code for a retired runtime (FACTS 20).
        variables = [label for label in self.properties if label.startswith(VARIABLE)]
        basics = ("execution role", GRANT, "handler", "runtime", "timeout", "memory")
        if self.differs(found, *basics, *variables):
            if not found.is_granted and found.role == self.role.arn:
                # Lambda makes a grant only when the function changes to another role (FACTS 25).
                self._configure(aws, {"Role": self.other_role})
            self._configure(aws, self._configuration(self._queue_url(aws), found.variables))
        if self.differs(found, "execution role", GRANT):
            self._tag(aws, {ROLE_TAG: self._new_role(aws)["RoleId"]})  # last: an interrupted run starts over
        if self.differs(found, CODE, "architecture"):
            aws.wait.retry(
                f"function {self.name} to accept its new code",
                lambda: aws.lambda_.update_function_code(
                    FunctionName=self.name,
                    ZipFile=self.code,
                    Architectures=[self.architecture],  # type: ignore[list-item]  # AWS judges
                ),
                on=UPDATING,
            )
            self.wait_until_ready(aws, updated=True)
        if self.differs(found, "reserved concurrency"):
            self._reserve(aws, found.reserved)

    def attach(self, aws: Aws, found: FoundFunction | None) -> None:
        """Set the on-failure destination, which Lambda accepts only when the role has its policies."""
        if found is None or self.differs(found, "on-failure destination"):
            self._set_failure_destination(aws, found.invoke_config if found else {})

    def delete(self, aws: Aws, found: FoundFunction) -> None:  # noqa: ARG002  # the name is enough
        aws.wait.retry(
            f"an update of function {self.name} to finish",
            lambda: unless_absent(aws.lambda_.delete_function, FunctionName=self.name),
            on=UPDATING,
        )

    def _configure(self, aws: Aws, configuration: Mapping[str, Any]) -> None:
        aws.wait.retry(
            f"function {self.name} to accept its new configuration",
            lambda: aws.lambda_.update_function_configuration(FunctionName=self.name, **configuration),
            on=(*ROLE_SPREADING, *VISIBILITY_SPREADING, *UPDATING),
            patience_s=IAM_PATIENCE_S,
        )
        self.wait_until_ready(aws, updated=True)

    def _tag(self, aws: Aws, tags: Mapping[str, str]) -> None:
        aws.wait.retry(
            f"Lambda to know function {self.name}",
            lambda: aws.lambda_.tag_resource(Resource=self.arn, Tags=dict(tags)),
            on=NEW_FUNCTION,
            patience_s=ACTIVATION_S,
        )

    def _function(self, aws: Aws) -> Mapping[str, Any] | None:
        function: Any = unless_absent(aws.lambda_.get_function, FunctionName=self.name)
        if function and function["Configuration"].get("State") == "Deleting":
            return None  # FACTS 39
        if function and (refused := function.get("TagsError")):
            # Without its tags the function would count as foreign.
            raise S3aggError(
                f"While reading the tags of function {self.name}: {refused.get('Message')}",
                "Ask for permission to call lambda:ListTags, and run the same command again",
            )
        return function  # type: ignore[no-any-return]

    def _invoke_config(self, aws: Aws) -> dict[str, Any]:
        config: Any = unless_absent(aws.lambda_.get_function_event_invoke_config, FunctionName=self.name)
        return {name: config[name] for name in INVOKE_CONFIG if config and name in config}

    def _queue_url(self, aws: Aws) -> str:
        aws.wait.poll(f"queue {self.queue.name} to become available", lambda: self.queue.url(aws) is not None)
        return str(self.queue.url(aws))

    def _configuration(self, queue_url: str | Queue, variables: Mapping[str, str]) -> dict[str, Any]:
        ours = {**self.environment, "TABLE_NAME": self.table.name, "QUEUE_URL": queue_url}
        others = {name: value for name, value in variables.items() if name not in ours}
        return {
            "Role": self.role.arn,
            "Handler": self.handler,
            "Runtime": self.runtime,
            "Timeout": self.timeout,
            "MemorySize": self.memory,
            "Environment": {
                "Variables": {**others, **{name: value for name, value in ours.items() if value is not None}}
            },
        }

    def _reserve(self, aws: Aws, reserved: int | None) -> None:
        try:
            aws.wait.retry(
                f"function {self.name} to accept its reserved concurrency",
                lambda: aws.lambda_.put_function_concurrency(
                    FunctionName=self.name, ReservedConcurrentExecutions=self.concurrency
                ),
                on=(*UPDATING, *NEW_FUNCTION),
                patience_s=ACTIVATION_S,
            )
        except aws.lambda_.exceptions.InvalidParameterValueException as error:
            if not concurrency.NO_ROOM.matches(error):
                raise
            if concurrency.is_too_low(reserved):
                aws.lambda_.delete_function_concurrency(FunctionName=self.name)
            aws.warn(concurrency.cannot_reserve(self.name, self.concurrency))

    def _set_failure_destination(self, aws: Aws, config: Mapping[str, Any]) -> None:
        """Set the on-failure destination, if there is one, and keep the other settings of `config`."""
        queue = self.failures_to
        if queue is None:
            return
        destinations = {**config.get("DestinationConfig", {}), "OnFailure": {"Destination": queue.arn}}

        aws.wait.retry(
            f"function {self.name} to accept its on-failure destination",
            lambda: aws.lambda_.put_function_event_invoke_config(
                FunctionName=self.name, **{**config, "DestinationConfig": destinations}
            ),
            on=(*ROLE_SPREADING, *UPDATING, *NEW_FUNCTION, *NEW_QUEUE),
            patience_s=IAM_PATIENCE_S,
        )

    def wait_until_ready(self, aws: Aws, *, updated: bool = False) -> None:
        """Wait until the function can be invoked; raise S3aggError if Lambda reports a failure.

        A failed last update is a failure only if this run has `updated` the function. Otherwise it is a
        warning: the function goes on running its previous code (FACTS 39).
        """

        def is_ready() -> bool:
            configuration = aws.lambda_.get_function_configuration(FunctionName=self.name)
            state, update = configuration.get("State"), configuration.get("LastUpdateStatus")
            if state in {"Failed", "Deleting"} or (updated and update == "Failed"):
                why = configuration.get("LastUpdateStatusReason") or configuration.get("StateReason")
                raise S3aggError(f"Function {self.name} failed to become active: {why or state}")
            if update == "Failed":
                aws.warn(
                    f"The last update of function {self.name} failed:"
                    f" {configuration.get('LastUpdateStatusReason') or 'no reason given'}."
                    " The function goes on running its previous code."
                )
            return state != "Pending" and update != "InProgress"

        aws.wait.poll(
            f"function {self.name} to become active", is_ready, on=NEW_FUNCTION, patience_s=ACTIVATION_S
        )


def _is_granted(
    role: Mapping[str, Any] | None, configuration: Mapping[str, Any], granted_id: str | None
) -> bool:
    """Whether Lambda granted this role, and not an earlier one of its name, the use of the variables.

    Without a tag (an older version wrote none), a role that is older than the function's last change counts.
    """
    if role is None or role is UNREAD:
        return role is UNREAD
    if granted_id is not None:
        return bool(role["RoleId"] == granted_id)
    changed = _changed(configuration)
    return bool(role["CreateDate"].replace(microsecond=0) <= changed)  # Lambda's may be in whole seconds


def _changed(configuration: Mapping[str, Any]) -> datetime:
    """Return the time of the last change, to the ms: Python 3.10 reads no more digits, and no other zone."""
    in_ms = re.sub(r"(\.\d{3})\d+", r"\1", configuration["LastModified"])
    return datetime.fromisoformat(re.sub(r"\+0000$|Z$", "+00:00", in_ms))
