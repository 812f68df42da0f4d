"""Sessions that know nothing of the user: AWS on this machine has its own keys."""

from __future__ import annotations

import os

import botocore.session
from botocore.config import Config

KEY = "test"  # the emulator's root user


def of_nobody() -> botocore.session.Session:
    """A session that looks at no profile and no file of the user's: neither need exist, or be well."""
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
    # Loopback is not reached through a proxy.
    session.set_default_client_config(Config(proxies={}))
    return session
