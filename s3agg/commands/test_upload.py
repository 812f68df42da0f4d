"""test-upload: upload objects and follow their events through both functions to the refresh."""

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

NEW_RULE_S = 180  # a new notification rule can take minutes to take effect
CLOCKS_DIFFER_MS = 5 * 60 * 1000  # the limit of AWS; the run id separates our lines from others
SETTLING_S = 2.0  # added to --min-interval
REFRESH_TAKES_S = 2.15  # at least, after a window closes: the function first waits 2 s (DESIGN 2)
SOONEST_S = 0.3  # between the first reads: an account has five FilterLogEvents calls a second
TICK_S = 1.0  # of the countdown to the end of a window

COMPLETED = re.compile(rf"{COMPLETE}(\S+), started: (\d+), shares: (.+)")

Became = Literal["uploaded", "opened the window", "in the window"]


@dataclass(frozen=True)
class Seen:
    """The state of an uploaded object, with the s since the start of the upload."""

    key: str
    became: Became
    seconds: float


@dataclass(frozen=True)
class Waiting:
    """The current wait: its subject, the s left, and for a window the part that has passed."""

    what: str
    seconds: float
    passed: float | None = None  # 0 to 1


@dataclass(frozen=True)
class Refresh:
    """One complete refresh; `shares` is empty if no file share in `region` is mapped to the bucket.

    `complete` is None if the log level hides the functions' lines.
    """

    start: datetime
    shares: tuple[str, ...]
    region: str
    complete: datetime | None = None


@dataclass(frozen=True)
class Hop:
    """A step from the upload to the refresh, with the s since the start of the upload.

    Upload times are from this machine's clock, the functions' steps from their clocks.
    """

    what: str
    time: datetime
    seconds: float


@dataclass(frozen=True)
class Report:
    """The result of `test-upload`; the counts are None if the log level hides the lines."""

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
    """Upload objects, follow their events and return the report. The objects are deleted, unless `keep`."""
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
            observer = _TableObserver(aws, stack, upload)
            notes.append(
                S3aggError(
                    f"Log level {level} hides the functions' log lines. This result comes from DynamoDB"
                )
            )
        else:
            observer = _LogObserver(aws, stack, upload)
        found = yield from _observe(aws, observer, aws.clock.monotonic() + timeout)
    except (KeyboardInterrupt, GeneratorExit):
        aws.wait.stopping.set()
        raise
    finally:
        if not keep:
            left = upload.clean_up()
            if left:
                aws.warn(
                    f"Bucket {upload.bucket} may still hold {plural(left, 'uploaded object')}."
                    f" The keys contain {TEST_OBJECT}{upload.run_id}."
                )
            elif found is None and upload.versions:  # interrupted or failed
                aws.warn("Deleted the uploaded objects.")
    if not found:
        notes.append(observer.timed_out(timeout))
    if not found and any(change.action != "keep" for change in deployment.plan().changes):
        notes.insert(
            0,
            S3aggError(
                "Resources are missing or drifted, which may be the cause",
                "To see them, run",
                Advice("status"),
            ),
        )
    if not keep and notification.key in deployment.found:
        notes.append(S3aggError("The deletion of the objects causes one more refresh"))
    trail = observer.trail
    if found and not any(refresh.shares for refresh in trail.refreshes):
        notes.append(
            S3aggError(
                f"No file share in {notification.place.region} is mapped to bucket {upload.bucket},"
                " so nothing was refreshed"
            )
        )
    seen = isinstance(observer, _LogObserver)
    return Report(
        bucket=upload.bucket,
        uploaded=len(upload.versions),
        opened_windows=trail.count("opened the window") if seen else None,
        within_window=trail.count("in the window") if seen else None,
        refreshes=tuple(trail.refreshes),
        hops=tuple(sorted(_hops(upload, trail), key=lambda hop: hop.time)),
        objects=tuple(trail.objects.values()),
        seconds=round(aws.clock.time() - upload.started, 1),
        ok=found,
        notes=tuple(notes),
    )


