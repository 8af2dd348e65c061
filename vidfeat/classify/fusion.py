"""Late fusion: one set of class scores from those of several classifiers, and the choice of their weights."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from vidfeat.errors import UsageError
from vidfeat.metrics import weighted_average_precision

NORMALISATIONS = ("l1", "shift", "softmax", "none")
# Shares of the whole that weights take when they are chosen, by number of classifiers; more cannot be tried out.
STEPS = {2: 20, 3: 10, 4: 10, 5: 10, 6: 10}


def normalise_scores(scores, how: str = "l1") -> np.ndarray:
    """Scores ``[n, classes]`` of one classifier on a scale that others share, item by item.

        l1        s_c / Σ_k |s_k|: signs stay; an item whose scores are all 0 keeps them
        shift     (s_c − min_k s_k) / Σ_j (s_j − min_k s_k): not negative, sum 1; equal scores give 1/classes each
        softmax   exp(s_c) / Σ_k exp(s_k): not negative, sum 1
        none      s_c

    A class that scores −∞ (its model is missing) stays there, with softmax at 0; sums and minimum leave it out.

    Args:
        scores: decision values or scores before a softmax. NaN and +∞ are refused.

    Source: ``l1`` is how the scores of RGB and flow are joined, 1 : 1.5, in J. Y.-H. Ng, *Video Understanding with Deep
    Networks*, 2018, section 5.3.3.
    """
    scores = np.asarray(scores, dtype=np.float64)
    if how not in NORMALISATIONS:
        raise UsageError(f"There is no normalisation {how!r}; allowed are {', '.join(NORMALISATIONS)}.")
    if scores.ndim != 2 or scores.shape[1] < 2:
        raise UsageError(f"Scores have shape {scores.shape}; fusion needs [items, classes] with two classes or more.")
    if (bad := ~(scores < np.inf)).any():
        raise UsageError(f"{int(bad.any(axis=1).sum())} of {len(scores)} items have scores that are NaN or infinite.")
    _check_two_classes(scores, how)
    known = np.isfinite(scores)
    if how == "none":
        return scores.copy()
    if how == "softmax":
        powers = np.exp(scores - scores.max(axis=1, keepdims=True))
        return powers / powers.sum(axis=1, keepdims=True)
    if how == "shift":
        scores = scores - np.where(known, scores, np.inf).min(axis=1, keepdims=True)
    total = np.abs(np.where(known, scores, 0)).sum(axis=1, keepdims=True)
    flat = known / known.sum(axis=1, keepdims=True) if how == "shift" else np.zeros(scores.shape)
    shares = np.divide(scores, total, out=np.array(flat, dtype=np.float64), where=total > 0)
    return np.where(known, shares, -np.inf)


def _check_two_classes(scores: np.ndarray, how: str) -> None:
    """UsageError where a division by the sum would leave nothing but the sign."""
    if scores.shape[1] != 2 or how not in ("l1", "shift"):
        return
    if how == "shift" or (scores[:, 0] == -scores[:, 1]).all():
        raise UsageError(
            f"With two classes the normalisation {how!r} leaves nothing of a score but which class it is for. Use "
            "softmax (--normalize softmax), or none."
        )


def fuse_scores(scores: Sequence, weights: Sequence[float], normalise: str = "l1") -> np.ndarray:
    """Σ_r w_r ŝ_r / Σ_r w_r of the normalised scores ŝ_r of classifiers r, float64 ``[n, classes]``.

    Args:
        scores: ``[n, classes]`` of every classifier, the same items and classes in the same order.
        weights: one of each classifier, ≥ 0, not all 0.
        normalise: see :func:`normalise_scores`.
    """
    return _weighted([normalise_scores(of_run, normalise) for of_run in scores], check_weights(weights, len(scores)))


def check_weights(weights: Sequence[float], n_runs: int) -> np.ndarray:
    """The weights as float64 with sum 1; UsageError unless there is one of each classifier, ≥ 0, not all 0."""
    values = np.asarray(weights, dtype=np.float64)
    if values.shape != (n_runs,):
        raise UsageError(f"{values.size} weights came for {n_runs} runs; give one of each, e.g. --weights 1,1.5.")
    if not (np.isfinite(values).all() and (values >= 0).all() and values.any()):
        said = ", ".join(f"{value:g}" for value in values)
        raise UsageError(f"The weights are {said}; allowed are numbers of 0 or more, not all of them 0.")
    return values / values.sum()


def _weighted(scores: Sequence[np.ndarray], weights: np.ndarray) -> np.ndarray:
    # A weight of 0 leaves the classifier out: 0 · −∞ would be NaN.
    return sum(weight * of_run for weight, of_run in zip(weights, scores, strict=True) if weight > 0)


def weight_grid(n_runs: int) -> np.ndarray:
    """All weights ``[m, n_runs]`` with sum 1 in steps of 1/20 (two classifiers) or 1/10, the most even first.

    UsageError for more than six classifiers, whose weights cannot all be tried.
    """
    if n_runs not in STEPS:
        raise UsageError(f"Weights can be chosen for 2 to {max(STEPS)} runs, not {n_runs}. Give them: --weights 1,1,….")
    steps = STEPS[n_runs]
    cuts = np.array(list(itertools.combinations(range(steps + n_runs - 1), n_runs - 1)))
    edges = np.column_stack([np.full(len(cuts), -1), cuts, np.full(len(cuts), steps + n_runs - 1)])
    parts = np.diff(edges, axis=1) - 1
    uneven = (parts**2).sum(axis=1)
    return parts[np.argsort(uneven, kind="stable")] / steps


@dataclass(frozen=True)
class ChosenWeights:
    """Outcome of :func:`choose_weights`."""

    weights: np.ndarray  # [runs], sum 1, chosen on all items
    score: float  # of those weights on all items
    measure: str  # "accuracy" or "map"
    groups: tuple[str, ...]  # sorted
    group_weights: np.ndarray  # [groups, runs], chosen on the items of all other groups


def choose_weights(
    scores: Sequence,
    true,
    groups: Sequence[str] = (),
    normalise: str = "l1",
    told: Callable[[int], None] = lambda n: None,
) -> ChosenWeights:
    """The weights of :func:`weight_grid` that judge best; of equally good ones the most even.

    Args:
        scores: ``[n, classes]`` of every classifier for items that it did not train on.
        true: ``[n, classes]`` indicator matrix. The measure is accuracy, or mean average precision if an item has
            several labels.
        groups: ``[n]``; given these, every group also gets the weights that are best on the items of all others. If
            those were scored by models that had trained on the group, its labels still have a part, at one remove.
        told: is called with 1 for every weighting tried.
    """
    normalised, true = [normalise_scores(of_run, normalise) for of_run in scores], np.asarray(true, dtype=bool)
    grid = weight_grid(len(normalised))
    names, group_of = np.unique(np.asarray(groups, dtype=str), return_inverse=True)
    if len(groups) and len(names) < 2:
        raise UsageError(f"All {len(true)} items are in one group ({names[0]}); it has no others to choose by.")
    if not len(names):
        group_of = np.zeros(len(true), dtype=int)
    # A row for all items, and one for the items outside of each group.
    counted = np.vstack([np.ones(max(1, len(names))), 1 - np.eye(len(names), max(1, len(names)))])
    measure = "map" if (true.sum(axis=1) > 1).any() else "accuracy"
    found = np.empty((len(counted), len(grid)))
    for place, weights in enumerate(grid):
        found[:, place] = _judge(_weighted(normalised, weights), true, counted, group_of, measure)
        told(1)
    best = found.argmax(axis=1)
    return ChosenWeights(grid[best[0]], float(found[0, best[0]]), measure, tuple(names.tolist()), grid[best[1:]])


def _judge(
    fused: np.ndarray, true: np.ndarray, counted: np.ndarray, group_of: np.ndarray, measure: str
) -> np.ndarray:  # fmt: skip
    """The measure on the items of the groups of each row of ``counted [m, groups]``."""
    if measure == "accuracy":
        right = true[np.arange(len(true)), fused.argmax(axis=1)]
        return (counted @ np.bincount(group_of, right)) / (counted @ np.bincount(group_of))
    each = [weighted_average_precision(true[:, c], fused[:, c], counted, group_of) for c in range(true.shape[1])]
    aps = np.array([of_class for of_class in each if not np.isnan(of_class).all()])
    return np.nanmean(aps, axis=0)
