"""What the user chose for a stack, validated, and the names that follow from its name.

There is no state file: what was asked for is kept as tags `s3agg:<option>` on the table (DESIGN 1).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import partial
from typing import Any
from urllib.parse import quote_plus, unquote_plus

from s3agg.errors import S3aggError, UsageProblem, combined

BLOG_STACK = "S3EventAggregator"
TAG_PREFIX = "s3agg:"
STACK_TAG = "s3agg:stack"
REGION_TAG = "s3agg:region"  # on what IAM keeps: its names are global to the account
BILLING_TAG = "s3agg:on-demand"
USER_TAGS_TAG = "s3agg:tags"  # the keys of the user's own tags, joined by "=", which no key can hold

BUCKET_NAME = "[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]"  # as CloudFormation can check it, too
SAFE_IN_KEYS = "/!_.'()-"
LONGEST_WINDOW_S = 42_600  # 11 h 50 min: SQS keeps a message hidden for 12 hours at most
LOG_LEVELS = ("DEBUG", "INFO", "WARN", "ERROR")
RETENTIONS = (1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557,
              2922, 3288, 3653)  # fmt: skip  # days that CloudWatch Logs knows
# What can be asked for: inclusive ranges, and choices.
RANGES = {
    "window": (1, LONGEST_WINDOW_S),
    "min_interval": (0, LONGEST_WINDOW_S),
    "read_capacity": (1, 40_000),
    "write_capacity": (1, 40_000),
    "concurrency": (1, 1000),
    "memory": (128, 10_240),
}
CHOICES: dict[str, tuple[object, ...]] = {
    "log_level": LOG_LEVELS,
    "log_retention": RETENTIONS,
    "architecture": ("x86_64", "arm64"),
}
CAPACITIES = ("read_capacity", "write_capacity")  # of a table that is provisioned
MOST_TAGS = 50  # that AWS lets a resource have
NONE = "none"  # takes back what was asked for before, where an option can be without


@dataclass(frozen=True)
class Settings:
    """A stack's options; each has its default here and its meaning in `create --help`."""

    window: int = 30  # s
    log_level: str = "INFO"
    read_capacity: int = 1  # capacity units
    write_capacity: int = 5  # capacity units
    on_demand: bool = True
    concurrency: int = 10  # reserved for the aggregator function
    memory: int = 128  # MB
    runtime: str = "python3.13"
    architecture: str = "arm64"
    log_retention: int = 30  # days
    min_interval: int = 60  # s
    include_gateway_writes: bool = False
    permissions_boundary: str | None = None
    alarm_topic: str | None = None
    storage_gateway_endpoint: str | None = None  # only where the Lambda endpoint is loopback
    tags: Mapping[str, str] = field(default_factory=dict)  # the user's own
    asked: frozenset[str] = frozenset()  # the options that were ever asked for, to be kept as tags
    unusable: Mapping[str, str] = field(default_factory=dict)  # what was kept of options, and cannot be

    @classmethod
    def declared(
        cls, given: Mapping[str, Any], kept: Mapping[str, str], deployed: Mapping[str, Any] | None = None
    ) -> Settings:
        """Return what is declared: given now, else kept in the table's tags, else deployed, else the default.

        `given` and `deployed` map field names to values, in `given` None where an option was not given;
        `kept` are all the tags of the table. Raises UsageProblem for all of what is given that cannot be.
        """
        values: dict[str, Any] = {}
        unusable: dict[str, str] = {}
        problems: list[S3aggError] = []
        for option in OPTIONS:
            name, tag = option.name, kept.get(_tag(option.name))
            if given.get(name) is not None:
                try:
                    values[name] = _check(name, None if given[name] == NONE else given[name])
                except UsageProblem as problem:
                    problems.append(problem)
            elif tag is not None:
                # What somebody bent by hand into nonsense counts as not asked for.
                try:
                    values[name] = _check(name, _parse(tag, option.default))
                except (ValueError, UsageProblem):
                    unusable[name] = tag
        tags = {key: kept[key] for key in kept.get(USER_TAGS_TAG, "").split("=") if key in kept}
        tags.update(given.get("tags") or {})
        settings = cls(
            **{**(deployed or {}), **values}, tags=tags, asked=frozenset(values), unusable=unusable
        )
        for check in (settings.check_tags, partial(settings._check_capacity, given)):
            try:
                check()
            except UsageProblem as problem:
                problems.append(problem)
        if problems:
            raise combined("This cannot be", problems)
        return settings

    @property
    def option_tags(self) -> dict[str, str]:
        """The table's tags that keep what was asked for."""
        kept = as_tags({name: getattr(self, name) for name in sorted(self.asked)})
        if self.tags:
            kept[USER_TAGS_TAG] = "=".join(sorted(self.tags))
        return kept

    def keeping_billing(self) -> Settings:
        """Return the same, but how the table is paid for is kept as tags, whoever chose it.

        So another default never changes a stack that is there. Raises UsageProblem for too many tags.
        """
        billing = {"on_demand"} if self.on_demand else {"on_demand", *CAPACITIES}
        settings = replace(self, asked=self.asked | billing)
        settings.check_tags()
        return settings

    def check_interval(self) -> None:
        """Raise UsageProblem if the interval is shorter than a real Storage Gateway takes."""
        if self.min_interval < SHORTEST_INTERVAL_S:
            raise UsageProblem(
                f"--min-interval {self.min_interval} is too short",
                f"Storage Gateway wants {SHORTEST_INTERVAL_S} s between two refreshes of a share",
            )

    def _check_capacity(self, given: Mapping[str, Any]) -> None:
        units = [flag(name) for name in CAPACITIES if given.get(name) is not None]
        if units and self.on_demand:
            raise UsageProblem(
                f"{' and '.join(units)} would do nothing: the table is on demand", "Pass --provisioned"
            )

    def check_tags(self) -> None:
        """Raise UsageProblem for tags that AWS or we do not take, and for too many."""
        for key, value in self.tags.items():
            if key.lower().startswith(("aws:", TAG_PREFIX)):
                raise UsageProblem(f"The tag {key!r} is reserved", "Choose another key")
            if not TAG_KEY.fullmatch(key) or not TAG_VALUE.fullmatch(value):
                raise UsageProblem(f"AWS does not take the tag {key!r}={value!r}", TAG_RULE)
        if len({key.lower() for key in self.tags}) < len(self.tags):
            raise UsageProblem("Two tags differ only in case", "IAM takes them for one: choose another key")
        too_many = len(self.tags) + len(self.option_tags) + 2 > MOST_TAGS  # the stack's and the region's
        if too_many or not TAG_VALUE.fullmatch("=".join(self.tags)):
            raise UsageProblem(
                "Too many tags", f"{MOST_TAGS} with ours, their keys within 256 characters together"
            )


