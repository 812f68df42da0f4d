"""A stack as deployed in AWS now, beside its declaration."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from s3agg import engine
from s3agg.aws.clock import Clock, from_ms
from s3agg.aws.place import Place
from s3agg.aws.refusals import describing_errors, is_denied, is_unknown
from s3agg.aws.session import Aws
from s3agg.aws.snapshot import Snapshot
from s3agg.engine import Findings, Plan
from s3agg.errors import Advice, S3aggError, UsageProblem, combined
from s3agg.keys import check_key_part
from s3agg.live import items
from s3agg.live.items import BucketActivity, OlderFilter
from s3agg.resources.delivery import Delivery
from s3agg.resources.event_filter import ALL_EVENTS, EVENTBRIDGE, EventFilter
from s3agg.resources.notification import FoundNotification, Notification
from s3agg.resources.other_patterns import may_need, rules_of_default_bus
from s3agg.resources.permission import STAND_IN, statements
from s3agg.resources.resource import Resource
from s3agg.resources.rule import FoundRule
from s3agg.resources.table import FoundTable
from s3agg.settings import (
    ANY_REGION,
    RULE_STATEMENT,
    STACK_TAG,
    STATEMENT,
    Names,
    Settings,
    check_bucket_name,
    statement_id,
)
from s3agg.stack import declared, elsewhere
from s3agg.stack.asked_for import stored_options, untagged_billing
from s3agg.stack.declared import Stack
from s3agg.stack.elsewhere import NoStack
from s3agg.stack.version import MadeBy

# The stack's rules in a bucket's notifications, None without one, or why the notifications are unreadable.
ReadRules = FoundNotification | S3aggError | None

CANNOT_TELL = "s3agg cannot tell when a refresh is complete"


@dataclass(frozen=True)
class Request:
    """The input of `create`: options by their Settings names, None if not given."""

    buckets: tuple[str, ...] = ()
    prefixes: tuple[str, ...] | None = None
    suffixes: tuple[str, ...] | None = None
    events: tuple[str, ...] | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    adopt: bool = False  # adopt untagged foreign resources
    keep_billing: bool = False  # store the capacity mode in tags of the table
    skip_validation: bool = False  # S3 validates no destination of the buckets
    share_bucket: bool = False  # attach a bucket beside another stack
    via: str | None = None

    def __post_init__(self) -> None:
        """Raise UsageProblem for an invalid bucket name, prefix or suffix, and for those that overlap."""
        for bucket in self.buckets:
            check_bucket_name(bucket, ANY_REGION)
        if not self.buckets and self._chosen:
            raise UsageProblem(
                "--prefix, --suffix, --events and --via apply to the buckets passed with --bucket",
                "Pass --bucket",
            )
        for prefix in self.prefixes or ():
            check_key_part("prefix", prefix)
        for suffix in self.suffixes or ():
            check_key_part("suffix", suffix)
        replace(ALL_EVENTS, **self._chosen).check()

    @property
    def _chosen(self) -> dict[str, Any]:
        """What the request chooses of the event filter, by its fields."""
        chosen = {
            "prefixes": self.prefixes,
            "suffixes": self.suffixes,
            "events": self.events,
            "via": self.via,
        }
        return {name: values for name, values in chosen.items() if values is not None}

    def filter_of(self, bucket: str, before: EventFilter) -> EventFilter:
        """Return the event filter of a bucket; `before` for a bucket that is not in the request."""
        return replace(before, **self._chosen) if bucket in self.buckets else before


@dataclass(frozen=True)
class Deployment:
    """A stack as deployed in AWS now, beside its declaration."""

    place: Place
    stack: Stack
    found: Findings
    activity: Mapping[str, BucketActivity]
    unread: Mapping[str, S3aggError]  # buckets with unreadable notifications, and why
    snapshot: Snapshot  # the answers of AWS
    adopt: bool = False  # adopt untagged foreign resources
    unread_rule: S3aggError | None = None  # why the rule for finished refreshes is unreadable, if it is

    @property
    def exists(self) -> bool:
        """Whether anything of the stack is in this region."""
        return self.elsewhere is None and elsewhere.is_here(self.stack.resources, self.found)

    @property
    def elsewhere(self) -> str | None:
        """The other region where the stack is; None if it is in this region or nowhere."""
        return elsewhere.other_region(self.stack.resources, self.found)

    @property
    def missing(self) -> NoStack:
        """The error for a stack that does not exist in this region."""
        return NoStack(self.stack.names.stack, self.place.region, self.elsewhere)

    def check_exists(self) -> None:
        """Raise NoStack if nothing of the stack is in this region."""
        if not self.exists:
            raise self.missing

    @property
    def buckets(self) -> list[str]:
        """The attached buckets: those with a rule or a permission, and those stored as attached."""
        by_rule = {each.bucket for each in self.stack.deliveries if self._has_rule(each)}
        return [
            each.bucket
            for each in self.stack.notifications
            if {each.key, each.permission.key} & self.found.keys()
            or each.bucket in by_rule
            or self.stored_filter(each.bucket) is not None
        ]

    def _has_rule(self, delivery: Delivery) -> bool:
        """Whether the bucket has something of the way by EventBridge that only this stack can have."""
        rule = delivery.rule
        return rule.permission.key in self.found or self.found.ours(rule) is not None

    def is_turned_on(self, delivery: Delivery) -> bool:
        """Whether s3agg turned the delivery on, by the bucket's item, or by the rule if the item was lost."""
        rule = self.found.of(delivery.rule)
        return self.activity_of(delivery.bucket).delivery_is_ours or (
            rule is not None and delivery.rule.is_marked(rule)
        )

    def may_turn_off(self, delivery: Delivery) -> bool:
        """Whether s3agg turned the delivery on, and no other rule of the default bus may need it.

        Lists the rules of the bus if s3agg turned it on. Raises S3aggError.
        """
        if delivery.key not in self.found or not self.is_turned_on(delivery):
            return False
        with describing_errors("listing the rules of the default event bus"):
            rules = rules_of_default_bus(self.snapshot)
        return not any(
            may_need(each, self.place, delivery.bucket)
            for each in rules
            if each["Name"] != delivery.rule.name
        )

    @property
    def gone(self) -> list[str]:
        """The attached buckets that no longer exist."""
        return [
            each.bucket
            for each in self.stack.notifications
            if each.bucket in self.buckets
            and each.bucket not in self.unread
            and each.lacks_bucket(self.snapshot)
        ]

    def stored_filter(self, bucket: str) -> EventFilter | None:
        """Return the event filter that the table stores for a bucket; None if it stores none."""
        return self.activity_of(bucket).event_filter

    def activity_of(self, bucket: str) -> BucketActivity:
        """Return the activity in the bucket's item; that of an idle bucket without an item."""
        return self.activity.get(bucket, BucketActivity(bucket))

    @property
    def dead_letters(self) -> int:
        """The approximate number of messages in the dead-letter queue."""
        found = self.found.of(self.stack.dead_letters)
        return 0 if found is None or found.is_dying else found.visible

    @property
    def strays(self) -> list[str]:
        """The buckets with an item that are not attached."""
        return sorted(self.activity.keys() - set(self.buckets))

    def idle_strays(self, clock: Clock) -> list[str]:
        """The buckets with an item that are neither attached nor awaiting a refresh: `delete` removes it."""
        now = from_ms(clock.time() * 1000)
        return [bucket for bucket in self.strays if self.activity[bucket].is_idle(now)]

    @property
    def tells_completion(self) -> bool:
        """Whether the stack learns when a gateway has finished a refresh."""
        found = self.found.of(self.stack.rule)
        return found is not None and not self.stack.rule.differences(found)

    def warn_of_unread_rule(self, aws: Aws, consequence: str) -> None:
        """Warn with this consequence if the rule for finished refreshes is unreadable."""
        if (error := self.unread_rule) is not None:
            # An endpoint without EventBridge is no outage.
            hint = error.hint if is_denied(error) else ""
            aws.warn(S3aggError(f"{consequence}. {error.problem}", hint))

    @property
    def log_level(self) -> str:
        """The log level of the deployed aggregator; the declared one if it is not deployed."""
        found, asked = self.found.of(self.stack.aggregator), self.stack.settings.log_level
        return found.variables.get("LOG_LEVEL", asked) if found else asked

    @property
    def made_by(self) -> MadeBy | None:
        """The version of s3agg that made the stack; None if its table is missing or foreign."""
        return MadeBy.of(self.stack.table, self.found)

    def plan(self) -> Plan:
        """Plan the changes from deployed to declared. A delivery that others may need stays on."""
        left_on = [
            each.key for each in self.stack.deliveries if not each.wanted and not self.may_turn_off(each)
        ]
        resources = [each for each in self.stack.resources if each.key not in left_on]
        return engine.plan(resources, self.found, adopt=self.adopt)

    def lacking(self, keys: Collection[engine.Key]) -> list[Resource[Any]]:
        """Return which of these resources do not exist. Raises S3aggError if one is foreign."""
        plan = Plan([change for change in self.plan().changes if change.resource.key in keys])
        plan.check_owners()
        return [change.resource for change in plan.changes if change.action == "create"]

    def check_works(self, keys: Collection[engine.Key], consequence: str) -> None:
        """Raise S3aggError with this consequence if one of these resources is foreign, missing or off."""
        problems = [f"{each.kind} {each.name} is missing" for each in self.lacking(keys)]
        trigger = self.found.of(self.stack.trigger)
        if self.stack.trigger.key in keys and trigger is not None and not trigger.enabled:
            problems.append(f"the trigger of function {self.stack.refresher.name} is disabled")
        for rule in (each.rule for each in self.stack.deliveries if each.rule.key in keys):
            existing = self.found.of(rule)
            if existing is not None and (fault := rule.fault(existing)):
                problems.append(f"rule {rule.name} {fault}")
        for function in (self.stack.aggregator, self.stack.refresher):
            found = self.found.of(function)
            if function.key in keys and found is not None and found.reserved == 0:
                problems.append(f"the reserved concurrency of function {function.name} is 0")
        if problems:
            raise S3aggError(
                f"{consequence}: {', '.join(problems)}", "To correct this, run", Advice("create")
            )


