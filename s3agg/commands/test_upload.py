"""test-upload: upload a few objects and follow their events through both functions to the refresh."""

from __future__ import annotations

import re
import uuid
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, Protocol
from urllib.parse import unquote_plus

from botocore.exceptions import BotoCoreError, ClientError

from s3agg.aws.clock import from_ms, to_ms
from s3agg.aws.refusals import describing_errors
from s3agg.aws.session import Aws, batches
from s3agg.aws.waiting import pauses
from s3agg.errors import Advice, S3aggError, plural
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
    notes: tuple[S3aggError, ...]  # what else there is to know, and what to do


Event = Seen | Waiting | Refresh


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
) -> Generator[Event, None, Report]:
    """Upload, follow, report. What was uploaded is removed, unless `keep`."""
    stack = deployment.stack
    timeout = default_timeout(stack) if timeout_s is None else timeout_s
    upload = _Upload(aws, notification)
    observer: _Observer | None = None
    notes: list[S3aggError] = []
    found: bool | None = None
    try:
        yield from upload.put(count)
        level = deployment.log_level
        if hides_lines(level):
            observer = _Watcher(aws, stack, upload)
            notes.append(S3aggError(f"The log level {level} hides the functions' lines: judged by the table"))
        else:
            observer = _Follower(aws, stack, upload)
        found = yield from _observe(aws, observer, aws.clock.monotonic() + timeout)
    finally:
        if not keep:
            upload.clean_up()
            if found is None and upload.versions:  # given up, or failed
                aws.warn("What was uploaded has been removed again.")
    if not found:
        notes.append(observer.why_not(timeout))
    if not found and any(change.action != "keep" for change in deployment.plan().changes):
        notes.insert(0, S3aggError("The stack is not as declared, which may be why", "See", Advice("status")))
    if not keep and notification.key in deployment.found:
        notes.append(S3aggError("Removing the objects again is an event too: one more refresh follows"))
    trail = observer.trail
    if found and not any(refresh.shares for refresh in trail.refreshes):
        notes.append(
            S3aggError(
                f"No file share is mapped to bucket {upload.bucket}: the refresh had nothing to refresh"
            )
        )
    seen = isinstance(observer, _Follower)
    return Report(
        bucket=upload.bucket,
        uploaded=len(upload.versions),
        opened_windows=trail.how_many("opened the window") if seen else None,
        within_window=trail.how_many("in the window") if seen else None,
        refreshes=tuple(trail.refreshes),
        hops=tuple(sorted(_hops(upload, trail), key=lambda hop: hop.time)),
        objects=tuple(trail.objects.values()),
        seconds=round(aws.clock.time() - upload.started, 1),
        ok=found,
        notes=tuple(notes),
    )


@dataclass
class _Upload:
    """The objects of one run, in the bucket."""

    aws: Aws
    notification: Notification
    run_id: str = field(default_factory=lambda: uuid.uuid4().hex[:12])
    started: float = 0
    versions: dict[str, str | None] = field(default_factory=dict)  # version ids by key
    uploaded_at: list[int] = field(default_factory=list)  # ms since 1970
    seen: dict[str, Seen] = field(default_factory=dict)  # by key

    @property
    def bucket(self) -> str:
        return self.notification.bucket

    @property
    def since(self) -> int:
        """No line about these objects is older, ms since 1970."""
        return int(self.started * 1000) - CLOCKS_DIFFER_MS

    def after(self, at: int) -> float:
        """How many s after the upload began that was, ms since 1970."""
        return round(at / 1000 - self.started, 1) + 0.0  # -0.0 is for nobody

    def put(self, count: int) -> Iterator[Seen]:
        self.started = self.aws.clock.time()
        # A rule's prefix and suffix are URL-encoded, as S3 wants them; keys are not.
        keys = self.notification.keys
        prefix, suffix = unquote_plus(keys.prefix), unquote_plus(keys.suffix)
        names = [f"{prefix}{TEST_OBJECT}{self.run_id}-{number}{suffix}" for number in range(1, count + 1)]
        for some in batches(names, self.aws.workers):
            with describing_errors(f"uploading to bucket {self.bucket}"):
                put_now = self.aws.side_by_side(self._put, some)
            self.seen.update({each.key: each for each in put_now})
            yield from put_now

    def _put(self, key: str) -> Seen:
        try:
            answer = self.aws.s3.put_object(
                Bucket=self.bucket,
                Key=key,
                Body=b"Uploaded by s3agg test-upload; can be removed.\n",
                ExpectedBucketOwner=self.notification.place.account,
            )
        except BotoCoreError:  # no answer: it may be there
            self.versions[key] = None
            raise
        self.versions[key] = answer.get("VersionId")
        now = int(self.aws.clock.time() * 1000)
        self.uploaded_at.append(now)
        return Seen(key, "uploaded", self.after(now))

    def clean_up(self) -> None:
        def remove(key: str) -> None:
            version: Any = {"VersionId": self.versions[key]} if self.versions[key] else {}
            try:
                self.aws.s3.delete_object(
                    Bucket=self.bucket,
                    Key=key,
                    ExpectedBucketOwner=self.notification.place.account,
                    **version,
                )
            except (BotoCoreError, ClientError) as error:
                self.aws.warn(f"Could not remove {key} from bucket {self.bucket}: {error}")

        self.aws.side_by_side(remove, list(self.versions))


