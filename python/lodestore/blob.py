"""The blob format: any Python value and its bytes.

``pack`` and ``unpack`` read and write what ``<blob>`` and ``<blob@store>`` hold: NumPy arrays, nested containers, dates,
decimals, UUIDs, and MATLAB's cells and structs, byte for byte compatible with DataJoint for Python and for MATLAB.

>>> unpack(pack({"trace": np.arange(3), "rate": 1.5}))
{'trace': array([0, 1, 2]), 'rate': 1.5}
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from . import _lodestore
from .errors import ValueTypeError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Blob", "MatCell", "MatStruct", "pack", "unpack", "use_32bit_dims"]

#: Forces counts of 32 bits when reading, as old 32-bit mYm wrote them. Normally not needed: a blob that cannot be read
#: with 64-bit counts is tried with 32 bits.
use_32bit_dims = False


class MatCell(np.ndarray):
    """An object array that stands for a MATLAB cell array."""


class MatStruct(np.recarray):
    """A record array that stands for a MATLAB struct array."""


def pack(obj: Any, compress: bool = True) -> bytes:
    """The bytes of a value.

    Raises :class:`~lodestore.errors.DataJointError` for values that the format has nothing for.
    """
    return _lodestore.blob_pack(obj, compress)


def unpack(blob: bytes | bytearray | memoryview | None, squeeze: bool = False) -> Any:
    """The value of bytes; ``None`` for ``None``.

    With ``squeeze``, arrays lose their axes of length one, and arrays of one element become plain scalars (cells and
    structs stay arrays). Raises :class:`~lodestore.errors.DataJointError` for bytes that are no blob.
    """
    if blob is None:
        return None
    if not isinstance(blob, (bytes, bytearray, memoryview)):
        raise ValueTypeError(f"a blob is bytes, not {type(blob).__name__}")
    value = _lodestore.blob_unpack(blob, True if use_32bit_dims else None)
    return _squeezed(value) if squeeze else value


def _squeezed(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, MatCell):
        return _map_objects(value).squeeze()
    if isinstance(value, MatStruct):
        out = value.copy()
        for name in out.dtype.names or ():
            np.ndarray.__setitem__(out, name, _map_objects(np.asarray(value[name])))
        return out.squeeze()
    if isinstance(value, np.ndarray):
        if value.dtype.names is not None:
            return value.squeeze()
        plain = (_map_objects(value) if value.dtype.hasobject else value).squeeze()
        return plain.item() if plain.ndim == 0 else plain
    if isinstance(value, dict):
        return {key: _squeezed(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set)):
        return type(value)(_squeezed(item) for item in value)
    return value


def _map_objects(array: NDArray[Any]) -> NDArray[Any]:
    out = np.empty(array.size, dtype=object)
    for i, item in enumerate(np.asarray(array).reshape(-1)):
        out[i] = _squeezed(item)
    return out.reshape(array.shape).view(type(array))


class Blob:
    """The format as an object, for code that keeps one: ``Blob().pack(x)``, ``Blob(squeeze=True).unpack(b)``."""

    def __init__(self, squeeze: bool = False):
        self.squeeze = squeeze

    def pack(self, obj: Any, compress: bool = True) -> bytes:
        """See :func:`pack`."""
        return pack(obj, compress=compress)

    def unpack(self, blob: bytes | bytearray | memoryview | None) -> Any:
        """See :func:`unpack`."""
        return unpack(blob, squeeze=self.squeeze)
