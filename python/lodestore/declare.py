"""Declaring and altering tables. The language itself is read by the engine; here is what user code imports."""

from __future__ import annotations

from .schemas import alter_table as alter
from .schemas import declare_table

__all__ = ["alter", "declare_table"]
