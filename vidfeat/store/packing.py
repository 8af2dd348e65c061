"""Chunks as HDF5's filters leave them, made in threads: shuffle, then deflate at level 1, then Fletcher's checksum.

HDF5 itself would compress in the one thread that writes, under Python's lock, while everything that computes waits.
"""

import os
import zlib
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

# Blocks of a dataset that may still be in the making when others are written.
WAITING = 8

_MOST_THREADS = 8
_WORDS = 1 << 20  # summed at a time: the sums fit into 64 bits
_MODULUS = 65535


@dataclass(frozen=True)
class PackedBlock:
    """Rows of exactly one chunk on their way to its bytes."""

    rows: int
    nbytes: int
    _bytes: Future

    def __len__(self) -> int:
        return self.rows

    @property
    def ready(self) -> bool:
        return self._bytes.done()

    def data(self) -> bytes:
        """The chunk as it lies in a file; waits for it."""
        return self._bytes.result()


class Packer:
    """Threads that compress blocks."""

    def __init__(self) -> None:
        threads = min(_MOST_THREADS, os.cpu_count() or 1)
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="deflate")

    def pack(self, block: np.ndarray) -> PackedBlock:
        """Begin with a block, which must not be changed any more."""
        return PackedBlock(len(block), block.nbytes, self._pool.submit(packed, block))

    def close(self) -> None:
        """Give up what has not begun."""
        self._pool.shutdown(wait=False, cancel_futures=True)


def packed(block: np.ndarray) -> bytes:
    """The bytes that HDF5 stores for a chunk with the filters shuffle, deflate (level 1) and fletcher32."""
    shuffled = block.reshape(-1).view(np.uint8).reshape(-1, block.dtype.itemsize).T
    deflated = zlib.compress(np.ascontiguousarray(shuffled), 1)
    return deflated + fletcher32(deflated).to_bytes(4, "little")


def fletcher32(data: bytes) -> int:
    """Fletcher's checksum as HDF5 computes it: of big-endian words of 16 bits, an odd last byte being a high one.

        a = Σ w_i,  b = Σ (n − i) w_i  (i = 0 … n−1),  both mod 65535, with 65535 for 0 unless all words are 0

    and the checksum is 65536·b + a.
    """
    words = np.frombuffer(data if len(data) % 2 == 0 else data + b"\0", ">u2")
    a = b = 0
    for start in range(0, len(words), _WORDS):
        part = words[start : start + _WORDS].astype(np.uint64)
        b += a * len(part) + int((part * np.arange(len(part), 0, -1, dtype=np.uint64)).sum())
        a += int(part.sum())
    return (_folded(b) << 16) | _folded(a)


def _folded(total: int) -> int:
    return (total % _MODULUS or _MODULUS) if total else 0
