"""test-upload: upload objects, and follow their events through both functions to a complete refresh."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from s3agg.aws.clock import from_ms, to_ms
from s3agg.aws.session import Aws
from s3agg.commands import before_upload, follow
from s3agg.commands.completion import why_not_complete
from s3agg.commands.follow import LogObserver, Observer, Refresh, TableObserver, Trail
from s3agg.commands.function_failures import Failure, Failures
from s3agg.commands.object_lock import Retention
from s3agg.commands.test_objects import Encryption, Seen, Upload
from s3agg.errors import Advice, Note, S3aggError, plural
from s3agg.live.file_shares import FileShare
from s3agg.live.log_lines import hides_lines
from s3agg.live.share_refreshes import ShareRefresh
from s3agg.resources.notification import TEST_OBJECT, Notification
from s3agg.stack.declared import REFRESH_TIMEOUT_S, Stack
from s3agg.stack.deployed import Deployment

NEW_RULE_S = 180  # a new notification rule can take minutes to take effect
NEW_DELIVERY_S = 360  # EventBridge takes around five minutes (FACTS, EventBridge)
MOST_FAILURES = 3  # of the functions, after a timeout


@dataclass(frozen=True)
class Hop:
    """A step from the upload to the refresh, with the s since the start of the upload.

    Upload times are from this machine's clock, the functions' steps from their clocks.
    """

    step: str  # a code
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
    showing: tuple[str, ...] | None  # the file shares that must show the objects; None if unknown
    shares: tuple[ShareRefresh, ...]  # of the last refresh: those that must show the objects, if known
    hops: tuple[Hop, ...]
    objects: tuple[Seen, ...]
    seconds: float
    ok: bool  # every share that shows an object accepted a refresh that started after the last event
    complete: bool  # each gateway has told that it finished that refresh
    problems: tuple[S3aggError, ...]  # why it is not ok
    notes: tuple[S3aggError, ...]  # what else there is to know, and what to do


def default_timeout(stack: Stack, notification: Notification) -> int:
    """How long a refresh may take, in s: DESIGN 2's freshness, and a new rule's delay."""
    delay = NEW_DELIVERY_S if notification.event_filter.is_via_eventbridge else NEW_RULE_S
    return stack.settings.window + stack.settings.min_interval + REFRESH_TIMEOUT_S + delay


def run(
    aws: Aws,
    deployment: Deployment,
    notification: Notification,
    *,
    count: int,
    timeout_s: float | None,
    keep: bool,
    encryption: Encryption | None = None,
) -> Generator[follow.Event, None, Report]:
    """Upload objects, follow their events and return the report. The objects are deleted, unless `keep`.

    Raises S3aggError, before any upload, if no refresh can come, or if the objects could not be deleted.
    """
    stack = deployment.stack
    timeout = default_timeout(stack, notification) if timeout_s is None else timeout_s
    before_upload.check(deployment, notification)
    warnings, retention, shares = before_upload.read(aws, deployment, notification, keep=keep)
    for warning in warnings:
        aws.warn(warning)
    upload = Upload(aws, notification, keep, encryption, {each.prefix for each in shares or ()})
    showing = None if shares is None else tuple(each.arn for each in shares if upload.is_below(each.prefix))
    left = 0
    found: bool | None = None
    try:
        yield from upload.put(count)
        # Not earlier, as for the events: what has failed before this run may be mended.
        failures = Failures(aws, stack, upload.bucket, int(upload.started * 1000))
        observer = _observer(aws, deployment, upload, showing if shares else None)
        found = yield from follow.follow(aws, observer, failures, aws.clock.monotonic() + timeout)
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
                aws.warn(Note("Deleted the uploaded objects"))
    trail = observer.trail
    ok = trail.accepted
    problems = () if ok else tuple(_reasons(deployment, notification, observer, failures, timeout))
    notes = []
    if ok and (trail.in_vain or not found):
        waited = aws.clock.time() - upload.started if trail.in_vain else timeout
        notes.append(_not_confirmed(waited, stack.settings.min_interval))
    return Report(
        bucket=upload.bucket,
        uploaded=len(upload.versions),
        opened_windows=trail.count("opened_window") if trail.shows_events else None,
        within_window=trail.count("within_window") if trail.shows_events else None,
        refreshes=tuple(trail.refreshes),
        showing=showing,
        shares=tuple(trail.shares),
        hops=tuple(sorted(_hops(upload, trail), key=lambda hop: hop.time)),
        objects=tuple(trail.objects.values()),
        seconds=round(aws.clock.time() - upload.started, 1),
        ok=ok,
        complete=trail.complete,
        problems=problems,
        notes=(
            *notes,
            *_not_shown(upload, shares or (), showing or ()),
            *_notes(deployment, notification, trail, deletes=not keep and left < len(upload.versions)),
            *_stays(notification, upload, retention),
        ),
    )


def _observer(aws: Aws, deployment: Deployment, upload: Upload, showing: Sequence[str] | None) -> Observer:
    if hides_lines(deployment.log_level):
        return TableObserver(aws, deployment.stack, upload, showing)
    return LogObserver(aws, deployment.stack, upload, showing, confirms=deployment.tells_completion)


def _reasons(
    deployment: Deployment,
    notification: Notification,
    observer: Observer,
    failures: Failures,
    timeout: float,
) -> Iterator[S3aggError]:
    """Yield the failure of the aggregator, or else the timeout and what may be its cause."""
    trail = observer.trail
    latest = [] if trail.failure else failures.latest(MOST_FAILURES)
    if trail.failure is None and trail.lacks_events:
        trail.failure = failures.last_of_aggregator(latest)
    if trail.failure is not None:
        yield _failed(deployment, notification, trail, trail.failure)
        return
    if any(change.action != "keep" for change in deployment.plan().changes):
        yield S3aggError(
            "Resources are missing or drifted, which may be the cause",
            "To see them, run",
            Advice("status"),
        )
    yield observer.timed_out(timeout)
    for each in latest:
        yield S3aggError(f"Function {each.function}, {each.time:%H:%M:%S} UTC: {each.words}")


def _failed(
    deployment: Deployment,
    notification: Notification,
    trail: Trail,
    failure: Failure,
) -> S3aggError:
    """Return the failure of the aggregator as the reason; a drifted or missing resource can be its cause."""
    events = ""
    if trail.shows_events:
        events = f", and has not handled {trail.missing} of {plural(len(trail.objects), 'event')}"
    reason = failure.words.rstrip(".")
    problem = f"Function {failure.function} failed at {failure.time:%H:%M:%S} UTC{events}: {reason}"
    if drifted := before_upload.drifted(deployment, notification):
        return S3aggError(f"{problem}. Drifted: {drifted}", "To correct this, run", Advice("create"))
    return S3aggError(problem, "To see all of its failures, run", Advice("logs", notification.bucket))


def _not_confirmed(waited: float, min_interval: int) -> S3aggError:
    return S3aggError(
        f"The refresh is accepted, but not every gateway finished it within {waited:.0f} s."
        f" {why_not_complete(min_interval)}",
        "To see when it is complete, run",
        Advice("status"),
    )


def _not_shown(upload: Upload, shares: Sequence[FileShare], showing: Sequence[str]) -> Iterator[S3aggError]:
    """Yield which file shares show the objects, if not all do."""
    if shares and not showing:
        yield S3aggError(
            f"No file share of bucket {upload.bucket} shows the uploaded objects: each has another prefix"
        )
    elif len(showing) < len(shares):
        names = ", ".join(arn.rpartition("/")[2] for arn in showing)
        yield S3aggError(
            f"Of {len(shares)} file shares, these must show the uploaded objects, by their prefixes: {names}"
        )


def _stays(notification: Notification, upload: Upload, retention: Retention | None) -> Iterator[S3aggError]:
    """Yield until when the bucket keeps the uploaded objects, if it does."""
    if retention is not None:
        until = retention.until(from_ms(max(upload.uploaded_at)))
        yield S3aggError(
            f"The uploaded objects stay until {until:%Y-%m-%d %H:%M} UTC at least: bucket"
            f" {notification.bucket} has {retention.words}"
        )


def _notes(
    deployment: Deployment, notification: Notification, trail: Trail, *, deletes: bool
) -> Iterator[S3aggError]:
    """Yield what else there is to know."""
    if hides_lines(deployment.log_level):
        yield S3aggError(
            f"Log level {deployment.log_level} hides the functions' log lines."
            " This result comes from DynamoDB"
        )
    if not deployment.tells_completion:
        yield S3aggError(
            f"Rule {deployment.stack.rule.name} is missing or drifted, so nothing tells when a refresh is"
            " complete",
            "To repair it, run",
            Advice("create"),
        )
    # An aggregator that fails opens no window.
    tells_deletion = "removed" in notification.event_filter.events and trail.failure is None
    if deletes and tells_deletion and notification.bucket in deployment.buckets:
        yield S3aggError("The deletion of the objects causes one more refresh")
    if trail.accepted and not any(refresh.found_shares for refresh in trail.refreshes):
        yield S3aggError(
            f"No file share in {notification.place.region} is mapped to bucket {notification.bucket},"
            " so nothing was refreshed"
        )


def _hops(upload: Upload, trail: Trail) -> Iterator[Hop]:
    def hop(step: str, at: datetime) -> Hop:
        return Hop(step, at, upload.seconds_at(to_ms(at)))

    yield hop("upload_started", from_ms(int(upload.started * 1000)))
    yield hop("last_object_uploaded", from_ms(max(upload.uploaded_at)))
    if trail.handled_at:
        yield hop("first_event_handled", from_ms(min(trail.handled_at)))
    if trail.opened_at is not None:
        yield hop("window_opened", from_ms(trail.opened_at))
    if len(trail.handled_at) > 1:
        yield hop("last_event_handled", from_ms(max(trail.handled_at)))
    # By the functions' clock, if a refresh tells it. A later window is not of these objects.
    now = trail.refreshes[-1].start if trail.accepted else from_ms(upload.aws.clock.time() * 1000)
    if trail.due is not None and trail.due <= now:
        yield hop("window_closed", trail.due)
    if trail.held_back not in {None, trail.due} and trail.held_back <= now:
        yield hop("min_interval_ended", trail.held_back)
    for refresh in trail.refreshes:
        yield from (hop(*each) for each in _hops_of(refresh, trail))


def _hops_of(refresh: Refresh, trail: Trail) -> Iterator[tuple[str, datetime]]:
    """Yield the steps of a refresh; of the last one, for the shares that must show the objects.

    Other shares may accept in a later round. Then its start is none of the steps.
    """
    accepted = refresh.accepted
    if trail.shares and refresh is trail.refreshes[-1]:
        accepted = max(each.accepted for each in trail.shares)
    if accepted is None or refresh.start <= accepted:
        yield "refresh_started", refresh.start
    if accepted is not None and refresh.shares:
        yield "refresh_accepted", accepted
    if refresh.complete is not None:
        yield "refresh_completed", refresh.complete
