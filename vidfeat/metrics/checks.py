"""Shapes of the arrays that metrics take."""

import numpy as np

from vidfeat.errors import UsageError


def pair(true, predicted) -> tuple[np.ndarray, np.ndarray]:
    """Two label arrays of one length ≥ 1."""
    true, predicted = np.asarray(true), np.asarray(predicted)
    if true.ndim != 1 or true.shape != predicted.shape or len(true) == 0:
        raise UsageError(
            f"True and predicted labels have shapes {true.shape} and {predicted.shape}; "
            "allowed are two arrays of the same length, at least 1."
        )
    return true, predicted


def relevance(relevant, scores) -> tuple[np.ndarray, np.ndarray]:
    """Relevance as bool and finite scores as float64, of one shape."""
    relevant, scores = np.asarray(relevant), np.asarray(scores, dtype=np.float64)
    if relevant.shape != scores.shape or scores.size == 0:
        raise UsageError(
            f"Relevance and scores have shapes {relevant.shape} and {scores.shape}; allowed is one shape, not empty."
        )
    if np.isnan(scores).any():
        raise UsageError(f"{int(np.isnan(scores).sum())} of {scores.size} scores are NaN: they have no rank.")
    if not np.isin(relevant, (0, 1)).all():
        raise UsageError("Relevance holds values other than 0 and 1 (or False and True).")
    return relevant.astype(bool), scores
