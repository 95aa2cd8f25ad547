"""Arrays larger than memory on their way in: :class:`ArrayStream`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .errors import DataJointError, ValueTypeError, WrongValueError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, DTypeLike, NDArray

__all__ = ["ArrayStream"]

# Memory maps above this go in block by block; below it, in one piece, together with other rows.
_LARGE_MAP = 32 << 20
_BLOCK = 8 << 20


class ArrayStream:
    """An array for ``<npy@>`` that comes in blocks along its first axis and is never in memory as a whole.

    ``blocks`` is an iterable of arrays, such as a generator; each has the stream's ``shape`` but for the first axis, and a
    ``dtype`` that can become the stream's without loss. Their rows must add up to ``shape[0]``. One block at a time is
    asked for, when the one before it has been written: its memory may be used again for the next.

    >>> def frames():
    ...     for _ in range(1000):
    ...         yield camera.read(100)                    # (100, 512, 512)
    >>> Recording.insert1({"recording": 7, "frames": dj.ArrayStream(frames(), (100_000, 512, 512), "uint16")})

    With ``shape[0]`` ``None`` the blocks may be any number. As the ``.npy`` format names the number of rows at its
    beginning, they are then kept in a local temporary file (in ``TMPDIR``) until the last one has come.

    A generator can be stored once; a list of blocks, or what else can be iterated again, as often as you like.
    """

    def __init__(self, blocks: Iterable[ArrayLike], shape: Sequence[int | None], dtype: DTypeLike):
        sizes = tuple(None if size is None else int(size) for size in shape)
        if not sizes:
            raise WrongValueError("an ArrayStream needs at least one axis, along which its blocks come")
        if any(size is None for size in sizes[1:]) or any(size is not None and size < 0 for size in sizes):
            raise WrongValueError(f"{sizes} is not a shape: only the first length may be None, and none negative")
        if not hasattr(blocks, "__iter__") and not hasattr(blocks, "__getitem__"):
            raise ValueTypeError(f"the blocks of an ArrayStream are an iterable of arrays, not {type(blocks).__name__}")
        self._source = blocks
        self._shape = sizes
        self._dtype: np.dtype[Any] = np.dtype(dtype)
        self._begun = False

    @property
    def shape(self) -> tuple[int | None, ...]:
        """Shape; the first length is ``None`` if it will be known at the end."""
        return self._shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Element type."""
        return self._dtype

    def __repr__(self) -> str:
        return f"ArrayStream(shape={self._shape}, dtype={self._dtype})"

    def _blocks(self) -> Iterator[NDArray[Any]]:
        """The blocks, in the stream's element type where that loses nothing. The engine checks what comes."""
        iterator = iter(self._source)
        if self._begun and iterator is self._source:
            raise DataJointError(
                "the blocks of this ArrayStream were read before: they can be stored only once\n"
                "Make the generator and the ArrayStream again, and insert the row again."
            )
        self._begun = True
        for item in iterator:
            block = np.asarray(item)
            if block.dtype != self._dtype and np.can_cast(block.dtype, self._dtype, "safe"):
                block = block.astype(self._dtype)
            yield block


def _of_memory_map(array: np.memmap[Any, Any]) -> ArrayStream | None:
    """A large memory map as a stream whose pages are let go when they are written; none if it had better go in whole.

    Mapped pages count as memory of the process. Letting go of them loses nothing where the file itself is mapped
    (modes ``r``, ``r+``, ``w+``); a private copy (mode ``c``) would forget its changes.
    """
    memory = getattr(array, "_mmap", None)
    whole = array.nbytes < _LARGE_MAP or array.ndim == 0 or not array.flags.c_contiguous
    if whole or memory is None or array.mode not in ("r", "r+", "w+"):
        return None
    return ArrayStream(_MappedBlocks(array, memory), array.shape, array.dtype)


class _MappedBlocks:
    def __init__(self, array: np.memmap[Any, Any], memory: Any):
        self.array = array
        self.memory = memory

    def __iter__(self) -> Iterator[NDArray[Any]]:
        import mmap

        start = np.frombuffer(self.memory, np.uint8).__array_interface__["data"][0]
        first = self.array.__array_interface__["data"][0] - start
        row = self.array.nbytes // len(self.array)
        rows = max(1, _BLOCK // row)
        done = first // mmap.PAGESIZE * mmap.PAGESIZE
        for i in range(0, len(self.array), rows):
            yield self.array[i : i + rows]
            end = (first + min(i + rows, len(self.array)) * row) // mmap.PAGESIZE * mmap.PAGESIZE
            if end > done and hasattr(mmap, "MADV_DONTNEED"):
                self.memory.madvise(mmap.MADV_DONTNEED, done, end - done)
            done = end
