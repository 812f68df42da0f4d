"""A gateway's event of a finished refresh: it is logged, and changes nothing (DESIGN 2b)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support.handlers import START_MS, Instances

SHARE = "arn:aws:storagegateway:us-east-2:123456789011:share/share-F123D451"
# As AWS's user guide shows it ("Getting notified about file operations"), folderList beside the detail.
EVENT = {
    "version": "2012-10-17",
    "id": "2649b160-d59d-c97f-3f64-8aaa9ea6aed3",
    "detail-type": "Storage Gateway Refresh Cache Event",
    "source": "aws.storagegateway",
    "account": "209870788375",
    "time": "2017-11-06T21:34:42Z",
    "region": "us-east-2",
    "resources": [SHARE, "arn:aws:storagegateway:us-east-2:123456789011:gateway/sgw-712345DA"],
    "detail": {
        "event-type": "refresh-complete",
        "notification-id": "1c14106b-a18a-4890-9d47-a1a755ef5e47",
        "started": "2018-02-06T21:34:42Z",
        "completed": "2018-02-06T21:34:53Z",
    },
    "folderList": ["/"],
}
LINE = f"File share complete: {SHARE}, notification: 1c14106b-a18a-4890-9d47-a1a755ef5e47, took: 11000 ms"

Log = pytest.LogCaptureFixture


def message(body: Any) -> dict[str, Any]:
    """As EventBridge sends it: no attributes."""
    return {"messageId": "m1", "receiptHandle": "r", "body": json.dumps(body), "messageAttributes": {}}


def test_the_line_names_the_share_the_notification_and_the_time_it_took(world: Instances, log: Log) -> None:
    kept = world.run(message(EVENT))

    assert not kept
    assert log.messages == [LINE]


@pytest.mark.parametrize(
    "item", [{}, {"timestamp": START_MS, "opened_by": "event"}, {"pending": "token"}], ids=str
)
def test_whatever_a_bucket_waits_for_the_event_is_dropped_without_a_call(
    world: Instances, item: dict[str, Any]
) -> None:
    """Early, late, twice, of somebody else's refresh: the function does not even look."""
    world.put(**item)
    refresher = world.refresher()

    assert not world.run(message(EVENT), refresher=refresher)
    assert not world.run(message(EVENT), refresher=refresher)
    assert world.calls == []
    assert world.item() == item


@pytest.mark.parametrize(
    "change",
    [
        {"detail": None},
        {"detail": []},
        {"detail": {}},
        {"detail": {**EVENT["detail"], "started": None}},  # type: ignore[dict-item]  # as it may come
        {"detail": {**EVENT["detail"], "completed": "2018-02-06T21:34:53"}},  # type: ignore[dict-item]
        {"detail": {**EVENT["detail"], "completed": "soon"}},  # type: ignore[dict-item]
        {"resources": None},
        {"resources": "share"},
        {"resources": []},
        {"resources": [1]},
        {"resources": [SHARE, SHARE]},
    ],
    ids=str,
)
def test_a_malformed_event_is_no_failure(world: Instances, log: Log, change: dict[str, Any]) -> None:
    kept = world.run(message({**EVENT, **change}))

    assert not kept
    assert world.calls == []
    assert [record.levelname for record in log.records] == ["WARNING"]
    assert log.messages[0].startswith("Not an event of a finished refresh, ignoring: {'version'")


@pytest.mark.parametrize(
    "body",
    [
        {**EVENT, "source": "somebody"},
        {**EVENT, "detail-type": "Storage Gateway File Upload Event"},
        {},
        [],
        None,
        "text",
    ],
    ids=str,
)
def test_any_other_body_is_a_message_without_a_bucket(world: Instances, log: Log, body: object) -> None:
    assert not world.run(message(body))

    assert log.messages == ["A message without a bucket name, dropping: m1"]


@pytest.mark.parametrize("body", ["{", "", "[" * 200_000, 7])
def test_a_body_that_is_not_json_is_no_failure(world: Instances, log: Log, body: object) -> None:
    assert not world.run({**message(EVENT), "body": body})

    assert log.messages == ["A message without a bucket name, dropping: m1"]
