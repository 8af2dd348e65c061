"""The linear kernel between sets of codes."""

from collections.abc import Callable

import numpy as np

from vidfeat.errors import UsageError

# Rows and columns of the codes that are in float64 at one time: two blocks of 32 MB and one product of 8 MB.
_ROWS = 1024
_COLUMNS = 4096

# What becomes of a block of codes, and the slice of columns it has, before products are taken.
Prepare = Callable[[np.ndarray, slice], np.ndarray]


def linear_gram(
    X: np.ndarray, Y: np.ndarray | None = None, *, dtype: type = np.float64, prepare: Prepare | None = None
) -> np.ndarray:
    """Inner products of codes, computed in float64 with bounded extra memory.

    Args:
        X: ``[n, D]`` real codes of any number type; anything that slices like an array will do (a dataset on disk).
        Y: ``[m, D]``; left out, ``X`` itself, which takes half the work.
        dtype: type that the result is stored in.
        prepare: ``(block, columns) -> block``, applied to float64 blocks of both sides first.

    Returns:
        ``[n, m]``, K_ij = Σ_d X_id Y_jd; exactly symmetric without ``Y``.
    """
    other = X if Y is None else Y
    check_codes(X, other)
    K = np.empty((X.shape[0], other.shape[0]), dtype)
    for i in range(0, X.shape[0], _ROWS):
        for j in range(i if Y is None else 0, other.shape[0], _ROWS):
            tile = K[i : i + _ROWS, j : j + _ROWS]
            tile[:] = _product(X, other, i, j, prepare, same=Y is None and i == j)
            if Y is None and i != j:
                K[j : j + _ROWS, i : i + _ROWS] = tile.T
    return K


def check_codes(X: np.ndarray, Y: np.ndarray) -> None:
    """UsageError unless both are matrices of codes of one length."""
    for name, codes in (("X", X), ("Y", Y)):
        if len(codes.shape) != 2:
            raise UsageError(f"{name} has shape {tuple(codes.shape)}; codes are a matrix [items, dimensions].")
    if X.shape[1] != Y.shape[1]:
        raise UsageError(
            f"The codes have {X.shape[1]} and {Y.shape[1]} dimensions. Both must come from the same encoding."
        )


def _product(X, Y, i: int, j: int, prepare: Prepare | None, same: bool) -> np.ndarray:
    total = np.zeros((min(_ROWS, X.shape[0] - i), min(_ROWS, Y.shape[0] - j)))
    for d in range(0, X.shape[1], _COLUMNS):
        left = _block(X, i, d, prepare)
        # NumPy computes A·Aᵀ of one and the same array with half the multiplications, and exactly symmetric.
        right = left if same else _block(Y, j, d, prepare)
        total += left @ right.T
    return total


def _block(X, row: int, d: int, prepare: Prepare | None) -> np.ndarray:
    block = np.asarray(X[row : row + _ROWS, d : d + _COLUMNS], dtype=np.float64)
    return block if prepare is None else prepare(block, slice(d, d + _COLUMNS))
