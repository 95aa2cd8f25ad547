"""Stores as Python objects: for codecs that keep files of their own, and for tools that want a file system.

:class:`StorageBackend` reads and writes one configured store; :class:`ObjectFile` is an open object;
:func:`file_system` gives the store as an fsspec file system (fsspec is imported when first needed).
"""

from __future__ import annotations

import io
import json
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import _lodestore
from .errors import DataJointError, WrongValueError

if TYPE_CHECKING:
    from .settings import Config

__all__ = ["ObjectFile", "StorageBackend", "file_system"]


class ObjectFile(io.RawIOBase):
    """A stored object opened for reading. Reads by range where the store can."""

    def __init__(self, reader: _lodestore.ObjectReader, name: str):
        self._reader = reader
        self.name = name

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    @property
    def size(self) -> int:
        """Bytes of the object."""
        return self._reader.size

    def readinto(self, buffer: Any) -> int:
        import numpy as np

        if memoryview(buffer).nbytes == 0:
            return 0
        # Straight into the caller's memory, whatever type it has.
        return self._reader.readinto(np.frombuffer(buffer, np.uint8))

    def readall(self) -> bytes:
        return self._reader.read(-1)

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._reader.seek(offset, whence)

    def tell(self) -> int:
        return self._reader.seek(0, 1)

    def close(self) -> None:
        if not self.closed:
            self._reader.close()
        super().close()


class BufferedObject(io.BufferedReader):
    """An :class:`ObjectFile` behind a buffer: what ``ObjectRef.open()`` gives."""

    raw: ObjectFile

    @property
    def size(self) -> int:
        """Bytes of the object."""
        return self.raw.size


class ObjectWriter(io.RawIOBase):
    """A new object opened for writing. It appears when the file is closed, not before, and not after an exception in a
    ``with`` block."""

    def __init__(self, writer: _lodestore.ObjectWriter, name: str):
        self._writer = writer
        self._aborted = False
        self.name = name

    def abort(self) -> None:
        """Throws away what was written; closing then writes nothing."""
        self._aborted = True
        self._writer.abort()

    def writable(self) -> bool:
        return True

    def write(self, content: Any) -> int:
        if self._aborted:
            return len(content)  # what a buffer flushes while it is closed
        return self._writer.write(content)

    def tell(self) -> int:
        return self._writer.tell()

    def seek(self, offset: int, whence: int = 0) -> int:
        raise io.UnsupportedOperation(
            'this file is written from start to end; open it with mode "w+b" to move about in it'
        )

    def close(self) -> None:
        if not self.closed:
            self._writer.commit()
        super().close()


class SeekableWriter(io.FileIO):
    """A new object opened for writing anywhere in it, and for reading: a local temporary file (in ``TMPDIR``) until it is
    closed, when it is stored. It does not appear before, nor after an exception in a ``with`` block."""

    def __init__(self, writer: _lodestore.ObjectWriter, name: str):
        descriptor, path = tempfile.mkstemp(prefix="lodestore-")
        os.unlink(path)
        super().__init__(descriptor, "r+b")
        self._writer = writer
        self._aborted = False
        self.name = name

    def abort(self) -> None:
        """Throws away what was written; closing then stores nothing."""
        self._aborted = True
        self._writer.abort()

    def close(self) -> None:
        if self.closed:
            return
        try:
            if not self._aborted:
                self.seek(0)
                while piece := self.read(8 << 20):
                    self._writer.write(piece)
                self._writer.commit()
        except BaseException:
            self._writer.abort()
            raise
        finally:
            super().close()


class _BufferedWriter(io.BufferedWriter):
    def __exit__(self, kind: Any, value: Any, trace: Any) -> None:
        if kind is not None:
            self.raw.abort()  # type: ignore[attr-defined]
        super().__exit__(kind, value, trace)


class _BufferedRandom(io.BufferedRandom):
    def __exit__(self, kind: Any, value: Any, trace: Any) -> None:
        if kind is not None:
            self.raw.abort()  # type: ignore[attr-defined]
        super().__exit__(kind, value, trace)


class _TextWriter(io.TextIOWrapper):
    def __exit__(self, kind: Any, value: Any, trace: Any) -> None:
        if kind is not None:
            self.buffer.raw.abort()  # type: ignore[attr-defined]
        super().__exit__(kind, value, trace)


