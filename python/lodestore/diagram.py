"""The pipeline as a picture."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import _lodestore
from .errors import DataJointError

if TYPE_CHECKING:
    from .connection import Connection
    from .table import FreeTable

__all__ = ["Diagram"]


class Diagram:
    """Tables and the foreign keys between them.

    Parameters
    ----------
    source
        What to show: a schema, a table (class or instance), a module with a ``schema``, or another diagram.
    context
        Accepted for compatibility; names need no looking up.

    ``d + n`` and ``d - n`` add n levels of children and of parents; ``d + e``, ``d - e`` and ``d * e`` are union,
    difference and intersection.

    Examples
    --------
    >>> dj.Diagram(schema).save("pipeline.svg")
    >>> dj.Diagram(Session) + 1 - 1
    """

    _connection: Connection
    _native: _lodestore.Diagram

    def __init__(self, source: Any, context: Mapping[str, Any] | None = None):
        self.context = context
        if isinstance(source, Diagram):
            self._connection, self._native = source._connection, source._native
            return
        self._connection, show = _what_to_show(source)
        self._native = show(_lodestore.Diagram.over(self._connection._native))

    @classmethod
    def from_sequence(cls, sequence: Iterable[Any]) -> "Diagram":
        """The union of diagrams, or of what diagrams can be made of."""
        diagrams = [item if isinstance(item, Diagram) else cls(item) for item in sequence]
        if not diagrams:
            raise DataJointError("a diagram needs something to show: the sequence is empty")
        union = diagrams[0]
        for diagram in diagrams[1:]:
            union = union + diagram
        return union

    def _with(self, native: _lodestore.Diagram) -> "Diagram":
        other = object.__new__(Diagram)
        other.context, other._connection, other._native = self.context, self._connection, native
        return other

    # -- what is shown ---------------------------------------------------------------------------------------------
    def __add__(self, other: Any) -> "Diagram":
        if _is_number(other):
            return self._with(self._native.down(other) if other >= 0 else self._native.up(-other))
        return self._with(self._native.union(Diagram(other)._native))

    def __sub__(self, other: Any) -> "Diagram":
        if _is_number(other):
            return self._with(self._native.up(other) if other >= 0 else self._native.down(-other))
        other = Diagram(other)
        for name in other.nodes_to_show - self.nodes_to_show:
            raise KeyError(f"{name} is not in the diagram")
        return self._with(self._native.difference(other._native))

    def __mul__(self, other: Any) -> "Diagram":
        return self._with(self._native.intersection(Diagram(other)._native))

    def add_parts(self) -> "Diagram":
        """Adds the parts of all shown masters."""
        return self._with(self._native.add_parts())

    def collapse(self) -> "Diagram":
        """Folds the shown tables into one box a schema."""
        return self._with(self._native.collapse())

    @property
    def nodes_to_show(self) -> set[str]:
        """Full names of the shown tables."""
        return set(self._native.shown())

    @property
    def nodes(self) -> list[str]:
        """Full names of all tables of the database, parents before children."""
        return self._native.nodes()

    @property
    def edges(self) -> list[tuple[str, str, dict[str, Any]]]:
        """(parent, child, properties) of each foreign key."""
        return [
            (parent, child, {"primary": primary, "attr_map": dict(attr_map), "aliased": aliased, "multi": multi})
            for parent, child, primary, attr_map, aliased, multi in self._native.edges()
        ]

    def in_edges(self, name: str) -> list[tuple[str, str, dict[str, Any]]]:
        """The foreign keys of a table."""
        return [edge for edge in self.edges if edge[1] == name]

    def out_edges(self, name: str) -> list[tuple[str, str, dict[str, Any]]]:
        """The foreign keys that reference a table."""
        return [edge for edge in self.edges if edge[0] == name]

    def to_networkx(self) -> Any:
        """The whole graph as a networkx ``MultiDiGraph``. Needs networkx."""
        import networkx

        graph = networkx.MultiDiGraph()
        graph.add_nodes_from(self.nodes)
        graph.add_edges_from(self.edges)
        return graph

    def topological_sort(self) -> list[str]:
        """Full names of the shown tables, parents before children, parts after their master."""
        return self._native.shown()

    def __len__(self) -> int:
        return len(self.nodes)

    def __contains__(self, name: Any) -> bool:
        return name in set(self.nodes)

    def __iter__(self) -> "Iterator[FreeTable]":
        from .table import FreeTable

        return (FreeTable(self._connection, name) for name in self.topological_sort())

    def __reversed__(self) -> "Iterator[FreeTable]":
        return reversed(list(self))

    def __bool__(self) -> bool:
        return True

    # -- how it is drawn -------------------------------------------------------------------------------------------
    def _titles(self) -> dict[str, str]:
        """Schema → the module that all its classes come from, if it is one."""
        from .table import Table

        modules: dict[str, set[str]] = {}
        todo: list[Any] = [Table]
        while todo:
            cls = todo.pop()
            todo += cls.__subclasses__()
            if isinstance(database := cls.__dict__.get("database"), str):
                modules.setdefault(database, set()).add(cls.__module__)
        return {
            schema: next(iter(modules[schema]))
            for schema in self._native.schemas()
            if len(modules.get(schema, ())) == 1
        }

    def _display(self, key: str) -> str:
        return self._connection._config[f"display.diagram_{key}"]

    def make_mermaid(self) -> str:
        """The diagram as Mermaid text, for Markdown."""
        return self._native.mermaid(self._display("direction"), self._titles())

    def make_dot(self, theme: str | None = None) -> "Dot":
        """The diagram for Graphviz; ``.to_string()`` gives the DOT text."""
        return Dot(self._native.dot(self._display("direction"), theme or self._display("theme"), self._titles()))

    def svg_string(self, theme: str | None = None) -> str:
        """The diagram as SVG. Needs nothing installed."""
        return self._native.svg(self._display("direction"), theme or self._display("theme"), self._titles())

    def make_svg(self) -> Any:
        """The diagram as an IPython ``SVG``. Needs IPython."""
        from IPython.display import SVG

        return SVG(self.svg_string())

    def _repr_svg_(self) -> str:
        return self.svg_string()

    def save(self, filename: str | os.PathLike[str], format: str | None = None) -> None:
        """Writes the diagram to a file: ``.svg``, ``.mmd`` or ``.mermaid``, ``.dot``, or as ``format`` says."""
        path = Path(filename)
        kind = (format or path.suffix.lstrip(".")).lower()
        kind = {"mmd": "mermaid", "gv": "dot"}.get(kind, kind)
        if kind == "svg":
            text = self.svg_string()
        elif kind == "mermaid":
            text = self.make_mermaid() + "\n"
        elif kind == "dot":
            text = self.make_dot().to_string()
        elif kind == "png":
            raise NotImplementedError("diagrams are not written as PNG yet; save an .svg")
        else:
            raise DataJointError(f"cannot write a diagram as {kind or path.name!r}: svg, mermaid and dot are possible")
        # Drawn first, then put in place by one rename: a failure leaves no half-written file.
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(text)
            umask = os.umask(0)
            os.umask(umask)
            os.chmod(temporary, 0o666 & ~umask)
            os.replace(temporary, path)
        except BaseException:
            os.unlink(temporary)
            raise

    def __repr__(self) -> str:
        return self.make_mermaid()

    # -- along the rows --------------------------------------------------------------------------------------------
    @classmethod
    def cascade(cls, expr: Any, part_integrity: str = "enforce") -> "Diagram":
        """What a delete would reach. Not offered yet; ``delete`` itself shows it before it acts."""
        raise NotImplementedError("Diagram.cascade is not offered yet; `delete()` shows what it would reach")

    @classmethod
    def trace(cls, expr: Any) -> "Diagram":
        """The ancestors that rows come from. Not offered yet."""
        raise NotImplementedError("Diagram.trace is not offered yet")

    def restrict(self, expr: Any) -> "Diagram":
        """Restricts along the foreign keys. Not offered yet."""
        raise NotImplementedError("Diagram.restrict is not offered yet")

    def prune(self) -> "Diagram":
        """Drops empty tables. Not offered yet."""
        raise NotImplementedError("Diagram.prune is not offered yet")

    def counts(self) -> dict[str, int]:
        """Rows of a restricted diagram. Not offered yet."""
        raise NotImplementedError("Diagram.counts is not offered yet")


class Dot:
    """A diagram as DOT text."""

    def __init__(self, text: str):
        self._text = text

    def to_string(self) -> str:
        """The DOT text."""
        return self._text

    __str__ = to_string


def _is_number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _what_to_show(source: Any) -> tuple[Connection, Callable[[_lodestore.Diagram], _lodestore.Diagram]]:
    """The connection of a source, and how the source is shown in a native diagram."""
    from .schemas import Schema
    from .table import Table

    if isinstance(source, type) and issubclass(source, Table):
        source = source()
    if isinstance(source, Table):
        name = source.full_table_name
        return source.connection, lambda native: native.show([name])
    schema = source if isinstance(source, Schema) else getattr(source, "schema", None)
    if isinstance(schema, Schema):
        if not schema.is_activated():
            raise DataJointError("the schema has not been activated: there is nothing to show yet")
        connection, database = schema._assert_activated()
        return connection, lambda native: native.show_schema(database)
    raise DataJointError(f"a diagram shows a schema, a table, a module or a diagram, not {type(source).__name__}")
