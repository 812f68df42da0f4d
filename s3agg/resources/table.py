"""The table: one item per bucket, with the bucket's window."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from s3agg.aws.refusals import Refusal, unless_absent
from s3agg.aws.session import Aws
from s3agg.aws.snapshot import Snapshot
from s3agg.errors import S3aggError
from s3agg.resources.resource import ABSENT, Found, Owner, Resource, tag_dict, tag_list

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.type_defs import TableDescriptionTypeDef

BUSY = (Refusal("ResourceInUseException"),)  # being created, changed or deleted (FACTS 10)
DELETING = Refusal("ResourceInUseException", "being deleted")
PATIENCE_S = 300
TAGS_S = 60  # the longest wait for new tags to show (FACTS 23)
NO_TAGS_S = 10  # for how long an empty set of tags is not believed (FACTS 23)
KEY = "BucketName (S, HASH)"
CAPACITY = ("capacity mode", "read capacity units", "write capacity units")


@dataclass(frozen=True, kw_only=True)
class FoundTable(Found):
    """A table; capacity in units a second, 0 if on demand."""

    key: str
    read_capacity: int
    write_capacity: int
    on_demand: bool

    @property
    def properties(self) -> Mapping[str, str]:
        return _properties(self.key, self.read_capacity, self.write_capacity, on_demand=self.on_demand)


@dataclass(frozen=True, eq=False)
class Table(Resource[FoundTable]):
    """A table with the partition key `BucketName`; capacity in units a second, ignored if on demand."""

    kind: ClassVar[str] = "table"
    already_exists: ClassVar[tuple[Refusal, ...]] = BUSY

    read_capacity: int
    write_capacity: int
    on_demand: bool

    @property
    def arn(self) -> str:
        return self.place.arn("dynamodb", f"table/{self.name}")

    @property
    def properties(self) -> Mapping[str, str]:
        return _properties(KEY, self.read_capacity, self.write_capacity, on_demand=self.on_demand)

    @property
    def cloudformation(self) -> Mapping[str, Mapping[str, Any]]:
        return {"AWS::DynamoDB::Table": self._definition}

    @property
    def _definition(self) -> dict[str, Any]:
        return {
            "TableName": self.name,
            "AttributeDefinitions": [{"AttributeName": "BucketName", "AttributeType": "S"}],
            "KeySchema": [{"AttributeName": "BucketName", "KeyType": "HASH"}],
            **self._billing(),
            "Tags": tag_list(self.tags),
        }

    def find(self, snapshot: Snapshot) -> FoundTable | None:
        aws = snapshot.aws
        table = self._describe(aws)
        if table is None or table.get("TableStatus") == "DELETING":
            return None
        types = {each["AttributeName"]: each["AttributeType"] for each in table["AttributeDefinitions"]}
        throughput = table.get("ProvisionedThroughput", {})
        return FoundTable(
            key=", ".join(
                f"{each['AttributeName']} ({types[each['AttributeName']]}, {each['KeyType']})"
                for each in table["KeySchema"]
            ),
            read_capacity=throughput.get("ReadCapacityUnits", 0),
            write_capacity=throughput.get("WriteCapacityUnits", 0),
            on_demand=table.get("BillingModeSummary", {}).get("BillingMode") == "PAY_PER_REQUEST",
            # After DescribeTable: for a table that does not exist, this call is answered with AccessDenied.
            tags=self._tags_that_show(aws),
        )

    def owner(self, found: FoundTable) -> Owner:
        """A table with another key schema cannot be adopted: DynamoDB cannot change a key schema."""
        owner = super().owner(found)
        if owner.ours or not self.differs(found, "key schema"):
            return owner
        return Owner(ours=False, reason=f"{owner.reason}, key schema {found.key}")

    def create(self, aws: Aws) -> None:
        def is_created() -> bool:
            try:
                aws.dynamodb.create_table(**self._definition)
            except aws.dynamodb.exceptions.ResourceInUseException as error:
                # While a table is being deleted, DynamoDB may also answer that it exists.
                if self._is_gone(aws) and not DELETING.matches(error):
                    raise
                return False
            return True

        aws.wait.poll(f"the old table {self.name} to be deleted", is_created, patience_s=PATIENCE_S)
        self._wait_until_active(aws)

    def update(self, aws: Aws, found: FoundTable) -> None:
        if self.differs(found, "key schema"):
            raise S3aggError(
                f"Table {self.name} has the key schema {found.key}, which DynamoDB cannot change",
                "Delete the stack and create it again",
            )
        if missing := self.missing_tags(found):
            self._tag(aws, missing)
        if self.differs(found, *CAPACITY):
            aws.wait.retry(
                f"another change of table {self.name} to finish",
                lambda: aws.dynamodb.update_table(TableName=self.name, **self._billing()),
                on=BUSY,
                patience_s=PATIENCE_S,
            )
        self._wait_until_active(aws)

    def delete(self, aws: Aws, found: FoundTable) -> None:  # noqa: ARG002  # the name is enough
        aws.wait.retry(
            f"another change of table {self.name} to finish",
            lambda: unless_absent(aws.dynamodb.delete_table, TableName=self.name),
            on=BUSY,
            patience_s=PATIENCE_S,
        )
        aws.wait.poll(f"table {self.name} to be deleted", lambda: self._is_gone(aws), patience_s=PATIENCE_S)

    def _tag(self, aws: Aws, tags: Mapping[str, str]) -> None:
        """Tag the table, and wait until the tags show: the next command reads its options from them."""
        aws.wait.retry(
            f"earlier tags of table {self.name} to spread",
            lambda: aws.dynamodb.tag_resource(ResourceArn=self.arn, Tags=tag_list(tags)),
            on=BUSY,
            patience_s=TAGS_S,
        )
        aws.wait.poll(
            f"the new tags of table {self.name} to show",
            lambda: tags.items() <= self._tags(aws).items(),
            times=aws.sightings,
            patience_s=TAGS_S,
        )

    def _tags_that_show(self, aws: Aws) -> dict[str, str]:
        """Return the tags; believe an empty set only after some time, as new tags show late (FACTS 23)."""
        tags: dict[str, str] = {}
        started = aws.clock.monotonic()

        def is_final() -> bool:
            tags.update(self._tags(aws))
            return bool(tags) or aws.sightings == 1 or aws.clock.monotonic() > started + NO_TAGS_S

        aws.wait.poll(f"the tags of table {self.name} to show", is_final)
        return tags

    def _tags(self, aws: Aws) -> dict[str, str]:
        pages = aws.dynamodb.get_paginator("list_tags_of_resource").paginate(ResourceArn=self.arn)
        found = unless_absent(lambda: tag_dict(tag for page in pages for tag in page["Tags"]))
        return found or {}  # DynamoDB may not find the tags of a table that it has just created

    def _billing(self) -> dict[str, Any]:
        if self.on_demand:
            return {"BillingMode": "PAY_PER_REQUEST"}
        units = {"ReadCapacityUnits": self.read_capacity, "WriteCapacityUnits": self.write_capacity}
        return {"BillingMode": "PROVISIONED", "ProvisionedThroughput": units}

    def _describe(self, aws: Aws) -> TableDescriptionTypeDef | None:
        described = unless_absent(aws.dynamodb.describe_table, TableName=self.name)
        return described["Table"] if described else None

    def _is_gone(self, aws: Aws) -> bool:
        table = self._describe(aws)
        return table is None or table.get("TableStatus") != "DELETING"

    def _wait_until_active(self, aws: Aws) -> None:
        def active() -> bool:
            table = self._describe(aws)
            return table is not None and table.get("TableStatus") == "ACTIVE"

        aws.wait.poll(f"table {self.name} to become active", active, patience_s=PATIENCE_S)


def _properties(key: str, read: int, write: int, *, on_demand: bool) -> dict[str, str]:
    capacity = ("on-demand", ABSENT, ABSENT) if on_demand else ("provisioned", str(read), str(write))
    return {"key schema": key, **dict(zip(CAPACITY, capacity, strict=True))}