def read(aws: Aws, names: Names, request: Request | None = None) -> Deployment:
    """Read a stack from AWS; declare it from the request, then the stored options, then the defaults."""
    request = request or Request()
    snapshot = Snapshot(aws)
    bare = declared.make(aws.place, names, Settings(), {})

    # The request, the function's policy and the table name buckets. The rules of the buckets from one source
    # are read while the other sources are still being read.
    asked, permitted, table, completion, found = aws.concurrently(
        lambda _: _rules(snapshot, bare, request.buckets),
        lambda _: _rules(snapshot, bare, _permitted(snapshot, bare)),
        lambda _: _read_table(snapshot, bare, adopt=request.adopt),
        lambda _: _read_rule(snapshot, bare),
        lambda _: engine.find(
            snapshot, [each for each in bare.resources if each not in (bare.table, bare.rule)]
        ),
    )
    if table.found is None and bare.aggregator.key in found:
        # Deleted by hand, or another run is creating the stack and the table appeared meanwhile.
        table = _read_table(snapshot, bare, adopt=request.adopt)
    of_items = table.rules
    if bare.aggregator.key not in found:
        # The function's policy is gone with it. So items may be the only trace of the blog's rules.
        of_items = _rules(snapshot, bare, table.activity)

    # Each bucket's rule and permission as found.
    rules: dict[str, ReadRules] = {**asked, **dict(sorted({**permitted, **of_items}.items()))}
    notifications = [bare.notification(bucket) for bucket in rules]
    unread = _unread(rules)
    found.add(bare.table, table.found)
    unread_rule = completion if isinstance(completion, S3aggError) else None
    found.add(bare.rule, None if isinstance(completion, S3aggError) else completion)
    for each in notifications:
        rule = rules[each.bucket]
        found.add(each, None if isinstance(rule, S3aggError) else rule)
    found.update(engine.find(snapshot, [each.permission for each in notifications]))
    by_eventbridge = _by_eventbridge(request, table, notifications)
    if found and bare.aggregator.key not in found:
        # The function's policy is gone with it. So only the rule may tell.
        by_eventbridge = [each.bucket for each in notifications]
    bridged = _read_bridged(snapshot, bare, found, by_eventbridge, unread)

    # The declaration.
    kept = stored_options(aws, bare, found, adopt=request.adopt)
    settings = Settings.declared(request.options, kept, untagged_billing(bare, found, kept))
    if request.keep_billing:
        settings = settings.keeping_billing()
    attached: dict[str, EventFilter] = {}
    for each in notifications:
        item = table.activity.get(each.bucket)
        before = _filter_before(bare, found, found.of(each), item.event_filter if item else None)
        before = before or bridged.get(each.bucket)
        if before is not None or found.of(each.permission) or each.bucket in request.buckets:
            attached[each.bucket] = request.filter_of(each.bucket, before or ALL_EVENTS)
    stack = declared.make(aws.place, names, settings, attached, bridged)
    stack = replace(stack, rule=replace(stack.rule, is_readable=unread_rule is None))
    if request.skip_validation:
        skipping = (replace(each, skips_validation=True) for each in stack.notifications)
        stack = replace(stack, notifications=tuple(skipping))
    activity = {name: each.at_interval(settings.min_interval) for name, each in table.activity.items()}
    return Deployment(aws.place, stack, found, activity, unread, snapshot, request.adopt, unread_rule)


