"""The figures of a classifier, from scores and true labels."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from vidfeat import metrics
from vidfeat.classify.labels import indicator
from vidfeat.errors import UsageError
from vidfeat.metrics import Outcome


def judge(labels: Sequence[tuple[str, ...]], scores: np.ndarray, classes: Sequence[str]) -> Outcome:
    """What is right and wrong of scores ``[items, classes]``.

    Items with several labels are right if the best-scored class is one of them; their class is then that one, else the
    first of their labels. A label that is not among ``classes`` (unseen in training) is a class beyond the columns of
    scores. An item without a label belongs to no class. UsageError if none has one.
    """
    if not any(labels):
        raise UsageError(f"None of the {len(labels)} items has a label; only labelled items can be judged.")
    known = set(classes)
    relevant = indicator([[name for name in own if name in known] for own in labels], classes)
    best = scores.argmax(axis=1)
    right = relevant[np.arange(len(best)), best]
    unseen = sorted({name for own in labels for name in own} - known)
    number = {name: place for place, name in enumerate([*classes, *unseen])}
    truth = [b if r else number[own[0]] if own else -1 for own, b, r in zip(labels, best, right, strict=True)]
    return Outcome(np.array(truth), right, relevant, scores)


def figures(labels: Sequence[tuple[str, ...]], scores: np.ndarray, classes: Sequence[str]) -> dict[str, Any]:
    """All figures of ``results.json`` for scores ``[items, classes]``; fractions in 0…1.

    Right is what :func:`judge` calls so; an item whose label is not among ``classes`` has no row in ``confusion``.
    Items without a label count in average precision, as negatives of every class, and nowhere else.
    """
    outcome = judge(labels, scores, classes)
    belongs = outcome.truth >= 0
    truth, relevant, kept = outcome.truth[belongs], outcome.relevant[belongs], scores[belongs]
    best = kept.argmax(axis=1)
    known = truth < len(classes)
    return {
        "accuracy": metrics.accuracy(truth, best),
        "mean_per_class_accuracy": metrics.mean_per_class_accuracy(truth, best),
        "map": mean_ap(outcome.relevant, scores),
        "hit": {str(k): metrics.hit_at_k(relevant, kept, k) for k in (1, 5)},
        "per_class": {
            name: {
                "n": int(of_class.sum()),
                "accuracy": float(np.mean(best[of_class] == c)) if of_class.any() else None,
                "ap": metrics.average_precision(outcome.relevant[:, c], scores[:, c]) if of_class.any() else None,
            }
            for c, (name, of_class) in enumerate(zip(classes, relevant.T, strict=True))
        },
        "confusion": (
            metrics.confusion(truth[known], best[known], len(classes)).tolist()
            if known.any()
            else np.zeros((len(classes), len(classes)), dtype=int).tolist()
        ),
        "classes": list(classes),
    }


def intervals(
    outcome: Outcome, groups: Sequence[str], *, n_resamples: int = 2000, seed: int = 0
) -> dict[str, list[float]] | None:
    """95 % intervals of accuracy, mean per-class accuracy and mAP when whole groups are resampled.

    None for a single group, which says nothing about chance.
    """
    if len(set(groups)) < 2:
        return None
    found = metrics.bootstrap_figures(outcome, groups, n_resamples, seed=seed)
    return {name: found[name].tolist() for name in metrics.MEASURES}


def mean_ap(true: np.ndarray, scores: np.ndarray) -> float:
    """Mean average precision over the classes that occur in ``true``; 0 if none does."""
    present = true.any(axis=0)
    return metrics.mean_average_precision(true[:, present], scores[:, present]) if present.any() else 0.0
