"""Schemas: the decorator that binds classes to tables, and modules made from schemas that exist."""

from __future__ import annotations

import decimal
import inspect
import itertools
import math
import re
import sys
import types
import warnings
from collections import ChainMap
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from . import _lodestore
from .connection import Connection, default_connection
from .errors import DataJointError, UnsupportedError
from .logging import logger
from .table import FreeTable, Table
from .user_tables import TIERS, Lookup, Part, UserTable, _stored_name
from .utils import user_choice

if TYPE_CHECKING:
    from ._lodestore import _Resolve

__all__ = ["Schema", "VirtualModule", "list_schemas", "virtual_schema"]


_T = TypeVar("_T", bound=UserTable)


class Schema:
    """A namespace of tables in the database, and the decorator that puts classes there.

    Parameters
    ----------
    schema_name
        Name in the database. Without it the schema is activated later by :meth:`activate`.
    context
        Where the names after ``->`` are looked up; default: where the decorated class stands.
    connection
        Default: ``dj.conn()``.
    create_schema
        Create the schema if it does not exist.
    create_tables
        Create missing tables; default ``config.database.create_tables``.
    add_objects
        More names for ``->`` lines.

    >>> schema = dj.Schema("lab")
    >>> @schema
    ... class Subject(dj.Manual):
    ...     definition = '''
    ...     subject_id : int32
    ...     ---
    ...     name : varchar(64)
    ...     '''
    """

    def __init__(
        self,
        schema_name: str | None = None,
        context: Mapping[str, Any] | None = None,
        *,
        connection: Connection | None = None,
        create_schema: bool = True,
        create_tables: bool | None = None,
        add_objects: Mapping[str, Any] | None = None,
    ):
        self.database: str | None = None
        self.connection = connection
        self.context = context
        self.create_schema = create_schema
        self.create_tables = create_tables
        self.add_objects = dict(add_objects) if add_objects else None
        self.declare_list: list[tuple[type, Mapping[str, Any]]] = []
        if schema_name is not None:
            self.activate(schema_name)

    # -- activation ------------------------------------------------------------------------------------------------
    def is_activated(self) -> bool:
        """True once the schema has a name."""
        return self.database is not None

    def activate(
        self,
        schema_name: str | None = None,
        *,
        connection: Connection | None = None,
        create_schema: bool | None = None,
        create_tables: bool | None = None,
        add_objects: Mapping[str, Any] | None = None,
    ) -> None:
        """Gives the schema its name, creates it if asked to, and declares the classes decorated so far.

        Activating again under the same name declares what is still missing.
        """
        if schema_name is None:
            if self.is_activated():
                return
            raise DataJointError("activate() needs a schema name the first time")
        if not isinstance(schema_name, str):
            raise DataJointError(f"a schema name is text, not {type(schema_name).__name__}")
        if self.database is not None and self.database != schema_name and self.exists:
            raise DataJointError(f"the schema is activated as `{self.database}` already")
        if connection is not None:
            self.connection = connection
        self.connection = default_connection(self.connection, "Schema(...)")
        if create_schema is not None:
            self.create_schema = create_schema
        if create_tables is not None:
            self.create_tables = create_tables
        if add_objects:
            self.add_objects = {**(self.add_objects or {}), **add_objects}
        native = self.connection._native
        if not native.schema_exists(schema_name):
            if not self.create_schema:
                known = _lodestore.did_you_mean(schema_name, native.schemas()) or ""
                raise DataJointError(
                    f"the schema `{schema_name}` does not exist, and create_schema is False. {known}".rstrip()
                )
            logger.debug("Creating schema `%s`.", schema_name)
            native.create_schema(schema_name)
        self.database = schema_name
        self.connection.register(self)
        self._declare_deferred()

    def _declare_deferred(self) -> None:
        # A class whose parents come later in the list waits for them; what cannot be declared stays in the list.
        pending = self.declare_list
        while pending:
            names = {cls.__name__ for cls, _ in pending}
            for index, (cls, context) in enumerate(pending):
                mentioned = {t.split(".")[0] for t in _targets(cls)} - {cls.__name__, "self", "master"}
                if not (mentioned & (names - {cls.__name__})):
                    break
            else:
                index, (cls, context) = 0, pending[0]
            self._bind(cls, context)
            del pending[index]

    def _assert_activated(self) -> tuple[Connection, str]:
        """The connection and the name; an error without them."""
        if self.database is None or self.connection is None:
            raise DataJointError("the schema is not activated yet; give it a name with schema.activate(name)")
        return self.connection, self.database

    @property
    def exists(self) -> bool:
        """True if the schema is in the database."""
        connection, database = self._assert_activated()
        return connection._native.schema_exists(database)

    # -- decoration ------------------------------------------------------------------------------------------------
    def __call__(self, cls: type[_T], *, context: Mapping[str, Any] | None = None) -> type[_T]:
        """Binds a class to its table, and creates the table if it does not exist."""
        if not isinstance(cls, type) or not issubclass(cls, UserTable):
            raise DataJointError(
                f"a schema decorates classes of Manual, Lookup, Imported or Computed, not {getattr(cls, '__name__', cls)!r}"
            )
        if issubclass(cls, Part):
            raise DataJointError("a part is not decorated: it belongs to its master, which is")
        if context is None:
            context = self.context if self.context is not None else caller_context(2)
        if self.is_activated():
            self._bind(cls, context)
        else:
            self.declare_list.append((cls, context))
        return cls

    def _bind(self, cls: Any, context: Mapping[str, Any]) -> None:
        connection, _ = self._assert_activated()
        spaces: list[MutableMapping[str, Any]] = [{cls.__name__: cls, "self": cls}]
        if self.add_objects:
            spaces.append(self.add_objects)
        context = ChainMap(*spaces, context)  # type: ignore[arg-type]
        parts = _parts_of(cls)
        for part in parts:
            part._master = cls
        self._attach(cls, context)
        for part in parts:
            own = {part.__name__: part, "self": part, "master": cls, **{p.__name__: p for p in parts}}
            self._attach(part, context.new_child(own))
        create = self.create_tables
        if create is None:
            create = connection.config["database.create_tables"]
        # Parts may refer to one another in any order.
        waiting = [cls, *parts]
        while waiting:
            names = {p.__name__ for p in waiting[1:]}
            index = next(
                (i for i, c in enumerate(waiting) if c is cls or not _part_targets(c, cls) & (names - {c.__name__})), 0
            )
            self._declare(waiting.pop(index), create)
        for member in [cls, *parts]:
            self._fill(member)

    def _attach(self, cls: Any, context: Mapping[str, Any]) -> None:
        cls.database = self.database
        cls._connection = self.connection
        cls._heading = None
        cls.declaration_context = context
        cls._support = None

    def _declare(self, cls: Any, create: bool) -> None:
        instance = cls()
        definition = inspect.cleandoc(cls.definition) if isinstance(cls.definition, str) else None
        if create and definition is not None and not cls._connection.in_transaction:
            # The engine looks for the table before it creates it: once is enough.
            there = not declare_table(cls, cls.declaration_context)
        else:
            there = instance.is_declared
            if not there and create:
                declare_table(cls, cls.declaration_context)
        if there and definition is not None:
            if create:
                _restore_lineage(cls)
            _warn_of_drift(cls)
        if definition is not None and "Table definition:" not in (cls.__doc__ or ""):
            cls.__doc__ = f"{inspect.cleandoc(cls.__doc__ or '')}\n\nTable definition:\n\n{definition}".strip()
        cls._support = [cls.full_table_name]

    def _fill(self, cls: Any) -> None:
        """Puts the contents of a Lookup into its table: missing rows by key."""
        contents = cls.__dict__.get("contents", getattr(cls, "contents", None))
        if not issubclass(cls, Lookup) or contents is None:
            return
        instance = cls()
        if not instance.is_declared:
            return
        contents = instance.contents
        rows = list(contents() if callable(contents) else contents)
        if not rows:
            return
        if instance.heading.has_autoincrement:
            warnings.warn(
                f"the contents of {cls.__name__} are not inserted, because its key numbers itself",
                UserWarning,
                stacklevel=4,
            )
            return
        names = instance.heading.names
        rows = [row if isinstance(row, Mapping) else dict(zip(names, row, strict=True)) for row in rows]
        missing, differing = _compare(instance, rows)
        if missing:
            instance.insert(missing, skip_duplicates=True)
        if differing:
            shown = "; ".join(differing[:5]) + ("; …" if len(differing) > 5 else "")
            logger.warning(
                "Rows of %s differ from its contents and stay as they are: %s. update1() changes them.",
                cls.__name__,
                shown,
            )

    # -- looking up ------------------------------------------------------------------------------------------------
    def list_tables(self) -> list[str]:
        """Stored table names in topological order, parts directly after their master."""
        connection, database = self._assert_activated()
        return [t for _, t in connection._native.tables(database)]

    def _find(self, name: str) -> str | None:
        if not isinstance(name, str) or not name:
            return None
        tables = set(self.list_tables())
        names = [name]
        if name[0].isupper():
            names.append(".".join(_snake(part) for part in re.split(r"__|\.", name)).replace(".", "__"))
        for base, prefix in itertools.product(names, ("", "#", "_", "__")):
            if prefix + base in tables:
                return prefix + base
        return None

    def get_table(self, name: str) -> FreeTable:
        """A table by class name, stored name, or stored name without prefix; parts as ``Master.Part``."""
        connection, database = self._assert_activated()
        found = self._find(name)
        if found is None:
            known = self._ipython_key_completions_()
            hint = _lodestore.did_you_mean(str(name), known) or ""
            raise DataJointError(f"the schema `{database}` has no table `{name}`. {hint}".rstrip())
        return FreeTable._of(connection, database, found)

    def __getitem__(self, name: str) -> FreeTable:
        return self.get_table(name)

    def __contains__(self, name: str) -> bool:
        return self._find(name) is not None

    def __iter__(self) -> Iterator[FreeTable]:
        for name in self.list_tables():
            yield self.get_table(name)

    def _ipython_key_completions_(self) -> list[str]:
        return [_class_name(t) for t in self.list_tables()]

    def make_classes(self, into: MutableMapping[str, Any] | None = None) -> None:
        """Adds a class for every table that a namespace does not have yet; default: where it is called."""
        if into is None:
            into = self.context if self.context is not None else sys._getframe(1).f_locals  # type: ignore[assignment]
        tables = self.list_tables()
        known: dict[str, Any] = {
            _stored_name(v): v
            for v in list(into.values())  # type: ignore[union-attr]
            if isinstance(v, type) and issubclass(v, UserTable) and getattr(v, "database", None) == self.database
        }
        masters: dict[str, Any] = {}
        for table in tables:
            tier, master = _lodestore.table_tier(table)
            if tier == "part":
                continue
            if table in known:
                masters[table] = known[table]
                continue
            if tier not in TIERS:
                continue
            name = _lodestore.table_to_class(table)
            cls = self._class(name, TIERS[tier], table)
            masters[table] = into[name] = cls  # type: ignore[index]
        for table in tables:
            tier, master = _lodestore.table_tier(table)
            if tier != "part":
                continue
            if master is None or master not in masters:
                raise DataJointError(f"the part table `{table}` has no master `{master}` in schema `{self.database}`")
            owner = masters[master]
            name = _lodestore.table_to_class(table[len(master) + 2 :])
            if name in vars(owner):
                continue
            part = self._class(name, Part, table, definition=...)
            part._master = owner
            setattr(owner, name, part)

    def _class(self, name: str, base: type, table: str, **members: Any) -> Any:
        members.update(
            _table_name=table,
            database=self.database,
            _connection=self.connection,
            _heading=None,
            _support=None,
            __module__=__name__,
            declaration_context=None,
        )
        return type(base)(name, (base,), members)

    # -- the rest --------------------------------------------------------------------------------------------------
    def drop(self, prompt: bool | None = None) -> None:
        """Drops the schema with all its tables, after asking (``config['safemode']``)."""
        connection, database = self._assert_activated()
        if not self.exists:
            logger.info("Schema `%s` does not exist; nothing to drop.", database)
            return
        prompt = connection.config["safemode"] if prompt is None else prompt
        if prompt and user_choice(f"Proceed to delete entire schema `{self.database}`?", default="no") != "yes":
            return
        logger.debug("Dropping `%s`.", self.database)
        connection._native.drop_schema(database)
        logger.debug("Schema `%s` was dropped.", self.database)

    @property
    def jobs(self) -> list[Any]:
        """The job tables of the schema (job queues are not available in this version)."""
        self._assert_activated()
        return []

    @property
    def lineage(self) -> dict[str, str]:
        """``schema.table.attribute`` → where it comes from."""
        connection, database = self._assert_activated()
        return connection._native.lineage(database)

    @property
    def lineage_table_exists(self) -> bool:
        """True if the schema records lineage."""
        connection, database = self._assert_activated()
        return connection._native.lineage_table_exists(database)

    def rebuild_lineage(self) -> None:
        """Recomputes the recorded lineage from the foreign keys."""
        connection, database = self._assert_activated()
        connection._native.rebuild_lineage(database)

    def check(self) -> dict[str, list[str]]:
        """Differences between the definitions of the classes in use and the tables: table name → sentences."""
        found = {}
        for cls in _all_subclasses(UserTable):
            if (
                cls.__dict__.get("database") == self.database
                and cls.__dict__.get("_connection") is self.connection
                and isinstance(cls.__dict__.get("definition"), str)
            ):
                drift = _drift(cls)
                if drift:
                    found[_name_of(cls)] = drift
        return found

    def __repr__(self) -> str:
        return f"Schema `{self.database}`\n"

    def __reduce__(self) -> NoReturn:
        raise TypeError("schemas are not pickled; import the module that makes them")


