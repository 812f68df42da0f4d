"""The Lambda functions."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

from s3agg import assets
from s3agg.aws.refusals import Refusal
from s3agg.aws.session import Aws
from s3agg.errors import S3aggError
from s3agg.resources.log_group import LogGroup
from s3agg.resources.queue import Queue
from s3agg.resources.resource import ABSENT, Found, Resource, pairs
from s3agg.resources.role import Role
from s3agg.resources.table import Table

# A new role, or a change of its policies, takes seconds to spread, seldom a minute (FACTS 1 to 3).
ROLE_SPREADING = (
    Refusal("InvalidParameterValueException", "cannot be assumed by Lambda"),
    Refusal("InvalidParameterValueException", "does not have permissions"),
    # The same for the key that the variables are encrypted with.
    Refusal("InvalidParameterValueException", "KMS key is invalid for CreateGrant"),
)
# A queue's new visibility timeout takes up to a minute to spread too (FACTS 19).
VISIBILITY_SPREADING = (Refusal("InvalidParameterValueException", "is less than Function timeout"),)
TAKEN = (Refusal("ResourceConflictException", "already exist"),)
UPDATING = (Refusal("ResourceConflictException"),)  # FACTS 11
NO_ROOM = Refusal("InvalidParameterValueException", "UnreservedConcurrentExecution")  # FACTS 7
ACTIVATION_S = 120  # a function that is new, or was changed, is active by then
LEAST_RESERVED = 2
UNRESERVED_MINIMUM = 100  # AWS leaves an account's other functions at least this many
INVOKE_CONFIG = ("MaximumRetryAttempts", "MaximumEventAgeInSeconds", "DestinationConfig")


@dataclass(frozen=True, eq=False)
class Function(Resource):
    """A Lambda function; timeout in s, memory in MB.

    `environment` holds every variable that we may set, None where it is to be absent; others that
    somebody set stay. `TABLE_NAME` and `QUEUE_URL` follow from the table and the queue.
    """

    kind: ClassVar[str] = "function"
    taken: ClassVar[tuple[Refusal, ...]] = TAKEN

    role: Role
    log_group: LogGroup
    table: Table
    queue: Queue
    failures_to: Queue | None
    modules: tuple[str, ...]  # of handlers/; the first one has the handler
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
        """The key of its zip in S3. CloudFormation updates a function only if this key changes."""
        return f"s3agg/{self.modules[0]}-{self._digest.hex()}.zip"

    @property
    def _digest(self) -> bytes:
        return hashlib.sha256(self.code).digest()

    @property
    def properties(self) -> Mapping[str, str]:
        return {
            "role": self.role.arn,
            "handler": self.handler,
            "runtime": self.runtime,
            "architecture": self.architecture,
            "timeout": f"{self.timeout} s",
            "memory": f"{self.memory} MB",
            "code": base64.b64encode(self._digest).decode(),
            **{f"variable {name}": value or ABSENT for name, value in self.environment.items()},
            "variable TABLE_NAME": self.table.name,
            "variable QUEUE_URL": self.queue.name,
            "reserved concurrency": str(self.concurrency),
            **({"failure destination": self.failures_to.arn} if self.failures_to else {}),
        }

    @property
    def cloudformation(self) -> Mapping[str, Mapping[str, Any]]:
        """Without the bucket of its code, which the template knows."""
        function = {
            "FunctionName": self.name,
            "Architectures": [self.architecture],
            **self._configuration(self.queue, {}),
            "ReservedConcurrentExecutions": self.concurrency,
            "Tags": pairs(self.tags),
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

    def find(self, aws: Aws) -> Found | None:
        function, invoke_config, queue_url, unreserved = aws.at_once(
            self._function, self._invoke_config, self.queue.url, _unreserved
        )
        if function is None:
            return None
        configuration = function["Configuration"]
        variables = configuration.get("Environment", {}).get("Variables", {})
        reserved = function.get("Concurrency", {}).get("ReservedConcurrentExecutions")
        properties = {
            "role": configuration["Role"],
            "handler": configuration.get("Handler", ABSENT),
            "runtime": configuration.get("Runtime", ABSENT),
            "architecture": configuration.get("Architectures", ["x86_64"])[0],
            "timeout": f"{configuration['Timeout']} s",
            "memory": f"{configuration['MemorySize']} MB",
            "code": configuration["CodeSha256"],
            **{f"variable {name}": value for name, value in variables.items()},
            "reserved concurrency": ABSENT if reserved is None else str(reserved),
            "failure destination": _failure_destination(invoke_config),
        }
        if queue_url and variables.get("QUEUE_URL") == queue_url:
            properties["variable QUEUE_URL"] = self.queue.name
        room = unreserved + (reserved or 0) - UNRESERVED_MINIMUM
        if self.concurrency > room and not _is_too_little(reserved):
            # A small account cannot reserve any (FACTS 7); the protocol is safe at any concurrency.
            properties["reserved concurrency"] = str(self.concurrency)
        return Found(
            properties,
            function.get("Tags", {}),
            {"variables": variables, "invoke config": invoke_config, "reserved": reserved},
        )

    def create(self, aws: Aws) -> None:
        aws.wait_for(
            f"role {self.role.name} to spread to Lambda",
            lambda: aws.lambda_.create_function(
                FunctionName=self.name,
                Code={"ZipFile": self.code},
                Architectures=[self.architecture],  # type: ignore[list-item]  # AWS judges
                Tags=dict(self.tags),
                **self._configuration(self._queue_url(aws), {}),
            ),
            refusals=ROLE_SPREADING,
        )
        # Whoever needs it active waits for that: meanwhile there is more to be made.
        aws.at_once(lambda aws: self._reserve(aws, None), lambda aws: self._set_failure_destination(aws, {}))

    def update(self, aws: Aws, found: Found) -> None:
        if missing := self.missing_tags(found):
            aws.lambda_.tag_resource(Resource=self.arn, Tags=missing)
        # The configuration first: AWS takes no code for a runtime that it has retired (FACTS 20).
        variables = [name for name in self.properties if name.startswith("variable ")]
        if self.differs(found, "role", "handler", "runtime", "timeout", "memory", *variables):
            configuration = self._configuration(self._queue_url(aws), found.more["variables"])
            aws.wait_for(
                f"function {self.name} to take its new configuration",
                lambda: aws.lambda_.update_function_configuration(FunctionName=self.name, **configuration),
                refusals=(*ROLE_SPREADING, *VISIBILITY_SPREADING, *UPDATING),
            )
            self.wait_until_ready(aws)
        if self.differs(found, "code", "architecture"):
            aws.wait_for(
                f"function {self.name} to take its new code",
                lambda: aws.lambda_.update_function_code(
                    FunctionName=self.name,
                    ZipFile=self.code,
                    Architectures=[self.architecture],  # type: ignore[list-item]  # AWS judges
                ),
                refusals=UPDATING,
            )
            self.wait_until_ready(aws)
        if self.differs(found, "reserved concurrency"):
            self._reserve(aws, found.more["reserved"])
        if "failure destination" in self.properties and self.differs(found, "failure destination"):
            self._set_failure_destination(aws, found.more["invoke config"])

    def delete(self, aws: Aws, found: Found) -> None:  # noqa: ARG002  # its name is enough
        def delete() -> bool:
            try:
                aws.lambda_.delete_function(FunctionName=self.name)
            except aws.lambda_.exceptions.ResourceNotFoundException:
                return True
            return True

        aws.wait_for(f"function {self.name} to be free to go", delete, refusals=UPDATING)

    def _function(self, aws: Aws) -> Mapping[str, Any] | None:
        try:
            function: Any = aws.lambda_.get_function(FunctionName=self.name)
        except aws.lambda_.exceptions.ResourceNotFoundException:
            return None
        if refused := function.get("TagsError"):  # without its tags it would look like somebody else's
            raise S3aggError(
                f"While looking at the tags of function {self.name}: {refused.get('Message')}",
                "Ask for permission to call lambda:ListTags, and run this again",
            )
        return function  # type: ignore[no-any-return]

    def _invoke_config(self, aws: Aws) -> dict[str, Any]:
        """How Lambda retries the function's events and where failures go; empty if nobody said."""
        try:
            config: Any = aws.lambda_.get_function_event_invoke_config(FunctionName=self.name)
        except aws.lambda_.exceptions.ResourceNotFoundException:
            return {}
        return {name: config[name] for name in INVOKE_CONFIG if name in config}

    def _queue_url(self, aws: Aws) -> str:
        return aws.wait_for(
            f"queue {self.queue.name} to be listed",
            lambda: self.queue.url(aws) or self.queue.ask_url(aws),
        )

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
            aws.wait_for(
                f"function {self.name} to take its reservation",
                lambda: aws.lambda_.put_function_concurrency(
                    FunctionName=self.name, ReservedConcurrentExecutions=self.concurrency
                ),
                refusals=UPDATING,  # it may be new
                patience_s=ACTIVATION_S,
            )
        except aws.lambda_.exceptions.InvalidParameterValueException as error:
            if not NO_ROOM.matches(error):
                raise
            if _is_too_little(reserved):
                aws.lambda_.delete_function_concurrency(FunctionName=self.name)
            aws.warn(self.unreserved)

    @property
    def unreserved(self) -> str:
        """What to warn of where the account's quota is too small, which is no reason to stop (FACTS 7)."""
        return (
            f"This account's quota leaves no room to reserve {self.concurrency} concurrent executions"
            f" for {self.name}; it goes on without, which is safe"
        )

    def _set_failure_destination(self, aws: Aws, config: Mapping[str, Any]) -> None:
        """Send failures to the queue, if there is one; what somebody else has set in this config stays."""
        queue = self.failures_to
        if queue is None:
            return
        destinations = {**config.get("DestinationConfig", {}), "OnFailure": {"Destination": queue.arn}}

        def put() -> object:
            return aws.wait_for(
                f"role {self.role.name} to be allowed to send failures to {queue.name}",
                lambda: aws.lambda_.put_function_event_invoke_config(
                    FunctionName=self.name, **{**config, "DestinationConfig": destinations}
                ),
                refusals=ROLE_SPREADING,
            )

        aws.wait_for(
            f"function {self.name} to take its failure destination",
            put,
            refusals=UPDATING,  # it may be new
            patience_s=ACTIVATION_S,
        )

    def wait_until_ready(self, aws: Aws) -> None:
        """Wait until it can be called; raise S3aggError if Lambda says that it never will."""

        def ready() -> bool | None:
            configuration = aws.lambda_.get_function_configuration(FunctionName=self.name)
            pending = configuration.get("State") == "Pending"
            updating = configuration.get("LastUpdateStatus") == "InProgress"
            if "Failed" in {configuration.get("State"), configuration.get("LastUpdateStatus")}:
                why = configuration.get("LastUpdateStatusReason") or configuration.get("StateReason")
                raise S3aggError(f"Lambda could not bring function {self.name} to life: {why}")
            return None if pending or updating else True

        aws.wait_for(f"function {self.name} to become active", ready, patience_s=ACTIVATION_S)


def _is_too_little(reserved: int | None) -> bool:
    """Whether nothing reserved were better: it holds back events, or messages until they die (FACTS 9)."""
    return reserved is not None and reserved < LEAST_RESERVED


def _failure_destination(config: Mapping[str, Any]) -> str:
    return config.get("DestinationConfig", {}).get("OnFailure", {}).get("Destination") or ABSENT


def reservable(aws: Aws) -> int:
    """How many concurrent executions of the account can still be reserved for functions."""
    return max(_unreserved(aws) - UNRESERVED_MINIMUM, 0)


def _unreserved(aws: Aws) -> int:
    """How many concurrent executions of the account are not reserved for a function."""
    limit = aws.once("account settings", aws.lambda_.get_account_settings).get("AccountLimit", {})
    return int(limit.get("UnreservedConcurrentExecutions", UNRESERVED_MINIMUM))