@dataclass
class _Upload:
    """The objects that one run uploads."""

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
        """The earliest time of a log line about these objects, ms since 1970."""
        return int(self.started * 1000) - CLOCKS_DIFFER_MS

    def seconds_at(self, time: int) -> float:
        """Return the s from the start of the upload to a time, given in ms since 1970."""
        return round(time / 1000 - self.started, 1) + 0.0  # no -0.0

    def put(self, count: int) -> Iterator[Seen]:
        self.started = self.aws.clock.time()
        # A rule's prefix and suffix are URL-encoded, keys are not.
        keys = self.notification.keys
        prefix, suffix = unquote_plus(keys.prefix), unquote_plus(keys.suffix)
        names = [f"{prefix}{TEST_OBJECT}{self.run_id}-{number}{suffix}" for number in range(1, count + 1)]
        for some in batches(names, self.aws.workers):
            with describing_errors(f"uploading to bucket {self.bucket}"):
                uploaded = self.aws.side_by_side(self._put, some)
            self.seen.update({each.key: each for each in uploaded})
            yield from uploaded

    def _put(self, key: str) -> Seen:
        try:
            answer = self.aws.s3.put_object(
                Bucket=self.bucket,
                Key=key,
                Body=b"Uploaded by s3agg test-upload; can be deleted.\n",
                ExpectedBucketOwner=self.notification.place.account,
            )
        except BotoCoreError:  # no answer: the object may exist
            self.versions[key] = None
            raise
        self.versions[key] = answer.get("VersionId")
        now = int(self.aws.clock.time() * 1000)
        self.uploaded_at.append(now)
        return Seen(key, "uploaded", self.seconds_at(now))

    def clean_up(self) -> int:
        """Delete the objects; return how many may be left after Ctrl-C."""

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
                self.aws.warn(f"Could not delete {key} from bucket {self.bucket}: {error}")

        return self.aws.finish(remove, list(self.versions))


@dataclass
class _Trail:
    """What is known of the objects and their effects; times in ms since 1970."""

    objects: dict[str, Seen]
    handled_at: list[int] = field(default_factory=list)  # times of the handled events
    opened_at: int | None = None  # when the first event opened a window
    due: datetime | None = None  # when the refresh of that window was due
    held_back: datetime | None = None  # end of the minimum interval that delayed the refresh
    refreshes: list[Refresh] = field(default_factory=list)

    def count(self, became: Became) -> int:
        return sum(each.became == became for each in self.objects.values())


@dataclass(frozen=True)
class _Span:
    """A wait until `end` on the monotonic clock, of `longest` s at most."""

    what: str
    end: float
    longest: float

    def waiting(self, now: float, left: float) -> Waiting:
        still = self.end - now
        return Waiting(f"{self.what} in {still:.0f} s", left, max(1 - still / self.longest, 0))


@dataclass(frozen=True)
class _Progress:
    """The result of one read: new events, what is awaited, and waits without anything to read."""

    to_come: str
    news: Sequence[Event] = ()
    spans: Sequence[_Span] = ()
    done: bool = False


class _Observer(Protocol):
    """Observes the effects of the upload; `observe` reads once, `timed_out` returns the error."""

    trail: _Trail

    def observe(self) -> _Progress: ...

    def timed_out(self, timeout: float) -> S3aggError: ...


def _observe(aws: Aws, observer: _Observer, deadline: float) -> Generator[Event, None, bool]:
    """Read until the observer is done, with growing pauses; return False at the deadline."""
    clock, growing, to_come = aws.clock, pauses(SOONEST_S), ""
    while True:
        progress = observer.observe()
        if progress.to_come != to_come:
            growing, to_come = pauses(SOONEST_S), progress.to_come
        yield from progress.news
        if progress.done:
            return True
        # While a window is open there is nothing to read.
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
    """The reads from the table for both observers."""

    aws: Aws
    stack: Stack
    bucket: str

    def item(self) -> BucketActivity:
        with describing_errors(f"reading the items of table {self.stack.table.name}"):
            return items.read_one(self.aws, self.stack.table.name, self.bucket)

    def spans(self, item: BucketActivity, trail: _Trail) -> list[_Span]:
        """Return the waits before the refresh of an open window."""
        if item.window.closes_at is None:
            return []
        trail.due = item.window.closes_at
        settings = self.stack.settings
        spans = [self._span("the window to close", item.window.closes_at, settings.window)]
        if item.not_before is not None and not item.pending:
            trail.held_back = max(item.not_before, item.window.closes_at)
            longest = settings.min_interval + SETTLING_S
            spans.append(self._span("the minimum interval to end", item.not_before, longest))
        return spans

    def _span(self, what: str, end: datetime, longest: float) -> _Span:
        # Limited, as the functions' clock may differ from this machine's.
        clock = self.aws.clock
        return _Span(what, clock.monotonic() + min(end.timestamp() - clock.time(), longest), longest)


