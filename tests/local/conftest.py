"""Fixtures for the tests of the emulator and the Storage Gateway."""

from __future__ import annotations

import http.client
from collections.abc import Callable, Mapping
from typing import Any

import boto3
import pytest


@pytest.fixture(scope="session")
def client() -> Callable[..., Any]:
    """A boto3 client of a service at a URL, with made-up credentials."""
    # One session: it reads each service's model once.
    session = boto3.Session()
    test: dict[str, Any] = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}

    def make(service: str, url: str | None = None, **credentials: str) -> Any:
        return session.client(service, endpoint_url=url, region_name="us-east-1", **test | credentials)  # type: ignore[call-overload]

    return make


@pytest.fixture
def request_to() -> Callable[..., tuple[int, str]]:
    """Send a request with these headers to a port on loopback. Return status and text."""

    def send(
        port: int, path: str = "/", method: str = "GET", headers: Mapping[str, str] | None = None
    ) -> tuple[int, str]:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        try:
            connection.request(method, path, headers=dict(headers or {}))
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    return send
