"""The promises of DESIGN 2 as checks of a finished run.

Each check returns descriptions of what breaks its promise; an empty list if it is kept.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterator
from itertools import pairwise

from s3agg.aws.clock import from_ms
from s3agg.live.items import activity
from s3agg.live.lateness import is_late
from s3agg.settings import Settings
from tests.protocol.cloud import REFRESH_TIMEOUT_MS, SKEW_MS, Cloud, Handled, place_of
from tests.protocol.gateways import arn
from tests.protocol.schedule import FOREVER, HOUR_MS, Change, Share
from tests.protocol.table import Item, Write
from tests.protocol.virtual_time import START_MS
from tests.support.aws import PLACE
from tests.support.handlers import known_shares

APART_MS = 60_000  # a gateway may ignore a refresh sooner after the one before
SPARE_MS = 2000  # by so much the handlers wait longer than the interval
BROUGHT_FORWARD_MS = 310_000  # a window that is too long closes by then
IMPOSSIBLE_MS = 300_000  # a clock can be ahead by so much, unnoticed
ROUND_MS = 5000  # the aggregator expects a running refresh to end by then
SETTLE_MS = 2000  # that a refresh waits after its window was closed
MOST_CALLS = 10  # from there to the refresh of the last share, lookup included
LONGEST_TRUST_MS = 300_000  # a window is trusted from memory no longer
EXPIRED_MS = 300_000  # so long after it was due, an open window may be replaced
TRUSTED_MS = 1500  # for so long a window counts as open since the table told of it
MOST_TOUCHED, MOST_TOUCHED_BYTES = 40, 700  # an item holds no more folders and prefixes
CLOSING_MS = 2000  # so near its end a window is no longer trusted from memory


def lost(cloud: Cloud) -> list[str]:
    """No lost refresh: each share that shows an event's key is refreshed later, or a dead letter tells of it.

    So is it after each run of `s3agg refresh`, or a dead letter of its bucket represents that.
    """
    dead = {cloud.events[number].bucket for number in cloud.dead} | {each.bucket for each in cloud.queue.dead}
    return [
        *(words for event, words in _not_refreshed(cloud) if not _excused(cloud, event)),
        *(words for bucket, words in _requests_without_refresh(cloud) if bucket not in dead),
    ]


def lost_after_all(cloud: Cloud) -> list[str]:
    """No lost refresh after a redrive: dead letters do not count."""
    dead = [f"Dead all the same: {each}" for each in (*cloud.dead, *cloud.queue.dead)]
    return dead + [words for _, words in (*_not_refreshed(cloud), *_requests_without_refresh(cloud))]


def _requests_without_refresh(cloud: Cloud) -> Iterator[tuple[str, str]]:
    for request in cloud.requested:
        for share in cloud.shares_of(request.bucket):
            if _was_known(share, request.at) and not any(at > request.at for at in _counting(cloud, share)):
                words = f"{share.name} was not refreshed after a request at {request.at}"
                yield request.bucket, f"{words}: {_accepted(cloud, share)}"


def _not_refreshed(cloud: Cloud) -> Iterator[tuple[Handled, str]]:
    for event in cloud.handled:
        for share in _showing(cloud, event):
            if _was_known(share, event.at) and not any(at > event.at for at in _counting(cloud, share)):
                words = f"{share.name} was not refreshed after event {event.number}, at {event.at}"
                yield event, f"{words}: {_accepted(cloud, share)}"


def in_vain(cloud: Cloud) -> list[str]:
    """Every event and request is followed by a refresh that has an effect, of the stack or of somebody else.

    That is so if the events of all others' finished refreshes arrive. A dead letter is excepted.
    """
    told = {json.loads(message.body)["resources"][0] for message in cloud.queue.dead if not message.bucket}
    handled = [event for event in cloud.handled if not _excused(cloud, event)]
    dead = {message.bucket for message in cloud.queue.dead} | {
        cloud.events[number].bucket for number in cloud.dead
    }
    causes = [
        *((_showing(cloud, event), event.at) for event in handled),
        *(
            (list(cloud.shares_of(request.bucket)), request.at)
            for request in cloud.requested
            if request.bucket not in dead
        ),
    ]
    return [
        f"{share.name} shows nothing newer than {cause}: {cloud.gateways.effective[share.name]}"
        for shares, cause in causes
        for share in shares
        if _was_known(share, cause)
        and arn(share) not in told
        and not any(at > cause for at in cloud.gateways.effective[share.name])
    ]


def repeated_too_often(cloud: Cloud) -> list[str]:
    """At most one refresh more for each refresh of somebody else."""
    repeated = Counter(notification for _, _, notification in _repeats(cloud))
    others = {notification[:6] for notification in cloud.gateways.notifications}
    return [
        f"{times} more refreshes because of refresh {notification}"
        for notification, times in repeated.items()
        if times > (notification in others)
    ]


def repeated_without_end(cloud: Cloud) -> list[str]:
    """However wrong a gateway's clock is, no repetition of a share's refresh is repeated."""
    repeats = Counter((write.bucket, share) for write, share, _ in _repeats(cloud))
    first = [
        write
        for write in cloud.table.writes
        if write.after and ("closed" in write.asked["UpdateExpression"] or write.environment.number == 0)
    ]
    return [
        f"{times} repetitions for {share} of bucket {bucket}"
        for (bucket, share), times in repeats.items()
        if times > sum(write.bucket == bucket for write in first)
    ]


def _repeats(cloud: Cloud) -> list[tuple[Write, str, str]]:
    """The writes that make a share's refresh pending again, each with the share and its cause."""
    return [
        (write, share, notification["S"])
        for write in cloud.table.writes
        if write.after
        for share, notification in write.after.get("again", {"M": {}})["M"].items()
        if write.before.get("again", {"M": {}})["M"].get(share) != notification
    ]


