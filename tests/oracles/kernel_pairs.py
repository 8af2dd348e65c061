"""Kernels by their definitions, one pair and one dimension at a time."""

import math

import numpy as np


def linear(x, y):
    return sum(a * b for a, b in zip(x, y, strict=True))


def squared_distance(x, y):
    return sum((a - b) ** 2 for a, b in zip(x, y, strict=True))


def chi2_distance(x, y):
    return sum((a - b) ** 2 / (a + b) for a, b in zip(x, y, strict=True) if a + b)


def chi2_additive(x, y):
    return sum(2 * a * b / (a + b) for a, b in zip(x, y, strict=True) if a + b)


def hellinger(x, y):
    return sum(math.sqrt(a * b) for a, b in zip(x, y, strict=True))


def intersection(x, y):
    return sum(map(min, x, y))


BASES = {
    "linear": linear,
    "rbf": squared_distance,
    "chi2": chi2_distance,
    "chi2-additive": chi2_additive,
    "hellinger": hellinger,
    "intersection": intersection,
}


def base(kernel, X, Y):
    """[n, m] of the part of a kernel that does not know γ."""
    return np.array([[BASES[kernel](x, y) for y in Y.tolist()] for x in X.tolist()])


def kernel(name, X, Y, gamma=None):
    found = base(name, X, Y)
    return np.exp(-gamma * found) if name in ("rbf", "chi2") else found


def mean_distance(name, X):
    found = base(name, X, X)
    n = len(X)
    return sum(found[i, j] for i in range(n) for j in range(n) if i != j) / (n * (n - 1))
