"""test-upload: upload a few objects and follow their events through both functions to the refresh."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal
from urllib.parse import unquote_plus

from botocore.exceptions import BotoCoreError, ClientError

from s3agg.aws.clock import from_ms, to_ms
from s3agg.aws.refusals import doing
from s3agg.aws.session import Aws, batches
from s3agg.aws.waiting import pauses
from s3agg.errors import several
from s3agg.live import items, log_lines
from s3agg.live.items import BucketActivity
from s3agg.live.log_lines import COMPLETE, SENT, SKIPPED, LogLine, hides_lines
from s3agg.resources.function import Function
from s3agg.resources.notification import TEST_OBJECT, Notification
from s3agg.stack.declared import REFRESH_TIMEOUT_S, Stack
from s3agg.stack.deployed import Deployment

NEW_RULE_S = 180  # a new rule of a bucket can take minutes to work
CLOCKS_DIFFER_MS = 5 * 60 * 1000  # as far as AWS accepts; the run id tells our lines from others
SETTLING_S = 2.0  # that --min-interval is exceeded by
REFRESH_TAKES_S = 2.15  # at least, from a window's end: the function waits 2 s of it (DESIGN 2)
SOONEST_S = 0.3  # after the first look: CloudWatch Logs takes five of them a second, of all of an account
TICK_S = 1.0  # of the countdown to a window's end

COMPLETED = re.compile(rf"{COMPLETE}(\S+), started: (\d+), shares: (\S+)")

Became = Literal["uploaded", "opened the window", "in the window"]


@dataclass(frozen=True)
class Seen:
    """What became of one uploaded object, so many s after the upload began."""

    key: str
    became: Became
    seconds: float


@dataclass(frozen=True)
class Waiting:
    """What the probe waits for now, and for how long it has, in s; of a window, how much of it has passed."""

    what: str
    seconds: float
    passed: float | None = None  # 0 to 1


@dataclass(frozen=True)
class Refresh:
    """One complete refresh; no shares means that none is mapped to the bucket.

    Where the log level hides the functions' lines, nothing tells when it was complete.
    """

    start: datetime
    shares: tuple[str, ...]
    complete: datetime | None = None


@dataclass(frozen=True)
class Hop:
    """A step on the way from the upload to the refresh, and how many s after the upload began it was taken.

    Uploads are told by the clock here, what the functions do by theirs.
    """

    what: str
    time: datetime
    seconds: float


@dataclass(frozen=True)
class Report:
    """What `test-upload` found; the counts are None where the log level hides the lines."""

    bucket: str
    uploaded: int
    opened_windows: int | None
    within_window: int | None
    refreshes: tuple[Refresh, ...]
    hops: tuple[Hop, ...]
    objects: tuple[Seen, ...]
    seconds: float
    ok: bool
    notes: tuple[str, ...]


Event = Seen | Waiting | Refresh | Report


def default_timeout(stack: Stack) -> int:
    """How long a refresh may take, in s: DESIGN 2's freshness, and a new rule's delay."""
    return stack.settings.window + stack.settings.min_interval + REFRESH_TIMEOUT_S + NEW_RULE_S


def run(
    aws: Aws,
    deployment: Deployment,
    notification: Notification,
    *,
    count: int,
    timeout_s: float | None,
    keep: bool,
) -> Iterator[Event]:
    """Upload, follow, report; the last event is the Report. What was uploaded is removed, unless `keep`."""
    stack = deployment.stack
    probe = _Probe(aws, stack, notification)
    timeout = default_timeout(stack) if timeout_s is None else timeout_s
    found: bool | None = None
    try:
        yield from probe.upload(count)
        level = deployment.log_level
        if hides_lines(level):
            found = yield from probe.watch_table(timeout)
            probe.notes.append(f"The log level {level} hides the functions' lines: judged by the table.")
        else:
            found = yield from probe.follow_logs(timeout)
    finally:
        if not keep:
            probe.clean_up()
            if found is None and probe.uploaded:  # given up, or failed
                aws.warn("What was uploaded has been removed again.")
    if not found and any(change.action != "keep" for change in deployment.plan().changes):
        probe.notes.insert(0, f"The stack is not as declared, which may be why: see {probe.status}.")
    if not keep and notification.key in deployment.found:
        probe.notes.append("Removing the objects again is an event too: one more refresh follows.")
    yield probe.report(ok=found)


@dataclass(frozen=True)
class _Span:
    """Something to wait for, until `end` on the monotonic clock; it lasts `longest` s at most."""

    what: str
    end: float
    longest: float

    def waiting(self, now: float, left: float) -> Waiting:
        still = self.end - now
        return Waiting(f"{self.what} in {still:.0f} s", left, max(1 - still / self.longest, 0))


@dataclass
class _Probe:
    """One run: what was uploaded, and what has been seen of it."""

    aws: Aws
    stack: Stack
    notification: Notification
    run_id: str = field(default_factory=lambda: uuid.uuid4().hex[:12])
    started: float = 0
    uploaded: dict[str, str | None] = field(default_factory=dict)  # version ids by key
    objects: dict[str, Seen] = field(default_factory=dict)
    uploaded_at: list[int] = field(default_factory=list)  # ms since 1970, as what follows
    handled_at: list[int] = field(default_factory=list)  # when events were
    opened_at: int | None = None  # when the first of them opened a window
    due: datetime | None = None  # when that window was to close
    held_back: datetime | None = None  # until when the refresh was, so soon after the last one
    refreshes: list[Refresh] = field(default_factory=list)
    hidden: bool = False
    notes: list[str] = field(default_factory=list)

    @property
    def bucket(self) -> str:
        return self.notification.bucket

    @property
    def status(self) -> str:
        """The command that tells more, of this stack."""
        return f"s3agg status{self.stack.names.option}"

    @property
    def now_ms(self) -> int:
        return int(self.aws.clock.time() * 1000)

    @property
    def since(self) -> int:
        return int(self.started * 1000) - CLOCKS_DIFFER_MS

    def upload(self, count: int) -> Iterator[Event]:
        self.started = self.aws.clock.time()
        # A rule's prefix and suffix are URL-encoded, as S3 wants them; keys are not.
        keys = self.notification.keys
        prefix, suffix = unquote_plus(keys.prefix), unquote_plus(keys.suffix)
        names = [f"{prefix}{TEST_OBJECT}{self.run_id}-{number}{suffix}" for number in range(1, count + 1)]

        def put(key: str) -> Seen:
            try:
                answer = self.aws.s3.put_object(
                    Bucket=self.bucket,
                    Key=key,
                    Body=b"Uploaded by s3agg test-upload; can be removed.\n",
                    ExpectedBucketOwner=self.notification.place.account,
                )
            except BotoCoreError:  # no answer: it may be there
                self.uploaded[key] = None
                raise
            self.uploaded[key] = answer.get("VersionId")
            self.uploaded_at.append(self.now_ms)
            return Seen(key, "uploaded", self.after(self.now_ms))

        for some in batches(names, self.aws.workers):
            with doing(f"uploading to bucket {self.bucket}"):
                put_now = self.aws.side_by_side(put, some)
            self.objects.update({each.key: each for each in put_now})
            yield from put_now

    def after(self, at: int) -> float:
        """How many s after the upload began that was, ms since 1970."""
        return round(at / 1000 - self.started, 1) + 0.0  # -0.0 is for nobody

    def follow_logs(self, timeout: float) -> Generator[Event, None, bool]:
        """Follow each event by the functions' log lines; whether a refresh came after the last of them."""
        deadline = self.aws.clock.monotonic() + timeout
        if not (yield from self.poll(self.see_events, self.events_to_come, deadline)):
            self.notes.append(
                f"{self.missing} of {several(len(self.uploaded), 'event')} not seen within {timeout:.0f} s."
                " A new rule of a bucket can take minutes to work: try again."
            )
            return False
        yield from self.wait_while_there_is_nothing_to_see(self.item(), deadline)
        if not (yield from self.poll(self.see_refresh_of_all, lambda: "the refresh", deadline)):
            self.notes.append(f"No refresh came within {timeout:.0f} s; see what {self.status} says.")
            return False
        yield self.refreshes[-1]
        return True

    def watch_table(self, timeout: float) -> Generator[Event, None, bool]:
        """Judge by the bucket's item; whether a refresh started after the upload, and nothing is open."""
        self.hidden = True
        uploaded_at = from_ms(self.now_ms)
        deadline = self.aws.clock.monotonic() + timeout

        def see_item() -> Generator[Event, None, bool]:
            item = self.item()
            quiet = not item.window.open and not item.pending
            if quiet and item.last_refresh is not None and item.last_refresh > uploaded_at:
                self.refreshes.append(Refresh(item.last_refresh, item.shares))
                return True
            yield from self.wait_while_there_is_nothing_to_see(item, deadline)
            return False

        found = yield from self.poll(see_item, lambda: "the refresh", deadline)
        if not found:
            self.notes.append(
                f"The table shows no refresh within {timeout:.0f} s; see what {self.status} says."
            )
        return found

    def poll(
        self, look: Callable[[], Generator[Event, None, bool]], what: Callable[[], str], deadline: float
    ) -> Generator[Event, None, bool]:
        """Look until it is so, first soon, then slower; False if it is not by the deadline."""
        growing = pauses(SOONEST_S)
        while True:
            if (yield from look()):
                return True
            left = deadline - self.aws.clock.monotonic()
            if left <= 0:
                return False
            yield Waiting(what(), left)
            self.aws.clock.sleep(min(next(growing), left))

    def wait_while_there_is_nothing_to_see(self, item: BucketActivity, deadline: float) -> Iterator[Event]:
        """Wait until the refresh of an open window can have come; nobody is asked meanwhile."""
        if item.window.closes_at is None:
            return
        self.due = item.window.closes_at
        clock, settings = self.aws.clock, self.stack.settings
        now = clock.monotonic()

        def span(what: str, end: datetime, longest: float) -> _Span:
            # No longer than it may last, however far the functions' clock is from ours.
            return _Span(what, now + min(end.timestamp() - clock.time(), longest), longest)

        spans = [span("the window to close", item.window.closes_at, settings.window)]
        if item.not_before is not None and not item.pending:
            self.held_back = max(item.not_before, item.window.closes_at)
            what = "the last refresh to be long enough ago"
            spans.append(span(what, item.not_before, settings.min_interval + SETTLING_S))
        till = max(each.end for each in spans) + REFRESH_TAKES_S
        while (now := clock.monotonic()) < till and (left := deadline - now) > 0:
            ahead = [each.waiting(now, left) for each in spans if each.end > now]
            yield ahead[0] if ahead else Waiting("the refresh", left)
            clock.sleep(min(till - now, TICK_S, left))

    @property
    def missing(self) -> int:
        return self.how_many("uploaded")

    def how_many(self, became: Became) -> int:
        return sum(each.became == became for each in self.objects.values())

    def events_to_come(self) -> str:
        return f"{several(self.missing, 'event')} to reach function {self.stack.aggregator.name}"

    def see_refresh_of_all(self) -> Generator[Event, None, bool]:
        if not self.see_refreshes():
            return False
        yield from self.see_events()  # one that Lambda was given twice may have been handled after all others
        return self.see_refreshes()

    def see_events(self) -> Generator[Event, None, bool]:
        """Collect what became of each object; whether all are known."""
        for line in self.lines(self.stack.aggregator, f"{TEST_OBJECT}{self.run_id}-"):
            message, _, encoded = line.message.rpartition(" key=")
            key = unquote_plus(encoded)
            if key not in self.objects or self.objects[key].became == "opened the window":
                continue
            became: Became = "in the window"
            if SENT in message:
                became = "opened the window"
                self.opened_at = min(self.opened_at or line.time, line.time)
            elif SKIPPED not in message or self.objects[key].became != "uploaded":
                continue
            self.handled_at.append(line.time)
            self.objects[key] = Seen(key, became, self.after(line.time))
            yield self.objects[key]
        return not self.missing

    def see_refreshes(self) -> bool:
        """Collect the bucket's refreshes since the upload; whether one started after the last event."""
        lines = self.lines(self.stack.refresher, f"{COMPLETE}{self.bucket},")
        found = [self.refresh_of(line) for line in lines]
        self.refreshes = [each for each in found if each and each.start >= from_ms(min(self.handled_at))]
        return any(refresh.start >= from_ms(max(self.handled_at)) for refresh in self.refreshes)

    def refresh_of(self, line: LogLine) -> Refresh | None:
        match = COMPLETED.search(line.message)
        if match is None or match[1] != self.bucket:
            return None
        shares = () if match[3] == "none" else tuple(match[3].split(","))
        return Refresh(from_ms(int(match[2])), shares, from_ms(line.time))

    def lines(self, function: Function, containing: str) -> list[LogLine]:
        with doing(f"reading the log of function {function.name}"):
            return list(log_lines.log_lines(self.aws, function.log_group.name, self.since, containing))

    def item(self) -> BucketActivity:
        with doing(f"reading table {self.stack.table.name}"):
            return items.bucket(self.aws, self.stack.table.name, self.bucket)

    def clean_up(self) -> None:
        def remove(key: str) -> None:
            version: Any = {"VersionId": self.uploaded[key]} if self.uploaded[key] else {}
            try:
                self.aws.s3.delete_object(
                    Bucket=self.bucket,
                    Key=key,
                    ExpectedBucketOwner=self.notification.place.account,
                    **version,
                )
            except (BotoCoreError, ClientError) as error:
                self.aws.warn(f"Could not remove {key} from bucket {self.bucket}: {error}")

        self.aws.side_by_side(remove, list(self.uploaded))

    def hops(self) -> Iterator[Hop]:
        def hop(what: str, at: datetime) -> Hop:
            return Hop(what, at, self.after(to_ms(at)))

        yield hop("upload began", from_ms(int(self.started * 1000)))
        yield hop("last object uploaded", from_ms(max(self.uploaded_at)))
        if self.handled_at:
            yield hop("first event handled", from_ms(min(self.handled_at)))
        if self.opened_at is not None:
            yield hop("window opened", from_ms(self.opened_at))
        if len(self.handled_at) > 1:
            yield hop("last event handled", from_ms(max(self.handled_at)))
        if self.due is not None:
            yield hop("window due", self.due)
        if self.held_back is not None and self.held_back != self.due:
            yield hop("held back till now by --min-interval", self.held_back)
        for refresh in self.refreshes:
            yield hop("refresh began", refresh.start)
            if refresh.complete is not None:
                yield hop("refresh complete", refresh.complete)

    def report(self, *, ok: bool) -> Report:
        if ok and not any(refresh.shares for refresh in self.refreshes):
            self.notes.append(
                f"No file share is mapped to bucket {self.bucket}: the refresh had nothing to refresh."
            )
        return Report(
            bucket=self.bucket,
            uploaded=len(self.uploaded),
            opened_windows=None if self.hidden else self.how_many("opened the window"),
            within_window=None if self.hidden else self.how_many("in the window"),
            refreshes=tuple(self.refreshes),
            hops=tuple(sorted(self.hops(), key=lambda hop: hop.time)),
            objects=tuple(self.objects.values()),
            seconds=round(self.aws.clock.time() - self.started, 1),
            ok=ok,
            notes=tuple(self.notes),
        )
