"""``staged_insert1``: write large objects straight to the store, then insert the row that names them.

>>> with Recording.staged_insert1 as staged:
...     staged.rec["recording_id"] = 7
...     z = zarr.open(staged.store("frames", ".zarr"), mode="w", shape=(10_000, 512, 512), dtype="u2")
...     for i, frame in enumerate(camera): z[i] = frame
...     with staged.open("notes", ".txt") as f: f.write(b"...")

When the block ends the objects are made durable and the row is inserted. If it ends by an exception, of any kind, or the
row cannot be inserted, the objects are removed again.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from . import _lodestore
from .errors import DataJointError, MissingAttributeError, UnknownAttributeError
from .storage import ObjectWriter, StorageBackend, make_map, opened

if TYPE_CHECKING:
    from .table import Table

__all__ = ["StagedInsert", "staged_insert1"]


class StagedInsert:
    """One row in the making, and its objects."""

    def __init__(self, table: Table):
        self._table = table
        #: The row to be inserted: set the primary key first, then write, then set the rest in any order.
        self.rec: dict[str, Any] = {}
        self._staged: dict[str, tuple[Any, StorageBackend]] = {}
        self._files: list[Any] = []

    @property
    def fs(self) -> Any:
        """The default store as an fsspec file system."""
        return StorageBackend(None, self._config).fs

    def store(self, field: str, ext: str = "") -> Any:
        """A mapping of the files of a folder object, for Zarr: ``zarr.open(staged.store("frames", ".zarr"), mode="w")``."""
        staged, backend = self._stage(field, ext)
        return make_map(backend, staged.path)

    def open(self, field: str, ext: str = "", mode: str = "wb") -> Any:
        """An open file for an object that is one file. It appears in the store when it is closed."""
        if not set(mode) & set("wx"):
            raise DataJointError(f"a staged object is written: mode {mode!r} cannot be used")
        staged, _ = self._stage(field, ext)
        file = opened(ObjectWriter(staged.writer(), staged.path), mode)
        self._files.append(file)
        return file

    @property
    def _config(self) -> Any:
        return self._table.connection.config

    def _stage(self, field: str, ext: str) -> tuple[Any, StorageBackend]:
        # The first use of a field decides its path; the key is in it.
        if field in self._staged:
            return self._staged[field]
        heading = self._table.heading
        if field not in heading.attributes:
            raise UnknownAttributeError(
                f"{self._table.full_table_name} has no attribute `{field}`",
                _lodestore.did_you_mean(field, list(heading.names)) or f"Its attributes: {', '.join(heading.names)}.",
            )
        attribute = heading[field]
        if attribute.codec != "object":
            raise DataJointError(f"only <object@> attributes can be staged; `{field}` is {attribute.original_type or attribute.type}")
        missing = [name for name in self._table.primary_key if self.rec.get(name) is None]
        if missing:
            raise MissingAttributeError(
                f"the primary key must be known before an object is staged: {', '.join(missing)} is not set",
                f"Set staged.rec[{missing[0]!r}] first.",
            )
        backend = StorageBackend(attribute.store, self._config)
        key = {name: self.rec[name] for name in self._table.primary_key}
        schema, table = self._table.database, self._table.table_name
        staged = _lodestore.StagedObject(backend._store, schema, table, key, field, ext)
        self._staged[field] = staged, backend
        return self._staged[field]

    def _finish(self) -> None:
        for file in self._files:
            file.close()
        for field, (staged, _) in self._staged.items():
            self.rec[field] = staged.finish()
        self._table.insert1(self.rec)

    def _abort(self) -> None:
        for file in self._files:
            raw = getattr(file, "raw", None) or getattr(getattr(file, "buffer", None), "raw", None)
            if raw is not None and not file.closed:
                raw._writer.abort()
        for staged, _ in self._staged.values():
            staged.abort()


@contextmanager
def staged_insert1(table: Table) -> Iterator[StagedInsert]:
    """The block behind ``Table.staged_insert1``."""
    staged = StagedInsert(table)
    try:
        yield staged
        staged._finish()
    except BaseException:
        staged._abort()
        raise
