"""What Storage Gateway knows of file shares."""

from __future__ import annotations

from typing import Any

import pytest

from s3agg.errors import S3aggError
from s3agg.live import file_shares
from tests.support import aws as support
from tests.support.aws import PLACE, World

world = support.world


def share(number: int) -> str:
    return PLACE.arn("storagegateway", f"share/share-{number}")


def have(world: World, kind: str, timers: dict[str, int | None]) -> None:
    """Have these shares of a kind, each with its CacheStaleTimeoutInSeconds."""
    listed = [{"FileShareARN": each, "FileShareType": kind} for each in timers]
    world.wire.answer("storagegateway:ListFileShares", {"FileShareInfoList": listed})

    def describe() -> dict[str, Any]:
        asked = world.wire.made(f"storagegateway:Describe{kind}FileShares")[-1]["FileShareARNList"]
        return {
            f"{kind}FileShareInfoList": [
                {
                    "FileShareARN": each,
                    **(
                        {}
                        if timers[each] is None
                        else {"CacheAttributes": {"CacheStaleTimeoutInSeconds": timers[each]}}
                    ),
                }
                for each in asked
            ]
        }

    world.wire.answer(f"storagegateway:Describe{kind}FileShares", describe)


@pytest.mark.parametrize("kind", ["NFS", "SMB"])
def test_shares_that_refresh_themselves_are_told_with_their_seconds(world: World, kind: str) -> None:
    have(world, kind, {share(1): 300, share(2): 0, share(3): None})

    assert file_shares.timers(world.aws, [share(1), share(2), share(3)]) == {share(1): 300}


def test_shares_of_others_are_not_looked_at(world: World) -> None:
    have(world, "NFS", {share(1): 300, share(2): 600})

    assert file_shares.timers(world.aws, [share(2)]) == {share(2): 600}
    assert world.wire.made("storagegateway:DescribeNFSFileShares") == [{"FileShareARNList": [share(2)]}]


def test_shares_are_looked_at_ten_at_a_time(world: World) -> None:
    shares = [share(number) for number in range(21)]
    have(world, "NFS", dict.fromkeys(shares, 300))

    assert file_shares.timers(world.aws, shares) == dict.fromkeys(shares, 300)
    asked = [
        len(each["FileShareARNList"]) for each in world.wire.made("storagegateway:DescribeNFSFileShares")
    ]
    assert asked == [10, 10, 1]


def test_a_share_that_is_gone_is_not_asked_about(world: World) -> None:
    have(world, "NFS", {})

    assert file_shares.timers(world.aws, [share(1)]) == {}


@pytest.mark.parametrize("status", ["DELETING", "FORCE_DELETING"])
def test_a_share_that_is_being_deleted_is_not_asked_about(world: World, status: str) -> None:
    """FACTS 37."""
    have(world, "NFS", {share(1): 300})
    listed = {"FileShareARN": share(1), "FileShareType": "NFS", "FileShareStatus": status}
    world.wire.answer("storagegateway:ListFileShares", {"FileShareInfoList": [listed]})

    assert file_shares.timers(world.aws, [share(1)]) == {}
    assert world.wire.made("storagegateway:DescribeNFSFileShares") == []


def test_what_cannot_be_looked_at_is_an_error_in_words(world: World) -> None:
    world.wire.refuse("storagegateway:ListFileShares", "AccessDeniedException")

    with pytest.raises(S3aggError, match="While reading the file shares: "):
        file_shares.timers(world.aws, [share(1)])
