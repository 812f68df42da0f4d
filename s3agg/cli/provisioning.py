"""create and delete."""

from __future__ import annotations

from functools import partial
from typing import Any

import click

from s3agg import __version__
from s3agg.cli.exit_codes import code_of_dry_run
from s3agg.cli.invocation import Invocation
from s3agg.cli.option_types import AS_DURATION, Seconds, option
from s3agg.cli.options import (
    SETTINGS_OPTIONS,
    attached_bucket_option,
    aws_options,
    bucket_option,
    event_types,
    with_options,
)
from s3agg.cli.questions import ask, document_unless_confirmed, unconfirmed
from s3agg.cli.usage import command, examples
from s3agg.errors import Advice, S3aggError, UsageProblem, as_options, plural
from s3agg.resources.event_filter import EVENT_TYPES, WAYS


@command(epilog=examples("s3agg create --bucket my-uploads", "s3agg create --window 300 --tag team=storage"))
@bucket_option(
    "--bucket",
    "buckets",
    multiple=True,
    help="Bucket to attach, besides those already attached. Repeatable.",
    default_text="the attached buckets",
)
@option(
    "--prefix",
    "prefixes",
    multiple=True,
    metavar="KEY",
    help="Only keys that start with this prefix (URL-encoded). For the buckets passed. Repeatable.",
    default_text="the stored prefixes, or all keys",
)
@option("--no-prefix", is_flag=True, help="Keys with any prefix, for the buckets passed.")
@option(
    "--suffix",
    "suffixes",
    multiple=True,
    metavar="KEY",
    help="Only keys that end with this suffix (URL-encoded). For the buckets passed. Repeatable.",
    default_text="the stored suffixes, or all keys",
)
@option("--no-suffix", is_flag=True, help="Keys with any suffix, for the buckets passed.")
@option(
    "--events",
    metavar="TYPES",
    callback=event_types,
    help="Event types that cause a refresh, separated by commas. For the buckets passed.",
    default_text="the stored types, or all",
    values=", ".join(EVENT_TYPES),
)
@option(
    "--via",
    type=click.Choice(WAYS),
    help="How events reach the stack. `eventbridge` goes beside any other rule. For the buckets passed.",
    default_text="the stored way, or notification",
)
@with_options(SETTINGS_OPTIONS)
@option(
    "--adopt",
    is_flag=True,
    help="Adopt untagged resources that have this stack's names, such as those of the blog's scripts.",
)
@option(
    "--skip-destination-validation",
    "skip_validation",
    is_flag=True,
    help="Attach also where destinations of other rules are gone. S3 then validates no destination.",
)
@option(
    "--share-bucket",
    is_flag=True,
    help="Attach also where another stack is attached. Both then refresh the same file shares.",
)
@option("--dry-run", is_flag=True, help="Show the changes without making them. Exit code 3 if there are any.")
@option("--yes", is_flag=True, help="Make changes without confirmation.")
@aws_options
def create(
    invocation: Invocation,
    buckets: tuple[str, ...],
    prefixes: tuple[str, ...],
    no_prefix: bool,
    suffixes: tuple[str, ...],
    no_suffix: bool,
    events: tuple[str, ...] | None,
    via: str | None,
    adopt: bool,
    skip_validation: bool,
    share_bucket: bool,
    dry_run: bool,
    yes: bool,
    **options: Any,
) -> int:
    """Create or update the stack.

    Options that are not passed keep the settings of the stack. With --adopt, they keep the settings of the
    adopted resources.

    Asks before a change that excludes keys or event types, deletes log events, or adopts resources. Also
    asks before a return to an older version of s3agg.
    """
    from s3agg.commands import preflight
    from s3agg.commands.consent import to_confirm
    from s3agg.commands.create import apply_create, may_have_missed
    from s3agg.stack import deployed
    from s3agg.stack.chosen import StackSettings

    screen = invocation.screen()
    aws = invocation.aws(screen)
    request = deployed.Request(
        buckets,
        key_parts("prefix", prefixes, any_key=no_prefix),
        key_parts("suffix", suffixes, any_key=no_suffix),
        events,
        options,
        adopt,
        skip_validation=skip_validation,
        share_bucket=share_bucket,
        via=via,
    )
    checked = preflight.check(aws, invocation.names, request)
    plan = checked.plan
    chosen = StackSettings.of(checked.deployment.stack, __version__)
    confirm = to_confirm(checked.deployment, plan)
    show_plan = partial(
        screen.plan, checked.deployment, plan, done=False, settings=chosen, to_confirm=confirm
    )
    screen.on_failure = lambda problems: show_plan(problems=problems)
    if dry_run and plan.changes:
        show_plan(problems=checked.problems)
    deployment = checked.passed()
    if dry_run:
        return code_of_dry_run(plan.to_do)
    if confirm and not yes:
        screen.ask_about(deployment, plan, chosen, confirm)
        needed = [S3aggError(each, "To confirm this, pass --yes") for each in confirm]
        with document_unless_confirmed(screen, partial(show_plan, problems=needed)):
            ask("Make these changes?")
    screen.watch(apply_create(aws, deployment, plan, checked.shares))
    screen.plan(deployment, plan, done=True, settings=chosen, to_confirm=confirm)
    bucket = (*buckets, deployment.stack.notifications[0].bucket)[0]
    if missed := may_have_missed(plan):
        named = " ".join(f"--bucket {each}" for each in missed)
        screen.say(
            f"For objects that changed before: s3agg refresh {named}{as_options(invocation.aws_options)}"
        )
    if letters := deployment.dead_letters:
        held = f"The dead-letter queue still holds {plural(letters, 'message')}."
        see = Advice("redrive", options={"dry-run": None})
        screen.say(f"{held} To see each: {see.words(invocation.aws_options)}")
    screen.say(f"Next: {Advice('test-upload', bucket).words(invocation.aws_options)}")
    return 0


