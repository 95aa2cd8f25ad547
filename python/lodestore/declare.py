"""Declaring tables. The language itself is read by the engine; here is what user code imports."""

from __future__ import annotations

from typing import Any, NoReturn

from .errors import UnsupportedError
from .schemas import declare_table

__all__ = ["alter", "declare_table"]


def alter(*_args: Any, **_kwargs: Any) -> NoReturn:
    """Changes a declared table (not available in this version)."""
    raise UnsupportedError("alter is not available in this version")
