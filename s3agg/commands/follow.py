"""Follow the events of uploaded objects to a refresh: by the functions' log lines, or by the table."""

from __future__ import annotations

from collections.abc import Collection, Generator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import Protocol
from urllib.parse import unquote_plus

from s3agg.aws.clock import from_ms
from s3agg.aws.refusals import describing_errors
from s3agg.aws.session import Aws
from s3agg.commands.completion import SKEW, Completion
from s3agg.commands.function_failures import Failure, Failures
from s3agg.commands.test_objects import Became, Seen, Upload
from s3agg.commands.watching import Look, Waiting, watch
from s3agg.errors import Advice, S3aggError, plural
from s3agg.live import items, log_lines
from s3agg.live.items import BucketActivity
from s3agg.live.log_lines import SENT, SKIPPED, LogLine
from s3agg.live.share_refreshes import OF_BUCKET, ShareRefresh
from s3agg.resources.function import Function
from s3agg.resources.notification import TEST_OBJECT
from s3agg.settings import SETTLE_S, SHORTEST_INTERVAL_S
from s3agg.stack.declared import Stack

# What the refresh function logs instead of shares, if the bucket has some.
NONE_OF_THEM = ("none touched", "none accepted")
REFRESH_TAKES_S = 2.15  # at least, after a window closes: the function first waits 2 s (DESIGN 2)
FAILURES_S = 10.0  # between two reads of the functions' failures
NEVER = from_ms(0)
IN_VAIN_S = 20.0  # for a completion that may never come: a small bucket takes seconds


@dataclass(frozen=True)
class Refresh:
    """A refresh that every touched share accepted, or every share that must show the objects.

    `shares` is empty if none was touched, or if none in `region` is mapped to the bucket: not `found_shares`.
    `accepted` is None if the log level hides the functions' lines, `complete` if no gateway has told of it.
    """

    start: datetime
    shares: tuple[str, ...]
    region: str
    accepted: datetime | None = None
    complete: datetime | None = None
    found_shares: bool = True


Event = Seen | Waiting | Refresh
REFRESH = partial(Waiting, "the refresh")


@dataclass
class Trail:
    """What is known of the objects and their effects; times in ms since 1970."""

    objects: dict[str, Seen]
    shows_events: bool = True  # False if the log level hides the functions' lines
    handled_at: list[int] = field(default_factory=list)  # times of the handled events
    opened_at: int | None = None  # when the first event opened a window
    due: datetime | None = None  # when the refresh of that window was due
    held_back: datetime | None = None  # end of the minimum interval that delayed the refresh
    refreshes: list[Refresh] = field(default_factory=list)
    shares: list[ShareRefresh] = field(default_factory=list)  # of the refresh after the last event
    accepted: bool = False  # after the last event, by every share that was touched or must show the objects
    failure: Failure | None = None  # of the aggregator, which ended the test
    in_vain: bool = False  # no completion came, and a gateway may have done nothing for the refresh

    @property
    def missing(self) -> int:
        """The number of events that no log line shows."""
        return self.count("uploaded")

    @property
    def lacks_events(self) -> bool:
        """Whether a failure of the aggregator can be the reason that nothing more comes."""
        return self.missing > 0 if self.shows_events else not self.accepted

    @property
    def complete(self) -> bool:
        """Whether each gateway has told that it finished that refresh."""
        return bool(self.refreshes) and self.refreshes[-1].complete is not None

    def not_yet(self, aws: Aws) -> str:
        """Return when the refresh is due, for an error before that."""
        due = self.held_back or self.due
        is_ahead = due is not None and due.timestamp() > aws.clock.time()
        return f", which is due at {due:%H:%M:%S} UTC" if due is not None and is_ahead else ""

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


class Observer(Protocol):
    """Observes the effects of the upload; `look` reads once, `timed_out` returns the error."""

    trail: Trail

    def look(self) -> Look[Event]: ...

    def timed_out(self, timeout: float) -> S3aggError: ...


def follow(aws: Aws, observer: Observer, failures: Failures, deadline: float) -> Generator[Event, None, bool]:
    """Read until the observer is done; return False at the deadline, by the monotonic clock.

    Also return False as soon as the aggregator has failed to handle an event. Warns of each other failure
    of the functions that shows meanwhile.
    """
    clock, trail = aws.clock, observer.trail
    next_failures = clock.monotonic() + FAILURES_S

    def has_failed() -> bool:
        nonlocal next_failures
        if clock.monotonic() < next_failures:
            return False
        next_failures = clock.monotonic() + FAILURES_S
        found = failures.read_or_warn()
        if trail.lacks_events:
            trail.failure = failures.last_of_aggregator(found)
        if trail.failure is None:
            failures.warn(found)
        return trail.failure is not None

    return (yield from watch(clock, observer.look, deadline, has_failed))


