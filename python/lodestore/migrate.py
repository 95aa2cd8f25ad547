"""Migration of existing schemas."""

from __future__ import annotations

from typing import Any

from .errors import UnsupportedError


def rebuild_lineage(schema: Any, dry_run: bool = True) -> dict[str, Any]:
    """Recomputes the lineage of a schema from its foreign keys."""
    tables = schema.list_tables()
    if not dry_run:
        schema.rebuild_lineage()
    return {
        "tables_analyzed": len(tables),
        "lineage_entries": len(schema.lineage),
        "status": "dry_run" if dry_run else "applied",
    }


_LATER = (
    "add_job_metadata_columns",
    "backup_schema",
    "restore_schema",
    "copy_table_data",
    "compare_query_results",
    "create_parallel_schema",
    "verify_schema_v20",
)
_OUT_OF_SCOPE = (
    "analyze_columns",
    "migrate_columns",
    "analyze_blob_columns",
    "generate_migration_sql",
    "migrate_blob_columns",
    "check_migration_status",
    "migrate_external",
    "migrate_filepath",
    "migrate_external_pointers_v2",
    "check_store_configuration",
    "verify_external_integrity",
)


def __getattr__(name: str) -> Any:
    if name in _LATER:
        message = f"migrate.{name} is not available in this version of lodestore"
    elif name in _OUT_OF_SCOPE:
        message = f"migrate.{name} upgrades 0.x pipelines on MySQL; use datajoint 2.x itself for that, then open the result here"
    else:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")

    def refuse(*_args: Any, **_kwargs: Any) -> Any:
        raise UnsupportedError(message)

    refuse.__name__, refuse.__doc__ = name, message
    return refuse


def __dir__() -> list[str]:
    return ["rebuild_lineage", *_LATER, *_OUT_OF_SCOPE]
