"""The codecs that come with Lodestore, and :class:`NpyRef`.

The work is the engine's; the classes here give it the face of :class:`~lodestore.codecs.Codec`, so that user codecs can
derive from them or call them.
"""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from . import _lodestore
from .codecs import Codec
from .errors import DataJointError, ValueTypeError
from .indexing import Index
from .objectref import confirmed
from .progress import bar
from .settings import global_config
from .storage import StorageBackend

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from .settings import Config

__all__ = [
    "AttachCodec",
    "AttachFileType",
    "BlobCodec",
    "FilepathCodec",
    "HashCodec",
    "NpyCodec",
    "NpyRef",
    "ObjectCodec",
    "SchemaCodec",
    "load_all",
]


# -- codecs ------------------------------------------------------------------------------------------------------------


def _about(key: dict[str, Any] | None, context: dict[str, Any] | None) -> tuple[str, str, str, dict[str, Any]]:
    """Schema, table, attribute and primary key that an encode is for, from either way of saying so."""
    key = key or {}
    primary = {name: value for name, value in key.items() if not name.startswith("_")}
    if context and "schema" in context:
        return context["schema"], context.get("table", "unknown"), context.get("field", "data"), primary
    if "_schema" in key:
        warnings.warn(
            "reading schema, table and field from `key` is deprecated; take a `context` argument", DeprecationWarning, 3
        )
    return key.get("_schema", "unknown"), key.get("_table", "unknown"), key.get("_field", "data"), primary


def _native_config(
    key: dict[str, Any] | None = None, context: dict[str, Any] | None = None, config: Config | None = None
) -> _lodestore.Config:
    return (config or Codec._codec_config(key, context) or global_config())._native


class _Builtin(Codec, register=False):
    """A codec of the engine."""

    _engine_name: str

    def get_dtype(self, is_store: bool) -> str:
        return _lodestore.codec_dtype(self._engine_name, is_store)

    def validate(self, value: Any) -> None:
        _lodestore.codec_validate(self._engine_name, value)

    def encode(
        self,
        value: Any,
        *,
        key: dict[str, Any] | None = None,
        context: dict[str, Any] | None = None,
        store_name: str | None = None,
    ) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            schema, table, field, primary = _about(key, context)
        config = _native_config(key, context)
        if store_name is None and self._needs_store():
            store_name = ""
        return _lodestore.codec_encode(self._engine_name, value, schema, table, field, primary, store_name, config)

    def decode(self, stored: Any, *, key: dict[str, Any] | None = None, context: dict[str, Any] | None = None) -> Any:
        return _lodestore.codec_decode(self._engine_name, stored, _native_config(key, context))

    def _needs_store(self) -> bool:
        return self._engine_name not in ("blob", "attach")


class BlobCodec(_Builtin, register=False):
    """``<blob>``, ``<blob@store>``: any Python value, serialised."""

    name = "blob"
    _engine_name = "blob"


class HashCodec(_Builtin, register=False):
    """``<hash@store>``: bytes, stored once however often they are inserted."""

    name = "hash"
    _engine_name = "hash"


class AttachCodec(_Builtin, register=False):
    """``<attach>``, ``<attach@store>``: a local file with its name; fetched into ``config["download_path"]``."""

    name = "attach"
    _engine_name = "attach"


class FilepathCodec(_Builtin, register=False):
    """``<filepath@store>``: a file that lies in the store already."""

    name = "filepath"
    _engine_name = "filepath"


class SchemaCodec(Codec, register=False):
    """Base of codecs whose files lie at paths that mirror schema, table and key.

    >>> class Video(dj.SchemaCodec):
    ...     name = "video"
    ...     def encode(self, frames, *, key=None, context=None, store_name=None):
    ...         schema, table, field, pk = self._extract_context(key, context)
    ...         path, _ = self._build_path(schema, table, field, pk, ext=".mp4", store_name=store_name)
    ...         self._get_backend(store_name).put_buffer(compress(frames), path)
    ...         return {"path": path, "store": store_name, "frames": len(frames)}
    ...     def decode(self, stored, *, key=None, context=None):
    ...         return expand(self._get_backend(stored["store"]).get_buffer(stored["path"]))
    """

    def get_dtype(self, is_store: bool) -> str:
        """``json``. The values live in a store, so the type needs an ``@``."""
        if not is_store:
            raise DataJointError(f"<{self.name}> keeps its values in a store: write <{self.name}@>")
        return "json"

    @staticmethod
    def _extract_context(
        key: dict[str, Any] | None, context: dict[str, Any] | None = None
    ) -> tuple[str, str, str, dict[str, Any]]:
        """(schema, table, field, primary key) of the value being encoded."""
        return _about(key, context)

    @staticmethod
    def _build_path(
        schema: str,
        table: str,
        field: str,
        primary_key: dict[str, Any],
        ext: str | None = None,
        store_name: str | None = None,
        config: Config | None = None,
    ) -> tuple[str, str]:
        """A fresh path for an object, and the random token in it."""
        store = _lodestore.Store.open(_native_config(config=config), store_name)
        path = store.schema_path(schema, table, dict(primary_key), field, ext or "")
        token = path.rsplit("/", 1)[-1][len(field) + 1 :]
        if ext:
            token = token.removesuffix(ext if ext.startswith(".") else f".{ext}")
        return path, token

    @staticmethod
    def _get_backend(store_name: str | None = None, config: Config | None = None) -> StorageBackend:
        """The store to write to and read from."""
        return StorageBackend(store_name, config)


