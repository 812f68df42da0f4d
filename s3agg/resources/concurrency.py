"""The reserved concurrency of functions: what the account allows, and what is worse than none."""

from __future__ import annotations

from s3agg.aws.refusals import Refusal
from s3agg.aws.snapshot import Snapshot

NO_ROOM = Refusal("InvalidParameterValueException", "UnreservedConcurrentExecution")  # FACTS 7
LEAST_RESERVED = 2
UNRESERVED_MINIMUM = 100  # AWS keeps at least this much concurrency unreserved


def is_too_low(reserved: int | None) -> bool:
    """Whether this reserved concurrency throttles so much that none is better (FACTS 9)."""
    return reserved is not None and reserved < LEAST_RESERVED


def reservable(snapshot: Snapshot) -> int:
    """Return the concurrency of the account that can still be reserved; negative if its quota is low."""
    settings = snapshot.once("account settings", snapshot.aws.lambda_.get_account_settings)
    limit = settings.get("AccountLimit", {})
    return limit.get("UnreservedConcurrentExecutions", UNRESERVED_MINIMUM) - UNRESERVED_MINIMUM


def cannot_reserve(function: str, concurrency: int) -> str:
    """The warning that the account's quota is too low (FACTS 7), which does not stop `create`."""
    return (
        f"The account's concurrency quota is too low to reserve a concurrency of {concurrency} for function"
        f" {function}. The function runs without reserved concurrency, which is safe."
    )
