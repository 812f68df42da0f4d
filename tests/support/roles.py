"""Roles that name a stack, as `create` makes them; without the rest of the stack."""

from __future__ import annotations

from s3agg.settings import REGION_TAG, STACK_TAG, Names
from tests.support.aws import World


def make_role(world: World, stack: str, region: str, name: str | None = None) -> None:
    """Make the aggregator role of a stack, or a role of another name with its tags."""
    world.somebody.iam.create_role(
        RoleName=name or Names(stack).aggregator_role,
        AssumeRolePolicyDocument="{}",
        Tags=[{"Key": STACK_TAG, "Value": stack}, {"Key": REGION_TAG, "Value": region}],
    )
