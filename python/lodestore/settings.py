"""Configuration: ``dj.config`` and the classes behind it.

Settings are merged by the engine (run time, environment, ``datajoint.json``, ``.secrets``, defaults); the objects here are
views of one engine handle and keep nothing themselves, so that every spelling sees every change at once:
``config["display.limit"]``, ``config.display.limit``, ``config.get("display.limit")``.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from . import _lodestore
from .errors import DataJointError, ThreadSafetyError

CONFIG_FILENAME = "datajoint.json"
SECRETS_DIRNAME = ".secrets"
SYSTEM_SECRETS_DIR = Path("/run/secrets/datajoint")
DEFAULT_SUBFOLDING = (2, 2)
ENV_VAR_MAPPING = {
    "database.host": "DJ_HOST",
    "database.user": "DJ_USER",
    "database.password": "DJ_PASS",
    "database.port": "DJ_PORT",
    "database.backend": "DJ_BACKEND",
    "database.name": "DJ_DATABASE_NAME",
    "database.database_prefix": "DJ_DATABASE_PREFIX",
    "database.create_tables": "DJ_CREATE_TABLES",
    "loglevel": "DJ_LOG_LEVEL",
    "display.diagram_direction": "DJ_DIAGRAM_DIRECTION",
    "display.diagram_theme": "DJ_DIAGRAM_THEME",
}

_MASK = "**********"
_SECRET_WORDS = ("password", "secret_key", "account_key", "token", "connection_string", "access_key")
_PATHS = {"query_cache"}


def thread_safe_mode() -> bool:
    """True if ``DJ_THREAD_SAFE`` asks for no process-wide state."""
    return os.environ.get("DJ_THREAD_SAFE", "").strip().lower() in ("true", "1", "yes")


class Secret:
    """A secret value: shown masked, read with :meth:`get_secret_value`."""

    __slots__ = ("_value",)

    def __init__(self, value: str):
        self._value = value

    def get_secret_value(self) -> str:
        """The value in clear."""
        return self._value

    def __repr__(self) -> str:
        return f"Secret('{_MASK}')"

    def __str__(self) -> str:
        return _MASK

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)

    def __reduce__(self) -> NoReturn:
        raise DataJointError("secrets are not pickled; read them from the configuration where they are needed")


def _masked(value: Any, name: str = "") -> Any:
    if isinstance(value, Mapping):
        return {k: _masked(v, k) for k, v in value.items()}
    if value and isinstance(value, str) and name in _SECRET_WORDS:
        return _MASK
    return value


def _plain(value: Any) -> Any:
    """Turns what users assign into what JSON can hold."""
    if isinstance(value, Secret):
        return value.get_secret_value()
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    return value


class _Spec(dict[str, Any]):
    """One store's specification; assignments go through to the configuration."""

    def __init__(self, config: Config, name: str, spec: dict[str, Any]):
        super().__init__(spec)
        self._config, self._name = config, name

    def _commit(self) -> None:
        self._config._native.set_store(self._name, _plain(dict(self)))

    def __setitem__(self, key: str, value: Any) -> None:
        super().__setitem__(key, value)
        self._commit()

    def __delitem__(self, key: str) -> None:
        super().__delitem__(key)
        self._commit()

    def update(self, *args: Any, **kwargs: Any) -> None:
        super().update(*args, **kwargs)
        self._commit()

    def pop(self, key: str, *default: Any) -> Any:
        value = super().pop(key, *default)
        self._commit()
        return value

    def setdefault(self, key: str, default: Any = None) -> Any:
        if key not in self:
            self[key] = default
        return self[key]

    def clear(self) -> NoReturn:
        raise DataJointError("a store needs a specification; delete the store instead")

    def __ior__(self, other: Any) -> _Spec:  # type: ignore[override, misc]
        self.update(other)
        return self

    def __repr__(self) -> str:
        return repr(_masked(dict(self)))

    def __reduce__(self) -> tuple[Any, ...]:
        return (dict, (dict(self),))


_STORE_DEFAULTS = ("default", "filepath_default")


