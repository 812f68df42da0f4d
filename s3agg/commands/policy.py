"""policy: the least IAM policy for running s3agg on one stack and its buckets."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

from s3agg.aws.refusals import is_denied
from s3agg.aws.session import Aws
from s3agg.errors import S3aggError, UsageProblem
from s3agg.resources.notification import TEST_OBJECT, KeyFilter
from s3agg.resources.policy import Policy
from s3agg.resources.role import Role
from s3agg.settings import ARNS, Names, Settings, check_bucket_name
from s3agg.stack import declared, deployed
from s3agg.stack.declared import Stack
from s3agg.stack.deployed import Request

LONGEST_MANAGED = 6144  # characters of a managed policy, without whitespace

Document = dict[str, Any]


def make(aws: Aws, names: Names, buckets: Sequence[str], boundary: str | None) -> Document:
    """Return the policy for the stack `names` and these buckets, or its attached buckets if empty.

    `boundary` is the permissions boundary that both roles must have, `none`, or None for the declared one. If
    buckets and boundary are given, AWS is only asked for the account and region. Raises UsageProblem if there
    is no bucket, S3aggError if the stack must be read and access is denied.
    """
    stack = _stack(aws, names, [check_bucket_name(bucket) for bucket in buckets], boundary)
    if stack.settings.permissions_boundary is None:
        aws.warn(
            "Anyone who can edit these roles' policies can grant themselves any permission."
            " Pass --permissions-boundary, or give this policy to administrators only."
        )
    made = document(stack)
    if (size := length(made)) > LONGEST_MANAGED:
        aws.warn(
            f"This policy has {size} characters, but the limit of a managed policy is {LONGEST_MANAGED}."
            " Pass --bucket for fewer buckets, or use it as an inline policy of a role (limit 10240)."
        )
    return made


def length(made: Document) -> int:
    """Return the number of characters that IAM counts."""
    return len(json.dumps(made, separators=(",", ":")))


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
            aws.warn(
                f"Could not read the stack's permissions boundary, so this policy enforces none. {error}"
            )
        else:
            settings = deployment.stack.settings
            buckets = buckets or deployment.buckets
            if not buckets:
                raise UsageProblem(f"No bucket is attached to stack {names.stack}", "Pass --bucket")
    stack = declared.make(aws.place, names, settings, dict.fromkeys(buckets, KeyFilter()))
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
    made: Document = {"Version": "2012-10-17", "Statement": statements}
    if length(made) > LONGEST_MANAGED:
        for statement in statements:
            del statement["Sid"]  # only for readers
    return made


def _allow(sid: str, resources: Sequence[str], *actions: str, **condition: dict[str, Any]) -> Document:
    """Return an Allow statement; a list of one is written as its item, as AWS does."""
    made: Document = {"Sid": sid, "Effect": "Allow", "Action": _plain(actions), "Resource": _plain(resources)}
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
        "Policies",
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
    yield _allow(
        "Roles",
        arns,
        *create,
        "iam:DeleteRole",
        "iam:DeleteRolePolicy",
        "iam:GetRole",
        "iam:ListAttachedRolePolicies",
        "iam:ListRolePolicies",
        "iam:ListRoleTags",
        "iam:TagRole",
        "iam:UpdateAssumeRolePolicy",
    )
    if boundary:  # the policy does not allow removing the boundary
        yield _allow(
            "BoundRoles",
            arns,
            "iam:CreateRole",
            "iam:PutRolePermissionsBoundary",
            ArnEquals={"iam:PermissionsBoundary": boundary},
        )
    managed = dict.fromkeys(arn for role in roles for arn in role.managed_policies)
    yield _allow(
        "RolePolicies",
        arns,
        "iam:AttachRolePolicy",
        "iam:DetachRolePolicy",
        ArnEquals={"iam:PolicyARN": [*policies, *managed]},
    )
    yield _allow(
        "PassRoles",
        arns,
        "iam:PassRole",
        StringEquals={"iam:PassedToService": "lambda.amazonaws.com"},
    )


def _table_and_queues(stack: Stack) -> Iterator[Document]:
    yield _allow(
        "Table",
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
        "Queues",
        [stack.queue.arn, stack.dead_letters.arn],
        "sqs:CreateQueue",
        "sqs:DeleteQueue",
        "sqs:GetQueueAttributes",
        "sqs:GetQueueUrl",
        "sqs:ListQueueTags",
        "sqs:SetQueueAttributes",
        "sqs:TagQueue",
        "sqs:UntagQueue",
    )
    yield _allow(
        "RedriveFrom",
        [stack.dead_letters.arn],
        "sqs:ChangeMessageVisibility",
        "sqs:DeleteMessage",
        "sqs:ReceiveMessage",
    )
    yield _allow("SendTo", [stack.queue.arn], "sqs:SendMessage")


def _functions(stack: Stack) -> Iterator[Document]:
    yield _allow(
        "Functions",
        [stack.aggregator.arn, stack.refresher.arn],
        "lambda:CreateFunction",
        "lambda:DeleteFunction",
        "lambda:DeleteFunctionConcurrency",
        "lambda:GetFunction",
        "lambda:GetFunctionConfiguration",
        "lambda:GetFunctionEventInvokeConfig",
        "lambda:ListTags",
        "lambda:PutFunctionConcurrency",
        "lambda:TagResource",
        "lambda:UpdateFunctionCode",
        "lambda:UpdateFunctionConfiguration",
    )
    yield _allow(
        "Aggregator",
        [stack.aggregator.arn],
        "lambda:AddPermission",
        "lambda:GetPolicy",
        "lambda:InvokeFunction",
        "lambda:PutFunctionEventInvokeConfig",
        "lambda:RemovePermission",
    )
    ours = {"lambda:FunctionArn": stack.refresher.arn}
    # An event source mapping has no ARN before it is created.
    yield _allow("NewTrigger", ["*"], "lambda:CreateEventSourceMapping", ArnEquals=ours)
    triggers = stack.table.place.arn("lambda", "event-source-mapping:*")
    yield _allow(
        "Trigger",
        [triggers],
        "lambda:DeleteEventSourceMapping",
        "lambda:UpdateEventSourceMapping",
        ArnEquals=ours,
    )
    yield _allow("TriggerTags", [triggers], "lambda:ListTags", "lambda:TagResource")


def _watching(stack: Stack) -> Iterator[Document]:
    groups = [function.log_group.arn for function in (stack.aggregator, stack.refresher)]
    yield _allow(
        "LogGroups",
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
    yield _allow(
        "Alarms",
        [alarm.arn for alarm in stack.alarms],
        "cloudwatch:DeleteAlarms",
        "cloudwatch:ListTagsForResource",
        "cloudwatch:PutMetricAlarm",
        "cloudwatch:TagResource",
    )
    yield _allow(
        "FileShares",
        [stack.table.place.arn("storagegateway", "share/*")],
        "storagegateway:DescribeNFSFileShares",
        "storagegateway:DescribeSMBFileShares",
    )
    # DescribeAlarms is authorized for all alarms, even with names.
    yield _allow("FindAlarms", [stack.table.place.arn("cloudwatch", "alarm:*")], "cloudwatch:DescribeAlarms")


def _buckets(stack: Stack) -> Iterator[Document]:
    arns = [notification.arn for notification in stack.notifications]
    yield _allow("Buckets", arns, "s3:GetBucketNotification", "s3:ListBucket", "s3:PutBucketNotification")
    yield _allow(
        "TestObjects",
        [f"{arn}/*{TEST_OBJECT}*" for arn in arns],
        "s3:DeleteObject",
        "s3:DeleteObjectVersion",
        "s3:PutObject",
    )


def _everywhere() -> Document:
    """Return the statement of the read actions that AWS authorizes only for all resources.

    Metrics, quotas, and the lists of event source mappings and file shares have no ARNs. Roles and log groups
    have ARNs, but ListRoles and DescribeLogGroups are not authorized by them.
    """
    return _allow(
        "Unscoped",
        ["*"],
        "cloudwatch:GetMetricData",
        "cloudwatch:ListMetrics",
        "iam:ListRoles",
        "lambda:GetAccountSettings",
        "lambda:ListEventSourceMappings",
        "logs:DescribeLogGroups",
        "storagegateway:ListFileShares",
    )
