"""The checks of `create` before its first change. All problems are reported together."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from s3agg.aws.refusals import describing_errors
from s3agg.aws.session import Aws
from s3agg.commands import shares
from s3agg.commands.other_rules import OtherRules
from s3agg.engine import Plan
from s3agg.errors import NOTHING_CHANGED, Advice, S3aggError, UsageProblem, combined, plural
from s3agg.keys import doubts
from s3agg.live.file_shares import Lookup, Shares
from s3agg.resources.bucket import OtherRegion, check_bucket
from s3agg.resources.concurrency import cannot_reserve, reservable
from s3agg.resources.delivery import Delivery
from s3agg.resources.log_group import LogGroup
from s3agg.resources.notification import Notification
from s3agg.resources.permission import Permission, check_policy_room
from s3agg.resources.rule import BucketRule
from s3agg.settings import CHOICES, RANGES, STACK_TAG, Names, check_bucket_name, check_runtime, flag
from s3agg.stack import deployed
from s3agg.stack.asked_for import lacks_table
from s3agg.stack.declared import most_write_units
from s3agg.stack.deployed import CANNOT_TELL, Deployment, Request

Check = Callable[[], object]  # raises S3aggError for a problem


@dataclass(frozen=True)
class Checked:
    """The stack, the plan of its changes, and the problems that prevent them.

    `shares` holds the file shares of the buckets; None if they are unknown, or with problems.
    """

    deployment: Deployment
    plan: Plan
    problems: Sequence[S3aggError]
    shares: Shares | None = None

    def passed(self) -> Deployment:
        """Return the deployment; raise S3aggError with all problems if there are any."""
        if self.problems:
            raise combined(NOTHING_CHANGED, self.problems)
        return self.deployment


def check(aws: Aws, names: Names, request: Request) -> Checked:
    """Run all checks concurrently; change nothing.

    Raises S3aggError if the stack cannot be read: wrong usage, no credentials, no region, access denied.
    """
    usage: list[Check] = [partial(_check_endpoint, aws), partial(_check_runtime, aws, request)]
    problems = _problems(aws, usage) or _problems(aws, [aws.load_credentials])
    if problems:
        raise combined(NOTHING_CHANGED, problems)
    read: list[Deployment] = []
    checked: list[str] = []
    lookups: list[Lookup | S3aggError] = []

    def check_one(bucket: str) -> None:
        check_bucket_name(bucket, aws.place.region)
        with describing_errors(f"checking bucket {bucket}"):
            check_bucket(aws, aws.place, bucket)
        checked.append(bucket)

    def read_all() -> None:
        _ = aws.place  # if this fails, so would all the others
        aws.concurrently(
            *(lambda _, bucket=bucket: check_one(bucket) for bucket in request.buckets),
            lambda _: read.append(deployed.read(aws, names, _completed(aws, request))),
        )

    # The lookup takes two calls one after the other, so it does not wait for the place.
    problems = _problems(aws, [read_all, lambda: lookups.append(shares.look_up(aws))])
    if not read:
        raise combined(NOTHING_CHANGED, problems)
    deployment = read[0]
    plan = deployment.plan()
    if deployment.elsewhere:  # all other problems are those of the wrong place
        return Checked(deployment, Plan([]), [_elsewhere(deployment, wanted_here=checked)])
    if not deployment.exists:
        problems = [_without_stack(each) for each in problems]
    new = [each.resource for each in plan.to_do]
    touched = {each.bucket for each in new if isinstance(each, Notification | Delivery | BucketRule)}
    rules = [each for each in deployment.stack.notifications if each.bucket in touched]
    others: list[OtherRules] = []
    readable = [each for each in rules if each.bucket not in deployment.unread]
    has_way = _with_way(deployment)
    attached = [each for each in rules if each.bucket not in request.buckets]
    permissions = [each for each in new if isinstance(each, Permission) and each.wanted]
    problems += _problems(
        aws,
        [
            partial(_check_stored, deployment),
            partial(_check_readable, deployment),
            partial(_check_interval, aws, deployment),
            partial(_check_buckets, deployment),
            plan.check_owners,
            partial(check_policy_room, deployment.snapshot, permissions),
            *(partial(_check_attached, deployment, each) for each in attached),
            *(partial(_check_rule, deployment, each) for each in rules if each.bucket in checked),
            *(each.check_length for each in new if isinstance(each, BucketRule) and each.wanted),
            *(
                partial(_check_others, deployment, request, each, others, is_new=each.bucket not in has_way)
                for each in readable
                if each.bucket in checked or each in attached
            ),
        ],
    )
    deployment.warn_of_unread_rule(aws, CANNOT_TELL)
    _warn_of_keys(aws, request)
    if not problems:
        _warn_of_others(aws, request, others)
    _warn_of_gateway_writes(aws, deployment)
    _warn_of_quota(aws, deployment)
    _warn_of_lost_capacity(aws, deployment, request)
    _warn_of_logs(aws, plan)
    found = None if problems else _shares(aws, deployment, lookups[0])
    _warn_of_capacity(aws, deployment, found)
    return Checked(deployment, plan, problems, found)


def _problems(aws: Aws, checks: Sequence[Check]) -> list[S3aggError]:
    try:
        aws.side_by_side(lambda check: check(), checks)
    except S3aggError as error:
        return list(error.parts)
    return []


def _elsewhere(deployment: Deployment, wanted_here: Sequence[str]) -> S3aggError:
    """The error for a stack of another region. `wanted_here` are the passed buckets of this region.

    Such a bucket needs a second stack. Without one, the user has probably passed the wrong region.
    """
    if not wanted_here:
        return deployment.missing
    stack, region = deployment.stack.names.stack, deployment.place.region
    return S3aggError(
        f"Stack {stack} is in {deployment.elsewhere}, and IAM names hold for all regions of the account",
        f"For a stack in {region}, pass another --stack name",
    )


def _without_stack(problem: S3aggError) -> S3aggError:
    """The problem, as it is if there is no stack of this name yet."""
    if isinstance(problem, OtherRegion):
        return OtherRegion(problem.bucket, problem.region, problem.stack_region, new_stack=True)
    return problem


def _completed(aws: Aws, request: Request) -> Request:
    """Store the capacity mode, and pass the Storage Gateway endpoint to local functions (DESIGN 4)."""
    request = replace(request, keep_billing=True)
    if not aws.lambda_is_local:
        return request
    return replace(
        request, options={**request.options, "storage_gateway_endpoint": aws.storage_gateway_override}
    )


def _check_endpoint(aws: Aws) -> None:
    if aws.storage_gateway_override is not None and not aws.lambda_is_local:
        raise UsageProblem(
            f"Functions in AWS cannot use the Storage Gateway endpoint {aws.storage_gateway_override}",
            "Unset AWS_ENDPOINT_URL_STORAGE_GATEWAY, or delete the storage_gateway endpoint from the"
            " profile's [services] section",
        )


def _check_runtime(aws: Aws, request: Request) -> None:
    runtime = request.options.get("runtime")
    if runtime:
        check_runtime(runtime, aws.runtimes)


def _check_stored(deployment: Deployment) -> None:
    """Raise S3aggError for invalid values in the table's tags, or in the adopted resources."""
    unusable = deployment.stack.settings.unusable
    if unusable:
        raise combined("Stored settings are invalid", [_invalid(*each) for each in unusable.items()])