class Stores(MutableMapping[str, Any]):
    """``config.stores``: store name → specification, and ``default``/``filepath_default`` → store name. Live."""

    __slots__ = ("_config",)

    def __init__(self, config: Config):
        self._config = config

    def _raw(self) -> dict[str, Any]:
        return self._config._native.get("stores") or {}

    def __getitem__(self, name: str) -> Any:
        value = self._raw()[name]
        return _Spec(self._config, name, value) if isinstance(value, dict) else value

    def __setitem__(self, name: str, value: Any) -> None:
        native = self._config._native
        if name in _STORE_DEFAULTS:
            native.set(f"stores.{name}", value)
        elif isinstance(value, Mapping):
            native.set_store(name, _plain(value))
        else:
            raise DataJointError(f"store `{name}` needs a dict as its specification, not {type(value).__name__}")

    def __delitem__(self, name: str) -> None:
        if name in _STORE_DEFAULTS:
            self._config._native.unset(f"stores.{name}")
        elif not self._config._native.remove_store(name):
            raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._raw())

    def __len__(self) -> int:
        return len(self._raw())

    def __repr__(self) -> str:
        return repr(_masked(self._raw()))

    def _ipython_key_completions_(self) -> list[str]:
        return list(self)


class ObjectStorage:
    """``config.object_storage``: the same stores under the name that older documents use."""

    __slots__ = ("_config",)

    def __init__(self, config: Config):
        self._config = config

    @property
    def stores(self) -> Stores:
        """The same live mapping as ``config.stores``."""
        return Stores(self._config)

    @stores.setter
    def stores(self, value: Mapping[str, Any]) -> None:
        self._config.stores = value

    @property
    def default(self) -> str | None:
        """Name of the default store."""
        return self._config.stores.get("default")

    @default.setter
    def default(self, name: str) -> None:
        self._config.stores["default"] = name

    default_store = default

    def __repr__(self) -> str:
        return f"ObjectStorage(default={self.default!r}, stores={self.stores!r})"


class Group:
    """Settings below one name (``config.display``)."""

    def __init__(self, config: Config, name: str):
        object.__setattr__(self, "_config", config)
        object.__setattr__(self, "_name", name)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self._config._attribute(f"{self._name}.{name}")

    def __setattr__(self, name: str, value: Any) -> None:
        self._config[f"{self._name}.{name}"] = value

    def __getitem__(self, name: str) -> Any:
        return self._config[f"{self._name}.{name}"]

    def __setitem__(self, name: str, value: Any) -> None:
        self._config[f"{self._name}.{name}"] = value

    def __iter__(self) -> Iterator[str]:
        return iter(self._config._native.get(self._name) or {})

    def __len__(self) -> int:
        return len(self._config._native.get(self._name) or {})

    def __contains__(self, name: str) -> bool:
        return name in (self._config._native.get(self._name) or {})

    def __eq__(self, other: object) -> bool:
        mine = self._config._native.get(self._name)
        if isinstance(other, Group):
            return mine == other._config._native.get(other._name)
        return mine == other

    __hash__ = None  # type: ignore[assignment]

    def keys(self) -> list[str]:
        """Names of the settings."""
        return list(self)

    def items(self) -> list[tuple[str, Any]]:
        """Names and values; secrets masked."""
        return [(k, _masked(self[k], k)) for k in self]

    def __dir__(self) -> list[str]:
        return list(self)

    def _ipython_key_completions_(self) -> list[str]:
        return list(self)

    def __repr__(self) -> str:
        name = "".join(w.capitalize() for w in self._name.split(".")) + "Settings"
        return f"{name}({', '.join(f'{k}={v!r}' for k, v in self.items())})"


# The reference has one class for each group; here they are views of one kind, under the same names.
class DatabaseSettings(Group):
    """``config.database``."""


class ConnectionSettings(Group):
    """``config.connection``."""


class DisplaySettings(Group):
    """``config.display``."""


class JobsSettings(Group):
    """``config.jobs``."""


class ProvenanceSettings(Group):
    """``config.provenance``."""


StoresSettings = Stores

_GROUPS = {
    "database": DatabaseSettings,
    "connection": ConnectionSettings,
    "display": DisplaySettings,
    "jobs": JobsSettings,
    "provenance": ProvenanceSettings,
    "lode": Group,
}


class Role(str):
    """A user's role; a plain string (kept for code that imports the name)."""


# The Python object of each settings handle of the engine.
_configs: weakref.WeakValueDictionary[int, Config] = weakref.WeakValueDictionary()


def _known_config(handle: int) -> Config | None:
    return _configs.get(handle)


