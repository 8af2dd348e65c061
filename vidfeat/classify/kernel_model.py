"""A trained SVM reduced to what prediction needs: support vectors, and coefficients on uncentred kernels."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vidfeat.classify.bases import Blend
from vidfeat.classify.machines import class_scores
from vidfeat.errors import UsageError
from vidfeat.kernels import Centring

_ROWS = 2048  # items scored at one time


@dataclass(frozen=True)
class KernelModel:
    """Decision values f(x) = Σ_i dual_i κ(x, x_i) + b over support vectors x_i, with an uncentred kernel κ."""

    blend: Blend
    codes: tuple[np.ndarray, ...]  # per set of codes, [support vectors, D]; none of a precomputed kernel
    dual: np.ndarray  # [machines, support vectors]
    intercepts: np.ndarray  # [machines]
    n_classes: int
    multiclass: str

    def scores(self, codes: Sequence[np.ndarray], device: str = "cpu") -> np.ndarray:
        """Scores ``[m, classes]`` of items with one array of codes ``[m, D]`` per set.

        Of a precomputed kernel the codes are its values ``[m, support vectors]``.
        """
        if self.blend.kernel == "precomputed":
            return self.scores_of_kernel(self.blend.of_bases(codes))
        if len(codes) != len(self.codes) or any(
            X.shape[1] != own.shape[1] for X, own in zip(codes, self.codes, strict=False)
        ):
            came, wanted = (", ".join(str(X.shape[1]) for X in given) for given in (codes, self.codes))
            raise UsageError(
                f"The codes have {came} dimensions, the model was trained on {wanted}. Encode as for training."
            )
        found = [np.empty((0, self.n_classes))]
        for i in range(0, len(codes[0]), _ROWS):
            found.append(
                self.scores_of_kernel(self.blend.of_codes([X[i : i + _ROWS] for X in codes], self.codes, device))
            )
        return np.vstack(found)

    def scores_of_kernel(self, K: np.ndarray) -> np.ndarray:
        """The same from the kernel ``[m, support vectors]``."""
        return class_scores(K @ self.dual.T + self.intercepts, self.n_classes, self.multiclass)


def uncentred(dual: np.ndarray, intercept: np.ndarray, centring: Centring) -> tuple[np.ndarray, np.ndarray]:
    """Coefficients and intercepts for the kernel before centring.

    With κ_c(x, x_i) = (κ(x, x_i) − m(x) − m_i + g)/s and Σ_i α_i = 0, what depends on x alone vanishes:
    Σ_i α_i κ_c(x, x_i) + b = Σ_i (α_i/s) κ(x, x_i) + b − Σ_i α_i m_i / s. So only support vectors are needed.
    """
    # LIBSVM keeps the sum at 0 up to rounding; m(x)/s may be so large that this shows.
    support = dual != 0
    dual = dual - support * (dual.sum(axis=1) / np.maximum(support.sum(axis=1), 1))[:, None]
    return dual / centring.scale, intercept - dual @ centring.means / centring.scale
