"""Base tables: insert, update, delete, drop, describe."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, overload

from . import _lodestore
from .condition import check_limit
from .connection import default_connection
from .errors import DataJointError, UnsupportedError, WrongValueError
from .expression import QueryExpression
from .heading import Heading
from .logging import logger
from .utils import user_choice

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from .connection import Connection
    from .staged_insert import StagedInsert

__all__ = ["FreeTable", "Table", "ValidationResult"]


@dataclass
class ValidationResult:
    """What :meth:`Table.validate` found; true if nothing is wrong."""

    is_valid: bool
    errors: list[tuple[int, str | None, str]] = field(default_factory=list)
    rows_checked: int = 0

    def __bool__(self) -> bool:
        return self.is_valid

    def raise_if_invalid(self) -> None:
        """Raises :class:`DataJointError` with the summary if anything is wrong."""
        if not self.is_valid:
            raise DataJointError(self.summary())

    def summary(self) -> str:
        """One line of success, or a headline and up to ten findings."""
        if self.is_valid:
            return f"Validation passed: {self.rows_checked} rows checked"
        lines = [f"Validation failed: {len(self.errors)} errors in {self.rows_checked} rows"]
        for row, name, message in self.errors[:10]:
            lines.append(f"  row {row}{f', attribute {name}' if name else ''}: {message}")
        if len(self.errors) > 10:
            lines.append(f"  … and {len(self.errors) - 10} more")
        return "\n".join(lines)


class Table(QueryExpression):
    """A table in the database. Use the tiers (:class:`~lodestore.user_tables.Manual`, …) or :class:`FreeTable`."""

    _table_name: str | None = None
    database: str | None = None
    _support: list[str] | None = None
    declaration_context: Mapping[str, Any] | None = None

    # -- identity --------------------------------------------------------------------------------------------------
    @property
    def table_name(self) -> str:
        """The stored name, with the prefix of the tier."""
        return self._table_name  # type: ignore[return-value]

    @property
    def class_name(self) -> str:
        """The name of the class."""
        return type(self).__name__

    @property
    def definition(self) -> str:
        """The definition text; classes set it as a plain attribute."""
        raise UnsupportedError(f"{type(self).__name__} has no `definition`; write it as a class attribute")

    @property
    def connection(self) -> Connection:
        if self._connection is None:
            raise _unbound(self)
        return self._connection

    @property
    def _native(self) -> _lodestore.Table:
        """The engine's table handle."""
        if self.database is None or self._connection is None:
            raise _unbound(self)
        return self._connection._native.table(self.database, self.table_name)

    @property
    def _query(self) -> _lodestore.Query:
        if self._query_handle is None:
            self._query_handle = self._native.query()
        return self._query_handle

    @property
    def full_table_name(self) -> str:
        """The quoted name as it stands in SQL."""
        return self._native.full_name

    @property
    def adapter(self) -> Any:
        """The text side of the database (quoting)."""
        return self.connection._native

    @property
    def is_declared(self) -> bool:
        """True if the table exists in the database."""
        return self._native.is_declared()

    @property
    def heading(self) -> Heading:
        """The attributes; loaded when first asked for."""
        if self._heading_cache is None:
            native = self._native
            attributes, comment, lineage = self._query.heading()
            self._heading_cache = Heading(attributes, comment, lineage, native.indexes)
        return self._heading_cache

    def get_select_fields(self, select_fields: Iterable[str] | None = None) -> str:
        """The select list of the table."""
        return self.heading.as_sql(select_fields or self.heading.names)

    def __reduce__(self) -> tuple[Any, ...]:
        if self._recipe is None:
            return (_table_of, (type(self),))
        return super().__reduce__()

    def __repr__(self) -> str:
        return super().__repr__() if self._is_bound else f"{type(self).__name__}(not bound to a schema)"

    def _repr_html_(self) -> str | None:
        return super()._repr_html_() if self._is_bound else None

    @property
    def _is_bound(self) -> bool:
        return self.database is not None and self._connection is not None

    # -- declaration -----------------------------------------------------------------------------------------------
    def declare(self, context: Mapping[str, Any] | None = None) -> None:
        """Creates the table from its definition, if it does not exist."""
        from .schemas import declare_table

        declare_table(type(self), context if context is not None else self.declaration_context or {})

    def alter(self, prompt: bool = True, context: Mapping[str, Any] | None = None) -> None:
        """Changes the declared table to a changed definition; the rows stay.

        Secondary attributes are added, dropped, renamed (``# {old_name} comment``), moved, or get another type, default
        or comment, and the comment of the table changes. The primary key, foreign keys and indexes stay what they are:
        a definition that changes them is a :class:`NotImplementedError`.

        Parameters
        ----------
        prompt
            Show what would change and ask first, if ``config['safemode']`` is on.
        context
            Where the names after ``->`` are looked up; default: as when the class was decorated.
        """
        from .schemas import alter_table, caller_context

        if context is None:
            context = self.declaration_context or caller_context(2, type(self))
        alter_table(type(self), context, prompt)
        self._heading_cache = None

    def describe(self, context: Mapping[str, Any] | None = None, printout: bool = False) -> str:
        """The definition that would declare the table as it is."""
        if context is None:
            from .schemas import caller_context

            context = caller_context(2, type(self))
        names = _class_names(context)

        def name_of(schema: str, table: str) -> str | None:
            return names.get((schema, table))

        text = self._native.describe(name_of)
        if printout:
            logger.info("\n%s", text)
        return text

    # -- relations -------------------------------------------------------------------------------------------------
    def parents(
        self, primary: bool | None = None, as_objects: bool = False, foreign_key_info: bool = False
    ) -> list[Any]:
        """Referenced tables, one entry per foreign key in the order of the definition.

        ``primary``: only foreign keys inside the primary key (True), or only the others (False).
        """
        return self._relatives(self._native.parents(), primary, as_objects, foreign_key_info)

    def children(
        self, primary: bool | None = None, as_objects: bool = False, foreign_key_info: bool = False
    ) -> list[Any]:
        """Tables that reference this one, one entry per foreign key."""
        return self._relatives(self._native.children(), primary, as_objects, foreign_key_info)

    def _relatives(
        self, edges: list[tuple[str, str, dict[str, Any]]], primary: bool | None, as_objects: bool, info: bool
    ) -> list[Any]:
        found = []
        for schema, table, data in edges:
            if primary is not None and data["primary"] != primary:
                continue
            element = self._element(schema, table, as_objects)
            found.append((element, data) if info else element)
        return found

    def _element(self, schema: str, table: str, as_object: bool) -> Any:
        if as_object:
            return FreeTable._of(self.connection, schema, table)
        return self.connection._native.table(schema, table).full_name

    def ancestors(self, as_objects: bool = False) -> list[Any]:
        """This table and everything it depends on, nearest first."""
        return [self._element(s, t, as_objects) for s, t in self._native.ancestors()]

    def descendants(self, as_objects: bool = False) -> list[Any]:
        """This table and everything that depends on it, nearest first."""
        return [self._element(s, t, as_objects) for s, t in self._native.descendants()]

    def parts(self, as_objects: bool = False) -> list[Any]:
        """The part tables."""
        return [self._element(s, t, as_objects) for s, t in self._native.parts()]

    # -- insert ----------------------------------------------------------------------------------------------------
    def insert(
        self,
        rows: Any,
        replace: bool = False,
        skip_duplicates: bool = False,
        ignore_extra_fields: bool = False,
        allow_direct_insert: bool | None = None,
        chunk_size: int | None = None,
        *,
        atomic: bool = False,
    ) -> None:
        """Inserts rows: all of them, or none.

        Parameters
        ----------
        rows
            Mappings, sequences in heading order, NumPy records, a pandas or polars frame, a pyarrow table, the path of a
            CSV file (:class:`pathlib.Path`), or a query (``INSERT … SELECT``).
        replace
            Replace rows with the same primary key.
        skip_duplicates
            Leave rows with the same primary key as they are.
        ignore_extra_fields
            Ignore names that the table does not have.
        allow_direct_insert
            Allow inserting into an Imported or Computed table outside its ``make``.
        chunk_size
            Commit so many rows at a time (all or none with ``atomic``).

        Raises
        ------
        DuplicateError, IntegrityError, MissingAttributeError, DataError
            As the database or the checks before it find.
        """
        self._check_direct(allow_direct_insert)
        if isinstance(rows, type) and issubclass(rows, QueryExpression):
            rows = rows()
        if isinstance(rows, QueryExpression):
            if chunk_size is not None:
                raise DataJointError("chunk_size makes no sense for a query; the rows never leave the database")
            self._native.insert_select(rows._query, replace, skip_duplicates, ignore_extra_fields)
            return
        self._native.insert(
            _rows(rows),
            replace=replace,
            skip_duplicates=skip_duplicates,
            ignore_extra_fields=ignore_extra_fields,
            chunk_size=check_limit(chunk_size, "chunk_size"),
            atomic=atomic,
        )

    def insert1(self, row: Any, **kwargs: Any) -> None:
        """Inserts one row; options as of :meth:`insert`."""
        self.insert((row,), **kwargs)

    def insert_dataframe(self, df: Any, index_as_pk: bool | None = None, **insert_options: Any) -> None:
        """Inserts the rows of a pandas DataFrame.

        ``index_as_pk``: the index holds the primary key. Default: if its names say so.
        """
        if not (type(df).__module__.startswith("pandas") and type(df).__name__ == "DataFrame"):
            raise DataJointError(f"insert_dataframe takes a pandas DataFrame, not {type(df).__name__}")
        names = set(df.index.names)
        matches = names == set(self.primary_key)
        if index_as_pk is None:
            index_as_pk = matches
        if index_as_pk:
            if not matches:
                raise DataJointError(
                    f"the index {list(df.index.names)} does not hold the primary key {self.primary_key}"
                )
            df = df.reset_index()
        else:
            df = df.reset_index(drop=True)
        self.insert(df, **insert_options)

    def _check_direct(self, allow: bool | None) -> None:
        """Auto-populated tables refuse rows from outside their ``make``."""

    def update1(self, row: Mapping[str, Any]) -> None:
        """Changes secondary attributes of one row, found by its primary key. ``None`` resets to the default."""
        if not isinstance(row, Mapping):
            raise DataJointError(f"update1 takes a mapping, not {type(row).__name__}")
        if self._query.is_restricted():
            raise DataJointError("update1 works on the whole table; put the key into the row instead of restricting")
        self._native.update1(dict(row))

    def validate(self, rows: Any, *, ignore_extra_fields: bool = False) -> ValidationResult:
        """Checks rows as :meth:`insert` would, without writing anything."""
        issues, count = self._native.validate(_rows(rows), ignore_extra_fields)
        return ValidationResult(not issues, issues, count)

    @property
    def staged_insert1(self) -> AbstractContextManager[StagedInsert]:
        """A ``with`` block that writes objects straight to the store and inserts the row at its end."""
        from .staged_insert import staged_insert1

        return staged_insert1(self)

    # -- delete ----------------------------------------------------------------------------------------------------
    def delete(
        self,
        transaction: bool = True,
        prompt: bool | None = None,
        part_integrity: str = "enforce",
        *,
        dry_run: bool = False,
    ) -> Any:
        """Deletes the rows of this (restricted) table and all rows that depend on them.

        Parameters
        ----------
        transaction
            False: never ask.
        prompt
            Show the counts and ask first; default ``config['safemode']``.
        part_integrity
            ``"enforce"``: refuse if a part row would go without its master row; ``"ignore"``: let it; ``"cascade"``:
            delete the master rows as well.
        dry_run
            Only count: a dict of full table name → rows.

        Returns
        -------
        int
            Rows deleted from this table; 0 if declined.
        """
        if part_integrity not in ("enforce", "ignore", "cascade"):
            raise WrongValueError(f"part_integrity must be 'enforce', 'ignore' or 'cascade', not {part_integrity!r}")
        prompt = self.connection.config["safemode"] if prompt is None else prompt
        ask = None
        if prompt and transaction and not dry_run:
            if self.connection.in_transaction:
                raise DataJointError("delete cannot ask inside a transaction; use prompt=False")
            ask = self._ask_delete
        deleted, counts, executed = self._native.delete(self._query, transaction, part_integrity, dry_run, ask)
        if dry_run:
            return dict(counts)
        if executed and prompt:
            logger.info("Deletes committed.")
        return deleted

    def _ask_delete(self, counts: list[tuple[str, int]]) -> bool:
        for name, count in counts:
            if count:
                logger.info("Deleting %d rows from %s", count, name)
        if not any(count for _, count in counts):
            logger.warning("Nothing to delete.")
            return False
        if user_choice("Commit deletes?", default="no") == "yes":
            return True
        logger.warning("Deletes cancelled")
        return False

    def delete_quick(self, get_count: bool = False) -> int | None:
        """Deletes the rows of this table alone, without asking; an error if other rows depend on them."""
        count = self._native.delete_quick(self._query)
        return count if get_count else None

    def drop(self, prompt: bool | None = None, part_integrity: str = "enforce") -> None:
        """Drops the table and everything that depends on it, after asking (``config['safemode']``)."""
        if part_integrity not in ("enforce", "ignore"):
            raise WrongValueError(f"part_integrity must be 'enforce' or 'ignore', not {part_integrity!r}")
        if self._query.is_restricted():
            raise DataJointError("a restricted table cannot be dropped; use delete() to remove rows")
        prompt = self.connection.config["safemode"] if prompt is None else prompt

        def ask(counts: list[tuple[str, int]]) -> bool:
            for name, count in counts:
                logger.info("%s (%d tuples)", name, count)
            return user_choice("Proceed?", default="no") == "yes"

        if self._native.drop(part_integrity, ask if prompt else None):
            logger.info("Tables dropped.")
        self._heading_cache = None

    def drop_quick(self) -> None:
        """Drops this table alone, without asking; does nothing if it is not declared."""
        self._native.drop_quick()


