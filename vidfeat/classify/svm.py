"""Support vector machines by LIBSVM over one Gram matrix, as a scikit-learn classifier."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
from joblib import cpu_count
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_array, check_is_fitted, validate_data

from vidfeat.classify.bases import Bases
from vidfeat.classify.libsvm import KernelProblem, in_threads
from vidfeat.classify.machines import Machine, class_scores, is_indicator, machines_of, targets
from vidfeat.errors import UsageError
from vidfeat.kernels import KERNELS as NAMED_KERNELS
from vidfeat.kernels import NON_NEGATIVE, Centring, linear_gram

__all__ = ["KERNELS", "LibSVC", "check_finite", "is_indicator", "targets", "thread_pool", "train_machines"]

KERNELS = (*NAMED_KERNELS, "precomputed")
_COLUMNS = 4096  # of the codes that are in float64 at one time


class LibSVC(ClassifierMixin, BaseEstimator):
    """C-SVM: one machine per class against the rest, or per pair of classes, all over one Gram matrix.

        max_α Σ_i α_i − ½ Σ_ij α_i α_j y_i y_j κ(x_i, x_j),   0 ≤ α_i ≤ C,  Σ_i α_i y_i = 0

    Args:
        C: penalty of an error, > 0.
        kernel: on codes ``[n, D]``: ``linear``, ``rbf``, ``chi2`` (exponential), ``chi2-additive``, ``hellinger`` or
            ``intersection`` (:mod:`vidfeat.kernels.functions`; the last four take numbers ≥ 0 only). Or
            ``precomputed``: ``[n, n]`` to fit, ``[m, n]`` to predict.
        gamma: of rbf and chi2; ``mean`` is 1 / mean distance over pairs of training items.
        multiclass: ``ovr``, or ``ovo`` as LIBSVM's own programs do it (not for indicator matrices).
        class_weights: None, ``balanced``, or a mapping class -> factor of C (:func:`.machines.machines_of`).
        centre: centre the kernel on the training items and scale it to mean diagonal 1 before C applies
            (:class:`vidfeat.kernels.Centring`).
        tol: LIBSVM's stopping tolerance.
        n_jobs: threads; −1 for every processor this process may use, None for one.

    Attributes:
        classes_: label values, sorted; for an indicator matrix its column numbers.
        dual_coef_: ``[machines, n]``, α_i y_i; zero for items that are no support vectors. One machine for two classes
            (positive: the second), else one per class, or with ovo one per pair i < j (positive: i).
        intercept_: ``[machines]``. The decision value is κ·dual_coef_ + intercept_.
        centring_: the fitted :class:`Centring`, None without.
        gamma_: γ as it was used, None for kernels without.
        coef_, raw_intercept_: linear kernel only, ``[machines, D]`` and ``[machines]``, for codes as they came.

    ``y`` is ``[n]`` labels, or a 0/1 indicator matrix ``[n, classes]`` for items with any number of labels; a matrix
    of one column is taken for labels, with scikit-learn's warning.

    Source: C.-C. Chang, C.-J. Lin, *LIBSVM: A Library for Support Vector Machines*, 2011.
    """

    def __init__(
        self,
        C=1.0,
        kernel="linear",
        centre=True,
        tol=1e-3,
        n_jobs=-1,
        gamma="mean",
        multiclass="ovr",
        class_weights=None,
    ):
        self.C = C
        self.kernel = kernel
        self.centre = centre
        self.tol = tol
        self.n_jobs = n_jobs
        self.gamma = gamma
        self.multiclass = multiclass
        self.class_weights = class_weights

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = self.multiclass == "ovr"
        tags.input_tags.pairwise = self.kernel == "precomputed"
        tags.input_tags.positive_only = self.kernel in NON_NEGATIVE
        return tags

    def fit(self, X, y, gram=None):
        """Train. ``gram`` is the Gram matrix ``[n, n]`` of the rows of X, if it is known already (linear kernel)."""
        if self.kernel not in KERNELS:
            raise UsageError(f"kernel={self.kernel!r} is unknown. Allowed: {', '.join(KERNELS)}.")
        X = validate_data(self, X, dtype="numeric", ensure_all_finite=False)
        check_finite(X)
        if gram is not None and self.kernel != "linear":
            raise UsageError(
                f"gram= belongs to kernel='linear', not to {self.kernel!r}. With kernel='precomputed' the Gram matrix "
                "is X."
            )
        y = np.asarray(y)
        self.classes_, positive = targets(y, len(X))
        machines = machines_of(self.classes_, positive, self.multiclass, self.class_weights)
        K = self._train_kernel(X) if gram is None else gram
        if np.shape(K) != (len(X), len(X)):
            raise UsageError(f"The Gram matrix of {len(X)} training items has shape {np.shape(K)}, not [n, n].")
        self.centring_ = Centring.fit(K) if self.centre else None
        problem = KernelProblem(K, self.centring_)
        del K
        with thread_pool(self.n_jobs) as threads:
            self.dual_coef_, self.intercept_ = train_machines(problem, machines, self.C, self.tol, threads)
        self.multilabel_ = is_indicator(y)
        if self.kernel == "linear":
            self.coef_, self.raw_intercept_ = linear_weights([X], [1.0], *self._trained())
        elif self.kernel != "precomputed":
            self._codes = X
        return self

    def class_scores(self, X) -> np.ndarray:
        """Scores ``[m, classes]``, float64: decision values (with two classes the first column is minus the second);
        one-vs-one: votes, and less than one for their sum (:func:`.machines.class_scores`)."""
        return class_scores(self.machine_scores(X), len(self.classes_), self.multiclass)

    def decision_function(self, X) -> np.ndarray:
        """:meth:`class_scores`; by scikit-learn's convention ``[m]``, of the second class, when y had two labels."""
        scores = self.machine_scores(X)
        if scores.shape[1] < len(self.classes_) == 2:
            return scores[:, 0]
        return class_scores(scores, len(self.classes_), self.multiclass)

    def predict(self, X) -> np.ndarray:
        """The label with the highest score ``[m]``; for indicator matrices, which scores are > 0 ``[m, classes]``."""
        scores = self.class_scores(X)
        return (scores > 0).astype(int) if self.multilabel_ else self.classes_[scores.argmax(axis=1)]

    def linear_model(self) -> tuple[np.ndarray, np.ndarray]:
        """W ``[classes, D]`` and b ``[classes]`` such that :meth:`class_scores` is X Wᵀ + b on codes as they came;
        with ovo one row per pair, for :meth:`machine_scores`."""
        check_is_fitted(self)
        if self.kernel != "linear":
            never = ": it never saw any" if self.kernel == "precomputed" else ""
            raise UsageError(f"kernel={self.kernel!r} has no weights on codes{never}. Keep dual_coef_ instead.")
        if len(self.coef_) == 1 and len(self.classes_) == 2:
            return np.vstack([-self.coef_, self.coef_]), np.hstack([-self.raw_intercept_, self.raw_intercept_])
        return self.coef_, self.raw_intercept_

    def machine_scores(self, X) -> np.ndarray:
        """Decision values ``[m, machines]``, in the order of :attr:`dual_coef_`."""
        check_is_fitted(self)
        X = check_array(X, dtype="numeric", ensure_all_finite=False)
        check_finite(X)
        validate_data(self, X, reset=False, skip_check_array=True)
        if self.kernel == "linear":
            return linear_gram(X, self.coef_) + self.raw_intercept_
        K = X if self.kernel == "precomputed" else self._blend.of_codes([X], [self._codes])
        K = self.centring_.test(K) if self.centring_ else np.asarray(K, dtype=np.float64)
        return K @ self.dual_coef_.T + self.intercept_

    def _train_kernel(self, X: np.ndarray) -> np.ndarray:
        self.gamma_ = None
        if self.kernel == "precomputed":
            return X
        relative = isinstance(self.gamma, str)
        if relative and self.gamma != "mean":
            raise UsageError(f"gamma={self.gamma!r} is not allowed: it must be a finite number > 0, or 'mean'.")
        K, self._blend = Bases.of_codes(self.kernel, [X], relative=relative).train(
            None, None if relative else self.gamma
        )
        self.gamma_ = self._blend.gammas[0]
        return K

    def _trained(self):
        return self.dual_coef_, self.intercept_, self.centring_


