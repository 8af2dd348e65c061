"""Gram matrices of float32 frames on a CPU."""

from itertools import pairwise

import numpy as np

from vidfeat.crew import shared

# Multiplications of a thread, at least: some milliseconds. To wake another one for less gains nothing.
_SHARE = 1 << 27


def single_gram(v: np.ndarray, out: np.ndarray, threads: int) -> None:
    """out = V Vᵀ ``[T, T]``, float64, of sums of up to 512 products in float32. The same for any number of threads.

    v: C-contiguous float32 ``[T, D]``.
    """
    from vidfeat.pooling.gram_kernels import BEYOND, lower_gram, mirror

    T, D = v.shape
    lower = np.zeros((T + BEYOND, T + BEYOND))
    parts = max(1, min(threads, T * T * D // (2 * _SHARE)))
    # Of equal area, as rows of the lower half become longer.
    edges = [int(T * (part / parts) ** 0.5) // 4 * 4 for part in range(parts)] + [T]
    shared(lower_gram, [(v, *rows, lower) for rows in pairwise(edges)], parts)
    mirror(lower, out)
