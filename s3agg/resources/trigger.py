"""The trigger: the event source mapping that passes the queue's messages to the refresh function."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from s3agg.aws.refusals import Refusal, unless_absent
from s3agg.aws.session import Aws
from s3agg.aws.snapshot import Snapshot
from s3agg.resources.function import (
    ALREADY_EXISTS,
    NEW_FUNCTION,
    NEW_QUEUE,
    ROLE_SPREADING,
    VISIBILITY_SPREADING,
    Function,
)
from s3agg.resources.policy import IAM_PATIENCE_S
from s3agg.resources.queue import Queue
from s3agg.resources.resource import ABSENT, OURS, Found, Owner, Resource, tag_list
from s3agg.settings import STACK_TAG

CHANGING = (Refusal("ResourceInUseException"),)  # FACTS 12
PATIENCE_S = 300


@dataclass(frozen=True, kw_only=True)
class FoundTrigger(Found):
    """An event source mapping; AWS chooses its UUID and so its ARN."""

    uuid: str
    arn: str
    enabled: bool
    batch_size: int
    partial_responses: bool
    maximum_concurrency: int | None

    @property
    def properties(self) -> Mapping[str, str]:
        return {
            "state": "enabled" if self.enabled else "disabled",
            "batch size": str(self.batch_size),
            "report batch item failures": "yes" if self.partial_responses else "no",
            "maximum concurrency": str(self.maximum_concurrency or ABSENT),
        }


@dataclass(frozen=True, eq=False)
class EventSourceMapping(Resource[FoundTrigger]):
    """An event source mapping: each message of the queue invokes the function."""

    kind: ClassVar[str] = "trigger"
    already_exists: ClassVar[tuple[Refusal, ...]] = ALREADY_EXISTS

    queue: Queue
    function: Function
    maximum_concurrency: int

    @property
    def arn(self) -> str:
        """Empty: AWS chooses the ARN. See arn_of."""
        return ""

    @property
    def cloudformation(self) -> Mapping[str, Mapping[str, Any]]:
        properties = {
            "FunctionName": self.function,
            "EventSourceArn": self.queue.arn,
            **self._configuration,
            "Tags": tag_list(self.tags),
        }
        return {"AWS::Lambda::EventSourceMapping": properties}

    @property
    def properties(self) -> Mapping[str, str]:
        return {
            "state": "enabled",
            "batch size": "1",
            "report batch item failures": "yes",
            "maximum concurrency": str(self.maximum_concurrency),
        }

    def find(self, snapshot: Snapshot) -> FoundTrigger | None:
        aws = snapshot.aws
        mapping = self._mapping(aws)
        if mapping is None or mapping["State"] == "Deleting":
            return None
        arn = mapping.get("EventSourceMappingArn") or self.place.arn(
            "lambda", f"event-source-mapping:{mapping['UUID']}"
        )
        return FoundTrigger(
            uuid=mapping["UUID"],
            arn=arn,
            enabled=mapping["State"] not in {"Disabled", "Disabling"},
            batch_size=mapping["BatchSize"],
            partial_responses="ReportBatchItemFailures" in mapping.get("FunctionResponseTypes", []),
            maximum_concurrency=mapping.get("ScalingConfig", {}).get("MaximumConcurrency"),
            tags=aws.lambda_.list_tags(Resource=arn).get("Tags", {}),
        )

    def arn_of(self, found: FoundTrigger) -> str:
        return found.arn

    def owner(self, found: FoundTrigger) -> Owner:  # noqa: ARG002  # it invokes the stack's function
        return OURS

    def create(self, aws: Aws) -> None:
        aws.concurrently(self.function.wait_until_ready, self._wait_until_old_is_deleted)
        aws.wait.retry(
            f"role {self.function.role.name} to get permission to read queue {self.queue.name}",
            lambda: aws.lambda_.create_event_source_mapping(
                FunctionName=self.function.name,
                EventSourceArn=self.queue.arn,
                Tags=dict(self.tags),
                **self._configuration,
            ),
            on=(*ROLE_SPREADING, *VISIBILITY_SPREADING, *NEW_FUNCTION, *NEW_QUEUE),
            patience_s=IAM_PATIENCE_S,
        )
        self._wait_until_enabled(aws)

    def update(self, aws: Aws, found: FoundTrigger) -> None:
        if missing := self.missing_tags(found):
            # With the stack's tag, on which the operator's policy insists.
            aws.lambda_.tag_resource(Resource=found.arn, Tags={STACK_TAG: self.tags[STACK_TAG], **missing})
        if self.differs(found, *self.properties):
            aws.wait.retry(
                f"{self._label} to accept its new configuration",
                lambda: aws.lambda_.update_event_source_mapping(
                    UUID=found.uuid, FunctionName=self.function.name, **self._configuration
                ),
                on=(*CHANGING, *ROLE_SPREADING),
                patience_s=PATIENCE_S,
            )
            self._wait_until_enabled(aws)

    def delete(self, aws: Aws, found: FoundTrigger) -> None:
        aws.wait.retry(
            f"another change of {self._label} to finish",
            lambda: unless_absent(aws.lambda_.delete_event_source_mapping, UUID=found.uuid),
            on=CHANGING,
            patience_s=PATIENCE_S,
        )

        def is_deleted() -> bool:
            # By UUID: a create that runs beside this delete may have made a new one.
            return found.uuid not in {each["UUID"] for each in self._mappings(aws)}

        aws.wait.poll(f"{self._label} to be deleted", is_deleted, patience_s=PATIENCE_S)

    @property
    def _label(self) -> str:
        return f"the event source mapping of queue {self.queue.name}"

    @property
    def _configuration(self) -> dict[str, Any]:
        return {
            "BatchSize": 1,
            "Enabled": True,
            "FunctionResponseTypes": ["ReportBatchItemFailures"],
            "ScalingConfig": {"MaximumConcurrency": self.maximum_concurrency},
        }

    def _mapping(self, aws: Aws) -> Mapping[str, Any] | None:
        return next(self._mappings(aws), None)

    def _mappings(self, aws: Aws) -> Iterator[Mapping[str, Any]]:
        pages = aws.lambda_.get_paginator("list_event_source_mappings").paginate(
            EventSourceArn=self.queue.arn
        )
        for page in pages:
            for mapping in page["EventSourceMappings"]:
                if mapping["FunctionArn"].split(":")[6] == self.function.name:
                    yield mapping

    def _wait_until_old_is_deleted(self, aws: Aws) -> None:
        def is_deleted() -> bool:
            mapping = self._mapping(aws)
            return mapping is None or mapping["State"] != "Deleting"

        aws.wait.poll(
            f"the old event source mapping of queue {self.queue.name} to be deleted",
            is_deleted,
            patience_s=PATIENCE_S,
        )

    def _wait_until_enabled(self, aws: Aws) -> None:
        def is_enabled() -> bool:
            mapping = self._mapping(aws)
            return mapping is not None and mapping["State"] == "Enabled"

        aws.wait.poll(f"{self._label} to be enabled", is_enabled, patience_s=PATIENCE_S)
