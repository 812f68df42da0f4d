"""test-upload, refresh and redrive: follow events to a refresh, refresh without one, and retry failures."""

from __future__ import annotations

from functools import partial

from s3agg.cli.exit_codes import code_of_dry_run
from s3agg.cli.invocation import Invocation
from s3agg.cli.option_types import AS_DURATION, Range, Seconds, option
from s3agg.cli.options import attached_bucket_option, aws_options
from s3agg.cli.questions import agrees, ask, document_unless_confirmed, unconfirmed
from s3agg.cli.usage import command, examples
from s3agg.errors import Advice, UsageProblem, plural


@command(
    epilog=examples(
        "s3agg test-upload --bucket my-uploads", "s3agg test-upload --bucket my-uploads --count 50 --keep"
    )
)
@attached_bucket_option(
    "--bucket",
    help="Bucket to upload to. Required if several are attached.",
    default_text="the attached bucket",
)
@option(
    "--count",
    type=Range(1, 10_000),
    metavar="NUMBER",
    default=5,
    help="Number of objects to upload.",
)
@option(
    "--timeout",
    type=Seconds(1),
    metavar="DURATION",
    help=f"Time to wait for the refresh, {AS_DURATION}. At least the window and the minimum interval.",
    default_text="--window + --min-interval + 210, or + 390 with EventBridge",
)
@option("--keep", is_flag=True, help="Keep the uploaded objects in the bucket.")
@option(
    "--sse",
    metavar="ENCRYPTION",
    help="Server-side encryption of the objects: AES256, aws:kms or aws:kms:KEY, if a policy requires it.",
    default_text="as the bucket is set",
)
@option("--yes", is_flag=True, help="Delete the objects of interrupted runs without confirmation.")
@aws_options
def test_upload(
    invocation: Invocation,
    bucket: str | None,
    count: int,
    timeout: int | None,
    keep: bool,
    sse: str | None,
    yes: bool,
) -> int:
    """Upload objects and wait for the refresh.

    Follows the objects' events through both functions, to the file shares that must show the objects. If none
    shows a rule's keys, the objects go to a folder of one. Fails if there is no refresh before the timeout.
    Fails at once if the stack cannot work. Deletes the objects at the end. If the bucket's Object Lock keeps
    new objects, nothing is uploaded without --keep. Finds objects that an interrupted run has left, and asks
    whether to delete them.
    """
    from s3agg.commands import before_upload, test_objects
    from s3agg.commands import test_upload as probe
    from s3agg.stack import deployed

    encryption = None if sse is None else test_objects.Encryption.of(sse)
    screen = invocation.screen()
    aws = invocation.aws(screen)
    screen.known["bucket"] = bucket
    deployment = deployed.read(aws, invocation.names)
    deployment.check_exists()
    rule = deployed.the_bucket(deployment, bucket)
    before_upload.check_timeout(deployment.stack, timeout)
    prefixes = deployment.activity_of(rule.bucket).prefixes.values()
    there = rule.bucket not in deployment.gone
    if there and (left := test_objects.left_over(aws, rule, prefixes)):
        found = f"{plural(len(left), 'object')} of interrupted runs in bucket {rule.bucket}"
        if yes or agrees(f"Delete {found}?"):
            if not test_objects.delete(aws, rule, left):
                screen.say(f"Deleted {found}.")
        else:
            screen.warn(f"Left {found}. To delete what such runs left, pass --yes.")
    events = probe.run(
        aws, deployment, rule, count=count, timeout_s=timeout, keep=keep, encryption=encryption
    )
    report = screen.watch(events)
    screen.probe(report)
    return 0 if report.ok else 1


@command(epilog=examples("s3agg refresh --bucket my-uploads --wait", "s3agg refresh"))
@attached_bucket_option(
    "--bucket",
    "buckets",
    multiple=True,
    help="Bucket to refresh. Repeatable.",
    default_text="every attached bucket",
)
@option("--wait", is_flag=True, help="Wait until the refresh is complete on every file share.")
@option(
    "--timeout",
    type=Seconds(1),
    metavar="DURATION",
    help=f"Time to wait, with --wait, {AS_DURATION}.",
    default_text="--min-interval + 210",
)
@aws_options
def refresh(invocation: Invocation, buckets: tuple[str, ...], wait: bool, timeout: int | None) -> int:
    """Refresh the file shares of attached buckets now.

    This needs no object event. Use it for changes that caused none: before the bucket was attached, or
    while its event notification was missing. The stack makes the refresh. So it waits for the minimum
    interval, and tries again what a busy gateway refuses. With --wait, exit code 1 if a file share has not
    accepted before the timeout.
    """
    from s3agg.commands import refresh as refreshes
    from s3agg.render.document import stack_document
    from s3agg.stack import deployed

    if timeout is not None and not wait:
        raise UsageProblem("--timeout requires --wait", "Pass --wait as well, or omit --timeout")
    screen = invocation.screen()
    aws = invocation.aws(screen)
    deployment = deployed.read(aws, invocation.names)
    screen.known |= stack_document(deployment)
    deployment.check_exists()
    report = screen.watch(refreshes.run(aws, deployment, buckets, wait=wait, timeout_s=timeout))
    screen.refresh(report)
    return 0 if report.ok else 1


@command(
    epilog=examples("s3agg redrive --dry-run", "s3agg redrive --discard 7f2b3c58-0d0d-4a52-9b0a-2f7d1f1f6a11")
)
@option(
    "--dry-run",
    is_flag=True,
    help="Show what failed and why, without redriving it. Exit code 3 if a message would go back.",
)
@option(
    "--discard",
    multiple=True,
    metavar="ID",
    help="Only delete the message with this ID, after a confirmation. Repeatable.",
    default_text="redrive all messages",
)
@option("--yes", is_flag=True, help="Delete without confirmation, with --discard.")
@aws_options
def redrive(invocation: Invocation, dry_run: bool, discard: tuple[str, ...], yes: bool) -> int:
    """Redrive the messages in the dead-letter queue.

    An object event is sent to the aggregator function again. A refresh message goes back to its queue. A
    message is deleted from the dead-letter queue when that succeeds. Exit code 1 if that fails for any.
    Messages that are not understood stay in the queue, which is no failure: look at them with --dry-run, and
    delete them with --discard.
    """
    from s3agg.commands import redrive as redrives
    from s3agg.render.document import stack_document
    from s3agg.stack import deployed

    if yes and not discard:
        raise UsageProblem("--yes has no effect without --discard: a redrive asks nothing", "Omit it")
    screen = invocation.screen()
    aws = invocation.aws(screen)
    deployment = deployed.read(aws, invocation.names)

    screen.known |= stack_document(deployment)
    deployment.check_exists()

    def run(*, dry_run: bool) -> redrives.Report:
        return screen.watch(redrives.run(aws, deployment, dry_run=dry_run, discard=discard))

    if discard and not dry_run and not yes:
        found = run(dry_run=True)
        screen.ask_about_letters(found)
        letters = plural(len(found.dead_letters), "message")
        needed = unconfirmed(letters)
        with document_unless_confirmed(screen, partial(screen.redrive, found, problems=needed)):
            ask(f"Delete {letters}? A deleted message cannot be redriven.")
    report = run(dry_run=dry_run)
    screen.redrive(report)
    if dry_run:
        if report.to_do and not discard:
            screen.say(f"Next: {Advice('redrive').words(invocation.aws_options)}")
        return code_of_dry_run(report.to_do)
    return 0 if report.ok else 1
