"""Where attributes come from."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .connection import Connection


def get_schema_lineages(connection: Connection, schema: str) -> dict[str, str]:
    """``schema.table.attribute`` → origin, for all attributes of a schema that have one."""
    return connection._native.lineage(schema)


def get_table_lineages(connection: Connection, schema: str, table: str) -> dict[str, str]:
    """Attribute → origin, for one table."""
    prefix = f"{schema}.{table}."
    return {
        k.removeprefix(prefix): v for k, v in get_schema_lineages(connection, schema).items() if k.startswith(prefix)
    }


def lineage_table_exists(connection: Connection, schema: str) -> bool:
    """True if the schema records lineage."""
    return connection._native.lineage_table_exists(schema)


def rebuild_schema_lineage(connection: Connection, schema: str) -> None:
    """Recomputes the recorded lineage of a schema from its foreign keys."""
    connection._native.rebuild_lineage(schema)
