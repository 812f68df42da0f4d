"""Which calls of a command need each other: where calls are slow, its time is at least that of this chain.

A call that could go beside another is in no chain with it. That a chain was gone through is looked up in
the record of the run.
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
RULE = (  # only all of a bucket's rules can be written: so they are read, written and read again
    "s3:GetBucketNotificationConfiguration",
    "s3:PutBucketNotificationConfiguration",
    "s3:GetBucketNotificationConfiguration",
)
READ = (WHO, *TABLE)
DELETE = (
    *READ,  # which buckets are attached
    *RULE,
    "lambda:DeleteFunction",  # once no bucket calls it
    "iam:DetachRolePolicy",  # once no function runs with it
    "iam:DeleteRole",
    "iam:DeletePolicy",
)
NEW = (
    WHO,
    "sqs:GetQueueUrl",  # is there one, and whose?
    "sqs:CreateQueue",  # of the dead letters
    "sqs:CreateQueue",  # whose attributes name the dead letters'
    "lambda:CreateFunction",  # whose variables hold the queue's URL
    "lambda:AddPermission",  # without which S3 takes no rule
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


def in_a_row(calls: Sequence[Call]) -> list[str]:
    """The longest row of calls of which each began after the one before had ended, by chance or by need."""
    row: list[str] = []
    at = 0.0
    for call in sorted(calls, key=lambda call: call.ended):
        if call.began >= at:
            row.append(call.operation)
            at = call.ended
    return row
