"""The trigger: the event source mapping that feeds the queue to the refresh function."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from s3agg.aws.refusals import Refusal
from s3agg.aws.session import Aws
from s3agg.resources.function import ROLE_SPREADING, TAKEN, VISIBILITY_SPREADING, Function
from s3agg.resources.queue import Queue
from s3agg.resources.resource import ABSENT, Found, Resource, pairs

CHANGING = (Refusal("ResourceInUseException"),)  # FACTS 12


@dataclass(frozen=True, eq=False)
class EventSourceMapping(Resource):
    """The trigger: the queue's messages go to the function, one at a time."""

    kind: ClassVar[str] = "trigger"
    taken: ClassVar[tuple[Refusal, ...]] = TAKEN

    queue: Queue
    function: Function
    at_once: int

    @property
    def arn(self) -> str:
        """AWS chooses it, so it is known once the trigger is found."""
        return ""

    @property
    def cloudformation(self) -> Mapping[str, Mapping[str, Any]]:
        properties = {
            "FunctionName": self.function,
            "EventSourceArn": self.queue.arn,
            **self._configuration,
            "Tags": pairs(self.tags),
        }
        return {"AWS::Lambda::EventSourceMapping": properties}

    @property
    def properties(self) -> Mapping[str, str]:
        return {
            "state": "enabled",
            "batch size": "1",
            "partial batch responses": "yes",
            "at once": str(self.at_once),
        }

    def find(self, aws: Aws) -> Found | None:
        mapping = self._mapping(aws)
        if mapping is None or mapping["State"] == "Deleting":
            return None
        arn = mapping.get("EventSourceMappingArn") or self.place.arn(
            "lambda", f"event-source-mapping:{mapping['UUID']}"
        )
        reports = "ReportBatchItemFailures" in mapping.get("FunctionResponseTypes", [])
        return Found(
            {
                "state": "disabled" if mapping["State"] in {"Disabled", "Disabling"} else "enabled",
                "batch size": str(mapping["BatchSize"]),
                "partial batch responses": "yes" if reports else "no",
                "at once": str(mapping.get("ScalingConfig", {}).get("MaximumConcurrency", ABSENT)),
            },
            aws.lambda_.list_tags(Resource=arn).get("Tags", {}),
            {"uuid": mapping["UUID"], "arn": arn},
        )

    def is_foreign(self, found: Found) -> bool:  # noqa: ARG002  # it feeds our function, whoever made it
        return False

    def create(self, aws: Aws) -> None:
        aws.at_once(
            self.function.wait_until_ready,
            lambda aws: aws.wait_for(
                "the old trigger to go", lambda: not self._is_going(aws) or None, patience_s=300
            ),
        )
        aws.wait_for(
            f"role {self.function.role.name} to be allowed to read {self.queue.name}",
            lambda: aws.lambda_.create_event_source_mapping(
                FunctionName=self.function.name,
                EventSourceArn=self.queue.arn,
                Tags=dict(self.tags),
                **self._configuration,
            ),
            refusals=(*ROLE_SPREADING, *VISIBILITY_SPREADING),
        )
        self._wait_until_enabled(aws)

    def update(self, aws: Aws, found: Found) -> None:
        if missing := self.missing_tags(found):
            aws.lambda_.tag_resource(Resource=found.more["arn"], Tags=missing)
        if self.differs(found, *self.properties):
            aws.wait_for(
                "the trigger to take its new configuration",
                lambda: aws.lambda_.update_event_source_mapping(
                    UUID=found.more["uuid"], FunctionName=self.function.name, **self._configuration
                ),
                refusals=CHANGING,
                patience_s=300,
            )
            self._wait_until_enabled(aws)

    def delete(self, aws: Aws, found: Found) -> None:
        def delete() -> bool:
            try:
                aws.lambda_.delete_event_source_mapping(UUID=found.more["uuid"])
            except aws.lambda_.exceptions.ResourceNotFoundException:
                return True
            return True

        aws.wait_for("the trigger to be free to go", delete, refusals=CHANGING, patience_s=300)
        aws.wait_for("the trigger to go", lambda: self._mapping(aws) is None or None, patience_s=300)

    @property
    def _configuration(self) -> dict[str, Any]:
        return {
            "BatchSize": 1,
            "Enabled": True,
            "FunctionResponseTypes": ["ReportBatchItemFailures"],
            "ScalingConfig": {"MaximumConcurrency": self.at_once},
        }

    def _is_going(self, aws: Aws) -> bool:
        mapping = self._mapping(aws)
        return mapping is not None and mapping["State"] == "Deleting"

    def _mapping(self, aws: Aws) -> Mapping[str, Any] | None:
        pages = aws.lambda_.get_paginator("list_event_source_mappings").paginate(
            EventSourceArn=self.queue.arn
        )
        for page in pages:
            for mapping in page["EventSourceMappings"]:
                if mapping["FunctionArn"].split(":")[6] == self.function.name:
                    return mapping
        return None

    def _wait_until_enabled(self, aws: Aws) -> None:
        def enabled() -> bool | None:
            mapping = self._mapping(aws)
            return True if mapping and mapping["State"] == "Enabled" else None

        aws.wait_for("the trigger to be enabled", enabled, patience_s=300)
