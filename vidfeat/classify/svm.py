"""One-vs-rest support vector machines by LIBSVM, as a scikit-learn classifier."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
from joblib import cpu_count
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, column_or_1d, validate_data

from vidfeat.classify.libsvm import KernelProblem, in_threads
from vidfeat.errors import UsageError
from vidfeat.kernels import Centring, linear_gram

KERNELS = ("linear", "precomputed")
_COLUMNS = 4096  # of the codes that are in float64 at one time


class LibSVC(ClassifierMixin, BaseEstimator):
    """C-SVM, one machine per class against the rest, all over one Gram matrix.

        max_α Σ_i α_i − ½ Σ_ij α_i α_j y_i y_j κ(x_i, x_j),   0 ≤ α_i ≤ C,  Σ_i α_i y_i = 0

    Args:
        C: penalty of an error, > 0.
        kernel: ``linear`` on codes ``[n, D]``, or ``precomputed``: ``[n, n]`` to fit, ``[m, n]`` to predict.
        centre: centre the kernel on the training items and scale it to mean diagonal 1 before C applies
            (:class:`vidfeat.kernels.Centring`).
        tol: LIBSVM's stopping tolerance.
        n_jobs: threads; −1 for every processor this process may use, None for one.

    Attributes:
        classes_: label values, sorted; for an indicator matrix its column numbers.
        dual_coef_: ``[machines, n]``, α_i y_i; zero for items that are no support vectors. One machine for two classes
            (positive: the second), else one per class.
        intercept_: ``[machines]``. The decision value is κ·dual_coef_ + intercept_.
        centring_: the fitted :class:`Centring`, None without.
        coef_, raw_intercept_: linear kernel only, ``[machines, D]`` and ``[machines]``, for codes as they came.

    ``y`` is ``[n]`` labels, or a 0/1 indicator matrix ``[n, classes]`` for items with any number of labels; a matrix
    of one column is taken for labels, with scikit-learn's warning.

    Source: C.-C. Chang, C.-J. Lin, *LIBSVM: A Library for Support Vector Machines*, 2011.
    """

    def __init__(self, C=1.0, kernel="linear", centre=True, tol=1e-3, n_jobs=-1):
        self.C = C
        self.kernel = kernel
        self.centre = centre
        self.tol = tol
        self.n_jobs = n_jobs

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        tags.input_tags.pairwise = self.kernel == "precomputed"
        return tags

    def fit(self, X, y, gram=None):
        """Train. ``gram`` is the Gram matrix ``[n, n]`` of the rows of X, if it is known already (linear kernel)."""
        if self.kernel not in KERNELS:
            raise UsageError(f"kernel={self.kernel!r} is unknown. Allowed: {', '.join(KERNELS)}.")
        X = validate_data(self, X, dtype="numeric", ensure_all_finite=False)
        check_finite(X)
        if gram is not None and self.kernel == "precomputed":
            raise UsageError("gram= belongs to kernel='linear'. With kernel='precomputed' the Gram matrix is X.")
        y = np.asarray(y)
        self.classes_, machines = targets(y, len(X))
        K = X if self.kernel == "precomputed" else linear_gram(X) if gram is None else gram
        if np.shape(K) != (len(X), len(X)):
            raise UsageError(f"The Gram matrix of {len(X)} training items has shape {np.shape(K)}, not [n, n].")
        self.centring_ = Centring.fit(K) if self.centre else None
        problem = KernelProblem(self.centring_.train(K) if self.centre else K)
        with thread_pool(self.n_jobs) as threads:
            trained = in_threads(lambda positive: problem.train(positive, self.C, self.tol), machines.T, threads)
        self.dual_coef_ = np.array([alpha for alpha, _ in trained])
        self.intercept_ = -np.array([rho for _, rho in trained])
        self.multilabel_ = is_indicator(y)
        if self.kernel == "linear":
            self.coef_, self.raw_intercept_ = _weights(X, self.dual_coef_, self.intercept_, self.centring_)
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
        """W ``[classes, D]`` and b ``[classes]`` such that :meth:`class_scores` is X Wᵀ + b on codes as they came."""
        check_is_fitted(self)
        if self.kernel != "linear":
            raise UsageError("kernel='precomputed' has no weights on codes: it never saw any. Keep dual_coef_ instead.")
        if len(self.coef_) < len(self.classes_):
            return np.vstack([-self.coef_, self.coef_]), np.hstack([-self.raw_intercept_, self.raw_intercept_])
        return self.coef_, self.raw_intercept_

    def _machine_scores(self, X) -> np.ndarray:
        check_is_fitted(self)
        X = validate_data(self, X, dtype="numeric", ensure_all_finite=False, reset=False)
        check_finite(X)
        if self.kernel == "linear":
            return linear_gram(X, self.coef_) + self.raw_intercept_
        K = self.centring_.test(X) if self.centring_ else np.asarray(X, dtype=np.float64)
        return K @ self.dual_coef_.T + self.intercept_


def is_indicator(y: np.ndarray) -> bool:
    """Whether labels are an indicator matrix; scikit-learn takes one column for labels in the wrong shape."""
    return y.ndim == 2 and y.shape[1] > 1


def targets(y: np.ndarray, n_items: int) -> tuple[np.ndarray, np.ndarray]:
    """Class values and the bool matrix ``[n, machines]`` of what each machine calls positive."""
    if is_indicator(y):
        if len(y) != n_items or not np.isin(y, (0, 1)).all():
            raise UsageError(
                f"Labels came as a matrix of shape {y.shape} for {n_items} items; "
                "allowed is an indicator matrix [items, classes] of 0 and 1."
            )
        matrix = y.astype(bool)
        for column, share in enumerate(matrix.mean(axis=0)):
            if share in (0.0, 1.0):
                raise UsageError(
                    f"Class {column} has {'no' if share == 0 else 'nothing but'} positive training items: "
                    "a machine needs both sides. Leave the class out, or choose another split."
                )
        return np.arange(matrix.shape[1]), matrix
    labels = column_or_1d(y, warn=True)
    check_classification_targets(labels)
    if len(labels) != n_items:
        raise UsageError(f"{len(labels)} labels came with {n_items} items: one for each is needed.")
    classes, index = np.unique(labels, return_inverse=True)
    if len(classes) < 2:
        raise UsageError(f"All {n_items} training items have one class, '{classes[0]}': at least two are needed.")
    return classes, (index == 1)[:, None] if len(classes) == 2 else index[:, None] == np.arange(len(classes))


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


def _weights(X, dual: np.ndarray, intercept: np.ndarray, centring: Centring | None) -> tuple[np.ndarray, np.ndarray]:
    """w = Σ_i α_i (x_i − μ) / s and the intercept on raw codes, b − w·μ."""
    if centring is not None:
        # Σ_i α_i (x_i − μ) = Σ_i (α_i − mean α) x_i: centring the coefficients centres the codes.
        dual = (dual - dual.mean(axis=1, keepdims=True)) / centring.scale
    weights, shift = np.empty((len(dual), X.shape[1])), np.zeros(len(dual))
    for d in range(0, X.shape[1], _COLUMNS):
        columns = np.asarray(X[:, d : d + _COLUMNS], dtype=np.float64)
        weights[:, d : d + _COLUMNS] = dual @ columns
        if centring is not None:
            shift += weights[:, d : d + _COLUMNS] @ columns.mean(axis=0)
    return weights, intercept - shift
