"""Connections: one open database each, with its stores."""

from __future__ import annotations

import atexit
import os
import threading
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NoReturn

from . import _lodestore, settings
from .errors import DataJointError, ThreadSafetyError
from .logging import logger

if TYPE_CHECKING:
    from .dependencies import Dependencies
    from .schemas import Schema

_KEYWORDS = ("SELECT", "SHOW", "WITH", "VALUES", "PRAGMA", "EXPLAIN", "DESCRIBE")


class Cursor:
    """The result of :meth:`Connection.query`: a finished result set with the DB-API's fetch methods."""

    def __init__(self, names: list[str] | None, rows: list[tuple[Any, ...]], rowcount: int, as_dict: bool):
        self._names = names
        self._rows: list[Any] = [dict(zip(names or (), row)) for row in rows] if as_dict else rows
        self._next = 0
        self.rowcount = rowcount
        self.description = None if names is None else [(name, None, None, None, None, None, None) for name in names]

    def fetchone(self) -> Any:
        """The next row, or None."""
        if self._next >= len(self._rows):
            return None
        self._next += 1
        return self._rows[self._next - 1]

    def fetchmany(self, size: int = 1) -> list[Any]:
        """Up to ``size`` more rows."""
        rows = self._rows[self._next : self._next + size]
        self._next += len(rows)
        return rows

    def fetchall(self) -> list[Any]:
        """All remaining rows."""
        rows = self._rows[self._next :]
        self._next = len(self._rows)
        return rows

    def __iter__(self) -> Iterator[Any]:
        while self._next < len(self._rows):
            self._next += 1
            yield self._rows[self._next - 1]

    def close(self) -> None:
        """Lets the rows go."""
        self._rows, self._next = [], 0


# Closed when the program ends, so that a SQLite database is one file again, without its write-ahead log beside it.
_open: weakref.WeakValueDictionary[int, Connection] = weakref.WeakValueDictionary()


@atexit.register
def _close_all() -> None:
    for connection in list(_open.values()):
        # What a forked child has inherited belongs to its parent.
        if connection._process == os.getpid():
            connection.close()


