"""create --adopt: update a stack of the blog's scripts without losing a refresh.

`engine` updates the resources. But the blog's functions follow another protocol than s3agg's, and both run
during the update. So the order is:

1. Update everything except the refresh function, its event source mapping and the rule. From then on only
   s3agg's aggregator opens windows. Running invocations of the old one are waited for
   (`wait_for_old_aggregator`). Meanwhile each bucket's item gets `attached`, which the old functions ignore.
2. Turn the blog's windows into pending refreshes (`keep_windows`), before s3agg's refresh function runs: to
   it, a `timestamp` alone is no window, and it would drop the message of such a window.
3. Update the refresh function and its event source mapping, and create the rule for finished refreshes. The
   blog's refresh function fails on the rule's messages, as these name no bucket.
4. Send a message for every bucket with an open window or pending refresh, as every `create` does
   (`messages.send`). The bucket's own message may be lost: the old refresh function deletes messages
   without closing their windows. A mapping without batch item failures deletes messages that were put off.

The item decides what a message does (DESIGN 2). So steps 2 and 4 are harmless if they are repeated after an
interruption: at most a bucket is refreshed once more.
"""

from __future__ import annotations

from s3agg import engine
from s3agg.aws.refusals import describing_errors
from s3agg.aws.session import Aws
from s3agg.engine import Plan
from s3agg.live import item_writes, items
from s3agg.resources.function import CODE
from s3agg.stack.deployed import Deployment


def apply_adoption(aws: Aws, deployment: Deployment, plan: Plan) -> engine.Events:
    """Apply a plan: first the aggregator, which opens windows, then the refresh function."""
    stack = deployment.stack
    receiving = {stack.refresher.key, stack.trigger.key, stack.rule.key}
    yield from engine.apply(aws, Plan([each for each in plan.changes if each.resource.key not in receiving]))
    with describing_errors(f"converting the open windows in table {stack.table.name}"):
        wait_for_old_aggregator(aws, deployment)
        keep_windows(aws, stack.table.name)
    yield from engine.apply(aws, Plan([each for each in plan.changes if each.resource.key in receiving]))


def wait_for_old_aggregator(aws: Aws, deployment: Deployment) -> None:
    """Wait until running invocations of the old aggregator code have ended.

    Also if only the refresh function is still old: an interrupted run may have just updated the aggregator.
    """
    stack, found = deployment.stack, deployment.found
    old, refresher = found.of(stack.aggregator), found.of(stack.refresher)
    changes = (old and stack.aggregator.differs(old, CODE)) or (
        refresher and stack.refresher.differs(refresher, CODE)
    )
    if old is not None and changes:
        aws.waiting(
            f"waiting for running invocations of function {stack.aggregator.name} to end ({old.timeout} s)"
        )
        aws.clock.sleep(old.timeout)


def keep_windows(aws: Aws, table: str) -> None:
    """Turn each window of the blog's aggregator into a pending refresh, unless s3agg opened one since.

    If s3agg's aggregator opened a window meanwhile, its refresh covers these events.
    """
    for item in items.read_items(aws, table):
        if "timestamp" in item and "opened_by" not in item:
            item_writes.request_refresh(aws, table, item["BucketName"]["S"], item_writes.BLOG_WINDOW)