def too_soon(cloud: Cloud) -> list[str]:
    """No share accepts two refreshes within the interval, whatever fails.

    An execution that stood still for longer than its timeout is excepted.
    """
    if cloud.stood_still:
        return []
    return [
        f"{share.name} was refreshed at {first} and at {second}"
        for share in cloud.schedule.shares
        for first, second in pairwise(_accepted(cloud, share))
        if second - first < _interval_s(cloud, second) * 1000
    ]


def too_often(cloud: Cloud) -> list[str]:
    """Aggregation: one refresh per max(window, interval) and share, however many events, however late.

    Two may start slightly closer together if the calls before the first one took longer.
    """
    apart = max(cloud.schedule.window_s * 1000, _pause(cloud)) - _calls(cloud) - 2 * SKEW_MS
    return [
        f"{share.name} was refreshed at {first} and at {second}"
        for share in cloud.schedule.shares
        for first, second in pairwise(_accepted(cloud, share))
        if second - first < apart
    ]


def late(cloud: Cloud) -> list[str]:
    """Freshness: a refresh starts soon after an event, and reaches each share some calls later."""
    longest = cloud.schedule.window_s * 1000 + _pause(cloud) + REFRESH_TIMEOUT_MS
    longest += SETTLE_MS + _calls(cloud) + 2 * SKEW_MS
    return [
        f"{share.name} was not refreshed within {longest} of event {event.number}, at {event.at}"
        for event in cloud.handled
        for share in _showing(cloud, event)
        if _was_known(share, event.at)
        and not any(event.at < at <= event.at + longest for at in _accepted(cloud, share))
    ]


def silent(cloud: Cloud) -> list[str]:
    """Nothing waits in silence: `status` is not healthy while a share is owed a refresh for long.

    That is longer than window + interval + 15 minutes after the refresh was due.
    """
    schedule = cloud.schedule
    window_s = max([schedule.window_s, *(each.window_s for each in schedule.changes)])
    interval_s = max([schedule.interval_s, *(each.interval_s for each in schedule.changes)])
    settings = Settings(window=window_s, min_interval=interval_s)
    # While a refresh is running, a window is due only after its expected end.
    due = max(window_s * 1000, interval_s * 1000 + SPARE_MS + ROUND_MS)
    longest = due + settings.longest_owed * 1000 + 2 * SKEW_MS
    # The first event or request that a refresh of a share is owed for.
    owed: dict[tuple[Share, int], int] = {}
    causes = [(event.at, _showing(cloud, event)) for event in cloud.handled]
    requests = [(each.at, list(cloud.shares_of(each.bucket))) for each in cloud.requested]
    for cause, shares in (*causes, *requests):
        for share in shares:
            if _was_known(share, cause):
                accepted = _accepted(cloud, share)
                later = accepted[bisect_right(accepted, cause) :][:1]
                till = later[0] if later else cloud.time.now
                owed[share, till] = min(cause, owed.get((share, till), cause))
    return [
        f"{share.name} waits in silence at {at}, owed since {cause}"
        for (share, till), cause in owed.items()
        for at in _looks(cloud, share.bucket, cause + longest, till)
        if not _is_late(cloud, share.bucket, at, settings)
    ]


