"""Gram matrices of float32 frames on all cores of a CPU."""

import functools
import os
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np

# Multiplications of a thread, at least: handing work to another costs as much as some hundred thousand.
_SHARE = 1 << 22


def single_gram(v: np.ndarray, threads: int, out: np.ndarray) -> None:
    """out = V Vᵀ ``[T, T]``, float64, of sums of up to 512 products in float32. The same for any number of threads.

    v: C-contiguous float32 ``[T, D]``.
    """
    from vidfeat.pooling.gram_kernels import BEYOND, lower_gram, mirror

    T, D = v.shape
    lower = np.zeros((T + BEYOND, T + BEYOND))
    parts = max(1, min(threads, T * T * D // (2 * _SHARE)))
    # Of equal area, as rows of the lower half become longer.
    edges = [int(T * (part / parts) ** 0.5) // 4 * 4 for part in range(parts)] + [T]
    *others, own = pairwise(edges)
    started = [_helpers(os.getpid()).submit(lower_gram, v, *rows, lower) for rows in others]
    try:
        lower_gram(v, *own, lower)
    finally:
        for other in started:
            other.result()
    mirror(lower, out)


@functools.cache
def _helpers(process: int) -> ThreadPoolExecutor:
    """Threads that take parts, of this process: those of its parent are not in a forked one."""
    return ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="gram")
