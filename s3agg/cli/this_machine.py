"""completion, local and demo: for this machine, without an AWS account."""

from __future__ import annotations

import os
from contextlib import suppress
from functools import partial

import click
from click.shell_completion import get_completion_class

from s3agg import settings
from s3agg.cli.invocation import Invocation
from s3agg.cli.option_types import AS_DURATION, Range, Seconds, option
from s3agg.cli.options import output_option, verbose_option
from s3agg.cli.stderr import tell
from s3agg.cli.usage import command, examples
from s3agg.errors import S3aggError, shell_quoted


@command(
    epilog=examples(
        'eval "$(s3agg completion bash)"', "s3agg completion fish > ~/.config/fish/completions/s3agg.fish"
    )
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> int:
    """Print the script that enables shell completion.

    It completes commands, options, and the names of buckets, stacks, profiles and regions.

    For bash and zsh, put the first example into ~/.bashrc or ~/.zshrc. zsh needs compinit before it. For
    fish, run the second one.
    """
    script = get_completion_class(shell)
    if script is None:
        raise S3aggError(f"No completion script for {shell}")
    all_commands = click.get_current_context().find_root().command
    source = script(all_commands, {}, "s3agg", "_S3AGG_COMPLETE").source()
    if shell == "zsh":
        from s3agg.cli.completion import for_zsh

        source = for_zsh(source)
    click.echo(source)
    return 0


@command(
    epilog=examples(
        "s3agg local",
        "s3agg local --port 4600",
        "aws s3 mb s3://my-uploads",
        "aws storagegateway create-nfs-file-share --client-token 12345 \\",
        "--gateway-arn arn:aws:storagegateway:us-east-1:000000000000:gateway/sgw-1 \\",
        "--role arn:aws:iam::000000000000:role/any \\",
        "--location-arn arn:aws:s3:::my-uploads",
    )
)
@option(
    "--port",
    type=Range(0, 65_535),
    default=4566,
    metavar="PORT",
    help="Port to listen on. 0 selects a free port.",
)
def local(port: int) -> int:
    """Run an AWS emulator on this machine until Ctrl-C.

    It runs in the foreground and listens on loopback only. The last two examples make a bucket and a file
    share of it, in a terminal that has the variables.

    Requires MiniStack. In the clone, run: pip install '.[local]'
    """
    from s3agg.local import machine

    with machine.running(port) as here:
        for name, value in (here.variables | here.without_proxy(os.environ)).items():
            click.echo(f"export {name}={shell_quoted(value)}")
        click.echo("unset AWS_PROFILE AWS_SESSION_TOKEN")
        tell("The emulator is running. Use the lines above, and press Ctrl-C to stop.")
        with suppress(KeyboardInterrupt):
            here.wait()
    return 0


@command(epilog=examples("s3agg demo", "s3agg demo --count 200 --window 10"))
@option("--count", type=Range(1, 1000), metavar="NUMBER", default=20, help="Number of objects to upload.")
@option(
    "--window",
    type=Seconds(1, 600),
    metavar="DURATION",
    default=5,
    help=f"Length of the window, {AS_DURATION}.",
)
@output_option
@verbose_option
def demo(count: int, window: int, output: str, verbose: bool) -> int:
    """Run a demonstration on this machine, without an AWS account.

    Creates a stack, uploads objects, waits for the refresh, shows the status and deletes everything.

    Requires MiniStack. In the clone, run: pip install '.[local]'
    """
    from s3agg.aws.session import Aws
    from s3agg.commands import demo as demos

    invocation = Invocation(None, None, None, settings.BLOG_STACK, output, verbose)

    def run() -> int:
        screen = invocation.screen()
        connect = partial(
            Aws.on_this_machine,
            trace=screen.trace if verbose else None,
            waiting=screen.waiting,
            warn=screen.warn,
        )
        screen.demo(screen.watch(demos.run(connect, count=count, window=window)))
        return 0

    return invocation.run("demo", run)
