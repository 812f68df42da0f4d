"""Our rule in a bucket's notifications, among whatever rules others have there.

`PutBucketNotificationConfiguration` replaces everything, with no etag and no call for one rule. So:
read, change only the rule with our Id, write, read back, and do it again if somebody's write came
between. (FACTS, Bucket notifications)
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from botocore.exceptions import ClientError

from s3agg.aws.refusals import Refusal, aws_message, unless_absent
from s3agg.aws.session import Aws
from s3agg.aws.snapshot import Snapshot
from s3agg.errors import S3aggError
from s3agg.resources.permission import Permission
from s3agg.resources.resource import OURS, Found, Owner, Resource

EVENTS = ("s3:LifecycleExpiration:*", "s3:ObjectCreated:*", "s3:ObjectRemoved:*")
RULES = ("LambdaFunctionConfigurations", "QueueConfigurations", "TopicConfigurations")
DESTINATIONS = ("LambdaFunctionArn", "QueueArn", "TopicArn")
BUSY = Refusal("OperationAborted")  # another change to the bucket is running (FACTS 6)
UNVALIDATED = Refusal("InvalidArgument", "Unable to validate the following destination")  # FACTS 4
OVERLAPS = (Refusal("InvalidArgument", "ambiguously"), Refusal("InvalidArgument", "overlap"))  # FACTS 5
SPREADING_S = 5  # a read this soon after a write may still show what was there before
TEST_OBJECT = "s3agg-test-"  # what the key of each object that test-upload makes holds

Configuration = dict[str, Any]


@dataclass(frozen=True)
class Spreading(Refusal):
    """S3 may not call this function yet; what others have there does not come by waiting (FACTS 4)."""

    function: str = ""

    def matches(self, error: ClientError) -> bool:
        named = unreached(error)
        return super().matches(error) and (not named or self.function in named)


def unreached(error: ClientError) -> dict[str, str]:
    """The destinations that S3 names as those it cannot reach, with its reasons.

    They come beside the message, `ArgumentName1` and `ArgumentValue1` and so on; a function's ARN is
    followed by ", null", and "Not authorized to invoke" also means that there is no such function.
    """
    told: Mapping[str, Any] = error.response.get("Error", {})
    return {
        str(target).partition(",")[0]: str(told.get(name.replace("Name", "Value"), "no reason given"))
        for name, target in told.items()
        if name.startswith("ArgumentName")
    }


@dataclass(frozen=True)
class KeyFilter:
    """Which keys a rule is for; empty means all."""

    prefix: str = ""
    suffix: str = ""

    def __str__(self) -> str:
        parts = [f"prefix {self.prefix}"] if self.prefix else []
        parts += [f"suffix {self.suffix}"] if self.suffix else []
        return ", ".join(parts) or "the whole bucket"

    @classmethod
    def of(cls, rule: Mapping[str, Any]) -> KeyFilter:
        rules = rule.get("Filter", {}).get("Key", {}).get("FilterRules", [])
        values = {each["Name"].lower(): each["Value"] for each in rules}
        return cls(values.get("prefix", ""), values.get("suffix", ""))

    def overlaps(self, other: KeyFilter) -> bool:
        """Whether a key can fit both, as S3 judges: one prefix begins the other, so do the suffixes."""
        prefixes = self.prefix.startswith(other.prefix) or other.prefix.startswith(self.prefix)
        suffixes = self.suffix.endswith(other.suffix) or other.suffix.endswith(self.suffix)
        return prefixes and suffixes


ALL_KEYS = KeyFilter()


@dataclass(frozen=True, kw_only=True)
class FoundNotification(Found):
    """A rule; it carries no tags. `target` is the ARN that it calls."""

    events: tuple[str, ...]
    keys: KeyFilter
    target: str

    @property
    def properties(self) -> Mapping[str, str]:
        return {"events": " ".join(self.events), "keys": str(self.keys), "function": self.target}


@dataclass(frozen=True, eq=False)
class Notification(Resource[FoundNotification]):
    """The rule in the notifications of the bucket `bucket`; `name` is the bucket's too, the Id is `rule`."""

    kind: ClassVar[str] = "notification"
    remedy: ClassVar[str] = "point the bucket's rule at our function again, or take it out of the bucket"

    permission: Permission
    rule: str
    keys: KeyFilter

    @property
    def bucket(self) -> str:
        return self.name

    @property
    def arn(self) -> str:
        return self.place.bucket(self.bucket)

    @property
    def properties(self) -> Mapping[str, str]:
        return {
            "events": " ".join(EVENTS),
            "keys": str(self.keys),
            "function": self.permission.function.arn,
        }

    @property
    def cloudformation(self) -> Mapping[str, Mapping[str, Any]]:
        """Nothing: it is a property of the bucket, which CloudFormation only sets on buckets that it made."""
        return {}

    def find(self, snapshot: Snapshot) -> FoundNotification | None:
        configuration = unless_absent(self.look, snapshot)
        rule = our_rule(configuration, self.rule) if configuration else None
        if rule is None:
            return None
        return FoundNotification(
            events=tuple(sorted(rule["Events"])), keys=KeyFilter.of(rule), target=_target(rule)
        )

    def owner(self, found: FoundNotification) -> Owner:
        """A rule with our Id that calls something else: taking it over would cut that off."""
        if found.target == self.permission.function.arn:
            return OURS
        return Owner(ours=False, words=f"whose rule {self.rule} calls {found.target}")

    def create(self, aws: Aws) -> None:
        self.permission.function.wait_until_ready(aws)  # what comes sooner might be lost
        self._change(aws, self.document)

    def update(self, aws: Aws, found: FoundNotification) -> None:  # noqa: ARG002  # it is read again to be written
        self._change(aws, self.document)

    def delete(self, aws: Aws, found: FoundNotification) -> None:  # noqa: ARG002  # it is read again to be written
        # The bucket may be gone, and the rule with it (FACTS 18).
        unless_absent(self._change, aws, None)

    def look(self, snapshot: Snapshot) -> Configuration:
        """The bucket's notifications, asked for once."""
        return snapshot.once(("notifications", self.bucket), lambda: self.read(snapshot.aws))

    def read(self, aws: Aws) -> Configuration:
        """The bucket's notifications, all of them, as they are now."""
        answer: Configuration = dict(
            aws.s3.get_bucket_notification_configuration(
                Bucket=self.bucket, ExpectedBucketOwner=self.place.account
            )
        )
        answer.pop("ResponseMetadata", None)
        return answer

    def check_room(self, snapshot: Snapshot) -> None:
        """Raise S3aggError if the bucket has a rule that S3 refuses beside ours."""
        if problem := self._clashing(self.look(snapshot)):
            raise problem

    def _clashing(self, configuration: Configuration) -> S3aggError | None:
        clash = self.clash(configuration)
        if clash is None:
            return None
        return S3aggError(
            f"Another rule of bucket {self.bucket} is for the same events and keys: {clash}",
            "Keep the rules apart with --prefix or --suffix, or narrow that rule first",
        )

    def clash(self, configuration: Configuration) -> str | None:
        """Name somebody's rule that shares events and keys with ours, which S3 refuses (FACTS 5)."""
        for rule in _rules(configuration):
            if rule.get("Id") != self.rule and _share_events(rule["Events"], EVENTS):
                keys = KeyFilter.of(rule)
                if keys.overlaps(self.keys):
                    events = " ".join(rule["Events"])
                    return f"{rule.get('Id', '(no Id)')} ({events}, {keys}) to {_target(rule)}"
        return None

    @property
    def document(self) -> Configuration:
        """The rule as S3 takes it."""
        rules = [
            {"Name": name, "Value": value}
            for name, value in (("prefix", self.keys.prefix), ("suffix", self.keys.suffix))
            if value
        ]
        return {
            "Id": self.rule,
            "LambdaFunctionArn": self.permission.function.arn,
            "Events": list(EVENTS),
            **({"Filter": {"Key": {"FilterRules": rules}}} if rules else {}),
        }

    def _change(self, aws: Aws, ours: Configuration | None) -> None:
        """Put our rule in place, or take it out, and read back until that shows.

        Each try starts from a fresh read: a refusal may mean that somebody else is just writing.
        """
        spreading = Spreading(UNVALIDATED.code, UNVALIDATED.message, self.permission.function.arn)
        before: Configuration | None = None  # what our last write replaced
        written = 0.0

        def is_in_place() -> bool:
            nonlocal before, written
            have = self.read(aws)
            wanted = with_rule(have, self.rule, ours)
            if normal(have) == normal(wanted):
                return True
            now = aws.clock.monotonic()
            if before is not None and normal(have) == normal(before) and now - written < SPREADING_S:
                return False  # our write has not spread yet
            if before is not None:
                aws.waiting(f"somebody else changed the notifications of bucket {self.bucket}, again")
            self._put(aws, wanted, validate=ours is not None)
            before, written = have, now
            return False

        rule = f"the rule of bucket {self.bucket}"
        try:
            aws.wait.poll(
                f"S3 to take {rule}" if ours else f"{rule} to go",
                is_in_place,
                on=(BUSY, spreading) if ours else (BUSY,),
            )
        except ClientError as error:
            problem = self._refused(aws, error)
            if problem is None:
                raise
            raise problem from error

    def _refused(self, aws: Aws, error: ClientError) -> S3aggError | None:
        """Say of which rule it is that S3 refuses them; None where it is none of somebody else."""
        if UNVALIDATED.matches(error):
            return self._unreachable(aws, error)
        if any(overlap.matches(error) for overlap in OVERLAPS):  # somebody was faster than our look at them
            return self._clashing(self.read(aws))
        return None

    def _unreachable(self, aws: Aws, error: ClientError) -> S3aggError | None:
        """Say whose destinations S3 cannot reach; None where it names none and no rule is there but ours."""
        problem = f"S3 cannot reach every destination of bucket {self.bucket}'s notifications"
        rules = _rules(with_rule(self.read(aws), self.rule, self.document))
        if named := unreached(error):
            dead = [f"{_ids(rules, target)} to {target} ({reason})" for target, reason in named.items()]
            hint = "Bring back what is gone, or take its rule out of the bucket's event notifications"
            if named.keys() == {self.permission.function.arn}:
                hint = "It can take S3 minutes to know of a new permission: run the command again"
            return S3aggError(f"{problem}: {', '.join(dead)}", hint)
        others = [f"{rule.get('Id')} to {_target(rule)}" for rule in rules if rule.get("Id") != self.rule]
        if not others:
            return None
        return S3aggError(
            f"{problem}: {aws_message(error)}",
            f"Perhaps another rule's is gone; there are {', '.join(others)}",
        )

    def _put(self, aws: Aws, configuration: Configuration, *, validate: bool) -> None:
        aws.s3.put_bucket_notification_configuration(
            Bucket=self.bucket,
            NotificationConfiguration=configuration,  # type: ignore[arg-type]  # as it was read
            ExpectedBucketOwner=self.place.account,
            # A dead destination of somebody else's must not keep us from leaving; ours is validated.
            SkipDestinationValidation=not validate,
        )


