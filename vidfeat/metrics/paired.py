"""Whether one classifier is better than another on the same items: paired intervals and a randomisation test.

Segments of one recording resemble each other, so both resample whole groups (recordings, persons), never single items.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from vidfeat.errors import UsageError
from vidfeat.metrics.weighted import weighted_average_precision, weighted_recalls

MEASURES = ("accuracy", "mean_per_class_accuracy", "map")
# Draws at a time, and numbers in their array of weights: 8 MB.
_MOST_DRAWS, _BLOCK = 2500, 1 << 20
# Differences that are equal but for the order of their sums.
_SAME = 1e-12


@dataclass(frozen=True)
class Outcome:
    """What one classifier made of n items; all arrays have one row per item.

    The classes of ``truth`` may go beyond the columns of ``relevant``: those no classifier knows. Of an item of several
    labels, ``truth`` is the predicted one if that is right. An item that belongs to no class has the truth −1; it has a
    part in average precision alone.
    """

    truth: np.ndarray  # [n] class index, or −1
    right: np.ndarray  # [n] whether the item was predicted right
    relevant: np.ndarray  # [n, classes] which labels an item has
    scores: np.ndarray  # [n, classes]


Split = tuple[Outcome, Outcome]
Told = Callable[[int], None]


def paired_differences(splits: Sequence[Split]) -> dict[str, np.ndarray]:
    """Second minus first classifier: ``MEASURES`` as numbers, ``recalls`` and ``aps`` as ``[classes]``.

    Of several splits of a set the mean of their differences; a class counts in the splits that have it.
    """
    one = np.ones((1, 1))
    places = [np.zeros(len(first.truth), dtype=int) for first, _ in splits]
    return {name: values[0] for name, values in _differences(splits, places, one, one).items()}


def paired_bootstrap(
    splits: Sequence[Split],
    groups: Sequence[Sequence],
    n_resamples: int = 10_000,
    confidence: float = 0.95,
    seed: int = 0,
    told: Told = lambda n: None,
) -> dict[str, np.ndarray]:
    """Percentile intervals of :func:`paired_differences` when whole groups are drawn with replacement.

    Both classifiers are judged on the same draw. A group that several splits test is drawn for all of them together.

    Args:
        splits: for each split the outcomes of the first and the second classifier on the same items.
        groups: for each split ``[n]``, the group of every item.
        seed: of NumPy's PCG64; with one split the draws are those of :func:`vidfeat.metrics.group_bootstrap`.
        told: is called with the number of draws that are done since the last call.

    Returns:
        Like :func:`paired_differences`, with a last axis (low, high). Draws in which a difference cannot be had (no
        item of a class) are left out of its interval; NaN when none remains.

    Source: B. Efron, R. Tibshirani, *An Introduction to the Bootstrap*, 1993.
    """
    places, n_groups = _places(splits, groups)
    found = []
    for times in _draws(n_groups, n_resamples, seed):
        found.append(_differences(splits, places, times, times))
        told(len(times))
    return _intervals(found, confidence)


def bootstrap_figures(
    outcome: Outcome, groups: Sequence, n_resamples: int = 1000, confidence: float = 0.95, seed: int = 0
) -> dict[str, np.ndarray]:
    """Percentile intervals of the figures of one classifier, as :func:`paired_bootstrap` has them of differences."""
    (place,), n_groups = _places([(outcome, outcome)], [groups])
    return _intervals(
        [_figures(outcome, times, place) for times in _draws(n_groups, n_resamples, seed)], confidence
    )  # fmt: skip


def swap_test(
    splits: Sequence[Split], groups: Sequence[Sequence], n_resamples: int = 10_000, seed: int = 0,
    told: Told = lambda n: None,
) -> tuple[dict[str, float], bool]:  # fmt: skip
    """Two-sided p-values of the differences of ``MEASURES`` when the classifiers trade places in whole groups.

    If the two are alike, it is chance which of them made the predictions of a group. p is the share of the ways to swap
    whose difference is at least as far from 0 as the one found: of all 2^groups if those are at most ``n_resamples``,
    else of that many random ones and the one found. For mAP, scores are replaced by their ranks among the scores of the
    same classifier and class, so that two scales can mix. Arguments as for :func:`paired_bootstrap`.

    Returns:
        p by measure, and whether all ways were counted.

    Source: E. W. Noreen, *Computer-Intensive Methods for Testing Hypotheses*, 1989 (approximate randomisation).
    """
    places, n_groups = _places(splits, groups)
    exact = 2**n_groups <= n_resamples
    # The items of both, one after the other; each side of a group has a weight of its own.
    both = [_joined(first, second) for first, second in splits]
    sides = [np.concatenate([place, place + n_groups]) for place in places]
    random = np.random.Generator(np.random.PCG64(seed))
    found = paired_differences([(_ranked(first), _ranked(second)) for first, second in splits])
    counts, done = dict.fromkeys(MEASURES, 0 if exact else 1), 0
    total = 2**n_groups if exact else n_resamples
    for n_draws in _blocks(total, 2 * n_groups):
        if exact:
            swapped = (np.arange(done, done + n_draws)[:, None] >> np.arange(n_groups)) & 1
        else:
            swapped = random.integers(2, size=(n_draws, n_groups))
        of_first, of_second = np.hstack([1 - swapped, swapped]), np.hstack([swapped, 1 - swapped])
        differences = _differences([(one, one) for one in both], sides, of_first, of_second)
        for name in MEASURES:
            counts[name] += int((np.abs(differences[name]) >= abs(found[name]) - _SAME).sum())
        done += n_draws
        told(n_draws)
    return {name: count / (total if exact else total + 1) for name, count in counts.items()}, exact


def _places(splits: Sequence[Split], groups: Sequence[Sequence]) -> tuple[list[np.ndarray], int]:
    """For each split the number of every item's group, counted over all splits; and how many groups there are."""
    lengths, given = [len(first.truth) for first, _ in splits], [len(own) for own in groups]
    if not splits or lengths != given or lengths != [len(second.truth) for _, second in splits]:
        raise UsageError(f"Splits of {lengths} items came with {given} groups: each item needs one, in both outcomes.")
    names, index = np.unique(np.concatenate([np.asarray(own) for own in groups]), return_inverse=True)
    if len(names) < 2:
        raise UsageError(
            f"All {sum(lengths)} items are in one group ({names[0]!s}), so nothing can be said about chance. Give the "
            "items groups (recordings, persons) in the manifest."
        )
    return np.split(index, np.cumsum(lengths)[:-1]), len(names)


