"""Measures of weighted items, for many weightings at once: resampling is a matter of weights.

A group that a bootstrap draws twice has weight 2, one that is left out weight 0. The order of scores is the same in
every draw, so items are sorted and counted once, and a draw is one row of a matrix product.
"""

import numpy as np

from vidfeat.errors import UsageError
from vidfeat.metrics.checks import relevance


def weighted_recalls(truth, right, n_classes: int, weights, groups=None) -> np.ndarray:
    """Weight of the right items of a class over the weight of its items, ``[draws, n_classes]``; NaN without weight.

    Args:
        truth: class index ``[n]`` in 0…n_classes − 1.
        right: ``[n]``, whether the item was predicted right.
        weights: ``[draws, groups]``, ≥ 0.
        groups: ``[n]``, the column of ``weights`` of every item; without, each item has its own.
    """
    truth, right = np.asarray(truth), np.asarray(right, dtype=bool)
    weights, groups = _weights(weights, groups, len(truth))
    place = groups * n_classes + truth
    items, hits = (
        np.bincount(place[rows], minlength=weights.shape[1] * n_classes).reshape(-1, n_classes).astype(np.float64)
        for rows in (slice(None), right)
    )
    with np.errstate(invalid="ignore"):
        return (weights @ hits) / (weights @ items)


def weighted_average_precision(relevant, scores, weights, groups=None) -> np.ndarray:
    """:func:`~vidfeat.metrics.ranking.average_precision` of items that count as often as they weigh, ``[draws]``.

    Args:
        relevant, scores: ``[n]``; equal scores form one step.
        weights, groups: as for :func:`weighted_recalls`.

    Returns:
        NaN for a draw in which no relevant item has weight.
    """
    relevant, scores = relevance(relevant, scores)
    weights, groups = _weights(weights, groups, len(scores))
    if not relevant.any():
        return np.full(len(weights), np.nan)
    # Precision is needed only behind the steps of equal scores that have relevant items.
    levels = np.unique(scores[relevant])[::-1]
    n_steps = len(levels)
    step = np.searchsorted(-levels, -scores)  # the first step whose items rank no higher than this one
    seen, gained = (
        np.bincount(groups[rows] * (n_steps + 1) + step[rows], minlength=weights.shape[1] * (n_steps + 1))
        .reshape(-1, n_steps + 1)[:, :n_steps]
        .astype(np.float64)
        for rows in (slice(None), relevant)
    )
    seen = weights @ np.cumsum(seen, axis=1)
    gained = weights @ gained
    hits = np.cumsum(gained, axis=1)
    precision = np.divide(hits, seen, out=np.zeros_like(hits), where=seen > 0)
    with np.errstate(invalid="ignore"):
        return (gained * precision).sum(axis=1) / hits[:, -1]


def _weights(weights, groups, n_items: int) -> tuple[np.ndarray, np.ndarray]:
    weights = np.asarray(weights, dtype=np.float64)
    own = groups is None
    groups = np.arange(n_items) if own else np.asarray(groups)
    fits = weights.ndim == 2 and groups.shape == (n_items,) and (not own or weights.shape[1] == n_items)
    if not fits or (groups >= weights.shape[1]).any() or (groups < 0).any():
        raise UsageError(
            f"Weights of shape {weights.shape} came with {n_items} items; allowed is a column for each group of items."
        )
    return weights, groups
