"""policy, cost and template: what a stack needs, costs and consists of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from s3agg import settings
from s3agg.cli.invocation import Invocation
from s3agg.cli.option_types import Range, option
from s3agg.cli.options import (
    COST_OPTIONS,
    SETTINGS_OPTIONS,
    arn_or_none,
    aws_options,
    bucket_option,
    with_options,
)
from s3agg.cli.stderr import tell
from s3agg.cli.usage import command, examples
from s3agg.errors import UsageProblem, shell_quoted
from s3agg.resources.event_filter import EVENTBRIDGE, WAYS
from s3agg.settings import Settings

MOST_PER_DAY = 1_000_000_000
MOST_OBJECTS = 1_000_000_000_000
MOST_SHARES = 10_000


@command(
    epilog=examples(
        "s3agg policy --bucket my-uploads > operator.json",
        "s3agg policy --permissions-boundary arn:aws:iam::123456789012:policy/Limits",
    )
)
@bucket_option(
    "--bucket",
    "buckets",
    multiple=True,
    help="Bucket to attach. Repeatable.",
    default_text="the attached buckets",
)
@option(
    "--permissions-boundary",
    "boundary",
    metavar="ARN",
    callback=arn_or_none("iam"),
    help="Permissions boundary that both roles must have.",
    default_text="the stored setting of create",
    values="an ARN or none",
)
@option(
    "--part",
    type=Range(1),
    metavar="NUMBER",
    help="Print this one of the managed policies into which a long policy is split.",
    default_text="the whole policy",
)
@aws_options
def policy(invocation: Invocation, buckets: tuple[str, ...], boundary: str | None, part: int | None) -> int:
    """Print the IAM policy that the user of s3agg needs.

    The policy is for this stack, region and account. The output is always JSON, for:
    aws iam create-policy --policy-name s3agg-operator --policy-document file://operator.json
    """
    from s3agg.commands import policy as operator_policy

    screen = invocation.screen()
    aws = invocation.aws(screen)
    screen.document(operator_policy.make(aws, invocation.names, buckets, boundary, part))
    return 0


@command(epilog=examples("s3agg cost --objects-per-day 1000 --refreshes-per-day 50", "s3agg cost --measured"))
@option(
    "--objects-per-day",
    type=Range(0, MOST_PER_DAY),
    metavar="NUMBER",
    help="Object events per day in all buckets. Required without --measured.",
    default_text="none",
)
@option(
    "--refreshes-per-day",
    type=Range(0, MOST_PER_DAY),
    metavar="NUMBER",
    help="Refreshes per day.",
    default_text=f"one per object, at most {settings.MOST_REFRESHES} per bucket",
)
@option(
    "--objects-in-bucket",
    type=Range(0, MOST_OBJECTS),
    metavar="NUMBER",
    default=0,
    help="Objects of a bucket. If passed, the cost includes the S3 requests of the gateways.",
)
@option(
    "--shares",
    type=Range(1, MOST_SHARES),
    metavar="NUMBER",
    help="File shares of a bucket, for --objects-in-bucket. Assumes that a window touches one of them.",
    default_text="1; with --measured those of the stack",
)
@option(
    "--via",
    type=click.Choice(WAYS),
    help="How events reach the stack. AWS bills each event that goes through EventBridge.",
    default_text="notification; with --measured that of each bucket",
)
@option(
    "--measured",
    is_flag=True,
    help="Compute the cost of the last 30 days from metrics of the stack, or of the buckets passed.",
)
@bucket_option(
    "--bucket",
    "buckets",
    multiple=True,
    help="Bucket with request metrics, for --measured. Repeatable.",
    default_text="metrics of the stack",
)
@option(
    "--prices",
    "named",
    metavar="NAME|FILE",
    default=settings.PRICE_TABLES[-1],
    help=f"Price table: {' or '.join(settings.PRICE_TABLES)}, or a JSON file like `prices` in --output json.",
)
@option(
    "--compare", is_flag=True, help="Show the cost of the blog's scripts beside it. JSON always has both."
)
@with_options(COST_OPTIONS)
@aws_options
def cost(
    invocation: Invocation,
    objects_per_day: int | None,
    refreshes_per_day: int | None,
    objects_in_bucket: int,
    shares: int | None,
    via: str | None,
    measured: bool,
    buckets: tuple[str, ...],
    named: str,
    compare: bool,
    **options: Any,
) -> int:
    """Show the cost of a month, item by item.

    An estimate from --objects-per-day makes no AWS calls. With --measured, options that are not passed
    default to the stack's settings. The metrics must cover a day.
    """
    from s3agg.prices import bill, tables

    if measured and objects_per_day is not None:
        raise UsageProblem("--measured excludes --objects-per-day", "Pass only one of them")
    if not measured and objects_per_day is None:
        raise UsageProblem(
            "cost requires either --objects-per-day or --measured",
            "Pass --objects-per-day for an estimate, or --measured",
        )
    if buckets and not measured:
        raise UsageProblem("--bucket requires --measured", "Pass --measured as well")
    if measured and not buckets and refreshes_per_day is not None:
        raise UsageProblem(
            "--measured takes the number of refreshes from the stack's metrics",
            "Omit --refreshes-per-day, or pass --bucket",
        )
    if measured and not buckets and via is not None:
        raise UsageProblem(
            "--measured takes the way of the events from the stack", "Omit --via, or pass --bucket"
        )
    if shares is not None and not objects_in_bucket:
        raise UsageProblem("--shares requires --objects-in-bucket", "Pass --objects-in-bucket as well")
    invocation.check_region()
    prices = tables.read(named)
    if objects_per_day is not None:
        made = bill.estimate(
            objects_per_day,
            refreshes_per_day,
            Settings.declared(options, {}),
            prices,
            objects_in_bucket=objects_in_bucket,
            region=invocation.region,
            shares=shares or 1,
            via_eventbridge=via == EVENTBRIDGE,
        )
        invocation.page().cost(made, compare=compare)
        return 0

    from s3agg.commands import cost as costs

    screen = invocation.screen()
    aws = invocation.aws(screen)
    if buckets:
        measured_bill = costs.of_buckets(
            aws,
            buckets,
            refreshes_per_day,
            options,
            prices,
            objects_in_bucket,
            shares or 1,
            via_eventbridge=via == EVENTBRIDGE,
        )
    else:
        measured_bill = costs.of_stack(aws, invocation.names, options, prices, objects_in_bucket, shares)
    screen.cost(measured_bill, compare=compare)
    return 0


@command(
    epilog=examples(
        "s3agg template --bucket my-uploads --code-bucket my-code > template.yaml",
        "s3agg template --window 300 --zips build > template.yaml",
    )
)
@bucket_option(
    "--bucket", help="Default value of the template's bucket parameter.", default_text="no default"
)
@bucket_option(
    "--code-bucket",
    help="Upload the functions' zips to this bucket, in the stack's region.",
    default_text="pass this or --zips",
)
@option(
    "--zips",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="FOLDER",
    help="Write the functions' zips to this folder. Upload them, and pass their bucket as CodeBucket.",
    default_text="pass this or --code-bucket",
)
@with_options(SETTINGS_OPTIONS)
@aws_options
def template(
    invocation: Invocation, bucket: str | None, code_bucket: str | None, zips: Path | None, **options: Any
) -> None:
    """Print the stack as a CloudFormation template.

    The template has the resources that create makes. The output is always YAML. The parameters are the
    bucket, the window, the log level and the bucket of the functions' code. Deploy it with:
    aws cloudformation deploy --template-file template.yaml --stack-name NAME
    --capabilities CAPABILITY_NAMED_IAM

    CloudFormation cannot attach the bucket: stderr shows the command for that. Only --code-bucket
    makes AWS calls.
    """
    from s3agg.commands import template as templates

    if invocation.output == "json" and "output" in invocation.given:
        raise UsageProblem("The output of template is always YAML", "Omit --output")
    if code_bucket is not None and zips is not None:
        raise UsageProblem("--zips excludes --code-bucket", "Pass only one of them")
    if code_bucket is None and zips is None:
        raise UsageProblem(
            "template requires either --code-bucket or --zips",
            "Pass --code-bucket BUCKET to upload the functions' code now,"
            " or --zips FOLDER to upload it yourself",
        )
    invocation.check_region()
    made = templates.make(invocation.names, options, bucket=bucket, code_bucket=code_bucket)
    if code_bucket is not None:
        is_new = templates.upload(invocation.aws(invocation.screen()), made.zips, code_bucket)
        verb = "Uploaded the functions' code to" if is_new else "The functions' code is already in"
        tell(f"{verb} bucket {code_bucket}.")
    if zips is not None:
        templates.write(made.zips, zips)
        tell(
            "First upload the functions' code:"
            f" aws s3 cp --recursive {shell_quoted(str(zips))} s3://CODE-BUCKET",
            "Then deploy the template with --parameter-overrides CodeBucket=CODE-BUCKET",
        )
    click.echo(made.text, nl=False)
    if made.is_long:
        tell("The template exceeds 51 200 bytes. Pass --s3-bucket BUCKET to aws cloudformation deploy.")
    tell(
        "CloudFormation cannot change the notifications of an existing bucket.",
        f"After the deployment, attach the bucket: {made.attach.words(invocation.aws_options)}",
        "In that command, --prefix, --suffix, --events and --via choose the bucket's events."
        " With --via eventbridge, it also creates the EventBridge rule, and turns EventBridge on.",
        f"Before you delete CloudFormation's stack, detach it: {made.detach.words(invocation.aws_options)}",
    )
