"""Taking over what the blog's scripts made: what is under way while it changes.

What a stack has and lacks is nothing special, `engine` brings it up to date. But its functions follow
other rules than ours, and both meet while they change. So the order is:

1. Everything but the refresh function and its trigger is brought up to date. From then on only our aggregator
   opens windows, except for what the old one still has in hand: that is waited for (`settle`). Beside that
   the item of each bucket gets `attached`, which the old functions do not look at.
2. The blog's windows become refreshes that are to come (`keep_windows`). This must be done before our refresh
   function runs: a `timestamp` alone is no window to it, and it would drop the message of such a window.
3. The refresh function and its trigger are brought up to date.
4. Every bucket for which something is to come is sent a message, as by every `create` (`items.wake`). Its
   own may be gone: the old refresh function takes messages without closing their windows, and until the
   trigger knows of partial batch responses, a message that is put off is deleted.

The item is the truth and a message only a wake-up call (DESIGN 2), so neither step 2 nor 4 can do harm when
it was needless, or is done again because a run died: at most a bucket is refreshed once more.
"""

from __future__ import annotations

import uuid

from s3agg import engine
from s3agg.aws.refusals import describing_errors, is_error
from s3agg.aws.session import Aws
from s3agg.engine import Plan
from s3agg.live import items
from s3agg.stack.deployed import Deployment


def take_over(aws: Aws, deployment: Deployment, plan: Plan) -> engine.Events:
    """Carry out a plan: first what opens windows, then what closes them."""
    stack = deployment.stack
    receiving = {stack.refresher.key, stack.trigger.key}
    yield from engine.apply(aws, Plan([each for each in plan.changes if each.resource.key not in receiving]))
    with describing_errors(f"keeping the windows in table {stack.table.name}"):
        settle(aws, deployment)
        keep_windows(aws, stack.table.name)
    yield from engine.apply(aws, Plan([each for each in plan.changes if each.resource.key in receiving]))


def settle(aws: Aws, deployment: Deployment) -> None:
    """Let the old aggregator end what it has in hand: new events already go to the new one.

    As long as the refresh function is still to change: a run that died may have changed the aggregator.
    """
    stack, found = deployment.stack, deployment.found
    old, refresher = found.of(stack.aggregator), found.of(stack.refresher)
    changes = (old and stack.aggregator.differs(old, "code")) or (
        refresher and stack.refresher.differs(refresher, "code")
    )
    if old is not None and changes:
        aws.waiting(
            f"waiting for what the old function {stack.aggregator.name} has in hand ({old.timeout} s)"
        )
        aws.clock.sleep(old.timeout)


def keep_windows(aws: Aws, table: str) -> None:
    """Make of each of the blog's windows a refresh that is to come, unless ours has taken its place.

    A fresh `pending`, and no share is `done`: a refresh that is just under way began too early for the
    window's events. The `timestamp` goes, as nobody needs it any more; so this happens once to an item.
    """
    for item in items.items(aws, table):
        if "timestamp" not in item or "opened_by" in item:
            continue
        try:
            aws.dynamodb.update_item(
                TableName=table,
                Key={"BucketName": item["BucketName"]},
                UpdateExpression="SET pending = :token REMOVE #timestamp, done",
                ConditionExpression="attribute_exists(#timestamp) AND attribute_not_exists(opened_by)",
                ExpressionAttributeNames={"#timestamp": "timestamp"},
                ExpressionAttributeValues={":token": {"S": uuid.uuid4().hex}},
            )
        except aws.dynamodb.exceptions.ClientError as error:
            # Our aggregator opened a window meanwhile, whose refresh is for those events too.
            if not is_error(error, "ConditionalCheckFailedException"):
                raise
