"""The base class of all resources: declared properties, and find, create, update and delete."""

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
    """One property whose found value differs from its declared value."""

    what: str  # the label of the property
    declared: str
    found: str


@dataclass(frozen=True, kw_only=True)
class Found(ABC):
    """A resource as found in AWS. `tags` is None for a kind without tags."""

    tags: Mapping[str, str] | None = None

    @property
    @abstractmethod
    def properties(self) -> Mapping[str, str]:
        """The found values, under the labels of the resource's own `properties`."""


F = TypeVar("F", bound=Found)


@dataclass(frozen=True)
class Owner:
    """The owner of a resource that has one of the stack's names, judged by its tags."""

    ours: bool
    adoptable: bool = False  # no sign of another stack: --adopt may adopt it
    reason: str = ""  # why it is not ours
    region: str = ""  # the region of the stack of this name that owns it


OURS = Owner(ours=True, adoptable=True)


@dataclass(frozen=True, eq=False)
class Resource(ABC, Generic[F]):
    """One resource of a stack; F is the type of what is found in AWS.

    A field that holds a resource, or a tuple of resources, is a dependency: dependencies are created before
    this resource and deleted after it.
    """

    kind: ClassVar[str]
    # What to do if the name belongs to a foreign resource.
    remedy: ClassVar[str] = "choose another name with --stack"
    # Fields of dependencies that are created concurrently with this resource and attached afterwards.
    attached_fields: ClassVar[tuple[str, ...]] = ()
    # Fields of dependencies whose own attachments only `attach` needs; `create` and `update` do not.
    early_fields: ClassVar[tuple[str, ...]] = ()
    # The errors of a create call whose name is taken.
    already_exists: ClassVar[tuple[Refusal, ...]] = ()
    # The errors after which the engine reads the resource again and goes on: another change collides.
    collides: ClassVar[tuple[Refusal, ...]] = ()

    place: Place
    name: str
    tags: Mapping[str, str]

    @property
    def wanted(self) -> bool:
        """Whether the stack has this resource; if not, it is deleted when found."""
        return True

    @property
    @abstractmethod
    def arn(self) -> str: ...

    @property
    @abstractmethod
    def properties(self) -> Mapping[str, str]:
        """The declared values that s3agg sets, by label, as text for people."""

    @property
    @abstractmethod
    def cloudformation(self) -> Mapping[str, Mapping[str, Any]]:
        """The CloudFormation types of this resource, each with its properties.

        A Resource among the values stands for its `!Ref`. Empty if CloudFormation cannot create it.
        """

    def arn_of(self, found: F) -> str:  # noqa: ARG002  # for resources whose ARN AWS chooses
        """Return the ARN of the found resource."""
        return self.arn

    @abstractmethod
    def find(self, snapshot: Snapshot) -> F | None:
        """Read the resource; None only if the service answers that it does not exist."""

    @abstractmethod
    def create(self, aws: Aws) -> None: ...

    @abstractmethod
    def update(self, aws: Aws, found: F) -> None:
        """Change only the properties that differ."""

    def attach(self, aws: Aws, found: F | None) -> None:
        """Do what needs the `attached_fields`, and the `early_fields` with their attachments.

        `found` is from before the create or update.
        """

    @abstractmethod
    def delete(self, aws: Aws, found: F) -> None:
        """Delete the resource; no error if it no longer exists."""

    def differences(self, found: F) -> list[Difference]:
        """Return the properties and tags that differ from the declared ones; empty means no drift."""
        pairs = [
            (label, value, found.properties.get(label, ABSENT)) for label, value in self.properties.items()
        ]
        if found.tags is not None:
            pairs += [(f"tag {key}", value, found.tags.get(key, ABSENT)) for key, value in self.tags.items()]
        return [Difference(*pair) for pair in pairs if pair[1] != pair[2]]

    def owner(self, found: F) -> Owner:
        """Return the owner by the tags: this stack, another stack, or none if untagged."""
        if found.tags is None:
            return OURS
        tags = [tag for tag in (STACK_TAG, REGION_TAG) if tag in self.tags]
        for tag, words in (
            (STACK_TAG, "belongs to stack {}"),
            (REGION_TAG, "belongs to the stack of this name in {}"),
        ):
            if tag in tags and (named := found.tags.get(tag, self.tags[tag])) != self.tags[tag]:
                region = named if tag == REGION_TAG else ""
                return Owner(ours=False, reason=words.format(named), region=region)
        missing = [tag for tag in tags if tag not in found.tags]
        return Owner(ours=False, adoptable=True, reason=f"has no tag {missing[0]}") if missing else OURS

    def missing_tags(self, found: F) -> dict[str, str]:
        return {key: value for key, value in self.tags.items() if (found.tags or {}).get(key) != value}

    def differs(self, found: F, *labels: str) -> bool:
        """Whether any of the properties with these labels differs."""
        return any(each.what in labels for each in self.differences(found))

    @property
    def key(self) -> tuple[str, str]:
        """The kind and the name, which are unique within a stack."""
        return self.kind, self.name

    @property
    def needs(self) -> list[Resource[Any]]:
        """The dependencies: the resources in the fields."""
        return [item for each in fields(self) for item in self._in_field(each.name)]

    @property
    def attachments(self) -> list[Resource[Any]]:
        """The dependencies of the `attached_fields`."""
        return [item for name in self.attached_fields for item in self._in_field(name)]

    @property
    def early(self) -> list[Resource[Any]]:
        """The dependencies of the `early_fields`."""
        return [item for name in self.early_fields for item in self._in_field(name)]

    def _in_field(self, name: str) -> list[Resource[Any]]:
        value = getattr(self, name)
        items = value if isinstance(value, tuple) else (value,)
        return [item for item in items if isinstance(item, Resource)]


def tag_list(tags: Mapping[str, str]) -> list[Any]:
    """Return tags in the form of most AWS APIs."""
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def tag_dict(tags: Iterable[Any]) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in tags}


def canonical(document: Mapping[str, Any]) -> str:
    """Return a policy document as text, equal for equal meanings: orders and lists of one do not count."""

    def plain(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {key: plain(item) for key, item in value.items()}
        if isinstance(value, list):
            items = sorted((plain(item) for item in value), key=lambda item: json.dumps(item, sort_keys=True))
            return items[0] if len(items) == 1 else items
        return value

    return json.dumps(plain(document), sort_keys=True)
