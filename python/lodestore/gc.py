"""Garbage collection: find and remove stored objects that no row refers to.

Deleting rows does not delete their objects: two rows may share one. :func:`scan` counts what is no longer referred to
and removes nothing; :func:`collect` removes it, and is a dry run unless told otherwise. Anything that casts doubt (a
table that cannot be read, a listing that fails) is an error before anything is removed.

>>> stats = dj.gc.scan(schema)
>>> print(dj.gc.format_stats(stats))
>>> dj.gc.collect(schema, dry_run=False)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from . import _lodestore
from .errors import DataJointError
from .progress import bar

if TYPE_CHECKING:
    from .schemas import Schema
    from .settings import Config

__all__ = [
    "GarbageCollector",
    "collect",
    "delete_schema_path",
    "format_stats",
    "list_schema_paths",
    "list_stored_hashes",
    "scan",
    "scan_hash_references",
    "scan_schema_references",
]


class GarbageCollector:
    """Collects one store for some schemas.

    Parameters
    ----------
    schemas
        One or more activated schemas of one connection.
    store
        Name of the store; default: the default store.
    config
        Settings; only those of the connection are accepted, as it opened the stores.
    """

    def __init__(self, *schemas: Schema, store: str | None = None, config: Config | None = None):
        if not schemas:
            raise DataJointError("name at least one schema: dj.gc.scan(schema)")
        for schema in schemas:
            if not getattr(schema, "database", None):
                raise DataJointError(f"a collection takes activated schemas, not {schema!r}")
        opened = [schema._assert_activated() for schema in schemas]
        if len({id(connection) for connection, _ in opened}) > 1:
            raise DataJointError("the schemas belong to different connections: collect them one after the other")
        self._connection = opened[0][0]
        if config is not None and config is not self._connection._config:
            raise DataJointError("the stores are those of the connection: open one with this config")
        self._schemas = [name for _, name in opened]
        self._store = store

    def hash_references(self, verbose: bool = False) -> set[str]:
        """Paths of hash-addressed objects that rows refer to."""
        return self._references(verbose)[0]

    def schema_references(self, verbose: bool = False) -> set[str]:
        """Paths of schema-addressed objects that rows refer to."""
        return self._references(verbose)[1]

    def list_hash_paths(self, schema: str | None = None) -> dict[str, int]:
        """Hash-addressed files and their sizes in bytes, of one schema (by name) or of all."""
        return self._listed(_lodestore.gc_hash_paths, schema)

    def list_schema_paths(self, schema: str | None = None) -> dict[str, int]:
        """Files of the schemas' sections and their sizes in bytes, of one schema (by name) or of all."""
        return self._listed(_lodestore.gc_schema_paths, schema)

    def delete_schema_path(self, path: str) -> bool:
        """Removes one schema-addressed object that no row refers to; False if nothing was there."""
        return _lodestore.gc_delete_schema_path(self._connection._native, path, self._store)

    def collect(
        self, dry_run: bool = True, verbose: bool = False, *, force: bool = False, grace: float | None = None
    ) -> dict[str, Any]:
        """Counts what no row refers to, and removes it unless ``dry_run``.

        Parameters
        ----------
        dry_run
            Only count.
        verbose
            Show progress, and print the statistics.
        force
            Remove even if that is more than 1000 files and more than half of what is stored.
        grace
            Keep unreferenced files younger than so many seconds, unless a row is known to have dropped them; default:
            the setting ``lode.gc.grace``.
        """
        listener = bar("gc") if verbose else None
        stats = _lodestore.gc_collect(
            self._connection._native, self._schemas, self._store, dry_run, force, grace, listener
        )
        if verbose:
            print(format_stats(stats))
        return stats

    def _references(self, verbose: bool) -> tuple[set[str], set[str]]:
        hashes, paths = _lodestore.gc_references(self._connection._native, self._schemas, self._store)
        if verbose:
            print(f"{len(hashes)} hash-addressed and {len(paths)} schema-addressed objects are referred to")
        return hashes, paths

    def _listed(self, listing: Any, schema: str | None) -> dict[str, int]:
        found: dict[str, int] = {}
        for name in self._schemas if schema is None else [schema]:
            found.update(listing(self._connection._native, name, self._store))
        return found


def scan(
    *schemas: Schema, store_name: str | None = None, verbose: bool = False, config: Config | None = None
) -> dict[str, Any]:
    """Counts the stored objects that no row refers to; removes nothing."""
    return GarbageCollector(*schemas, store=store_name, config=config).collect(dry_run=True, verbose=verbose)


def collect(
    *schemas: Schema,
    store_name: str | None = None,
    dry_run: bool = True,
    verbose: bool = False,
    config: Config | None = None,
    force: bool = False,
    grace: float | None = None,
) -> dict[str, Any]:
    """Removes the stored objects that no row refers to, if ``dry_run=False``; see :meth:`GarbageCollector.collect`."""
    collector = GarbageCollector(*schemas, store=store_name, config=config)
    return collector.collect(dry_run=dry_run, verbose=verbose, force=force, grace=grace)


def format_stats(stats: Mapping[str, Any]) -> str:
    """The statistics as text: each section, the totals, and the outcome."""
    return _lodestore.gc_format_stats(dict(stats))


def scan_hash_references(*schemas: Schema, store_name: str | None = None, verbose: bool = False) -> set[str]:
    """Paths of hash-addressed objects that rows refer to."""
    return GarbageCollector(*schemas, store=store_name).hash_references(verbose)


def scan_schema_references(*schemas: Schema, store_name: str | None = None, verbose: bool = False) -> set[str]:
    """Paths of schema-addressed objects that rows refer to."""
    return GarbageCollector(*schemas, store=store_name).schema_references(verbose)


def list_stored_hashes(*schemas: Schema, store_name: str | None = None) -> dict[str, int]:
    """Hash-addressed files and their sizes in bytes."""
    return GarbageCollector(*schemas, store=store_name).list_hash_paths()


def list_schema_paths(*schemas: Schema, store_name: str | None = None) -> dict[str, int]:
    """Files of the schemas' sections and their sizes in bytes, manifests included."""
    return GarbageCollector(*schemas, store=store_name).list_schema_paths()


def delete_schema_path(path: str, *schemas: Schema, store_name: str | None = None) -> bool:
    """Removes one schema-addressed object that no row refers to; False if nothing was there."""
    return GarbageCollector(*schemas, store=store_name).delete_schema_path(path)