def train_machines(
    problem: KernelProblem, machines: list[Machine], C: float, tol: float, threads: ThreadPoolExecutor | None
) -> tuple[np.ndarray, np.ndarray]:
    """Dual coefficients ``[machines, n]`` and intercepts ``[machines]``."""
    one = lambda m: problem.train(m.positive, C, tol, m.rows, m.weights)  # noqa: E731
    trained = in_threads(one, machines, threads)
    return np.array([alpha for alpha, _ in trained]), -np.array([rho for _, rho in trained])


def check_finite(X: np.ndarray) -> None:
    """Raise UsageError naming the first item whose code holds NaN or infinity."""
    # A sum is finite unless an entry is not (or it overflows): one pass without a mask in the usual case.
    if np.isfinite(X.sum(dtype=np.float64)):
        return
    bad = np.nonzero(~np.isfinite(X).all(axis=1))[0]
    if len(bad):
        raise UsageError(
            f"{len(bad)} of {len(X)} items have NaN or inf (infinite) values, the first is item {bad[0]}: "
            "check the features it was encoded from with `vidfeat verify`."
        )


def thread_pool(n_jobs: int | None) -> ThreadPoolExecutor:
    """A pool of that many threads; −1: as many as the processors this process may use."""
    if n_jobs is None:
        n_jobs = 1
    if n_jobs == 0 or n_jobs < -1:
        raise UsageError(f"n_jobs={n_jobs} is not allowed: a number of threads ≥ 1, or −1 for all processors.")
    return ThreadPoolExecutor(cpu_count() if n_jobs == -1 else n_jobs)


def linear_weights(
    codes: list[np.ndarray], scales: list[float], dual: np.ndarray, intercept: np.ndarray, centring: Centring | None
) -> tuple[np.ndarray, np.ndarray]:
    """Weights ``[machines, ΣD]`` on the joined codes as they came, and intercepts.

    w = Σ_i α_i (x_i − μ) / s and b − w·μ, for each array of ``codes [n, D]`` divided by its scale as well.
    """
    if centring is not None:
        # Σ_i α_i (x_i − μ) = Σ_i (α_i − mean α) x_i: centring the coefficients centres the codes.
        dual = (dual - dual.mean(axis=1, keepdims=True)) / centring.scale
    weights, shift = [], np.zeros(len(dual))
    for X, scale in zip(codes, scales, strict=True):
        for d in range(0, X.shape[1], _COLUMNS):
            columns = np.asarray(X[:, d : d + _COLUMNS], dtype=np.float64)
            weights.append(dual @ columns / scale)
            if centring is not None:
                shift += weights[-1] @ columns.mean(axis=0)
    return np.hstack(weights), intercept - shift