class Connection:
    """An open database with its stores.

    Without arguments it opens what the configuration names; with nothing configured that is the SQLite file
    ``lodestore.db`` and a directory of objects beside it. It closes at the end of a ``with`` block.

    Parameters
    ----------
    host, user, password, port
        Where a server is and who asks; not needed for SQLite. ``host`` may be ``name:port``, a Unix socket (what begins
        with ``/``), or a URL: ``postgresql://user:password@host:port/database``, ``mysql://user@host``,
        ``sqlite://file.db``.
    use_tls
        None encrypts if the server can; False never; True always, without a check of the certificate;
        ``{"ca": "authority.pem"}`` checks it, ``{"mode": "verify"}`` against the system's authorities.
    database_name
        Database within the server; the file name for SQLite (``:memory:`` allowed).
    backend
        ``"sqlite"``, ``"postgresql"`` or ``"mysql"``; default from the configuration.
    config_override
        A :class:`~lodestore.settings.Config` to use instead of the process-wide one.
    """

    def __init__(
        self,
        host: str | None = None,
        user: str | None = None,
        password: str | None = None,
        port: int | None = None,
        use_tls: Any = None,
        *,
        database_name: str | None = None,
        backend: str | None = None,
        config_override: "settings.Config | None" = None,
    ):
        base = config_override if config_override is not None else settings.global_config()
        url, given = place(host, port, backend)
        given |= {
            "database.user": user,
            "database.password": password,
            "database.name": database_name,
            "database.use_tls": use_tls,
        }
        given = {key: value for key, value in given.items() if value is not None}
        # Without settings of its own the connection shares the handle: stores added later are seen at once.
        own = base
        if given or url is not None:
            own = settings.Config(base._native.fork())
            if url is not None:
                own._native.set_url(url)
            for key, value in given.items():
                own[key] = value
        if use_tls and own["database.backend"] == "sqlite":
            logger.warning("use_tls has no meaning for SQLite and is ignored")
        self._config = own
        self._given = {k: v for k, v in given.items() if k != "database.password"}
        self.schemas: dict[str, Schema] = {}
        self._query_cache: str | None = None
        self._native = _lodestore.Lode.connect(own._native)
        self._process = os.getpid()
        _open[id(self)] = self

    # -- state -----------------------------------------------------------------------------------------------------
    @property
    def conn_info(self) -> dict[str, Any]:
        """What was connected to; the password is masked."""
        get = self._config._native.get
        return {
            "backend": self._native.backend,
            "host": get("database.host"),
            "port": get("database.port"),
            "user": get("database.user"),
            "passwd": settings.Secret(get("database.password")) if get("database.password") else None,
            "database_name": get("database.name"),
        }

    @property
    def config(self) -> "settings.Config":
        """The settings this connection works with."""
        return self._config

    @property
    def adapter(self) -> Any:
        """The text side of the database (quoting)."""
        return self._native

    @property
    def backend(self) -> str:
        """``sqlite``, ``postgresql`` or ``mysql``."""
        return self._native.backend

    @property
    def connection_id(self) -> int:
        """Identifier of the database session."""
        return self._native.connection_id

    @property
    def is_connected(self) -> bool:
        """True while the database answers."""
        return self._native.is_connected

    @property
    def in_transaction(self) -> bool:
        """True while a transaction is open."""
        return self._native.in_transaction

    def get_user(self) -> str:
        """``user@host``."""
        return self._native.user()

    def connect(self) -> None:
        """Opens the database again after :meth:`close`; does nothing while connected."""
        if not self._native.is_connected:
            self._native.reopen()

    def close(self) -> None:
        """Closes the database; later use is an error until :meth:`connect`."""
        self._native.close()

    def ping(self) -> None:
        """Raises :class:`~lodestore.errors.LostConnectionError` if the database does not answer."""
        self._native.ping()

    def __enter__(self) -> "Connection":
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Connection):
            return NotImplemented
        return self is other or (
            self.conn_info == other.conn_info and self.conn_info.get("database_name") not in (None, ":memory:")
        )

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        state = "connected" if self.is_connected else "disconnected"
        return f"DataJoint connection ({state}) {self._native.describe()}"

    def __reduce__(self) -> NoReturn:
        raise TypeError("connections are not pickled; open one in the other process")

    def register(self, schema: Any) -> None:
        """Makes a schema known to this connection."""
        self.schemas[schema.database] = schema

    @property
    def dependencies(self) -> Dependencies:
        """The foreign keys of the known schemas, as a graph."""
        from .dependencies import Dependencies

        return Dependencies(self)

    # -- transactions ----------------------------------------------------------------------------------------------
    def start_transaction(self) -> None:
        """Begins a transaction; an error, without touching it, if one is open."""
        if self.in_transaction:
            raise DataJointError(
                "A transaction is open already; it stays as it is. Nest on purpose with conn.savepoint()."
            )
        self._native.begin()

    def commit_transaction(self) -> None:
        """Commits."""
        self._native.commit()

    def cancel_transaction(self) -> None:
        """Rolls back; harmless without a transaction."""
        self._native.rollback()

    @property
    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """A ``with`` block that commits at its end and rolls back on any exception. Yields the connection."""
        self.start_transaction()
        try:
            yield self
            self.commit_transaction()
        except BaseException:
            self.cancel_transaction()
            raise

    @contextmanager
    def savepoint(self, name: str | None = None) -> Iterator[Connection]:
        """A ``with`` block inside a transaction that undoes itself alone on an exception."""
        name = name or f"lode_{next(_counter)}"
        self._native.savepoint(name)
        try:
            yield self
        except BaseException:
            self._native.rollback_to(name)
            self._native.release(name)
            raise
        else:
            self._native.release(name)

    # -- raw SQL ---------------------------------------------------------------------------------------------------
    def query(
        self,
        query: str,
        args: Sequence[Any] | Mapping[str, Any] = (),
        *,
        as_dict: bool = False,
        suppress_warnings: bool = True,
        reconnect: bool | None = None,
    ) -> Cursor:
        """Runs SQL with ``%s`` or ``%(name)s`` parameters; a literal percent sign is written ``%%``."""
        text, params = _parameters(query, args)
        words = text.lstrip(" \t\r\n(").split(None, 1)
        reads = bool(words) and words[0].upper() in _KEYWORDS
        if self._query_cache is not None and not reads:
            raise DataJointError("only SELECT and SHOW are allowed while a query cache is set")
        names, rows, count = self._native.query(text, params)
        return Cursor(names, rows, count, as_dict)

    def set_query_cache(self, query_cache: str | None = None) -> None:
        """Starts or ends read-only mode with cached results (the cache itself is not available in this version)."""
        if query_cache is not None and not self._config["query_cache"]:
            raise DataJointError("set config['query_cache'] to a directory first")
        self._query_cache = query_cache

    def purge_query_cache(self) -> None:
        """Removes the cached results from the cache directory."""
        folder = self._config["query_cache"]
        if folder is not None and folder.is_dir():
            for file in folder.iterdir():
                if file.is_file() and len(file.name) == 32:
                    file.unlink()