@dataclass(frozen=True)
class _Table:
    """The table, the activity of the buckets in it, and the rules of those stored as attached."""

    found: FoundTable | None
    activity: Mapping[str, BucketActivity]
    rules: Mapping[str, ReadRules]


def _read_table(snapshot: Snapshot, bare: Stack, *, adopt: bool) -> _Table:
    """Read the table and its items; the items of a foreign table are not read."""
    found = engine.find(snapshot, [bare.table]).of(bare.table)
    if found is None or engine.is_foreign(bare.table, found, adopt=adopt):
        return _Table(found, {}, {})
    with describing_errors(f"reading the items of table {bare.table.name}"):
        activity = items.read_all(snapshot.aws, bare.table.name)
    # An item alone may be of anybody's bucket: the test event of the Lambda console leaves one.
    attached = [
        each.name for each in activity.values() if each.event_filter is not None or each.delivery_is_ours
    ]
    return _Table(found, activity, _rules(snapshot, bare, attached))


def _read_rule(snapshot: Snapshot, bare: Stack) -> FoundRule | S3aggError | None:
    """Read the rule for finished refreshes; return the error if access is denied.

    Everything but the completion of a refresh works without it (DESIGN 2b). So a policy of an earlier version
    must not prevent a command.
    """
    try:
        return engine.find(snapshot, [bare.rule]).of(bare.rule)
    except S3aggError as error:
        if not (is_denied(error) or is_unknown(error)):
            raise
        return error