def key_parts(kind: str, values: tuple[str, ...], *, any_key: bool) -> tuple[str, ...] | None:
    """The prefixes or suffixes that were passed; empty for any key, None if nothing was passed."""
    if any_key and values:
        raise UsageProblem(f"--no-{kind} excludes --{kind}", "Pass only one of them")
    return () if any_key else values or None


@command(epilog=examples("s3agg delete", "s3agg delete --bucket my-uploads --yes"))
@attached_bucket_option(
    "--bucket",
    "buckets",
    multiple=True,
    help="Detach only this bucket. Repeatable.",
    default_text="delete the whole stack",
)
@option("--keep-logs", is_flag=True, help="Keep the log groups of the functions.")
@option(
    "--finish",
    is_flag=True,
    help="First stop the events of the buckets, and wait for open windows and pending refreshes.",
)
@option(
    "--timeout",
    type=Seconds(1),
    metavar="DURATION",
    help=f"Time to wait, with --finish, {AS_DURATION}.",
    default_text="the rest of the windows + --min-interval + 210",
)
@option(
    "--adopt",
    is_flag=True,
    help="Also delete untagged resources that have this stack's names, such as those of the blog's scripts.",
)
@option("--dry-run", is_flag=True, help="Show the changes without making them. Exit code 3 if there are any.")
@option("--yes", is_flag=True, help="Delete without confirmation.")
@aws_options
def delete(
    invocation: Invocation,
    buckets: tuple[str, ...],
    keep_logs: bool,
    finish: bool,
    timeout: int | None,
    adopt: bool,
    dry_run: bool,
    yes: bool,
) -> int:
    """Delete the whole stack, or detach a bucket from it.

    Deletes only the stack's own event notifications from a bucket. Objects are not affected. Resources
    that no longer exist are skipped. A bucket that is not attached is no error: exit code 0. Tells which
    windows are open and which refreshes are pending.
    """
    from s3agg.commands.delete import (
        Finish,
        delete_all,
        detach_buckets,
        for_delete,
        for_detach,
        unfinished,
    )

    refuse_useless_options(buckets, timeout, keep_logs=keep_logs, finish=finish)
    screen = invocation.screen()
    aws = invocation.aws(screen)
    if buckets:
        deployment, plan = for_detach(aws, invocation.names, buckets, adopt=adopt)
    else:
        deployment, plan = for_delete(aws, invocation.names, keep_logs=keep_logs, adopt=adopt)
    problems = [plan.foreign_error()] if plan.foreign else []
    left = unfinished(deployment, plan, buckets, finish=finish)
    show_plan = partial(screen.plan, deployment, plan, done=False, left=left)
    screen.on_failure = lambda problems: show_plan(problems=problems)
    if dry_run:
        show_plan(problems=problems)
    if problems:
        raise problems[0]
    strays = [
        f"the item of bucket {bucket} in table {deployment.stack.table.name}"
        for bucket in deployment.idle_strays(aws.clock)
        if bucket in buckets
    ]

    def tell_the_rest(verb: str) -> None:
        for stray in strays:
            screen.say(f"{verb} {stray}.")
        if not (plan.changes or deployment.exists):
            screen.say(f"To list the stacks of this account: {Advice('list').words(invocation.aws_options)}")

    if dry_run:
        tell_the_rest("Would also delete")
        return code_of_dry_run([*plan.to_do, *strays])
    if plan.to_do and not yes:
        screen.ask_about(deployment, plan, left=left)
        needed = unconfirmed(plural(len(plan.to_do), "resource"))
        with document_unless_confirmed(screen, partial(show_plan, problems=needed)):
            ask("Delete these resources?")
    first = Finish(aws, deployment, buckets, timeout) if finish else None
    if buckets:
        screen.watch(detach_buckets(aws, deployment, buckets, plan, first))
    else:
        screen.watch(delete_all(aws, plan, first))
    screen.plan(deployment, plan, done=True, left=left)
    tell_the_rest("Deleted")
    return 0


def refuse_useless_options(
    buckets: tuple[str, ...], timeout: int | None, *, keep_logs: bool, finish: bool
) -> None:
    """Raise UsageProblem for an option of `delete` that has no effect beside the others."""
    if buckets and keep_logs:
        raise UsageProblem("--keep-logs has no effect with --bucket: detaching deletes no logs", "Omit it")
    if timeout is not None and not finish:
        raise UsageProblem("--timeout requires --finish", "Pass --finish as well, or omit --timeout")
