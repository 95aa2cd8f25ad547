"""Storage adapters: a protocol of one's own, on top of an fsspec file system.

A plug-in is a class derived from :class:`StorageAdapter`, named by its distribution under the entry-point group
``lodestore.storage`` or ``datajoint.storage``. Stores of its protocol then work as all others do.

What its file system cannot do, nobody can do for it: where ``pipe_file`` knows no ``mode="create"``, two writers of one
path may both write, and whether half an object can be seen, or outlives a power failure, is the file system's matter.
"""

from __future__ import annotations

import os
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from itertools import islice
from typing import Any

from .errors import ConfigError

__all__ = ["StorageAdapter", "get_storage_adapter"]

_COMMON_KEYS = frozenset(
    "protocol location hash_prefix schema_prefix filepath_prefix subfolding partition_pattern token_length stage".split()
)
_BUILT_IN = frozenset("file s3 gcs azure memory".split())


class StorageAdapter(ABC):
    """What a plug-in of the entry-point groups ``lodestore.storage`` and ``datajoint.storage`` derives from."""

    #: The value of ``protocol`` in a store's specification.
    protocol: str
    #: Keys that a specification must have.
    required_keys: tuple[str, ...] = ()
    #: Keys that it may have.
    allowed_keys: tuple[str, ...] = ()

    @abstractmethod
    def create_filesystem(self, spec: dict[str, Any]) -> Any:
        """The fsspec file system of a specification."""

    def validate_spec(self, spec: dict[str, Any]) -> None:
        """Raises ``DataJointError`` for missing and unknown keys."""
        missing = [key for key in self.required_keys if key not in spec]
        if missing:
            raise ConfigError(f"a {self.protocol} store needs {', '.join(missing)}")
        allowed = {*self.required_keys, *self.allowed_keys, *_COMMON_KEYS}
        unknown = sorted(set(spec) - allowed)
        if unknown:
            raise ConfigError(f"a {self.protocol} store has no {', '.join(unknown)}")

    def full_path(self, spec: dict[str, Any], relpath: str) -> str:
        """The path with the store's location."""
        location = str(spec.get("location") or "").rstrip("/")
        return f"{location}/{relpath}" if location else relpath

    def get_url(self, spec: dict[str, Any], path: str) -> str:
        """The URL of a full path."""
        return f"{self.protocol}://{path}"


_found: dict[str, StorageAdapter] | None = None
_loading = threading.RLock()


def get_storage_adapter(protocol: str) -> StorageAdapter | None:
    """The adapter of a protocol; ``None`` if no plug-in offers it, and for the protocols that need none."""
    global _found
    if protocol in _BUILT_IN:
        return None
    with _loading:
        if _found is None:
            _found = _load()
    return _found.get(protocol)


def _load() -> dict[str, StorageAdapter]:
    import importlib.metadata

    from .logging import logger

    found: dict[str, StorageAdapter] = {}
    for group in ("lodestore.storage", "datajoint.storage"):
        for entry in importlib.metadata.entry_points(group=group):
            try:
                adapter = entry.load()()
                found.setdefault(adapter.protocol, adapter)
            except Exception as error:  # a broken plug-in must not break what does not use it
                logger.warning(f"the storage plug-in {entry.name!r} ({entry.value}) could not be loaded: {error}")
    return found


# (path, size, is a folder, seconds since the epoch, version)
_Info = tuple[str, int, bool, "float | None", "str | None"]

_VERSIONS = ("ETag", "etag", "generation", "md5Hash")
_TIMES = ("mtime", "LastModified", "last_modified", "updated", "modified", "created")
_PAGE = 1000