class FreeTable(Table):
    """A table known by its full name only.

    >>> dj.FreeTable("lab.subject")
    >>> dj.FreeTable(connection, "lab.subject")
    """

    @overload
    def __init__(self, full_table_name: str, /) -> None: ...
    @overload
    def __init__(self, connection: Connection | None, full_table_name: str) -> None: ...
    def __init__(self, connection: Any, full_table_name: str | None = None):
        if full_table_name is None:
            connection, full_table_name = None, connection
        schema, table = _lodestore.split_table_name(full_table_name)
        self._connection = default_connection(connection, "FreeTable(name)")
        self.database = schema
        self._table_name = table

    @classmethod
    def _of(cls, connection: "Connection", schema: str, table: str) -> "FreeTable":
        new = cls.__new__(cls)
        new._connection, new.database, new._table_name = connection, schema, table
        return new

    @property
    def class_name(self) -> str:
        """The class name that the stored name stands for."""
        return _lodestore.table_to_class(self.table_name)

    def __reduce__(self) -> NoReturn:
        raise TypeError("FreeTable is not pickled; pickle its full_table_name")

    def __repr__(self) -> str:
        return f"FreeTable({self.full_table_name})\n" + super().__repr__()


def _table_of(cls: type) -> Table:
    return cls()


def _unbound(table: Table) -> DataJointError:
    return DataJointError(
        f"{type(table).__name__} is not bound to a schema: decorate it with @schema, and activate the schema"
    )


