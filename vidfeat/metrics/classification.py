"""Measures of class decisions."""

import numpy as np

from vidfeat.errors import UsageError
from vidfeat.metrics.checks import pair, relevance


def accuracy(true, predicted) -> float:
    """Share of items whose predicted label ``[n]`` is the true one ``[n]``."""
    true, predicted = pair(true, predicted)
    return float(np.mean(true == predicted))


def mean_per_class_accuracy(true, predicted) -> float:
    """Mean over the classes that occur in ``true [n]`` of the share of their items predicted right (mean recall)."""
    true, predicted = pair(true, predicted)
    _, index = np.unique(true, return_inverse=True)
    return float(np.mean(np.bincount(index, weights=true == predicted) / np.bincount(index)))


def confusion(true, predicted, n_classes: int) -> np.ndarray:
    """Counts ``[n_classes, n_classes]``, int64: row = true class, column = predicted class.

    Args:
        true, predicted: class indices ``[n]`` in 0…n_classes − 1.
    """
    true, predicted = pair(true, predicted)
    for name, indices in (("true", true), ("predicted", predicted)):
        if indices.dtype.kind not in "iu" or indices.min() < 0 or indices.max() >= n_classes:
            raise UsageError(
                f"The {name} labels must be integers in 0…{n_classes - 1}, indices of the {n_classes} classes."
            )
    flat = np.bincount(true.astype(np.int64) * n_classes + predicted, minlength=n_classes * n_classes)
    return flat.reshape(n_classes, n_classes)


def hit_at_k(true, scores, k: int) -> float:
    """Share of items with any true label among their k best-scored classes.

    Args:
        true: indicator matrix ``[n, classes]``; an item without any true label counts as a miss.
        scores: ``[n, classes]``. Equal scores rank by class index. With k ≥ classes every labelled item is a hit.
    """
    true, scores = relevance(true, scores)
    if true.ndim != 2 or k < 1:
        raise UsageError(f"Hit@{k} of an array of shape {true.shape}: needs k ≥ 1 and matrices [items, classes].")
    best = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return float(np.take_along_axis(true, best, axis=1).any(axis=1).mean())


def per_class(true, predicted, n_classes: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Recall (the accuracy of a class), precision and F1 of every class, each ``[n_classes]``.

    Recall: share of the items of the class that were predicted right; NaN for a class without items. Precision: share
    of right ones among the items predicted as the class; NaN where none was. F1 = 2 · right / (items + predictions),
    NaN only for a class with neither.

    Args:
        true, predicted: class indices ``[n]`` in 0…n_classes − 1.
    """
    counts = confusion(true, predicted, n_classes)
    right, items, predictions = np.diag(counts), counts.sum(axis=1), counts.sum(axis=0)
    with np.errstate(invalid="ignore"):
        return right / items, right / predictions, 2 * right / (items + predictions)