def _check_readable(deployment: Deployment) -> None:
    """Raise S3aggError if Lambda does not show a function's variables (FACTS 32)."""
    for function in (deployment.stack.aggregator, deployment.stack.refresher):
        if (found := deployment.found.of(function)) is not None:
            function.check_readable(found)


def _invalid(name: str, value: str) -> S3aggError:
    valid = ""
    if name in RANGES:
        valid = " with a value from {} to {}".format(*RANGES[name])
    elif name in CHOICES:
        valid = f" with one of {', '.join(map(str, CHOICES[name]))}"
    return S3aggError(f"Stored setting {flag(name)} {value} is invalid", f"Pass {flag(name)}{valid}")


def _check_interval(aws: Aws, deployment: Deployment) -> None:
    if not aws.lambda_is_local:
        deployment.stack.settings.check_interval()


def _check_buckets(deployment: Deployment) -> None:
    if not deployment.stack.notifications:
        raise UsageProblem(f"No bucket is attached to stack {deployment.stack.names.stack}", "Pass --bucket")


def _check_attached(deployment: Deployment, notification: Notification) -> None:
    """Check a bucket that is not in the request, but whose rule has drifted and would be restored."""
    try:
        with describing_errors(f"checking bucket {notification.bucket}"):
            check_bucket(deployment.snapshot.aws, notification.place, notification.bucket)
    except S3aggError as error:
        if notification.bucket not in deployment.gone:
            raise
        raise S3aggError(error.problem, "Detach the bucket", Advice("delete", notification.bucket)) from error
    _check_rule(deployment, notification)


def _with_way(deployment: Deployment) -> set[str]:
    """Return the buckets whose events already have a way to the aggregator, or a part of it."""
    found, stack = deployment.found, deployment.stack
    return {
        *(each.bucket for each in stack.notifications if each.key in found),
        *(each.bucket for each in stack.deliveries if each.rule.key in found),
    }


def _check_rule(deployment: Deployment, notification: Notification) -> None:
    if not notification.wanted:
        return
    with describing_errors(f"reading the notifications of bucket {notification.bucket}"):
        notification.check_room(deployment.snapshot)