_Schema = Schema


class VirtualModule(types.ModuleType):
    """A module with one class for each table of a schema that exists.

    >>> lab = dj.VirtualModule("lab", "lab")
    >>> lab.Subject.to_dicts()
    """

    def __init__(
        self,
        module_name: str,
        schema_name: str,
        *,
        create_schema: bool = False,
        create_tables: bool = False,
        connection: Connection | None = None,
        add_objects: Mapping[str, Any] | None = None,
    ):
        super().__init__(name=module_name)
        connection = default_connection(connection, "VirtualModule(...)")
        schema = Schema(schema_name, create_schema=create_schema, create_tables=create_tables, connection=connection)
        if add_objects:
            self.__dict__.update(add_objects)
        self.__dict__["schema"] = schema
        schema.make_classes(into=self.__dict__)


def virtual_schema(
    schema_name: str,
    *,
    connection: Connection | None = None,
    create_schema: bool = False,
    create_tables: bool = False,
    add_objects: Mapping[str, Any] | None = None,
) -> VirtualModule:
    """A :class:`VirtualModule` named as its schema."""
    return VirtualModule(
        schema_name,
        schema_name,
        connection=connection,
        create_schema=create_schema,
        create_tables=create_tables,
        add_objects=add_objects,
    )


def list_schemas(connection: Connection | None = None) -> list[str]:
    """Names of all schemas in the database."""
    return default_connection(connection, "list_schemas()")._native.schemas()


