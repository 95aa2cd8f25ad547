"""The exceptions of Lodestore.

Every exception derives from :class:`DataJointError`. Where Python has a builtin for the same mistake (``KeyError``,
``TypeError``, …) the class derives from that builtin as well, so both ``except`` clauses catch it.

Exceptions raised by the engine carry where it went wrong as attributes: ``schema``, ``table``, ``attribute``, ``key``,
``row``, ``store``, ``path``, and ``hint`` (each ``None`` if unknown).
"""

from __future__ import annotations

from typing import Any

__all__ = [
    "AccessError",
    "BucketInaccessible",
    "CodecError",
    "ConfigError",
    "DataError",
    "DataJointError",
    "DeadlockError",
    "DefinitionError",
    "DuplicateError",
    "IntegrityError",
    "LockTimeoutError",
    "LostConnectionError",
    "MissingAttributeError",
    "MissingExternalFile",
    "ExistingFileError",
    "MissingFileError",
    "MissingTableError",
    "NotAFileError",
    "QueryError",
    "QuerySyntaxError",
    "SerializationError",
    "StoreError",
    "ThreadSafetyError",
    "UnknownAttributeError",
    "UnknownKeyError",
    "UnsupportedError",
    "ValueTypeError",
    "WrongValueError",
]


class DataJointError(Exception):
    """Base of all exceptions raised by Lodestore."""

    schema: str | None = None
    table: str | None = None
    attribute: str | None = None
    key: str | None = None
    row: int | None = None
    store: str | None = None
    path: str | None = None
    hint: str | None = None

    def suggest(self, *args: Any) -> DataJointError:
        """The same error with further arguments (usually advice) appended."""
        other = self.__class__(*self.args, *args)
        other.__dict__.update(self.__dict__)
        return other

    def __str__(self) -> str:
        # Said explicitly: KeyError would show the repr of the text, OSError would read two arguments as a number and text.
        return "\n".join(str(arg) for arg in self.args)


class ThreadSafetyError(DataJointError):
    """The global configuration or connection was used in thread-safe mode."""


class ConfigError(DataJointError):
    """The configuration says something that cannot be."""


class DefinitionError(DataJointError):
    """A table definition that cannot be read; the text points at the place."""


class CodecError(DataJointError):
    """A value that a codec cannot encode, or stored bytes that it cannot decode."""


class StoreError(DataJointError):
    """A store that cannot be reached or written."""


class LostConnectionError(DataJointError):
    """The connection to the database is gone."""


class MissingTableError(DataJointError):
    """A table that is not declared."""


class MissingExternalFile(DataJointError):
    """A row names an object that its store does not have."""


class BucketInaccessible(DataJointError):
    """Kept for code that catches it; never raised."""


class QueryError(DataJointError):
    """The database refused a statement."""


class QuerySyntaxError(QueryError):
    """SQL that the database cannot read."""


class AccessError(QueryError):
    """A missing privilege, or a database that cannot be written."""


class DuplicateError(QueryError):
    """A row whose key is there already."""


class IntegrityError(QueryError):
    """A foreign key stands in the way."""


class UnknownAttributeError(QueryError):
    """An attribute that is not there."""


class MissingAttributeError(QueryError):
    """An attribute without default was given no value."""


class DataError(QueryError):
    """A value that its column cannot hold."""


class DeadlockError(QueryError):
    """Two transactions waited for each other."""


class LockTimeoutError(QueryError):
    """The database stayed locked by somebody else."""


class SerializationError(QueryError):
    """A transaction met a concurrent one and has to be repeated."""


class UnsupportedError(DataJointError, NotImplementedError):
    """Something that this version does not offer."""


class ValueTypeError(DataJointError, TypeError):
    """A value of the wrong type."""


class WrongValueError(DataJointError, ValueError):
    """A value out of range or not understood."""


class UnknownKeyError(DataJointError, KeyError):
    """A name that is not there."""


class ExistingFileError(DataJointError, FileExistsError):
    """A local file that is there already."""


class MissingFileError(DataJointError, FileNotFoundError):
    """A local file that is not there."""


class NotAFileError(DataJointError, IsADirectoryError):
    """A folder where a file was expected."""
