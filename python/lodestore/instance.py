"""Independent instances: a configuration and a connection of their own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from . import settings
from .connection import Connection, place


if TYPE_CHECKING:
    from . import schemas, table


class Instance:
    """A configuration read afresh, and a connection that uses it; nothing is shared with ``dj.config`` and ``dj.conn()``.

    Keyword arguments are settings: ``safemode=False``, ``display__limit=5``.

    >>> lab = dj.Instance(backend="sqlite", database__name="lab.db")
    >>> schema = lab.Schema("lab")
    """

    def __init__(
        self,
        host: str | None = None,
        user: str | None = None,
        password: str | None = None,
        port: int | None = None,
        use_tls: Any = None,
        backend: str | None = None,
        **kwargs: Any,
    ):
        self.config = settings.Config()
        for name, value in kwargs.items():
            key = name.replace("__", ".", 1)
            if key not in self.config:
                raise TypeError(f"Instance has no setting `{name}`")
            self.config[key] = value
        url, given = place(host, port, backend)
        if url is not None:
            self.config._native.set_url(url)
        given |= {"database.user": user, "database.password": password, "database.use_tls": use_tls}
        for key, value in given.items():
            if value is not None:
                self.config[key] = value
        self._connection: Connection | None = None

    @property
    def connection(self) -> Connection:
        """The instance's connection; opened when first asked for."""
        if self._connection is None:
            self._connection = Connection(config_override=self.config)
        return self._connection

    def Schema(  # noqa: N802
        self,
        name: str,
        *,
        context: Mapping[str, Any] | None = None,
        create_schema: bool = True,
        create_tables: bool | None = None,
        add_objects: Mapping[str, Any] | None = None,
    ) -> schemas.Schema:
        """A schema on this instance's connection."""
        from .schemas import Schema

        return Schema(
            name,
            context=context,
            connection=self.connection,
            create_schema=create_schema,
            create_tables=create_tables,
            add_objects=add_objects,
        )

    def FreeTable(self, full_table_name: str) -> table.FreeTable:  # noqa: N802
        """A table by its full name on this instance's connection."""
        from .table import FreeTable

        return FreeTable(self.connection, full_table_name)

    def __repr__(self) -> str:
        return f"Instance({self._connection!r})" if self._connection else "Instance(not connected)"