# -- declaration -------------------------------------------------------------------------------------------------------
def declare_table(cls: Any, context: Mapping[str, Any]) -> bool:
    """Creates the table of a class from its definition; False if it was there already."""
    connection = cls._connection
    if connection is None or cls.database is None:
        raise DataJointError(f"{cls.__name__} is not bound to a schema")
    if connection.in_transaction:
        raise DataJointError("tables are not declared inside a transaction; declare them before it begins")
    warned = connection._native.declare(*_declaration(cls), _resolver(cls, context))
    for message in warned or ():
        logger.warning("%s: %s", cls.__name__, message)
    return warned is not None


def alter_table(cls: Any, context: Mapping[str, Any], prompt: bool = True) -> None:
    """Changes the table of a class to its definition, after showing what changes (``config['safemode']``)."""
    if not issubclass(cls, UserTable):
        raise UnsupportedError(f"{cls.__name__} has no `definition`; alter the table through its class")
    connection = cls._connection
    if connection is None or cls.database is None:
        raise DataJointError(f"{cls.__name__} is not bound to a schema")
    if connection.in_transaction:
        raise DataJointError("tables are not altered inside a transaction; alter them before it begins")
    plan = connection._native.alter(*_declaration(cls), _resolver(cls, context))
    for text in plan.ignored:
        logger.warning("%s stays different from its definition: %s", cls.__name__, text)
    if not plan.changes:
        logger.info("The table of %s is as its definition says; nothing to alter.", cls.__name__)
        return
    if prompt and connection.config["safemode"]:
        changes = "\n".join(f"  {text}" for text in plan.changes)
        statements = "\n".join(f"  {text};" for text in plan.statements)
        logger.info("Changes of %s:\n%s\nby\n%s", cls.__name__, changes, statements)
        if user_choice("Execute?", default="no") != "yes":
            logger.warning("Nothing was altered.")
            return
    plan.execute()
    cls._heading = None
    _drift_told.discard((id(connection), cls.database, cls.table_name))
    logger.info("The table of %s was altered.", cls.__name__)


