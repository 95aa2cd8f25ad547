"""Lazy references to files and folders in a store: what ``<object@store>`` and ``<filepath@store>`` columns give."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar

from . import _lodestore
from .errors import DataJointError
from .progress import bar
from .settings import global_config
from .storage import ObjectFile, StorageBackend, make_map, opened

__all__ = ["IntegrityError", "ObjectRef"]

_MODE = re.compile(r"[rwaxbtU+]+")


class IntegrityError(DataJointError):
    """A stored object differs from what its row says. Raised by ``verify`` of references."""


def confirmed(difference: BaseException | None) -> bool:
    """What ``verify`` answers or raises, by what the engine found."""
    if difference is None:
        return True
    error = IntegrityError(str(difference))
    error.__dict__.update(difference.__dict__)
    raise error


@dataclass
class ObjectRef:
    """A file or folder in a store.

    The fields come from the row and cost no I/O; methods read.

    >>> ref = (Document & key).fetch1("file")
    >>> ref.size, ref.ext
    (18204, '.pdf')
    >>> with ref.open() as f: head = f.read(100)
    >>> ref.download("/tmp/work")
    >>> zarr.open(tree.fsmap)            # a folder
    """

    path: str
    size: int | None
    hash: str | None
    ext: str | None
    is_dir: bool
    timestamp: datetime | None
    url: str | None = None
    store: str | None = None
    mime_type: str | None = None
    item_count: int | None = None
    _backend: StorageBackend | None = field(default=None, repr=False)
    _origin: ClassVar[_lodestore.ObjectHandle | None] = None

    @classmethod
    def from_json(cls, data: dict[str, Any] | str, backend: StorageBackend | None = None) -> ObjectRef:
        """From a column's JSON. ``path`` and ``size`` are required."""
        fields: dict[str, Any] = json.loads(data) if isinstance(data, str) else data
        stamp = fields.get("timestamp")
        if isinstance(stamp, str):
            stamp = datetime.fromisoformat(stamp.replace("Z", "+00:00"))
        return cls(
            path=fields["path"],
            size=fields["size"],
            hash=fields.get("hash"),
            ext=fields.get("ext"),
            is_dir=fields.get("is_dir", False),
            timestamp=stamp,
            url=fields.get("url"),
            store=fields.get("store"),
            mime_type=fields.get("mime_type"),
            item_count=fields.get("item_count"),
            _backend=backend,
        )

    @classmethod
    def _wrap(cls, handle: _lodestore.ObjectHandle) -> ObjectRef:
        link = handle.link
        backend = None if link.is_none else StorageBackend(link.name, _link=link)
        ref = cls.from_json(handle.metadata, backend)
        ref._origin = handle  # type: ignore[misc]  # of the instance; it knows the row, for errors
        return ref

    def to_json(self) -> dict[str, Any]:
        """The fields as a JSON object."""
        out: dict[str, Any] = {
            "path": self.path,
            "size": self.size,
            "hash": self.hash,
            "ext": self.ext,
            "is_dir": self.is_dir,
            "timestamp": self.timestamp.isoformat() if isinstance(self.timestamp, datetime) else self.timestamp,
        }
        for name in ("url", "store", "mime_type"):
            if getattr(self, name):
                out[name] = getattr(self, name)
        if self.item_count is not None:
            out["item_count"] = self.item_count
        return out

    def _handle(self) -> _lodestore.ObjectHandle:
        link = getattr(self._backend, "_link", None)
        return _lodestore.ObjectHandle(json.dumps(self.to_json()), link, self._origin)

    def _require_backend(self) -> StorageBackend:
        if self._backend is None:
            raise DataJointError("this reference has no store to read from").suggest(
                "References that come from a fetch have one."
            )
        return self._backend

    @property
    def fs(self) -> Any:
        """The store as an fsspec file system."""
        return self._require_backend().fs

    @property
    def fsmap(self) -> Any:
        """What is below the object, as a mapping: ``zarr.open(ref.fsmap)``."""
        return make_map(self._require_backend(), self.path)

    @property
    def full_path(self) -> str:
        """The path with the store's location (and bucket)."""
        self._require_backend()
        return self._handle().full_path

    def read(self) -> bytes:
        """The content of a file."""
        self._require_backend()
        return self._handle().read()

    def open(self, subpath: str | None = None, mode: str = "rb") -> Any:
        """An open file. Of a folder without ``subpath``: its files as a mapping that is also a context manager.

        >>> with ref.open() as f: ...            # a file
        >>> with ref.open("rb") as f: ...        # the same
        >>> with tree.open("0.0") as f: ...      # one file of a folder
        >>> with tree.open() as f: zarr.open(f)  # a folder
        """
        backend = self._require_backend()
        if not self.is_dir and subpath is not None and mode == "rb" and _MODE.fullmatch(subpath):
            mode, subpath = subpath, None
        if self.is_dir and subpath is None:
            return make_map(backend, self.path)
        if set(mode) & set("wax+"):
            raise DataJointError(f"stored objects never change: {self.path} cannot be opened in mode {mode!r}")
        return opened(ObjectFile(self._handle().open(subpath), subpath or self.path), mode)

    def listdir(self, subpath: str = "") -> list[str]:
        """Names directly in the folder."""
        self._require_backend()
        return [name for name, _ in self._handle().listdir(subpath)]

    def walk(self) -> Iterator[tuple[str, list[str], list[str]]]:
        """(folder below the object, names of folders, names of files), from the top down; the object itself is ``''``."""
        self._require_backend()
        yield from self._handle().walk()

    def download(
        self,
        destination: str | os.PathLike[str],
        subpath: str | None = None,
        *,
        flat: bool = False,
        display_progress: bool = False,
    ) -> Path:
        """Copies to the local disk. Each file is compared with its recorded size and hash (unless ``lode.verify`` is
        off), and only then takes the place of what was there, at once.

        A file goes into ``destination`` if that is a folder, else to that path. A folder goes to
        ``destination/<its name>``, or with ``flat`` straight into ``destination``.
        """
        self._require_backend()
        progress = bar("download") if display_progress else None
        return Path(self._handle().download(os.fspath(destination), subpath, flat, progress))

    def exists(self, subpath: str | None = None) -> bool:
        """True if the object, or one file of a folder, is there."""
        self._require_backend()
        return self._handle().exists(subpath)

    def verify(self, *, display_progress: bool = False) -> bool:
        """True if the object is as its row says; :class:`IntegrityError` if not. Reads all of it.

        A file by its size and hash; a folder by its manifest, file by file (without one: number and size of its files).
        """
        self._require_backend()
        return confirmed(self._handle().verify(bar("verify") if display_progress else None))

    def __repr__(self) -> str:
        kind = "folder" if self.is_dir else "file"
        return f"ObjectRef({kind}: {self.path}, size={self.size})"

    def __str__(self) -> str:
        return self.path

    def __reduce__(self) -> Any:
        # The store's name travels, not its credentials.
        link = getattr(self._backend, "_link", None)
        return _restore, (self.to_json(), None if link is None else (link.name, link.filepath))


def _restore(metadata: dict[str, Any], store: tuple[str | None, bool] | None) -> ObjectRef:
    backend = None
    if store is not None:
        config = global_config()
        backend = StorageBackend(store[0], config, _link=_lodestore.StoreLink.named(config._native, *store))
    return ObjectRef.from_json(metadata, backend)