def place(host: str | None, port: int | None, backend: str | None) -> tuple[str | None, dict[str, Any]]:
    """The URL, if the host is one, and the settings of where the database is."""
    url = None
    if host is not None and "://" in host:
        url, host = host, None
    elif host is not None and ":" in host and not host.startswith("/"):
        name, _, text = host.partition(":")
        if ":" in text:
            raise ValueError(f"the host `{host}` holds more than one colon; give the port by `port`")
        if not text.isdecimal():
            raise ValueError(f"the host `{host}` is not `name:port`")
        host, port = name, int(text)
    return url, {"database.backend": backend, "database.host": host, "database.port": port}


def _parameters(query: str, args: Sequence[Any] | Mapping[str, Any]) -> tuple[str, list[Any]]:
    """Rewrites ``%s``, ``%(name)s`` and ``%%`` for the engine, which numbers its placeholders itself."""
    text: list[str] = []
    params: list[Any] = []
    position = i = 0
    while i < len(query):
        c = query[i]
        if c != "%":
            j = query.find("%", i)
            j = len(query) if j < 0 else j
            text.append(query[i:j])
            i = j
            continue
        following = query[i + 1 : i + 2]
        if following == "%":
            text.append("%")
            i += 2
        elif following == "s":
            if isinstance(args, Mapping):
                raise DataJointError("the query has %s placeholders, but the arguments are named")
            if position >= len(args):
                raise DataJointError(f"the query has more placeholders than the {len(args)} arguments given")
            text.append("\0")
            params.append(args[position])
            position += 1
            i += 2
        elif following == "(" and (end := query.find(")s", i)) > 0:
            name = query[i + 2 : end]
            if not isinstance(args, Mapping) or name not in args:
                raise DataJointError(f"no argument named `{name}` is given for the query")
            text.append("\0")
            params.append(args[name])
            i = end + 2
        else:
            raise DataJointError("a literal percent sign in a query is written %%")
    if not isinstance(args, Mapping) and position != len(args):
        raise DataJointError(f"the query has {position} placeholders, but {len(args)} arguments are given")
    return "".join(text), params


class _Counter:
    def __init__(self) -> None:
        self._value, self._lock = 0, threading.Lock()

    def __next__(self) -> int:
        with self._lock:
            self._value += 1
            return self._value


_counter = _Counter()
_lock = threading.RLock()
_singleton: Connection | None = None


def conn(
    host: str | None = None,
    user: str | None = None,
    password: str | None = None,
    *,
    reset: bool = False,
    use_tls: Any = None,
) -> Connection:
    """The process's connection, opened when first asked for.

    With ``reset`` a new one is made; schemas keep the one they were activated with. Other credentials than those of the
    open connection are an error.
    """
    global _singleton
    if settings.thread_safe_mode():
        raise ThreadSafetyError("conn() is not available in thread-safe mode (DJ_THREAD_SAFE). Use dj.Instance(...).")
    with _lock:
        if _singleton is None or reset:
            _singleton = Connection(host, user, password, use_tls=use_tls)
            return _singleton
        url, given = place(host, None, None)
        if url is not None:
            wanted = settings.Config(_singleton._config._native.fork())
            wanted._native.set_url(url)
            given |= {key: wanted[key] for key in ("database.host", "database.port", "database.name")}
        asked = given | {"database.user": user}
        for key, value in asked.items():
            if value is not None and value != _singleton._config[key]:
                raise DataJointError(
                    f"a connection with another {key} is open already; use conn(reset=True) or dj.Connection(...)"
                )
        return _singleton


def default_connection(connection: Connection | None, what: str) -> Connection:
    """The given connection, else the process's; an error in thread-safe mode."""
    if connection is not None:
        return connection
    if settings.thread_safe_mode():
        raise ThreadSafetyError(f"{what} needs an explicit connection in thread-safe mode (DJ_THREAD_SAFE).")
    return conn()
