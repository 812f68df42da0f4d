"""What every resource is: declared properties, and the verbs that bring AWS to them."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar

from s3agg.aws.place import Place
from s3agg.aws.refusals import Refusal
from s3agg.aws.session import Aws
from s3agg.settings import REGION_TAG, STACK_TAG

ABSENT = "(none)"


@dataclass(frozen=True)
class Difference:
    """One property that is not as declared."""

    what: str
    declared: str
    found: str


@dataclass(frozen=True)
class Found:
    """What AWS has of a resource now, in the words of the resource's `properties`.

    `tags` is None for a kind that carries none; `more` is what the resource needs to change or
    remove what was found.
    """

    properties: Mapping[str, str]
    tags: Mapping[str, str] | None = None
    more: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Resource(ABC):
    """One thing that AWS keeps for a stack.

    A field that holds a resource, or several, is a dependency: those are made before this one and
    removed after it.
    """

    kind: ClassVar[str]
    # What to do where somebody else's resource has the name.
    way_out: ClassVar[str] = "choose another name with --stack"
    # How the service refuses to make one under a name that is taken.
    taken: ClassVar[tuple[Refusal, ...]] = ()

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

    @abstractmethod
    def find(self, aws: Aws) -> Found | None:
        """What AWS has now; None only if the service says that there is no such resource."""

    @abstractmethod
    def create(self, aws: Aws) -> None: ...

    @abstractmethod
    def update(self, aws: Aws, found: Found) -> None:
        """Change what differs, and nothing else."""

    @abstractmethod
    def delete(self, aws: Aws, found: Found) -> None:
        """Remove it; no error if it is gone by now."""

    def differences(self, found: Found) -> list[Difference]:
        """How AWS differs from what is declared; empty means as declared."""
        pairs = [(what, value, found.properties.get(what, ABSENT)) for what, value in self.properties.items()]
        if found.tags is not None:
            pairs += [(f"tag {key}", value, found.tags.get(key, ABSENT)) for key, value in self.tags.items()]
        return [Difference(*pair) for pair in pairs if pair[1] != pair[2]]

    def is_foreign(self, found: Found) -> bool:
        """Whether somebody else's resource has our name: it can carry our tags and does not."""
        return found.tags is not None and any(
            found.tags.get(tag) != self.tags[tag] for tag in (STACK_TAG, REGION_TAG) if tag in self.tags
        )

    def is_adoptable(self, found: Found) -> bool:
        """Whether nothing about it says that it is another stack's: --adopt may then take it over."""
        return found.tags is not None and all(
            found.tags.get(tag, self.tags[tag]) == self.tags[tag]
            for tag in (STACK_TAG, REGION_TAG)
            if tag in self.tags
        )

    def owner(self, found: Found) -> str:
        """Whose a foreign resource is, as far as it tells."""
        tags = found.tags or {}
        if tags.get(STACK_TAG, self.tags[STACK_TAG]) != self.tags[STACK_TAG]:
            return f"of stack {tags[STACK_TAG]}"
        if REGION_TAG in self.tags and tags.get(REGION_TAG, self.tags[REGION_TAG]) != self.tags[REGION_TAG]:
            return f"of the stack of this name in {tags[REGION_TAG]}"
        return f"without the tag {STACK_TAG if STACK_TAG not in tags else REGION_TAG}"

    def missing_tags(self, found: Found) -> dict[str, str]:
        return {key: value for key, value in self.tags.items() if (found.tags or {}).get(key) != value}

    def differs(self, found: Found, *what: str) -> bool:
        """Whether any of these properties differs."""
        return any(self.properties[name] != found.properties.get(name, ABSENT) for name in what)

    @property
    def key(self) -> tuple[str, str]:
        """What identifies a resource within a stack."""
        return self.kind, self.name

    @property
    def needs(self) -> list[Resource]:
        """The resources that this one's fields refer to."""
        needed: list[Resource] = []
        for each in fields(self):
            value = getattr(self, each.name)
            items = value if isinstance(value, tuple) else (value,)
            needed += [item for item in items if isinstance(item, Resource)]
        return needed


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
