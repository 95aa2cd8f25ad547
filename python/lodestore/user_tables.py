"""The tiers of user tables: ``Manual``, ``Lookup``, ``Imported``, ``Computed``, ``Part``.

A class works as an instance of itself for queries and data manipulation: ``Subject & key``, ``Subject.insert1(row)``.
"""

from __future__ import annotations

import warnings
from typing import Any

from . import _lodestore
from .autopopulate import AutoPopulate
from .errors import DataJointError, WrongValueError
from .table import Table
from .utils import from_camel_case, is_camel_case

__all__ = ["Computed", "Imported", "Lookup", "Manual", "Part", "PartMeta", "TableMeta", "UserTable"]

# Members that, read on the class, come bound to a fresh instance.
_BOUND = frozenset(
    """
    key_source describe alter heading populate progress primary_key proj aggr aggregate join extend restrict preview
    cursor make_sql to_dicts to_pandas to_polars to_arrow to_arrays keys fetch fetch1 head tail descendants ancestors
    parts parents children insert insert1 insert_dataframe update1 validate drop drop_quick delete delete_quick
    staged_insert1 is_declared restriction restriction_attributes upstream sql jobs original_heading support
    """.split()
)


class TableMeta(type):
    """Makes a table class usable in place of an instance."""

    def __getattribute__(cls, name: str) -> Any:
        if name in _BOUND and not _is_tier(cls):
            # Unbound classes show plain functions, so that help() and inspection work before activation.
            return getattr(cls(), name)
        if name in ("heading", "upstream") and _is_tier(cls):
            return None
        return super().__getattribute__(name)

    def __getattr__(cls, name: str) -> Any:
        if not name.startswith("_") and not _is_tier(cls):
            found = _lodestore.did_you_mean(name, [n for n in dir(cls) if not n.startswith("_")])
            raise AttributeError(f"type object '{cls.__name__}' has no attribute '{name}'. {found or ''}".rstrip())
        raise AttributeError(f"type object '{cls.__name__}' has no attribute '{name}'")

    def __dir__(cls):
        return sorted({*super().__dir__(), *_BOUND, "connection", "table_name", "full_table_name"})

    @property
    def connection(cls):
        """The connection that the class is bound to, or None."""
        return cls._connection

    @property
    def table_name(cls) -> str:
        """The stored name, with the prefix of the tier."""
        return _stored_name(cls)

    @property
    def full_table_name(cls) -> str | None:
        """The quoted name as it stands in SQL; None while unbound."""
        if cls.database is None or cls._connection is None:
            return None
        return cls().full_table_name

    def __and__(cls, other: Any):
        return cls() & other

    def __sub__(cls, other: Any):
        return cls() - other

    def __mul__(cls, other: Any):
        return cls() * other

    def __add__(cls, other: Any):
        return cls() + other

    def __neg__(cls):
        return -cls()

    def __xor__(cls, other: Any):
        return cls() ^ other

    def __matmul__(cls, other: Any):
        return cls() @ other

    def __iter__(cls):
        return iter(cls())

    def __len__(cls) -> int:
        return len(cls())

    def __bool__(cls) -> bool:
        # A class is a class; whether it has rows is asked of an instance.
        return True

    def __contains__(cls, item: Any) -> bool:
        return item in cls()

    def __arrow_c_stream__(cls, requested_schema: Any = None):
        return cls().__arrow_c_stream__(requested_schema)


class PartMeta(TableMeta):
    """Part classes know their master."""

    @property
    def master(cls):
        """The class that the part belongs to; None while undeclared."""
        return cls._master


def _is_tier(cls: type) -> bool:
    return cls.__dict__.get("_is_tier", False)


def _stored_name(cls: Any) -> str:
    name = cls.__dict__.get("_table_name")  # generated classes and FreeTables carry it
    if name is not None:
        return name
    base = cls.__name__
    if "_" in base:
        warnings.warn(f"underscores in the class name {base} are dropped", UserWarning, stacklevel=3)
        base = base.replace("_", "")
    if not is_camel_case(base):
        raise DataJointError(f"the class name `{cls.__name__}` is not CamelCase: a capital, then letters and digits")
    if issubclass(cls, Part):
        if cls._master is None:
            raise DataJointError(f"the part {cls.__name__} does not belong to a master yet")
        return f"{_stored_name(cls._master)}__{from_camel_case(base)}"
    return f"{cls._prefix}{from_camel_case(base)}"


class UserTable(Table, metaclass=TableMeta):
    """Base of the tiers. Subclasses set ``definition`` and are decorated with a schema."""

    _is_tier = True
    _prefix: str = ""
    _connection = None
    _heading = None
    _master: type | None = None
    definition: Any = None

    def __init__(self) -> None:
        pass

    def __repr__(self) -> str:
        return super().__repr__()

    @property
    def table_name(self) -> str:
        return _stored_name(type(self))

    @property
    def _table(self) -> str:
        return self.table_name


class Manual(UserTable):
    """Rows entered by people or scripts."""

    _is_tier = True
    _prefix = ""


class Lookup(UserTable):
    """Rows that belong to the pipeline itself, given by ``contents``."""

    _is_tier = True
    _prefix = "#"


class Imported(AutoPopulate, UserTable):
    """Rows made by ``make`` from data outside the pipeline."""

    _is_tier = True
    _prefix = "_"


class Computed(AutoPopulate, UserTable):
    """Rows made by ``make`` from other tables."""

    _is_tier = True
    _prefix = "__"


class Part(UserTable, metaclass=PartMeta):
    """Rows that belong to a row of the master: an inner class of the master's."""

    _is_tier = True
    _prefix = ""

    @property
    def master(self):
        """The class that the part belongs to."""
        return type(self)._master

    def delete(self, part_integrity: str = "enforce", **kwargs: Any) -> Any:
        """Deletes part rows; ``part_integrity`` must be ``"ignore"`` (parts alone) or ``"cascade"`` (with the master)."""
        if part_integrity not in ("enforce", "ignore", "cascade"):
            raise WrongValueError(f"part_integrity must be 'enforce', 'ignore' or 'cascade', not {part_integrity!r}")
        if part_integrity == "enforce":
            raise DataJointError(
                "part rows go with their master; delete from the master, or give part_integrity='ignore' or 'cascade'"
            )
        return super().delete(part_integrity=part_integrity, **kwargs)

    def drop(self, part_integrity: str = "enforce") -> None:
        """Drops the part table; ``part_integrity`` must be ``"ignore"``."""
        if part_integrity not in ("enforce", "ignore"):
            raise WrongValueError(f"part_integrity must be 'enforce' or 'ignore', not {part_integrity!r}")
        if part_integrity == "enforce":
            raise DataJointError("a part is dropped with its master; give part_integrity='ignore' to drop it alone")
        super().drop(prompt=False, part_integrity="ignore")


Entry = Manual
Ingest = Imported
Compute = Computed

TIERS: dict[str, type[UserTable]] = {"manual": Manual, "lookup": Lookup, "imported": Imported, "computed": Computed}

