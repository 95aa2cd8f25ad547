"""Storage adapters: a protocol of one's own, on top of an fsspec file system.

The interface is kept so that code written for the reference imports and registers. The engine itself opens the
protocols that it knows (``file``, ``memory``); stores of other protocols are refused when they are opened.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from .errors import ConfigError

__all__ = ["StorageAdapter", "get_storage_adapter"]

_COMMON_KEYS = frozenset(
    "protocol location hash_prefix schema_prefix filepath_prefix subfolding partition_pattern token_length".split()
)


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
        location = str(spec.get("location", "")).rstrip("/")
        return f"{location}/{relpath}" if location else relpath

    def get_url(self, spec: dict[str, Any], path: str) -> str:
        """The URL of a full path."""
        return f"{self.protocol}://{path}"


_found: dict[str, StorageAdapter] | None = None


def get_storage_adapter(protocol: str) -> StorageAdapter | None:
    """The adapter of a protocol; ``None`` if no plug-in offers it."""
    global _found
    if _found is None:
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
        _found = found
    return _found.get(protocol)
