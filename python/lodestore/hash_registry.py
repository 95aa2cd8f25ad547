"""Content-addressed objects by hand: what ``<hash@>`` does, as functions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from . import _lodestore
from .errors import DataJointError, ValueTypeError
from .storage import StorageBackend

if TYPE_CHECKING:
    from .settings import Config

__all__ = [
    "build_hash_path",
    "compute_hash",
    "delete_path",
    "get_hash",
    "get_store_backend",
    "get_store_subfolding",
    "put_hash",
]


def compute_hash(data: bytes) -> str:
    """The content hash: MD5 in lower-case base32, 26 characters."""
    return _lodestore.compute_hash(data)


def build_hash_path(
    content_hash: str,
    schema_name: str,
    subfolding: Iterable[int] | None = None,
    *,
    store_name: str | None = None,
    config: Config | None = None,
) -> str:
    """The path of a hash-addressed object. ``subfolding`` (folder lengths) overrides the store's."""
    if subfolding is not None:
        folds, at = [], 0
        for length in subfolding:
            folds.append(content_hash[at : at + length])
            at += length
        prefix = "_hash"
        if store_name is not None:
            prefix = get_store_backend(store_name, config).spec["hash_prefix"].strip("/")
        return "/".join([prefix, schema_name, *folds, content_hash])
    return get_store_backend(store_name, config)._store.hash_path(schema_name, content_hash)


def get_store_backend(store_name: str | None = None, config: Config | None = None) -> StorageBackend:
    """A configured store; ``None`` means the default."""
    backend = StorageBackend(store_name, config)
    backend._store  # noqa: B018  an unknown name is an error here, not later
    return backend


def get_store_subfolding(store_name: str | None = None, config: Config | None = None) -> list[int] | None:
    """The folder lengths of a store's hash paths; ``None`` without folders."""
    return StorageBackend(store_name, config).spec.get("subfolding")


def put_hash(
    data: bytes, schema_name: str, store_name: str | None = None, config: Config | None = None
) -> dict[str, Any]:
    """Stores bytes unless they are there, and returns the metadata that a ``<hash@>`` column would hold."""
    if not isinstance(data, bytes):
        raise ValueTypeError(f"a hash-addressed object is bytes, not {type(data).__name__}")
    backend = get_store_backend(store_name, config)
    content_hash = compute_hash(data)
    path = backend._store.hash_path(schema_name, content_hash)
    backend._store.put_hash(path, data)
    return {
        "hash": content_hash,
        "path": path,
        "schema": schema_name,
        "store": backend._store.name,
        "size": len(data),
    }


def get_hash(metadata: dict[str, Any], config: Config | None = None) -> bytes:
    """The bytes that metadata name, checked against their hash."""
    data = StorageBackend(metadata.get("store"), config).get_buffer(metadata["path"])
    if compute_hash(data) != metadata["hash"]:
        raise DataJointError(f"the object {metadata['path']} does not match its hash {metadata['hash']}")
    return data


def delete_path(path: str, store_name: str | None = None, config: Config | None = None) -> bool:
    """Deletes one object. True if it was there. Rows that name it are not looked at."""
    return get_store_backend(store_name, config)._store.delete(path)
