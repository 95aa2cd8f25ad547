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

from .errors import DataJointError
from .storage import ObjectWriter, SeekableWriter, StorageBackend, make_map, opened

if TYPE_CHECKING:
    from . import _lodestore
    from .settings import Config
    from .table import Table

__all__ = ["StagedInsert", "staged_insert1"]


class _StagedBackend(StorageBackend):
    """The store of a staged object. What is written goes through the object, which then need not read it back to know it."""

    def __init__(self, staged: _lodestore.StagedObject, config: Config | None):
        super().__init__(staged.store, config)
        self._staged = staged

    def _below(self, path: str) -> str | None:
        prefix = self._staged.path + "/"
        return path[len(prefix) :] if path.startswith(prefix) else None

    def put_buffer(self, buffer: bytes, path: str) -> None:
        relative = self._below(str(path))
        if relative is None:
            super().put_buffer(buffer, path)
        else:
            self._staged.set(relative, bytes(buffer))

    def _writer(self, path: str) -> _lodestore.ObjectWriter:
        relative = self._below(path)
        return super()._writer(path) if relative is None else self._staged.writer_at(relative)


class StagedInsert:
    """One row in the making, and its objects."""

    def __init__(self, table: Table):
        table._check_direct(None)
        self._config = table.connection.config
        self._native = table._native.staged_insert()
        #: The row to be inserted: set the primary key first, then write, then set the rest in any order.
        self.rec: dict[str, Any] = {}
        self._key = table.primary_key
        self._staged: dict[str, _lodestore.StagedObject] = {}
        self._files: list[tuple[Any, ObjectWriter | SeekableWriter]] = []

    @property
    def fs(self) -> Any:
        """The default store as an fsspec file system."""
        return StorageBackend(None, self._config).fs

    def store(self, field: str, ext: str = "") -> Any:
        """A mapping of the files of a folder object, for Zarr: ``zarr.open(staged.store("frames", ".zarr"), mode="w")``."""
        staged = self._stage(field, ext)
        return make_map(_StagedBackend(staged, self._config), staged.path)

    def open(self, field: str, ext: str = "", mode: str = "wb") -> Any:
        """An open file for an object that is one file. It appears in the store when it is closed.

        It is written from start to end. Mode ``"w+b"`` gives a file to move about in, as HDF5 needs; it is a local
        temporary file until it is closed.

        >>> with staged.open("data", ".h5", "w+b") as f, h5py.File(f, "w") as h5: h5["x"] = x
        """
        if not set(mode) & set("wx"):
            raise DataJointError(f"a staged object is written: mode {mode!r} cannot be used")
        staged = self._stage(field, ext)
        raw = (SeekableWriter if "+" in mode else ObjectWriter)(staged.writer(), staged.path)
        file = opened(raw, mode)
        self._files.append((file, raw))
        return file

    def _stage(self, field: str, ext: str) -> _lodestore.StagedObject:
        # The first use of a field decides its path; the key is in it.
        if field not in self._staged:
            key = {name: self.rec[name] for name in self._key if name in self.rec}
            self._staged[field] = self._native.object(key, field, ext)
        return self._staged[field]

    def _finish(self) -> None:
        for file, _ in self._files:
            file.close()
        row = {name: value for name, value in self.rec.items() if name not in self._staged}
        self.rec.update(self._native.commit(row))

    def _abort(self) -> None:
        for file, raw in self._files:
            raw.abort()
            file.close()
        self._native.abort()


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
