"""Linear SVMs without a Gram matrix, by LIBLINEAR: for more items than an n × n matrix has room for."""

import warnings
from collections.abc import Mapping, Sequence

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.svm import LinearSVC

from vidfeat.classify.crossval import C_GRID, CrossValidation, cross_validate
from vidfeat.classify.machines import Machine, class_scores, is_indicator, machines_of, targets
from vidfeat.errors import UsageError

_MOST_STEPS = 5000
_ROWS = 4096  # that are in float64 at one time


def train_liblinear(
    X: np.ndarray, y, C: float, class_weights: str | Mapping | None = None, tol: float = 1e-3
) -> tuple[np.ndarray, np.ndarray]:
    """One-vs-rest weights ``[classes, D]`` and intercepts ``[classes]`` for codes as they came.

        min_w,b ½ (‖w‖² + b²) + C Σ_i max(0, 1 − y_i (w·x_i + b))

    on codes that are centred and scaled to mean squared norm 1, as :class:`~vidfeat.kernels.Centring` does, so that C
    means what it means for :class:`~vidfeat.classify.svm.LibSVC`. Unlike LIBSVM, LIBLINEAR also keeps b small.

    Source: R.-E. Fan, K.-W. Chang, C.-J. Hsieh, X.-R. Wang, C.-J. Lin, *LIBLINEAR: A Library for Large Linear
    Classification*, 2008, through scikit-learn's ``LinearSVC``.
    """
    classes, positive = targets(np.asarray(y), len(X))
    Z, origin, scale = _standardised(X)
    W, b = _train(Z, machines_of(classes, positive, "ovr", class_weights), C, tol)
    W = W / scale
    b = b - W @ origin
    return (np.vstack([-W, W]), np.hstack([-b, b])) if len(W) < len(classes) else (W, b)


def choose_C_liblinear(  # noqa: N802
    X: np.ndarray,
    y,
    groups: Sequence,
    grid: Sequence[float] = C_GRID,
    n_folds: int = 5,
    class_weights: str | Mapping | None = None,
    tol: float = 1e-3,
    on_fold=None,
) -> CrossValidation:
    """As :func:`~vidfeat.classify.crossval.choose_C`, with machines of :func:`train_liblinear`."""
    y = np.asarray(y)
    classes, positive = targets(y, len(X))
    grid = tuple(sorted(float(C) for C in grid))

    def fold_scores(train: np.ndarray, test: np.ndarray, gamma: None) -> np.ndarray:
        Z, origin, scale = _standardised(X[train])
        Z_test = (X[test] - origin) / scale
        machines = machines_of(classes, positive[train], "ovr", class_weights)
        usable = [m for m in machines if m.positive.any() and not m.positive.all()]
        values = np.empty((len(grid), len(test), len(machines)))
        for c, machine in enumerate(machines):
            values[:, :, c] = np.inf if machine.positive.all() else -np.inf
        columns = [c for c, m in enumerate(machines) if m.positive.any() and not m.positive.all()]
        for i, C in enumerate(grid):
            W, b = _train(Z, usable, C, tol)
            values[i][:, columns] = Z_test @ W.T + b
        return np.stack([class_scores(v, len(classes)) for v in values])

    measure = "map" if is_indicator(y) else "accuracy"
    return cross_validate(fold_scores, positive, len(classes), measure, groups, grid, n_folds, on_fold=on_fold)


def _standardised(X: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """(X − mean) / scale as float64, mean, scale = root of the mean squared norm about the mean."""
    origin = X.mean(axis=0, dtype=np.float64)
    Z = np.empty(X.shape)
    total = 0.0
    for i in range(0, len(X), _ROWS):
        np.subtract(X[i : i + _ROWS], origin, out=Z[i : i + _ROWS])
        total += float(np.square(Z[i : i + _ROWS]).sum())
    scale = float(np.sqrt(total / len(X)))
    if not scale > 1e-7 * float(np.linalg.norm(origin)):
        raise UsageError(
            f"All {len(X)} training items have the same code, so there is nothing to learn. "
            "Check the features (are they constant?) and the encoding."
        )
    Z /= scale
    return Z, origin, scale


def _train(Z: np.ndarray, machines: list[Machine], C: float, tol: float) -> tuple[np.ndarray, np.ndarray]:
    weights, intercepts, unfinished = [], [], 0
    for machine in machines:
        factors = {1: machine.weights[0], 0: machine.weights[1]}
        model = LinearSVC(
            C=C, loss="hinge", tol=tol, class_weight=factors, max_iter=_MOST_STEPS, random_state=0, dual=True
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(Z, machine.positive.astype(int))
        unfinished += model.n_iter_ >= _MOST_STEPS
        weights.append(model.coef_[0])
        intercepts.append(model.intercept_[0])
    if unfinished:
        warnings.warn(
            f"LIBLINEAR stopped after {_MOST_STEPS} passes before its tolerance for {unfinished} of {len(machines)} "
            f"machines with C = {C:g}: their weights are not exact. A smaller C converges sooner.",
            ConvergenceWarning,
            stacklevel=2,
        )
    return np.array(weights), np.array(intercepts)
