"""The settings of a stack, validated, and the names of its resources.

There is no state file: settings are stored as tags `s3agg:<option>` on the table (DESIGN 1).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import partial
from hashlib import sha256
from typing import Any

from s3agg.errors import AwsOptions, S3aggError, UsageProblem, combined

BLOG_STACK = "S3EventAggregator"
TAG_PREFIX = "s3agg:"
STACK_TAG = "s3agg:stack"
REGION_TAG = "s3agg:region"  # on IAM resources: their names are global to the account
VERSION_TAG = "s3agg:version"  # on the table: the version that made or last updated the stack
BILLING_TAG = "s3agg:on-demand"
ROLE_ENDING = "LambdaRole"  # a stack's aggregator role is named by the stack and this
USER_TAGS_TAG = "s3agg:tags"  # keys of the user's tags, joined by "=", which no key can contain

# A table's name is the shortest of a stack: at least 3 characters. A function's is the longest: at most 64.
RULE_HASH = r"\.[0-9a-f]{8}"  # continues the Ids of a stack's further rules of a bucket
STACK_NAME = "[A-Za-z][A-Za-z0-9_-]{2,42}"
BUCKET_NAME = "[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]"  # also in the template, as an AllowedPattern
# In us-east-1, buckets from before March 2018 can have other names (FACTS, Names of buckets).
OLD_BUCKET_NAME = "[A-Za-z0-9._-]{3,255}"
OLD_NAMES_REGION = "us-east-1"
ANY_REGION = OLD_NAMES_REGION  # whose names include those of all other regions
LONGEST_BUCKET_NAME = 63
LONGEST_WINDOW_S = 42_600  # 11 h 50 min: the longest visibility timeout of SQS is 12 hours
LOG_LEVELS = ("DEBUG", "INFO", "WARN", "ERROR")
RETENTIONS = (1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557,
              2922, 3288, 3653)  # fmt: skip  # days that CloudWatch Logs accepts
# Valid values: inclusive ranges, and choices.
RANGES = {
    "window": (1, LONGEST_WINDOW_S),
    "min_interval": (0, LONGEST_WINDOW_S),
    "full_every": (0, 8760),  # a year
    "read_capacity": (1, 40_000),
    "write_capacity": (1, 40_000),
    "concurrency": (1, 1000),
    "memory": (128, 10_240),
}
DURATIONS = {"window": "s", "min_interval": "s", "full_every": "h", "log_retention": "d"}  # with their units
CHOICES: dict[str, tuple[object, ...]] = {
    "log_level": LOG_LEVELS,
    "log_retention": RETENTIONS,
    "architecture": ("x86_64", "arm64"),
}
CAPACITIES = ("read_capacity", "write_capacity")  # of a provisioned table
# Stored for every stack (`Settings.keeping_billing`). So a default counts as not chosen.
ALWAYS_STORED = ("on_demand", *CAPACITIES)
# ARNs of a policy and a topic. In a policy's condition, * and ? would be wildcards.
ARNS = {
    "iam": r"arn:[\w-]+:iam::\w+:policy/[\w+=,.@/-]+",
    "sns": r"arn:[\w-]+:sns:[\w-]+:\d{12}:[\w-]{1,256}(\.fifo)?",
}
MOST_TAGS = 50  # AWS's limit for a resource
NONE = "none"  # as the value of an option: remove the stored setting


OWED_S = 15 * 60  # a gateway may be busy for so long, on top of window and interval


@dataclass(frozen=True)
class Settings:
    """A stack's settings with their defaults; `create --help` describes each."""

    window: int = 30  # s
    log_level: str = "INFO"
    read_capacity: int = 1  # capacity units
    write_capacity: int = 5  # capacity units
    on_demand: bool = True
    concurrency: int = 10  # reserved concurrency of the aggregator function
    memory: int = 128  # MB
    runtime: str = "python3.13"
    architecture: str = "arm64"
    log_retention: int = 30  # days
    min_interval: int = 60  # s
    full_every: int = 24  # hours; 0: never
    include_gateway_writes: bool = False
    permissions_boundary: str | None = None
    alarm_topic: str | None = None
    storage_gateway_endpoint: str | None = None  # only if the Lambda endpoint is loopback
    tags: Mapping[str, str] = field(default_factory=dict)  # the user's tags
    asked: frozenset[str] = frozenset()  # options that were passed to create, now or before: stored as tags
    unusable: Mapping[str, str] = field(default_factory=dict)  # stored settings that are invalid

    @property
    def longest_owed(self) -> int:
        """For how many s a refresh may be owed to a file share before it is overdue (DESIGN 2b)."""
        return self.window + self.min_interval + OWED_S

    @classmethod
    def declared(
        cls, given: Mapping[str, Any], kept: Mapping[str, str], deployed: Mapping[str, Any] | None = None
    ) -> Settings:
        """Return the declared settings: each is given, else stored, else deployed, else the default.

        `given` and `deployed` map field names to values; in `given`, None is an option that was not passed.
        `kept` holds all tags of the table. A given default is not stored if `kept` stores no other value.
        Raises UsageProblem for all invalid values in `given`.
        """
        values: dict[str, Any] = {}
        unusable: dict[str, str] = {}
        problems: list[S3aggError] = []
        for option in OPTIONS:
            name, tag = option.name, kept.get(_tag(option.name))
            if given.get(name) is not None:
                try:
                    value = _check(name, None if given[name] == NONE else given[name])
                except UsageProblem as problem:
                    problems.append(problem)
                    continue
                # A stack that has the default already is not updated only to store it.
                if not kept or tag is not None or name in ALWAYS_STORED or value != option.default:
                    values[name] = value
            elif tag is not None:
                # Somebody edited this tag by hand: the setting counts as not stored.
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
            raise combined("Several options are invalid", problems)
        return settings

    @property
    def option_tags(self) -> dict[str, str]:
        """The tags of the table that store the settings."""
        kept = as_tags({name: getattr(self, name) for name in sorted(self.asked)})
        if self.tags:
            kept[USER_TAGS_TAG] = "=".join(sorted(self.tags))
        return kept

    def keeping_billing(self) -> Settings:
        """Return the same settings, with the billing mode among the stored ones.

        So a new default never changes an existing stack. Raises UsageProblem for too many tags.
        """
        billing = {"on_demand"} if self.on_demand else {"on_demand", *CAPACITIES}
        settings = replace(self, asked=self.asked | billing)
        settings.check_tags()
        return settings

    def check_interval(self) -> None:
        """Raise UsageProblem if the interval is shorter than AWS recommends."""
        if self.min_interval < SHORTEST_INTERVAL_S:
            raise UsageProblem(
                f"--min-interval {self.min_interval} is too short",
                f"AWS recommends {SHORTEST_INTERVAL_S} s. Pass {SHORTEST_INTERVAL_S} or more",
            )

    def _check_capacity(self, given: Mapping[str, Any]) -> None:
        units = [flag(name) for name in CAPACITIES if given.get(name) is not None]
        if units and given.get("on_demand"):
            raise UsageProblem(
                f"--on-demand excludes {' and '.join(units)}",
                f"Pass --provisioned, or omit {' and '.join(units)}",
            )
        if units and self.on_demand:
            raise UsageProblem(
                f"The table is on demand, so {' and '.join(units)} cannot apply", "Pass --provisioned as well"
            )

    def check_tags(self) -> None:
        """Raise UsageProblem for invalid or reserved tags, and for too many."""
        for key, value in self.tags.items():
            if key.lower().startswith(("aws:", TAG_PREFIX)):
                raise UsageProblem(f"The tag key {key!r} is reserved", "Choose another key")
            if not TAG_KEY.fullmatch(key) or not TAG_VALUE.fullmatch(value):
                raise UsageProblem(f"Invalid tag: {key!r}={value!r}", TAG_RULE)
        if len({key.lower() for key in self.tags}) < len(self.tags):
            raise UsageProblem(
                "Two tag keys differ only in case", "IAM ignores the case of tag keys. Choose another key"
            )
        # And STACK_TAG, and VERSION_TAG on the table or REGION_TAG in IAM.
        too_many = len(self.tags) + len(self.option_tags) + 2 > MOST_TAGS
        if too_many or not TAG_VALUE.fullmatch("=".join(self.tags)):
            raise UsageProblem(
                "Too many tags",
                f"Pass fewer tags or shorter keys. A resource has at most {MOST_TAGS} tags, with s3agg's own."
                " All keys together have at most 256 characters",
            )


