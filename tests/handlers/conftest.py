"""Every test has a world of its own, and sees the handlers' INFO lines."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from tests.support.handlers import Account, Instances, a_clean_environment, an_account


@pytest.fixture(scope="module")
def account() -> Iterator[Account]:
    with an_account() as account:
        yield account


@pytest.fixture
def world(account: Account) -> Iterator[Instances]:
    with a_clean_environment():
        yield Instances(account)
    account.clean()


@pytest.fixture(autouse=True)
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """What the handlers log; pytest gives their loggers their levels back after the test."""
    caplog.set_level(logging.INFO, "s3_aggregator")
    caplog.set_level(logging.INFO, "s3_sgw_refresh")
    return caplog
