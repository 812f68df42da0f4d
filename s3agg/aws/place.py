"""The partition, region and account of a stack, and ARNs in them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Place:
    """Partition, region and account: ARNs are derived from them."""

    partition: str
    region: str
    account: str

    def arn(self, service: str, resource: str) -> str:
        """Return the ARN of a resource in this region and account."""
        return f"arn:{self.partition}:{service}:{self.region}:{self.account}:{resource}"

    def iam(self, resource: str, *, account: str | None = None) -> str:
        """Return the ARN of a `role/NAME` or `policy/NAME`; IAM has no regions."""
        return f"arn:{self.partition}:iam::{account or self.account}:{resource}"

    def bucket(self, name: str) -> str:
        return f"arn:{self.partition}:s3:::{name}"
