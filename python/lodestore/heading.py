"""Headings: the attributes of a table or expression."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import numpy

from .errors import UnknownKeyError


class Attribute(NamedTuple):
    """One attribute. ``type`` is the database's, ``original_type`` the one of the definition."""

    name: str
    type: str
    original_type: str | None
    in_key: bool
    nullable: bool
    default: str | None
    comment: str
    autoincrement: bool
    numeric: bool
    string: bool
    uuid: bool
    json: bool
    is_blob: bool
    is_hidden: bool
    codec: str | None
    store: str | None
    unsupported: bool
    attribute_expression: str | None
    dtype: Any
    lineage: str | None

    def todict(self) -> dict[str, Any]:
        """The fields as a dict."""
        return self._asdict()

    @property
    def sql_type(self) -> str:
        """The type of the column."""
        return self.type

    @property
    def sql_comment(self) -> str:
        """The column comment as stored, with the type marker."""
        marked = self.original_type is not None and self.original_type != self.type
        return f":{self.original_type}:{self.comment}" if marked else self.comment

    @property
    def sql(self) -> str:
        """A definition line of the attribute."""
        default = f"={self.default}" if self.default is not None else ""
        return f"{self.name + default:<20} : {self.original_type or self.type:<28} # {self.comment}"

    @property
    def original_name(self) -> str:
        """The name before a rename."""
        expression = self.attribute_expression
        return expression.strip('"`') if expression and self.type != "expression" else self.name

    @property
    def is_hash_object(self) -> bool:
        """Stored in an object store by content."""
        return self.store is not None and self.codec in ("blob", "attach", "hash")

    @property
    def is_schema_object(self) -> bool:
        """Stored in an object store by key."""
        return self.store is not None and self.codec in ("npy", "object")


class Heading:
    """The attributes of a table or expression, in order; hidden ones (leading underscore) are not shown."""

    def __init__(
        self,
        attributes: list[dict[str, Any]] | None = None,
        comment: str = "",
        lineage_available: bool = True,
        indexes: Callable[[], list[tuple[list[str], bool]]] | None = None,
    ):
        self._attributes = {a["name"]: Attribute(**a) for a in attributes or ()}
        self._comment = comment
        self.lineage_available = lineage_available
        self._indexes = indexes

    @property
    def attributes(self) -> dict[str, Attribute]:
        """Attributes by name."""
        return self._attributes

    @property
    def names(self) -> list[str]:
        """All names, in order."""
        return list(self._attributes)

    @property
    def primary_key(self) -> list[str]:
        """Names of the primary key."""
        return [a.name for a in self._attributes.values() if a.in_key]

    @property
    def secondary_attributes(self) -> list[str]:
        """Names outside the primary key."""
        return [a.name for a in self._attributes.values() if not a.in_key]

    @property
    def blobs(self) -> list[str]:
        """Names of the binary columns."""
        return [a.name for a in self._attributes.values() if a.is_blob]

    @property
    def non_blobs(self) -> list[str]:
        """Names of the columns that are neither binary nor JSON."""
        return [a.name for a in self._attributes.values() if not (a.is_blob or a.json)]

    @property
    def hash_objects(self) -> list[str]:
        """Names of the columns with content-addressed objects."""
        return [a.name for a in self._attributes.values() if a.is_hash_object]

    @property
    def schema_objects(self) -> list[str]:
        """Names of the columns with key-addressed objects."""
        return [a.name for a in self._attributes.values() if a.is_schema_object]

    @property
    def new_attributes(self) -> list[str]:
        """Names that are computed or renamed."""
        return [a.name for a in self._attributes.values() if a.attribute_expression is not None]

    @property
    def has_autoincrement(self) -> bool:
        """True if an attribute numbers itself."""
        return any(a.autoincrement for a in self._attributes.values())

    @property
    def as_dtype(self) -> numpy.dtype[Any]:
        """A NumPy structured type for the rows."""
        import numpy

        return numpy.dtype([(a.name, a.dtype) for a in self._attributes.values()])

    @property
    def indexes(self) -> dict[tuple[str, ...], dict[str, bool]]:
        """Secondary indexes: columns → ``unique`` and ``nullable``."""
        if self._indexes is None:
            return {}
        found = {}
        for terms, unique in self._indexes():
            nullable = any(t in self._attributes and self._attributes[t].nullable for t in terms)
            found[tuple(terms)] = {"unique": unique, "nullable": nullable}
        return found

    @property
    def table_status(self) -> dict[str, Any]:
        """What is known of the table: its comment."""
        return {"comment": self._comment}

    def as_sql(self, fields: Iterable[str], include_aliases: bool = True, adapter: Any = None) -> str:
        """The select list of some attributes."""
        parts = []
        for name in fields:
            expression = self[name].attribute_expression
            quoted = '"' + name.replace('"', '""') + '"'
            parts.append(f"{expression} as {quoted}" if expression and include_aliases else expression or quoted)
        return ",".join(parts)

    def determines(self, other: "Heading") -> bool:
        """True if every primary-key attribute of ``other`` is here."""
        return all(name in self._attributes for name in other.primary_key)

    def __len__(self) -> int:
        return len(self._attributes)

    def __iter__(self) -> Iterator[str]:
        return iter(self._attributes)

    def __contains__(self, name: object) -> bool:
        return name in self._attributes

    def __getitem__(self, name: str) -> Attribute:
        try:
            return self._attributes[name]
        except KeyError:
            from ._lodestore import did_you_mean

            hint = did_you_mean(str(name), self.names) or ""
            raise UnknownKeyError(f"there is no attribute `{name}`. {hint}".rstrip()) from None

    def __bool__(self) -> bool:
        return bool(self._attributes)

    def _ipython_key_completions_(self) -> list[str]:
        return self.names

    def __repr__(self) -> str:
        lines = [f"# {self._comment}"] if self._comment else []
        in_key = True
        for a in self._attributes.values():
            if in_key and not a.in_key:
                lines.append("---")
                in_key = False
            default = f"={a.default}" if a.default is not None else ""
            lines.append(f"{a.name + default:<20} : {a.type:<28} # {a.comment}")
        return "\n".join(lines) + "\n"
