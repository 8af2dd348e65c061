"""The linear kernel between sets of codes."""

import numpy as np

from vidfeat.errors import UsageError

# Rows and columns of the codes that are in float64 at one time: two blocks of 32 MB and one product of 8 MB.
_ROWS = 1024
_COLUMNS = 4096


def linear_gram(X: np.ndarray, Y: np.ndarray | None = None) -> np.ndarray:
    """Inner products of codes, computed in float64 with bounded extra memory.

    Args:
        X: ``[n, D]`` real codes of any number type; anything that slices like an array will do (a dataset on disk).
        Y: ``[m, D]``; left out, ``X`` itself, which takes half the work.

    Returns:
        float64 ``[n, m]``, K_ij = Σ_d X_id Y_jd; exactly symmetric without ``Y``.
    """
    other = X if Y is None else Y
    for name, codes in (("X", X), ("Y", other)):
        if len(codes.shape) != 2:
            raise UsageError(f"{name} has shape {tuple(codes.shape)}; codes are a matrix [items, dimensions].")
    if X.shape[1] != other.shape[1]:
        raise UsageError(
            f"The codes have {X.shape[1]} and {other.shape[1]} dimensions. Both must come from the same encoding."
        )
    K = np.empty((X.shape[0], other.shape[0]))
    for i in range(0, X.shape[0], _ROWS):
        for j in range(i if Y is None else 0, other.shape[0], _ROWS):
            tile = K[i : i + _ROWS, j : j + _ROWS]
            _product(X, other, i, j, tile, same=Y is None and i == j)
            if Y is None and i != j:
                K[j : j + _ROWS, i : i + _ROWS] = tile.T
    return K


def _product(X, Y, i: int, j: int, out: np.ndarray, same: bool) -> None:
    out[:] = 0.0
    for d in range(0, X.shape[1], _COLUMNS):
        left = np.asarray(X[i : i + _ROWS, d : d + _COLUMNS], dtype=np.float64)
        # NumPy computes A·Aᵀ of one and the same array with half the multiplications, and exactly symmetric.
        right = left if same else np.asarray(Y[j : j + _ROWS, d : d + _COLUMNS], dtype=np.float64)
        out += left @ right.T
