"""Probabilities from decision values: Platt's sigmoid, fitted to scores of items that the classifier never saw."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from vidfeat.errors import UsageError

_STEPS = 100
_SMALL_GRADIENT = 1e-5
_RIDGE = 1e-12


@dataclass(frozen=True)
class Calibration:
    """One sigmoid per class.

        p_c = 1 / (1 + exp(A_c f_c + B_c)),   of items with one label divided by Σ_c p_c

    An item whose score of a class is −inf (a class that training lacked) has probability 0 there.
    """

    slopes: tuple[float, ...]  # A_c, below 0 where a higher score means more
    offsets: tuple[float, ...]  # B_c
    one_label: bool

    @classmethod
    def fit(cls, scores: np.ndarray, positive: np.ndarray, one_label: bool) -> "Calibration":
        """From held-out scores ``[n, classes]`` and what is true, bool ``[n, classes]``.

        Infinite scores are left out. Two classes whose scores are −v and v share a sigmoid, so that p₀ = 1 − p₁.
        """
        scores, positive = np.asarray(scores, dtype=np.float64), np.asarray(positive, dtype=bool)
        if scores.shape != positive.shape or scores.ndim != 2:
            raise UsageError(
                f"Scores of shape {scores.shape} came with labels of shape {positive.shape}; both are [items, classes]."
            )
        if one_label and scores.shape[1] == 2 and np.array_equal(scores[:, 0], -scores[:, 1]):
            slope, offset = fit_sigmoid(scores[:, 1], positive[:, 1])
            return cls((slope, slope), (-offset, offset), one_label)
        found = [fit_sigmoid(f, own) for f, own in zip(scores.T, positive.T, strict=True)]
        return cls(tuple(a for a, _ in found), tuple(b for _, b in found), one_label)

    def probabilities(self, scores: np.ndarray) -> np.ndarray:
        """``[m, classes]`` in 0…1; rows of items with one label sum to 1."""
        scores = np.asarray(scores, dtype=np.float64)
        finite = np.isfinite(scores)
        found = _sigmoid(np.where(finite, scores, 0.0) * self.slopes + self.offsets)
        found = np.where(finite, found, scores > 0)
        if not self.one_label:
            return found
        total = found.sum(axis=1, keepdims=True)
        return np.where(total > 0, found / np.where(total > 0, total, 1), 1 / found.shape[1])

    def as_dict(self) -> dict[str, Any]:
        return {"method": "platt", "A": list(self.slopes), "B": list(self.offsets), "one_label": self.one_label}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Calibration":
        return cls(tuple(values["A"]), tuple(values["B"]), values["one_label"])


def fit_sigmoid(scores: np.ndarray, positive: np.ndarray) -> tuple[float, float]:
    """A and B that minimise the cross-entropy of 1 / (1 + exp(A f + B)) with Platt's targets.

        t = (N₊ + 1)/(N₊ + 2) for positive items, 1/(N₋ + 2) for the others

    The problem is convex; Newton's method with backtracking finds its minimum.

    Source: J. Platt, *Probabilistic Outputs for Support Vector Machines*, 1999, by the algorithm of H.-T. Lin, C.-J.
    Lin, R. Weng, *A Note on Platt's Probabilistic Outputs for Support Vector Machines*, 2007.
    """
    kept = np.isfinite(scores)
    f, own = np.asarray(scores, dtype=np.float64)[kept], np.asarray(positive, dtype=bool)[kept]
    if not len(f):
        raise UsageError(
            "No held-out item has a score, so there is nothing to calibrate probabilities on: every fold lacked the "
            "class. Leave --probabilities away, or give the items more groups."
        )
    n_positive, n_other = int(own.sum()), int((~own).sum())
    target = np.where(own, (n_positive + 1) / (n_positive + 2), 1 / (n_other + 2))
    # Scores of any scale: Newton's method does not mind, but its stopping rule does.
    scale = float(np.abs(f).max()) or 1.0
    f = f / scale
    a, b = 0.0, float(np.log((n_other + 1) / (n_positive + 1)))
    value = _entropy(a * f + b, target)
    for _ in range(_STEPS):
        z = a * f + b
        p = _sigmoid(z)
        first, weight = target - p, p * (1 - p)
        gradient = np.array([f @ first, first.sum()])
        if np.abs(gradient).max() < _SMALL_GRADIENT:
            break
        mixed = (f * weight).sum()
        hessian = np.array([[(f * f * weight).sum() + _RIDGE, mixed], [mixed, weight.sum() + _RIDGE]])
        step, size = np.linalg.solve(hessian, -gradient), 1.0
        while size > 1e-10:
            new = _entropy((a + size * step[0]) * f + b + size * step[1], target)
            if new < value + 1e-4 * size * (gradient @ step):
                break
            size /= 2
        else:
            break
        a, b, value = a + size * step[0], b + size * step[1], new
    return float(a / scale), float(b)


def _sigmoid(z: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(z)) without overflow."""
    small = np.exp(-np.abs(z))
    return np.where(z >= 0, small, 1.0) / (1 + small)


def _entropy(z: np.ndarray, target: np.ndarray) -> float:
    """−Σ t log p + (1 − t) log(1 − p) for p = 1 / (1 + exp(z)): log p = −log(1 + eᶻ), log(1 − p) = z + log p."""
    return float((np.logaddexp(0, z) - (1 - target) * z).sum())
