"""Credentials as people have them: profiles, SSO, roles, MFA codes, helper programs."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import pytest

from s3agg.local import ACCOUNT
from tests.e2e.support import Cli, LocalAws, Server, answering, user
from tests.support.terminal import running

pytestmark = pytest.mark.e2e

START = "https://example.awsapps.com/start"
KEYS = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
SSO = {"sso_account_id": ACCOUNT, "sso_role_name": "Operator", "region": "eu-west-3"}
TOKEN = {"startUrl": START, "region": "eu-west-3", "accessToken": "the-token"}
NOT_THERE, FAILED, USAGE = 3, 1, 2


def portal(status: int, answer: Mapping[str, object]) -> AbstractContextManager[Server]:
    """The SSO portal of an organization, on loopback."""
    headers = {"x-amzn-ErrorType": str(answer.get("__type", "")), "x-amzn-RequestId": "1"}
    return answering(status, json.dumps(answer), headers)


@dataclass(frozen=True)
class Home:
    """A user's home folder, with an AWS configuration."""

    cli: Cli

    def configure(self, sections: Mapping[str, Mapping[str, str]]) -> None:
        lines = [
            line
            for name, values in sections.items()
            for line in (f"[{name}]", *(f"{key} = {value}" for key, value in values.items()))
        ]
        self._write(Path(".aws", "config"), "\n".join(lines))

    def logged_in(self, session: str, expires: str) -> None:
        """As `aws sso login` leaves it."""
        name = hashlib.sha1(session.encode(), usedforsecurity=False).hexdigest()
        self._write(Path(".aws", "sso", "cache", f"{name}.json"), json.dumps({**TOKEN, "expiresAt": expires}))

    def _write(self, path: Path, text: str) -> None:
        file = self.cli.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")


@pytest.fixture
def home(world: LocalAws, tmp_path: Path) -> Home:
    """Somebody whose AWS is on this machine, but who has no keys in the environment."""
    url = world.machine.emulator.url
    return Home(user(tmp_path, AWS_ENDPOINT_URL=url, AWS_EC2_METADATA_DISABLED="true", S3AGG_OUTPUT="json"))


# Profiles


def test_a_profile_brings_its_keys_its_region_and_its_endpoint(home: Home) -> None:
    url = home.cli.environment["AWS_ENDPOINT_URL"]
    home.configure({"profile here": {**KEYS, "region": "eu-west-3", "endpoint_url": url}})
    cli = home.cli.set(AWS_ENDPOINT_URL=None)

    named, from_environment = cli("status", "--profile", "here"), cli.set(AWS_PROFILE="here")("status")

    # The advice names the profile only where it was passed.
    assert [(ran.code, ran.json["region"]) for ran in (named, from_environment)] == [
        (NOT_THERE, "eu-west-3")
    ] * 2


def test_a_region_that_is_given_goes_before_the_environments_and_that_before_the_profiles(home: Home) -> None:
    home.configure({"default": {**KEYS, "region": "eu-west-3"}})
    cli = home.cli.set(AWS_REGION="eu-west-2")

    ran = (home.cli("status"), cli("status"), cli("status", "--region", "eu-west-1"))

    assert [each.json["region"] for each in ran] == ["eu-west-3", "eu-west-2", "eu-west-1"]


def test_no_command_takes_a_profile_that_does_not_exist(home: Home) -> None:
    commands = (
        ("create", "--bucket", "uploads"),
        ("delete", "--yes"),
        ("status",),
        ("list",),
        ("test-upload",),
        ("logs",),
        ("redrive",),
        ("policy", "--bucket", "uploads"),
        ("cost", "--measured"),
    )
    with ThreadPoolExecutor(2) as pool:
        told = list(pool.map(lambda command: home.cli.set(AWS_PROFILE="nobody")(*command), commands))

    assert all(ran.is_one_line for ran in told), told
    assert {ran.code for ran in told} == {USAGE}
    assert all("(nobody)" in ran.stderr for ran in told)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"source_profile": "gone", "role_arn": "arn:aws:iam::1:role/r"}, '"gone" referenced in the profile'),
        ({"role_arn": "arn:aws:iam::1:role/r"}, "missing: source_profile or credential_source"),
        ({"sso_session": "gone", **SSO}, '"gone". Correct the AWS configuration'),
        ({"credential_process": "/nonexistent/program"}, "/nonexistent/program"),
        ({"credential_process": "false"}, "custom-process"),
        ({"credential_process": "echo nonsense"}, "Check credential_process"),
        (
            {"web_identity_token_file": "/nonexistent/token", "role_arn": "arn:aws:iam::1:role/r"},
            "/nonexistent/token",
        ),
    ],
)
def test_what_is_wrong_with_a_profile_is_one_line(home: Home, settings: dict[str, str], words: str) -> None:
    home.configure({"default": {"region": "eu-west-3", **settings}})

    ran = home.cli("status")

    assert ran.is_one_line, ran
    assert words in ran.stderr


def test_a_configuration_that_cannot_be_read_is_one_line(home: Home) -> None:
    home.configure({"default]\nnonsense\n[": {}})

    ran = home.cli("status")

    assert ran.is_one_line, ran
    assert "Unable to parse config file" in ran.stderr