class _TableObserver:
    """Reads the bucket's item until a refresh started after the upload and no window is open."""

    def __init__(self, aws: Aws, stack: Stack, upload: _Upload) -> None:
        self.table = _Table(aws, stack, upload.bucket)
        self.region = upload.notification.place.region
        self.trail = _Trail(dict(upload.seen))
        self.since = from_ms(int(aws.clock.time() * 1000))

    def observe(self) -> _Progress:
        item = self.table.item()
        idle = not item.window.open and not item.pending
        if idle and item.last_refresh is not None and item.last_refresh > self.since:
            self.trail.refreshes.append(Refresh(item.last_refresh, item.shares, self.region))
            return _Progress("", done=True)
        return _Progress("the refresh", spans=self.table.spans(item, self.trail))

    def timed_out(self, timeout: float) -> S3aggError:
        return S3aggError(
            f"Timed out after {timeout:.0f} s: DynamoDB shows no refresh", "To see why, run", Advice("status")
        )


class _LogObserver:
    """Reads the functions' log lines until a refresh started after the last event."""

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
        done = self.is_refreshed()
        if done:
            # An event that was delivered twice may be handled after all others.
            news = self.new_events()
            done = self.is_refreshed()
        return _Progress("the refresh", [*news, *self.trail.refreshes[-1:]] if done else news, done=done)

    def timed_out(self, timeout: float) -> S3aggError:
        if self.missing:
            events = plural(len(self.trail.objects), "event")
            return S3aggError(
                f"Timed out after {timeout:.0f} s: {self.missing} of {events} did not reach function"
                f" {self.stack.aggregator.name}",
                "A new event notification can take minutes to take effect. Run the same command again",
            )
        return S3aggError(
            f"Timed out after {timeout:.0f} s waiting for the refresh", "To see why, run", Advice("status")
        )

    @property
    def missing(self) -> int:
        return self.trail.count("uploaded")

    def new_events(self) -> list[Event]:
        """Read the aggregator's log and update the objects; return the changed ones."""
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
            trail.objects[key] = Seen(key, became, self.upload.seconds_at(line.time))
            news.append(trail.objects[key])
        return news

    def is_refreshed(self) -> bool:
        """Read the refresh function's log; return whether a refresh started after the last event."""
        first, last = (from_ms(which(self.trail.handled_at)) for which in (min, max))
        lines = self.lines(self.stack.refresher, f"{COMPLETE}{self.upload.bucket},")
        found = [self.refresh_of(line) for line in lines]
        self.trail.refreshes = [each for each in found if each and each.start >= first]
        return any(refresh.start >= last for refresh in self.trail.refreshes)

    def refresh_of(self, line: LogLine) -> Refresh | None:
        match = COMPLETED.search(line.message)
        if match is None or match[1] != self.upload.bucket:
            return None
        shares = tuple(match[3].split(",")) if match[3].startswith("arn:") else ()
        region = self.upload.notification.place.region
        return Refresh(from_ms(int(match[2])), shares, region, from_ms(line.time))

    def lines(self, function: Function, containing: str) -> list[LogLine]:
        with describing_errors(f"reading the log of function {function.name}"):
            return list(log_lines.read(self.aws, function.log_group.name, self.upload.since, containing))


def _hops(upload: _Upload, trail: _Trail) -> Iterator[Hop]:
    def hop(what: str, at: datetime) -> Hop:
        return Hop(what, at, upload.seconds_at(to_ms(at)))

    yield hop("upload started", from_ms(int(upload.started * 1000)))
    yield hop("last object uploaded", from_ms(max(upload.uploaded_at)))
    if trail.handled_at:
        yield hop("first event handled", from_ms(min(trail.handled_at)))
    if trail.opened_at is not None:
        yield hop("window opened", from_ms(trail.opened_at))
    if len(trail.handled_at) > 1:
        yield hop("last event handled", from_ms(max(trail.handled_at)))
    if trail.due is not None:
        yield hop("window closed", trail.due)
    if trail.held_back is not None and trail.held_back != trail.due:
        yield hop("minimum interval ended", trail.held_back)
    for refresh in trail.refreshes:
        yield hop("refresh started", refresh.start)
        if refresh.complete is not None:
            yield hop("refresh completed", refresh.complete)
