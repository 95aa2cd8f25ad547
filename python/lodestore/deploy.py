"""What administrators do to deployed schemas."""

from __future__ import annotations

from typing import Any

from . import _lodestore
from .connection import Connection
from .errors import DataJointError, WrongValueError
from .schemas import Schema
from .table import Table

__all__ = ["add_prov_column", "set_replica_identity"]


def set_replica_identity(target: Any, mode: str = "full", dry_run: bool = True) -> dict[str, Any]:
    """Sets the replica identity of the tables of a schema, or of one table (PostgreSQL only).

    ``mode``: ``"full"`` or ``"default"``. Returns ``tables_analyzed``, ``tables_modified`` and the statements (``ddl``).
    """
    if not isinstance(mode, str) or mode.lower() not in ("full", "default"):
        raise WrongValueError(f"mode must be 'full' or 'default', not {mode!r}")
    connection, schema, tables = _tables_of(target)
    if connection.backend != "postgresql":
        raise DataJointError(f"replica identity is a matter of PostgreSQL; this database is {connection.backend}")
    full = mode.lower() == "full"
    ddl = [connection._native.replica_identity(schema, table, full, dry_run) for table in tables]
    return {"tables_analyzed": len(tables), "tables_modified": 0 if dry_run else len(tables), "ddl": ddl}


def add_prov_column(target: Any, dry_run: bool = True) -> dict[str, Any]:
    """Adds the hidden provenance column to the Manual tables of a schema, or to one table, that lack it.

    Returns ``tables_analyzed``, ``tables_modified``, ``columns_added``, ``ddl`` and ``details``. With ``dry_run``
    nothing changes, and ``details`` and ``ddl`` say what would.
    """
    return _add_hidden(target, ("manual",), dry_run, provenance=True)


def _tables_of(target: Any) -> tuple[Connection, str, list[str]]:
    """The connection, schema and stored table names that a schema or a table stands for."""
    if isinstance(target, Schema):
        connection, schema = target._assert_activated()
        return connection, schema, target.list_tables()
    if isinstance(target, type) and issubclass(target, Table):
        target = target()
    if not isinstance(target, Table) or target.database is None:
        raise DataJointError(f"a schema or a declared table is needed, not {target!r}")
    return target.connection, target.database, [target.table_name]


def _add_hidden(
    target: Any, tiers: tuple[str, ...], dry_run: bool, job_metadata: bool = False, provenance: bool = False
) -> dict[str, Any]:
    connection, schema, tables = _tables_of(target)
    tables = [t for t in tables if _lodestore.table_tier(t)[0] in tiers]
    details: list[dict[str, Any]] = []
    modified = added = 0
    ddl: list[str] = []
    for table in tables:
        plan = connection._native.add_hidden_columns(schema, table, job_metadata, provenance)
        changes = plan.changes
        status = "unchanged"
        if changes:
            ddl += plan.statements
            status = "planned"
            if not dry_run:
                plan.execute()
                status = "altered"
                modified += 1
                added += len(changes)
        details.append({"table": f"{schema}.{table}", "columns": len(changes), "changes": changes, "status": status})
    return {
        "tables_analyzed": len(tables),
        "tables_modified": modified,
        "columns_added": added,
        "ddl": ddl,
        "details": details,
    }
