"""Provenance of inserted rows (``config.provenance``)."""

from __future__ import annotations

from typing import Any

from . import settings


def capture_enabled() -> bool:
    """True if inserts into Manual tables record where rows come from."""
    return bool(settings.global_config()["provenance.capture"])


def source() -> dict[str, Any]:
    """The configured description of the source."""
    return settings.global_config()["provenance.source"] or {}