def _looks(cloud: Cloud, bucket: str, first: int, till: int) -> set[int]:
    """Moments to look at the item: the first, each change, and the last one before `till`."""
    if first >= till:
        return set()
    writes = (write.at for write in cloud.table.writes if write.bucket == bucket)
    return {at for at in (first, *writes, till - 1) if first <= at < till}


def _is_late(cloud: Cloud, bucket: str, at: int, settings: Settings) -> bool:
    item = {"BucketName": {"S": bucket}, **cloud.table.item(bucket, at=at)}
    return is_late(activity(PLACE, item), from_ms(START_MS + at), settings)


def told_too_early(cloud: Cloud) -> list[str]:
    """A requested refresh is not overdue at once, however long ago the bucket's last window closed."""
    settings = Settings(window=cloud.schedule.window_s, min_interval=cloud.schedule.interval_s)
    return [
        f"Overdue at {at}, requested at {request.at}"
        for request in cloud.requested
        for at in _looks(cloud, request.bucket, request.at, request.at + settings.longest_owed * 1000)
        if _is_late(cloud, request.bucket, at, settings)
    ]


def stuck(cloud: Cloud) -> list[str]:
    """With stable settings and clocks each event is refreshed soon, whatever happened before.

    But for an event that a dead letter stands for, as AWS refuses what a wrong clock signs; and for a bucket
    whose window was opened just after a change, by an execution with the older settings.
    """
    outdated = {
        write.bucket
        for write in cloud.table.writes
        for change in cloud.schedule.changes
        if write.opener
        and write.at >= change.at_ms
        and write.environment.settings is not change
        and change is cloud.settings
    }
    calm = max(
        [
            0,
            *(change.at_ms for change in cloud.schedule.changes),
            *(clock.till_ms for clock in cloud.schedule.wrong_clocks),
        ]
    )
    window_s = max(cloud.settings.window_s, cloud.settings.refresher_window_s)
    longest = 2 * max(window_s * 1000, _pause(cloud)) + BROUGHT_FORWARD_MS
    longest += IMPOSSIBLE_MS if cloud.schedule.wrong_clocks else 0
    longest += REFRESH_TIMEOUT_MS + SETTLE_MS + _calls(cloud) + max(cloud.schedule.cold_ms)
    return [
        f"{share.name} was not refreshed within {longest} of {max(event.at, calm)}: event {event.number}"
        for event in cloud.handled
        for share in _showing(cloud, event)
        if _was_known(share, event.at)
        and share.bucket not in outdated
        and not _excused(cloud, event)
        and not any(event.at < at <= max(event.at, calm) + longest for at in _accepted(cloud, share))
    ]


def not_healed(cloud: Cloud) -> list[str]:
    """Self-healing: the first event after a window expired, whose message was purged, opens a new one."""
    identities = {number: identity for identity, number in cloud.openers.items()}
    return [
        f"Event {number} opened no window after a purge"
        for number, before in cloud.healing.items()
        if not any(
            write.after and write.after.get("opened_by") == {"S": identities[number]}
            for write in cloud.table.writes[before:]
        )
    ]


def asked_too_often(cloud: Cloud) -> list[str]:
    """Cost of the aggregator: writes do not grow with events.

    An environment that knows of a window writes again only for the event that opened it. Near the window's
    end it also writes once a second. Each of its calls that fails may cause one more. So may each addition
    that finds no open window, or one that its own event has opened.
    """
    made: defaultdict[tuple[int, str], list[Write]] = defaultdict(list)
    for write in cloud.table.writes:
        if write.opener is not None or write.adds:
            made[write.environment.number, write.bucket].append(write)
    too_soon_again = {
        key: sum(not _may_ask_again(*pair) for pair in pairwise(each for each in writes if not each.adds))
        - sum(_finds_no_window_of_others(*pair) for pair in pairwise(writes))
        for key, writes in made.items()
    }
    return [
        f"Environment {number} wrote {times} times too often about bucket {bucket}"
        for (number, bucket), times in too_soon_again.items()
        if times > cloud.calls.failed[number]
    ]