SETTLE_S = 2  # for which a refresh waits, so that no event is missed (DESIGN 2)
MOST_REFRESHES = 24 * 3600 // (Settings.min_interval + SETTLE_S)  # of a share in a day (DESIGN 2)
PRICE_TABLES = ("2018-08", "2025-07")  # in prices/, by when they held: the blog's, and the newest
OPTIONS = tuple(option for option in fields(Settings) if option.name not in {"tags", "asked", "unusable"})
SHORTEST_INTERVAL_S = 60  # AWS asks for that long between two refreshes of a share
TAG_KEY = re.compile(r"[\w .:/+@-]{1,128}")
TAG_VALUE = re.compile(r"[\w .:/+=@-]{0,256}")
TAG_RULE = "Letters, digits, blanks and . : / + - @ _ only, keys up to 128 and values up to 256 characters"


def as_tags(options: Mapping[str, object]) -> dict[str, str]:
    """Options as the table's tags keep them."""
    return {_tag(name): _show(value) for name, value in options.items()}


def _check(name: str, value: object) -> object:
    """Return the value; raise UsageProblem if the option cannot have it."""
    if name in RANGES:
        lowest, highest = RANGES[name]
        if not isinstance(value, int) or not lowest <= value <= highest:
            raise UsageProblem(f"{flag(name)} {value} is out of range", f"{lowest} to {highest}")
    if name in CHOICES and value not in CHOICES[name]:
        raise UsageProblem(
            f"{flag(name)} {value} is not known", f"One of {', '.join(map(str, CHOICES[name]))}"
        )
    return value


def flag(name: str) -> str:
    """How a command line names an option."""
    return f"--{name.replace('_', '-')}"


