"""Codecs: how a value becomes what its column holds, and back.

A column type in angle brackets names a codec. Codecs of your own are classes:

>>> class Graph(dj.Codec):
...     name = "graph"
...     def get_dtype(self, is_store):
...         return "<blob>"
...     def encode(self, graph, *, key=None, context=None, store_name=None):
...         return {"nodes": list(graph.nodes), "edges": list(graph.edges)}
...     def decode(self, stored, *, key=None, context=None):
...         return networkx.Graph(stored["edges"])

The class statement registers it, and ``: <graph>`` and ``: <graph@store>`` are column types from then on. Packages offer
theirs through the entry-point groups ``lodestore.codecs``, ``datajoint.codecs`` and ``datajoint.types``.
"""

from __future__ import annotations

import inspect
import json
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

from . import _lodestore
from .errors import DataJointError, ValueTypeError
from .settings import global_config

if TYPE_CHECKING:
    from .connection import Connection

__all__ = [
    "Codec",
    "decode_attribute",
    "get_codec",
    "is_codec_registered",
    "list_codecs",
    "lookup_codec",
    "parse_type_spec",
    "resolve_dtype",
    "unregister_codec",
]

# Instances of codecs written in Python; the engine keeps the registry, this only finds the object again.
_instances: dict[str, Codec] = {}

_ENTRY_POINT_GROUPS = ("lodestore.codecs", "datajoint.codecs", "datajoint.types")


class Codec(ABC):
    """Base class of codecs. See the module for an example.

    Class keywords: ``register=False`` keeps a class (a base of others) out of the registry; so does ``name = None``.
    """

    #: The name between the angle brackets.
    name: str | None = None

    #: True if a restriction by value should encode its operand. Only for codecs that end in a scalar type.
    restrictable: bool = False

    def __init_subclass__(cls, *, register: bool = True, **kwargs: Any):
        super().__init_subclass__(**kwargs)
        if not register or cls.name is None:
            return
        if not isinstance(cls.name, str) or not cls.name:
            raise DataJointError(f"the `name` of codec class {cls.__name__} must be a non-empty text, not {cls.name!r}")
        # `abc` knows the abstract methods of a class only after this.
        missing = [name for name in dir(cls) if getattr(getattr(cls, name, None), "__isabstractmethod__", False)]
        if missing:
            raise ValueTypeError(f"codec class {cls.__name__} does not define {', '.join(missing)}")
        known = _instances.get(cls.name)
        if known is not None and _is_redefinition(type(known), cls):
            unregister_codec(cls.name)
        _register(cls(), cls.name)

    @abstractmethod
    def get_dtype(self, is_store: bool) -> str:
        """The next type of the chain: a core type or another codec. Raises ``DataJointError`` for a mode not offered."""

    @abstractmethod
    def encode(self, value: Any, *args: Any, **kwargs: Any) -> Any:
        """The stored form of a value (never called with ``None``).

        Is given ``key``, and ``context`` and ``store_name`` if its signature has them, all by keyword.
        """

    @abstractmethod
    def decode(self, stored: Any, *args: Any, **kwargs: Any) -> Any:
        """The value of a stored form (never called with ``None``).

        Is given ``key``, and ``context`` if its signature has it, both by keyword.
        """

    def validate(self, value: Any) -> None:
        """Raises ``TypeError`` or ``ValueError`` for values that :meth:`encode` would refuse."""

    def referenced_paths(self, stored: Any) -> list[tuple[str, str | None]]:
        """The objects that a stored form names, as (path, store): they are kept by garbage collection."""
        return _referenced_paths(stored)

    @staticmethod
    def _codec_config(key: dict[str, Any] | None = None, context: dict[str, Any] | None = None) -> Any:
        """The settings that an encode or decode was called with."""
        if context and "config" in context:
            return context["config"]
        return (key or {}).get("_config")

    def __repr__(self) -> str:
        return f"<{type(self).__name__} codec {self.name!r}>"


