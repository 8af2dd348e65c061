"""Which two-class machines a set of labels asks for, and how their decision values become scores of classes."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import column_or_1d

from vidfeat.errors import UsageError

MULTICLASS = ("ovr", "ovo")


@dataclass(frozen=True)
class Machine:
    """A two-class problem: the items ``rows`` (None: all), which of them are positive, and the factors of C."""

    positive: np.ndarray
    rows: np.ndarray | None = None
    weights: tuple[float, float] = (1.0, 1.0)


def machines_of(
    classes: np.ndarray, positive: np.ndarray, multiclass: str = "ovr", class_weights: str | Mapping | None = None
) -> list[Machine]:
    """The machines for what :func:`targets` gave.

    Args:
        classes: class values.
        positive: bool ``[n, machines]``.
        multiclass: ``ovr``, every class against all others, or ``ovo``, every pair of classes i < j, i positive, in
            the order of LIBSVM. Two classes are one machine in both, positive: the second.
        class_weights: factors of C. ``balanced``: inversely proportional to the number of items on a side (ovr:
            n / 2n₊ and n / 2n₋; ovo: n / (classes · n_c), as in scikit-learn). A mapping class -> factor: the rest, in
            ovr, gets the mean factor of its items. None: 1.
    """
    if multiclass not in MULTICLASS:
        raise UsageError(f"multiclass={multiclass!r} is unknown. Allowed: {', '.join(MULTICLASS)}.")
    _check_weight(class_weights, classes)
    if multiclass == "ovr" or positive.shape[1] == 1:
        side = positive.shape[1] == 1
        return [
            Machine(of_class, None, _weights(of_class, c + side, classes, positive, class_weights))
            for c, of_class in enumerate(positive.T)
        ]
    if (positive.sum(axis=1) != 1).any():
        raise UsageError(
            "One-vs-one machines need exactly one label for every item, and some have none or several. Use "
            "one-vs-rest (multiclass='ovr', --multiclass ovr)."
        )
    index, counts = positive.argmax(axis=1), positive.sum(axis=0)
    factors = [_factor(class_weights, name, counts, c) for c, name in enumerate(classes)]
    found = []
    for i, j in pairs_of(len(classes)):
        rows = np.flatnonzero((index == i) | (index == j))
        found.append(Machine(index[rows] == i, rows, (factors[i], factors[j])))
    return found


def pairs_of(n_classes: int) -> list[tuple[int, int]]:
    """(0, 1), (0, 2), … (1, 2), …"""
    return [(i, j) for i in range(n_classes) for j in range(i + 1, n_classes)]


def class_scores(values: np.ndarray, n_classes: int, multiclass: str = "ovr") -> np.ndarray:
    """Decision values ``[m, machines]`` as scores ``[m, classes]``.

    One machine of two classes gives −v and v. One-vs-one gives the number of votes of a class plus s / 3(|s| + 1),
    where s sums its decision values in its pairs: most votes win, and of equal ones the larger sum.
    """
    if values.shape[1] == 1 and n_classes == 2:
        return np.hstack([-values, values])
    if multiclass == "ovr":
        return values
    votes, sums = np.zeros((len(values), n_classes)), np.zeros((len(values), n_classes))
    for k, (i, j) in enumerate(pairs_of(n_classes)):
        first = values[:, k] > 0
        votes[first, i] += 1
        votes[~first, j] += 1
        sums[:, i] += values[:, k]
        sums[:, j] -= values[:, k]
    return votes + sums / (3 * (np.abs(sums) + 1))


def is_indicator(y: np.ndarray) -> bool:
    """Whether labels are an indicator matrix; scikit-learn takes one column for labels in the wrong shape."""
    return y.ndim == 2 and y.shape[1] > 1


def targets(y: np.ndarray, n_items: int) -> tuple[np.ndarray, np.ndarray]:
    """Class values and the bool matrix ``[n, machines]`` of what each one-vs-rest machine calls positive."""
    if is_indicator(y):
        if len(y) != n_items or not np.isin(y, (0, 1)).all():
            raise UsageError(
                f"Labels came as a matrix of shape {y.shape} for {n_items} items; "
                "allowed is an indicator matrix [items, classes] of 0 and 1."
            )
        matrix = y.astype(bool)
        for column, share in enumerate(matrix.mean(axis=0)):
            if share in (0.0, 1.0):
                raise UsageError(
                    f"Class {column} has {'no' if share == 0 else 'nothing but'} positive training items: "
                    "a machine needs both sides. Leave the class out, or choose another split."
                )
        return np.arange(matrix.shape[1]), matrix
    labels = column_or_1d(y, warn=True)
    check_classification_targets(labels)
    if len(labels) != n_items:
        raise UsageError(f"{len(labels)} labels came with {n_items} items: one for each is needed.")
    classes, index = np.unique(labels, return_inverse=True)
    if len(classes) < 2:
        raise UsageError(f"All {n_items} training items have one class, '{classes[0]}': at least two are needed.")
    return classes, (index == 1)[:, None] if len(classes) == 2 else index[:, None] == np.arange(len(classes))


def _check_weight(class_weights, classes: np.ndarray) -> None:
    if class_weights is None or class_weights == "balanced":
        return
    if not isinstance(class_weights, Mapping):
        raise UsageError(
            f"class_weights={class_weights!r} is not allowed: None, 'balanced', or a mapping from class to factor of C."
        )
    if unknown := [name for name in class_weights if name not in classes.tolist()]:
        raise UsageError(f"class_weights names the class {unknown[0]!r}, which no training item has.")


def _weights(positive: np.ndarray, c: int, classes, matrix, class_weights) -> tuple[float, float]:
    n, n_positive = len(positive), int(positive.sum())
    if class_weights is None or n_positive in (0, n):  # a machine with one side is not trained
        return 1.0, 1.0
    if class_weights == "balanced":
        return n / (2 * n_positive), n / (2 * (n - n_positive))
    factors = np.array([float(class_weights.get(name, 1.0)) for name in classes.tolist()])
    counts = (matrix & ~positive[:, None]).sum(axis=0) if matrix.shape[1] > 1 else np.eye(2)[1 - c]
    # An item of several labels weighs as the mean of its labels; one without any as 1.
    rest = float(factors @ counts / counts.sum()) if counts.sum() else 1.0
    return float(factors[c]), rest


def _factor(class_weights, name, counts: np.ndarray, c: int) -> float:
    if class_weights is None:
        return 1.0
    if class_weights == "balanced":
        return float(counts.sum() / (len(counts) * max(counts[c], 1)))
    return float(class_weights.get(name, 1.0))