class Config:
    """One set of settings.

    ``Config()`` reads the environment, the nearest ``datajoint.json`` and the secrets directory. The process-wide one is
    ``dj.config``; a :class:`~lodestore.connection.Instance` has its own.
    """

    _native: _lodestore.Config

    def __init__(self, _native: _lodestore.Config | None = None):
        if _native is None:
            _native, messages = _lodestore.Config.from_env()
            for message in messages:
                import warnings

                warnings.warn(message, UserWarning, stacklevel=3)
        object.__setattr__(self, "_native", _native)
        _configs[_native.id] = self

    # -- reading ---------------------------------------------------------------------------------------------------
    def _attribute(self, key: str) -> Any:
        try:
            value = self._native.get(key)
        except KeyError as error:
            raise AttributeError(_text(error)) from None
        if value is not None and self._native.is_secret(key):
            return Secret(value)
        if key in _PATHS and value is not None:
            return Path(value)
        return value

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if name == "object_storage":
            return ObjectStorage(self)
        if name == "stores":
            return Stores(self)
        if name in _GROUPS:
            return _GROUPS[name](self, name)
        return self._attribute(name)

    def __getitem__(self, key: str) -> Any:
        if key == "stores":
            return Stores(self)
        if key == "object_storage":
            return ObjectStorage(self)
        if key in _GROUPS:
            return _GROUPS[key](self, key)
        if key.startswith("object_storage."):
            key = key.removeprefix("object_storage.").replace("default_store", "default")
            key = key if key == "stores" or key.startswith("stores.") else f"stores.{key}"
            return self[key]
        value = self._native.get(key)
        if key in _PATHS and value is not None:
            return Path(value)
        return value

    def get(self, key: str, default: Any = None) -> Any:
        """The value of a dotted key, or ``default`` if there is no such key."""
        try:
            return self[key]
        except KeyError:
            return default

    def __contains__(self, key: str) -> bool:
        return self.get(key, _missing) is not _missing

    def __iter__(self) -> Iterator[str]:
        return iter(self._native.keys())

    def __len__(self) -> int:
        return len(self._native.keys())

    def keys(self) -> list[str]:
        """All dotted keys."""
        return self._native.keys()

    def values(self) -> list[Any]:
        """All values, in the order of :meth:`keys`; secrets masked."""
        return [v for _, v in self.items()]

    def items(self) -> list[tuple[str, Any]]:
        """Keys and values; secrets masked."""
        pairs = ((k, self[k]) for k in self.keys())
        return [(k, _MASK if v and self._native.is_secret(k) else v) for k, v in pairs]

    def origin(self, key: str) -> str | None:
        """Where the value comes from: ``default``, a file, an environment variable, or ``set by the program``."""
        return self._native.origin(key)

    # -- writing ---------------------------------------------------------------------------------------------------
    def __setitem__(self, key: str, value: Any) -> None:
        if key in ("stores", "object_storage.stores"):
            stores = Stores(self)
            new = dict(value)
            for name in list(stores):
                if name not in new:
                    del stores[name]
            for name in sorted(new, key=lambda n: n in _STORE_DEFAULTS):
                stores[name] = new[name]
            return
        if key in ("object_storage.default", "object_storage.default_store"):
            key = "stores.default"
        self._native.set(key, _plain(value))
        if key == "loglevel":
            from .logging import set_level

            set_level(self._native.get("loglevel"))

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _GROUPS and isinstance(value, (Mapping, Group)):
            for k, v in value.items():
                self[f"{name}.{k}"] = v
            return
        self[name] = value

    def __delitem__(self, key: str) -> None:
        self._native.unset(key)

    def update(self, *args: Any, **kwargs: Any) -> None:
        """Sets several keys; ``__`` separates group and key in keyword names."""
        for key, value in dict(*args).items():
            self[key] = value
        for key, value in kwargs.items():
            self[key.replace("__", ".")] = value

    @contextmanager
    def override(self, **settings: Any) -> Iterator[Config]:
        """Sets values for the duration of a ``with`` block; ``__`` separates group and key.

        >>> with dj.config.override(safemode=False, display__limit=3):
        ...     ...
        """
        saved = self._native.snapshot()
        try:
            for key, value in settings.items():
                dotted = key.replace("__", ".", 1)
                if dotted in self:
                    self[dotted] = value
            yield self
        finally:
            self._native.restore(saved)

    # -- files -----------------------------------------------------------------------------------------------------
    def load(self, filename: str | os.PathLike[str]) -> None:
        """Reads a configuration file on top of what is set; a missing or wrong file is an error."""
        self._native.load(os.fspath(filename))

    def save(self, filename: str | os.PathLike[str] = CONFIG_FILENAME) -> Path:
        """Writes the settings that differ from the defaults, without secrets."""
        self._native.save(os.fspath(filename))
        return Path(filename)

    save_local = save

    @staticmethod
    def save_template(
        path: str | os.PathLike[str] = CONFIG_FILENAME, minimal: bool = True, create_secrets_dir: bool = True
    ) -> Path:
        """Writes a configuration file to start from, and a private secrets directory; never overwrites."""
        return Path(_lodestore.Config.save_template(os.fspath(path), minimal, create_secrets_dir))

    # -- stores ----------------------------------------------------------------------------------------------------
    def get_store_spec(self, store: str | None = None, *, use_filepath_default: bool = False) -> dict[str, Any]:
        """The checked specification of a store, with defaults filled in; ``None`` means the default store."""
        return self._native.store_spec(store, use_filepath_default)

    def get_object_store_spec(self, name: str | None = None) -> dict[str, Any]:
        """The same as :meth:`get_store_spec`."""
        return self.get_store_spec(name)

    def __dir__(self) -> list[str]:
        names = {k.split(".")[0] for k in self.keys()}
        return sorted(names | {"stores", "object_storage"} | set(super().__dir__()))

    def _ipython_key_completions_(self) -> list[str]:
        return self.keys()

    def __repr__(self) -> str:
        lines = [f"{key}: {value!r}" for key, value in self.items() if not key.startswith("stores.")]
        return "\n".join([*lines, f"stores: {self.stores!r}"])