@dataclass
class _Table:
    """The reads from the table for both observers."""

    aws: Aws
    stack: Stack
    bucket: str

    def item(self) -> BucketActivity:
        with describing_errors(f"reading the items of table {self.stack.table.name}"):
            item = items.read_one(self.aws, self.stack.table.name, self.bucket)
        return item.at_interval(self.stack.settings.min_interval)

    def until_refresh(self, item: BucketActivity, trail: Trail, news: Sequence[Event] = ()) -> Look[Event]:
        """Return what is awaited; while a window is open there is nothing to read."""
        if item.window.closes_at is None:
            return Look(REFRESH, news)
        clock, settings = self.aws.clock, self.stack.settings
        trail.due = item.window.closes_at
        spans = [self._span("the window to close", trail.due, settings.window)]
        if item.not_before is not None and not item.pending:
            trail.held_back = max(item.not_before, trail.due)
            longest = settings.min_interval + SETTLE_S
            spans.append(self._span("the minimum interval to end", item.not_before, longest))

        def waiting(left: float) -> Waiting:
            now = clock.monotonic()
            return next((span.waiting(now, left) for span in spans if span.end > now), REFRESH(left))

        till = max(span.end for span in spans) + REFRESH_TAKES_S
        return Look(waiting, news, idle_s=till - clock.monotonic())

    def _span(self, what: str, end: datetime, longest: float) -> _Span:
        # Limited, as the functions' clock may differ from this machine's.
        clock = self.aws.clock
        return _Span(what, clock.monotonic() + min(end.timestamp() - clock.time(), longest), longest)


class TableObserver:
    """Reads the bucket's item until a refresh started after the upload and no window is open.

    Other events may always keep one open. So a second refresh after the upload counts too.
    """

    def __init__(
        self, aws: Aws, stack: Stack, upload: Upload, showing: Collection[str] | None = None
    ) -> None:
        self.showing = showing
        self.table = _Table(aws, stack, upload.bucket)
        self.region = upload.notification.place.region
        self.trail = Trail(dict(upload.seen), shows_events=False)
        self.since = from_ms(int(aws.clock.time() * 1000))
        self.starts: set[datetime] = set()  # of the refreshes after the upload

    def look(self) -> Look[Event]:
        item = self.table.item()
        start = _start_of(item, self.showing) or (None if item.pending else item.last_refresh)
        if start is None or start <= self.since:
            return self.table.until_refresh(item, self.trail)
        self.starts.add(start)
        if item.window.open and len(self.starts) == 1:
            return self.table.until_refresh(item, self.trail)
        shares = item.shares if self.showing is None else tuple(self.showing)
        self.trail.refreshes.append(Refresh(start, shares, self.region, found_shares=bool(item.shares)))
        self.trail.accepted = True
        return Look(done=True)

    def timed_out(self, timeout: float) -> S3aggError:
        shows = f"Timed out after {timeout:.0f} s: DynamoDB shows no refresh"
        return S3aggError(f"{shows}{self.trail.not_yet(self.table.aws)}", "To see why, run", Advice("status"))


def _start_of(item: BucketActivity, showing: Collection[str] | None) -> datetime | None:
    """Return when the refresh began that each share accepted which must show the objects; the earliest.

    NEVER if one has accepted none yet. None without such shares, or if older functions wrote the item: then
    only the refresh of the whole bucket tells.
    """
    if not showing or not item.prefixes:
        return None
    return min(item.last_refreshes.get(share, NEVER) for share in showing)


