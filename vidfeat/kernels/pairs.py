"""Kernels that are no matrix products: sums over dimensions of a function of two numbers, for all pairs of codes.

Tiles of pairs are computed in threads by compiled loops, a part of the dimensions at a time, so that the codes of a
tile stay in the processor's cache.
"""

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np

# Pairs of a tile, and dimensions at one time: two blocks of 128 × 1024 float64 are 2 MB.
_ROWS = 128
_COLUMNS = 1024


def pair_sums(kind: str, X: np.ndarray, Y: np.ndarray | None, dtype: type = np.float64) -> np.ndarray:
    """Σ_d f(X_id, Y_jd) ``[n, m]``, summed in float64.

    ``kind``: ``chi2`` (x − y)²/(x + y), ``chi2-additive`` 2xy/(x + y), ``intersection`` min(x, y); 0/0 is 0.
    """
    from vidfeat.kernels import pair_loops  # Numba takes a while to import

    loop = {
        "chi2": pair_loops.chi2_distance,
        "chi2-additive": pair_loops.chi2_product,
        "intersection": pair_loops.minimum,
    }[kind]
    other = X if Y is None else Y
    K = np.empty((X.shape[0], other.shape[0]), dtype)

    def fill(i: int, j: int) -> None:
        total = np.zeros((min(_ROWS, X.shape[0] - i), min(_ROWS, other.shape[0] - j)))
        for d in range(0, X.shape[1], _COLUMNS):
            loop(_block(X, i, d), _block(other, j, d), total)
        K[i : i + _ROWS, j : j + _ROWS] = total
        if Y is None and i != j:
            K[j : j + _ROWS, i : i + _ROWS] = total.T

    tiles = [
        (i, j)
        for i in range(0, X.shape[0], _ROWS)
        for j in range(i if Y is None else 0, other.shape[0], _ROWS)
    ]  # fmt: skip
    with ThreadPoolExecutor(_cores()) as threads:
        list(threads.map(lambda tile: fill(*tile), tiles))
    return K


def _block(X, row: int, d: int) -> np.ndarray:
    return np.ascontiguousarray(X[row : row + _ROWS, d : d + _COLUMNS], dtype=np.float64)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
