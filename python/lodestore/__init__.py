"""Lodestore: object-augmented schemas for Python.

Relational tables whose large values (arrays, files, Zarr trees) live in an object store, kept together as one system.

>>> import lodestore as dj
>>> schema = dj.Schema("lab")
>>> @schema
... class Recording(dj.Manual):
...     definition = '''
...     recording_id : int32
...     ---
...     trace : <npy@>
...     '''
>>> Recording.insert1({"recording_id": 1, "trace": array})
>>> (Recording & {"recording_id": 1}).fetch1("trace")[:10]
"""

from __future__ import annotations

import importlib
from typing import Any

from ._lodestore import __version__, debug_build
from . import errors, settings
from .autopopulate import AutoPopulate
from .condition import AndList, Not, Top
from .connection import Connection, conn
from .errors import DataJointError, ThreadSafetyError
from .expression import U
from .instance import Instance
from .logging import logger
from .schemas import Schema, VirtualModule, list_schemas, virtual_schema
from .settings import config
from .table import FreeTable, Table, ValidationResult
from .user_tables import Compute, Computed, Entry, Imported, Ingest, Lookup, Manual, Part

__author__ = "The Lodestore developers"

__all__ = [
    "__author__",
    "__version__",
    "config",
    "conn",
    "Connection",
    "Instance",
    "Schema",
    "VirtualModule",
    "virtual_schema",
    "list_schemas",
    "Table",
    "FreeTable",
    "Manual",
    "Entry",
    "Lookup",
    "Imported",
    "Ingest",
    "Computed",
    "Compute",
    "Part",
    "AutoPopulate",
    "Job",
    "Not",
    "AndList",
    "Top",
    "U",
    "Diagram",
    "MatCell",
    "MatStruct",
    "Codec",
    "SchemaCodec",
    "list_codecs",
    "get_codec",
    "ObjectRef",
    "NpyRef",
    "SparkAdapter",
    "StorageAdapter",
    "get_storage_adapter",
    "errors",
    "migrate",
    "deploy",
    "DataJointError",
    "ThreadSafetyError",
    "ValidationResult",
    "logger",
    "cli",
]

# Loaded when first used, so that `import lodestore` stays quick.
_LAZY = {
    "Job": "jobs",
    "Diagram": "diagram",
    "MatCell": "blob",
    "MatStruct": "blob",
    "Codec": "codecs",
    "list_codecs": "codecs",
    "get_codec": "codecs",
    "load_all": "builtin_codecs",
    "SchemaCodec": "builtin_codecs",
    "NpyRef": "builtin_codecs",
    "AttachFileType": "builtin_codecs",
    "ObjectRef": "objectref",
    "ArrayStream": "streams",
    "SparkAdapter": "spark",
    "StorageAdapter": "storage_adapter",
    "get_storage_adapter": "storage_adapter",
    "cli": "cli",
    "QueryExpression": "expression",
}
_SUBMODULES = frozenset(
    """
    adapters autopopulate blob builtin_codecs codecs condition connection declare dependencies deploy diagram errors
    expression gc hash_registry heading instance jobs lineage logging migrate objectref preview provenance schemas
    settings spark staged_insert storage storage_adapter streams table types user_tables utils version
    """.split()
)


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        value = getattr(importlib.import_module(f".{_LAZY[name]}", __name__), name)
    elif name in _SUBMODULES:
        value = importlib.import_module(f".{name}", __name__)
    else:
        from ._lodestore import did_you_mean

        hint = did_you_mean(name, __all__) or ""
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'. {hint}".rstrip())
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_SUBMODULES})


if debug_build and __import__("os").environ.get("LODE_ALLOW_DEBUG") != "1":
    logger.debug("This is a debug build of lodestore: correct, but slow.")

settings.global_config()
