"""Tables that fill themselves: ``make``, ``populate``, ``progress``."""

from __future__ import annotations

import contextvars
import inspect
from typing import TYPE_CHECKING, Any

from .condition import AndList, check_limit
from .errors import DataJointError, UnsupportedError
from .expression import QueryExpression
from .logging import logger
from .progress import bar

# The tables whose make runs here and now; a context variable, so that other threads and tasks are not let in.
_making: contextvars.ContextVar[tuple[tuple[int, str, str], ...]] = contextvars.ContextVar("lode_making", default=())


class AutoPopulate:
    """Adds ``populate`` to Imported and Computed tables."""

    _key_source: QueryExpression | None = None

    # The four below take anything after the key, so that type checkers let a table's own take what it needs.

    def make(self, key: dict[str, Any], *args: Any, **make_kwargs: Any) -> Any:
        """Computes one key and inserts the result. Write this, or ``make_fetch``, ``make_compute`` and ``make_insert``.

        In three parts, fetching and computing run without a transaction; then, inside one, ``make_fetch`` runs again, its
        result must be the same as before, and ``make_insert`` stores what was computed.
        """
        parts = ("make_fetch", "make_compute", "make_insert")
        if any(getattr(type(self), p) is getattr(AutoPopulate, p) for p in parts):
            raise UnsupportedError(
                f"{type(self).__name__} needs a method make(self, key), or make_fetch, make_compute and make_insert"
            )
        fetched = self.make_fetch(key, *args, **make_kwargs)
        computed = yield fetched
        if computed is None:
            computed = self.make_compute(key, *fetched)
            yield computed
        self.make_insert(key, *computed)
        yield

    def make_fetch(self, key: dict[str, Any], *args: Any, **make_kwargs: Any) -> Any:
        """First of three parts: fetches what the computation needs; a sequence."""
        raise UnsupportedError(f"{type(self).__name__} has no make_fetch")

    def make_compute(self, key: dict[str, Any], *fetched: Any, **kwargs: Any) -> Any:
        """Second of three parts: computes; a sequence."""
        raise UnsupportedError(f"{type(self).__name__} has no make_compute")

    def make_insert(self, key: dict[str, Any], *computed: Any, **kwargs: Any) -> None:
        """Third of three parts: inserts."""
        raise UnsupportedError(f"{type(self).__name__} has no make_insert")

    if TYPE_CHECKING:
        #: A table may have its own: a property, an expression, or another table's class.
        key_source: Any
    else:

        @property
        def key_source(self) -> QueryExpression:
            """The keys to be computed: by default the join of the parents within the primary key."""
            if self._key_source is None:
                source = QueryExpression()
                source._connection = self.connection
                source._query_handle = self._native.default_key_source()
                self._key_source = source
            return self._key_source

    def _source(self, restrictions: tuple[Any, ...]) -> QueryExpression:
        source = self.key_source
        if isinstance(source, type) and issubclass(source, QueryExpression):
            source = source()
        if not isinstance(source, QueryExpression):
            raise DataJointError(
                f"key_source of {type(self).__name__} must be a query expression, not {type(source).__name__}"
            )
        missing = [n for n in self.primary_key if n not in source.heading]  # type: ignore[attr-defined]
        own = self._native.own_key_attributes() if missing else []  # type: ignore[attr-defined]
        missing = [n for n in missing if n not in own]
        if missing:
            raise DataJointError(f"key_source of {type(self).__name__} lacks the key attributes {', '.join(missing)}")
        return source & AndList(restrictions) if restrictions else source

    def populate(
        self,
        *restrictions: Any,
        suppress_errors: bool = False,
        return_exception_objects: bool = False,
        reserve_jobs: bool = False,
        max_calls: int | None = None,
        display_progress: bool = False,
        processes: int = 1,
        make_kwargs: dict[str, Any] | None = None,
        priority: int | None = None,
        refresh: bool | None = None,
    ) -> dict[str, Any]:
        """Calls ``make`` for every missing key, each in a transaction of its own.

        Parameters
        ----------
        restrictions
            Conditions on ``key_source``, all of which must hold.
        suppress_errors
            Go on after an error, and report it in the result.
        return_exception_objects
            Report the exceptions themselves instead of their text.
        max_calls
            At most so many keys.
        display_progress
            Show a progress bar.
        make_kwargs
            Passed on to ``make``.
        reserve_jobs, processes, priority, refresh
            Job queues and several processes are not available in this version.

        Returns
        -------
        dict
            ``{"success_count": int, "error_list": [(key, message or exception), …]}``
        """
        if reserve_jobs or priority is not None or refresh is not None:
            raise UnsupportedError(
                "job queues (reserve_jobs) are not available in this version; call populate() without"
            )
        if processes not in (1, None, 0):
            raise UnsupportedError("several processes are not available in this version; use processes=1")
        if self._query.is_restricted():  # type: ignore[attr-defined]
            raise DataJointError("populate works on the whole table; pass the restriction as an argument")
        if self.connection.in_transaction:  # type: ignore[attr-defined]
            raise DataJointError("populate cannot run inside a transaction: each key has one of its own")
        source = self._source(restrictions)
        maker = _Maker(self, make_kwargs or {})
        progress = bar(type(self).__name__) if display_progress else None
        count, errors = self._native.populate(  # type: ignore[attr-defined]
            source._query, maker, suppress_errors, check_limit(max_calls, "max_calls"), progress
        )
        error_list = []
        for key, error in errors:
            message = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
            logger.error("Error making %s for %s: %s", type(self).__name__, key, message)
            error_list.append((key, error if return_exception_objects else message))
        return {"success_count": count, "error_list": error_list}

    def progress(self, *restrictions: Any, display: bool = False) -> tuple[int, int]:
        """(remaining, total) keys of ``key_source``."""
        source = self._source(restrictions)
        remaining, total = self._native.progress(source._query)  # type: ignore[attr-defined]
        if display:
            done = 100 - 100 * remaining / (total + 1e-12)
            logger.info("%-20s Completed %d of %d (%2.1f%%)", type(self).__name__, total - remaining, total, done)
        return remaining, total

    @property
    def jobs(self) -> Any:
        """The job queue (not available in this version)."""
        raise UnsupportedError("job queues are not available in this version")

    @property
    def upstream(self) -> Any:
        """The ancestors' rows that belong to the key being made (not available in this version)."""
        if not self._being_made():
            raise DataJointError("upstream is there inside make only")
        raise UnsupportedError("upstream is not available in this version; restrict the parents by the key")

    def _identity(self) -> tuple[int, str, str]:
        return (id(self.connection), self.database, self.table_name)  # type: ignore[attr-defined]

    def _being_made(self) -> bool:
        return self._identity() in _making.get()

    def _check_direct(self, allow: bool | None) -> None:
        if allow:
            return
        if self._being_made():
            if not self.connection.in_transaction:  # type: ignore[attr-defined]
                raise DataJointError(
                    f"make of {type(self).__name__} inserts before its transaction; "
                    "insert in make_insert, or after the computed value was yielded"
                )
        else:
            raise DataJointError(
                f"rows of {type(self).__name__} are made by populate(); "
                "to insert them otherwise give allow_direct_insert=True"
            )


