"""Centring in feature space, and average precision by counting."""

import numpy as np


def centred_codes(X_train, X):
    """X with the training mean moved to 0 and the training items' mean squared norm scaled to 1."""
    X_train, X = np.asarray(X_train, dtype=np.float64), np.asarray(X, dtype=np.float64)
    mean = sum(X_train) / len(X_train)
    scale = sum(np.dot(x - mean, x - mean) for x in X_train) / len(X_train)
    return (X - mean) / np.sqrt(scale)


def trapezoid(relevant):
    """Trapezoid AP as an evaluation program of a retrieval benchmark walks down its ranked list."""
    n, found, ap, old_recall, old_precision = sum(relevant), 0, 0.0, 0.0, 1.0
    for rank, hit in enumerate(relevant, start=1):
        found += hit
        recall, precision = found / n, found / rank
        ap += (recall - old_recall) * (old_precision + precision) / 2
        old_recall, old_precision = recall, precision
    return ap