class ObjectCodec(_Builtin, SchemaCodec, register=False):
    """``<object@store>``: a file or folder, fetched as a lazy :class:`~lodestore.objectref.ObjectRef`."""

    name = "object"
    _engine_name = "object"


class NpyCodec(_Builtin, SchemaCodec, register=False):
    """``<npy@store>``: an array as a portable ``.npy`` file, fetched as a lazy :class:`NpyRef`."""

    name = "npy"
    _engine_name = "npy"


INSTANCES: dict[str, Codec] = {
    codec.name: codec for codec in (BlobCodec(), HashCodec(), AttachCodec(), FilepathCodec(), ObjectCodec(), NpyCodec())
}


class AttachFileType(str):
    """A local path, marked as a file to attach. It is a plain ``str`` otherwise."""

    __slots__ = ()

    def __new__(cls, path: str | os.PathLike[str]) -> AttachFileType:
        return super().__new__(cls, os.fspath(path))


# -- lazy arrays -------------------------------------------------------------------------------------------------------


class NpyRef(NDArrayOperatorsMixin):
    """An array in a store that is read when it is needed.

    Shape, dtype and size cost nothing. ``np.asarray(ref)``, arithmetic and NumPy functions read the array once and keep
    it; slices of a reference that is not loaded read only what they need, and keep nothing.

    >>> ref = (Recording & key).fetch1("trace")
    >>> ref.shape, ref.is_loaded
    ((250000, 32), False)
    >>> ref[1000:2000].mean()        # reads 1000 rows
    >>> for block in ref.iter_rows(10_000): ...
    """

    __slots__ = ("_handle", "_cache", "__weakref__")
    __hash__ = object.__hash__
    # In-place operators would have to write into the store's array; they make a new one instead.
    for _name in "add sub mul matmul truediv floordiv mod pow lshift rshift and xor or".split():
        locals()[f"__i{_name}__"] = lambda self, other: NotImplemented
    del _name

    def __init__(self, metadata: dict[str, Any], backend: StorageBackend | None = None):
        link = getattr(backend, "_link", None)
        self._handle = _lodestore.NpyHandle(json.dumps(metadata), link)
        self._cache: NDArray[Any] | None = None

    @classmethod
    def _wrap(cls, handle: _lodestore.NpyHandle) -> NpyRef:
        ref = cls.__new__(cls)
        ref._handle = handle
        ref._cache = None
        return ref

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape."""
        return self._handle.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Element type."""
        return self._handle.dtype

    @property
    def ndim(self) -> int:
        """Number of dimensions."""
        return len(self._handle.shape)

    @property
    def size(self) -> int:
        """Number of elements."""
        return self._handle.size

    @property
    def nbytes(self) -> int:
        """Bytes of the elements."""
        return self._handle.nbytes

    @property
    def path(self) -> str:
        """Path in the store."""
        return self._handle.path

    @property
    def store(self) -> str | None:
        """Name of the store."""
        return self._handle.store

    @property
    def is_loaded(self) -> bool:
        """True once the array was read and kept."""
        return self._cache is not None

    def load(self, mmap_mode: Literal["r", "r+", "c"] | None = None) -> NDArray[Any]:
        """The array: read once and then always the same object.

        With ``mmap_mode`` a memory map instead, which is not kept: ``"r"`` reads only, ``"c"`` keeps changes in memory,
        ``"r+"`` gives a private writable copy (stored arrays never change).
        """
        if mmap_mode is not None:
            return self._map(mmap_mode)
        if self._cache is None:
            self._cache = self._handle.read()
        return self._cache

    def unload(self) -> None:
        """Forgets the array that :meth:`load` kept; it will be read again when needed."""
        self._cache = None

    @overload
    def read_rows(self, start: int, stop: int) -> NDArray[Any]: ...
    @overload
    def read_rows(self, start: ArrayLike) -> NDArray[Any]: ...
    def read_rows(self, start: Any, stop: int | None = None) -> NDArray[Any]:
        """Rows of the first axis: ``read_rows(start, stop)``, cut at the end, or ``read_rows(indices)``, in that order.

        Reads only what it needs, and keeps nothing.

        >>> ref.read_rows(1000, 2000)
        >>> ref.read_rows([17, 4, 250])
        >>> ref.read_rows(good)              # a boolean mask over the rows
        """
        if self.ndim == 0:
            raise ValueTypeError("a 0-d array has no rows")
        if stop is None and np.ndim(start) == 0:
            raise ValueTypeError("read_rows takes start and stop, or a list of rows")
        rows = np.asarray(start, np.intp if np.size(start) == 0 else None) if stop is None else slice(start, stop)
        return self._part(rows, keep=False)

    def iter_rows(self, rows: int) -> Iterator[NDArray[Any]]:
        """Runs of so many rows, one after the other. While one is worked on, the next is read; no more than these two
        are in memory.

        Only if the rows lie scattered in the file (many columns in Fortran order) the array is read whole, once.
        """
        if rows < 1:
            raise ValueError("iter_rows takes at least one row at a time")
        if self._cache is not None:
            return iter([self._cache[start : start + rows] for start in range(0, len(self), rows)])
        len(self)  # a 0-d array has none
        return iter(self._handle.iter_rows(rows))

    def verify(self, *, display_progress: bool = False) -> bool:
        """True if the stored array is as its row says: size, hash and header; ``objectref.IntegrityError`` if not.

        Reads all of it, in small pieces, and keeps nothing.
        """
        return confirmed(self._handle.verify(bar("verify") if display_progress else None))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        array = self.load()
        if dtype is not None and np.dtype(dtype) != array.dtype:
            if copy is False:
                raise ValueError(f"an array of {array.dtype} cannot become {np.dtype(dtype)} without a copy")
            return array.astype(dtype)
        return array.copy() if copy else array

    def __getitem__(self, key: Any) -> Any:
        return self._part(key, keep=True)

    def _part(self, key: Any, keep: bool) -> Any:
        """``array[key]`` of what the key needs; of the whole array where that is no dearer, and then kept if so wished."""
        if self._cache is not None:
            return self._cache[key]
        index = Index.of(key, self.shape)
        if index is None:
            return self.load()[key]
        if 0 in index.shape:
            return np.empty(index.shape, self.dtype)
        part = self._handle.read_part(index.selections, not keep)
        return self.load()[key] if part is None else part[index.rest]

    def __len__(self) -> int:
        if self.ndim == 0:
            raise TypeError("len() of a 0-d array")
        return self.shape[0]

    def __iter__(self) -> Iterator[Any]:
        return iter(self.load())

    def __repr__(self) -> str:
        state = "loaded" if self.is_loaded else "not loaded"
        return f"NpyRef(shape={self.shape}, dtype={self.dtype}, {state})"

    __str__ = __repr__

    def __reduce__(self) -> Any:
        # The store's name travels, not its credentials; the array itself stays where it is.
        link = self._handle.link
        return _restore, (self._handle.metadata, None if link.is_none else (link.name, link.filepath))

    def _map(self, mode: Literal["r", "r+", "c"]) -> NDArray[Any]:
        if mode not in ("r", "r+", "c"):
            raise ValueError(f"mmap_mode cannot be {mode!r}: use 'r', 'r+' or 'c'")
        if mode == "r+":
            warnings.warn("stored arrays never change: 'r+' maps a private copy of this one", stacklevel=3)
        source = self._handle.map(mode, os.fspath(_cache_directory()))
        order: Literal["F", "C"] = "F" if source["fortran_order"] else "C"
        try:
            if 0 in source["shape"] or source["dtype"].itemsize == 0:
                return np.empty(source["shape"], source["dtype"], order)  # nothing to map
            return np.memmap(source["path"], source["dtype"], mode, source["offset"], source["shape"], order)
        finally:
            if source["private"] and os.name == "posix":
                os.unlink(source["path"])  # lives on until the map is gone


def _cache_directory() -> Path:
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "lodestore" / "mmap"


def _restore(metadata: dict[str, Any], store: tuple[str | None, bool] | None) -> NpyRef:
    link = None
    if store is not None:
        link = _lodestore.StoreLink.named(_native_config(), *store)
    return NpyRef._wrap(_lodestore.NpyHandle(json.dumps(metadata), link))


def load_all(refs: Iterable[NpyRef], workers: int = 16, max_bytes: int | None = None) -> list[NDArray[Any]]:
    """Loads many references at once, several at a time, and returns their arrays in the same order.

    The arrays are kept in the references, as :meth:`NpyRef.load` does. ``max_bytes`` bounds what is being
    read at once (512 MiB if not given).
    """
    refs = list(refs)
    waiting = [ref for ref in dict.fromkeys(refs) if not ref.is_loaded]
    arrays = _lodestore.load_handles([ref._handle for ref in waiting], workers, max_bytes)
    for ref, array in zip(waiting, arrays):
        ref._cache = array
    return [ref.load() for ref in refs]