def opened(raw: io.RawIOBase, mode: str, **text_options: Any) -> Any:
    """The file object of a mode over a raw one: buffered, and as text without ``b``."""
    writes = raw.writable()
    buffer: Any = (_BufferedRandom if raw.readable() else _BufferedWriter) if writes else BufferedObject
    buffered = buffer(raw)
    if "b" in mode:
        return buffered
    return (_TextWriter if writes else io.TextIOWrapper)(buffered, **text_options)


class StorageBackend:
    """One store. Paths are relative to its location.

    Made by :func:`lodestore.hash_registry.get_store_backend` and ``SchemaCodec._get_backend``.
    """

    def __init__(
        self, name: str | None = None, config: Config | None = None, *, _link: _lodestore.StoreLink | None = None
    ):
        self._config = config
        self._name = name
        self.__store: _lodestore.Store | None = None
        self.__link: _lodestore.StoreLink | None = _link

    def _settings(self) -> Config:
        if self._config is None:
            from . import settings

            self._config = settings.global_config()
        return self._config

    @property
    def _store(self) -> _lodestore.Store:
        if self.__store is None:
            self.__store = _lodestore.Store.open(self._settings()._native, self.name)
        return self.__store

    @property
    def _link(self) -> _lodestore.StoreLink:
        if self.__link is None:
            self.__link = _lodestore.StoreLink.named(self._settings()._native, self._name)
        return self.__link

    @property
    def name(self) -> str | None:
        """The store's name; ``None`` for the default store."""
        return self._name if self.__link is None else self.__link.name

    @property
    def protocol(self) -> str:
        """``file``, ``memory``, …"""
        return self._link.protocol

    @property
    def spec(self) -> dict[str, Any]:
        """The store's specification."""
        return self._settings().get_store_spec(self.name or None)

    @property
    def fs(self) -> Any:
        """An fsspec file system."""
        return file_system(self)

    def put_buffer(self, buffer: bytes, path: str) -> None:
        """Writes bytes, replacing what is there."""
        self._store.put_bytes(str(path), bytes(buffer))

    def get_buffer(self, path: str) -> bytes:
        """The bytes of an object. ``MissingExternalFile`` if it is not there."""
        return self._link.read(str(path))

    def put_file(self, local_path: str | os.PathLike[str], path: str) -> None:
        """Copies a local file."""
        self._store.put_file(os.fspath(local_path), str(path))

    def get_file(self, path: str, local_path: str | os.PathLike[str]) -> None:
        """Copies an object to a local file, atomically."""
        self._store.download(str(path), os.fspath(local_path))

    def put_folder(self, local_path: str | os.PathLike[str], path: str) -> dict[str, Any]:
        """Copies a local folder, writes its manifest beside it, and returns the manifest."""
        return json.loads(self._store.put_folder(os.fspath(local_path), str(path)))

    def exists(self, path: str) -> bool:
        """True if there is an object, or a folder with objects, at this path."""
        return self._link.head(str(path)) is not None

    def isdir(self, path: str) -> bool:
        """True for a folder."""
        found = self._link.head(str(path))
        return found is not None and found[1]

    def size(self, path: str) -> int:
        """Bytes of an object."""
        found = self._link.head(str(path))
        if found is None:
            return len(self._link.read(str(path)))  # raises what a reader of a missing object gets
        return found[0]

    def open(self, path: str, mode: str = "rb") -> Any:
        """An open file for reading or for writing."""
        if set(mode) & set("wx"):
            return opened((SeekableWriter if "+" in mode else ObjectWriter)(self._writer(str(path)), str(path)), mode)
        if set(mode) & set("a+"):
            raise DataJointError(f"objects cannot be opened in mode {mode!r}: they are written once")
        content = _lodestore.ObjectHandle(json.dumps({"path": str(path), "size": None}), self._link)
        return opened(ObjectFile(content.open(), str(path)), mode)

    def _writer(self, path: str) -> _lodestore.ObjectWriter:
        return self._store.writer(path)

    def remove(self, path: str) -> None:
        """Deletes an object."""
        self._store.delete(str(path))

    def remove_folder(self, path: str) -> None:
        """Deletes everything below a folder."""
        self._store.delete_prefix(str(path))

    def get_fsmap(self, path: str) -> Any:
        """A mapping of what is below a path, for Zarr."""
        return make_map(self, path)

    def get_url(self, path: str) -> str:
        """The URL of an object."""
        return self._link.url(str(path))

    def full_path(self, path: str) -> str:
        """The path with the store's location."""
        return self._link.full_path(str(path))

    def local_path(self, path: str) -> Path | None:
        """The object's own file, if the store is a local directory."""
        return self._link.local_path(str(path))

    def __repr__(self) -> str:
        return f"<StorageBackend {self.name or '(default store)'}>"


