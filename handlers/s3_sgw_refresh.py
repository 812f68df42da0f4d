"""Closes a bucket's window and refreshes the Storage Gateway file shares that its events touched.

The queue invokes `lambda_handler` with the message that s3_aggregator sent when it opened the
window. The bucket's item in the table decides what to do; the message only triggers it. `pending`
means that a window was closed and its refresh is not finished. `refreshing` is what it is for, and
`known` tells which file shares have accepted it. `not_before` is when the next refresh may start.

No refresh is lost: `pending` is written before the refresh, and removed only after every share has
accepted it. The message of the closed window is kept until then. A message that arrives too
early is put off by its visibility timeout. It is never sent again, because Lambda stops a function
that sends to its own queue.
"""

from __future__ import annotations

import json
import logging
import math
import os
import time
import uuid
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from functools import cache, partial
from typing import Any

import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from completions import Completions
from file_shares import Shares, UnfinishedLookupError, ids
from known_shares import KnownShare, pack
from messages import bucket_of, due_of, event_of, id_of, messages_of, pause_after_error_s
from shared import (
    EVERYTHING,
    LONGEST_TRUST_MS,
    LOST_RACE_S,
    MOST_SKEW_MS,
    REFRESH_TIMEOUT_MS,
    Clock,
    Item,
    Lengths,
    Touched,
    entry,
    log_as_lambda_does,
    touches,
    within_limits,
)
from table import Table

logger = logging.getLogger("s3_sgw_refresh")
session = botocore.session.get_session()  # boto3 would only slow a cold start

SETTLE_S = 2  # after this wait, every event skipped from memory is older than the refresh
LONGEST_PAUSE_MS = 15 * 60 * 1000
MOST_TRIES = 10  # the pause does not grow after this number
LONGEST_EVERYTHING_MS = 24 * 60 * 60 * 1000  # a later `everything_until` is of a wrong clock
SHARES_FRESH_MS = 60 * 60 * 1000
HOUR_MS = 60 * 60 * 1000
LONGEST_ANSWER = 120  # characters of a gateway's answer in the item, which costs by size
LONGEST_PUT_OFF_S = 43_000  # SQS allows 12 hours from the receipt
NAMESPACE, METRIC = "s3agg", "UnrefreshedFor"  # of the metric that the alarm watches


def lambda_handler(event: Any, context: Any) -> dict[str, list[dict[str, str]]]:
    """Handle a batch of messages. All of them stay in the queue if this raises."""
    log_as_lambda_does(logger, getattr(context, "aws_request_id", "-"))
    refresher = this_instance(context.invoked_function_arn)
    return refresher.handle_batch(event, context.get_remaining_time_in_millis)


class Act(Enum):
    """What to do with a message."""

    DROP = auto()
    PUT_OFF = auto()  # until `Step.till`
    CLOSE_SOONER = auto()  # close the open window sooner, as it is longer than any valid window
    RESTART_PAUSE = auto()  # restart the pause, as it is longer than any valid pause
    REFRESH = auto()


@dataclass(frozen=True)
class Step:
    """What to do with a message now. `till` in ms since 1970."""

    act: Act
    till: int | None = None  # when the message is needed again, because its own window closes then
    closing: bool = False  # whether the refresh closes the open window
    is_for_rest: bool = True  # whether the message is kept for the shares that have not accepted yet


def decide(item: Item, due: int, now: int, lengths: Lengths) -> Step:
    """Return what to do with a message whose window is due at `due`; times in ms since 1970."""
    till = item.due  # when the open window closes
    if till is not None and till > now + lengths.furthest:
        return Step(Act.CLOSE_SOONER)
    closed = item.number("closed") or 0
    # The open window is the message's own, or it replaced that window, which was never closed.
    waiting = till is not None and (till == due or closed < due)
    # A later window was closed. Its own message takes care of the pending refresh.
    superseded = 0 < due < closed
    closing = till is not None and till <= now
    if not closing and (superseded or item.text("pending") is None):
        return Step(Act.PUT_OFF, till) if waiting else Step(Act.DROP)
    not_before = lengths.next_refresh(item)
    if not_before > now + lengths.pause + MOST_SKEW_MS:
        return Step(Act.RESTART_PAUSE)
    if not_before > now:
        return Step(Act.PUT_OFF, not_before)
    own = till if waiting and not closing else None
    # If the closed window is of another message, that message is kept, or its opening event is a dead letter.
    return Step(Act.REFRESH, own, closing, is_for_rest=waiting or not closing)


