"""The tiers of user tables: ``Manual``, ``Lookup``, ``Imported``, ``Computed``, ``Part``.

A class works as an instance of itself for queries and data manipulation: ``Subject & key``, ``Subject.insert1(row)``.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from . import _lodestore
from .autopopulate import AutoPopulate
from .errors import DataJointError, WrongValueError
from .table import Table
from .utils import from_camel_case, is_camel_case

if TYPE_CHECKING:
    from typing_extensions import Concatenate, ParamSpec

    from .condition import Not
    from .connection import Connection
    from .expression import QueryExpression, Union

    _P = ParamSpec("_P")

_T = TypeVar("_T")

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

    def __dir__(cls) -> list[str]:
        return sorted({*super().__dir__(), *_BOUND, "connection", "table_name", "full_table_name"})

    @property
    def connection(cls) -> Connection | Any:
        """The connection that the class is bound to, or None."""
        return cls._connection

    @property
    def table_name(cls) -> str:
        """The stored name, with the prefix of the tier."""
        return _stored_name(cls)

    @property
    def full_table_name(cls) -> str | Any:
        """The quoted name as it stands in SQL; None while unbound."""
        if cls.database is None or cls._connection is None:
            return None
        return cls().full_table_name

    def __and__(cls: type[_T], other: Any) -> _T:
        return cls() & other

    def __sub__(cls: type[_T], other: Any) -> _T:
        return cls() - other

    def __mul__(cls, other: Any) -> QueryExpression:
        return cls() * other

    def __add__(cls, other: Any) -> Union:
        return cls() + other

    def __neg__(cls) -> Not:
        return -cls()

    def __xor__(cls, other: Any) -> Any:
        return cls() ^ other

    def __matmul__(cls, other: Any) -> Any:
        return cls() @ other

    def __iter__(cls) -> Iterator[dict[str, Any]]:
        return iter(cls())

    def __len__(cls) -> int:
        return len(cls())

    def __bool__(cls) -> bool:
        # A class is a class; whether it has rows is asked of an instance.
        return True

    def __contains__(cls, item: Any) -> bool:
        return item in cls()

    def __arrow_c_stream__(cls, requested_schema: Any = None) -> Any:
        return cls().__arrow_c_stream__(requested_schema)


class PartMeta(TableMeta):
    """Part classes know their master."""

    @property
    def master(cls) -> type[UserTable] | None:
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


# What _BOUND does, in words that type checkers understand: `Subject.fetch1` is what `Subject().fetch1` is.
if TYPE_CHECKING:

    class _Either(Generic[_T]):
        """A member that gives the same on the class and on an instance."""

        def __get__(self, instance: object, owner: Any) -> _T: ...

    class _EitherSelf(Generic[_P]):
        """The same for methods that give an expression of their own class."""

        def __get__(self, instance: object, owner: type[_T]) -> Callable[_P, _T]: ...

    # Decorators, because a decorated name counts as declared, and so goes before what `Table` declares.
    def _either(member: _T) -> Callable[[Any], _Either[_T]]: ...
    def _either_self(method: Callable[_P, Any]) -> Callable[[Any], _EitherSelf[_P]]: ...
    def _on_class_too(method: Callable[Concatenate[Any, _P], _T]) -> _Either[Callable[_P, _T]]: ...

    _table = cast(Table, None)
    _auto = cast(AutoPopulate, None)

    class _OnClassToo:
        @_either(_table.aggr)
        def aggr(self) -> None: ...
        @_either(_table.aggregate)
        def aggregate(self) -> None: ...
        @_either(_table.alter)
        def alter(self) -> None: ...
        @_either(_table.ancestors)
        def ancestors(self) -> None: ...
        @_either(_table.children)
        def children(self) -> None: ...
        @_either(_table.connection)
        def connection(self) -> None: ...
        @_either(_table.cursor)
        def cursor(self) -> None: ...
        @_either(_table.delete)
        def delete(self) -> None: ...
        @_either(_table.delete_quick)
        def delete_quick(self) -> None: ...
        @_either(_table.descendants)
        def descendants(self) -> None: ...
        @_either(_table.describe)
        def describe(self) -> None: ...
        @_either(_table.drop)
        def drop(self) -> None: ...
        @_either(_table.drop_quick)
        def drop_quick(self) -> None: ...
        @_either(_table.extend)
        def extend(self) -> None: ...
        @_either(_table.fetch)
        def fetch(self) -> None: ...
        @_either(_table.fetch1)
        def fetch1(self) -> None: ...
        @_either(_table.full_table_name)
        def full_table_name(self) -> None: ...
        @_either(_table.head)
        def head(self) -> None: ...
        @_either(_table.heading)
        def heading(self) -> None: ...
        @_either(_table.insert)
        def insert(self) -> None: ...
        @_either(_table.insert1)
        def insert1(self) -> None: ...
        @_either(_table.insert_dataframe)
        def insert_dataframe(self) -> None: ...
        @_either(_table.is_declared)
        def is_declared(self) -> None: ...
        @_either(_table.join)
        def join(self) -> None: ...
        @_either(_table.keys)
        def keys(self) -> None: ...
        @_either(_table.make_sql)
        def make_sql(self) -> None: ...
        @_either(_table.original_heading)
        def original_heading(self) -> None: ...
        @_either(_table.parents)
        def parents(self) -> None: ...
        @_either(_table.parts)
        def parts(self) -> None: ...
        @_either(_table.preview)
        def preview(self) -> None: ...
        @_either(_table.primary_key)
        def primary_key(self) -> None: ...
        @_either_self(_table.proj)
        def proj(self) -> None: ...
        @_either_self(_table.restrict)
        def restrict(self) -> None: ...
        @_either(_table.restriction)
        def restriction(self) -> None: ...
        @_either(_table.restriction_attributes)
        def restriction_attributes(self) -> None: ...
        @_either(_table.sql)
        def sql(self) -> None: ...
        @_either(_table.staged_insert1)
        def staged_insert1(self) -> None: ...
        @_either(_table.support)
        def support(self) -> None: ...
        @_either(_table.table_name)
        def table_name(self) -> None: ...
        @_either(_table.tail)
        def tail(self) -> None: ...
        @_either(_table.to_arrays)
        def to_arrays(self) -> None: ...
        @_either(_table.to_arrow)
        def to_arrow(self) -> None: ...
        @_either(_table.to_dicts)
        def to_dicts(self) -> None: ...
        @_either(_table.to_pandas)
        def to_pandas(self) -> None: ...
        @_either(_table.to_polars)
        def to_polars(self) -> None: ...
        @_either(_table.update1)
        def update1(self) -> None: ...
        @_either(_table.validate)
        def validate(self) -> None: ...

    class _UserTable(_OnClassToo, Table): ...

    class _AutoOnClassToo:
        @_either(_auto.jobs)
        def jobs(self) -> None: ...
        @_either(_auto.populate)
        def populate(self) -> None: ...
        @_either(_auto.progress)
        def progress(self) -> None: ...
        @_either(_auto.upstream)
        def upstream(self) -> None: ...

    class _AutoPopulate(_AutoOnClassToo, AutoPopulate): ...
else:
    _UserTable, _AutoPopulate = Table, AutoPopulate

    def _on_class_too(method):
        return method


class UserTable(_UserTable, metaclass=TableMeta):
    """Base of the tiers. Subclasses set ``definition`` and are decorated with a schema."""

    _is_tier = True
    _prefix: str = ""
    _connection = None
    _heading = None
    _master: type[UserTable] | None = None
    definition: Any = None

    def __init__(self) -> None:
        pass

    def __repr__(self) -> str:
        return super().__repr__()

    if not TYPE_CHECKING:

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


class Imported(_AutoPopulate, UserTable):
    """Rows made by ``make`` from data outside the pipeline."""

    _is_tier = True
    _prefix = "_"


class Computed(_AutoPopulate, UserTable):
    """Rows made by ``make`` from other tables."""

    _is_tier = True
    _prefix = "__"


class Part(UserTable, metaclass=PartMeta):
    """Rows that belong to a row of the master: an inner class of the master's."""

    _is_tier = True
    _prefix = ""

    @property
    def master(self) -> type[UserTable] | None:
        """The class that the part belongs to."""
        return type(self)._master

    @_on_class_too
    def delete(self, /, part_integrity: str = "enforce", **kwargs: Any) -> Any:  # type: ignore[override]
        """Deletes part rows; ``part_integrity`` must be ``"ignore"`` (parts alone) or ``"cascade"`` (with the master)."""
        if part_integrity not in ("enforce", "ignore", "cascade"):
            raise WrongValueError(f"part_integrity must be 'enforce', 'ignore' or 'cascade', not {part_integrity!r}")
        if part_integrity == "enforce":
            raise DataJointError(
                "part rows go with their master; delete from the master, or give part_integrity='ignore' or 'cascade'"
            )
        return super().delete(part_integrity=part_integrity, **kwargs)

    @_on_class_too
    def drop(self, /, part_integrity: str = "enforce") -> None:  # type: ignore[override]
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
