"""The protocol by which codecs make values that Spark can hold."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable


@runtime_checkable
class SparkAdapter(Protocol):
    """A codec that can turn a decoded value into plain Python values: numbers, text, bytes, dates, lists, dicts."""

    def to_spark(self, decoded: Any, *, key: dict[str, Any] | None = None) -> Any:
        """The value as Spark takes it."""
        ...