def to_refresh(before: Item, now: int, full_every_ms: int, *, closing: bool) -> tuple[Touched, str]:
    """Return what a round refreshes, by the item that its first write has changed.

    Also return why, if that is everything.
    """
    last = before.number("refreshed_all") or 0
    is_pending = not closing or before.text("pending") is not None
    window = before.touched if closing else frozenset[str]()
    unfinished = before.refreshing if is_pending else frozenset[str]()
    if closing and before.number("everything_until") is not None:
        return None, "the stack was changed or repaired"
    if closing and 0 < full_every_ms <= abs(now - last):
        return None, f"the last refresh of all began {full_every_ms // HOUR_MS} h ago or earlier"
    if window is None:
        return None, "no record tells what the events touched"
    if EVERYTHING in window:
        return None, "the events touched too many folders, or the file shares have changed"
    if unfinished is None or EVERYTHING in unfinished:
        return None, "a refresh of all was asked for, or is unfinished"
    return window | unfinished, ""


def still_done(before: Item, now: int, full_every_ms: int) -> frozenset[str]:
    """Return the shares that accepted the unfinished refresh, and that no event of the closed window touched.

    They owe nothing to anybody. If they were refreshed again, a gateway that accepts two in each round would
    never finish a refresh of everything. But none of them may wait longer than `full_every_ms`.
    """
    if before.text("pending") is None or before.number("everything_until") is not None:
        return frozenset()
    return frozenset(
        share
        for share in before.done & before.known.keys()
        if not touches(before.touched, before.known[share].prefix)
        and (not full_every_ms or abs(now - (before.known[share].began or 0)) < full_every_ms)
    )


def after(step: Step, complete: bool, accepted: int, tries: int, lengths: Lengths) -> int | None:
    """Return until when to put the message off after a refresh, ms since 1970; None if it is done."""
    if complete:
        return step.till
    if not step.is_for_rest:
        return None
    # The pause for the remaining shares grows, but does not delay a window that is due.
    not_before = accepted + lengths.pause
    later = accepted + max(lengths.pause, min(lengths.pause << max(tries - 1, 0), LONGEST_PAUSE_MS))
    return later if step.till is None else max(not_before, min(later, step.till))


