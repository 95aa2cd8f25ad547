"""The pipeline as a picture."""

from __future__ import annotations

import io
import operator
import os
import tempfile
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from . import _lodestore
from .errors import DataJointError

if TYPE_CHECKING:
    import numpy.typing as npt

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
            raise TypeError("a diagram needs something to show: the sequence is empty")
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
        if (drawn := _operand(other)) is not None:
            return self._with(self._native.union(drawn._native))
        levels = _levels(other, "+")
        return self._with(self._native.down(levels) if levels >= 0 else self._native.up(-levels))

    def __sub__(self, other: Any) -> "Diagram":
        if (drawn := _operand(other)) is not None:
            missing = drawn.nodes_to_show - self.nodes_to_show
            if missing and not isinstance(other, Diagram):
                raise KeyError(f"{missing.pop()} is not shown in the diagram, so it cannot be taken away")
            return self._with(self._native.difference(drawn._native))
        levels = _levels(other, "-")
        return self._with(self._native.up(levels) if levels >= 0 else self._native.down(-levels))

    def __mul__(self, other: Any) -> "Diagram":
        if not isinstance(other, Diagram):
            raise AttributeError(
                f"a diagram is intersected (*) with a diagram, not {_kind(other)}; make one of it with `dj.Diagram(...)`"
            )
        return self._with(self._native.intersection(other._native))

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
    def nodes(self) -> "Nodes":
        """Full names of all tables of the database, parents before children; ``nodes(data=True)`` with their keys."""
        keys = ({"primary_key": set(key)} for key in self._native.primary_keys())
        return Nodes(zip(self._native.nodes(), keys))

    @property
    def edges(self) -> "Edges":
        """(parent, child, child columns) of each foreign key; ``edges(data=True)`` with what is known about it."""
        return Edges(
            (parent, child, {"primary": primary, "attr_map": dict(attr_map), "aliased": aliased, "multi": multi})
            for parent, child, primary, attr_map, aliased, multi in self._native.edges()
        )

    def in_edges(self, name: str, data: bool = False) -> list[tuple[Any, ...]]:
        """The foreign keys of a table, as ``edges`` called gives them."""
        return [edge for edge in self.edges(data=data) if edge[1] == name]

    def out_edges(self, name: str, data: bool = False) -> list[tuple[Any, ...]]:
        """The foreign keys that reference a table, as ``edges`` called gives them."""
        return [edge for edge in self.edges(data=data) if edge[0] == name]

    def to_networkx(self) -> Any:
        """The whole graph as a networkx ``MultiDiGraph``, edges keyed by the child's columns. Needs networkx."""
        import networkx

        graph = networkx.MultiDiGraph()
        graph.add_nodes_from(self.nodes(data=True))
        for parent, child, properties in self.edges(data=True):
            graph.add_edge(parent, child, key=tuple(properties["attr_map"]), **properties)
        return graph

    def topological_sort(self) -> list[str]:
        """Full names of the shown tables, parents before children, parts after their master."""
        return self._native.shown()

    def __len__(self) -> int:
        return len(self.nodes)

    def __contains__(self, name: Any) -> bool:
        return name in self.nodes

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

    def make_png(self, theme: str | None = None) -> io.BytesIO:
        """The diagram as a PNG picture. Needs nothing installed."""
        return io.BytesIO(self._native.png(self._display("direction"), theme or self._display("theme"), self._titles()))

    def make_image(self, theme: str | None = None) -> npt.NDArray[np.float32]:
        """The diagram as an array: height × width × red, green, blue, alpha, from 0 to 1. Needs nothing installed."""
        pixels = self._native.pixels(self._display("direction"), theme or self._display("theme"), self._titles())
        return pixels.astype(np.float32) / np.float32(255)

    def draw(self) -> None:
        """Shows the diagram with matplotlib, which must be installed."""
        try:
            import matplotlib.pyplot as plt
        except ImportError as error:
            raise ImportError(
                "drawing a diagram on the screen needs matplotlib; `save`, `make_png` and `svg_string` do not"
            ) from error
        plt.imshow(self.make_image())
        plt.gca().axis("off")
        plt.show()

    def _repr_svg_(self) -> str:
        return self.svg_string()

    def _repr_html_(self) -> str:
        """The picture, and the definitions of its tables, where a click on a table leads."""
        # A notebook may show the same diagram twice, and anchors are of the page.
        prefix = f"lode-{uuid.uuid4().hex[:8]}-"
        return self._native.html(self._display("direction"), self._display("theme"), self._titles(), prefix)

    def save(self, filename: str | os.PathLike[str], format: str | None = None) -> None:
        """Writes the diagram to a file: ``.png``, ``.svg``, ``.mmd`` or ``.mermaid``, ``.dot``, or as ``format`` says."""
        path = Path(filename)
        kind = (format or path.suffix.lstrip(".")).lower()
        kind = {"mmd": "mermaid", "gv": "dot"}.get(kind, kind)
        if kind == "png":
            content = self.make_png().getvalue()
        elif kind == "svg":
            content = self.svg_string().encode()
        elif kind == "mermaid":
            content = f"{self.make_mermaid()}\n".encode()
        elif kind == "dot":
            content = self.make_dot().to_string().encode()
        else:
            raise DataJointError(
                f"cannot write a diagram as {kind or path.name!r}: png, svg, mermaid and dot are possible"
            )
        # Drawn first, then put in place by one rename: a failure leaves no half-written file.
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
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


class Nodes(list[str]):
    """Names of tables. Called, as a networkx view can be: with or without what is known about them."""

    def __init__(self, nodes: Iterable[tuple[str, dict[str, Any]]]):
        self._data = dict(nodes)
        super().__init__(self._data)

    def __call__(self, data: bool = False) -> list[Any]:
        return list(self._data.items()) if data else list(self)

    def __getitem__(self, name: Any) -> Any:
        return self._data[name] if isinstance(name, str) else super().__getitem__(name)


class Edges(list[tuple[str, str, tuple[str, ...]]]):
    """(parent, child, child columns) of foreign keys. Called, as a networkx view can be: (parent, child), or with data."""

    def __init__(self, edges: Iterable[tuple[str, str, dict[str, Any]]]):
        self._data = list(edges)
        super().__init__((parent, child, tuple(data["attr_map"])) for parent, child, data in self._data)

    def __call__(self, data: bool = False) -> list[tuple[Any, ...]]:
        return list(self._data) if data else [(parent, child) for parent, child, _ in self._data]


def _operand(value: Any) -> "Diagram | None":
    """A diagram, or that of a table."""
    from .table import Table

    if isinstance(value, Diagram):
        return value
    is_table = isinstance(value, Table) or (isinstance(value, type) and issubclass(value, Table))
    return Diagram(value) if is_table else None


def _levels(value: Any, operation: str) -> int:
    try:
        return operator.index(value)
    except TypeError:
        raise TypeError(
            f"a diagram {operation} takes a number of levels, a table or a diagram, not {_kind(value)}"
        ) from None


def _kind(value: Any) -> str:
    return value.__name__ if isinstance(value, type) else type(value).__name__


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
