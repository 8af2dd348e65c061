"""Gram matrices of float32 frames, or of their features, on a CPU."""

from collections.abc import Iterable
from itertools import pairwise

import numpy as np

from vidfeat.crew import shared

# Multiplications of a thread, at least: some milliseconds. To wake another one for less gains nothing.
_SHARE = 1 << 27


def single_gram(parts: Iterable[np.ndarray], out: np.ndarray, threads: int) -> None:
    """out = Σ V Vᵀ ``[T, T]`` over parts of V's columns, float64, of sums of up to 512 products in float32.

    The same for any number of threads.

    parts: C-contiguous float32 ``[T, columns]`` each.
    """
    from vidfeat.pooling.gram_kernels import BEYOND, lower_gram, mirror

    T = len(out)
    lower = np.zeros((T + BEYOND, T + BEYOND))
    for v in parts:
        shares = max(1, min(threads, T * v.size // (2 * _SHARE)))
        # Of equal area, as rows of the lower half become longer.
        edges = [int(T * (share / shares) ** 0.5) // 4 * 4 for share in range(shares)] + [T]
        shared(lower_gram, [(v, *rows, lower) for rows in pairwise(edges)], shares)
        del v  # before the next one is made
    mirror(lower, out)