def _tag(option: str) -> str:
    return TAG_PREFIX + option.replace("_", "-")


def _show(value: object) -> str:
    if value is None:
        return NONE
    return str(value).lower() if isinstance(value, bool) else str(value)


def _parse(tag: str, default: object) -> object:
    """Read a tag back; raise ValueError for what is no value of such an option."""
    if default is None:
        return None if tag == NONE else tag
    if isinstance(default, bool):
        return ("false", "true").index(tag) == 1
    return int(tag) if isinstance(default, int) else tag


@dataclass(frozen=True)
class Names:
    """The names of a stack's resources. The default stack's are the blog's, to the letter."""

    stack: str = BLOG_STACK

    def __post_init__(self) -> None:
        # The shortest name made from it is the table's, of 3 characters at least, the longest a
        # function's, of 64 at most.
        if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]{2,42}", self.stack):
            raise UsageProblem(
                f"{self.stack!r} cannot name a stack", "A letter, then 2 to 42 letters, digits, - and _"
            )

    @property
    def option(self) -> str:
        """How a command has to name the stack; nothing for the default one."""
        return "" if self.stack == BLOG_STACK else f" --stack {self.stack}"

    def _either(self, blog: str, other: str) -> str:
        return blog if self.stack == BLOG_STACK else other

    @property
    def table(self) -> str:
        return self.stack

    @property
    def queue(self) -> str:
        return f"{self.stack}ActionQueue"

    @property
    def dead_letters(self) -> str:
        return f"{self.stack}DeadLetters"

    @property
    def dynamo_policy(self) -> str:
        return f"{self.stack}Dynamo"

    @property
    def sqs_writer_policy(self) -> str:
        return f"{self.stack}SqsWriter"

    @property
    def sqs_reader_policy(self) -> str:
        return f"{self.stack}SqsReader"

    @property
    def gateway_policy(self) -> str:
        return self._either("StorageGatewayRefreshPolicy", f"{self.stack}StorageGatewayRefreshPolicy")

    @property
    def aggregator_role(self) -> str:
        return f"{self.stack}LambdaRole"

    @property
    def refresh_role(self) -> str:
        return self._either("S3AggregatorActionLambdaRole", f"{self.stack}ActionLambdaRole")

    @property
    def aggregator(self) -> str:
        return self.stack

    @property
    def refresher(self) -> str:
        return self._either("S3StorageGatewayRefresh", f"{self.stack}StorageGatewayRefresh")

    @property
    def rule(self) -> str:
        """The Id of the stack's rule in a bucket's notifications."""
        return self._either("s3-event-aggregator", f"s3-event-aggregator-{self.stack}")


def statement_id(bucket: str) -> str:
    """The bucket's statement in the function's policy; ids hold no dots, bucket names no underscores."""
    return "SID_" + bucket.replace(".", "_")


def check_key_part(what: str, value: str) -> str:
    """Return a rule's prefix or suffix; raise UsageProblem if S3 does not take it as it stands.

    S3 compares it with the key as events show it, URL-encoded: `dt=1/` would never match, `dt%3D1/` does.
    """
    if not re.fullmatch(r"(?:[A-Za-z0-9/!_.'()+-]|%[0-9A-F]{2})*", value):
        raise UsageProblem(
            f"S3 would match no key with the {what} {value!r}",
            f"As in its events: {quote_plus(unquote_plus(value), safe=SAFE_IN_KEYS)}; * stands for nothing",
        )
    return value


def check_runtime(name: str, known: Sequence[str]) -> None:
    """Raise UsageProblem if Lambda does not know the runtime, which would fail when all else is made."""
    if name not in known:
        raise UsageProblem(f"Lambda has no runtime {name}", f"There are {', '.join(known)}")


def check_bucket_name(name: str) -> str:
    """Return the name; raise UsageProblem if no bucket can have it."""
    is_address = re.fullmatch(r"\d+\.\d+\.\d+\.\d+", name)
    if not re.fullmatch(BUCKET_NAME, name) or is_address or ".." in name:
        raise UsageProblem(
            f"{name!r} is no bucket name",
            "3 to 63 lower-case letters, digits, dots and hyphens; no s3:// or ARN",
        )
    return name
