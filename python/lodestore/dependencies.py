"""The foreign keys of the known schemas, as a graph."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .connection import Connection


class Dependencies:
    """A snapshot of tables and foreign keys; :meth:`load` takes a new one. Tables go by their full names."""

    def __init__(self, connection: "Connection"):
        self._connection = connection
        self._native: Any = None

    def load(self, force: bool = True, schema_names: Iterable[str] | None = None) -> None:
        """Reads the foreign keys of the known schemas and of all that references them."""
        if force or self._native is None:
            names = list(schema_names) if schema_names is not None else list(self._connection.schemas)
            self._native = self._connection._native.dependencies(names)

    load_all_downstream = load_all_upstream = load

    def clear(self) -> None:
        """Forgets the snapshot."""
        self._native = None

    def _graph(self) -> Any:
        self.load(force=False)
        return self._native

    @property
    def nodes(self) -> dict[str, dict[str, Any]]:
        """Full name → ``{"primary_key": set}``."""
        return {name: {"primary_key": set(key)} for name, key in self._graph()["nodes"]}

    @property
    def edges(self) -> list[tuple[str, str, dict[str, Any]]]:
        """(parent, child, data) of each foreign key."""
        return [(parent, child, data) for parent, child, data in self._graph()["edges"]]

    def parents(self, table_name: str, primary: bool | None = None) -> list[tuple[str, dict[str, Any]]]:
        """(parent, data) of each foreign key of a table."""
        return [(p, d) for p, c, d in self.edges if c == table_name and primary in (None, d["primary"])]

    def children(self, table_name: str, primary: bool | None = None) -> list[tuple[str, dict[str, Any]]]:
        """(child, data) of each foreign key that references a table."""
        return [(c, d) for p, c, d in self.edges if p == table_name and primary in (None, d["primary"])]

    def topo_sort(self) -> list[str]:
        """All tables, parents before children, parts directly after their master."""
        return list(self._graph()["order"])

    def _reachable(self, table_name: str, forward: bool) -> set[str]:
        found, todo = {table_name}, [table_name]
        while todo:
            current = todo.pop()
            for parent, child, _ in self.edges:
                here, there = (parent, child) if forward else (child, parent)
                if here == current and there not in found:
                    found.add(there)
                    todo.append(there)
        return found

    def descendants(self, table_name: str) -> list[str]:
        """A table and everything that depends on it, in topological order."""
        found = self._reachable(table_name, True)
        return [name for name in self.topo_sort() if name in found]

    def ancestors(self, table_name: str) -> list[str]:
        """A table and everything it depends on, nearest first."""
        found = self._reachable(table_name, False)
        return [name for name in reversed(self.topo_sort()) if name in found]

    def __contains__(self, table_name: str) -> bool:
        return table_name in self.nodes

    def __len__(self) -> int:
        return len(self.nodes)

    def __iter__(self) -> Iterator[str]:
        return iter(self.nodes)

    def __repr__(self) -> str:
        return f"Dependencies({len(self.nodes)} tables, {len(self.edges)} foreign keys)"
