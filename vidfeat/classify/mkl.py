"""Multiple-kernel learning over the nodes of temporal pyramids, as a scikit-learn classifier."""

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from vidfeat.classify.mkl_grams import check_grams
from vidfeat.classify.mkl_input import are_grams, check_streams, spaces
from vidfeat.classify.mkl_levels import best_level, level_weights
from vidfeat.classify.mkl_machines import Machines
from vidfeat.classify.mkl_model import NodeMachines
from vidfeat.classify.mkl_simplex import uniform_weights
from vidfeat.classify.mkl_solver import Solution, alternating, judged, simplemkl
from vidfeat.classify.mkl_spaces import AVERAGING, CONCATENATION, Streams
from vidfeat.classify.svm import is_indicator, targets, thread_pool
from vidfeat.errors import UsageError

METHODS = ("simplemkl", "alternating", "uniform", "best-level")
COMBINATIONS = (CONCATENATION, AVERAGING)
BETAS = ("shared", "per-class")
SIMPLICES = ("stream", "all")
_SLACK = 0.1  # share of ``tol`` that the machines' own gaps may take


class MultipleKernelSVC(ClassifierMixin, BaseEstimator):
    """One-vs-rest C-SVMs over a weighted combination of the kernels of pyramid nodes; the weights are learnt.

        concatenation:  K = Σ_n β_n κ_nn          averaging:  K = Σ_nm β_n β_m κ_nm,     β ≥ 0, Σ_n β_n = 1

    κ_nm is divided by √(tr κ_nn · tr κ_mm) / n_train, traces over the training items and kept for others, so that
    scale does not decide weights. ``simplemkl`` finds min_β J(β), J the sum of the machines' optimal values, and
    reports how near the minimum it is.

    Args:
        C: penalty of an error, > 0, over the normalised kernel (mean diagonal 1 per stream at concatenation).
        method: ``simplemkl``; ``uniform``, β = 1/N; ``best-level``, uniform on the level of the pyramid that
            cross-validation over groups prefers; ``alternating``, the scheme of Eq. 3 as printed, which maximises J
            over β and so picks bad nodes: for the record only.
        combination: ``concatenation`` or ``averaging``. Streams are never averaged with one another: their kernels
            are summed.
        kernel: ``linear``, ``rbf`` or ``intersection`` between nodes.
        gamma: of rbf; None is 1 / mean squared distance over training pairs, one for all pairs of nodes of a stream.
        beta: ``shared`` by all classes, or ``per-class``.
        simplex: weights sum to 1 in every ``stream``, or over ``all`` nodes.
        centre: take traces of kernels that are centred on the training items. It changes nothing else, as an SVM has
            a bias.
        tol: relative duality gap, or for averaging relative stationarity, at which the learning of β stops. Linear
            kernels of float32 nodes are products in float32 where C · 1e-6 ≤ tol, which bounds their part in it.
        max_iter: steps at most, else a ConvergenceWarning that says how near it came.
        memory_gb: of Gram matrices that are kept between steps instead of computed anew (averaging of linear kernels
            needs none).
        n_jobs: threads; −1 for every processor this process may use, None for one.

    Attributes:
        classes_: label values, sorted; for an indicator matrix its column numbers.
        beta_: ``[nodes of all streams]``, or ``[machines, nodes]`` per class.
        dual_coef_, intercept_: ``[machines, n]`` and ``[machines]``: the decision value is K·dual_coef_ + intercept_.
        coef_: linear kernel only: ``[machines, nodes, D]`` of every stream, for nodes as they came.
        machines_, support_: rbf and intersection: the support vectors with all that predicting takes, and their rows.
        scales_: ``[nodes]``, trace of each kernel per training item.
        duality_gap_: concatenation: relative duality gap, (max_n q_n − Σ β_n q_n + the machines' own gaps) / J, the
            largest of all classes if β is per class; a certificate for simplemkl, for the others a distance.
        stationarity_: averaging: max_n (Mβ)_n − βᵀMβ, 0 at a local minimum. Absolute.
        objective_: J. n_iter_, n_svm_: steps, and machines trained.
        level_: best-level only, from 1.

    Input is ``[items, nodes, D]``, a list of such arrays (one per stream), or a list of Gram matrices ``[n, n]``
    (concatenation; ``[m, n]`` to predict). ``y`` is ``[n]`` labels or an indicator matrix ``[n, classes]``.

    Sources: A. Mazari, H. Sahbi, *Action Recognition with Deep Multiple Aggregation Networks*, 2020, Eqs. 1 to 3;
    A. Rakotomamonjy, F. Bach, S. Canu, Y. Grandvalet, *SimpleMKL*, 2008.
    """

    def __init__(
        self,
        C=1.0,
        method="simplemkl",
        combination="concatenation",
        kernel="linear",
        gamma=None,
        beta="shared",
        simplex="stream",
        centre=False,
        tol=1e-3,
        max_iter=100,
        memory_gb=1.0,
        n_jobs=-1,
    ):
        self.C = C
        self.method = method
        self.combination = combination
        self.kernel = kernel
        self.gamma = gamma
        self.beta = beta
        self.simplex = simplex
        self.centre = centre
        self.tol = tol
        self.max_iter = max_iter
        self.memory_gb = memory_gb
        self.n_jobs = n_jobs

    def fit(self, X, y, groups=None):
        """Train. ``groups [n]``: best-level only, items of one group stay together in its cross-validation."""
        self._check_parameters()
        y = np.asarray(y)
        # An error δ of the kernel changes J by up to some C δ of it.
        space, self.gamma_ = spaces(
            X, self.kernel, self.combination, self.gamma, self.centre, self.memory_gb, min(self.tol, 1.0) / self.C
        )
        self.classes_, positive = targets(y, space.n_items)
        self.multilabel_, self.scales_ = is_indicator(y), space.scales
        self._shapes = None if are_grams(X) else [stream.shape[1:] for stream in check_streams(X)]
        self._fit_weights(space, positive, y, groups)
        self.coef_ = self.machines_ = None
        if self.kernel == "linear" and self._shapes is not None:
            self.coef_ = [
                stream.weights(self._betas()[:, place], self.dual_coef_)
                for stream, place in zip(space.streams, space.places, strict=True)
            ]
        elif self._shapes is not None:
            machines = NodeMachines(
                check_streams(X), [stream.scales for stream in space.streams], self._betas(), self.dual_coef_,
                self.intercept_, self.kernel, self.gamma_, self.combination,
            )  # fmt: skip
            self.machines_, self.support_ = machines.supported()
        return self

    def class_scores(self, X) -> np.ndarray:
        """Decision values ``[m, classes]``, float64; with two classes the first column is minus the second."""
        scores = self._machine_scores(X)
        return np.hstack([-scores, scores]) if scores.shape[1] < len(self.classes_) else scores

    def decision_function(self, X) -> np.ndarray:
        """:meth:`class_scores`; by scikit-learn's convention ``[m]``, of the second class, when y had two labels."""
        scores = self._machine_scores(X)
        return scores[:, 0] if scores.shape[1] < len(self.classes_) else scores

    def predict(self, X) -> np.ndarray:
        """The label with the highest score ``[m]``; for indicator matrices, which scores are > 0 ``[m, classes]``."""
        scores = self.class_scores(X)
        return (scores > 0).astype(int) if self.multilabel_ else self.classes_[scores.argmax(axis=1)]

    def linear_model(self) -> tuple[np.ndarray, np.ndarray]:
        """W ``[classes, Σ nodes·D]`` and b ``[classes]``, for the streams' nodes side by side; linear kernel only."""
        check_is_fitted(self)
        if self.coef_ is None:
            raise UsageError("Only kernel='linear' on nodes has weights on codes. Keep dual_coef_ instead.")
        W, b = np.hstack([part.reshape(len(part), -1) for part in self.coef_]), self.intercept_
        return (np.vstack([-W, W]), np.hstack([-b, b])) if len(W) < len(self.classes_) else (W, b)

    def _check_parameters(self) -> None:
        for name, allowed in (
            ("method", METHODS), ("combination", COMBINATIONS), ("beta", BETAS), ("simplex", SIMPLICES),
        ):  # fmt: skip
            if getattr(self, name) not in allowed:
                raise UsageError(f"{name}={getattr(self, name)!r} is unknown. Allowed: {', '.join(allowed)}.")
        for name in ("C", "tol", "max_iter"):
            value = getattr(self, name)
            if isinstance(value, str) or not (np.isfinite(value) and value > 0):
                raise UsageError(f"{name}={value!r} is not allowed: it must be a finite number > 0.")

    def _fit_weights(self, space: Streams, positive: np.ndarray, y: np.ndarray, groups) -> None:
        self.groups_ = weight_groups(space, self.simplex)
        self.level_ = None
        if self.method == "best-level":
            self.level_ = best_level(space, y, groups, self.C, self.combination)
        sides = [positive] if self.beta == "shared" else [column[:, None] for column in positive.T]
        with thread_pool(self.n_jobs) as threads:
            found = [Machines(space, side, self.C, _SLACK * min(self.tol, 1.0), threads) for side in sides]
            solved = [self._solve(machines) for machines in found]
        points = [solution.point for solution in solved]
        self.beta_ = points[0].beta if self.beta == "shared" else np.stack([point.beta for point in points])
        self.dual_coef_ = np.concatenate([point.A for point in points])
        self.intercept_ = np.concatenate([-point.rho - point.A @ point.means for point in points])
        concatenation = self.combination == CONCATENATION
        self.duality_gap_ = max(solution.gap for solution in solved) if concatenation else None
        self.stationarity_ = None if concatenation else max(solution.stationarity for solution in solved)
        self.objective_ = sum(point.value for point in points)
        self.n_iter_ = max(solution.steps for solution in solved)
        self.n_svm_ = sum(machines.count for machines in found)
        self.converged_ = all(solution.converged for solution in solved)

    def _solve(self, machines: Machines) -> Solution:
        averaging = self.combination == AVERAGING
        if self.method == "simplemkl":
            return simplemkl(machines, self.groups_, averaging, self.tol, self.max_iter)
        if self.method == "alternating":
            return alternating(machines, self.groups_, averaging, self.max_iter)
        beta = uniform_weights(self.groups_)
        if self.level_ is not None:
            beta = level_weights(machines.space, self.level_, self.simplex == "stream")
        return judged(machines.at(beta), self.groups_, 0)

    def _betas(self) -> np.ndarray:
        """``[machines, nodes]``, whatever β is shared by."""
        return np.broadcast_to(self.beta_, (len(self.dual_coef_), len(self.scales_)))

    def _machine_scores(self, X) -> np.ndarray:
        check_is_fitted(self)
        given = are_grams(X)
        if given != (self._shapes is None):
            raise UsageError(f"The model was trained on {'nodes' if given else 'Gram matrices'}: give the same kind.")
        if given:
            grams = check_grams(X, len(self.scales_), self.dual_coef_.shape[1])
            weights = self._betas() / self.scales_
            parts = (gram @ (w[:, None] * self.dual_coef_).T for gram, w in zip(grams, weights.T, strict=True))
            return sum(parts, start=self.intercept_)
        streams = check_streams(X, self._shapes)
        if self.coef_ is None:
            return self.machines_.scores(streams)
        scores = np.tile(self.intercept_, (len(streams[0]), 1))
        for stream, coef in zip(streams, self.coef_, strict=True):
            for node in range(stream.shape[1]):
                scores += stream[:, node].astype(np.float64) @ coef[:, node].T
        return scores


def uniform_gram(model: MultipleKernelSVC, X) -> np.ndarray:
    """The kernel ``[n, n]`` of the model's settings at uniform weights, for choosing C on it."""
    space, _ = spaces(X, model.kernel, model.combination, model.gamma, model.centre, 0.0, accuracy=0.0)
    return space.gram(uniform_weights(weight_groups(space, model.simplex)))


def weight_groups(space: Streams, simplex: str) -> list[np.ndarray]:
    """Places of the weights that sum to 1."""
    return space.places if simplex == "stream" else [np.arange(space.n_nodes)]
