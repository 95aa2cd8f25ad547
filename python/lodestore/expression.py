"""Query expressions: the algebra and the fetch family.

An expression is immutable; every operator gives a new one. The objects here hold a handle of the engine's query and the
connection; planning, SQL and decoding happen in the engine.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal, NoReturn, overload

from . import frames
from .condition import AndList, Not, Top
from .errors import DataJointError, ValueTypeError, WrongValueError
from .heading import Heading
from .utils import warn_caller

if TYPE_CHECKING:
    import pandas
    import polars
    import pyarrow
    from numpy.typing import NDArray
    from typing_extensions import Self

    from . import _lodestore
    from .connection import Connection, Cursor
    from .types import OrderBy

__all__ = ["Aggregation", "AndList", "Not", "QueryExpression", "Top", "U", "Union"]

_ROWS_PER_BATCH = 1024


class QueryExpression:
    """A query: what the algebra builds and the fetch methods run.

    Operators: ``&`` restrict, ``-`` exclude, ``*`` join, ``+`` union, unary ``-`` negate as a condition.
    """

    _query_handle: Any = None
    _connection: Connection | None = None
    _restriction: AndList | None = None
    _heading_cache: Heading | None = None
    _recipe: tuple[Any, ...] | None = None

    # -- making new expressions ------------------------------------------------------------------------------------
    @property
    def _query(self) -> _lodestore.Query:
        return self._query_handle

    def _derive(self, handle: Any, recipe: tuple[Any, ...], cls: Any = None, keep_restriction: bool = False) -> Any:
        """A new expression over ``handle``; of this one's class unless told otherwise."""
        if cls is None or cls is type(self):
            new = self.__copy__()
        else:
            new = cls.__new__(cls)
            new._connection = self.connection
        new._query_handle = handle
        new._heading_cache = None
        new._recipe = recipe
        new._restriction = AndList(self._restriction or ()) if keep_restriction else AndList()
        return new

    @property
    def connection(self) -> Connection:
        """The connection that the expression belongs to."""
        return self._connection  # type: ignore[return-value]

    @property
    def heading(self) -> Heading:
        """The attributes of the result."""
        if self._heading_cache is None:
            self._heading_cache = Heading(*self._query.heading())
        return self._heading_cache

    @property
    def original_heading(self) -> Heading:
        """The heading before projection."""
        return Heading(*self._query.original_heading())

    @property
    def primary_key(self) -> list[str]:
        """Names of the primary key."""
        return self.heading.primary_key

    @property
    def restriction(self) -> AndList:
        """The conditions put on this expression, all of which hold."""
        return AndList(self._restriction or ())

    @property
    def restriction_attributes(self) -> set[str]:
        """Names of the attributes that the conditions mention."""
        names = set(self.original_heading.names) | set(self.heading.names)
        found: set[str] = set()

        def visit(condition: Any) -> None:
            if isinstance(condition, str):
                found.update(names & set(re.findall(r"\w+", condition)))
            elif isinstance(condition, Mapping):
                found.update(names & {str(k).split(".")[0] for k in condition})
            elif isinstance(condition, Not):
                visit(condition.restriction)
            elif is_expression(condition):
                found.update(names & set(condition.heading.names))
            elif isinstance(condition, (list, tuple, set)):
                for item in condition:
                    visit(item)

        visit(list(self._restriction or ()))
        return found

    @property
    def support(self) -> list[str]:
        """What stands in the FROM clause."""
        return self._query.support()

    # -- restriction -----------------------------------------------------------------------------------------------
    def restrict(self, restriction: Any, semantic_check: bool = True) -> Self:
        """Rows that satisfy a condition.

        Parameters
        ----------
        restriction
            SQL text, a mapping, a sequence (any of), an ``AndList`` (all of), ``Not``, ``Top``, a truth value, or an
            expression (rows with a match there).
        semantic_check
            For expressions: common attributes must have a common origin.

        Raises
        ------
        DataJointError
            If the condition names an unknown attribute, or is of a kind that is no condition.
        """
        if restriction is True:
            return self
        if isinstance(restriction, U):
            return self
        handle = self._query.restrict(restriction, semantic_check)
        if handle is None:  # nothing to restrict by
            return self
        new = self._derive(handle, ("restrict", self, restriction, semantic_check), keep_restriction=True)
        if not isinstance(restriction, Top):
            new._restriction.append(restriction)
        return new

    def restrict_in_place(self, restriction: Any) -> Self:
        """Like :meth:`restrict`, but changes this object."""
        new = self.restrict(restriction)
        if new is not self:
            self.__dict__.update(new.__dict__)
        return self

    def __and__(self, restriction: Any) -> Self:
        return self.restrict(restriction)

    def __sub__(self, restriction: Any) -> Self:
        return self.restrict(Not(restriction))

    def __neg__(self) -> Not:
        return Not(self)

    def __xor__(self, _other: Any) -> NoReturn:
        raise DataJointError("the operator ^ is not defined for query expressions")

    __rxor__ = __xor__

    def __matmul__(self, _other: Any) -> NoReturn:
        raise DataJointError("the operator @ is gone; use .join(other, semantic_check=False)")

    __rmatmul__ = __matmul__

    def _lode_condition(self) -> tuple[Any, ...]:
        return ("in", self._query)

    # -- the other operators ---------------------------------------------------------------------------------------
    def proj(self, *attributes: Any, **named_attributes: str) -> Self:
        """Selects, renames and computes attributes; the primary key is always kept.

        ``proj("a", "-b", ..., new="old", y="YEAR(date)")``: names to keep, ``...`` for all others, ``-name`` to drop,
        keywords to rename or compute.
        """
        _check_sources(named_attributes)
        handle = self._query.proj(_names(attributes, "proj"), named_attributes)
        cls = QueryExpression if isinstance(self, Aggregation) else None
        return self._derive(handle, ("proj", self, attributes, named_attributes), cls, keep_restriction=True)

    def join(
        self, other: Any, semantic_check: bool = True, left: bool = False, allow_nullable_pk: bool = False
    ) -> QueryExpression:
        """Combines rows that agree in all common attributes, which must have a common origin.

        With ``left`` the rows without match stay, their new attributes NULL.
        """
        other = _operand(other, self, "join")
        handle = self._query.join(other._query, semantic_check, left, allow_nullable_pk)
        return self._derive(handle, ("join", self, other, semantic_check, left, allow_nullable_pk), QueryExpression)

    def extend(self, other: Any, semantic_check: bool = True) -> QueryExpression:
        """Adds the attributes of ``other`` where there is a match; every row stays."""
        return self.join(other, semantic_check=semantic_check, left=True)

    def __mul__(self, other: Any) -> QueryExpression:
        return self.join(other)

    def __add__(self, other: Any) -> Union:
        other = _operand(other, self, "union")
        handle = self._query.union(other._query)
        return self._derive(handle, ("union", self, other), Union)

    def aggr(
        self, group: Any, *attributes: Any, exclude_nonmatching: bool = False, **named_attributes: str
    ) -> Aggregation:
        """For each row, values computed over the matching rows of ``group``.

        >>> Subject.aggr(Session, n="count(session_no)")
        """
        group = _operand(group, self, "aggregation")
        names = _names(attributes, "aggr")
        _check_sources(named_attributes)
        handle = self._query.aggr(group._query, names, named_attributes, exclude_nonmatching)
        return self._derive(
            handle, ("aggr", self, group, attributes, exclude_nonmatching, named_attributes), Aggregation
        )

    aggregate = aggr

    # -- how many --------------------------------------------------------------------------------------------------
    def __len__(self) -> int:
        return self._query.count()

    def __bool__(self) -> bool:
        return self._query.exists()

    def __contains__(self, item: Any) -> bool:
        return bool(self & item)

    # -- fetch -----------------------------------------------------------------------------------------------------
    def to_dicts(
        self, order_by: OrderBy = None, limit: int | None = None, offset: int | None = None, squeeze: bool = False
    ) -> list[dict[str, Any]]:
        """All rows, as dicts in heading order."""
        rows = self._query.to_dicts(None, _window(order_by, limit, offset))
        return _squeezed(rows, self.heading) if squeeze else rows

    @overload
    def to_arrays(
        self,
        *,
        include_key: bool = ...,
        order_by: OrderBy = ...,
        limit: int | None = ...,
        offset: int | None = ...,
        squeeze: bool = ...,
    ) -> NDArray[Any]: ...
    @overload
    def to_arrays(
        self,
        attr: str,
        /,
        *,
        include_key: Literal[False] = ...,
        order_by: OrderBy = ...,
        limit: int | None = ...,
        offset: int | None = ...,
        squeeze: bool = ...,
    ) -> NDArray[Any]: ...
    @overload
    def to_arrays(
        self,
        attr: str,
        second: str,
        /,
        *attrs: str,
        include_key: Literal[False] = ...,
        order_by: OrderBy = ...,
        limit: int | None = ...,
        offset: int | None = ...,
        squeeze: bool = ...,
    ) -> tuple[NDArray[Any], ...]: ...
    @overload
    def to_arrays(
        self,
        attr: str,
        /,
        *attrs: str,
        include_key: Literal[True],
        order_by: OrderBy = ...,
        limit: int | None = ...,
        offset: int | None = ...,
        squeeze: bool = ...,
    ) -> tuple[Any, ...]: ...
    def to_arrays(
        self,
        *attrs: str,
        include_key: bool = False,
        order_by: OrderBy = None,
        limit: int | None = None,
        offset: int | None = None,
        squeeze: bool = False,
    ) -> Any:
        """Columns as NumPy arrays.

        Without names one structured array of all attributes; with one name its array; with several a tuple of arrays.
        ``include_key`` puts the list of primary keys in front.
        """
        if not attrs:
            found = self._query.to_structured(_window(order_by, limit, offset))
            for name in found.dtype.names or () if squeeze else ():
                if self.heading[name].codec is not None:
                    found[name] = frames.squeezed_column(found[name])
            return found
        self._check_names(attrs)
        keys, arrays = self._query.to_arrays(list(attrs), include_key, _window(order_by, limit, offset))
        if squeeze:
            arrays = [frames.squeezed_column(a) if self.heading[n].codec else a for n, a in zip(attrs, arrays)]
        if include_key:
            return (keys, *arrays)
        return arrays[0] if len(arrays) == 1 else tuple(arrays)

    def _check_names(self, attrs: Iterable[str]) -> None:
        for name in attrs:
            if name not in self.heading.attributes:
                from ._lodestore import did_you_mean

                hint = (
                    did_you_mean(str(name), self.heading.names)
                    or f"The attributes are: {', '.join(self.heading.names)}."
                )
                if name == "KEY":
                    hint = "For the primary keys use keys(), or include_key=True."
                raise DataJointError(f"attribute `{name}` is not in the expression. {hint}")

    def to_pandas(
        self, order_by: OrderBy = None, limit: int | None = None, offset: int | None = None, squeeze: bool = False
    ) -> pandas.DataFrame:
        """A pandas DataFrame indexed by the primary key."""
        pandas = frames.library("pandas", "pandas")
        columns = self._query.to_columns(_window(order_by, limit, offset))
        for name in columns if squeeze else ():
            if self.heading[name].codec is not None and hasattr(columns[name], "dtype"):
                columns[name] = frames.squeezed_column(columns[name])
        frame = pandas.DataFrame(columns)
        return frame.set_index(self.primary_key) if self.primary_key else frame

    def to_polars(
        self,
        order_by: OrderBy = None,
        limit: int | None = None,
        offset: int | None = None,
        squeeze: bool = False,
        *,
        json: Literal["text", "parse"] = "text",
    ) -> polars.DataFrame:
        """A polars DataFrame; the primary key as ordinary columns. ``json``: see :meth:`to_arrow`."""
        frames.library("polars", "polars")
        columns = self._arrow_columns(order_by, limit, offset, squeeze, json, wide=False)
        return frames.polars_frame(columns, {a.name for a in self.heading.attributes.values() if a.uuid})

    def to_arrow(
        self,
        order_by: OrderBy = None,
        limit: int | None = None,
        offset: int | None = None,
        squeeze: bool = False,
        *,
        json: Literal["text", "parse"] = "text",
    ) -> pyarrow.Table:
        """A pyarrow Table, its types from the heading.

        ``json``: ``"text"`` keeps JSON as text; ``"parse"`` gives structs and lists, if all values have one shape.
        """
        frames.library("pyarrow", "arrow")
        return frames.arrow_table(self._arrow_columns(order_by, limit, offset, squeeze, json, wide=True))

    def _arrow_columns(
        self, order_by: OrderBy, limit: int | None, offset: int | None, squeeze: bool, json: str, wide: bool
    ) -> list[tuple[str, Any]]:
        """(name, data) of each column; ``wide``: decimals of more than 38 digits as Arrow's, not as objects."""
        if json not in ("text", "parse"):
            raise WrongValueError(f"json must be 'text' or 'parse', not {json!r}")
        columns = self._query.to_arrow_columns(json == "parse", wide, _window(order_by, limit, offset))
        if squeeze:
            columns = [(n, [frames.squeezed(v) for v in d] if isinstance(d, list) else d) for n, d in columns]
        return columns

    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any:
        """Arrow's own protocol: ``pyarrow.table(expression)`` and ``polars.DataFrame(expression)`` work."""
        stream = self._query.arrow_stream()
        # Decoded values have no type of their own: pyarrow finds one.
        return (self.to_arrow() if stream is None else stream).__arrow_c_stream__(requested_schema)

    def keys(
        self, order_by: OrderBy = None, limit: int | None = None, offset: int | None = None
    ) -> list[dict[str, Any]]:
        """The primary keys, as dicts."""
        return self._query.to_dicts(self._query.primary_key(), _window(order_by, limit, offset))

    def head(self, limit: int = 25, **kwargs: Any) -> list[dict[str, Any]]:
        """The first rows by primary key."""
        return self.to_dicts(order_by="KEY", limit=limit, **kwargs)

    def tail(self, limit: int = 25, **kwargs: Any) -> list[dict[str, Any]]:
        """The last rows by primary key, in ascending order."""
        order = [f"{name} DESC" for name in self.primary_key]
        return self.to_dicts(order_by=order or "KEY", limit=limit, **kwargs)[::-1]

    @overload
    def fetch1(self, *, squeeze: bool = ...) -> dict[str, Any]: ...
    @overload
    def fetch1(self, attr: str, /, *, squeeze: bool = ...) -> Any: ...
    @overload
    def fetch1(self, attr: str, second: str, /, *attrs: str, squeeze: bool = ...) -> tuple[Any, ...]: ...
    def fetch1(self, *attrs: str, squeeze: bool = False) -> Any:
        """The one row: a dict without names, one value for one name, a tuple for several.

        ``"KEY"`` stands for the primary key as a dict.

        Raises
        ------
        DataJointError
            If there is no row, or more than one.
        """
        names = [a for a in attrs if a != "KEY"]
        self._check_names(names)
        if not attrs:
            row = self._query.fetch1(None)
            return _squeezed([row], self.heading)[0] if squeeze else row
        wanted = list(dict.fromkeys([*names, *(self.primary_key if "KEY" in attrs else ())]))
        row = self._query.fetch1(wanted)
        if squeeze:
            row = _squeezed([row], self.heading)[0]
        values = tuple({k: row[k] for k in self.primary_key} if a == "KEY" else row[a] for a in attrs)
        return values[0] if len(values) == 1 else values

    def fetch(
        self,
        *attrs: str,
        offset: int | None = None,
        limit: int | None = None,
        order_by: OrderBy = None,
        format: str | None = None,
        as_dict: bool | None = None,
        squeeze: bool = False,
    ) -> Any:
        """The old fetch; use ``to_dicts``, ``to_arrays``, ``to_pandas`` or ``keys``."""
        warn_caller("fetch() is deprecated; use to_dicts(), to_arrays(), to_pandas() or keys()", DeprecationWarning)
        options: dict[str, Any] = {"order_by": order_by, "limit": limit, "offset": offset}
        if format not in (None, "array", "frame"):
            raise DataJointError("format must be 'array' or 'frame'")
        if format == "frame":
            if attrs or as_dict is not None:
                raise DataJointError("format='frame' goes with neither attribute names nor as_dict")
            return self.to_pandas(**options, squeeze=squeeze)
        if not attrs:
            return self.to_dicts(**options, squeeze=squeeze) if as_dict else self.to_arrays(**options, squeeze=squeeze)
        names = [a for a in attrs if a != "KEY"]
        if as_dict:
            wanted = list(
                dict.fromkeys(itertools.chain.from_iterable(self.primary_key if a == "KEY" else [a] for a in attrs))
            )
            self._check_names(wanted)
            rows = self._query.to_dicts(wanted, _window(order_by, limit, offset))
            return _squeezed(rows, self.heading) if squeeze else rows
        if not names:
            keys = self.keys(**options)
            return keys if len(attrs) == 1 else [keys for _ in attrs]
        keys, *arrays = self.to_arrays(*names, include_key=True, **options, squeeze=squeeze)
        columns = iter(arrays)
        found = [keys if a == "KEY" else next(columns) for a in attrs]
        return found[0] if len(found) == 1 else found

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Rows as dicts, one cursor, a bounded number of rows in memory; a snapshot."""
        yield from self._query.iterate(_ROWS_PER_BATCH)

    def cursor(self, as_dict: bool = False) -> Cursor:
        """The undecoded rows, as :meth:`Connection.query <lodestore.connection.Connection.query>` gives them."""
        return self.connection.query(self.make_sql(), as_dict=as_dict)

    # -- SQL text --------------------------------------------------------------------------------------------------
    def make_sql(self, fields: Iterable[str] | None = None) -> str:
        """The statement as text, percent signs doubled, as :meth:`Connection.query` takes it."""
        return self._query.make_sql(list(fields) if fields is not None else None)

    def sql(self) -> tuple[str, list[Any]]:
        """The statement with placeholders, and its parameters."""
        return self._query.sql()

    def make_subquery(self) -> QueryExpression:
        """The same rows, as an expression over a derived table."""
        # The engine wraps where it must; the rows are the same.
        return self._derive(self._query, ("make_subquery", self), QueryExpression)

    def from_clause(self) -> str:
        """The text after FROM."""
        return self._query.from_clause()

    def where_clause(self) -> str:
        """The text from WHERE on, or nothing."""
        return self._query.where_clause()

    def sorting_clauses(self) -> str:
        """The text from ORDER BY on, or nothing."""
        sql = self.make_sql()
        at = sql.rfind(" ORDER BY ")
        return sql[at:] if at >= 0 and ")" not in sql[at:] else ""

    # -- how it looks ----------------------------------------------------------------------------------------------
    def preview(self, limit: int | None = None, width: int | None = None) -> str:
        """The first rows as a text table."""
        from .preview import preview

        return preview(self, limit, width)

    def __repr__(self) -> str:
        from .logging import logger

        return object.__repr__(self) if logger.level == 10 else self.preview()

    def _repr_html_(self) -> str | None:
        from .preview import repr_html

        return repr_html(self)

    def __copy__(self) -> Self:
        new = object.__new__(type(self))
        new.__dict__.update(self.__dict__)
        return new

    # -- pickling --------------------------------------------------------------------------------------------------
    def __reduce__(self) -> tuple[Any, ...]:
        if self._recipe is None:
            raise TypeError(f"{type(self).__name__} cannot be pickled")
        return (_rebuild, self._recipe)


class Aggregation(QueryExpression):
    """The result of :meth:`QueryExpression.aggr`."""


class Union(QueryExpression):
    """The result of ``a + b``."""


class U:
    """The universal set over some attributes: their distinct values, and totals.

    >>> dj.U("rig") & Session
    >>> dj.U("rig").aggr(Session, n="count(*)")
    >>> dj.U().aggr(Session, n="count(*)")
    """

    def __init__(self, *primary_key: str):
        for name in primary_key:
            if not isinstance(name, str):
                raise ValueTypeError(f"U takes attribute names, not {type(name).__name__}")
        self._primary_key = list(primary_key)

    @property
    def primary_key(self) -> list[str]:
        """The names given."""
        return list(self._primary_key)

    def __and__(self, other: Any) -> QueryExpression:
        other = _operand(other, None, "restriction of dj.U")
        return other._derive(other._query.u_restrict(self._primary_key), ("u_restrict", other, self._primary_key))

    def aggr(self, group: Any, **named_attributes: str) -> Aggregation:
        """For each distinct combination of the attributes, values computed over the rows that have it."""
        if named_attributes.get("exclude_nonmatching") is not None:
            if not named_attributes.pop("exclude_nonmatching"):
                raise DataJointError("dj.U has no rows of its own, so exclude_nonmatching=False makes no sense here")
        _check_sources(named_attributes)
        group = _operand(group, None, "aggregation")
        handle = group._query.u_aggr(self._primary_key, named_attributes)
        return group._derive(handle, ("u_aggr", group, self._primary_key, named_attributes), Aggregation)

    aggregate = aggr

    def join(self, other: Any, *_args: Any, **_kwargs: Any) -> NoReturn:
        """Not defined; use ``&`` or :meth:`aggr`."""
        raise DataJointError("dj.U cannot be joined; use dj.U(...) & expression, or dj.U(...).aggr(expression, ...)")

    __mul__ = __rmul__ = join

    def __sub__(self, other: Any) -> NoReturn:
        raise DataJointError("nothing can be subtracted from dj.U")

    def _lode_condition(self) -> tuple[Any, ...]:
        return ("true",)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, U) and other._primary_key == self._primary_key

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"U({', '.join(map(repr, self._primary_key))})"


def is_expression(value: Any) -> bool:
    """True for expressions and table classes."""
    return isinstance(value, QueryExpression) or (isinstance(value, type) and issubclass(value, QueryExpression))


def _names(attributes: Any, what: str) -> list[str]:
    names = ["..." if a is Ellipsis else a for a in attributes]
    for name in names:
        if not isinstance(name, str):
            raise DataJointError(f"{what} takes attribute names, not {type(name).__name__}")
    return names


def _check_sources(named_attributes: Mapping[str, Any]) -> None:
    for name, value in named_attributes.items():
        if not isinstance(value, str):
            raise ValueTypeError(f"the source of `{name}` must be text, not {type(value).__name__}")


def _operand(value: Any, left: QueryExpression | None, what: str) -> QueryExpression:
    if isinstance(value, U):
        raise DataJointError(f"dj.U cannot be an operand of a {what}; use dj.U(...) & expression, or dj.U(...).aggr")
    if isinstance(value, type) and issubclass(value, QueryExpression):
        value = value()
    if not isinstance(value, QueryExpression):
        raise DataJointError(f"a {what} takes a query expression, not {type(value).__name__}")
    if left is not None and left.connection is not value.connection:
        raise DataJointError(f"the operands of a {what} belong to different connections")
    return value


def _squeezed(rows: list[dict[str, Any]], heading: Heading) -> list[dict[str, Any]]:
    """The same rows, arrays that a codec decoded without their dimensions of length one."""
    names = [n for n in heading.names if heading[n].codec is not None]
    for row in rows:
        for name in names:
            if name in row:
                row[name] = frames.squeezed(row[name])
    return rows


def _window(order_by: OrderBy, limit: int | None, offset: int | None) -> tuple[list[str], int | None, int]:
    """Order terms, limit and offset as the engine takes them, checked."""
    top = Top(limit, order_by, offset or 0)
    return top.order_by or [], top.limit, top.offset


def _rebuild(operation: str, *args: Any) -> Any:
    """Plays one step of a pickled expression."""
    if operation == "table":
        (cls,) = args
        return cls()
    if operation == "u_restrict":
        return U(*args[1]) & args[0]
    if operation == "u_aggr":
        return U(*args[1]).aggr(args[0], **args[2])
    first, *rest = args
    if operation == "restrict":
        return first.restrict(*rest)
    if operation == "proj":
        return first.proj(*rest[0], **rest[1])
    if operation == "join":
        return first.join(*rest)
    if operation == "union":
        return first + rest[0]
    if operation == "aggr":
        return first.aggr(rest[0], *rest[1], exclude_nonmatching=rest[2], **rest[3])
    if operation == "make_subquery":
        return first.make_subquery()
    raise DataJointError(f"unknown step in a pickled expression: {operation}")
