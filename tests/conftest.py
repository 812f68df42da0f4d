"""Fast tests reach no network; those marked e2e reach loopback only."""

from __future__ import annotations

import pytest
from pytest_socket import disable_socket, enable_socket, socket_allow_hosts

LOOPBACK = ["127.0.0.1", "::1"]


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("e2e") or item.get_closest_marker("enable_socket"):
        enable_socket()
        socket_allow_hosts(LOOPBACK, allow_unix_socket=True)
    else:
        disable_socket(allow_unix_socket=True)
