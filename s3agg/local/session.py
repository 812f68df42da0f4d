"""Botocore sessions for the emulator, independent of the user's AWS configuration."""

from __future__ import annotations

import os

import botocore.session
from botocore.config import Config

KEY = "test"  # access key and secret key of the emulator's root user


def isolated_session() -> botocore.session.Session:
    """A session that reads no profile and no configuration file: a broken one does no harm."""
    unset, nowhere = (None, None, None, None), (None, None, os.devnull, None)
    session = botocore.session.Session(
        session_vars={
            "profile": unset,
            "config_file": nowhere,
            "credentials_file": nowhere,
            "use_fips_endpoint": unset,
            "use_dualstack_endpoint": unset,
        }
    )
    session.set_credentials(KEY, KEY)
    # A proxy cannot reach loopback.
    session.set_default_client_config(Config(proxies={}))
    return session
