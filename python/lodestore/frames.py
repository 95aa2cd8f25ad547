"""Fetched columns as tables of pandas, polars and pyarrow, none of which is imported before it is asked for."""

from __future__ import annotations

import datetime
import decimal
import sys
import uuid
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from .errors import WrongValueError

if TYPE_CHECKING:
    import polars
    import pyarrow

# What polars finds a type for by itself; the rest is kept as objects.
_PLAIN = (
    type(None), bool, int, float, str, bytes, list, tuple, dict,
    datetime.date, datetime.time, datetime.timedelta, decimal.Decimal,
)  # fmt: skip


def library(name: str, extra: str) -> Any:
    """An optional library, or an error that says how to get it."""
    import importlib

    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ImportError(f"{name} is needed for this; install it with: pip install 'lodestore[{extra}]'") from error


def squeezed(value: Any) -> Any:
    """An array without its dimensions of length one; anything else as it is."""
    numpy: Any = sys.modules.get("numpy")  # no array without it
    return value.squeeze() if numpy and isinstance(value, numpy.ndarray) else value


def squeezed_column(array: Any) -> Any:
    """An array of values along its first dimension, each without its dimensions of length one."""
    if array.dtype.hasobject:
        for i in range(len(array)):
            array[i] = squeezed(array[i])
        return array
    return array.squeeze(axis=tuple(i for i, n in enumerate(array.shape) if i > 0 and n == 1))


def arrow_table(columns: Iterable[tuple[str, Any]]) -> pyarrow.Table:
    """A pyarrow Table of (name, data): data is a list, or an object with Arrow's protocol."""
    arrow = library("pyarrow", "arrow")
    found = {}
    for name, data in columns:
        try:
            found[name] = arrow.array(data)
        except (TypeError, ValueError) as error:
            raise WrongValueError(
                f"the values of `{name}` have no common Arrow type: {error}. "
                f"Leave it out with proj(..., '-{name}'), or use to_dicts()."
            ) from error
    return arrow.table(found)


def polars_frame(columns: Iterable[tuple[str, Any]], uuids: set[str]) -> polars.DataFrame:
    """A polars DataFrame of (name, data); ``uuids`` are the names of the columns with UUIDs."""
    polars = library("polars", "polars")

    def series(name: str, data: Any) -> Any:
        if name in uuids:
            # Polars has no type for them.
            data = [None if v is None else uuid.UUID(bytes=v) for v in polars.Series(name, data).to_list()]
            return polars.Series(name, data, dtype=polars.Object)
        if not isinstance(data, list):
            return polars.Series(name, data)
        if all(v is None or _is_vector(v) for v in data):
            return polars.Series(name, [None if v is None else polars.Series(v) for v in data])
        try:
            if all(isinstance(v, _PLAIN) for v in data):
                return polars.Series(name, data)
        except (TypeError, ValueError, RuntimeError, polars.exceptions.PolarsError):
            pass  # values of different kinds, or decimals of more digits than polars has
        return polars.Series(name, data, dtype=polars.Object)

    return polars.DataFrame([series(name, data) for name, data in columns])


def _is_vector(value: Any) -> bool:
    numpy: Any = sys.modules.get("numpy")
    return bool(numpy) and isinstance(value, numpy.ndarray) and value.ndim == 1 and value.dtype.kind in "biuf"
