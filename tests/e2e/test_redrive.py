"""redrive: what failed for good is shown, and put back to work once the cause is mended."""

from __future__ import annotations

import pytest

from tests.e2e.support import LocalAws, OwnStack
from tests.support.polling import eventually

pytestmark = pytest.mark.e2e

KEYS = ("one", "two")


def break_aggregator(world: LocalAws, stack: OwnStack) -> None:
    """Let each event fail, and be given up at the first failure."""
    functions, name = world.client("lambda"), stack.names.aggregator
    config = functions.get_function_event_invoke_config(FunctionName=name)
    functions.put_function_event_invoke_config(
        FunctionName=name, DestinationConfig=config["DestinationConfig"], MaximumRetryAttempts=0
    )
    stack.set_variables(name, TABLE_NAME="nowhere")


def abandon_message(world: LocalAws, stack: OwnStack, bucket: str) -> None:
    """Leave the dead letter that is left when a share has refused a refresh for long."""
    sqs = world.client("sqs")
    sqs.send_message(
        QueueUrl=sqs.get_queue_url(QueueName=stack.names.dead_letters)["QueueUrl"],
        MessageBody="{}",
        MessageAttributes={
            "bucket-name": {"DataType": "String", "StringValue": bucket},
            "timestamp": {"DataType": "Number", "StringValue": "1"},
            "due": {"DataType": "Number", "StringValue": "1"},
        },
    )


def abandon_refresh(world: LocalAws, stack: OwnStack, bucket: str) -> None:
    """Leave the item that is left then. A `create` that saw it would send a message of its own."""
    world.client("dynamodb").put_item(
        TableName=stack.names.table,
        Item={"BucketName": {"S": bucket}, "pending": {"S": "x"}, "closed": {"N": "1"}, "tries": {"N": "99"}},
    )


def test_what_failed_is_shown_and_goes_back_to_work(world: LocalAws, stack: OwnStack) -> None:
    failing, waiting = world.bucket(), world.bucket()
    shares = {bucket: world.share(bucket) for bucket in (failing, waiting)}
    world.upload(waiting, "file")
    stack.run.must(
        *("create", "--bucket", failing, "--bucket", waiting), *("--window", "1", "--min-interval", "1")
    )
    break_aggregator(world, stack)
    world.upload(failing, *KEYS)
    abandon_message(world, stack, waiting)
    eventually(lambda: stack.queued(stack.names.dead_letters) == 3)

    with stack.run.start("redrive", "--dry-run", "-v") as looking:
        eventually(lambda: looking.says("sqs ReceiveMessage"))
        interrupted = looking.interrupt()
    shown = stack.run("redrive", "--dry-run")
    broken = stack.run.set(S3AGG_OUTPUT="table")("status")
    stack.run.must("create")
    abandon_refresh(world, stack, waiting)
    redriven = stack.run("redrive")
    eventually(lambda: set(world.files(shares[failing])) == set(KEYS))
    eventually(lambda: world.shows(shares[waiting], "file"))
    eventually(stack.is_quiet)
    status = stack.run("status")

    # Ctrl-C gave back what it had: the next look sees all of it.
    letters = shown.json["dead_letters"]
    events = [each for each in letters if each["kind"] == "s3_event"]
    (refresh,) = [each for each in letters if each["kind"] == "refresh_message"]
    assert (interrupted.code, shown.code) == (130, 3)
    assert shown.json["counts"] == {"to_redrive": 3, "to_keep": 0}
    assert [(each["bucket"], each["keys"]) for each in events] == [(failing, 1)] * 2
    assert all("ResourceNotFoundException" in each["reason"] for each in events)
    assert (refresh["bucket"], refresh["since"][-1]) == (waiting, "Z")
    assert "3 dead letters" in broken.stdout.splitlines()[0]
    assert f"s3agg redrive --stack {stack.names.stack}" in broken.stdout
    assert (redriven.code, redriven.json["counts"]) == (0, {"redriven": 3, "kept": 0})
    assert stack.queued(stack.names.dead_letters) == 0
    assert (status.code, status.json["healthy"]) == (0, True)