class _Maker:
    """One table's make, as the engine's populate loop calls it."""

    def __init__(self, table: Any, kwargs: dict[str, Any]):
        cls = type(table)
        self._table, self._kwargs = table, kwargs
        self._make = getattr(table, "_make_tuples", None) or table.make
        function = inspect.unwrap(getattr(self._make, "__func__", self._make))
        self._generator = inspect.isgeneratorfunction(function)
        self._name = cls.__name__
        self._held: tuple[str, Any] | None = None
        self._token: Any = None

    def is_prepared(self) -> bool:
        """True if part of the work is done before the transaction."""
        return self._generator

    def _enter(self) -> None:
        self._token = _making.set((*_making.get(), self._table._identity()))

    def _leave(self) -> None:
        if self._token is not None:
            _making.reset(self._token)
            self._token = None

    def prepare(self, key: dict[str, Any]) -> None:
        """Fetches and computes, outside the transaction."""
        self._enter()
        try:
            steps = self._make(dict(key), **self._kwargs)
            fetched = _next(steps, self._name, "the fetched value")
            self._held = (fingerprint(fetched), None)
            computed = _next(steps, self._name, "the computed value")
            if computed is None:
                raise DataJointError(
                    f"make_compute of {self._name} returned None; it must return what is to be inserted"
                )
            self._held = (self._held[0], computed)
        finally:
            self._leave()

    def make(self, key: dict[str, Any]) -> None:
        """Inserts, inside the transaction."""
        self._enter()
        try:
            if not self._generator:
                self._make(dict(key), **self._kwargs)
                return
            before, computed = self._held  # type: ignore[misc]
            steps = self._make(dict(key), **self._kwargs)
            fetched = _next(steps, self._name, "the fetched value")
            if fingerprint(fetched) != before:
                raise DataJointError(
                    f"what make of {self._name} fetched changed while it was computing; nothing was inserted"
                )
            try:
                steps.send(computed)
            except StopIteration:
                pass
        finally:
            self._leave()

    def finished(self, _key: dict[str, Any]) -> None:
        """Lets go of what belongs to one key."""
        self._held = None
        self._leave()


def _next(steps: Any, name: str, what: str) -> Any:
    try:
        return next(steps)
    except StopIteration:
        raise DataJointError(f"make of {name} is a generator and must yield {what}") from None


def fingerprint(value: Any) -> str:
    """A digest of fetched data: sensitive to types, order, shapes and contents; NaN equals itself."""
    import hashlib

    digest = hashlib.blake2b(digest_size=20)

    def feed(item: Any) -> None:
        kind = type(item)
        digest.update(f"{kind.__module__}.{kind.__qualname__}:".encode())
        if item is None:
            return
        if kind.__module__ == "numpy" and hasattr(item, "dtype"):
            digest.update(f"{item.dtype.str}{getattr(item, 'shape', ())}".encode())
            if item.dtype.hasobject:
                for inner in item.ravel().tolist():
                    feed(inner)
            else:
                digest.update(item.tobytes())
        elif isinstance(item, dict):
            digest.update(str(len(item)).encode())
            for k, v in item.items():
                feed(k)
                feed(v)
        elif isinstance(item, (list, tuple)):
            digest.update(str(len(item)).encode())
            for inner in item:
                feed(inner)
        elif isinstance(item, (set, frozenset)):
            digest.update("".join(sorted(fingerprint(i) for i in item)).encode())
        elif isinstance(item, (bytes, bytearray, memoryview)):
            digest.update(bytes(item))
        elif kind.__module__.startswith("pandas") and hasattr(item, "to_records"):
            feed(item.to_records())
        elif kind.__module__.startswith("lodestore") and hasattr(item, "path"):
            digest.update(f"{item.path}{getattr(item, 'store', '')}".encode())
        elif isinstance(item, (str, int, float, complex, bool)):
            digest.update(repr(item).encode())
        else:
            try:
                import pickle

                digest.update(pickle.dumps(item))
            except Exception:
                digest.update(repr(item).encode())
        digest.update(b";")

    feed(value)
    return digest.hexdigest()
