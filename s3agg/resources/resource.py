"""What every resource is: declared properties, and the verbs that bring AWS to them."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Generic, TypeVar

from s3agg.aws.place import Place
from s3agg.aws.refusals import Refusal
from s3agg.aws.session import Aws
from s3agg.aws.snapshot import Snapshot
from s3agg.settings import REGION_TAG, STACK_TAG

ABSENT = "(none)"


@dataclass(frozen=True)
class Difference:
    """One property that is not as declared."""

    what: str
    declared: str
    found: str


@dataclass(frozen=True, kw_only=True)
class Found(ABC):
    """What AWS has of a resource now. `tags` is None for a kind that carries none."""

    tags: Mapping[str, str] | None = None

    @property
    @abstractmethod
    def properties(self) -> Mapping[str, str]:
        """The same in the words of the resource's own `properties`."""


F = TypeVar("F", bound=Found)


@dataclass(frozen=True)
class Owner:
    """Whose a resource of our name is, as far as it tells."""

    ours: bool
    adoptable: bool = False  # nothing about it says that it is another stack's: --adopt may take it over
    words: str = ""  # of what is not ours


OURS = Owner(ours=True, adoptable=True)


@dataclass(frozen=True, eq=False)
class Resource(ABC, Generic[F]):
    """One thing that AWS keeps for a stack; F is what is found of it.

    A field that holds a resource, or several, is a dependency: those are made before this one and
    removed after it.
    """

    kind: ClassVar[str]
    # What to do where somebody else's resource has the name.
    remedy: ClassVar[str] = "choose another name with --stack"
    # Fields whose resources are not needed to make this one, but only to join it to them.
    joined: ClassVar[tuple[str, ...]] = ()
    # How the service refuses to make one under a name that is taken.
    already_exists: ClassVar[tuple[Refusal, ...]] = ()

    place: Place
    name: str
    tags: Mapping[str, str]

    @property
    def wanted(self) -> bool:
        """Whether the stack is to have it: one that is not wanted is removed where it is found."""
        return True

    @property
    @abstractmethod
    def arn(self) -> str: ...

    @property
    @abstractmethod
    def properties(self) -> Mapping[str, str]:
        """Each property that we set, as declared, in words that a person can compare."""

    @property
    @abstractmethod
    def cloudformation(self) -> Mapping[str, Mapping[str, Any]]:
        """The same as CloudFormation takes it: the types that make it, each with its properties.

        A Resource among the values stands for what `!Ref` gives of it. Empty if CloudFormation cannot.
        """

    def arn_of(self, found: F) -> str:  # noqa: ARG002  # for those whose ARN AWS chooses
        """Its ARN, once it is found."""
        return self.arn

    @abstractmethod
    def find(self, snapshot: Snapshot) -> F | None:
        """What AWS has now; None only if the service says that there is no such resource."""

    @abstractmethod
    def create(self, aws: Aws) -> None: ...

    @abstractmethod
    def update(self, aws: Aws, found: F) -> None:
        """Change what differs, and nothing else."""

    def join(self, aws: Aws, found: F | None) -> None:
        """Join it to the resources of its `joined` fields; `found` as before it was made or updated."""

    @abstractmethod
    def delete(self, aws: Aws, found: F) -> None:
        """Remove it; no error if it is gone by now."""

    def differences(self, found: F) -> list[Difference]:
        """How AWS differs from what is declared; empty means as declared."""
        pairs = [(what, value, found.properties.get(what, ABSENT)) for what, value in self.properties.items()]
        if found.tags is not None:
            pairs += [(f"tag {key}", value, found.tags.get(key, ABSENT)) for key, value in self.tags.items()]
        return [Difference(*pair) for pair in pairs if pair[1] != pair[2]]

    def owner(self, found: F) -> Owner:
        """Whose it is: ours if it has the stack's tags, another stack's if it has that one's."""
        if found.tags is None:
            return OURS
        tags = [tag for tag in (STACK_TAG, REGION_TAG) if tag in self.tags]
        for tag, words in ((STACK_TAG, "of stack {}"), (REGION_TAG, "of the stack of this name in {}")):
            if tag in tags and found.tags.get(tag, self.tags[tag]) != self.tags[tag]:
                return Owner(ours=False, words=words.format(found.tags[tag]))
        missing = [tag for tag in tags if tag not in found.tags]
        return Owner(ours=False, adoptable=True, words=f"without the tag {missing[0]}") if missing else OURS

    def missing_tags(self, found: F) -> dict[str, str]:
        return {key: value for key, value in self.tags.items() if (found.tags or {}).get(key) != value}

    def differs(self, found: F, *what: str) -> bool:
        """Whether any of these properties differs."""
        return any(each.what in what for each in self.differences(found))

    @property
    def key(self) -> tuple[str, str]:
        """What identifies a resource within a stack."""
        return self.kind, self.name

    @property
    def needs(self) -> list[Resource[Any]]:
        """The resources that this one's fields refer to."""
        return [item for each in fields(self) for item in self._in_field(each.name)]

    @property
    def joins(self) -> list[Resource[Any]]:
        """Those of them that it is only joined to."""
        return [item for name in self.joined for item in self._in_field(name)]

    def _in_field(self, name: str) -> list[Resource[Any]]:
        value = getattr(self, name)
        items = value if isinstance(value, tuple) else (value,)
        return [item for item in items if isinstance(item, Resource)]


def pairs(tags: Mapping[str, str]) -> list[Any]:
    """Tags as most of AWS wants them."""
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def unpaired(tags: Iterable[Any]) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in tags}


def canonical(document: Mapping[str, Any]) -> str:
    """A policy document as one text, the same for the same meaning: a list of one is that one."""

    def plain(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {key: plain(item) for key, item in value.items()}
        if isinstance(value, list):
            items = sorted((plain(item) for item in value), key=lambda item: json.dumps(item, sort_keys=True))
            return items[0] if len(items) == 1 else items
        return value

    return json.dumps(plain(document), sort_keys=True)
