"""The profiles of the AWS configuration: whose credentials one takes, and how to log in to get them."""

from __future__ import annotations

import getpass
import os
import shlex
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from botocore.credentials import Credentials
from botocore.session import Session
from botocore.utils import JSONFileCache

from s3agg.aws.refusals import describing_errors
from s3agg.errors import S3aggError

SSO = {"sso_session", "sso_start_url"}
# Where the AWS CLI keeps the sessions that it got for a code.
CACHE = os.path.join("~", ".aws", "cli", "cache")  # noqa: PTH118  # botocore takes a string


def lineage(session: Session) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The profile that is used, and each whose credentials the one before it takes: names and settings."""
    profiles: Mapping[str, Mapping[str, Any]] = session.full_config.get("profiles", {})
    name = session.profile or "default"
    seen = set()
    while name in profiles and name not in seen:
        seen.add(name)
        yield name, profiles[name]
        name = profiles[name].get("source_profile", "")


def log_in(session: Session) -> str:
    """The command that starts a session at the profile's SSO: in a chain of roles, of the one that has it."""
    name = next((name for name, profile in lineage(session) if SSO & profile.keys()), session.profile)
    if not name or name == "default":
        return "aws sso login"
    return f"aws sso login --profile {shlex.quote(name)}"


def wants_codes(session: Session) -> bool:
    """Whether botocore asks on the terminal for a code of MFA."""
    return any("mfa_serial" in profile for _, profile in lineage(session))


def remember_codes(session: Session) -> None:
    """Ask for an MFA code once a session, not with each command: AWS takes no code twice.

    Without MFA nothing is written down.
    """
    if wants_codes(session):
        roles = session.get_component("credential_provider").get_provider("assume-role")
        roles.cache = JSONFileCache(os.path.expanduser(CACHE))  # noqa: PTH111  # as CACHE


@contextmanager
def describing_credential_errors(session: Session, what: str) -> Iterator[None]:
    """Say in one line what keeps the credentials from being had in here, and what to do about it."""
    try:
        with describing_errors(what, log_in(session)):
            yield
    except (OSError, ValueError) as error:  # of a program or a file that the configuration names
        raise S3aggError(
            f"The AWS credentials cannot be had: {' '.join(str(error).split())}",
            "Check credential_process and web_identity_token_file, in the profile and the environment",
        ) from error


def unlock(credentials: Credentials) -> None:
    """Get the keys of a role or an SSO session now, before anything else is on the screen."""
    with warnings.catch_warnings():
        # That warning comes before a question on standard input, where nobody is or something else is meant.
        warnings.simplefilter("error", getpass.GetPassWarning)
        try:
            credentials.get_frozen_credentials()
        except (getpass.GetPassWarning, EOFError) as error:
            raise S3aggError(
                "The profile wants an MFA code, and there is no terminal to ask for it on",
                "Run this on a terminal, or with the AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and"
                " AWS_SESSION_TOKEN of a session",
            ) from error
