"""One bucket, many file shares: all of them are refreshed, none too often."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import pytest

from s3agg.local import ACCOUNT
from tests.e2e import support
from tests.e2e.support import LocalAws, OwnStack
from tests.support.handlers import known_shares
from tests.support.polling import eventually

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAws]:
    """Shares that mind an interval of a second, and refreshes that take little longer than the listing."""
    home = tmp_path_factory.mktemp("homes")
    with support.world(home, refresh_seconds=0.01, interval_seconds=1) as running:
        yield running


@pytest.fixture
def bucket(world: LocalAws, stack: OwnStack) -> str:
    """A bucket that the stack minds."""
    name = world.bucket()
    # Between two refreshes the stack leaves 2 s more than the interval that it is told.
    stack.run.must("create", "--bucket", name, "--window", "1", "--min-interval", "0")
    return name


@pytest.mark.proof
def test_a_gateway_that_takes_two_at_a_time_refreshes_five_shares(
    world: LocalAws, stack: OwnStack, bucket: str
) -> None:
    shares = [world.share(bucket) for _ in range(5)]
    # A message that meets a round is put off for as long as that round might take: 30 s, as declared.
    stack.configure(stack.names.refresher, Timeout=15)
    world.upload(bucket, "first")
    eventually(lambda: any(world.shows(share, "first") for share in shares))
    # Its window closes while most shares still wait: those that had their turn are due again.
    world.upload(bucket, "second")
    eventually(lambda: all(world.shows(share, "second") for share in shares), 90)

    log = [event["message"] for event in stack.log(stack.names.refresher)]
    assert any("already processing two cache refreshes" in line for line in log)
    assert all(refresh.effective for share in shares for refresh in world.machine.gateway.refreshes(share))


def test_shares_of_every_kind_and_location_are_refreshed(
    world: LocalAws, stack: OwnStack, bucket: str
) -> None:
    point = world.client("s3control").create_access_point(AccountId=ACCOUNT, Name="point", Bucket=bucket)
    arn, alias = point["AccessPointArn"], point["Alias"]
    for name in (arn, alias):
        world.machine.gateway.lead(name, bucket)
    places = (
        *(f"arn:aws:s3:::{bucket}{end}" for end in ("", "/in/")),
        arn,
        f"{arn}/in/",
        alias,
        f"{alias}/in/",
    )
    whole_or_below = {
        world.share(bucket, at=place, kind=kind, gateway=number): place.endswith("/in/")
        for number, place in enumerate(places)
        for kind in ("nfs", "smb")
    }
    elsewhere = world.share(world.bucket())

    world.upload(bucket, "in/file")
    for share, below in whole_or_below.items():
        eventually(partial(world.shows, share, "file" if below else "in/file"))
    eventually(stack.is_quiet)

    assert {world.refreshes(share) for share in whole_or_below} == {1}
    assert world.refreshes(elsewhere) == 0


def test_a_deleted_share_is_forgotten_at_once(world: LocalAws, stack: OwnStack, bucket: str) -> None:
    shares = [world.share(bucket, gateway=gateway) for gateway in range(3)]
    world.upload(bucket, "before")
    eventually(lambda: all(world.shows(share, "before") for share in shares))
    eventually(stack.is_quiet)
    deleted, *left = shares
    world.client("storagegateway").delete_file_share(FileShareARN=deleted)

    world.upload(bucket, "after")
    eventually(lambda: all(world.shows(share, "after") for share in left))
    eventually(stack.is_quiet)

    assert known_shares(stack.items[bucket]).keys() == {share.rpartition("/")[2] for share in left}
    assert {world.refreshes(share) for share in left} == {2}


def test_a_hundred_and_twenty_shares_are_all_refreshed(world: LocalAws, stack: OwnStack, bucket: str) -> None:
    # Two of a gateway: none has to wait for another.
    shares = [world.share(bucket, gateway=number // 2) for number in range(120)]
    world.upload(bucket, "file")
    eventually(lambda: all(world.shows(share, "file") for share in shares))
    eventually(stack.is_quiet)

    assert {world.refreshes(share) for share in shares} == {1}
    assert len(known_shares(stack.items[bucket])) == 120


def test_an_upload_refreshes_only_the_share_that_shows_it(
    world: LocalAws, stack: OwnStack, bucket: str
) -> None:
    red, blue = (world.share(bucket, at=f"arn:aws:s3:::{bucket}/{colour}/") for colour in ("red", "blue"))
    # The first refresh finds the shares. The next one is for everything too: events may have come between.
    for number in (1, 2):
        world.upload(bucket, f"red/{number}")
        eventually(partial(world.shows, red, str(number)))
        eventually(stack.is_quiet)
    before = world.refreshes(blue)
    world.upload(bucket, "red/below/3", "red/4")
    eventually(lambda: world.files(red) == ["1", "2", "4", "below/3"])
    eventually(stack.is_quiet)

    assert (before, world.refreshes(blue), world.refreshes(red)) == (2, 2, 3)
    assert "touched" not in stack.items[bucket]
