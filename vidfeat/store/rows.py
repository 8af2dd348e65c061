"""Rows of one dataset on their way to disk: collected into whole chunks, then written chunk by chunk."""

import zlib

import h5py
import numpy as np
from h5py import h5d, h5p, h5s, h5t

from vidfeat.store.packing import WAITING, PackedBlock, Packer

# HDF5 reads and checks whole chunks: about 1 MB keeps reading a few rows cheap and the index of a long video small.
CHUNK_BYTES = 1 << 20


class RowBuffer:
    """Rows [n, ...] of one shape and type, copied once, into blocks of exactly the rows of one HDF5 chunk.

    ``crc32`` is that of all rows so far. It is stored beside the data because HDF5's own checksums cover each chunk but
    not, in this format, the index that says where it lies. A ``packer`` compresses full blocks as they come about.
    """

    def __init__(self, dtype: np.dtype, row_shape: tuple[int, ...], packer: Packer | None = None) -> None:
        self.dtype, self.row_shape, self._packer = dtype, row_shape, packer
        row_bytes = dtype.itemsize * int(np.prod(row_shape, dtype=np.int64))
        self.block_rows = max(1, CHUNK_BYTES // max(1, row_bytes))
        self.rows = 0
        self.crc32 = 0
        self._full: list[np.ndarray | PackedBlock] = []
        self._current: np.ndarray | None = None
        self._filled = 0

    @property
    def held_bytes(self) -> int:
        """Memory that the rows not yet taken fill."""
        held = sum(block.nbytes for block in self._full)
        return held + (self._current[: self._filled].nbytes if self._current is not None else 0)

    def append(self, rows: np.ndarray) -> None:
        self.rows += len(rows)
        rows = np.ascontiguousarray(rows)
        self.crc32 = zlib.crc32(rows.data.cast("B") if rows.size else b"", self.crc32)
        while len(rows):
            if self._current is None:
                self._current = np.empty((self.block_rows, *self.row_shape), self.dtype)
                self._filled = 0
            n = min(len(rows), self.block_rows - self._filled)
            self._current[self._filled : self._filled + n] = rows[:n]
            self._filled += n
            rows = rows[n:]
            if self._filled == self.block_rows:
                self._full.append(self._packer.pack(self._current) if self._packer else self._current)
                self._current = None

    def take(self, rest: bool) -> list[np.ndarray | PackedBlock]:
        """Hand over the full blocks, but not the last few if they are still being compressed; with ``rest`` all, and
        also the one that is partly filled."""
        count = len(self._full)
        if not rest:
            ready = (i for i, block in enumerate(self._full) if isinstance(block, PackedBlock) and not block.ready)
            count = max(next(ready, count), count - WAITING)
        blocks, self._full = self._full[:count], self._full[count:]
        if rest and self._current is not None:
            blocks.append(self._current[: self._filled])
            self._current = None
        return blocks


def create_dataset(
    group: h5py.Group,
    name: str,
    dtype: np.dtype,
    shape: tuple[int, ...],
    block_rows: int,
    compression: str,
    grows: bool,
) -> h5py.Dataset:
    """A chunked dataset with checksums, [T, ...] with whole rows per chunk; ``grows``: T may be extended later."""
    if not grows:
        block_rows = min(block_rows, max(1, shape[0]))
    creation = h5p.create(h5p.DATASET_CREATE)
    creation.set_chunk((block_rows, *(max(1, n) for n in shape[1:])))
    if compression == "gzip":
        creation.set_shuffle()
        creation.set_deflate(1)
    creation.set_fletcher32()
    creation.set_obj_track_times(False)
    limits = (h5s.UNLIMITED, *shape[1:]) if grows else shape
    space, kind = h5s.create_simple(shape, limits), h5t.py_create(dtype, logical=True)
    return h5py.Dataset(h5d.create(group.id, name.encode(), kind, space, creation))


def append_blocks(dataset: h5py.Dataset, blocks: list[np.ndarray | PackedBlock], start: int) -> int:
    """Write blocks one after the other from row ``start``, extending the dataset where needed; the new end.

    Compressed blocks are whole chunks, and lie on the chunks of the dataset.
    """
    for block in blocks:
        end = start + len(block)
        if end > dataset.shape[0]:
            dataset.resize(end, axis=0)
        if isinstance(block, PackedBlock):
            dataset.id.write_direct_chunk((start, *(0 for _ in dataset.shape[1:])), block.data())
        else:
            dataset.id.write(
                h5s.create_simple(block.shape), _rows_space(dataset, start, len(block)), np.ascontiguousarray(block)
            )
        start = end
    return start


def _rows_space(dataset: h5py.Dataset, start: int, count: int) -> h5s.SpaceID:
    space = dataset.id.get_space()
    rest = dataset.shape[1:]
    space.select_hyperslab((start, *(0 for _ in rest)), (count, *rest))
    return space
