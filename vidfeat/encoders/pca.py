"""Principal components of codes, whitened."""

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.exceptions import NotFittedError

from vidfeat.codebooks import PCA, pca
from vidfeat.errors import UsageError


class PCAWhitening(TransformerMixin, BaseEstimator):
    """Codes ``[N, D]`` to ``[N, d]``: (x − m)·eᵢ/√(λᵢ + δ) for the d largest eigenvalues λ of the covariance, then L2.

    Args:
        n_components: d.
        whiten: divide by √(λ + δ); without, components keep their spread.
        regularization: δ as a share of the largest eigenvalue.
        normalize: L2-normalise the result.

    Attributes:
        mean_, components_, variances_, delta_: m ``[D]``, e ``[d, D]``, λ ``[d]`` and δ, learnt by ``fit``, or set.

    Source: H. Jégou, O. Chum, *Negative Evidences and Co-occurences in Image Retrieval: The Benefit of PCA and
    Whitening*, 2012.
    """

    learned = ("mean", "components", "variances", "delta")

    def __init__(self, n_components=128, whiten=True, regularization=1e-6, normalize=True):
        self.n_components = n_components
        self.whiten = whiten
        self.regularization = regularization
        self.normalize = normalize

    def fit(self, X: Any, y=None):
        """Learn from codes ``[N, D]``: an array, or anything with ``shape`` and rows by slices, read in blocks."""
        if not 0 <= self.regularization < np.inf:
            raise UsageError(f"regularization={self.regularization!r}; it must be 0 or more.")
        found = pca(X, self.n_components, whiten=self.whiten, epsilon=self.regularization)
        self.mean_, self.components_, self.variances_ = found.mean, found.components, found.variances
        self.delta_ = np.float64(found.regularisation)
        return self

    def transform(self, X: Any) -> np.ndarray:
        """float32 ``[N, d]``."""
        if not hasattr(self, "mean_"):
            raise NotFittedError("This PCAWhitening has not learnt anything: fit it first.")
        X = np.atleast_2d(np.asarray(X))
        if X.shape[1] != len(self.mean_):
            raise UsageError(
                f"The codes have {X.shape[1]} numbers, those that the reduction was learnt from {len(self.mean_)}."
            )
        reduction = PCA(self.mean_, self.components_, self.variances_, float(self.delta_), self.whiten)
        reduced = np.asarray(reduction.project(X), np.float64)
        if self.normalize:
            norms = np.linalg.norm(reduced, axis=1, keepdims=True)
            reduced /= np.where(norms > 0, norms, 1.0)
        return reduced.astype(np.float32)
