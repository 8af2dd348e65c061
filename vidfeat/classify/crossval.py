"""Choosing C by cross-validation that never splits a group."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from vidfeat.classify.libsvm import KernelProblem, in_threads
from vidfeat.classify.svm import is_indicator, targets, thread_pool
from vidfeat.errors import UsageError
from vidfeat.kernels import Centring
from vidfeat.metrics import accuracy, mean_average_precision

# 2^−5 … 2^15 in steps of 4, the grid of C.-W. Hsu, C.-C. Chang, C.-J. Lin, *A Practical Guide to Support Vector
# Classification*, 2003.
C_GRID = tuple(2.0**k for k in range(-5, 16, 2))


@dataclass(frozen=True)
class CrossValidation:
    """Outcome of :func:`choose_C`."""

    C: float  # the best; the smallest of several equal ones
    grid: tuple[float, ...]
    scores: tuple[float, ...]  # one per C, over all held-out items together
    measure: str  # "accuracy" or "map"
    n_folds: int

    @property
    def score(self) -> float:
        """That of the best C."""
        return max(self.scores)


def choose_C(  # noqa: N802 - C is what everybody calls it
    gram: np.ndarray,
    y,
    groups: Sequence,
    grid: Sequence[float] = C_GRID,
    n_folds: int = 5,
    centre: bool = True,
    tol: float = 1e-3,
    n_jobs: int | None = -1,
) -> CrossValidation:
    """Choose C for :class:`~vidfeat.classify.svm.LibSVC` by cross-validation over groups.

    Every fold cuts its two parts out of the one Gram matrix and centres the kernel on its own training items. The
    measure is taken over all held-out items together: accuracy, or mean average precision for an indicator matrix. A
    class that a fold's training part lacks cannot be predicted in that fold.

    Args:
        gram: ``[n, n]`` kernel of the training items.
        y: ``[n]`` labels or ``[n, classes]`` indicators.
        groups: ``[n]``; items of one group are never in two folds.
        grid: values of C to try.
    """
    gram, y = np.asarray(gram), np.asarray(y)
    classes, positive = targets(y, len(gram))
    folds = group_folds(groups, n_folds, positive)
    if len(folds) != len(gram) or gram.shape != (len(gram), len(gram)):
        raise UsageError(
            f"A Gram matrix of shape {gram.shape} came with {len(folds)} groups: one for each row is needed."
        )
    grid = tuple(sorted(float(C) for C in grid))
    held_out = np.empty((len(grid), *positive.shape))
    with thread_pool(n_jobs) as threads:
        for fold in range(folds.max() + 1):
            test = folds == fold
            held_out[:, test] = _fold_scores(gram, positive, ~test, test, grid, centre, tol, threads)
    measure = "map" if is_indicator(y) else "accuracy"
    scores = tuple(_score(measure, positive, len(classes), of_c) for of_c in held_out)
    return CrossValidation(grid[int(np.argmax(scores))], grid, scores, measure, int(folds.max()) + 1)


def group_folds(groups: Sequence, n_folds: int = 5, positive: np.ndarray | None = None) -> np.ndarray:
    """Fold number ``[n]`` of every item; no group is in two folds.

    With at most ``n_folds`` groups every fold is one group. Else groups, the largest first, go to the fold where they
    even out best the numbers of items and, with ``positive [n, classes]``, of items per class. Nothing is random.
    """
    names, index = np.unique(np.asarray(groups), return_inverse=True)
    if len(names) < 2:
        raise UsageError(
            f"All training items are in one group ('{names[0]}'): C cannot be chosen by cross-validation over groups. "
            "Give it with --C, or give the items groups in the manifest."
        )
    if n_folds < 2:
        raise UsageError(f"n_folds={n_folds} is not allowed: cross-validation needs at least 2.")
    if len(names) <= n_folds:
        return index
    counted = np.ones((len(index), 1)) if positive is None else np.column_stack([np.ones(len(index)), positive])
    counts = np.zeros((len(names), counted.shape[1]))
    np.add.at(counts, index, counted)
    counts /= np.maximum(counts.sum(axis=0), 1)  # shares: every class weighs the same
    filled, fold_of = np.zeros((n_folds, counts.shape[1])), np.empty(len(names), dtype=int)
    for group in np.argsort(-counts[:, 0], kind="stable"):
        fold_of[group] = np.argmin(filled @ counts[group])  # least growth of Σ (share)²
        filled[fold_of[group]] += counts[group]
    return fold_of[index]


def _fold_scores(
    gram, positive, train, test, grid, centre: bool, tol: float, threads: ThreadPoolExecutor
) -> np.ndarray:
    """Decision values ``[grid, test items, machines]``."""
    K, K_test = gram[np.ix_(train, train)], gram[np.ix_(test, train)]
    if centre:
        centring = Centring.fit(K)
        K, K_test = centring.train(K), centring.test(K_test)
    problem = KernelProblem(K)
    one = lambda side: _machine_scores(problem, side, K_test, grid, tol)  # noqa: E731
    return np.stack(in_threads(one, positive[train].T, threads), axis=2)


def _machine_scores(problem: KernelProblem, positive: np.ndarray, K_test: np.ndarray, grid, tol: float) -> np.ndarray:
    """Decision values ``[grid, test items]`` of one machine."""
    if positive.all() or not positive.any():
        return np.full((len(grid), len(K_test)), np.inf if positive.all() else -np.inf)
    scores = np.empty((len(grid), len(K_test)))
    for i, C in enumerate(grid):
        alpha, rho = problem.train(positive, C, tol)
        scores[i:] = K_test @ alpha - rho
        if np.abs(alpha).max() < C:
            break  # no item is at the bound, so the same α solves the problem for every larger C
    return scores


def _score(measure: str, positive: np.ndarray, n_classes: int, scores: np.ndarray) -> float:
    if measure == "map":
        return mean_average_precision(positive, scores)
    if positive.shape[1] < n_classes:
        return accuracy(positive[:, 0], scores[:, 0] > 0)
    return accuracy(positive.argmax(axis=1), scores.argmax(axis=1))