SHARES_FRESH_S = 3600  # for so long the refresh function keeps the shares that it found (DESIGN 2)
SETTLE_S = 2  # the wait at the start of a refresh, so that it misses no event (DESIGN 2)
MOST_REFRESHES = (
    24 * 3600 // (Settings.min_interval + SETTLE_S)
)  # the most refreshes of a share in a day (DESIGN 2)
# About so many file shares fit in the first KB of a bucket's item, and in each further KB (measured).
SHARES_IN_FIRST_KB, SHARES_IN_A_KB = 10, 35
PRICE_TABLES = ("2018-08", "2025-07")  # in prices/, named by date: the blog's, and the newest
OPTIONS = tuple(option for option in fields(Settings) if option.name not in {"tags", "asked", "unusable"})
SHORTEST_INTERVAL_S = 60  # between two refreshes of a share, as AWS recommends
TAG_KEY = re.compile(r"[\w .:/+@-]{1,128}")
TAG_VALUE = re.compile(r"[\w .:/+=@-]{0,256}")
TAG_RULE = (
    "Keys and values contain only letters, digits, spaces and . : / + - @ _ (values also =)."
    " A key has at most 128 characters, a value 256"
)


def item_kb(shares: int) -> int:
    """Return about how many KB the item of a bucket with so many file shares has: a write unit each."""
    return 1 + math.ceil(max(shares - SHARES_IN_FIRST_KB, 0) / SHARES_IN_A_KB)


