"""One run of a command: its AWS options, the output and AWS that follow from them, and its failure."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from s3agg import settings
from s3agg.cli.stderr import fail
from s3agg.errors import AwsOptions, Interrupted, S3aggError
from s3agg.settings import Names

if TYPE_CHECKING:
    from botocore.session import Session

    from s3agg.aws.clock import Clock
    from s3agg.aws.session import Aws
    from s3agg.render.page import Page
    from s3agg.render.screen import Screen

REPEATED = ("stack", "profile", "region", "endpoint_url")  # by advised commands
AWS_OPTIONS = (*REPEATED, "output", "verbose")


@dataclass(frozen=True)
class Seams:
    """Session, clock and workers, replaceable in tests."""

    session: Session | None = None
    clock: Clock = time
    workers: int | None = None  # concurrent AWS calls; 1 in tests with a fake clock


DEFAULT_SEAMS = Seams()


@dataclass(frozen=True)
class Invocation:
    """The AWS options of a command. `given` holds the names of all options on its command line."""

    profile: str | None
    region: str | None
    endpoint_url: str | None
    stack: str
    output: str
    verbose: bool
    given: frozenset[str] = frozenset()
    seams: Seams = DEFAULT_SEAMS
    pages: list[Page] = field(default_factory=list, compare=False)  # that the command has made

    @property
    def names(self) -> Names:
        return Names(self.stack)

    @property
    def aws_options(self) -> AwsOptions:
        """The AWS options of this command line, which the commands that messages advise repeat."""
        given = self.given
        if self.stack != settings.BLOG_STACK:  # perhaps by S3AGG_STACK
            given |= {"stack"}
        return {name.replace("_", "-"): getattr(self, name) for name in REPEATED if name in given}

    def check_region(self) -> None:
        """Raise UsageProblem for a region that does not exist. `aws` checks it too, at the first call."""
        if self.region:
            from botocore.loaders import create_loader

            from s3agg.aws.regions import check_region

            check_region(create_loader(os.environ.get("AWS_DATA_PATH")), self.region)

    def page(self) -> Page:
        from s3agg.render.page import Page

        self.pages.append(Page(as_json=self.output == "json", aws_options=self.aws_options))
        return self.pages[-1]

    def screen(self) -> Screen:
        from s3agg.render.screen import Screen

        screen = Screen(as_json=self.output == "json", aws_options=self.aws_options)
        self.pages.append(screen)
        return screen

    def aws(self, screen: Screen) -> Aws:
        from s3agg.aws.session import SIDE_BY_SIDE, Aws

        return Aws(
            profile=self.profile,
            region=self.region,
            endpoint_url=self.endpoint_url,
            session=self.seams.session,
            workers=self.seams.workers or SIDE_BY_SIDE,
            clock=self.seams.clock,
            trace=screen.trace if self.verbose else None,
            waiting=screen.waiting,
            warn=screen.warn,
        )

    def run(self, command: str, work: Callable[[], int]) -> int:
        """Run a command, print its error, and return the exit code.

        With --output json, a command that fails prints a document of its schema first: a program always gets
        one. Not after Ctrl-C.
        """
        try:
            return work()
        except S3aggError as error:
            if self.output == "json" and not isinstance(error, Interrupted):
                page = self.pages[-1] if self.pages else self.page()
                page.known.setdefault("stack", self.stack)
                page.failure(command, error.parts)
            return fail(error, self.aws_options)