def _declaration(cls: Any) -> tuple[Any, ...]:
    if not isinstance(cls.definition, str):
        raise NotImplementedError(f"{cls.__name__} has no `definition`; write it as a class attribute")
    master = cls._master.table_name if issubclass(cls, Part) and cls._master is not None else None
    tier = "part" if issubclass(cls, Part) else next(t for t, base in TIERS.items() if issubclass(cls, base))
    return cls.database, cls.__name__.replace("_", ""), tier, master, cls.definition


def _drift(cls: Any) -> list[str]:
    return cls._connection._native.check_definition(*_declaration(cls), _resolver(cls, cls.declaration_context or {}))


def _restore_lineage(cls: Any) -> None:
    """Records where the key of a table comes from, if that was lost. A failure is told, not raised."""
    try:
        if cls._connection._native.restore_lineage(*_declaration(cls), _resolver(cls, cls.declaration_context or {})):
            logger.info("The lineage of %s was recorded again.", cls.__name__)
    except (DataJointError, NotImplementedError) as error:
        logger.warning("The lineage of %s could not be recorded: %s", cls.__name__, error)


_drift_told: set[tuple[int, str, str]] = set()


def _warn_of_drift(cls: Any) -> None:
    """Says once if the declared table is not what the definition says."""
    told = (id(cls._connection), cls.database, cls.table_name)
    if told in _drift_told:
        return
    try:
        drift = _drift(cls)
    except (DataJointError, NotImplementedError) as error:
        logger.debug("The definition of %s could not be compared: %s", cls.__name__, error)
        return
    if drift:
        _drift_told.add(told)
        lines = "\n".join(f"  {line}" for line in drift)
        logger.warning("The table of %s differs from its definition and stays as it is:\n%s", cls.__name__, lines)


