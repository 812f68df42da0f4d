"""Which calls of a command really need each other: its time, where calls are slow, is that of this chain.

A call that could go beside another is in no chain with it; so each command's chain here is what no
provisioning tool could do without. That it was gone through is looked up in the record of the run.
"""

from __future__ import annotations

from collections.abc import Sequence

from tests.benchmarks.delayed import Call

Chain = Sequence[str]

WHO = "sts:GetCallerIdentity"  # the account is in every ARN
TABLE = (
    "dynamodb:DescribeTable",
    "dynamodb:ListTagsOfResource",
    "dynamodb:Scan",
)  # there, ours, what is in it
RULE = (  # nothing but all of a bucket's rules can be written
    "s3:GetBucketNotificationConfiguration",
    "s3:PutBucketNotificationConfiguration",
    "s3:GetBucketNotificationConfiguration",
)
STATUS = (WHO, *TABLE)
UNCHANGED = (WHO, *TABLE)
DELETE = (
    WHO,
    *TABLE,  # which buckets are attached
    *RULE,
    "lambda:DeleteFunction",  # once no bucket calls it
    "iam:DetachRolePolicy",  # once no function runs with it
    "iam:DeleteRole",
    "iam:DeletePolicy",
)
NEW = (
    WHO,
    "sqs:GetQueueUrl",  # there is none
    "sqs:CreateQueue",  # of the dead letters
    "sqs:CreateQueue",  # whose attributes name the dead letters'
    "lambda:CreateFunction",  # whose variables hold the queue's URL
    "lambda:GetFunctionConfiguration",  # active
    *RULE,
)


def found(chain: Chain, calls: Sequence[Call]) -> int:
    """How long a part of the chain, from its beginning, was gone through, one call after the other."""
    at = 0.0
    for length, operation in enumerate(chain):
        ends = [call.ended for call in calls if call.operation == operation and call.began >= at]
        if not ends:
            return length
        at = min(ends)
    return len(chain)


def rounds(calls: Sequence[Call]) -> list[str]:
    """The longest row of calls of which each began after the one before had ended."""
    row: list[str] = []
    at = 0.0
    for call in sorted(calls, key=lambda call: call.ended):
        if call.began >= at:
            row.append(call.operation)
            at = call.ended
    return row
