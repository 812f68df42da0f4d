"""What stands in the way of `create`: looked for before the first change, and all of it told at once."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from s3agg import engine
from s3agg.aws.refusals import describing_errors
from s3agg.aws.session import Aws
from s3agg.engine import Plan
from s3agg.errors import NOTHING_CHANGED, Advice, S3aggError, UsageProblem, combined
from s3agg.resources.bucket import check_bucket
from s3agg.resources.function import reservable
from s3agg.resources.log_group import LogGroup
from s3agg.resources.notification import Notification
from s3agg.resources.permission import Permission, check_policy_room
from s3agg.settings import STACK_TAG, Names, check_runtime, flag
from s3agg.stack import deployed
from s3agg.stack.declared import most_write_units
from s3agg.stack.deployed import Deployment, Request

Check = Callable[[], object]  # raises S3aggError for what it finds


@dataclass(frozen=True)
class Checked:
    """A stack as it is beside what is asked, what would be done about that, and what stands in the way."""

    deployment: Deployment
    plan: Plan
    problems: Sequence[S3aggError]

    def passed(self) -> Deployment:
        """Raise S3aggError for all that stands in the way, if anything does."""
        if self.problems:
            raise combined(NOTHING_CHANGED, self.problems)
        return self.deployment


def check(aws: Aws, names: Names, request: Request) -> Checked:
    """Look at everything, side by side; change nothing.

    Raises S3aggError where that makes no sense: wrong usage, no credentials, no region, no right to look.
    """
    usage: list[Check] = [partial(_check_endpoint, aws), partial(_check_runtime, aws, request)]
    problems = _problems(aws, usage) or _problems(aws, [lambda: aws.place])
    if problems:
        raise combined(NOTHING_CHANGED, problems)
    read: list[Deployment] = []
    fine: list[str] = []

    def look_at(bucket: str) -> None:
        with describing_errors(f"looking at bucket {bucket}"):
            check_bucket(aws, aws.place, bucket)
        fine.append(bucket)

    problems = _problems(
        aws,
        [
            *(partial(look_at, bucket) for bucket in request.buckets),
            lambda: read.append(deployed.read(aws, names, _completed(aws, request))),
        ],
    )
    if not read:
        raise combined(NOTHING_CHANGED, problems)
    deployment = read[0]
    plan = deployment.plan()
    new = [each.resource for each in plan.to_do]
    rules = [each for each in new if isinstance(each, Notification)]
    attached = [each for each in rules if each.bucket not in request.buckets]
    permissions = [each for each in new if isinstance(each, Permission)]
    problems += _problems(
        aws,
        [
            partial(_check_kept, deployment),
            partial(_check_interval, aws, deployment),
            partial(_check_buckets, deployment),
            partial(_check_foreign, plan),
            partial(check_policy_room, deployment.snapshot, permissions),
            *(partial(_check_attached, deployment, each) for each in attached),
            *(partial(_check_rule, deployment, each) for each in rules if each.bucket in fine),
        ],
    )
    _warn_of_quota(aws, deployment)
    _warn_of_logs(aws, plan)
    _warn_of_capacity(aws, deployment)
    return Checked(deployment, plan, problems)


def _problems(aws: Aws, checks: Sequence[Check]) -> list[S3aggError]:
    try:
        aws.side_by_side(lambda check: check(), checks)
    except S3aggError as error:
        return list(error.parts)
    return []


def _completed(aws: Aws, request: Request) -> Request:
    """Keep how the table is paid for; let functions on this machine use its Storage Gateway (DESIGN 4)."""
    request = replace(request, keep_billing=True)
    if not aws.lambda_is_local:
        return request
    return replace(
        request, options={**request.options, "storage_gateway_endpoint": aws.storage_gateway_override}
    )


def _check_endpoint(aws: Aws) -> None:
    if aws.storage_gateway_override is not None and not aws.lambda_is_local:
        raise UsageProblem(
            f"The endpoint {aws.storage_gateway_override} is set for Storage Gateway,"
            " but the functions would run in AWS",
            "Unset AWS_ENDPOINT_URL_STORAGE_GATEWAY (or services/storagegateway in the profile)",
        )


def _check_runtime(aws: Aws, request: Request) -> None:
    runtime = request.options.get("runtime")
    if runtime:
        check_runtime(runtime, aws.runtimes)


def _check_kept(deployment: Deployment) -> None:
    """What was asked for before, or is deployed where that is adopted, may be what cannot be asked for."""
    unusable = deployment.stack.settings.unusable
    if unusable:
        now = ", ".join(f"{flag(name)} is {value!r}" for name, value in unusable.items())
        raise S3aggError(f"What was asked for cannot be any more: {now}", "Say it again, with another value")


def _check_interval(aws: Aws, deployment: Deployment) -> None:
    if not aws.lambda_is_local:
        deployment.stack.settings.check_interval()


def _check_buckets(deployment: Deployment) -> None:
    if not deployment.stack.notifications:
        raise UsageProblem("The stack has no bucket yet", "Name one with --bucket")


def _check_foreign(plan: Plan) -> None:
    if plan.foreign:
        raise engine.foreign(plan)


def _check_attached(deployment: Deployment, notification: Notification) -> None:
    """Nobody asks for this bucket now, but its rule is not as it was, and would be made again."""
    try:
        with describing_errors(f"looking at bucket {notification.bucket}"):
            check_bucket(deployment.snapshot.aws, notification.place, notification.bucket)
    except S3aggError as error:
        raise S3aggError(error.problem, "Detach it", Advice("delete", notification.bucket)) from error
    _check_rule(deployment, notification)


def _check_rule(deployment: Deployment, notification: Notification) -> None:
    with describing_errors(f"reading the notifications of bucket {notification.bucket}"):
        notification.check_room(deployment.snapshot)


def _warn_of_logs(aws: Aws, plan: Plan) -> None:
    """A log group is never foreign (DESIGN 1), but its lines may be dear to somebody."""
    for change in plan.to_do:
        group, found = change.resource, change.found
        if isinstance(group, LogGroup) and found and STACK_TAG not in (found.tags or {}):
            for each in change.differences:
                if each.what == "retention":
                    aws.warn(
                        f"Log group {group.name} was made by somebody else, and keeps its lines {each.found};"
                        f" from now on it is {each.declared}. Say --log-retention for longer"
                    )


def _warn_of_quota(aws: Aws, deployment: Deployment) -> None:
    """Foresee what Lambda will not reserve (FACTS 7): the stack works without."""
    with describing_errors("reading the account's quota of concurrent executions"):
        room = reservable(deployment.snapshot)
    for function in (deployment.stack.aggregator, deployment.stack.refresher):
        found = deployment.found.of(function)
        more = function.concurrency - ((found and found.reserved) or 0)
        if more > room:
            aws.warn(function.unreserved)
        else:
            room -= max(more, 0)


def _warn_of_capacity(aws: Aws, deployment: Deployment) -> None:
    """A throttled table holds events back, which are then tried again for hours."""
    settings, buckets = deployment.stack.settings, len(deployment.stack.notifications)
    needed = math.ceil(most_write_units(settings, buckets))
    if not settings.on_demand and needed > settings.write_capacity:
        aws.warn(
            f"{buckets} {'bucket' if buckets == 1 else 'buckets'} with --concurrency {settings.concurrency}"
            f" can need {needed} write units a second, but {settings.write_capacity} are provisioned:"
            f" DynamoDB may throttle the table. Pass --on-demand, or --write-capacity {needed}"
        )