class Refresher:
    """One execution environment: its clients and its clock."""

    def __init__(
        self,
        *,
        table: str,
        queue_url: str,
        window_s: int,
        interval_s: int,
        full_every_h: int,
        function_arn: str,
        dynamodb: Any,
        sqs: Any,
        shares: Shares,
        clock: Any = time,
    ) -> None:
        self.queue_url = queue_url
        self.lengths = Lengths.of(window_s, interval_s)
        self.full_every_ms = full_every_h * HOUR_MS  # 0: never
        self.function_arn = function_arn
        partition, _, self.region, account = function_arn.split(":")[1:5]
        self.share_prefix = f"arn:{partition}:storagegateway:{self.region}:{account}:share/"
        self.sqs = sqs
        self.shares = shares
        self.clock = Clock(clock)
        self.table = Table(dynamodb, table, self.clock)
        self.completions = Completions(self.table, shares, self.lengths, self.share_prefix)

    def handle_batch(self, event: Any, time_left_ms: Callable[[], int]) -> dict[str, list[dict[str, str]]]:
        """Handle each message; report the messages to keep in the queue."""
        kept = []
        for message in messages_of(event):
            try:
                keep = self.handle_record(message, time_left_ms)
            except Exception:  # logged, and the message is put off, longer each time
                logger.exception("Could not handle the message of bucket: %s", bucket_of(message))
                self.put_off_after_error(message)
                keep = True
            if keep:
                kept.append({"itemIdentifier": id_of(message)})
        return {"batchItemFailures": kept}

    def handle_record(self, message: dict[str, Any], time_left_ms: Callable[[], int]) -> bool:
        """Handle one message; return whether it is still needed. If so, it has been put off."""
        event = event_of(message)
        if event is not None:
            return self.handle_completion(message, event, time_left_ms)
        bucket = bucket_of(message)
        if not bucket:
            logger.warning("A message without a bucket name, dropping: %s", id_of(message))
            return False
        till = self.handle_bucket(bucket, due_of(message), time_left_ms)
        if till is None:
            return False
        self.put_off(message, bucket, till)
        return True

    def handle_completion(
        self, message: dict[str, Any], event: dict[str, Any], time_left_ms: Callable[[], int]
    ) -> bool:
        """Handle a gateway's event of a finished refresh; return as `handle_record`."""
        answer = self.completions.handle(message, event, time_left_ms)
        if answer is None:
            return False
        till = answer.till
        if answer.to_refresh is not None:
            till = self.handle_bucket(answer.bucket, 0, time_left_ms, answer.to_refresh)
        if till is None:
            return False
        self.put_off(message, answer.bucket, till)
        return True

    def handle_bucket(
        self, bucket: str, due: int, time_left_ms: Callable[[], int], item: Item | None = None
    ) -> int | None:
        """Close a due window and refresh; return until when to put the message off, or None.

        The item is read unless it is given.
        """
        item = item or self.table.read(bucket)
        now = self.clock.now()
        step = decide(item, due, now, self.lengths)
        if step.act is Act.DROP:
            logger.info("Nothing to refresh for bucket: %s", bucket)
            return None
        if step.act is Act.PUT_OFF:
            return step.till
        if step.act is Act.CLOSE_SOONER:
            return self.close_sooner(bucket, item, now)
        if step.act is Act.RESTART_PAUSE:
            return self.restart_pause(bucket, item, now)
        latest = now + min(time_left_ms(), REFRESH_TIMEOUT_MS)
        since = (item.due if step.closing else item.pending_since) or now
        oldest = min(item.unrefreshed_since or since, since)
        token = uuid.uuid4().hex
        before = self.begin(bucket, item, token, latest, oldest, closing=step.closing)
        if before is None:
            return self.clock.now() + LOST_RACE_S * 1000
        self.clock.sleep(SETTLE_S)

        touched, why_all = to_refresh(before, now, self.full_every_ms, closing=step.closing)
        done = self.arns(still_done(before, now, self.full_every_ms) if step.closing else item.done)
        if why_all and len(before.known) > 1 and (step.closing or not done):
            logger.info("Refreshing all file shares of bucket: %s, as %s", bucket, why_all)
        of_events = [before.touched if step.closing else None, before.refreshing]
        first = frozenset[str]().union(*(each for each in of_events if each)) - {EVERYTHING}
        outcome = self.refresh(bucket, before, touched, first, done, time_left_ms)
        tries = min(max(item.number("tries") or 0, 0), MOST_TRIES)
        tries = tries // 2 if outcome.accepted else min(tries + 1, MOST_TRIES)
        accepted = self.clock.now()
        # If the last round has not told which shares are owed the oldest refresh, all of them are.
        owed = owed_since(item, since if item.owed else oldest, outcome)
        if not self.finish(bucket, token, outcome, accepted, tries, owed):
            return self.clock.now() + LOST_RACE_S * 1000
        if not outcome.complete:
            self.measure(accepted - (min(owed.values()) if outcome.all_found else oldest))
        return after(step, outcome.complete, accepted, tries, self.lengths)

    def close_sooner(self, bucket: str, item: Item, now: int) -> int:
        """Give a window that is due too late an earlier end; return until when to put the message off.

        The new end is late enough that every instance with the window in memory reads the table before.
        """
        due = now + LONGEST_TRUST_MS
        logger.info("Window of bucket: %s is too long, closing it in %d s", bucket, LONGEST_TRUST_MS // 1000)
        before = self.table.write_if_as_read(bucket, item, "SET #timestamp = :due", {":due": {"N": str(due)}})
        return due if before else self.clock.now() + LOST_RACE_S * 1000

    def restart_pause(self, bucket: str, item: Item, now: int) -> int:
        """Restart the pause now; return until when to put the message off.

        A wrong clock, or a longer interval of an older version, has set it too far in the future.
        """
        logger.warning("The last refresh of bucket: %s lies in the future, waiting anew", bucket)
        sets, values = self.pause_from(now)
        before = self.table.write_if_as_read(bucket, item, f"SET {sets}", values)
        return now + self.lengths.pause if before else self.clock.now() + LOST_RACE_S * 1000

    def begin(
        self, bucket: str, item: Item, token: str, accepted: int, since: int, *, closing: bool
    ) -> Item | None:
        """Mark the refresh as pending and close a due window; return the item before, None if it had changed.

        What is returned holds all that was touched: events may have added to it since the item was read.
        If this run ends here, nothing tells any more what to refresh. So that is everything then.
        `accepted` is the latest time at which the shares accept. `since` is when the oldest refresh was due
        that is still owed to a share. Times in ms since 1970. Which share that is, `finish` tells again.
        """
        sets, values = self.pause_from(accepted)
        update = f"SET pending = :token, unrefreshed_since = :since, {sets}"
        values[":token"] = {"S": token}
        values[":since"] = {"N": str(since)}
        if closing:
            values[":due"] = {"N": str(item.due)}
            update += ", closed = :due REMOVE owed, #timestamp, opened_by, touched, refreshing, done, again"
            until = item.number("everything_until")
            # Events were skipped until then, and nothing was added for them. The next window is a new one.
            if until is not None and not 0 < until - self.clock.now() < LONGEST_EVERYTHING_MS:
                update += ", everything_until"
        else:
            update += " REMOVE owed"
        return self.table.write_if_as_read(bucket, item, update, values)

    def pause_from(self, accepted: int) -> tuple[str, dict[str, Any]]:
        """Return the SET clause and values for the pause after `accepted`, ms since 1970.

        The pause is stored too, so that a later change of the interval applies to it.
        """
        pause = self.lengths.pause
        values = {":pause": {"N": str(pause)}, ":not_before": {"N": str(accepted + pause)}}
        return "not_before = :not_before, pause = :pause", values

    def finish(
        self, bucket: str, token: str, outcome: Outcome, accepted: int, tries: int, owed: dict[str, int]
    ) -> bool:
        """Write the outcome of the refresh; return False if another instance has taken it over.

        `owed` as of `owed_since`.
        """
        keeps, values = self.pause_from(accepted)
        values[":token"] = {"S": token}
        sets = [keeps]
        removes = []
        adds = ""
        if outcome.complete:
            sets += ["refreshed = :started", "refreshed_shares = :count"]
            values[":started"] = {"N": str(outcome.started)}
            values[":count"] = {"N": str(len(outcome.targets - outcome.lost))}
            if outcome.touched is None:
                sets.append("refreshed_all = :all")
                values[":all"] = {"N": str(self.refreshed_all(outcome))}
            removes += ["pending", "refreshing", "done", "tries", "unrefreshed_since", "owed", "answer"]
        else:
            unfinished, more = self.unfinished(outcome, tries, owed)
            sets += unfinished
            values |= more
            if ":answer" not in values:
                removes.append("answer")
        if known := self.known_after(outcome, owed):
            sets.append("known = :known")
            values[":known"] = {"B": pack(known)}
        elif outcome.looked_up is not None:
            removes.append("known")
        if outcome.looked_up is not None:
            sets.append("shares_found = :found")
            values[":found"] = {"N": str(outcome.looked_up)}
            removes.append("shares")  # of an older version
            if outcome.is_changed:  # events were skipped by the prefixes that were known before
                adds = " ADD touched :everything"
                values[":everything"] = {"SS": [EVERYTHING]}
        update = "SET " + ", ".join(sets) + (" REMOVE " + ", ".join(removes) if removes else "") + adds
        if self.table.write(bucket, update, "pending = :token", values) is None:
            logger.warning("Refresh of bucket: %s was taken over by another instance", bucket)
            return False
        if outcome.complete:
            logger.info(
                "Refresh accepted for bucket: %s, started: %d, shares: %s",
                bucket,
                outcome.started,
                self.accepted_by(outcome),
            )
        return True

    def known_after(self, outcome: Outcome, owed: dict[str, int]) -> dict[str, KnownShare]:
        """Return what the item is to tell of each share, by its id. `owed` as of `owed_since`.

        Only a lookup changes which shares these are: after a failed one, the next round looks for the others.
        """
        before = outcome.known_before
        found = outcome.shares
        if outcome.looked_up is None:
            found = {self.share_prefix + share: each.prefix for share, each in before.items()}
        known = {}
        for share, prefix in found.items():
            (name,) = ids([share])
            last = before.get(name, KnownShare(prefix))
            accepted = share in outcome.accepted
            known[name] = KnownShare(
                prefix,
                began=outcome.started if accepted else last.began,
                given=self.shares.given[share] if accepted else last.given,
                done=not outcome.complete and share in outcome.done,
                owed=None if outcome.complete else owed.get(name),
            )
        return known

    def refreshed_all(self, outcome: Outcome) -> int:
        """Return when the first of the rounds began in which all shares accepted, ms since 1970."""
        earlier = ids((outcome.done & outcome.targets) - outcome.accepted)
        began = [outcome.known_before[share].began for share in earlier if share in outcome.known_before]
        return min((each for each in began if each is not None), default=outcome.started)

    def accepted_by(self, outcome: Outcome) -> str:
        """Return the shares that accepted for the log line, or why there are none."""
        if not outcome.shares:
            return f"no file share in {self.region}"
        if not outcome.targets:
            return "none touched"
        return ",".join(sorted(outcome.targets - outcome.lost)) or "none accepted"

    def unfinished(
        self, outcome: Outcome, tries: int, owed: dict[str, int]
    ) -> tuple[list[str], dict[str, Any]]:
        """Return the SET clauses and values of a refresh that some shares have not accepted."""
        sets = ["tries = :tries"]
        values: dict[str, Any] = {":tries": {"N": str(tries)}}
        if outcome.done:
            sets.append("done = :done")
            values[":done"] = {"BOOL": True}  # of each share `known` tells it
        touched = outcome.touched
        if touched is None and outcome.first:  # everything, and what comes first of it
            touched = outcome.first | {EVERYTHING}
        if touched is not None:
            sets.append("refreshing = :refreshing")
            new = {entry(outcome.shares[share]) for share in outcome.new}
            values[":refreshing"] = {"SS": sorted(within_limits(touched | new))}
        if not owed:
            return sets, values
        sets.append("owed = :owed")
        values[":owed"] = {"BOOL": True}  # `known` tells what
        longest = min(owed, key=lambda share: owed[share])
        if outcome.all_found:  # otherwise there may be a share that has been waiting longer
            sets.append("unrefreshed_since = :since")
            values[":since"] = {"N": str(owed[longest])}
        if answer := outcome.refusals.get(self.share_prefix + longest):
            sets.append("answer = :answer")
            values[":answer"] = {"S": answer[:LONGEST_ANSWER]}
        return sets, values

    def measure(self, unrefreshed_ms: int) -> None:
        """Report how long a share has been waiting, as a metric in CloudWatch's embedded metric format."""
        metric = {"Name": METRIC, "Unit": "Seconds"}
        directive = {"Namespace": NAMESPACE, "Dimensions": [["FunctionName"]], "Metrics": [metric]}
        line = {
            "_aws": {"Timestamp": self.clock.now(), "CloudWatchMetrics": [directive]},
            "FunctionName": self.function_arn.split(":")[6],
            METRIC: max(unrefreshed_ms, 0) / 1000,
        }
        print(json.dumps(line), flush=True)  # noqa: T201  # CloudWatch reads no metric after a prefix

    def refresh(
        self,
        bucket: str,
        item: Item,
        touched: Touched,
        first: frozenset[str],
        done: frozenset[str],
        time_left_ms: Callable[[], int],
    ) -> Outcome:
        """Refresh the touched shares that have not accepted yet; look the shares up if necessary.

        `first` holds the folders and prefixes of the events of the window that this round closed. Their
        shares come first: the others may be many, and only wait for a refresh of everything.
        """
        started = self.clock.now()
        before = {self.share_prefix + share: each.prefix for share, each in item.known.items()}
        # An older version stored the shares without their prefixes.
        of_older = self.arns(item.texts("shares"))
        shares = dict.fromkeys(of_older, "") | before

        def targets() -> frozenset[str]:
            return frozenset(
                share for share, prefix in shares.items() if share not in before or touches(touched, prefix)
            )

        def in_turn(some: frozenset[str]) -> list[str]:
            """Those whose last refresh began earliest come first."""
            began = {self.share_prefix + share: each.began or 0 for share, each in item.known.items()}
            return sorted(some, key=lambda share: (began.get(share, 0), share))

        looked_up = None
        all_found = True
        is_old = abs(started - (item.number("shares_found") or 0)) > SHARES_FRESH_MS
        if of_older or not shares or is_old:
            looked_up, shares = self.look_up(bucket, shares, time_left_ms)
            all_found = looked_up is not None
        # With another prefix, a share shows other events than it was refreshed for.
        done -= {share for share, prefix in before.items() if shares.get(share) != prefix}
        tried = targets() - done
        accepted, gone, refusals = frozenset[str](), frozenset[str](), dict[str, str]()
        # Calls at the same time arrive in any order, and a gateway takes the first two. So the others wait.
        urgent = frozenset(share for share in tried if touches(first, shares[share]))
        for some in (urgent, tried - urgent):
            if some:
                more, lost, other = self.shares.refresh(bucket, in_turn(some), time_left_ms)
                accepted, gone, refusals = accepted | more, gone | lost, refusals | other
        lost = frozenset[str]()
        if gone:
            left = {share: prefix for share, prefix in shares.items() if share not in gone}
            looked_up, shares = self.look_up(bucket, left, time_left_ms)
            all_found = looked_up is not None
            again = in_turn(targets() - (tried - gone) - done)
            more, lost, other = self.shares.refresh(bucket, again, time_left_ms)
            accepted |= more
            refusals |= other
        for share in sorted(lost):
            logger.warning("Listed file share cannot be found, leaving it out: %s", share)
        if all_found and not shares:
            logger.warning(
                "No file share in %s is mapped to bucket: %s, nothing to refresh", self.region, bucket
            )
        return Outcome(
            started,
            shares,
            targets(),
            touched,
            accepted,
            done | accepted,
            looked_up,
            lost,
            refusals,
            new=frozenset(shares.keys() - before.keys()),
            all_found=all_found,
            is_changed=looked_up is not None and shares != before,
            known_before=item.known,
            first=first,
        )

    def look_up(
        self, bucket: str, known: dict[str, str], time_left_ms: Callable[[], int]
    ) -> tuple[int | None, dict[str, str]]:
        """Return the time of the lookup and the bucket's prefixes by share; None and `known` if it fails."""
        now = self.clock.now()
        try:
            return now, self.shares.of(bucket, self.function_arn, time_left_ms)
        except (BotoCoreError, ClientError, UnfinishedLookupError) as error:
            logger.warning("Could not look up the file shares of bucket: %s: %s", bucket, error)
            return None, known

    def arns(self, share_ids: Collection[str]) -> frozenset[str]:
        return frozenset(self.share_prefix + share for share in share_ids)

    def put_off_after_error(self, message: dict[str, Any]) -> None:
        """Try a message again soon after an exception, and later after each other one."""
        if "receiptHandle" in message:
            pause_ms = pause_after_error_s(message) * 1000
            self.put_off(message, bucket_of(message), self.clock.now() + pause_ms)

    def put_off(self, message: dict[str, Any], bucket: str, till: int) -> None:
        """Hide the message until then; if that fails, the queue's visibility timeout applies."""
        seconds = min(max(math.ceil((till - self.clock.now()) / 1000), 1), LONGEST_PUT_OFF_S)
        logger.info("Putting off the message of bucket: %s by %d s", bucket, seconds)
        try:
            self.sqs.change_message_visibility(
                QueueUrl=self.queue_url,
                ReceiptHandle=message["receiptHandle"],
                VisibilityTimeout=seconds,
            )
        except (BotoCoreError, ClientError) as error:
            logger.warning("Could not put off the message of bucket: %s: %s", bucket, error)


@dataclass(frozen=True)
class Outcome:
    """The result of one round of refreshes."""

    started: int  # ms since 1970
    shares: dict[str, str]  # the bucket's shares: prefixes by ARN
    targets: frozenset[str]  # the shares to refresh
    touched: Touched  # what to refresh
    accepted: frozenset[str]  # the shares that accepted in this round
    done: frozenset[str]  # the shares that accepted since the window was closed
    looked_up: int | None  # time of the lookup, ms since 1970; None without a lookup
    lost: frozenset[str]  # listed by the lookup, but refused as not found even after it
    refusals: dict[str, str]  # the gateway's answer, by the share that did not accept
    new: frozenset[str]  # the shares that no earlier lookup found
    all_found: bool  # False if a lookup failed, so that shares may be missing
    is_changed: bool  # whether the lookup changed the shares or their prefixes
    known_before: Mapping[str, KnownShare]  # by the shares' ids
    first: frozenset[str]  # what events touched, of what is to be refreshed

    @property
    def complete(self) -> bool:
        return self.all_found and self.targets <= self.done | self.lost


def owed_since(item: Item, since: int, outcome: Outcome) -> dict[str, int]:
    """Return when the oldest refresh was due that each remaining share has not accepted, by its id.

    `since` is when this round's refresh was due. Times in ms since 1970.
    """
    before = item.owed
    remaining = ids(outcome.targets - outcome.done - outcome.lost)
    return {share: min(before.get(share, since), since) for share in remaining}


@cache
def this_instance(function_arn: str) -> Refresher:
    """Return the refresher of this execution environment, created for its first message."""
    # TIME_TO_FINISH_MS and TIME_TO_LOOK_UP_MS of file_shares depend on these timeouts.
    once = Config(connect_timeout=1, read_timeout=5, retries={"mode": "standard", "total_max_attempts": 1})
    config = once.merge(Config(retries={"mode": "standard", "total_max_attempts": 2}))
    return Refresher(
        table=os.environ["TABLE_NAME"],
        queue_url=os.environ["QUEUE_URL"],
        window_s=int(os.environ["REFRESH_DELAY_SECONDS"]),
        interval_s=int(os.environ.get("MIN_INTERVAL_SECONDS", "60")),
        full_every_h=int(os.environ.get("FULL_EVERY_HOURS", "24")),
        function_arn=function_arn,
        dynamodb=session.create_client("dynamodb", config=config),
        sqs=session.create_client("sqs", config=config),
        shares=Shares(
            gateway=session.create_client("storagegateway", config=once),
            lookup=session.create_client("storagegateway", config=config),
            s3control=cache(partial(session.create_client, "s3control", config=config)),
        ),
    )
