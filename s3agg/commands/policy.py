"""policy: the least IAM policy for running s3agg on one stack and its buckets."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

from s3agg.aws.refusals import is_denied
from s3agg.aws.session import Aws
from s3agg.errors import S3aggError, UsageProblem, plural
from s3agg.resources.event_filter import ALL_EVENTS
from s3agg.resources.notification import TEST_OBJECT
from s3agg.resources.permission import EVENTBRIDGE, S3
from s3agg.resources.policy import Policy
from s3agg.resources.role import Role
from s3agg.settings import ANY_REGION, ARNS, STACK_TAG, Names, Settings, check_bucket_name
from s3agg.stack import declared, deployed
from s3agg.stack.declared import Stack
from s3agg.stack.deployed import Deployment, Request

LONGEST_MANAGED = 6144  # characters of a managed policy, without whitespace
LONGEST_INLINE = 10_240  # of all inline policies of a role
OF_RULES = (
    "events:DeleteRule",
    "events:DescribeRule",
    "events:ListTagsForResource",
    "events:ListTargetsByRule",
    "events:PutRule",
    "events:PutTargets",
    "events:RemoveTargets",
    "events:TagResource",
)

Document = dict[str, Any]


def make(
    aws: Aws, names: Names, buckets: Sequence[str], boundary: str | None, part: int | None = None
) -> Document:
    """Return the policy for the stack `names` and these buckets, or its attached buckets if empty.

    `part` selects one of the parts of `split`, from 1. `boundary` is the permissions boundary that both roles
    must have, `none`, or None for the declared one. If buckets and boundary are given, AWS is only asked for
    the account and region. Raises UsageProblem if there is no bucket or no such part. Raises S3aggError if
    the stack must be read and access is denied. Raises NoStack without buckets, and warns with some, if the
    stack is in another region.
    """
    stack = _stack(aws, names, [check_bucket_name(bucket, ANY_REGION) for bucket in buckets], boundary)
    if stack.settings.permissions_boundary is None:
        aws.warn(
            "Anyone who can edit these roles' policies can grant themselves any permission."
            " Pass --permissions-boundary, or give this policy to administrators only."
        )
    made = document(stack)
    parts = split(made)
    if part is not None:
        if part > len(parts):
            fix = f"Pass --part 1 to --part {len(parts)}" if len(parts) > 1 else "Omit --part"
            raise UsageProblem(f"The policy has {plural(len(parts), 'part')}", fix)
        return parts[part - 1]
    if len(parts) > 1:
        inline = ", or use it as an inline policy of a role" if length(made) <= LONGEST_INLINE else ""
        aws.warn(
            f"This policy has {length(made)} characters, but the limit of a managed policy is"
            f" {LONGEST_MANAGED}. Print {len(parts)} policies with --part 1 to --part {len(parts)},"
            f" and attach all of them{inline}."
        )
    return made


def length(made: Document) -> int:
    """Return the number of characters that IAM counts."""
    return len(json.dumps(made, separators=(",", ":")))


def split(made: Document) -> list[Document]:
    """Return the policy as managed policies within the limit of IAM. Together they allow the same.

    A statement that does not fit continues in the next policy, with the rest of its resources.
    """
    parts: list[Document] = [{**made, "Statement": []}]
    for statement in made["Statement"]:
        rest = _listed(statement["Resource"])
        while rest:
            before = parts[-1]["Statement"]
            for count in range(len(rest), 0, -1):
                longer = {**made, "Statement": [*before, {**statement, "Resource": _plain(rest[:count])}]}
                if length(longer) <= LONGEST_MANAGED:
                    parts[-1], rest = longer, rest[count:]
                    break
            if rest:
                parts.append({**made, "Statement": []})
    return parts


def _check_place(aws: Aws, deployment: Deployment, buckets: Sequence[str]) -> None:
    """Warn of a stack in another region; raise NoStack if its buckets are asked for."""
    if deployment.elsewhere is None:
        return
    if not buckets:
        raise deployment.missing
    aws.warn(f"This policy is for a stack in {deployment.place.region}.", deployment.missing)


def _stack(aws: Aws, names: Names, buckets: Sequence[str], boundary: str | None) -> Stack:
    """Declare the stack from the arguments and, where they leave something open, from AWS."""
    options = {"permissions_boundary": boundary}
    settings = Settings.declared(options, {})
    if not buckets or boundary is None:
        try:
            deployment = deployed.read(aws, names, Request(options=options))
        except S3aggError as error:
            if not is_denied(error):
                raise
            if not buckets:
                raise S3aggError(error.problem, "Pass the buckets with --bucket") from error
            aws.warn("Could not read the stack's permissions boundary, so this policy enforces none.", error)
        else:
            _check_place(aws, deployment, buckets)
            settings = deployment.stack.settings
            buckets = buckets or deployment.buckets
            if not buckets:
                raise UsageProblem(f"No bucket is attached to stack {names.stack}", "Pass --bucket")
    for bucket in buckets:
        check_bucket_name(bucket, aws.place.region)
    stack = declared.make(aws.place, names, settings, dict.fromkeys(buckets, ALL_EVENTS))
    named = settings.permissions_boundary
    if named and not re.fullmatch(ARNS["iam"], named, re.ASCII):
        raise UsageProblem(f"{named} is not the ARN of a policy", "Pass a full policy ARN without * or ?")
    if named in [each.arn for each in stack.resources if isinstance(each, Policy)]:
        raise UsageProblem(
            f"{named} is a policy of the stack and cannot be the permissions boundary of its roles",
            "Pass a policy that only administrators can change",
        )
    return stack


def document(stack: Stack) -> Document:
    """Return the policy for a stack and its attached buckets.

    It does not allow detaching other policies from the stack's roles, or the stack's policies from other
    roles. Users detach those themselves before `s3agg delete`.
    """
    parts = (_iam, _table_and_queues, _functions, _watching, _buckets)
    statements = [*(statement for part in parts for statement in part(stack)), _everywhere()]
    return {"Version": "2012-10-17", "Statement": _joined(statements)}


def _joined(statements: Sequence[Document]) -> list[Document]:
    """Return fewer statements, each with one of several services, as the length of a policy is limited.

    No action of a service applies to a resource of another one. Statements with a condition stay alone, and
    those for all resources.
    """
    groups: list[list[Document]] = []
    alone: list[Document] = []
    for each in statements:
        if "Condition" in each or each["Resource"] == "*":
            alone.append(each)
            continue
        others = (group for group in groups if not any(_services(each) & _services(one) for one in group))
        group = next(others, None)
        if group is None:
            groups.append([each])
        else:
            group.append(each)
    return [*(_one_of(group) for group in groups), *alone]


def _one_of(group: Sequence[Document]) -> Document:
    resources, actions = (
        [item for each in group for item in _listed(each[part])] for part in ("Resource", "Action")
    )
    return _allow(resources, *actions)


def _services(statement: Document) -> set[str]:
    return {action.partition(":")[0] for action in _listed(statement["Action"])}


def _listed(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


def _allow(resources: Sequence[str], *actions: str, **condition: dict[str, Any]) -> Document:
    """Return an Allow statement; a list of one is written as its item, as AWS does."""
    made: Document = {"Effect": "Allow", "Action": _plain(actions), "Resource": _plain(resources)}
    return {**made, "Condition": condition} if condition else made


def _plain(values: Sequence[str]) -> str | list[str]:
    return values[0] if len(values) == 1 else list(values)


def _iam(stack: Stack) -> Iterator[Document]:
    boundary = stack.settings.permissions_boundary
    policies = [each.arn for each in stack.resources if isinstance(each, Policy)]
    roles = [each for each in stack.resources if isinstance(each, Role)]
    arns = [role.arn for role in roles]
    # TagPolicy and TagRole require the List actions too (FACTS 36). `list` calls ListRoleTags for all stacks.
    # It leaves out those that the user may not operate.
    yield _allow(
        policies,
        "iam:CreatePolicy",
        "iam:CreatePolicyVersion",
        "iam:DeletePolicy",
        "iam:DeletePolicyVersion",
        "iam:GetPolicy",
        "iam:GetPolicyVersion",
        "iam:ListEntitiesForPolicy",
        "iam:ListPolicyTags",
        "iam:ListPolicyVersions",
        "iam:TagPolicy",
    )
    create = () if boundary else ("iam:CreateRole",)
    managed = dict.fromkeys(arn for role in roles for arn in role.managed_policies)
    # AttachRolePolicy and DetachRolePolicy always have the key of the first condition, PassRole that of the
    # second one, and the others neither.
    # UpdateAssumeRolePolicy corrects drift of a trust policy.
    yield _allow(
        arns,
        "iam:AttachRolePolicy",
        *create,
        "iam:DeleteRole",
        "iam:DeleteRolePolicy",
        "iam:DetachRolePolicy",
        "iam:GetRole",
        "iam:ListAttachedRolePolicies",
        "iam:ListRolePolicies",
        "iam:ListRoleTags",
        "iam:PassRole",
        "iam:TagRole",
        "iam:UpdateAssumeRolePolicy",
        ArnEqualsIfExists={"iam:PolicyARN": [*policies, *managed]},
        StringEqualsIfExists={"iam:PassedToService": "lambda.amazonaws.com"},
    )
    if boundary:  # the policy does not allow removing the boundary
        yield _allow(
            arns,
            "iam:CreateRole",
            "iam:PutRolePermissionsBoundary",
            ArnEquals={"iam:PermissionsBoundary": boundary},
        )


def _table_and_queues(stack: Stack) -> Iterator[Document]:
    yield _allow(
        [stack.table.arn],
        "dynamodb:CreateTable",
        "dynamodb:DeleteItem",
        "dynamodb:DeleteTable",
        "dynamodb:DescribeTable",
        "dynamodb:GetItem",
        "dynamodb:ListTagsOfResource",
        "dynamodb:Scan",
        "dynamodb:TagResource",
        "dynamodb:UpdateItem",
        "dynamodb:UpdateTable",
    )
    yield _allow(
        [stack.queue.arn, stack.dead_letters.arn],
        "sqs:CreateQueue",
        "sqs:DeleteQueue",
        "sqs:GetQueueAttributes",
        "sqs:ListQueueTags",
        "sqs:SetQueueAttributes",
        "sqs:TagQueue",
        "sqs:UntagQueue",
    )
    yield _allow(
        [stack.dead_letters.arn],
        "sqs:ChangeMessageVisibility",
        "sqs:DeleteMessage",
        "sqs:ReceiveMessage",
    )
    yield _allow([stack.queue.arn], "sqs:SendMessage")


def _functions(stack: Stack) -> Iterator[Document]:
    yield _allow(
        [stack.aggregator.arn, stack.refresher.arn],
        "lambda:CreateFunction",
        "lambda:DeleteFunction",
        "lambda:DeleteFunctionConcurrency",
        "lambda:GetFunction",
        "lambda:GetFunctionConfiguration",
        "lambda:GetFunctionEventInvokeConfig",
        "lambda:PutFunctionConcurrency",
        "lambda:TagResource",
        "lambda:UpdateFunctionCode",
        "lambda:UpdateFunctionConfiguration",
    )
    # AddPermission alone always has the key of this condition.
    yield _allow(
        [stack.aggregator.arn],
        "lambda:AddPermission",
        "lambda:GetPolicy",
        "lambda:InvokeFunction",
        "lambda:PutFunctionEventInvokeConfig",
        "lambda:RemovePermission",
        StringEqualsIfExists={"lambda:Principal": [S3, EVENTBRIDGE]},
    )
    # An event source mapping has no ARN before it is created. So the function decides.
    yield _allow(
        ["*"],
        "lambda:CreateEventSourceMapping",
        "lambda:DeleteEventSourceMapping",
        "lambda:UpdateEventSourceMapping",
        ArnEquals={"lambda:FunctionArn": stack.refresher.arn},
    )
    # TagResource has no key for the function. So the tags decide: a new or adopted mapping gets the tag of
    # this stack, and a mapping of another stack keeps its tags.
    yield _allow(
        [_triggers(stack)],
        "lambda:TagResource",
        StringEquals={f"aws:RequestTag/{STACK_TAG}": stack.names.stack},
        StringEqualsIfExists={f"aws:ResourceTag/{STACK_TAG}": stack.names.stack},
    )


def _triggers(stack: Stack) -> str:
    """The ARN pattern of all event source mappings: AWS chooses their UUIDs."""
    return stack.table.place.arn("lambda", "event-source-mapping:*")


def _watching(stack: Stack) -> Iterator[Document]:
    of_buckets = stack.table.place.arn("events", f"rule/{stack.names.stack}-*")
    yield _allow([stack.rule.arn, of_buckets], *OF_RULES)
    groups = [function.log_group.arn for function in (stack.aggregator, stack.refresher)]
    yield _allow(
        [
            *groups,
            *(f"{group}:*" for group in groups),
        ],  # tagging uses the first form, the other actions the second
        "logs:CreateLogGroup",
        "logs:DeleteLogGroup",
        "logs:FilterLogEvents",
        "logs:ListTagsForResource",
        "logs:PutRetentionPolicy",
        "logs:TagResource",
    )
    place = stack.table.place
    # Alarms can also stop instances and invoke functions. PutMetricAlarm alone has the key of this condition.
    # The topic must be in the alarm's region, but it may be of another account.
    topics = f"arn:{place.partition}:sns:{place.region}:*"
    yield _allow(
        [alarm.arn for alarm in stack.alarms],
        "cloudwatch:DeleteAlarms",
        "cloudwatch:ListTagsForResource",
        "cloudwatch:PutMetricAlarm",
        "cloudwatch:TagResource",
        **{"ForAllValues:StringLike": {"cloudwatch:AlarmActions": topics}},
    )
    # DescribeAlarms is authorized for all alarms, even with names.
    yield _allow([place.arn("cloudwatch", "alarm:*")], "cloudwatch:DescribeAlarms")
    yield _allow(
        [place.arn("storagegateway", "share/*")],
        "storagegateway:DescribeNFSFileShares",
        "storagegateway:DescribeSMBFileShares",
    )
    # The tags of event source mappings, and the destinations of other rules on the buckets.
    yield _allow([place.arn("lambda", "*")], "lambda:ListTags")
    yield _allow([place.arn("sns", "*")], "sns:GetTopicAttributes")
    yield _allow([place.arn("sqs", "*")], "sqs:GetQueueUrl")


def _buckets(stack: Stack) -> Iterator[Document]:
    arns = [notification.arn for notification in stack.notifications]
    yield _allow(
        arns,
        "s3:GetBucketNotification",
        "s3:GetBucketObjectLockConfiguration",
        "s3:ListBucket",
        "s3:PutBucketNotification",
    )
    yield _allow(
        [f"{arn}/*{TEST_OBJECT}*" for arn in arns],
        "s3:DeleteObject",
        "s3:DeleteObjectVersion",
        "s3:PutObject",
    )


def _everywhere() -> Document:
    """Return the statement of the read actions that AWS authorizes only for all resources.

    Metrics, quotas, and the lists of buckets, event source mappings, file shares and access points have no
    ARNs. Roles and log groups have ARNs, but ListRoles and DescribeLogGroups are not authorized by them.
    """
    return _allow(
        ["*"],
        "cloudwatch:GetMetricData",
        "cloudwatch:ListMetrics",
        "events:ListRules",
        "iam:ListRoles",
        "lambda:GetAccountSettings",
        "lambda:ListEventSourceMappings",
        "logs:DescribeLogGroups",
        "s3:ListAccessPoints",
        "s3:ListAllMyBuckets",
        "storagegateway:ListFileShares",
    )