def _is_redefinition(old: type, new: type) -> bool:
    # Running a notebook cell again makes the same class anew; anywhere else a taken name is a mistake.
    return old.__module__ == new.__module__ == "__main__" and old.__qualname__ == new.__qualname__


def _register(instance: Any, name: str) -> None:
    from .builtin_codecs import SchemaCodec

    try:
        _lodestore.register_codec(instance, name, isinstance(instance, SchemaCodec))
    except DataJointError as error:
        raise error.suggest(f"Registered is: {_instances[name]!r}") if name in _instances else error from None
    _instances[name] = instance


def _referenced_paths(stored: Any) -> list[tuple[str, str | None]]:
    if isinstance(stored, str):
        try:
            stored = json.loads(stored)
        except ValueError:
            return []
    if isinstance(stored, dict) and "path" in stored:
        return [(stored["path"], stored.get("store"))]
    return []


def _load_plugins() -> None:
    """Registers what other packages offer. The engine calls this once, when a name is first not found."""
    import importlib.metadata

    from .logging import logger

    for group in _ENTRY_POINT_GROUPS:
        for entry in importlib.metadata.entry_points(group=group):
            if entry.name in _lodestore.codec_names():
                continue
            try:
                found = entry.load()
                if entry.name in _lodestore.codec_names() or not getattr(found, "name", None):
                    continue
                _register(found() if inspect.isclass(found) else found, entry.name)
            except Exception as error:  # a broken plug-in must not break what does not use it
                logger.warning(f"the codec plug-in {entry.name!r} ({entry.value}) could not be loaded: {error}")


def list_codecs() -> list[str]:
    """The names of all codecs, sorted."""
    return _lodestore.codec_names()


def get_codec(spec: str) -> Codec:
    """The codec of ``"blob"``, ``"<blob>"`` or ``"<blob@store>"``. ``DataJointError`` if it is unknown."""
    _lodestore.find_codec(spec)
    return _instance(parse_type_spec(spec)[0])


def _instance(name: str) -> Codec:
    from . import builtin_codecs

    return _instances.get(name) or builtin_codecs.INSTANCES[name]


def is_codec_registered(name: str) -> bool:
    """True if there is a codec of this name, plug-ins included."""
    return parse_type_spec(name)[0] in list_codecs()


def lookup_codec(spec: str) -> tuple[Codec, str | None]:
    """The codec of a type, and its store (``None`` without ``@``, ``""`` for a bare ``@``)."""
    return get_codec(spec), parse_type_spec(spec)[1]


def unregister_codec(name: str) -> None:
    """Removes a codec. ``DataJointError`` if there is none of this name."""
    _lodestore.unregister_codec(name)
    _instances.pop(name, None)


def parse_type_spec(spec: str) -> tuple[str, str | None]:
    """Name and store of a type: ``"<blob@cold>"`` → ``("blob", "cold")``; no ``@`` → ``None``, a bare one → ``""``."""
    return _lodestore.split_type_spec(spec)


def resolve_dtype(
    spec: str, seen: set[str] | None = None, store_name: str | None = None
) -> tuple[str, list[Codec], str | None]:
    """What a type finally is: (final type, codecs from the outermost on, store)."""
    dtype, names, store = _lodestore.resolve_codecs(spec, store_name)
    for name in names:
        if seen and name in seen:
            raise DataJointError(f"the codecs of {spec} refer to each other in a circle: <{name}> comes twice")
    return dtype, [_instance(name) for name in names], store


def decode_attribute(attr: Any, data: Any, squeeze: bool = False, connection: Connection | None = None) -> Any:
    """The value of an attribute's stored form (``None`` for NULL)."""
    if data is None:
        return None
    if getattr(attr, "codec", None) is None:
        return data
    config = connection.config if connection is not None else global_config()
    spec = getattr(attr, "original_type", None) or attr.type
    value = _lodestore.decode_chain(spec, data, config._native)
    if squeeze and hasattr(value, "squeeze") and hasattr(value, "dtype"):
        value = value.squeeze()
    return value
