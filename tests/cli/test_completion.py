"""Names for shell completion: fast and without messages, or none."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Literal

import pytest

from s3agg.cli import completion
from tests.support import aws as support
from tests.support.aws import REGION, Session, World
from tests.support.roles import make_role

world = support.world


def names(kind: Literal["buckets", "stacks"], begin: str, session: Session) -> list[str]:
    """The names, however long a busy machine takes."""
    return completion.names(
        kind, begin, profile=None, region=REGION, endpoint_url=None, session=session, timeout_s=60
    )


def buckets(begin: str, session: Session | None = None) -> list[str]:
    session = session or Session().with_credentials()
    return names("buckets", begin, session)


def stacks(begin: str) -> list[str]:
    return names("stacks", begin, Session().with_credentials())


def test_buckets_are_those_that_begin_so(world: World) -> None:
    for name in ("photos", "photos.2026", "uploads"):
        world.bucket(name)

    assert buckets("pho") == ["photos", "photos.2026"]


def test_stacks_are_those_of_the_region_that_begin_so(world: World) -> None:
    for stack, region in (("S3EventAggregator", REGION), ("Storage-2", REGION), ("Storage-3", "us-west-2")):
        make_role(world, stack, region)
    make_role(world, "Photos", REGION)

    assert stacks("S") == ["S3EventAggregator", "Storage-2"]


@pytest.mark.usefixtures("world")
@pytest.mark.parametrize("name", ["a,b", "$(ls)", "a b"])
def test_a_name_that_a_shell_would_take_apart_is_left_out(name: str) -> None:
    session = Session().with_credentials()
    support.watch(session).answer("s3:ListBuckets", {"Buckets": [{"Name": name}]})

    assert buckets("", session) == []


def test_a_refusal_is_no_name_and_no_error(world: World) -> None:
    session = Session().with_credentials()
    support.watch(session).refuse("s3:ListBuckets", "AccessDenied")
    world.bucket("photos")

    assert buckets("", session) == []


def test_without_credentials_there_is_no_name_and_no_error(world: World) -> None:
    world.bucket("photos")

    assert buckets("", Session()) == []


@pytest.mark.parametrize("profile", ["with-mfa", "built-on-it"])
def test_nobody_is_asked_for_a_code_in_the_middle_of_a_line(
    world: World, tmp_path: Path, profile: str
) -> None:
    config = tmp_path / "config"
    config.write_text(
        "[profile with-mfa]\nmfa_serial = arn:aws:iam::123456789012:mfa/me\n"
        "[profile built-on-it]\nsource_profile = with-mfa\n"
    )
    session = Session(str(config)).with_credentials()
    session.set_config_variable("profile", profile)
    world.bucket("photos")

    assert buckets("", session) == []


def test_a_profile_that_asks_for_no_code_is_asked(world: World, tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text("[profile plain]\nsource_profile = plain\n[profile with-mfa]\nmfa_serial = me\n")
    session = Session(str(config)).with_credentials()
    session.set_config_variable("profile", "plain")
    world.bucket("photos")

    assert buckets("", session) == ["photos"]


def test_a_shell_does_not_wait_for_a_slow_answer() -> None:
    answered = threading.Event()

    def slow() -> list[str]:
        answered.wait(60)
        return ["too late"]

    found = completion.with_timeout(slow, 0.01)
    answered.set()

    assert found == []


def test_whatever_goes_wrong_ends_the_wait() -> None:
    def wrong() -> list[str]:
        raise RuntimeError("of whatever kind")

    assert completion.with_timeout(wrong, 60) == []