def make_map(backend: StorageBackend, path: str) -> Any:
    """A mapping rooted at a path, which is also a context manager."""
    return _object_map_class()(_root(backend, path), file_system(backend))


def _root(backend: StorageBackend, path: str) -> str:
    local = backend.local_path(path)
    return os.fspath(local) if local is not None else str(path)


def file_system(backend: StorageBackend) -> Any:
    """The store as an fsspec file system: the local one for a file store (absolute paths), else one over the engine
    (paths relative to the location)."""
    import fsspec.implementations.local as local

    if backend.local_path("x") is not None:
        return local.LocalFileSystem(auto_mkdir=True)
    return _store_file_system_class()(backend=backend)


_classes: dict[str, type] = {}


def _object_map_class() -> type:
    if "map" not in _classes:
        from fsspec.mapping import FSMap

        class ObjectMap(FSMap):  # type: ignore[misc]  # fsspec is not typed
            """The files below an object, by relative path. Also a context manager, which does nothing more."""

            def _key_to_str(self, key: str) -> str:
                if {"", ".", ".."} & set(str(key).rstrip("/").split("/")) or "\0" in str(key):
                    raise WrongValueError(f"{key!r} is not a path below the object")
                return super()._key_to_str(key)

            def __enter__(self) -> ObjectMap:
                return self

            def __exit__(self, *_: Any) -> None:
                return None

        _classes["map"] = ObjectMap
    return _classes["map"]


def _store_file_system_class() -> type:
    if "fs" not in _classes:
        from fsspec import AbstractFileSystem

        class StoreFileSystem(AbstractFileSystem):  # type: ignore[misc]
            """A store as a file system."""

            protocol = "lodestore"
            cachable = False

            def __init__(self, backend: StorageBackend, **options: Any):
                super().__init__(**options)
                self.backend = backend

            def _info(self, path: str) -> dict[str, Any] | None:
                found = self.backend._link.head(self._strip_protocol(path))
                if found is None:
                    return None
                return {
                    "name": self._strip_protocol(path),
                    "size": found[0],
                    "type": "directory" if found[1] else "file",
                }

            def info(self, path: str, **_: Any) -> dict[str, Any]:
                found = self._info(path)
                if found is None:
                    raise FileNotFoundError(path)
                return found

            def exists(self, path: str, **_: Any) -> bool:
                return self._info(path) is not None

            def ls(self, path: str, detail: bool = True, **_: Any) -> list[Any]:
                path = self._strip_protocol(path).rstrip("/")
                found = self.info(path)
                entries = [found]
                if found["type"] == "directory":
                    names = self.backend._link.list_dir(path)
                    entries = [self.info(f"{path}/{name}" if path else name) for name, _ in names]
                return entries if detail else [entry["name"] for entry in entries]

            def cat_file(self, path: str, start: int | None = None, end: int | None = None, **_: Any) -> bytes:
                path = self._strip_protocol(path)
                size = self.info(path)["size"]
                first, last, _step = slice(start, end).indices(size)
                if (first, last) == (0, size):
                    return self.backend._link.read(path)
                return self.backend._link.read_range(path, first, max(first, last))

            def pipe_file(self, path: str, value: Any, mode: str = "overwrite", **_: Any) -> None:
                self.backend.put_buffer(value, self._strip_protocol(path))

            def _rm(self, path: str) -> None:
                self.backend.remove(self._strip_protocol(path))

            def makedirs(self, path: str, exist_ok: bool = False) -> None:
                """Folders need not be made."""

            def mkdir(self, path: str, create_parents: bool = True, **_: Any) -> None:
                """Folders need not be made."""

            def _open(self, path: str, mode: str = "rb", **_: Any) -> Any:
                return self.backend.open(self._strip_protocol(path), mode)

        _classes["fs"] = StoreFileSystem
    return _classes["fs"]
