"""Databases by name. Which statements they take is the engine's business; here is what user code asks for."""

from __future__ import annotations

from typing import NoReturn

from .errors import UnsupportedError


def get_adapter(backend: str) -> NoReturn:
    """The text side of a backend: reach it through a connection (``connection.adapter``) instead."""
    raise UnsupportedError(f"get_adapter({backend!r}) has no counterpart; use a connection's own adapter")
