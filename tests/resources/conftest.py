"""Every resource is tested on an account of its own."""

from __future__ import annotations

from tests.support.aws import world

__all__ = ["world"]