def _rules(snapshot: Snapshot, bare: Stack, buckets: Iterable[str]) -> dict[str, ReadRules]:
    """Read the stack's rule of each bucket, once for a snapshot."""

    def rules_of(notification: Notification) -> ReadRules:
        try:
            return engine.find(snapshot, [notification]).of(notification)
        except S3aggError as error:
            return error

    notifications = [bare.notification(bucket) for bucket in buckets]
    rules = snapshot.aws.side_by_side(rules_of, notifications)
    return {each.bucket: rule for each, rule in zip(notifications, rules, strict=True)}


def _filter_before(
    bare: Stack, found: Findings, rules: FoundNotification | None, stored: EventFilter | None
) -> EventFilter | None:
    """Return a bucket's event filter before the request: as stored, else as its rules are.

    Nobody chose the event types of the scripts, which lack the expirations, nor those of an older version. So
    all of them count then.
    """
    if stored is not None and not isinstance(stored, OlderFilter):
        return stored
    if rules is None:
        return stored and EventFilter(stored.prefixes, stored.suffixes)
    function = found.of(bare.aggregator)
    made_by_us = function is not None and STACK_TAG in (function.tags or {})
    if stored is None and made_by_us:
        return rules.event_filter
    return replace(rules.event_filter, events=ALL_EVENTS.events)


def _unread(rules: Mapping[str, ReadRules]) -> dict[str, S3aggError]:
    """Return the errors of the buckets with denied access; raise S3aggError for any other error.

    A bucket with denied access must not prevent `status` or `delete`: it may belong to another account now.
    """
    errors = {bucket: rule for bucket, rule in rules.items() if isinstance(rule, S3aggError)}
    if failed := [error for error in errors.values() if not is_denied(error)]:
        raise combined("Several buckets could not be read", failed)
    return errors