def _blocks(total: int, n_groups: int) -> Iterator[int]:
    size = max(1, min(_MOST_DRAWS, _BLOCK // n_groups))
    yield from (min(size, total - done) for done in range(0, total, size))


def _differences(
    splits: Sequence[Split], places: Sequence[np.ndarray], of_first: np.ndarray, of_second: np.ndarray
) -> dict[str, np.ndarray]:
    """Second − first for weights ``[draws, groups]`` of the two, ``[draws]`` or ``[draws, classes]``; mean over splits.

    A class counts in the splits that have it.
    """
    each = []
    for (first, second), place in zip(splits, places, strict=True):
        less, more = _figures(first, of_first, place), _figures(second, of_second, place)
        each.append({name: more[name] - less[name] for name in more})
    result = {}
    for name in each[0]:
        values = np.stack([of_split[name] for of_split in each])
        result[name] = values.mean(axis=0) if name in MEASURES else _mean_of_known(values, axis=0)
    return result


def _figures(outcome: Outcome, weights: np.ndarray, place: np.ndarray) -> dict[str, np.ndarray]:
    """``MEASURES`` ``[draws]``, and ``recalls`` and ``aps`` ``[draws, classes]``, for weights ``[draws, groups]``."""
    n_groups, n_classes = weights.shape[1], outcome.relevant.shape[1]
    belongs = outcome.truth >= 0
    recalls = weighted_recalls(
        outcome.truth[belongs], outcome.right[belongs], max(n_classes, int(outcome.truth.max()) + 1), weights,
        place[belongs],
    )  # fmt: skip
    aps = np.column_stack(
        [
            weighted_average_precision(outcome.relevant[:, c], outcome.scores[:, c], weights, place)
            for c in range(n_classes)
        ]
    )
    items, hits = (np.bincount(place[rows], minlength=n_groups) for rows in (belongs, outcome.right))
    # An item of several labels counts in each of them here, in the mean above in one alone, as in results.json.
    labelled, found = np.zeros((2, n_groups, n_classes))
    np.add.at(labelled, place, outcome.relevant)
    np.add.at(found, (place[outcome.right], outcome.truth[outcome.right]), 1)
    with np.errstate(invalid="ignore"):
        accuracy = (weights @ hits) / (weights @ items)
        of_classes = (weights @ found) / (weights @ labelled)
    means = {"accuracy": accuracy, "mean_per_class_accuracy": _mean_of_known(recalls), "map": _mean_of_known(aps)}
    return {**means, "recalls": of_classes, "aps": aps}


def _mean_of_known(values: np.ndarray, axis: int = 1) -> np.ndarray:
    """Mean of what is not NaN; NaN where nothing is."""
    known = ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        return np.where(known, values, 0).sum(axis=axis) / known.sum(axis=axis)


def _ranked(outcome: Outcome) -> Outcome:
    ranks = np.column_stack([_mean_ranks(column) for column in outcome.scores.T])
    return Outcome(outcome.truth, outcome.right, outcome.relevant, ranks)


def _mean_ranks(values: np.ndarray) -> np.ndarray:
    """Place of each value in ascending order; equal values share the mean of their places."""
    _, step, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[step]


def _joined(first: Outcome, second: Outcome) -> Outcome:
    """The items of both, one after the other, with ranks for scores."""
    pair = (_ranked(first), _ranked(second))
    return Outcome(*(np.concatenate([getattr(o, name) for o in pair]) for name in Outcome.__dataclass_fields__))


def _draws(n_groups: int, n_resamples: int, seed: int) -> Iterator[np.ndarray]:
    """How often each group is drawn, ``[draws, groups]`` at a time."""
    random = np.random.Generator(np.random.PCG64(seed))
    for n_draws in _blocks(n_resamples, n_groups):
        drawn = random.integers(n_groups, size=(n_draws, n_groups)) + n_groups * np.arange(n_draws)[:, None]
        times = np.bincount(drawn.ravel(), minlength=n_draws * n_groups)
        yield times.reshape(n_draws, n_groups).astype(np.float64)


def _intervals(found: list[dict[str, np.ndarray]], confidence: float) -> dict[str, np.ndarray]:
    return {name: _interval(np.concatenate([part[name] for part in found]), confidence) for name in found[0]}


def _interval(values: np.ndarray, confidence: float) -> np.ndarray:
    """(low, high) over the first axis of ``[draws, …]``, as the last axis."""
    tails = [(1 - confidence) / 2, (1 + confidence) / 2]
    columns = values.reshape(len(values), -1).T
    found = [np.quantile(own[~np.isnan(own)], tails) if not np.isnan(own).all() else [np.nan] * 2 for own in columns]
    return np.array(found).reshape(*values.shape[1:], 2)