def _rules(configuration: Configuration) -> list[dict[str, Any]]:
    return [rule for name in RULES for rule in configuration.get(name, [])]


def _target(rule: Mapping[str, Any]) -> str:
    return next(str(rule[name]) for name in DESTINATIONS if name in rule)


def _ids(rules: list[dict[str, Any]], target: str) -> str:
    """The Ids of the rules that lead there."""
    return ", ".join(str(rule.get("Id")) for rule in rules if _target(rule) == target) or "a rule"


def our_rule(configuration: Configuration, rule_id: str) -> dict[str, Any] | None:
    return next((rule for rule in _rules(configuration) if rule.get("Id") == rule_id), None)


def with_rule(configuration: Configuration, rule_id: str, ours: Configuration | None) -> Configuration:
    """The same configuration with our rule put in place, or taken out; everything else untouched."""
    changed = dict(configuration)
    for name in RULES:
        others = [rule for rule in configuration.get(name, []) if rule.get("Id") != rule_id]
        if ours is not None and name == RULES[0]:
            others.append(ours)
        if others:
            changed[name] = others
        else:
            changed.pop(name, None)
    return changed


def normal(configuration: Configuration) -> Configuration:
    """The configuration without what S3 is free to change: orders, and the case of filter names."""

    def rule(each: Mapping[str, Any]) -> dict[str, Any]:
        keys = KeyFilter.of(each)
        return {**each, "Events": sorted(each["Events"]), "Filter": (keys.prefix, keys.suffix)}

    def text(each: Mapping[str, Any]) -> str:
        return json.dumps(each, sort_keys=True)

    rules = {name: sorted(map(rule, configuration.get(name, [])), key=text) for name in RULES}
    return {**configuration, **rules}


def _share_events(one: list[str] | tuple[str, ...], other: list[str] | tuple[str, ...]) -> bool:
    return any(_covers(a, b) or _covers(b, a) for a in one for b in other)


def _covers(pattern: str, event: str) -> bool:
    return event.startswith(pattern[:-1]) if pattern.endswith("*") else event == pattern