@dataclass
class _Trail:
    """What has been seen of the objects and of what they cause; moments in ms since 1970."""

    objects: dict[str, Seen]
    handled_at: list[int] = field(default_factory=list)  # when events were
    opened_at: int | None = None  # when the first of them opened a window
    due: datetime | None = None  # when that window was to close
    held_back: datetime | None = None  # until when the refresh was, so soon after the last one
    refreshes: list[Refresh] = field(default_factory=list)

    def how_many(self, became: Became) -> int:
        return sum(each.became == became for each in self.objects.values())


@dataclass(frozen=True)
class _Span:
    """Something to wait for, until `end` on the monotonic clock; it lasts `longest` s at most."""

    what: str
    end: float
    longest: float

    def waiting(self, now: float, left: float) -> Waiting:
        still = self.end - now
        return Waiting(f"{self.what} in {still:.0f} s", left, max(1 - still / self.longest, 0))


@dataclass(frozen=True)
class _Progress:
    """What one look has shown: what is new, what is still to come, and until when there is nothing to see."""

    to_come: str
    news: Sequence[Event] = ()
    spans: Sequence[_Span] = ()
    done: bool = False


class _Observer(Protocol):
    """Who looks on; `observe` looks once, `why_not` says what did not come."""

    trail: _Trail

    def observe(self) -> _Progress: ...

    def why_not(self, timeout: float) -> S3aggError: ...


def _observe(aws: Aws, observer: _Observer, deadline: float) -> Generator[Event, None, bool]:
    """Look until it is done, first soon, then slower; False if it is not by the deadline."""
    clock, growing, to_come = aws.clock, pauses(SOONEST_S), ""
    while True:
        progress = observer.observe()
        if progress.to_come != to_come:
            growing, to_come = pauses(SOONEST_S), progress.to_come
        yield from progress.news
        if progress.done:
            return True
        # As long as a window is open nobody needs to be asked.
        till = max((span.end + REFRESH_TAKES_S for span in progress.spans), default=0)
        if till <= clock.monotonic():
            left = deadline - clock.monotonic()
            if left <= 0:
                return False
            yield Waiting(progress.to_come, left)
            clock.sleep(min(next(growing), left))
        while (now := clock.monotonic()) < till and (left := deadline - now) > 0:
            ahead = [span.waiting(now, left) for span in progress.spans if span.end > now]
            yield ahead[0] if ahead else Waiting(progress.to_come, left)
            clock.sleep(min(till - now, TICK_S, left))


@dataclass
class _Table:
    """What both observers read of the table."""

    aws: Aws
    stack: Stack
    bucket: str

    def item(self) -> BucketActivity:
        with describing_errors(f"reading table {self.stack.table.name}"):
            return items.bucket(self.aws, self.stack.table.name, self.bucket)

    def spans(self, item: BucketActivity, trail: _Trail) -> list[_Span]:
        """What the refresh of an open window waits for."""
        if item.window.closes_at is None:
            return []
        trail.due = item.window.closes_at
        settings = self.stack.settings
        spans = [self._span("the window to close", item.window.closes_at, settings.window)]
        if item.not_before is not None and not item.pending:
            trail.held_back = max(item.not_before, item.window.closes_at)
            longest = settings.min_interval + SETTLING_S
            spans.append(self._span("the last refresh to be long enough ago", item.not_before, longest))
        return spans

    def _span(self, what: str, end: datetime, longest: float) -> _Span:
        # No longer than it may last, however far the functions' clock is from ours.
        clock = self.aws.clock
        return _Span(what, clock.monotonic() + min(end.timestamp() - clock.time(), longest), longest)


class _Watcher:
    """Judges by the bucket's item: a refresh started after the upload, and nothing is open."""

    def __init__(self, aws: Aws, stack: Stack, upload: _Upload) -> None:
        self.table = _Table(aws, stack, upload.bucket)
        self.trail = _Trail(dict(upload.seen))
        self.since = from_ms(int(aws.clock.time() * 1000))

    def observe(self) -> _Progress:
        item = self.table.item()
        quiet = not item.window.open and not item.pending
        if quiet and item.last_refresh is not None and item.last_refresh > self.since:
            self.trail.refreshes.append(Refresh(item.last_refresh, item.shares))
            return _Progress("", done=True)
        return _Progress("the refresh", spans=self.table.spans(item, self.trail))

    def why_not(self, timeout: float) -> S3aggError:
        return S3aggError(f"The table shows no refresh within {timeout:.0f} s", "See", Advice("status"))