def added_too_often(cloud: Cloud) -> list[str]:
    """Cost of `touched`: a window gets one write more for each share's prefix from each environment.

    An environment adds nothing that it was told is there. Each of its calls that fails may cause one more.
    """
    told: dict[tuple[int, str], Item] = {}
    needless: Counter[int] = Counter()
    for write in cloud.table.writes:
        key = write.environment.number, write.bucket
        if write.adds and "touched" in (known := told.get(key, {})):
            has = set(known["touched"]["SS"])
            needless[key[0]] += bool({"/", *write.adds} & has) or len(write.adds) > 1
        if write.adds or write.opener is not None:
            told[key] = write.after or write.before
    return [
        f"Environment {number} made {times} needless additions"
        for number, times in needless.items()
        if times > cloud.calls.failed[number]
    ]


def needless(cloud: Cloud) -> list[str]:
    """Only what was touched: no other share is refreshed, unless a rule of DESIGN 2a says everything.

    Holds while nothing fails. An event counts when it is delivered, and when it is handled. A request counts
    too. So does a repetition for this share, for one below it, or for one that shows all keys.
    """
    prefixes = {share.name: place_of(share.location).prefix for share in cloud.schedule.shares}
    closes = [write for write in cloud.table.writes if write.after and _closes(write)]
    broken = []
    for share in cloud.schedule.shares:
        for at in _accepted(cloud, share):
            of_bucket = [write for write in closes if write.bucket == share.bucket and write.at < at]
            since = of_bucket[-2].at if len(of_bucket) > 1 else 0
            touching = {
                number
                for number, event in enumerate(cloud.events)
                if share.bucket == event.bucket and event.is_below(prefixes[share.name])
            }
            moments = [
                *(
                    cloud.events[number].at_ms + after
                    for number in touching
                    for after in cloud.events[number].after_ms
                ),
                *(event.at for event in cloud.handled if event.number in touching),
                *(request.at for request in cloud.requested if request.bucket == share.bucket),
                *(
                    write.at
                    for write, repeated, _ in _repeats(cloud)
                    if write.bucket == share.bucket and prefixes[repeated].startswith(prefixes[share.name])
                ),
            ]
            if not any(since - SKEW_MS <= each <= at for each in moments) and not _is_of_everything(
                cloud, of_bucket[-1], share
            ):
                broken.append(f"{share.name} was refreshed at {at}, and no event since {since} touched it")
    return broken


def _closes(write: Write) -> bool:
    return "opened_by" in write.before and "opened_by" not in (write.after or {})


def _is_of_everything(cloud: Cloud, close: Write, share: Share) -> bool:
    """Whether a rule of DESIGN 2a makes the refresh of a closed window one of this share."""
    before = close.before
    touched = before.get("touched", {"SS": ["/"]})["SS"]
    if "/" in touched:  # who said so, and why
        return any(
            "/" in {*(write.after or {}).get("touched", {"SS": ()})["SS"]}
            and (write.opener is None or _is_for_everything(cloud, write))
            for write in cloud.table.writes
            if write.bucket == close.bucket and write.at <= close.at
        )
    full_ms = cloud.schedule.full_every_h * HOUR_MS
    last = int(before.get("refreshed_all", {"N": "0"})["N"])
    return (
        "everything_until" in before
        or 0 < full_ms <= START_MS + close.at - last + 3 * SKEW_MS
        or share.name not in known_shares(before)
    )


def _is_for_everything(cloud: Cloud, write: Write) -> bool:
    """Whether an aggregator has reason to write that everything is touched."""
    before = write.before.get("touched", {"SS": ()})["SS"]
    folders = [cloud.events[number].folder for number in cloud.openers.values()]
    return (
        ("opened_by" in write.before and "touched" not in write.before)
        or len(before) >= MOST_TOUCHED
        or sum(map(len, before)) > MOST_TOUCHED_BYTES
        or any("%" in folder or len(folder) > MOST_TOUCHED_BYTES for folder in folders)
    )