def as_tags(options: Mapping[str, object]) -> dict[str, str]:
    """The tags of the table that store these options."""
    return {_tag(name): _show(value) for name, value in options.items()}


def stored_in(tag: str) -> str | None:
    """What a tag of the table stores, in words; None for another tag."""
    if tag == USER_TAGS_TAG:
        return "keys of your tags"
    if tag == VERSION_TAG:
        return "version of s3agg"
    names = {_tag(option.name) for option in OPTIONS}
    return f"setting {tag.removeprefix(TAG_PREFIX)}" if tag in names else None


def _check(name: str, value: object) -> object:
    """Return the value; raise UsageProblem if it is invalid for the option."""
    if name in RANGES:
        lowest, highest = RANGES[name]
        if not isinstance(value, int) or not lowest <= value <= highest:
            raise UsageProblem(f"Invalid value for {flag(name)}: {value} ({lowest} to {highest})")
    if name in CHOICES and value not in CHOICES[name]:
        choices = ", ".join(map(str, CHOICES[name]))
        raise UsageProblem(f"Invalid value for {flag(name)}: {value} (one of {choices})")
    return value


def flag(name: str) -> str:
    """The option of the command line for a setting."""
    return f"--{name.replace('_', '-')}"


def _tag(option: str) -> str:
    return TAG_PREFIX + option.replace("_", "-")


def _show(value: object) -> str:
    if value is None:
        return NONE
    return str(value).lower() if isinstance(value, bool) else str(value)


def _parse(tag: str, default: object) -> object:
    """The value that a tag stores; raises ValueError if it is invalid for the type of `default`."""
    if default is None:
        return None if tag == NONE else tag
    if isinstance(default, bool):
        return ("false", "true").index(tag) == 1
    return int(tag) if isinstance(default, int) else tag


