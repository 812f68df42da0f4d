"""Click's commands, with one format for their usage errors, which are JSON documents too."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial
from itertools import pairwise

import click

from s3agg import settings
from s3agg.errors import S3aggError, UsageProblem


def usage_problem(error: click.UsageError) -> UsageProblem:
    """Turn an error of click into one of s3agg that names the command and its help."""
    command = error.ctx.command_path if error.ctx else "s3agg"
    message = " ".join(error.format_message().split())
    asking = re.fullmatch(r"(.*?)\.? \(?(Did you mean .*\?)\)?", message)
    problem, question = asking.groups() if asking else (message, "")
    see = "" if "--help" in problem and not question else f"See {command} --help"
    return UsageProblem(f"{command}: {problem}", f"{question} {see}".strip())


class Command(click.Command):
    """A command that names itself in each usage error: click does not if an option lacks its value.

    It refuses both names of an option such as `--on-demand/--provisioned`: click takes the last one.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the arguments. With --output json, an error prints a document too, as that of any failure."""
        given = list(args)  # click empties the list
        try:
            rest = super().parse_args(ctx, args)
            if not ctx.resilient_parsing:  # of a completion, which must not fail
                self._refuse_contradictions(ctx, given)
        except click.UsageError as error:
            error.ctx = error.ctx or ctx
            self._print_document(ctx, given, usage_problem(error))
            raise
        except S3aggError as error:
            self._print_document(ctx, given, error)
            raise
        return rest

    def _print_document(self, ctx: click.Context, args: Sequence[str], problem: S3aggError) -> None:
        """Print a document with the problem, if the options that can be parsed ask for JSON."""
        lenient = {"resilient_parsing": True, "ignore_unknown_options": True}
        options = self.make_context(ctx.info_name, list(args), ctx.parent, **lenient).params
        # An option without its value takes the next word as its value, also --output.
        asked = {value for word, value in pairwise(args) if word == "--output"}
        if options.get("output") == "json" or "json" in asked:
            from s3agg.render.page import Page

            page = Page(as_json=True)
            page.known["stack"] = options.get("stack") or settings.BLOG_STACK
            page.failure(str(self.name), problem.parts)

    def _refuse_contradictions(self, ctx: click.Context, args: Sequence[str]) -> None:
        # No option's value can be the name of an option: Option.process_value refuses it.
        for each in self.params:
            names = [name for name in (*each.opts, *each.secondary_opts) if name in args]
            if not set(names).isdisjoint(each.opts) and not set(names).isdisjoint(each.secondary_opts):
                both = " and ".join(names)
                raise click.UsageError(f"{both} exclude each other. Pass only one of them.", ctx)


command = partial(click.command, cls=Command)


def examples(*commands: str) -> str:
    """The examples below a command's help. The backspace keeps click from wrapping their lines."""
    return "\b\n" + "\n".join(["Examples:", *(f"  {command}" for command in commands)])
