"""Weights on one simplex or on several: where they start, and quadratic programmes over them."""

from collections.abc import Sequence

import numpy as np

_STEPS = 10_000
_RELATIVE = 1e-10


def uniform_weights(groups: Sequence[np.ndarray]) -> np.ndarray:
    """1/N on every simplex; ``groups`` are the places of its weights, each in one of them."""
    beta = np.zeros(sum(map(len, groups)))
    for group in groups:
        beta[group] = 1 / len(group)
    return beta


def excess(slopes: np.ndarray, beta: np.ndarray, groups: Sequence[np.ndarray]) -> float:
    """Σ over simplices of max_n slopes_n − Σ_n β_n slopes_n; 0 exactly at a stationary point."""
    return float(sum(slopes[group].max() - beta[group] @ slopes[group] for group in groups))


def simplex_qp(H: np.ndarray, c: np.ndarray, beta: np.ndarray, groups: Sequence[np.ndarray]) -> np.ndarray:
    """argmin ½ βᵀHβ + cᵀβ over the simplices, from ``beta``; H positive semidefinite.

    Moves weight between two places at a time, exactly, so that zeros are zeros: from the place whose exchange gains
    most to the one with the lowest slope.
    """
    beta = beta.copy()
    slope = H @ beta + c
    scale = max(float(np.abs(slope).max()), np.finfo(float).tiny)
    curvature = np.diagonal(H)
    for _ in range(_STEPS):
        best_gain, best_move = 0.0, None
        for group in groups:
            to = group[np.argmin(slope[group])]
            fall = np.where(beta[group] > 0, slope[group] - slope[to], 0.0)
            if fall.max() <= _RELATIVE * scale:
                continue
            bend = np.maximum(curvature[group] + curvature[to] - 2 * H[group, to], np.finfo(float).tiny)
            step = np.minimum(beta[group], fall / bend)
            gain = step * (fall - 0.5 * step * bend)
            place = int(np.argmax(gain))
            if gain[place] > best_gain:
                best_gain, best_move = gain[place], (group[place], to, step[place])
        if best_move is None:
            break
        source, to, step = best_move
        left = beta[source] - step
        beta[source] = left if left > 0 else 0.0
        beta[to] += step
        slope += step * (H[:, to] - H[:, source])
    for group in groups:
        beta[group] /= beta[group].sum()
    return beta
