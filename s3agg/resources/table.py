"""The table: one item per bucket, which holds the bucket's window."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from s3agg.aws.refusals import Refusal, is_error
from s3agg.aws.session import Aws
from s3agg.errors import S3aggError
from s3agg.resources.resource import Found, Resource, pairs, unpaired

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.type_defs import TableDescriptionTypeDef

BUSY = (Refusal("ResourceInUseException"),)  # being created, changed or deleted (FACTS 10)
GOING = Refusal("ResourceInUseException", "being deleted")


@dataclass(frozen=True, eq=False)
class Table(Resource):
    """A table with the key `BucketName`; capacity in units per second, or on demand."""

    kind: ClassVar[str] = "table"
    taken: ClassVar[tuple[Refusal, ...]] = BUSY

    read_capacity: int
    write_capacity: int
    on_demand: bool

    @property
    def arn(self) -> str:
        return self.place.arn("dynamodb", f"table/{self.name}")

    @property
    def properties(self) -> Mapping[str, str]:
        return {
            "key": "BucketName (S, HASH)",
            "capacity": _capacity(self.read_capacity, self.write_capacity, on_demand=self.on_demand),
        }

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
            "Tags": pairs(self.tags),
        }

    def find(self, aws: Aws) -> Found | None:
        table = self._describe(aws)
        if table is None or table.get("TableStatus") == "DELETING":
            return None
        types = {each["AttributeName"]: each["AttributeType"] for each in table["AttributeDefinitions"]}
        key = ", ".join(
            f"{each['AttributeName']} ({types[each['AttributeName']]}, {each['KeyType']})"
            for each in table["KeySchema"]
        )
        throughput = table.get("ProvisionedThroughput", {})
        units = throughput.get("ReadCapacityUnits", 0), throughput.get("WriteCapacityUnits", 0)
        on_demand = table.get("BillingModeSummary", {}).get("BillingMode") == "PAY_PER_REQUEST"
        capacity = _capacity(*units, on_demand=on_demand)
        # Not side by side: asked for those of a table that is not there, AWS says that access is denied.
        pages = aws.dynamodb.get_paginator("list_tags_of_resource").paginate(ResourceArn=self.arn)
        tags = unpaired(tag for page in pages for tag in page["Tags"])
        return Found({"key": key, "capacity": capacity}, tags, {"units": units, "on_demand": on_demand})

    def is_adoptable(self, found: Found) -> bool:
        """No table can change its key, so one with another is of no use to us."""
        return super().is_adoptable(found) and not self.differs(found, "key")

    def owner(self, found: Found) -> str:
        key = f", with the key {found.properties['key']}" if self.differs(found, "key") else ""
        return super().owner(found) + key

    def create(self, aws: Aws) -> None:
        def create() -> object | None:
            if not self._is_gone(aws):
                return None
            return aws.dynamodb.create_table(**self._definition)

        # DescribeTable may say that it is gone before CreateTable does.
        aws.wait_for(f"the old table {self.name} to go", create, refusals=(GOING,), patience_s=300)
        self._wait_until_active(aws)

    def update(self, aws: Aws, found: Found) -> None:
        if self.differs(found, "key"):
            raise S3aggError(
                f"Table {self.name} has the key {found.properties['key']}, which no table can change",
                "Remove the stack and create it again",
            )
        if missing := self.missing_tags(found):
            aws.dynamodb.tag_resource(ResourceArn=self.arn, Tags=pairs(missing))
        if self.differs(found, "capacity"):
            aws.wait_for(
                f"table {self.name} to be free for a change",
                lambda: aws.dynamodb.update_table(TableName=self.name, **self._billing()),
                refusals=BUSY,
                patience_s=300,
            )
        self._wait_until_active(aws)

    def delete(self, aws: Aws, found: Found) -> None:  # noqa: ARG002  # its name is enough
        def delete() -> bool:
            try:
                aws.dynamodb.delete_table(TableName=self.name)
            except aws.dynamodb.exceptions.ResourceNotFoundException:
                return True
            return True

        aws.wait_for(f"table {self.name} to be free to go", delete, refusals=BUSY, patience_s=300)
        aws.wait_for(f"table {self.name} to go", lambda: self._is_gone(aws), patience_s=300)

    def _billing(self) -> dict[str, Any]:
        if self.on_demand:
            return {"BillingMode": "PAY_PER_REQUEST"}
        units = {"ReadCapacityUnits": self.read_capacity, "WriteCapacityUnits": self.write_capacity}
        return {"BillingMode": "PROVISIONED", "ProvisionedThroughput": units}

    def _describe(self, aws: Aws) -> TableDescriptionTypeDef | None:
        try:
            return aws.dynamodb.describe_table(TableName=self.name)["Table"]
        except aws.dynamodb.exceptions.ClientError as error:
            if is_error(error, "ResourceNotFoundException"):
                return None
            raise

    def _is_gone(self, aws: Aws) -> bool | None:
        table = self._describe(aws)
        return True if table is None or table.get("TableStatus") != "DELETING" else None

    def _wait_until_active(self, aws: Aws) -> None:
        def active() -> bool | None:
            table = self._describe(aws)
            return True if table and table.get("TableStatus") == "ACTIVE" else None

        aws.wait_for(f"table {self.name} to become active", active, patience_s=300)


def _capacity(read: int, write: int, *, on_demand: bool) -> str:
    return "on demand" if on_demand else f"{read} read, {write} write units"