def written_too_often(cloud: Cloud) -> list[str]:
    """Cost of the refresh function: two writes for each refresh; a write that loses a race does not count."""
    written = Counter(
        write.bucket
        for write in cloud.table.writes
        if write.opener is None and write.adds is None and write.after
    )
    refreshes = Counter(write.bucket for write in cloud.table.writes if write.after and _closes(write))
    return [
        f"{written[bucket]} writes for {refreshes[bucket]} refreshes of bucket {bucket}"
        for bucket in written
        if written[bucket] > 2 * refreshes[bucket]
    ]


def _may_ask_again(first: Write, second: Write) -> bool:
    told = first.after or first.before
    if "opened_by" not in told or second.opener == told["opened_by"]["S"]:
        # It opens, moves what it opened once, or was tried again.
        return not (_moves(first) and first.after and _moves(second))
    due = int(told["timestamp"]["N"]) - START_MS
    if second.opener == first.opener and second.sent >= due + EXPIRED_MS - SKEW_MS:
        return True  # the window expired between the two
    near_its_end = max(due - CLOSING_MS - SKEW_MS, first.sent + TRUSTED_MS)
    return second.sent >= min(near_its_end, first.sent + LONGEST_TRUST_MS)


def _finds_no_window_of_others(addition: Write, following: Write) -> bool:
    if not addition.adds:
        return False
    return not addition.after or addition.after["opened_by"]["S"] == following.opener


def _moves(write: Write) -> bool:
    return ":read_opened_by" in write.asked["ExpressionAttributeValues"]


def _showing(cloud: Cloud, event: Handled) -> list[Share]:
    """Return the shares that show the event's object."""
    return [share for share in cloud.schedule.shares if share.shows(cloud.events[event.number])]


def _accepted(cloud: Cloud, share: Share) -> list[int]:
    return cloud.gateways.accepted[share.name]


def _counting(cloud: Cloud, share: Share) -> list[int]:
    """Return the accepted refreshes that came at least the interval after the previous one."""
    starts = _accepted(cloud, share)
    intervals_s = [cloud.schedule.interval_s, *(change.interval_s for change in cloud.schedule.changes)]
    apart = min(APART_MS, min(intervals_s) * 1000)
    return [at for before, at in zip([-apart, *starts], starts, strict=False) if at - before >= apart]


def _was_known(share: Share, at: int) -> bool:
    """Whether a later refresh must know the share: a new share is found within an hour."""
    return share.removed_ms == FOREVER and (share.made_ms == 0 or share.made_ms + HOUR_MS + SKEW_MS < at)


def _excused(cloud: Cloud, event: Handled) -> bool:
    """Whether a dead letter represents the event.

    It can be the event itself or a message of its bucket. It can also be the event that opened its window, or
    a later one.
    """
    bucket = cloud.events[event.number].bucket
    if event.number in cloud.dead or any(message.bucket == bucket for message in cloud.queue.dead):
        return True
    opened = [
        (write.at, write.opener)
        for write in cloud.table.writes
        if write.bucket == bucket and write.opener and write.after
    ]
    since = max((at for at, opener in opened if opener == event.opener and at <= event.at), default=event.at)
    return any(cloud.openers.get(opener) in cloud.dead for at, opener in opened if at >= since)


def _calls(cloud: Cloud) -> int:
    """Return the longest duration of the calls of one refresh, in ms."""
    return MOST_CALLS * 2 * max(cloud.schedule.legs_ms)


def _pause(cloud: Cloud) -> int:
    return cloud.settings.interval_s * 1000 + SPARE_MS


def _interval_s(cloud: Cloud, at: int) -> int:
    """Return the interval that applies to an accepted refresh, which may precede the last change."""
    settings = [Change(0, cloud.schedule.window_s, cloud.schedule.interval_s), *cloud.schedule.changes]
    ends = [*(change.at_ms for change in settings[1:]), at + 1]
    return min(
        each.interval_s
        for each, end in zip(settings, ends, strict=True)
        if each.at_ms <= at and end > at - REFRESH_TIMEOUT_MS
    )