def _resolver(cls: Any, context: Mapping[str, Any]) -> _Resolve:
    """Finds the target of a ``->`` line: by its name first, by evaluating its text only if it has no plain form."""

    def resolve(text: str, name: str | None, renames: list[tuple[str, str]]) -> tuple[str, str, list[tuple[str, str]]]:
        if name is not None:
            try:
                target = _look_up(name, context)
            except KeyError as error:
                missing = error.args[0]
                near = _lodestore.did_you_mean(missing, [n for n in _table_names(context)]) or ""
                raise DataJointError(f"`{missing}` is not known here. {near}".rstrip()) from None
        else:
            try:
                target = eval(text, {"__builtins__": {}}, _Names(context))  # noqa: S307 - the user's own definition
            except Exception as error:
                raise DataJointError(f"`{text}` could not be evaluated: {error}") from error
        if isinstance(target, type) and issubclass(target, Table):
            target = target()
        if not isinstance(target, Table):
            raise DataJointError(f"`{text}` must lead to a table, not {type(target).__name__}")
        if target._query_handle is not None and target._recipe is not None:
            if target._query.is_restricted():
                raise DataJointError(f"`{text}` is restricted; a foreign key takes whole tables")
            renames = [*renames, *target._query.renames()]
        if target.database is None or target._connection is None:
            raise DataJointError(f"`{text}` leads to {type(target).__name__}, which is not declared yet")
        return target.database, target.table_name, renames

    return resolve


class _Names(dict[str, Any]):
    """A context for eval, looked up lazily."""

    def __init__(self, context: Mapping[str, Any]):
        super().__init__()
        self._context = context

    def __missing__(self, name: str) -> Any:
        return self._context[name]


def _look_up(dotted: str, context: Mapping[str, Any]) -> Any:
    first, *rest = dotted.split(".")
    value = context[first]
    for name in rest:
        try:
            value = value[name] if isinstance(value, Schema) else getattr(value, name)
        except (AttributeError, DataJointError):
            raise KeyError(dotted) from None
    return value


def _table_names(context: Mapping[str, Any]) -> list[str]:
    return [n for n in list(context) if isinstance(context.get(n), type) and issubclass(context[n], Table)]


