"""The view of `refresh`."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from s3agg.commands.refresh import Refreshed, Report
from s3agg.render.refresh import refresh_view
from s3agg.render.words import spaced
from tests.support import documents
from tests.support.screens import NOW, make_screen, text_of

SHARES = ("arn:aws:storagegateway:eu-west-1:123456789012:share/share-1",)
REQUESTED = Refreshed("b", "requested", not_before=NOW + timedelta(seconds=40))
ACCEPTED = Refreshed("b", "accepted", started=NOW - timedelta(seconds=12), shares=SHARES)
COMPLETE = replace(ACCEPTED, outcome="complete", complete=NOW)
NO_SHARE = Refreshed("b", "no_file_share", started=NOW)
REFUSED = Refreshed(
    "b", "not_accepted", not_before=NOW, owed=SHARES, answer="busy", waits_for="1 file share to accept"
)


def shown(*buckets: Refreshed) -> str:
    screen = make_screen(width=120)
    screen.show(None, lambda: refresh_view(Report("S", "eu-west-1", "1", buckets, 30.0), NOW, {"stack": "S"}))
    return text_of(screen.out)


@pytest.mark.parametrize(
    ("bucket", "words"),
    [
        (REQUESTED, ["starts in 40 s, after --min-interval"]),
        (ACCEPTED, ["1 file share, started 12 s ago"]),
        (COMPLETE, ["1 file share, started 12 s ago"]),
        (NO_SHARE, ["no file share in eu-west-1 is mapped to the bucket, so nothing was refreshed"]),
        (
            REFUSED,
            [
                "waits for 1 file share to accept",
                "not accepted by share-1",
                "the gateway's last answer: busy",
                "Timed out after 30 s. The stack goes on trying.",
                "run: s3agg status --stack S",
            ],
        ),
    ],
    ids=["requested", "accepted", "complete", "no share", "not accepted"],
)
def test_a_bucket_tells_its_outcome(bucket: Refreshed, words: list[str]) -> None:
    text = shown(bucket)

    assert f"{spaced(bucket.outcome)}  b" in text
    assert all(each in text for each in words)
    assert ("Timed out" in text) == (bucket is REFUSED)


def test_every_outcome_is_as_its_schema_says() -> None:
    screen = make_screen(as_json=True)
    screen.refresh(Report("S", "eu-west-1", "1", (REQUESTED, ACCEPTED, COMPLETE, NO_SHARE, REFUSED), 30.0))

    document = documents.parse(text_of(screen.out), "refresh")
    assert len(document["buckets"]) == 5
    assert [each["what"] for each in document["problems"]] == [
        "Timed out after 30 s. The stack goes on trying."
    ]