class _Follower:
    """Follows each event by the functions' log lines, to a refresh that came after the last of them."""

    def __init__(self, aws: Aws, stack: Stack, upload: _Upload) -> None:
        self.aws = aws
        self.stack = stack
        self.upload = upload
        self.table = _Table(aws, stack, upload.bucket)
        self.trail = _Trail(dict(upload.seen))
        self.all_known = False

    def observe(self) -> _Progress:
        if not self.all_known:
            news = self.new_events()
            if self.missing:
                to_come = f"{plural(self.missing, 'event')} to reach function {self.stack.aggregator.name}"
                return _Progress(to_come, news)
            self.all_known = True
            return _Progress("the refresh", news, self.table.spans(self.table.item(), self.trail))
        news = []
        done = self.see_refreshes()
        if done:
            # One that Lambda was given twice may have been handled after all others.
            news = self.new_events()
            done = self.see_refreshes()
        return _Progress("the refresh", [*news, *self.trail.refreshes[-1:]] if done else news, done=done)

    def why_not(self, timeout: float) -> S3aggError:
        if self.missing:
            events = plural(len(self.trail.objects), "event")
            return S3aggError(
                f"{self.missing} of {events} not seen within {timeout:.0f} s",
                "A new rule of a bucket can take minutes to work: try again",
            )
        return S3aggError(f"No refresh came within {timeout:.0f} s", "See", Advice("status"))

    @property
    def missing(self) -> int:
        return self.trail.how_many("uploaded")

    def new_events(self) -> list[Event]:
        """Note what became of each object; return what is new."""
        trail, news = self.trail, list[Event]()
        for line in self.lines(self.stack.aggregator, f"{TEST_OBJECT}{self.upload.run_id}-"):
            message, _, encoded = line.message.rpartition(" key=")
            key = unquote_plus(encoded)
            if key not in trail.objects or trail.objects[key].became == "opened the window":
                continue
            became: Became = "in the window"
            if SENT in message:
                became = "opened the window"
                trail.opened_at = min(trail.opened_at or line.time, line.time)
            elif SKIPPED not in message or trail.objects[key].became != "uploaded":
                continue
            trail.handled_at.append(line.time)
            trail.objects[key] = Seen(key, became, self.upload.after(line.time))
            news.append(trail.objects[key])
        return news

    def see_refreshes(self) -> bool:
        """Note the bucket's refreshes since the upload; whether one started after the last event."""
        first, last = (from_ms(which(self.trail.handled_at)) for which in (min, max))
        lines = self.lines(self.stack.refresher, f"{COMPLETE}{self.upload.bucket},")
        found = [self.refresh_of(line) for line in lines]
        self.trail.refreshes = [each for each in found if each and each.start >= first]
        return any(refresh.start >= last for refresh in self.trail.refreshes)

    def refresh_of(self, line: LogLine) -> Refresh | None:
        match = COMPLETED.search(line.message)
        if match is None or match[1] != self.upload.bucket:
            return None
        shares = () if match[3] == "none" else tuple(match[3].split(","))
        return Refresh(from_ms(int(match[2])), shares, from_ms(line.time))

    def lines(self, function: Function, containing: str) -> list[LogLine]:
        with describing_errors(f"reading the log of function {function.name}"):
            return list(log_lines.read(self.aws, function.log_group.name, self.upload.since, containing))


def _hops(upload: _Upload, trail: _Trail) -> Iterator[Hop]:
    def hop(what: str, at: datetime) -> Hop:
        return Hop(what, at, upload.after(to_ms(at)))

    yield hop("upload began", from_ms(int(upload.started * 1000)))
    yield hop("last object uploaded", from_ms(max(upload.uploaded_at)))
    if trail.handled_at:
        yield hop("first event handled", from_ms(min(trail.handled_at)))
    if trail.opened_at is not None:
        yield hop("window opened", from_ms(trail.opened_at))
    if len(trail.handled_at) > 1:
        yield hop("last event handled", from_ms(max(trail.handled_at)))
    if trail.due is not None:
        yield hop("window due", trail.due)
    if trail.held_back is not None and trail.held_back != trail.due:
        yield hop("held back till now by --min-interval", trail.held_back)
    for refresh in trail.refreshes:
        yield hop("refresh began", refresh.start)
        if refresh.complete is not None:
            yield hop("refresh complete", refresh.complete)
