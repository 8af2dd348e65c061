"""Rows of codes that may lie in memory or in a file: read by slices, so that memory holds a block of them."""

from typing import Protocol

import numpy as np

# Bytes of one read, and of the gap between two wanted rows that is not worth a read of its own.
_READ_BYTES, _GAP_BYTES = 1 << 24, 1 << 20


class Rows(Protocol):
    """``[n, D]`` float32: an array, or anything else with a shape whose slices are arrays."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    def __getitem__(self, rows: slice) -> np.ndarray: ...


class Selection:
    """Some rows of ``source``, in the order given; a slice of it reads those rows alone, or little more."""

    def __init__(self, source: Rows, rows: np.ndarray) -> None:
        self._source, self._rows = source, np.asarray(rows, np.int64)
        self.shape = (len(self._rows), *source.shape[1:])

    def __getitem__(self, rows: slice) -> np.ndarray:
        return take(self._source, self._rows[rows])


def take(source: Rows, rows: np.ndarray) -> np.ndarray:
    """The rows ``[len(rows), D]`` float32 at these positions, in any order and as often as they come; read in order."""
    wanted, place = np.unique(np.asarray(rows, np.int64), return_inverse=True)
    found = np.empty((len(wanted), *source.shape[1:]), np.float32)
    row_bytes = 4 * max(1, int(np.prod(source.shape[1:])))
    most, gap = max(1, _READ_BYTES // row_bytes), max(1, _GAP_BYTES // row_bytes)
    first = 0
    while first < len(wanted):
        last = int(np.searchsorted(wanted, wanted[first] + most))
        far = np.flatnonzero(np.diff(wanted[first:last]) > gap)
        last = first + int(far[0]) + 1 if far.size else last
        start = int(wanted[first])
        block = source[start : int(wanted[last - 1]) + 1]
        found[first:last] = block[wanted[first:last] - start]
        first = last
    return found[place]
