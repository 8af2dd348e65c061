"""Choosing C and γ by cross-validation that never splits a group."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from vidfeat.classify.bases import Bases
from vidfeat.classify.libsvm import KernelProblem, in_threads
from vidfeat.classify.machines import Machine, class_scores, is_indicator, machines_of, targets
from vidfeat.classify.svm import thread_pool
from vidfeat.errors import UsageError
from vidfeat.kernels import Centring
from vidfeat.metrics import accuracy, mean_average_precision

# 2^−5 … 2^15 in steps of 4, the grid of C.-W. Hsu, C.-C. Chang, C.-J. Lin, *A Practical Guide to Support Vector
# Classification*, 2003.
C_GRID = tuple(2.0**k for k in range(-5, 16, 2))

# Multiples of 1 / mean distance, around the value that needs no search.
GAMMA_GRID = (0.25, 0.5, 1.0, 2.0, 4.0)

# Scores [grid, test items, classes] of a fold, from the rows of its training and its test part, and γ.
FoldScores = Callable[[np.ndarray, np.ndarray, float | None], np.ndarray]


@dataclass(frozen=True)
class CrossValidation:
    """Outcome of :func:`choose_C`."""

    C: float  # the best; the smallest of several equal ones
    grid: tuple[float, ...]
    scores: tuple[float, ...]  # one per C, over all held-out items together, with the best γ
    measure: str  # "accuracy" or "map"
    n_folds: int
    gamma: float | None = None  # the best; of equal ones that with the smallest C, then the smallest
    gammas: tuple[float | None, ...] = (None,)
    scores_by_gamma: tuple[tuple[float, ...], ...] = ()  # [gammas][grid]
    held_out: np.ndarray | None = field(default=None, compare=False, repr=False)  # scores [n, classes] of the best

    @property
    def score(self) -> float:
        """That of the best C."""
        return max(self.scores)


def choose_C(  # noqa: N802 - C is what everybody calls it
    gram: np.ndarray | Bases,
    y,
    groups: Sequence,
    grid: Sequence[float] = C_GRID,
    n_folds: int = 5,
    centre: bool = True,
    tol: float = 1e-3,
    n_jobs: int | None = -1,
    *,
    gammas: Sequence[float | None] = (None,),
    multiclass: str = "ovr",
    class_weights: str | Mapping | None = None,
    on_fold: Callable[[], None] | None = None,
) -> CrossValidation:
    """Choose C, and γ, for :class:`~vidfeat.classify.svm.LibSVC` by cross-validation over groups.

    Every fold cuts its two parts out of the one base matrix, whatever γ, and centres the kernel on its own training
    items. The measure is taken over all held-out items together: accuracy, or mean average precision for an indicator
    matrix. A class that a fold's training part lacks cannot be predicted in that fold.

    Args:
        gram: ``[n, n]`` kernel of the training items, or their base matrices.
        y: ``[n]`` labels or ``[n, classes]`` indicators.
        groups: ``[n]``; items of one group are never in two folds.
        grid: values of C to try.
        gammas: values of γ to try, as the :class:`Bases` take them.
        on_fold: called after every fold of every γ.
    """
    bases = gram if isinstance(gram, Bases) else Bases("precomputed", (np.asarray(gram),))
    y, shape = np.asarray(y), bases.matrices[0].shape
    classes, positive = targets(y, len(bases))
    if len(groups) != len(bases) or shape != (len(bases), len(bases)):
        raise UsageError(f"A Gram matrix of shape {shape} came with {len(groups)} groups: one for each row is needed.")
    grid = tuple(sorted(float(C) for C in grid))
    with thread_pool(n_jobs) as threads:

        def fold_scores(train: np.ndarray, test: np.ndarray, gamma: float | None) -> np.ndarray:
            K, blend = bases.train(train, gamma)
            K_test = bases.cross(test, train, blend)
            centring = Centring.fit(K) if centre else None
            problem = KernelProblem(K, centring)
            del K
            K_test = centring.test(K_test) if centring else np.asarray(K_test, dtype=np.float64)
            machines = machines_of(classes, positive[train], multiclass, class_weights)
            one = lambda machine: _machine_scores(problem, machine, K_test, grid, tol)  # noqa: E731
            values = np.stack(in_threads(one, machines, threads), axis=2)
            return np.stack([_of_classes(v, positive[train], len(classes), multiclass) for v in values])

        measure = "map" if is_indicator(y) else "accuracy"
        return cross_validate(fold_scores, positive, len(classes), measure, groups, grid, n_folds, gammas, on_fold)


def cross_validate(
    fold_scores: FoldScores,
    positive: np.ndarray,
    n_classes: int,
    measure: str,
    groups: Sequence,
    grid: tuple[float, ...],
    n_folds: int = 5,
    gammas: Sequence[float | None] = (None,),
    on_fold: Callable[[], None] | None = None,
) -> CrossValidation:
    """The best of ``grid`` and ``gammas`` for any classifier that can score a fold; see :func:`choose_C`."""
    folds = group_folds(groups, n_folds, positive)
    found, best, kept = [], (-np.inf, 0.0), None
    for gamma in gammas:
        held_out = np.empty((len(grid), len(positive), n_classes))
        for fold in range(folds.max() + 1):
            train, test = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
            held_out[:, test] = fold_scores(train, test, gamma)
            if on_fold is not None:
                on_fold()
        found.append(tuple(_score(measure, positive, n_classes, of_c) for of_c in held_out))
        top = int(np.argmax(found[-1]))
        if (found[-1][top], -grid[top]) > best:
            best, kept = (found[-1][top], -grid[top]), (held_out[top].copy(), len(found) - 1)
    held_out, number = kept
    return CrossValidation(
        -best[1], grid, found[number], measure, int(folds.max()) + 1, gammas[number], tuple(gammas), tuple(found),
        held_out,
    )  # fmt: skip


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


def _machine_scores(problem: KernelProblem, machine: Machine, K_test: np.ndarray, grid, tol: float) -> np.ndarray:
    """Decision values ``[grid, test items]`` of one machine; infinite if it has items of one side only."""
    positive = machine.positive
    if positive.all() or not positive.any():
        # A pair of which both classes are missing has no items: nobody's vote counts there.
        side = np.inf if len(positive) and positive.all() else -np.inf
        return np.full((len(grid), len(K_test)), side)
    scores = np.empty((len(grid), len(K_test)))
    for i, C in enumerate(grid):
        alpha, rho = problem.train(positive, C, tol, machine.rows, machine.weights)
        scores[i:] = K_test @ alpha - rho
        if np.abs(alpha).max() < C * min(machine.weights):
            break  # no item is at the bound, so the same α solves the problem for every larger C
    return scores


def _of_classes(values: np.ndarray, positive: np.ndarray, n_classes: int, multiclass: str) -> np.ndarray:
    """Scores ``[test items, classes]``; one-vs-one, −inf for classes that the training part lacks."""
    if multiclass == "ovr" or positive.shape[1] == 1:
        return class_scores(values, n_classes)
    scores = class_scores(np.clip(values, -1e3, 1e3) if not np.isfinite(values).all() else values, n_classes, "ovo")
    scores[:, ~positive.any(axis=0)] = -np.inf
    return scores


def _score(measure: str, positive: np.ndarray, n_classes: int, scores: np.ndarray) -> float:
    if measure == "map":
        return mean_average_precision(positive, scores)
    true = positive[:, 0].astype(int) if positive.shape[1] < n_classes else positive.argmax(axis=1)
    return accuracy(true, scores.argmax(axis=1))