_missing = object()


def _text(error: BaseException) -> str:
    return str(error.args[0]) if error.args else str(error)


_lock = threading.Lock()
_global: Config | None = None


def global_config() -> Config:
    """The process-wide settings; read when first asked for."""
    global _global
    if _global is None:
        with _lock:
            if _global is None:
                _global = Config()
    return _global


def _checked() -> Config:
    if thread_safe_mode():
        raise ThreadSafetyError(
            "The global configuration is not available in thread-safe mode (DJ_THREAD_SAFE). "
            "Use dj.Instance(...).config instead."
        )
    return global_config()


class ConfigProxy:
    """``dj.config``: the process-wide settings. Refuses to work in thread-safe mode."""

    __slots__ = ()

    save_template = staticmethod(Config.save_template)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(_checked(), name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(_checked(), name, value)

    def __getitem__(self, key: str) -> Any:
        return _checked()[key]

    def __setitem__(self, key: str, value: Any) -> None:
        _checked()[key] = value

    def __delitem__(self, key: str) -> None:
        del _checked()[key]

    def __contains__(self, key: str) -> bool:
        return key in _checked()

    def __iter__(self) -> Iterator[str]:
        return iter(_checked())

    def __len__(self) -> int:
        return len(_checked())

    def __dir__(self) -> list[str]:
        return [] if thread_safe_mode() else dir(global_config())

    def _ipython_key_completions_(self) -> list[str]:
        return _checked().keys()

    def __repr__(self) -> str:
        if thread_safe_mode():
            return "ConfigProxy (not available in thread-safe mode)"
        return repr(global_config())

    def __reduce__(self) -> str:
        return "config"


config = ConfigProxy()


def find_config_file(start: str | os.PathLike[str] | None = None) -> Path | None:
    """The ``datajoint.json`` of a directory or the nearest parent, up to the repository's root."""
    found = _lodestore.Config.find_config_file(os.fspath(start) if start is not None else os.getcwd())
    return Path(found) if found else None


def find_secrets_dir(config_path: str | os.PathLike[str] | None = None) -> Path | None:
    """The secrets directory that belongs to a configuration file, else the system's."""
    if config_path is not None:
        beside = Path(config_path).parent / SECRETS_DIRNAME
        if beside.is_dir():
            return beside
    return SYSTEM_SECRETS_DIR if SYSTEM_SECRETS_DIR.is_dir() else None


def read_secret_file(secrets_dir: str | os.PathLike[str] | None, name: str) -> str | None:
    """The stripped content of one secret file, or None."""
    if secrets_dir is None:
        return None
    try:
        return (Path(secrets_dir) / name).read_text().strip()
    except FileNotFoundError:
        return None
