"""Kernel functions by name, each as a base matrix that holds all the work, and a cheap map of it that knows γ.

    linear          κ(x, y) = Σ_d x_d y_d
    rbf             κ = exp(−γ ‖x − y‖²)                      base: squared distances
    chi2            κ = exp(−γ Σ_d (x_d − y_d)² / (x_d + y_d))      base: χ² distances (the exponential χ² kernel)
    chi2-additive   κ = Σ_d 2 x_d y_d / (x_d + y_d)           (the additive χ² kernel)
    hellinger       κ = Σ_d √(x_d y_d)
    intersection    κ = Σ_d min(x_d, y_d)

The last four take numbers ≥ 0 only; 0/0 counts as 0. All are positive semidefinite. By default γ = 1 / mean distance
over pairs of different training items. As the base matrix does not know γ, every γ is tried on one base matrix.

Sources: J. Zhang, M. Marszałek, S. Lazebnik, C. Schmid, *Local Features and Kernels for Classification of Texture and
Object Categories*, 2007 (exponential χ², γ by the mean distance; theirs is half of ours, which the mean undoes);
A. Vedaldi, A. Zisserman, *Efficient Additive Kernels via Explicit Feature Maps*, 2012 (additive χ², Hellinger's,
intersection). χ² and RBF are those of scikit-learn's ``chi2_kernel`` and ``rbf_kernel``, γ included.
"""

import math

import numpy as np

from vidfeat.errors import UsageError
from vidfeat.kernels.linear import check_codes, linear_gram
from vidfeat.kernels.pairs import pair_sums

KERNELS = ("linear", "rbf", "chi2", "chi2-additive", "hellinger", "intersection")
NON_NEGATIVE = frozenset({"chi2", "chi2-additive", "hellinger", "intersection"})
WITH_GAMMA = frozenset({"rbf", "chi2"})

_ROWS = 1024  # of a matrix that is mapped at one time


def kernel_matrix(
    kernel: str,
    X: np.ndarray,
    Y: np.ndarray | None = None,
    gamma: float | None = None,
    *,
    dtype: type = np.float64,
    device: str = "cpu",
) -> np.ndarray:
    """κ(X_i, Y_j) ``[n, m]``, or of X with itself; ``gamma`` for those with γ only, None for 1 / mean distance of X."""
    base = base_matrix(kernel, X, Y, dtype=dtype, device=device)
    if kernel in WITH_GAMMA and gamma is None:
        if Y is not None:
            raise UsageError(f"kernel={kernel!r} between two sets of codes needs gamma, that of the training items.")
        gamma = 1 / mean_distance(base)
    return from_base(kernel, base, gamma, out=base)


def base_matrix(
    kernel: str, X: np.ndarray, Y: np.ndarray | None = None, *, dtype: type = np.float64, device: str = "cpu"
) -> np.ndarray:
    """What of the kernel does not depend on γ, ``[n, m]``: distances for rbf and chi2, else the kernel itself.

    Args:
        kernel: one of :data:`KERNELS`.
        X: ``[n, D]`` codes of any real type.
        Y: ``[m, D]``; left out, X itself, which takes half the work and is exactly symmetric.
        dtype: type of the result; sums are float64 in any case.
        device: ``cpu``, or a GPU of torch's.

    UsageError: an unknown kernel, codes of two lengths, negative numbers where none are allowed.
    """
    if kernel not in KERNELS:
        raise UsageError(f"kernel={kernel!r} is unknown. Allowed: {', '.join(KERNELS)}.")
    check_codes(X, X if Y is None else Y)
    if kernel in NON_NEGATIVE:
        check_not_negative(kernel, X)
        check_not_negative(kernel, X[:0] if Y is None else Y)
    if device != "cpu":
        from vidfeat.kernels.torch_pairs import torch_base  # torch takes seconds to import

        return torch_base(kernel, X, Y, device, dtype)
    if kernel == "linear":
        return linear_gram(X, Y, dtype=dtype)
    if kernel == "hellinger":
        return linear_gram(X, Y, dtype=dtype, prepare=lambda block, columns: np.sqrt(block))
    if kernel == "rbf":
        return _squared_distances(X, Y, dtype)
    return pair_sums(kernel, X, Y, dtype)