# SSO


OLD, NEW = "2020-01-01T00:00:00Z", "2099-01-01T00:00:00Z"
PROFILES = {
    "profile direct": {"sso_start_url": START, "sso_region": "eu-west-3", **SSO},
    "profile work": {"sso_session": "corp", **SSO},
    "profile by-role": {"role_arn": "arn:aws:iam::1:role/r", "source_profile": "work", "region": "eu-west-3"},
    "sso-session corp": {"sso_start_url": START, "sso_region": "eu-west-3"},
}


@pytest.mark.parametrize("expires", [None, OLD])
@pytest.mark.parametrize(
    ("profile", "who"), [("direct", "direct"), ("work", "work"), ("by-role", "work")], ids=str
)
def test_who_is_not_logged_in_is_told_the_command_that_logs_in(
    home: Home, profile: str, who: str, expires: str | None
) -> None:
    home.configure(PROFILES)
    if expires:
        home.logged_in(START, expires)
        home.logged_in("corp", expires)

    ran = home.cli("status", "--profile", profile)

    assert ran.is_one_line, ran
    assert ran.code == FAILED
    assert ran.stderr.endswith(f"To log in, run: aws sso login --profile {who}.\n")


def test_a_token_that_the_portal_refuses_has_to_be_had_anew(home: Home) -> None:
    home.configure(PROFILES)
    home.logged_in("corp", NEW)

    with portal(401, {"__type": "UnauthorizedException", "message": "Session token not found"}) as refusing:
        ran = home.cli.set(AWS_ENDPOINT_URL_SSO=refusing.url, AWS_PROFILE="work")("status")

    assert ran.is_one_line, ran
    assert ran.stderr.endswith("To log in, run: aws sso login --profile work.\n")


def test_who_is_logged_in_has_the_credentials_of_the_portal(home: Home) -> None:
    home.configure(PROFILES)
    home.logged_in("corp", NEW)
    credentials = {"accessKeyId": "test", "secretAccessKey": "test", "sessionToken": "t"}

    with portal(200, {"roleCredentials": {**credentials, "expiration": 4_000_000_000_000}}) as giving:
        ran = home.cli.set(AWS_ENDPOINT_URL_SSO=giving.url)("status", "--profile", "work")

    assert (ran.code, ran.json["account"]) == (NOT_THERE, ACCOUNT), ran
    assert [each["x-amz-sso_bearer_token"] for each in giving.asked] == ["the-token"]


# Roles and MFA


@pytest.fixture
def role(world: LocalAws) -> str:
    """The ARN of a role that may be assumed."""
    iam, name = world.client("iam"), "Operator"
    if name not in {role["RoleName"] for role in iam.list_roles()["Roles"]}:
        iam.create_role(RoleName=name, AssumeRolePolicyDocument="{}")
    return f"arn:aws:iam::{ACCOUNT}:role/{name}"


def test_a_role_is_assumed_with_the_keys_of_its_source(home: Home, role: str) -> None:
    home.configure(
        {
            "profile keys": KEYS,
            "profile work": {"role_arn": role, "source_profile": "keys", "region": "eu-west-3"},
        }
    )

    ran = home.cli("status", "--profile", "work", "-v")

    assert (ran.code, ran.json["account"]) == (NOT_THERE, ACCOUNT), ran
    assert ran.calls[:2] == ["AssumeRole", "GetCallerIdentity"]


def test_a_role_is_assumed_in_the_region_that_is_given(home: Home, role: str) -> None:
    home.configure({"profile keys": KEYS, "profile work": {"role_arn": role, "source_profile": "keys"}})

    ran = home.cli("status", "--profile", "work", "--region", "eu-west-1")

    assert (ran.code, ran.json["region"]) == (NOT_THERE, "eu-west-1"), ran


@pytest.fixture
def with_mfa(home: Home, role: str) -> Home:
    device = f"arn:aws:iam::{ACCOUNT}:mfa/somebody"
    profile = {"role_arn": role, "source_profile": "keys", "mfa_serial": device, "region": "eu-west-3"}
    home.configure({"profile keys": KEYS, "profile work": profile})
    return home


def test_no_code_is_asked_for_where_there_is_no_terminal(with_mfa: Home) -> None:
    ran = with_mfa.cli("status", "--profile", "work", input="123456\n")

    assert ran.is_one_line, ran
    assert "requires an MFA code, but there is no terminal" in ran.stderr


def test_a_code_is_asked_for_on_a_terminal_and_once_for_several_commands(with_mfa: Home) -> None:
    cli = with_mfa.cli
    command = [*cli.command, "status", "--profile", "work"]
    with running(command, cli.environment, cli.folder) as terminal:
        terminal.look_until(lambda terminal: "MFA code for" in terminal.text)
        os.write(terminal.keyboard, b"123456\n")
        code = terminal.wait()
    again = with_mfa.cli("status", "--profile", "work")

    assert code == NOT_THERE
    assert b"123456" not in terminal.written
    assert again.code == NOT_THERE
    assert "MFA code for" not in again.stderr