def _check_others(
    deployment: Deployment,
    request: Request,
    notification: Notification,
    read: list[OtherRules],
    *,
    is_new: bool,
) -> None:
    """Check the other rules of a bucket. A rule that is there already may stay beside another stack's."""
    others = OtherRules(deployment.snapshot, notification, deployment.stack.names.stack)
    read.append(others)
    others.check(
        # S3 validates no destination when s3agg turns the delivery to EventBridge on.
        skip_validation=request.skip_validation or not notification.wanted,
        share_bucket=request.share_bucket or not is_new,
    )


def _warn_of_others(aws: Aws, request: Request, read: Sequence[OtherRules]) -> None:
    """Warn of what --skip-destination-validation and other stacks mean for the buckets."""
    for others in sorted(read, key=lambda each: each.bucket):
        for each in others.warnings(skip_validation=request.skip_validation):
            aws.warn(each)


def _warn_of_gateway_writes(aws: Aws, deployment: Deployment) -> None:
    """Warn if a gateway's own writes will cause refreshes, because EventBridge does not tell them."""
    stack = deployment.stack
    new = [each.bucket for each in stack.deliveries if each.wanted and each.rule.key not in deployment.found]
    if new and not stack.settings.include_gateway_writes:
        aws.warn(
            "EventBridge does not tell who wrote an object. So a gateway's own writes to bucket"
            f" {', '.join(new)} also cause refreshes."
        )


def _warn_of_keys(aws: Aws, request: Request) -> None:
    """Warn if a passed prefix or suffix could match other keys than the user thinks."""
    for kind, values in (("prefix", request.prefixes), ("suffix", request.suffixes)):
        for value in values or ():
            for each in doubts(kind, value):
                aws.warn(each)


def _warn_of_lost_capacity(aws: Aws, deployment: Deployment, request: Request) -> None:
    """Warn if a deleted table was perhaps provisioned, and the new one is on demand."""
    lost = lacks_table(deployment.stack, deployment.found)
    if lost and deployment.stack.settings.on_demand and not request.options.get("on_demand"):
        aws.warn(
            f"Table {deployment.stack.table.name} is missing, and its capacity mode is unknown."
            " The new table is on demand. If the old one was provisioned, pass --provisioned."
        )


def _warn_of_logs(aws: Aws, plan: Plan) -> None:
    """Warn before the retention of an untagged log group changes: it is never foreign (DESIGN 1)."""
    for change in plan.to_do:
        group, found = change.resource, change.found
        if isinstance(group, LogGroup) and found and STACK_TAG not in (found.tags or {}):
            for each in change.differences:
                if each.what == "retention":
                    aws.warn(
                        f"Log group {group.name} was not created by s3agg. Its retention changes from"
                        f" {each.found} to {each.declared}. Pass --log-retention for another value."
                    )


def _warn_of_quota(aws: Aws, deployment: Deployment) -> None:
    """Warn if the account's quota is too low for the reserved concurrency (FACTS 7)."""
    with describing_errors("reading the account's concurrency quota"):
        room = max(reservable(deployment.snapshot), 0)
    for function in (deployment.stack.aggregator, deployment.stack.refresher):
        found = deployment.found.of(function)
        more = function.concurrency - ((found and found.reserved) or 0)
        if more > room:
            aws.warn(cannot_reserve(function.name, function.concurrency))
        else:
            room -= max(more, 0)


def _shares(aws: Aws, deployment: Deployment, lookup: Lookup | S3aggError) -> Shares | None:
    """Return the file shares of the buckets, and warn if files may not show."""
    there = [each.bucket for each in deployment.stack.notifications if each.bucket not in deployment.gone]
    found = shares.of_buckets(aws, lookup, there)
    for each in shares.warnings(deployment, found or {}):
        aws.warn(each)
    return found


def _warn_of_capacity(aws: Aws, deployment: Deployment, found: Shares | None) -> None:
    """Warn if the table may be throttled, which makes Lambda retry events for hours."""
    settings, buckets = deployment.stack.settings, len(deployment.stack.notifications)
    # Shares that cannot be looked up now may be known from the last refresh.
    known = (
        deployment.activity_of(each.bucket).shares if found is None else found.get(each.bucket, ())
        for each in deployment.stack.notifications
    )
    needed = math.ceil(most_write_units(settings, map(len, known)))
    if not settings.on_demand and needed > settings.write_capacity:
        aws.warn(
            f"DynamoDB may throttle table {deployment.stack.table.name}: {plural(buckets, 'bucket')} with"
            f" --concurrency {settings.concurrency} can need {needed} write capacity units. Provisioned:"
            f" {settings.write_capacity}. Pass --on-demand, or --write-capacity {needed}."
        )
