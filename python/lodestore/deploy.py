"""What administrators do to deployed schemas."""

from __future__ import annotations

from typing import Any

from .errors import DataJointError, UnsupportedError


def set_replica_identity(target: Any, mode: str = "full", dry_run: bool = True) -> dict[str, Any]:
    """Sets the replica identity of PostgreSQL tables; an error on other databases."""
    if mode.lower() not in ("full", "default"):
        raise DataJointError(f"mode must be 'full' or 'default', not {mode!r}")
    raise DataJointError("replica identity is a matter of PostgreSQL, which this version does not connect to")


def add_prov_column(target: Any, dry_run: bool = True) -> dict[str, Any]:
    """Adds the hidden provenance column to Manual tables (not available in this version)."""
    raise UnsupportedError(
        "add_prov_column is not available in this version; tables declared with provenance.capture have it"
    )
