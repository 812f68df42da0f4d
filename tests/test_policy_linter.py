"""An IAM policy linter finds nothing in any of our policies."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from s3agg import assets, operator_policy
from s3agg import stack as stacks
from s3agg.resources.iam import Policy
from s3agg.resources.s3 import KeyFilter
from s3agg.settings import Names, Settings
from tests.support.aws import PLACE

BOUNDARY = PLACE.iam("policy/Boundary")


def stack(boundary: str | None) -> stacks.Stack:
    settings = Settings(permissions_boundary=boundary)
    return stacks.make(PLACE, Names(), settings, {"uploads": KeyFilter(), "photos.example": KeyFilter()})


def findings(folder: Path, policies: dict[str, Any]) -> dict[str, list[str]]:
    """What the linter finds, by policy. It is run as a command: importing it warns, of itself."""
    for name, document in policies.items():
        (folder / f"{name}.json").write_text(json.dumps(document))
    command = [sys.executable, "-W", "ignore", "-m", "parliament.cli", "--directory", str(folder), "--json"]
    ran = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)  # noqa: S603  # ours
    assert ran.stderr == ""
    found: dict[str, list[str]] = {}
    for finding in map(json.loads, ran.stdout.splitlines()):
        found.setdefault(Path(finding["location"]["filepath"]).stem, []).append(finding["issue"])
    return found


def test_the_linter_finds_nothing_in_any_policy(tmp_path: Path) -> None:
    (trust,) = assets.policy("lambda-trust", {})["Statement"]
    mistake = {"Sid": "Mistake", "Effect": "Allow", "Action": "s3:Nonsense", "Resource": "*"}
    policies = {
        "a-mistake": {"Version": "2012-10-17", "Statement": [mistake]},
        "operator": operator_policy.document(stack(None)),
        "operator-with-boundary": operator_policy.document(stack(BOUNDARY)),
        # The linter knows no trust policies: they have no resource, as they belong to one.
        "trust": {"Version": "2012-10-17", "Statement": [{**trust, "Resource": PLACE.iam("role/Ours")}]},
        **{each.name: each.document for each in stack(None).resources if isinstance(each, Policy)},
    }

    assert len(policies) == 8
    assert findings(tmp_path, policies) == {"a-mistake": ["UNKNOWN_ACTION"]}
