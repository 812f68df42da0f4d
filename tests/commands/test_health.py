"""What `status` calls a problem or a warning, and what it advises."""

from __future__ import annotations

from dataclasses import replace

from s3agg.live.items import BucketActivity
from tests.support.statuses import DEFAULTS, make_resource, make_status, of_shares, share


def test_dead_letters_beside_something_foreign_are_followed_by_that_first() -> None:
    foreign = make_resource("foreign", "S3EventAggregatorActionQueue", kind="queue")

    (_, letters) = make_status(foreign, dead=1).problems

    assert letters.advice() == "First resolve the foreign resources, because redrive needs them."


def test_shares_that_did_not_accept_are_a_warning_with_the_gateways_answer() -> None:
    bucket = BucketActivity("b", pending=True, owed=("arn/share-1",), answer="Not connected.")

    (warning,) = replace(make_status(make_resource(), buckets=(bucket,)), functions=()).warnings

    assert warning.what == (
        "File share share-1 of bucket b is still to accept a refresh. Its gateway's answer: Not connected"
    )
    assert warning.advice() == "To see each try, run s3agg logs --bucket b."


def test_without_its_table_a_stack_has_an_unknown_capacity_mode() -> None:
    status = make_status(
        make_resource("missing"), make_resource(kind="queue"), buckets=(BucketActivity("b"),)
    )

    (told,) = replace(status, functions=()).warnings

    assert told.what == "The capacity mode of the missing table S3EventAggregator is unknown"
    assert told.advice() == "If it was provisioned, pass --provisioned to create."


def test_refreshes_that_take_longer_than_the_interval_are_a_warning_with_the_one_to_choose() -> None:
    status = of_shares(share(1), share(2, took_s=95))

    (warning,) = status.warnings

    assert warning.what == (
        "Refreshes of bucket b take 95 s (median), longer than --min-interval 60,"
        " so they pile up at the gateway"
    )
    assert warning.advice() == "Choose a longer interval: s3agg create --min-interval 120."
    assert of_shares(share(1, took_s=95), interval=95).warnings == []
    assert of_shares(share(1, took_s=90_000), interval=42_600).warnings == []  # there is no longer interval


def test_a_refresh_that_came_too_soon_is_a_warning_with_the_interval_to_choose() -> None:
    """Only `s3agg local` takes such an interval."""
    (warning,) = of_shares(share(1, "running"), interval=5).warnings

    assert warning.what == (
        "The last refresh of bucket b is accepted and not complete. --min-interval is 5 s, and a refresh"
        " within 60 s of the last one may do nothing. Such a refresh is never complete"
    )
    assert warning.advice() == "Choose a longer interval: s3agg create --min-interval 60."
    assert of_shares(share(1, "running")).warnings == []
    assert of_shares(share(1, took_s=2), interval=5).warnings == []


def test_refreshes_that_a_long_window_keeps_apart_are_no_warning() -> None:
    status = of_shares(share(1, took_s=95))

    assert replace(status, settings=replace(DEFAULTS, window=600, min_interval=60)).warnings == []


def test_several_slow_buckets_are_advised_the_same_interval() -> None:
    status = of_shares(share(1))
    slow = replace(status, refreshes={"b": [share(1, took_s=95)], "c": [share(2, took_s=700)]})

    assert {each.advice() for each in slow.warnings} == {
        "Choose a longer interval: s3agg create --min-interval 900."
    }
    assert len(slow.warnings) == 2
