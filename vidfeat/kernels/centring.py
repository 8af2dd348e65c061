"""Centring and scaling a kernel by its training items."""

from dataclasses import dataclass

import numpy as np

from vidfeat.errors import UsageError

# A centred diagonal this much smaller than the kernel itself is rounding, not variation between items.
_NO_VARIATION = 1e-13


@dataclass(frozen=True)
class Centring:
    """Moves the origin of the feature space to the mean of the training items and scales their mean squared norm to 1.

        κ(x, y) = ⟨φ(x) − μ, φ(y) − μ⟩ / s,   μ = mean of φ(x_i),   s = mean of ‖φ(x_i) − μ‖² over training items

    Everything follows from the training kernel K: ⟨φ(x), μ⟩ is a row mean, ‖μ‖² the mean of all entries.

    CNN features share a large common part (those of random networks nearly everything), and what tells items apart is
    small beside it: only after division by s does the usual range of C fit. The shift changes no SVM that has a bias,
    but keeps the small part from drowning in LIBSVM's float32 kernel cache.
    """

    means: np.ndarray  # [n] mean of every training row, ⟨φ(x_i), μ⟩
    grand_mean: float  # ‖μ‖²
    scale: float  # s

    @classmethod
    def fit(cls, K: np.ndarray) -> "Centring":
        """Learn from the training kernel ``K [n, n]``; UsageError when all items are identical (s = 0)."""
        K = np.asarray(K)
        if K.ndim != 2 or K.shape[0] != K.shape[1] or K.shape[0] == 0:
            raise UsageError(f"A training kernel is a square matrix [items, items], not one of shape {K.shape}.")
        means, diagonal = K.mean(axis=1, dtype=np.float64), np.diagonal(K).astype(np.float64)
        grand_mean = float(means.mean())
        scale = float((diagonal - 2 * means + grand_mean).mean())
        if not scale > _NO_VARIATION * float(np.abs(diagonal).mean()):
            raise UsageError(
                f"All {len(K)} training items have the same code, so there is nothing to learn. "
                "Check the features (are they constant?) and the encoding."
            )
        return cls(means, grand_mean, scale)

    def train(self, K: np.ndarray) -> np.ndarray:
        """Centred and scaled training kernel ``[n, n]``, with mean diagonal 1."""
        return self._apply(K, self.means[:, None])

    def train_rows(self, K: np.ndarray, start: int, stop: int) -> np.ndarray:
        """Rows ``start:stop`` of :meth:`train`, float64: for kernels of which no second copy is wanted."""
        return self._apply(np.asarray(K[start:stop], dtype=np.float64), self.means[start:stop, None])

    def test(self, K: np.ndarray) -> np.ndarray:
        """The same for the kernel ``[m, n]`` between other items (rows) and the training items (columns)."""
        K = np.asarray(K, dtype=np.float64)
        if K.ndim != 2 or K.shape[1] != len(self.means):
            raise UsageError(
                f"The kernel has shape {K.shape}; its columns must be the {len(self.means)} training items, in order."
            )
        return self._apply(K, K.mean(axis=1, keepdims=True))

    def _apply(self, K: np.ndarray, row_means: np.ndarray) -> np.ndarray:
        result = K - self.means
        result -= row_means - self.grand_mean
        result /= self.scale
        return result
