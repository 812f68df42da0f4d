"""The regions that s3agg accepts."""

from __future__ import annotations

import pytest
from botocore.loaders import Loader

from s3agg.aws.regions import check_region
from s3agg.aws.session import Aws
from s3agg.errors import UsageProblem
from tests.support import aws as support
from tests.support.aws import Session

world = support.world


@pytest.mark.parametrize("name", ["us-east-1", "ap-southeast-4", "cn-north-1", "us-gov-west-1"])
def test_a_region_of_any_partition_is_accepted(name: str) -> None:
    check_region(Loader(), name)


@pytest.mark.parametrize(
    ("mistyped", "meant"),
    [
        ("us-esat-1", "us-east-1"),
        ("eu-wets-1", "eu-west-1"),
        ("eucentral-1", "eu-central-1"),
        ("us-east-11", "us-east-1"),
    ],
)
def test_an_unknown_region_is_refused_with_the_nearest_name(mistyped: str, meant: str) -> None:
    with pytest.raises(UsageProblem, match=rf"There is no region {mistyped}, .* name is {meant}\."):
        check_region(Loader(), mistyped)


def test_a_region_that_is_newer_than_botocore_needs_an_upgrade() -> None:
    with pytest.raises(UsageProblem, match=r"For a newer region, .*: pip install --upgrade boto3\."):
        check_region(Loader(), "eu-north-9")


@pytest.mark.usefixtures("world")
@pytest.mark.parametrize("endpoint_url", [None, "http://127.0.0.1:1"])
def test_an_unknown_region_is_refused_before_any_call(endpoint_url: str | None) -> None:
    session = Session().with_credentials()
    wire = support.watch(session)

    with pytest.raises(UsageProblem, match="There is no region us-esat-1"):
        _ = Aws(session=session, region="us-esat-1", endpoint_url=endpoint_url).place

    assert wire.calls == []