def _by_eventbridge(request: Request, table: _Table, notifications: Iterable[Notification]) -> list[str]:
    """Return the buckets that are to be attached by EventBridge, or whose item tells of it."""
    asked = request.buckets if request.via == EVENTBRIDGE else ()

    def is_stored(bucket: str) -> bool:
        item = table.activity.get(bucket)
        return item is not None and (
            item.delivery_is_ours or (item.event_filter is not None and item.event_filter.is_via_eventbridge)
        )

    return [each.bucket for each in notifications if each.bucket in asked or is_stored(each.bucket)]


def _read_bridged(
    snapshot: Snapshot, bare: Stack, found: Findings, buckets: Iterable[str], unread: Mapping[str, S3aggError]
) -> dict[str, EventFilter | None]:
    """Read the way by EventBridge of these buckets, and of those with a statement for it.

    Adds to `found`. Returns the buckets with the filters of their rules, None without a rule or statement.
    """
    policy = statements(snapshot, bare.aggregator.name)
    permitted = [bucket for each in policy.values() if (bucket := _bucket(each, RULE_STATEMENT))]
    deliveries = [
        bare.delivery(bare.notification(bucket)) for bucket in dict.fromkeys([*buckets, *permitted])
    ]
    parts = [part for each in deliveries for part in (each, each.rule, each.rule.permission)]
    found.update(
        engine.find(
            snapshot, [each for each in parts if not (isinstance(each, Delivery) and each.bucket in unread)]
        )
    )
    return {each.bucket: _bridged_filter(found, each) for each in deliveries}


def _bridged_filter(found: Findings, delivery: Delivery) -> EventFilter | None:
    """Return the filter of a bucket's EventBridge rule; all events if only its statement is there."""
    rule = found.ours(delivery.rule)
    if rule is not None:
        return delivery.rule.filter_of(rule)
    return replace(ALL_EVENTS, via=EVENTBRIDGE) if found.of(delivery.rule.permission) else None


def _permitted(snapshot: Snapshot, bare: Stack) -> list[str]:
    """Return the buckets in the function's policy."""
    with describing_errors(f"reading the policy of function {bare.aggregator.name}"):
        policy = statements(snapshot, bare.aggregator.name)
    starts = (STATEMENT, RULE_STATEMENT)
    return sorted(
        {bucket for each in policy.values() for start in starts if (bucket := _bucket(each, start))}
    )


def _bucket(statement: Mapping[str, Any], start: str) -> str:
    """Return the bucket of a statement with one of our ids; "" for other statements.

    `start` tells whether the statement is for S3 or for EventBridge, whose source is a rule.
    """
    sid = str(statement.get("Sid")).removeprefix(STAND_IN)
    if start == RULE_STATEMENT:
        return _bucket_in(sid, start)
    for operator in statement.get("Condition", {}).values():
        for name, value in operator.items():
            if name.lower() == "aws:sourcearn":
                bucket = str(value).rpartition(":")[2]
                return bucket if sid == statement_id(bucket) else ""
    return _bucket_in(sid, start)  # the blog allows a statement without a source


def _bucket_in(sid: str, start: str) -> str:
    """Return the bucket that a statement's id names; "" if it names none."""
    with suppress(UsageProblem):
        bucket = check_bucket_name(sid.removeprefix(start).replace("_", "."), ANY_REGION)
        return bucket if sid == statement_id(bucket, start) else ""
    return ""


def the_bucket(deployment: Deployment, named: str | None) -> Notification:
    """Return the rule of the bucket `named`, or of the only attached bucket if None.

    Raises UsageProblem for a name that no bucket can have.
    """
    names = deployment.stack.names
    attached = [each for each in deployment.stack.notifications if each.bucket in deployment.buckets]
    if named is not None:
        for each in attached:
            if each.bucket == named:
                return each
        check_bucket_name(named, ANY_REGION)
        raise S3aggError(
            f"Bucket {named} is not attached to stack {names.stack}",
            "Attach the bucket",
            Advice("create", named),
        )
    if not attached:
        raise S3aggError(
            f"No bucket is attached to stack {names.stack}",
            "Attach a bucket",
            Advice("create", "BUCKET"),
        )
    if len(attached) > 1:
        buckets = ", ".join(each.bucket for each in attached)
        raise UsageProblem(f"Several buckets are attached: {buckets}", "Pass one of them with --bucket")
    return attached[0]