@dataclass(frozen=True)
class Names:
    """The names of a stack's resources. The default stack has the blog's names exactly."""

    stack: str = BLOG_STACK

    def __post_init__(self) -> None:
        if not re.fullmatch(STACK_NAME, self.stack):
            raise UsageProblem(
                f"Invalid stack name: {self.stack!r}",
                "Pass a letter and then 2 to 42 letters, digits, - or _",
            )

    @property
    def options(self) -> AwsOptions:
        """The option --stack, for the commands that messages advise; none for the default stack."""
        return {} if self.stack == BLOG_STACK else {"stack": self.stack}

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
    def refresh_rule(self) -> str:
        """The name of the EventBridge rule for finished refreshes."""
        return f"{self.stack}RefreshComplete"

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
        return f"{self.stack}{ROLE_ENDING}"

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


def stack_of_rule(rule: str) -> str:
    """The stack that has a rule with this Id in a bucket's notifications; empty if it is none of s3agg."""
    matched = re.fullmatch(rf"s3-event-aggregator(?:-({STACK_NAME}))?(?:{RULE_HASH})?", rule)
    return (matched[1] or BLOG_STACK) if matched else ""


STATEMENT = "SID_"  # starts the id of a bucket's statement, which allows S3 to invoke the function
RULE_STATEMENT = "EVENTS_"  # starts that of a bucket's statement for EventBridge
LONGEST_RULE_NAME = 64  # characters (FACTS, EventBridge)


def bucket_rule(stack: str, bucket: str) -> str:
    """The name of a bucket's EventBridge rule. A hash ends it if it would be too long."""
    name = f"{stack}-{bucket}"
    if len(name) <= LONGEST_RULE_NAME:
        return name
    ending = "." + sha256(name.encode()).hexdigest()[:8]
    return name[: LONGEST_RULE_NAME - len(ending)] + ending


def stack_of_bucket_rule(rule: str, bucket: str) -> str:
    """The stack whose EventBridge rule for the bucket has this name; empty if no stack's has."""
    starts = (rule[:end] for end, char in enumerate(rule) if char == "-")
    return next(
        (each for each in starts if re.fullmatch(STACK_NAME, each) and bucket_rule(each, bucket) == rule), ""
    )


def statement_id(bucket: str, start: str = STATEMENT) -> str:
    """The id of the bucket's statement in the function's policy (FACTS 14).

    An id can contain no dots, and has at most 100 characters. Old names can be longer, or have the underscore
    that stands for a dot. A hash stands for such a name: it is longer than any other name.
    """
    if "_" in bucket or len(bucket) > LONGEST_BUCKET_NAME:
        return start + sha256(bucket.encode()).hexdigest()
    return start + bucket.replace(".", "_")


def check_runtime(name: str, known: Sequence[str]) -> None:
    """Raise UsageProblem for a runtime that Lambda does not have, before any resource is created."""
    if name not in known:
        raise UsageProblem(f"Lambda has no runtime {name}", f"Pass one of {', '.join(known)}")


def check_bucket_name(name: str, region: str) -> str:
    """Return the name; raise UsageProblem if no bucket of the region can have it.

    With ANY_REGION, the names of all regions are valid.
    """
    is_address = re.fullmatch(r"\d+\.\d+\.\d+\.\d+", name)
    if re.fullmatch(BUCKET_NAME, name) and not is_address and ".." not in name:
        return name
    rule = f"Pass a name of 3 to {LONGEST_BUCKET_NAME} lower-case letters, digits, dots and hyphens"
    if is_address or not re.fullmatch(OLD_BUCKET_NAME, name):
        raise UsageProblem(f"Invalid bucket name: {name!r}", f"{rule}, not a URL or ARN")
    if region != OLD_NAMES_REGION:
        raise UsageProblem(
            f"Invalid bucket name: {name!r}. Only buckets from before March 2018 in {OLD_NAMES_REGION} have"
            " such names",
            f"{rule}, or pass --region {OLD_NAMES_REGION}",
        )
    return name
