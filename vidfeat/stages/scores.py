"""The figures of a classifier, from scores and true labels."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from vidfeat import metrics
from vidfeat.classify.labels import indicator
from vidfeat.errors import UsageError


def figures(labels: Sequence[tuple[str, ...]], scores: np.ndarray, classes: Sequence[str]) -> dict[str, Any]:
    """All figures of ``results.json`` for scores ``[items, classes]``; fractions in 0…1.

    An item whose label is not among ``classes`` (unseen in training) counts as an error and has no row in
    ``confusion``. Items with several labels are right if the best-scored class is one of them.
    """
    true, best, truth = _judged(labels, scores, classes)
    predicted = np.array(classes)[best]
    known = np.isin(truth, classes)
    index = {name: column for column, name in enumerate(classes)}
    confusion = metrics.confusion(
        np.array([index[name] for name in truth[known]], dtype=int), best[known], len(classes)
    ) if known.any() else np.zeros((len(classes), len(classes)), dtype=int)  # fmt: skip
    return {
        "accuracy": metrics.accuracy(truth, predicted),
        "mean_per_class_accuracy": metrics.mean_per_class_accuracy(truth, predicted),
        "map": mean_ap(true, scores),
        "hit": {str(k): metrics.hit_at_k(true, scores, k) for k in (1, 5)},
        "per_class": {
            name: {
                "n": int(true[:, c].sum()),
                "accuracy": float(np.mean(best[true[:, c]] == c)) if true[:, c].any() else None,
                "ap": metrics.average_precision(true[:, c], scores[:, c]) if true[:, c].any() else None,
            }
            for c, name in enumerate(classes)
        },
        "confusion": confusion.tolist(),
        "classes": list(classes),
    }


def intervals(
    labels: Sequence[tuple[str, ...]],
    scores: np.ndarray,
    classes: Sequence[str],
    groups: Sequence[str],
    *,
    n_resamples: int,
    seed: int,
) -> dict[str, tuple[float, float]]:
    """95 % intervals of accuracy, mean per-class accuracy and mAP when whole groups are resampled."""
    true, best, truth = _judged(labels, scores, classes)
    predicted = np.array(classes)[best]
    settings = {"n_resamples": n_resamples, "seed": seed}
    return {
        "accuracy": accuracy_interval(labels, scores, classes, groups, **settings),
        "mean_per_class_accuracy": metrics.group_bootstrap(
            metrics.mean_per_class_accuracy, groups, truth, predicted, **settings
        ),
        "map": metrics.group_bootstrap(mean_ap, groups, true, scores, **settings),
    }


def accuracy_interval(
    labels: Sequence[tuple[str, ...]],
    scores: np.ndarray,
    classes: Sequence[str],
    groups: Sequence[str],
    *,
    n_resamples: int = 2000,
    seed: int = 0,
) -> tuple[float, float]:
    """The 95 % interval of accuracy alone, which is quick: the one that :func:`intervals` gives."""
    _, best, truth = _judged(labels, scores, classes)
    return metrics.group_bootstrap(
        metrics.accuracy, groups, truth, np.array(classes)[best], n_resamples=n_resamples, seed=seed
    )


def mean_ap(true: np.ndarray, scores: np.ndarray) -> float:
    """Mean average precision over the classes that occur in ``true``; 0 if none does."""
    present = true.any(axis=0)
    return metrics.mean_average_precision(true[:, present], scores[:, present]) if present.any() else 0.0


def _judged(
    labels: Sequence[tuple[str, ...]], scores: np.ndarray, classes: Sequence[str]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Indicator matrix ``[items, classes]``, number of the best-scored class ``[items]``, one true label each."""
    if unlabelled := sum(not own for own in labels):
        raise UsageError(f"{unlabelled} of {len(labels)} items have no label; only labelled items can be judged.")
    known = set(classes)
    true = indicator([[name for name in own if name in known] for own in labels], classes)
    best = scores.argmax(axis=1)
    right = true[np.arange(len(best)), best]
    # One label stands for each item: the predicted one if it is right, else the first.
    truth = np.array([classes[b] if r else own[0] for own, b, r in zip(labels, best, right, strict=True)])
    return true, best, truth
