"""Bootstrap intervals over groups of items that are not independent of one another."""

from collections.abc import Callable

import numpy as np

from vidfeat.errors import UsageError


def group_bootstrap(
    statistic: Callable[..., float], groups, *arrays, n_resamples: int = 1000, confidence: float = 0.95, seed: int = 0
) -> tuple[float, float]:
    """Percentile interval of ``statistic(*arrays)`` when whole groups (recordings, persons) are drawn with replacement.

    Segments of one recording resemble each other, so drawing single items would make the interval too narrow.

    Args:
        statistic: takes the arrays, restricted to the drawn items (repeats included), and returns a number.
        groups: ``[n]``, the group of every item.
        arrays: each ``[n, …]``.
        seed: of NumPy's PCG64; the same seed gives the same interval.

    Returns:
        (low, high). Draws whose statistic is NaN are left out; NaN both when none remains.

    Source: B. Efron, R. Tibshirani, *An Introduction to the Bootstrap*, 1993 (percentile interval).
    """
    groups = np.asarray(groups)
    arrays = [np.asarray(array) for array in arrays]
    if groups.ndim != 1 or len(groups) == 0 or any(len(array) != len(groups) for array in arrays):
        lengths = [len(array) for array in arrays]
        raise UsageError(
            f"{len(groups)} groups came with arrays of lengths {lengths}; allowed is one length, at least 1."
        )
    if not 0 < confidence < 1 or n_resamples < 1:
        raise UsageError(f"confidence={confidence} must lie between 0 and 1, and n_resamples={n_resamples} be ≥ 1.")
    _, index = np.unique(groups, return_inverse=True)
    members = np.split(np.argsort(index, kind="stable"), np.cumsum(np.bincount(index))[:-1])
    random = np.random.Generator(np.random.PCG64(seed))
    values = np.empty(n_resamples)
    for draw in range(n_resamples):
        items = np.concatenate([members[g] for g in random.integers(len(members), size=len(members))])
        values[draw] = statistic(*(array[items] for array in arrays))
    values = values[~np.isnan(values)]
    if len(values) == 0:
        return float("nan"), float("nan")
    low, high = np.quantile(values, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)