class AdapterFiles:
    """One store of an adapter, as the engine works with it: paths are relative to the store's location. Used by several
    threads at once."""

    def __init__(self, adapter: StorageAdapter, spec: dict[str, Any]):
        self._adapter = adapter
        self._spec = spec
        self._lock = threading.Lock()
        self._process = 0
        self._made: Any = None
        self._files()

    def _files(self) -> Any:
        """The file system; a forked process makes its own."""
        with self._lock:
            if self._process != os.getpid():
                self._made = self._adapter.create_filesystem(dict(self._spec))
                self._process = os.getpid()
                cache: Any = getattr(self._made, "dircache", None)
                if hasattr(cache, "use_listings_cache"):
                    cache.use_listings_cache = False
            return self._made

    def _fresh(self) -> Any:
        """The file system without what it remembers: deletions are decided by what it says."""
        files = self._files()
        files.invalidate_cache()
        return files

    def full_path(self, path: str) -> str:
        return str(self._adapter.full_path(dict(self._spec), path))

    def url(self, path: str) -> str:
        return str(self._adapter.get_url(dict(self._spec), self.full_path(path)))

    def info(self, path: str) -> _Info | None:
        try:
            return _info(path, self._fresh().info(self.full_path(path)))
        except (FileNotFoundError, NotADirectoryError):
            return None

    def read(self, path: str, start: int, end: int) -> bytes:
        content = self._files().cat_file(self.full_path(path), start=start, end=end)
        return content if isinstance(content, bytes) else bytes(content)

    def write(self, path: str, content: bytes, create: bool) -> bool:
        """False if something is there and nothing must be."""
        if create and self.info(path) is not None:
            return False
        files, full = self._files(), self.full_path(path)
        options = {"mode": "create"} if create and _takes_mode(files) else {}
        try:
            self._below(full, lambda: files.pipe_file(full, content, **options))
        except FileExistsError:
            if options and self.info(path) is not None:
                return False
            raise
        return True

    def upload(self, path: str) -> _Upload:
        return _Upload(self, path)

    def _below(self, full: str, work: Callable[[], Any]) -> Any:
        """Does work, which may need the folders above a path."""
        try:
            return work()
        except FileNotFoundError:
            self._files().makedirs(full.rsplit("/", 1)[0], exist_ok=True)
            return work()

    def copy(self, source: str, target: str) -> None:
        full = self.full_path(target)
        self._below(full, lambda: self._files().cp_file(self.full_path(source), full))

    def delete(self, path: str) -> bool:
        try:
            self._files().rm_file(self.full_path(path))
        except FileNotFoundError:
            return False
        return True

    def pages(self, folder: str) -> Iterator[list[_Info]]:
        """Every file below a folder."""
        files = self._fresh()
        root = self._name(files, folder)
        found = _found_below(files, root)
        while page := list(islice(found, _PAGE)):
            yield [_info(_relative(folder, root, name), entry) for name, entry in page]

    def list_dir(self, folder: str) -> list[_Info]:
        files = self._fresh()
        root = self._name(files, folder)
        entries = _entries(files, root)
        return [_info(_relative(folder, root, name), entry) for name, entry in entries if _is_plain(entry)]

    def _name(self, files: Any, path: str) -> str:
        """A path as listings spell it."""
        return str(files._strip_protocol(self.full_path(path))).rstrip("/")


class _Upload:
    """A file that is written piece by piece, and appears at the end where the file system can do that."""

    def __init__(self, owner: AdapterFiles, path: str):
        self._owner = owner
        self._path = path
        self._is_new = owner.info(path) is None
        files, full = owner._files(), owner.full_path(path)
        self._file = owner._below(full, lambda: files.open(full, "wb", autocommit=False))

    def write(self, content: bytes) -> None:
        self._file.write(content)

    def commit(self) -> None:
        self._file.close()
        if hasattr(self._file, "commit"):
            self._owner._below(self._owner.full_path(self._path), self._file.commit)

    def abort(self) -> None:
        # Closing, discarding and deleting: each is all that some file systems need, and an error in others.
        for step in (self._file.close, getattr(self._file, "discard", None)):
            try:
                if step is not None:
                    step()
            except Exception:
                continue
        if self._is_new:
            self._owner.delete(self._path)


def _found_below(files: Any, root: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every file below a folder, with what the file system says of it."""
    if _lists_by_itself(files):
        for name, entry in files.find(root, detail=True).items():
            if name.rstrip("/") != root and entry.get("type") == "file":
                yield name, entry
        return
    # fsspec's generic listing leaves out folders that cannot be read.
    folders = [root]
    while folders:
        for name, entry in _entries(files, folders.pop()):
            if entry["type"] == "directory":
                folders.append(name)
            elif entry["type"] == "file":
                yield name, entry


def _entries(files: Any, folder: str) -> list[tuple[str, dict[str, Any]]]:
    """What is directly in a folder."""
    try:
        entries = files.ls(folder, detail=True)
    except (FileNotFoundError, NotADirectoryError):
        return []
    named = [(entry["name"].rstrip("/"), entry) for entry in entries]
    return [(name, entry) for name, entry in named if name != folder]


def _lists_by_itself(files: Any) -> bool:
    from fsspec import AbstractFileSystem
    from fsspec.asyn import AsyncFileSystem

    kind = type(files)
    if isinstance(files, AsyncFileSystem):
        return kind._find is not AsyncFileSystem._find
    return kind.find is not AbstractFileSystem.find


def _takes_mode(files: Any) -> bool:
    import inspect

    return "mode" in inspect.signature(files.pipe_file).parameters


def _is_plain(entry: dict[str, Any]) -> bool:
    return entry["type"] in ("file", "directory")


def _relative(folder: str, root: str, name: str) -> str:
    if not name.startswith(f"{root}/"):
        raise OSError(f"a listing of {root} shows {name}, which is not below it")
    rest = name[len(root) + 1 :].rstrip("/")
    return f"{folder}/{rest}" if folder else rest


def _info(path: str, entry: dict[str, Any]) -> _Info:
    times = [_seconds(entry[key]) for key in _TIMES if entry.get(key) is not None]
    modified = next((time for time in times if time is not None), None)
    versions = [str(entry[key]) for key in _VERSIONS if entry.get(key)]
    if modified is not None:
        versions.append(f"{modified}-{entry.get('size')}-{entry.get('ino', '')}")
    return path, int(entry.get("size") or 0), entry["type"] == "directory", modified, next(iter(versions), None)


def _seconds(time: Any) -> float | None:
    """Seconds since the epoch."""
    if isinstance(time, str):
        try:
            time = datetime.fromisoformat(time.replace("Z", "+00:00"))
        except ValueError:
            return None
    if isinstance(time, datetime):
        return (time if time.tzinfo else time.replace(tzinfo=timezone.utc)).timestamp()
    return float(time) if isinstance(time, (int, float)) else None
