"""The variables of the emulator and the Storage Gateway."""

from __future__ import annotations

import pytest

from s3agg.local.machine import Machine


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, {"NO_PROXY": "127.0.0.1"}),
        ({"NO_PROXY": "corp.example"}, {"NO_PROXY": "corp.example,127.0.0.1"}),
        ({"NO_PROXY": "127.0.0.1,b"}, {"NO_PROXY": "127.0.0.1,b"}),
        ({"no_proxy": "a"}, {"NO_PROXY": "127.0.0.1", "no_proxy": "a,127.0.0.1"}),
    ],
    ids=["none", "another host", "there already", "in lower case"],
)
def test_requests_to_this_machine_need_no_proxy(
    environment: dict[str, str], expected: dict[str, str]
) -> None:
    assert Machine.without_proxy(environment) == expected
