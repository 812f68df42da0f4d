"""Which events touch which file shares, in doubt too many (DESIGN 2a)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.handlers import BUCKET, FUNCTION_ARN, START_MS, Instances, classes, load, record

UPDATE = "dynamodb.UpdateItem"
DUE = START_MS - 500
POINT = "arn:aws:s3:eu-west-1:123456789012:accesspoint/point"
FILE_SHARES = load("file_shares")


def known(prefixes: dict[str, str], **more: Any) -> dict[str, Any]:
    """The attributes of a bucket whose shares are known, by their ARNs."""
    return {
        "known": prefixes,
        "shares_found": START_MS,
        **more,
    }


# Where a share is located


@pytest.mark.parametrize(
    ("location", "name", "prefix"),
    [
        ("arn:aws:s3:::bucket", "bucket", ""),
        ("arn:aws:s3:::bucket/", "bucket", ""),
        ("arn:aws:s3:::bucket/a/b/", "bucket", "a/b/"),
        ("arn:aws:s3:::bucket/a:b/c d/", "bucket", "a:b/c d/"),
        ("arn:aws:s3:::accesspoint/a/", "accesspoint", "a/"),
        (f"{POINT}", POINT, ""),
        (f"{POINT}/a/b/", POINT, "a/b/"),
        (f"{POINT}/object/a/", POINT, ""),
        ("point-1234-s3alias", "point-1234-s3alias", ""),
        ("point-1234-s3alias/a/b/", "point-1234-s3alias", "a/b/"),
        ("arn:aws:s3:::bucket/a/b", "bucket", "a/"),
        ("arn:aws:s3:::bucket/b", "bucket", ""),
        ("arn:aws:s3:::bucket/a//b/", "bucket", "a/"),
        ("arn:aws:s3:::bucket//a/", "bucket", ""),
        ("arn:aws:s3:::bucket/a/../b/", "bucket", "a/"),
        ("arn:aws:s3:::bucket/a/./b/", "bucket", "a/"),
        ("arn:aws:s3:::bucket/a/b%20c/d/", "bucket", "a/"),
        ("arn:aws:s3:::bucket/a/b+c/d/", "bucket", "a/"),
        ("", "", ""),
    ],
)
def test_a_prefix_is_in_doubt_shorter_than_that_of_the_location(
    location: str, name: str, prefix: str
) -> None:
    place = FILE_SHARES.place_of(location)

    assert (place.name, place.prefix) == (name, prefix)


# The folder of an object


@pytest.mark.parametrize(
    ("key", "touched"),
    [
        ("a/b/file", "/a/b/"),
        ("a/b/", "/a/b/"),
        ("a//b/file", "/a//b/"),
        ("a/./b/file", "/a/./b/"),
        ("a+b/c%2Bd/%C3%A9/file", "/a b/c+d/é/"),
        ("/file", "//"),
        ("file", "//"),
        ("", "//"),
        ("a/%C3/file", "/"),
        ("a/%zz/file", "/"),
        ("a/100%/file", "/"),
        ("a/\ud800/file", "/"),
        (None, "/"),
        (5, "/"),
        (f"{'long' * 200}/file", "/"),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_a_window_is_opened_with_the_folder_of_its_event(world: Instances, key: object, touched: str) -> None:
    world.aggregator().handle_record(record(key))

    assert world.item()["touched"] == {touched}


# Events of an open window


def test_an_event_of_a_touched_share_needs_no_call(world: Instances) -> None:
    world.put(**known({"a": "a/", "b": "b/"}))
    aggregator = world.aggregator()
    aggregator.handle_record(record("a/below/1"))
    calls = len(world.calls)
    aggregator.handle_record(record("a/2"))
    aggregator.handle_record(record("a/elsewhere/3"))
    aggregator.handle_record(record("no share shows this"))

    assert len(world.calls) == calls


@pytest.mark.parametrize(("key", "added"), [("b/file", "/b/"), ("b/c/d/file", "/b/c/"), ("b/%zz/file", "/")])
def test_an_event_of_another_share_adds_its_longest_prefix_once(
    world: Instances, key: str, added: str
) -> None:
    world.put(**known({"a": "a/", "b": "b/", "c": "b/c/"}))
    aggregator = world.aggregator()
    aggregator.handle_record(record("a/1"))
    aggregator.handle_record(record(key))
    aggregator.handle_record(record(key, versionId="v2"))

    assert world.item()["touched"] == {"/a/", added}
    assert len(world.made(UPDATE)) == 2


def test_an_event_that_finds_the_window_closed_opens_another(world: Instances) -> None:
    world.put(**known({"a": "a/", "b": "b/"}))
    aggregator = world.aggregator()
    aggregator.handle_record(record("a/1"))
    world.put(**known({"a": "a/", "b": "b/"}))
    aggregator.handle_record(record("b/2"))

    assert world.item()["touched"] == {"/b/"}
    assert len(world.sent) == 2


def test_a_window_of_an_older_version_is_one_of_everything(world: Instances) -> None:
    world.put(**known({"a": "a/", "b": "b/"}), timestamp=START_MS + 30_000, opened_by="another")
    world.aggregator().handle_record(record("b/2"))

    assert "touched" not in world.item()
    assert len(world.made(UPDATE)) == 1


def test_an_expired_window_of_an_older_version_stays_one_of_everything(world: Instances) -> None:
    world.put(timestamp=START_MS - 300_001, opened_by="another")
    world.aggregator().handle_record(record("b/2"))

    assert "/" in world.item()["touched"]


def test_an_expired_window_keeps_what_it_touched(world: Instances) -> None:
    world.put(timestamp=START_MS - 300_001, opened_by="another", touched={"SS": ["/a/"]})
    world.aggregator().handle_record(record("b/2"))

    assert world.item()["touched"] == {"/a/", "/b/"}


@pytest.mark.parametrize("before", [[f"/{number}/" for number in range(40)], [f"/{'long' * 174}/"]])
def test_too_many_folders_are_everything(world: Instances, before: list[str]) -> None:
    touched = {"SS": before}
    world.put(
        **known({"a": "a/", "b": "b/"}), timestamp=START_MS + 30_000, opened_by="another", touched=touched
    )
    world.aggregator().handle_record(record("b/2"))

    assert world.item()["touched"] == {"/"}


def test_a_window_that_is_opened_with_too_many_folders_left_is_one_of_everything(world: Instances) -> None:
    world.put(touched={"SS": [f"/{number}/" for number in range(40)]})
    world.aggregator().handle_record(record("b/2"))

    assert world.item()["touched"] == {"/"}


# The refresh


def shares(world: Instances) -> tuple[str, str]:
    """Two shares, on a/ and on b/."""
    first, second = (world.gateway.add(f"arn:aws:s3:::{BUCKET}/{prefix}/") for prefix in "ab")
    return first, second


def closing(world: Instances, touched: list[str] | None, **more: Any) -> tuple[str, str]:
    first, second = shares(world)
    what: dict[str, Any] = {} if touched is None else {"touched": {"SS": touched}}
    world.put(timestamp=DUE, opened_by="event", **known({first: "a/", second: "b/"}), **what, **more)
    return first, second


def test_only_touched_shares_are_refreshed(world: Instances) -> None:
    first, _ = closing(world, ["/a/below/"])

    assert not world.run(world.message(DUE))
    assert world.gateway.asked == [first]
    assert world.item()["refreshed_shares"] == 1
    assert not {"touched", "refreshing", "refreshed_all"} & world.item().keys()


def test_a_window_that_touched_no_share_makes_no_call_of_storage_gateway(world: Instances, log: Any) -> None:
    closing(world, ["/z/"])

    assert not world.run(world.message(DUE))
    assert not [name for name, _ in world.calls if name.startswith("storagegateway.")]
    assert log.messages[-1].endswith(", shares: none touched")


@pytest.mark.parametrize(
    ("touched", "more", "why"),
    [
        (None, {}, "no record tells what the events touched"),
        (["/", "/a/"], {}, "the events touched too many folders, or the file shares have changed"),
        (["/a/"], {"pending": "token"}, "a refresh of all was asked for, or is unfinished"),
        (["/a/"], {"everything_until": START_MS + 60_000}, "the stack was changed or repaired"),
        (["/a/"], {"everything_until": START_MS - 60_000}, "the stack was changed or repaired"),
    ],
    ids=["older version", "everything", "died", "older instances", "older instances of before"],
)
def test_everything_is_refreshed(
    world: Instances, log: Any, touched: list[str] | None, more: dict[str, Any], why: str
) -> None:
    both = closing(world, touched, **more)

    assert not world.run(world.message(DUE))
    assert world.gateway.asked == [*both]
    assert world.item()["refreshed_all"] == START_MS + 2000
    assert ("everything_until" in world.item()) == (more.get("everything_until", 0) > START_MS)
    assert f"Refreshing all file shares of bucket: {BUCKET}, as {why}" in log.messages


@pytest.mark.parametrize(
    ("hours", "last", "refreshed"),
    [(24, None, 2), (24, 24, 2), (24, 23, 1), (0, None, 1), (0, 999, 1), (6, 7, 2), (24, -999, 2)],
)
def test_everything_is_refreshed_once_in_so_many_hours(
    world: Instances, log: Any, hours: int, last: int | None, refreshed: int
) -> None:
    more = {} if last is None else {"refreshed_all": START_MS - last * 3_600_000}
    closing(world, ["/a/"], **more)
    world.run(world.message(DUE), refresher=world.refresher(full_every_h=hours))

    assert len(world.gateway.asked) == refreshed
    why = f"as the last refresh of all began {hours} h ago or earlier"
    assert any(line.endswith(why) for line in log.messages) == (refreshed == 2)


HOUR_MS = 3_600_000


def unfinished(world: Instances, *touched: str, began: int = 0) -> tuple[str, str]:
    """A refresh of everything that the first share has accepted, and an open window that touched these."""
    first, second = shares(world)
    share = classes("known_shares").KnownShare
    both = {first: share("a/", began=began or START_MS - HOUR_MS, done=True), second: share("b/")}
    world.put(
        timestamp=DUE,
        opened_by="event",
        pending="token",
        done={"BOOL": True},
        touched={"SS": [*touched]},
        known=both,
        shares_found=START_MS,
    )
    return first, second


@pytest.mark.parametrize(
    ("touched", "hours", "again"), [("/b/", 0, False), ("/b/", 2, False), ("/b/", 1, True), ("/a/", 0, True)]
)
def test_what_has_accepted_is_refreshed_again_only_if_it_is_touched_or_was_refreshed_long_ago(
    world: Instances, touched: str, hours: int, again: bool
) -> None:
    both = unfinished(world, touched)

    assert not world.run(world.message(DUE), refresher=world.refresher(full_every_h=hours))
    assert set(world.gateway.asked) == set(both if again else both[1:])
    assert world.item()["refreshed_all"] == START_MS + (2000 if again else -HOUR_MS)


def test_what_has_accepted_is_refreshed_again_if_a_lookup_finds_it_elsewhere(world: Instances) -> None:
    """An older version may have stored another prefix."""
    first, second = unfinished(world, "/c/")
    world.change(shares_found=0, done={"BOOL": True}, touched={"SS": ["/c/"]})
    world.gateway.shares[first] = ("NFS", f"arn:aws:s3:::{BUCKET}/c/")

    assert not world.run(world.message(DUE))
    assert set(world.gateway.asked) == {first, second}


def test_an_unfinished_refresh_is_joined_with_the_next_window(world: Instances) -> None:
    both = closing(world, ["/a/"], pending="token", refreshing={"SS": ["/b/"]})

    assert not world.run(world.message(DUE))
    assert world.gateway.asked == [*both]


def test_what_is_refreshed_is_stored_while_a_share_is_busy(world: Instances) -> None:
    first, _ = closing(world, ["/a/"])
    world.gateway.busy = {first}

    assert world.run(world.message(DUE))
    assert world.item()["refreshing"] == {"/a/"}
    world.gateway.busy = set()
    world.clock.sleep(62)
    assert not world.run(world.message(DUE))
    assert world.gateway.asked == [first]
    assert "refreshing" not in world.item()


def test_a_new_share_is_refreshed_and_everything_in_the_next_window(world: Instances) -> None:
    first, _ = closing(world, ["/a/"])
    new = world.gateway.add(f"arn:aws:s3:::{BUCKET}/c/")
    world.change(shares_found=1)

    assert not world.run(world.message(DUE))
    assert world.gateway.asked == [first, new]
    assert world.item()["touched"] == {"/"}


def test_shares_without_stored_prefixes_are_looked_up_and_refreshed(world: Instances) -> None:
    """An older version stored them."""
    first, second = shares(world)
    world.put(
        timestamp=DUE,
        opened_by="event",
        touched={"SS": ["/a/"]},
        shares={first, second},
        shares_found=START_MS,
    )

    assert not world.run(world.message(DUE))
    assert world.gateway.asked == [first, second]


def test_a_lookup_returns_the_prefix_of_each_share(world: Instances) -> None:
    first, second = shares(world)
    whole = world.gateway.add()

    found = world.shares().of(BUCKET, FUNCTION_ARN, world.context().left)
    assert found == {first: "a/", second: "b/", whole: ""}