def _class_names(context: Mapping[str, Any]) -> dict[tuple[str, str], str]:
    """(schema, table) → the name by which a context knows the class, to module depth 3."""
    from types import ModuleType

    found: dict[tuple[str, str], str] = {}
    seen: set[int] = set()

    def visit(space: Mapping[str, Any], prefix: str, depth: int) -> None:
        for name, value in list(space.items()):
            if name.startswith("_") or not name.isidentifier():
                continue
            if isinstance(value, type) and issubclass(value, Table):
                schema, table = getattr(value, "database", None), getattr(value, "table_name", None)
                if schema and table and (value.__module__ != __name__):
                    found.setdefault((schema, table), prefix + name)
                    for part_name, part in list(vars(value).items()):
                        if isinstance(part, type) and issubclass(part, Table) and getattr(part, "database", None):
                            found.setdefault((str(part.database), str(part.table_name)), f"{prefix}{name}.{part_name}")
            elif isinstance(value, ModuleType) and depth > 0 and id(value) not in seen:
                if value.__name__.split(".")[0] in sys.stdlib_module_names or value.__name__.startswith("lodestore"):
                    continue
                seen.add(id(value))
                visit(vars(value), f"{prefix}{name}.", depth - 1)

    visit(context, "", 3)
    return found


def _rows(rows: Any) -> Any:
    """Whatever rows the user has, as an iterable of mappings, records or sequences."""
    kind = type(rows)
    module = kind.__module__.partition(".")[0]
    if module == "pandas" and kind.__name__ == "DataFrame":
        unnamed = rows.index.nlevels == 1 and rows.index.names[0] is None
        return rows.reset_index(drop=unnamed).to_dict("records")
    if module == "polars" and kind.__name__ == "LazyFrame":
        rows = rows.collect()
        return rows.to_dicts()
    if module == "polars" and kind.__name__ == "DataFrame":
        return rows.to_dicts()
    if module == "pyarrow" and kind.__name__ in ("Table", "RecordBatch"):
        return rows.to_pylist()
    if isinstance(rows, Path):
        return _csv_rows(rows)
    if isinstance(rows, Mapping):
        raise DataJointError("insert takes rows, not one row; use insert1(row) for a single mapping")
    if isinstance(rows, (str, bytes)) or not isinstance(rows, Iterable) and not hasattr(rows, "dtype"):
        raise DataJointError(f"insert takes rows, not {kind.__name__}")
    return rows


def _csv_rows(path: Path) -> list[dict[str, Any]]:
    with path.open(newline="") as file:
        found = list(csv.DictReader(file))
    for number, row in enumerate(found):
        if None in row:
            raise WrongValueError(f"row {number} of {path} has more cells than the header has names")
    return found
