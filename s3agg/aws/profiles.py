"""The profiles of the AWS configuration: source profiles, SSO login and MFA codes."""

from __future__ import annotations

import getpass
import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from botocore.credentials import Credentials
from botocore.session import Session
from botocore.utils import JSONFileCache

from s3agg.aws.refusals import describing_errors
from s3agg.errors import S3aggError, shell_quoted

SSO = {"sso_session", "sso_start_url"}
# The AWS CLI caches its MFA sessions here.
CACHE = os.path.join("~", ".aws", "cli", "cache")  # noqa: PTH118  # botocore takes a string


def source_profiles(session: Session) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The profile in use, then each `source_profile` in turn: names and settings."""
    profiles: Mapping[str, Mapping[str, Any]] = session.full_config.get("profiles", {})
    name = session.profile or "default"
    seen = set()
    while name in profiles and name not in seen:
        seen.add(name)
        yield name, profiles[name]
        name = profiles[name].get("source_profile", "")


def login_command(session: Session) -> str:
    """The command that starts the SSO session of the profile, or of its source profile."""
    name = next((name for name, profile in source_profiles(session) if SSO & profile.keys()), session.profile)
    if not name or name == "default":
        return "aws sso login"
    return f"aws sso login --profile {shell_quoted(name)}"


def requires_mfa(session: Session) -> bool:
    """Whether botocore asks for an MFA code on the terminal."""
    return any("mfa_serial" in profile for _, profile in source_profiles(session))


def cache_mfa_sessions(session: Session) -> None:
    """Cache MFA sessions on disk, so that not every command asks for a code: AWS accepts a code once.

    Nothing is cached for a profile without MFA.
    """
    if requires_mfa(session):
        roles = session.get_component("credential_provider").get_provider("assume-role")
        roles.cache = JSONFileCache(os.path.expanduser(CACHE))  # noqa: PTH111  # as CACHE


@contextmanager
def describing_credential_errors(session: Session, action: str) -> Iterator[None]:
    """Turn errors that occur while credentials are loaded into one line with the next step."""
    try:
        with describing_errors(action, login_command(session)):
            yield
    except (OSError, ValueError) as error:  # from credential_process or web_identity_token_file
        raise S3aggError(
            f"Failed to load AWS credentials: {' '.join(str(error).split())}",
            "Check credential_process and web_identity_token_file in the profile and the environment",
        ) from error


def load_keys(credentials: Credentials) -> None:
    """Load the keys of a role or an SSO session now, before anything else is printed."""
    with warnings.catch_warnings():
        # getpass warns before it reads the code from standard input, which may be a pipe.
        warnings.simplefilter("error", getpass.GetPassWarning)
        try:
            credentials.get_frozen_credentials()
        except (getpass.GetPassWarning, EOFError) as error:
            raise S3aggError(
                "The profile requires an MFA code, but there is no terminal to ask on",
                "Run the command on a terminal, or set AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and"
                " AWS_SESSION_TOKEN",
            ) from error
