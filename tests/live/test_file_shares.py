"""Which file shares Storage Gateway has for a bucket."""

from __future__ import annotations

from typing import Any

import pytest

from s3agg.errors import S3aggError
from s3agg.live.file_shares import FileShare, Lookup
from tests.support import aws as support
from tests.support.aws import ACCOUNT, PLACE, World, share_arn, share_of

world = support.world

GATEWAY = PLACE.arn("storagegateway", "gateway/sgw-1")
ALIAS = "reports-ab123cdef4gehijklmn5opqrstuvuse1a-s3alias"


@pytest.mark.parametrize("kind", ["NFS", "SMB"])
def test_a_share_is_told_with_its_gateway_and_its_ttl(world: World, kind: str) -> None:
    ttl: Any = {"CacheAttributes": {"CacheStaleTimeoutInSeconds": 300}}
    world.wire.have_shares(
        share_of("photos", "b", FileShareType=kind, **ttl),
        share_of("photos", "a", FileShareType=kind, CacheAttributes={}),
        share_of("other", "c", FileShareType=kind),
    )

    assert Lookup(world.aws).of(["photos", "empty"]) == {
        "photos": [FileShare(share_arn("a"), GATEWAY), FileShare(share_arn("b"), GATEWAY, 300)],
        "empty": [],
    }


@pytest.mark.parametrize("location", [ALIAS, f"{ALIAS}/a/prefix/", PLACE.arn("s3", "accesspoint/reports")])
def test_a_share_at_an_access_point_of_the_bucket_is_found(world: World, location: str) -> None:
    """The rule is the refresh function's own: tests/handlers/test_shares.py has every form."""
    world.wire.have_shares(share_of("photos", "a", LocationARN=location))
    point = {"Alias": ALIAS, "AccessPointArn": PLACE.arn("s3", "accesspoint/reports")}
    world.wire.answer("s3control:ListAccessPoints", {"AccessPointList": [point]})
    found = Lookup(world.aws).of(["photos"])

    assert [each.id for each in found["photos"]] == ["a"]
    assert world.wire.made("s3control:ListAccessPoints") == [{"AccountId": ACCOUNT, "Bucket": "photos"}]


def test_access_points_are_not_asked_for_where_no_share_is_at_one(world: World) -> None:
    world.wire.have_shares(share_of("photos", "a"))
    Lookup(world.aws).of(["photos"])

    assert world.wire.made("s3control:ListAccessPoints") == []


def test_a_share_of_another_region_is_not_the_buckets_and_nothing_is_logged(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """The refresh function logs it; here the log would reach the screen."""
    elsewhere: Any = share_of("photos") | {"FileShareARN": share_arn("a").replace("eu-west-1", "eu-west-3")}
    world.wire.have_shares(elsewhere)

    assert Lookup(world.aws).of(["photos"]) == {"photos": []}
    assert caplog.text == ""


@pytest.mark.parametrize("operation", ["ListFileShares", "DescribeNFSFileShares"])
def test_what_cannot_be_looked_up_is_an_error_in_words(world: World, operation: str) -> None:
    world.wire.have_shares(share_of("photos"))
    world.wire.refuse(f"storagegateway:{operation}", "AccessDeniedException")

    with pytest.raises(S3aggError, match="While looking up the file shares: "):
        Lookup(world.aws)


def test_access_points_that_cannot_be_listed_are_an_error_in_words(world: World) -> None:
    world.wire.have_shares(share_of("photos", LocationARN=ALIAS))
    world.wire.refuse("s3control:ListAccessPoints", "AccessDenied")

    with pytest.raises(S3aggError, match="While looking up the file shares: "):
        Lookup(world.aws).of(["photos"])
