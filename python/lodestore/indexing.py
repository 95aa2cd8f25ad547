"""NumPy indices as selections of the axes of a stored array, and as indices of what was read of it."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: What is wanted of one axis: everything, (start, step, count), or ascending indices.
Selection = None | tuple[int, int, int] | NDArray[np.int64]


class Index:
    """An index of an array of some shape, split in two: a selection of each axis, which is read, and the index that
    picks from the selected part what the whole index would pick from the whole array."""

    __slots__ = ("selections", "rest", "shape")

    def __init__(self, selections: list[Selection], rest: tuple[Any, ...], shape: tuple[int, ...]):
        self.selections = selections
        self.rest = rest
        #: The shape of the result.
        self.shape = shape

    @classmethod
    def of(cls, key: Any, shape: tuple[int, ...]) -> Index | None:
        """The index; None for one that needs the whole array (field names, a single truth value).

        ``IndexError`` for what NumPy refuses, in NumPy's words.
        """
        entries = list(key) if isinstance(key, tuple) else [key]
        if any(_needs_all(entry) for entry in entries):
            return None
        # NumPy itself says what the index means; elements of no size cost nothing.
        probe = np.broadcast_to(np.empty((), "V0"), shape)[key]
        selections: list[Selection] = []
        rest: list[Any] = []
        for entry in _one_for_each_axis(entries, len(shape)):
            if entry is None:
                rest.append(None)
                continue
            selection, local = _select(entry, shape[len(selections)])
            selections.append(selection)
            rest.append(local)
        return cls(selections, tuple(rest), np.shape(probe))


def _needs_all(entry: Any) -> bool:
    if isinstance(entry, (bool, np.bool_, str)):
        return True
    if entry is None or entry is Ellipsis or isinstance(entry, (slice, int, np.integer)):
        return False
    array = np.asarray(entry)
    return array.dtype.kind in "SUO" or (array.dtype.kind == "b" and array.ndim == 0)


def _one_for_each_axis(entries: list[Any], ndim: int) -> list[Any]:
    """Integers, slices and arrays of integers, one for each axis, with None for new axes in between."""
    full: list[Any] = []
    for entry in entries:
        if entry is None or entry is Ellipsis or isinstance(entry, slice):
            full.append(entry)
        elif isinstance(entry, (int, np.integer)):
            full.append(int(entry))
        else:
            array = np.asarray(entry)
            if array.dtype == bool:
                full += array.nonzero()
            elif array.ndim == 0:
                full.append(operator.index(array[()]))
            else:
                full.append(array.astype(np.int64))
    missing = [slice(None)] * (ndim - sum(entry is not None and entry is not Ellipsis for entry in full))
    at = next((i for i, entry in enumerate(full) if entry is Ellipsis), len(full))
    return full[:at] + missing + full[at + 1 :]


def _select(entry: Any, n: int) -> tuple[Selection, Any]:
    """The selection of an axis of length ``n``, and the index into what it selects."""
    if isinstance(entry, slice):
        chosen = range(n)[entry]
        if len(chosen) == n and chosen.step == 1:
            return None, slice(None)
        if chosen.step < 0:
            chosen = chosen[::-1]
            return (chosen.start, chosen.step, len(chosen)), slice(None, None, -1)
        return (chosen.start, chosen.step, len(chosen)), slice(None)
    if isinstance(entry, int):
        return (entry % n, 1, 1), 0
    ascending, places = np.unique(np.where(entry < 0, entry + n, entry), return_inverse=True)
    return ascending, places.reshape(entry.shape)
