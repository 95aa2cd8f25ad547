"""The public names. Those that `__init__.py` loads when first used are written out here."""

from . import (
    adapters as adapters,
    autopopulate as autopopulate,
    blob as blob,
    builtin_codecs as builtin_codecs,
    codecs as codecs,
    condition as condition,
    connection as connection,
    declare as declare,
    dependencies as dependencies,
    deploy as deploy,
    diagram as diagram,
    errors as errors,
    expression as expression,
    gc as gc,
    hash_registry as hash_registry,
    heading as heading,
    instance as instance,
    jobs as jobs,
    lineage as lineage,
    logging as logging,
    migrate as migrate,
    objectref as objectref,
    preview as preview,
    provenance as provenance,
    schemas as schemas,
    settings as settings,
    spark as spark,
    staged_insert as staged_insert,
    storage as storage,
    storage_adapter as storage_adapter,
    streams as streams,
    table as table,
    types as types,
    user_tables as user_tables,
    utils as utils,
    version as version,
)
from ._lodestore import __version__ as __version__, debug_build as debug_build
from .autopopulate import AutoPopulate as AutoPopulate
from .blob import MatCell as MatCell, MatStruct as MatStruct
from .builtin_codecs import (
    AttachFileType as AttachFileType,
    NpyRef as NpyRef,
    SchemaCodec as SchemaCodec,
    load_all as load_all,
)
from .cli import cli as cli
from .codecs import Codec as Codec, get_codec as get_codec, list_codecs as list_codecs
from .condition import AndList as AndList, Not as Not, Top as Top
from .connection import Connection as Connection, conn as conn
from .diagram import Diagram as Diagram
from .errors import DataJointError as DataJointError, ThreadSafetyError as ThreadSafetyError
from .expression import QueryExpression as QueryExpression, U as U
from .instance import Instance as Instance
from .jobs import Job as Job
from .logging import logger as logger
from .objectref import ObjectRef as ObjectRef
from .schemas import (
    Schema as Schema,
    VirtualModule as VirtualModule,
    list_schemas as list_schemas,
    virtual_schema as virtual_schema,
)
from .settings import config as config
from .spark import SparkAdapter as SparkAdapter
from .storage_adapter import (
    StorageAdapter as StorageAdapter,
    get_storage_adapter as get_storage_adapter,
)
from .streams import ArrayStream as ArrayStream
from .table import FreeTable as FreeTable, Table as Table, ValidationResult as ValidationResult
from .user_tables import (
    Compute as Compute,
    Computed as Computed,
    Entry as Entry,
    Imported as Imported,
    Ingest as Ingest,
    Lookup as Lookup,
    Manual as Manual,
    Part as Part,
)

__author__: str

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
