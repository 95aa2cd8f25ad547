"""Migration of existing schemas."""

from __future__ import annotations

from typing import Any

from .deploy import _add_hidden
from .errors import DataJointError, UnsupportedError
from .schemas import Schema, _all_subclasses, _declaration, _resolver
from .user_tables import UserTable


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


def add_job_metadata_columns(target: Any, dry_run: bool = True) -> dict[str, Any]:
    """Adds the hidden columns that tell how rows were made to the Imported and Computed tables of a schema, or to one.

    Returns ``tables_analyzed``, ``tables_modified``, ``columns_added``, ``ddl`` and ``details``. With ``dry_run``
    nothing changes, and ``details`` and ``ddl`` say what would.
    """
    return _add_hidden(target, ("imported", "computed"), dry_run, job_metadata=True)


def restore_markers(target: Any, dry_run: bool = True) -> dict[str, Any]:
    """Writes the markers that columns have lost: the ``:type:`` at the head of their comments in the database.

    Without its marker a codec attribute is raw data. What the types are, the definitions say: of one class, or of all
    classes in use of a schema. Columns that came through a foreign key get theirs too.
    """
    if isinstance(target, Schema):
        classes = [
            c
            for c in _all_subclasses(UserTable)
            if c.__dict__.get("database") == target.database
            and c.__dict__.get("_connection") is target.connection
            and isinstance(c.__dict__.get("definition"), str)
        ]
    elif isinstance(target, type) and issubclass(target, UserTable) and target.database is not None:
        classes = [target]
    else:
        raise DataJointError(f"a schema or a declared class is needed, not {target!r}")
    details, modified = [], 0
    for cls in classes:
        plan = cls._connection._native.restore_markers(
            *_declaration(cls), _resolver(cls, cls.declaration_context or {})
        )
        changes, kept = plan.changes, plan.ignored
        if changes and not dry_run:
            plan.execute()
            cls._heading = None
            modified += 1
        details.append({"table": f"{cls.database}.{cls.table_name}", "changes": changes, "left": kept})
    return {"tables_analyzed": len(classes), "tables_modified": modified, "details": details}


_LATER = (
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
    return ["add_job_metadata_columns", "rebuild_lineage", "restore_markers", *_LATER, *_OUT_OF_SCOPE]
