"""demo: what it tells when its refresh does not come."""

from __future__ import annotations

from s3agg.commands import demo
from s3agg.errors import Advice, S3aggError


def test_a_demo_that_fails_advises_nothing_for_a_stack_that_is_gone() -> None:
    late = S3aggError("Timed out after 125 s", "To see why, run", Advice("status"))
    failure = S3aggError("Function S3EventAggregator: KeyError")

    assert str(demo.failed([late, failure])) == (
        "Timed out after 125 s. Function S3EventAggregator: KeyError."
        " This machine may be too slow or too busy. Run s3agg demo again, or with a smaller --count."
    )
