"""The loops of :mod:`vidfeat.kernels.pairs`, compiled: each adds to ``total [a, b]`` what ``X [a, d]``, ``Y [b, d]``
give."""

import numpy as np

from vidfeat.compiled import compiled

# Sums may be taken in any order, which makes vector instructions of them.
_SUMS = {"fastmath": {"reassoc", "contract", "nsz"}, "error_model": "numpy"}

# x + y is 0 only where both are, and then so is the numerator: any divisor gives 0.
_TINY = np.finfo(np.float64).tiny


@compiled(**_SUMS)
def chi2_distance(X, Y, total):
    """Σ_d (x_d − y_d)² / (x_d + y_d)."""
    for i in range(len(X)):
        x = X[i]
        for j in range(len(Y)):
            y, found = Y[j], 0.0
            for d in range(len(x)):
                difference = x[d] - y[d]
                found += difference * difference / (x[d] + y[d] + _TINY)
            total[i, j] += found


@compiled(**_SUMS)
def chi2_product(X, Y, total):
    """Σ_d 2 x_d y_d / (x_d + y_d)."""
    for i in range(len(X)):
        x = X[i]
        for j in range(len(Y)):
            y, found = Y[j], 0.0
            for d in range(len(x)):
                found += 2.0 * x[d] * y[d] / (x[d] + y[d] + _TINY)
            total[i, j] += found


@compiled(**_SUMS)
def minimum(X, Y, total):
    """Σ_d min(x_d, y_d)."""
    for i in range(len(X)):
        x = X[i]
        for j in range(len(Y)):
            y, found = Y[j], 0.0
            for d in range(len(x)):
                found += x[d] if x[d] < y[d] else y[d]
            total[i, j] += found