def from_base(kernel: str, base: np.ndarray, gamma: float | None = None, out: np.ndarray | None = None) -> np.ndarray:
    """The kernel of its base matrix; ``out`` may be ``base`` itself. Without γ the base is the kernel."""
    if kernel not in WITH_GAMMA:
        return base
    if gamma is None or not (math.isfinite(gamma) and gamma > 0):
        raise UsageError(f"gamma={gamma} is not allowed: it must be a finite number > 0, or 'mean'.")
    K = np.empty_like(base) if out is None else out
    for i in range(0, len(base), _ROWS):
        part = K[i : i + _ROWS]
        np.multiply(base[i : i + _ROWS], -gamma, out=part)
        np.exp(part, out=part)
    return K


def mean_distance(base: np.ndarray, rows: np.ndarray | None = None) -> float:
    """Mean over pairs of different items of ``base [n, n]``, or of its ``rows``; UsageError if all are identical."""
    n = len(base) if rows is None else len(rows)
    total = 0.0
    for i in range(0, n, _ROWS):
        part = base[i : i + _ROWS] if rows is None else base[np.ix_(rows[i : i + _ROWS], rows)]
        total += float(part.sum(dtype=np.float64))
    if not total > 0:
        raise UsageError(
            f"All {n} training items have the same code, so their distances are 0 and γ = 1 / mean distance is none. "
            "Check the features (are they constant?) and the encoding."
        )
    return total / (n * (n - 1))


def check_not_negative(kernel: str, X: np.ndarray) -> None:
    """UsageError, in words that scikit-learn also looks for, naming the first item with a negative number."""
    for i in range(0, X.shape[0], _ROWS):
        block = np.asarray(X[i : i + _ROWS])
        if block.size and block.min() < 0:
            row, d = np.argwhere(block < 0)[0]
            raise UsageError(
                f"Negative values in data passed to kernel {kernel!r}: item {i + row} has {block[row, d]:g} in "
                f"dimension {d}, and it takes numbers ≥ 0 only. Use the kernel linear or rbf, or another encoding "
                "(bow is never negative)."
            )


def _squared_distances(X, Y, dtype: type) -> np.ndarray:
    """‖x‖² + ‖y‖² − 2 x·y with the origin moved to the mean of Y, as a common part of all codes would cancel."""
    other = X if Y is None else Y
    origin = _mean(other)
    prepare = lambda block, columns: block - origin[columns]  # noqa: E731
    products = linear_gram(X, Y, prepare=prepare)
    # The diagonal of the products themselves where they have it, so that equal items are at distance 0 exactly.
    squares = np.diagonal(products).copy() if Y is None else _squares(X, origin)
    others = squares if Y is None else _squares(other, origin)
    result = products if dtype == np.float64 else np.empty(products.shape, dtype)
    for i in range(0, len(products), _ROWS):
        part = squares[i : i + _ROWS, None] + others - 2 * products[i : i + _ROWS]
        result[i : i + _ROWS] = np.maximum(part, 0, out=part)
    return result


def _mean(X) -> np.ndarray:
    total = np.zeros(X.shape[1])
    for i in range(0, X.shape[0], _ROWS):
        total += np.asarray(X[i : i + _ROWS]).sum(axis=0, dtype=np.float64)
    return total / max(X.shape[0], 1)


def _squares(X, origin: np.ndarray) -> np.ndarray:
    result = np.empty(X.shape[0])
    for i in range(0, X.shape[0], _ROWS):
        block = np.asarray(X[i : i + _ROWS], dtype=np.float64) - origin
        result[i : i + _ROWS] = np.einsum("ij,ij->i", block, block)
    return result