def caller_context(depth: int, cls: type | None = None) -> Mapping[str, Any]:
    """Names visible where the user's code stands: its locals, those of functions around it in the same module, globals."""
    frame: Any = sys._getframe(depth)
    while frame is not None and frame.f_globals.get("__name__", "").split(".")[0] == "lodestore":
        frame = frame.f_back
    if frame is None:
        return {}
    spaces: list[Any] = [frame.f_locals]
    outer = frame.f_back
    while outer is not None and outer.f_globals is frame.f_globals:
        if outer.f_locals is not outer.f_globals:
            spaces.append(outer.f_locals)
        outer = outer.f_back
    spaces.append(frame.f_globals)
    if cls is not None:
        module = sys.modules.get(cls.__module__)
        if module is not None and not cls.__module__.startswith("lodestore"):
            spaces.append(vars(module))
    return ChainMap(*spaces)


def _parts_of(cls: type) -> list[Any]:
    """Part classes of a master, base classes first, in the order of their definition."""
    found: dict[str, Any] = {}
    for base in reversed(cls.__mro__):
        for name, value in vars(base).items():
            if name[:1].isupper() and isinstance(value, type) and issubclass(value, Part):
                found[name] = value
    return list(found.values())


def _targets(cls: Any) -> set[str]:
    """Names after ``->`` in the definitions of a class and its parts."""
    texts = [c.definition for c in [cls, *_parts_of(cls)] if isinstance(c.definition, str)]
    return {m.group(1) for t in texts for m in re.finditer(r"^\s*->\s*(?:\[[^\]]*\])?\s*([\w.]+)", t, re.M)}


def _part_targets(part: Any, master: type) -> set[str]:
    found = set()
    for target in _targets(part):
        pieces = target.split(".")
        if pieces[0] in (master.__name__, "master") and len(pieces) > 1:
            found.add(pieces[1])
        elif len(pieces) == 1:
            found.add(pieces[0])
    return found


def _class_name(table: str) -> str:
    """The class name of a stored name; of a part ``Master.Part``."""
    tier, master = _lodestore.table_tier(table)
    if tier == "part" and master is not None:
        return f"{_lodestore.table_to_class(master)}.{_lodestore.table_to_class(table[len(master) + 2 :])}"
    return _lodestore.table_to_class(table)


def _snake(name: str) -> str:
    return (name[:1] + re.sub(r"([A-Z])", r"_\1", name[1:])).lower()


def _compare(table: Any, rows: list[Mapping[str, Any]]) -> tuple[list[Mapping[str, Any]], list[str]]:
    """Rows whose keys the table lacks, and what differs in the others. Large values are not compared."""
    key = table.primary_key
    heading = table.heading
    plain = [n for n in heading.secondary_attributes if heading[n].codec is None and not heading[n].is_blob]
    given = [n for n in plain if any(n in row for row in rows)]
    present = {_key_of(row, key): row for row in table.proj(*given)}
    missing, differing = [], []
    for row in rows:
        found = present.get(_key_of(row, key))
        if found is None:
            missing.append(row)
            continue
        for name in given:
            if name in row and not _equal(row[name], found[name]):
                named = ", ".join(f"{k}={found[k]!r}" for k in key)
                differing.append(f"({named}) has {name}={found[name]!r} instead of {row[name]!r}")
    return missing, differing


def _equal(given: Any, stored: Any) -> bool:
    """True if a given value would be stored as the other, as far as that can be told without storing it."""
    if given is None or stored is None:
        return given is stored
    if isinstance(given, float) and isinstance(stored, float):
        # A float32 column keeps seven digits.
        return given == stored or math.isclose(given, stored, rel_tol=1e-6) or (given != given and stored != stored)
    try:
        if bool(given == stored):
            return True
    except Exception:  # values that refuse to be compared are compared as text
        pass
    if isinstance(stored, (bool, int, float, decimal.Decimal)):
        try:
            return decimal.Decimal(str(given)) == decimal.Decimal(
                str(int(stored) if isinstance(stored, bool) else stored)
            )
        except (decimal.InvalidOperation, ValueError):
            return False
    return str(given) == str(stored)


def _key_of(row: Mapping[str, Any], key: Iterable[str]) -> tuple[Any, ...]:
    return tuple(str(row.get(name)) for name in key)


def _name_of(cls: Any) -> str:
    return f"{_name_of(cls._master)}.{cls.__name__}" if cls._master is not None else cls.__name__


def _all_subclasses(cls: type) -> Iterator[Any]:
    sub: Any
    for sub in type.__subclasses__(cls):
        yield sub
        yield from _all_subclasses(sub)