class LogObserver:
    """Reads the functions' log lines until a refresh started after the last event, and is complete.

    It follows the shares that must show the objects, or all shares if these are unknown. Without `confirms`
    no gateway tells when it is complete: then it ends when every share has accepted.
    """

    def __init__(
        self,
        aws: Aws,
        stack: Stack,
        upload: Upload,
        showing: Collection[str] | None = None,
        *,
        confirms: bool,
    ) -> None:
        self.showing = showing
        self.aws = aws
        self.stack = stack
        self.upload = upload
        self.confirms = confirms
        self.table = _Table(aws, stack, upload.bucket)
        self.trail = Trail(dict(upload.seen))
        self.since = NEVER  # no acceptance before this counts
        self.accepted_at = 0.0  # by the monotonic clock

    def look(self) -> Look[Event]:
        if self.trail.missing:
            news = self.new_events()
            if missing := self.trail.missing:
                events = f"{plural(missing, 'event')} to reach function {self.stack.aggregator.name}"
                return Look(partial(Waiting, events), news)
            return self.table.until_refresh(self.table.item(), self.trail, news)
        if self.trail.accepted:
            return self.completion()
        if not self.is_refreshed():
            return Look(REFRESH)
        # An event that was delivered twice may be handled after all others.
        news = self.new_events()
        if not self.is_refreshed():
            return Look(REFRESH, news)
        self.trail.accepted, self.accepted_at = True, self.aws.clock.monotonic()
        news.append(self.trail.refreshes[-1])
        look = self.completion()
        return replace(look, news=[*news, *look.news])

    def completion(self) -> Look[Event]:
        """Read which shares are complete. Done if all are, or if that is not told."""
        refresh = self.trail.refreshes[-1]
        shares = refresh.shares if self.showing is None else tuple(self.showing)
        if not self.confirms or not shares:
            return Look(done=True)
        completion = self.completion_of(shares)
        self.trail.shares = completion.read()
        if missing := completion.missing(self.trail.shares):
            if self.is_in_vain(completion):
                self.trail.in_vain = True
                return Look(done=True)
            return Look(partial(Waiting, f"the refresh to be complete on {plural(missing, 'file share')}"))
        self.trail.refreshes[-1] = replace(refresh, complete=completion.end(self.trail.shares))
        return Look(news=self.trail.refreshes[-1:], done=True)

    def completion_of(self, shares: Sequence[str]) -> Completion:
        return Completion(self.aws, self.stack.refresher, shares, self.since, self.upload.since)

    def is_in_vain(self, completion: Completion) -> bool:
        """Whether to wait no longer: the refresh came too soon after another for the gateway to do it."""
        waited_s = self.aws.clock.monotonic() - self.accepted_at
        is_short = self.stack.settings.min_interval < SHORTEST_INTERVAL_S
        return is_short and waited_s >= IN_VAIN_S and completion.may_never_come(self.trail.shares)

    def timed_out(self, timeout: float) -> S3aggError:
        if self.trail.missing:
            events = plural(len(self.trail.objects), "event")
            takes = "A new event notification can take minutes to take effect"
            if self.upload.notification.event_filter.is_via_eventbridge:
                takes = "EventBridge gets the events of a bucket about five minutes after it is turned on"
            return S3aggError(
                f"Timed out after {timeout:.0f} s: function {self.stack.aggregator.name} has not handled"
                f" {self.trail.missing} of {events}",
                f"{takes}. Run the same command again",
            )
        waited = f"Timed out after {timeout:.0f} s waiting for the refresh"
        return S3aggError(f"{waited}{self.trail.not_yet(self.aws)}", "To see why, run", Advice("status"))

    def new_events(self) -> list[Event]:
        """Read the aggregator's log and update the objects; return the changed ones."""
        trail, news = self.trail, list[Event]()
        for line in self.lines(self.stack.aggregator, f"{TEST_OBJECT}{self.upload.run_id}-"):
            message, _, encoded = line.message.rpartition(" key=")
            key = unquote_plus(encoded)
            if key not in trail.objects or trail.objects[key].became == "opened_window":
                continue
            became: Became = "within_window"
            if SENT in message:
                became = "opened_window"
                trail.opened_at = min(trail.opened_at or line.time, line.time)
            elif SKIPPED not in message or trail.objects[key].became != "uploaded":
                continue
            trail.handled_at.append(line.time)
            trail.objects[key] = Seen(key, became, self.upload.seconds_at(line.time))
            news.append(trail.objects[key])
        return news

    def is_refreshed(self) -> bool:
        """Read the log and the item; return whether a refresh after the last event is accepted."""
        first, last = (from_ms(which(self.trail.handled_at)) for which in (min, max))
        lines = self.lines(self.stack.refresher, f" for bucket: {self.upload.bucket}, started: ")
        found = [each for each in map(self.refresh_of, lines) if each and each.start >= first]
        refresh = self.accepted(found, last)
        before = [each for each in found if refresh is None or each.start < refresh.start]
        self.trail.refreshes = before if refresh is None else [*before, refresh]
        return refresh is not None

    def accepted(self, logged: Sequence[Refresh], last: datetime) -> Refresh | None:
        """Return the refresh that began after the last event, if each share that must show it has accepted.

        The item tells this of each share. Without it, the log tells who accepted a refresh of the bucket.
        """
        shares = tuple(self.showing or ())
        start = _start_of(self.table.item(), shares) if shares else None
        self.since = last if start is None else start - SKEW
        if start is None:
            after = (each for each in logged if each.start >= last and set(shares) <= set(each.shares))
            refresh = next(after, None)
            return replace(refresh, shares=shares) if refresh and shares else refresh
        if start < last:
            return None
        refreshes = self.completion_of(shares).read()
        if len(refreshes) < len(shares):  # the log is later than the item
            return None
        region = self.upload.notification.place.region
        return Refresh(start, shares, region, max(each.accepted for each in refreshes))

    def refresh_of(self, line: LogLine) -> Refresh | None:
        match = OF_BUCKET.search(line.message)
        if match is None or match[1] != self.upload.bucket:
            return None
        shares = tuple(match[3].split(",")) if match[3].startswith("arn:") else ()
        region = self.upload.notification.place.region
        return Refresh(
            from_ms(int(match[2])),
            shares,
            region,
            from_ms(line.time),
            found_shares=bool(shares) or match[3] in NONE_OF_THEM,
        )

    def lines(self, function: Function, containing: str) -> list[LogLine]:
        with describing_errors(f"reading the log of function {function.name}"):
            return list(log_lines.read(self.aws, function.log_group.name, self.upload.since, containing))
