"""A trained linear SVM reduced to weights."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vidfeat.classify.machines import class_scores
from vidfeat.errors import UsageError


@dataclass(frozen=True)
class LinearModel:
    """Decision values codes · weightsᵀ + intercepts, on the codes of all sets joined."""

    weights: np.ndarray  # [classes, ΣD], with ovo [pairs, ΣD]
    intercepts: np.ndarray
    n_classes: int
    multiclass: str = "ovr"

    def scores(self, codes: Sequence[np.ndarray], device: str = "cpu") -> np.ndarray:
        """Scores ``[m, classes]``, float64, of items with one array of codes ``[m, D]`` per set."""
        dimensions = [X.shape[1] for X in codes]
        if sum(dimensions) != self.weights.shape[1]:
            raise UsageError(
                f"The codes have {' + '.join(map(str, dimensions))} dimensions, the model was trained on "
                f"{self.weights.shape[1]}. Encode as for training."
            )
        values, start = np.tile(self.intercepts, (len(codes[0]), 1)), 0
        for X in codes:
            values = X.astype(np.float64) @ self.weights[:, start : start + X.shape[1]].T + values
            start += X.shape[1]
        return class_scores(values, self.n_classes, self.multiclass)
