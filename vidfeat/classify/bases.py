"""One base matrix per set of codes, and the kernels of any part of the items, with any γ, that are cut out of them.

    κ(x, y) = Σ_f κ_f(x, y) / s_f,   s_f = mean squared norm of the training items about their mean in κ_f's space

so that every set of codes has the same weight, whatever its scale. A single one is taken as it is (s = 1): centring
scales it afterwards.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vidfeat.errors import UsageError
from vidfeat.kernels import WITH_GAMMA, Centring, base_matrix, from_base, linear_gram, mean_distance


@dataclass(frozen=True)
class Blend:
    """What turns base matrices into one kernel: learnt from training items, kept for all others."""

    kernel: str
    gammas: tuple[float | None, ...]  # one per set of codes; None for kernels without γ
    scales: tuple[float, ...]

    def of_codes(self, X: Sequence[np.ndarray], Y: Sequence[np.ndarray], device: str = "cpu") -> np.ndarray:
        """κ ``[n, m]`` between items with the codes ``X`` (one array per set) and others with ``Y``."""
        return self.of_bases([base_matrix(self.kernel, x, y, device=device) for x, y in zip(X, Y, strict=True)])

    def of_bases(self, bases: Sequence[np.ndarray]) -> np.ndarray:
        """κ from base matrices, which are used up."""
        total = None
        for base, gamma, scale in zip(bases, self.gammas, self.scales, strict=True):
            K = from_base(self.kernel, base, gamma, out=base)
            if len(self.scales) > 1:
                K = np.divide(K, scale, dtype=np.float64)
            total = K if total is None else np.add(total, K, out=total)
        return total


@dataclass(frozen=True)
class Bases:
    """Base matrices ``[n, n]`` of all items. The kernel ``precomputed`` takes its matrix as it is.

    ``relative``: values of γ are multiples of 1 / mean distance over the training items, anew in every part.
    """

    kernel: str
    matrices: tuple[np.ndarray, ...]
    relative: bool = True

    @classmethod
    def of_codes(
        cls,
        kernel: str,
        codes: Sequence[np.ndarray],
        *,
        relative: bool = True,
        dtype: type = np.float64,
        device: str = "cpu",
    ) -> "Bases":
        """Compute them, one for each array ``[n, D]`` of ``codes``, stored as ``dtype``."""
        found = []
        for X in codes:
            if kernel == "linear" and np.dtype(dtype) == np.float32 and device == "cpu":
                # Float32 would keep only the common part of codes that have a large one. Centring undoes the shift.
                origin = X.mean(axis=0, dtype=np.float64)
                shift = lambda block, columns, origin=origin: block - origin[columns]  # noqa: E731
                found.append(linear_gram(X, dtype=dtype, prepare=shift))
            else:
                found.append(base_matrix(kernel, X, dtype=dtype, device=device))
        return cls(kernel, tuple(found), relative)

    def __len__(self) -> int:
        return len(self.matrices[0])

    def part(self, rows: np.ndarray) -> "Bases":
        """Those of some items, copied."""
        return Bases(self.kernel, tuple(base[np.ix_(rows, rows)] for base in self.matrices), self.relative)

    def train(self, rows: np.ndarray | None = None, gamma: float | None = None) -> tuple[np.ndarray, Blend]:
        """The kernel among ``rows`` (None: all), and the blend learnt from them. Not to be written to.

        UsageError: identical items (no γ, no scale).
        """
        gammas = tuple(self._gamma(base, rows, gamma) for base in self.matrices)
        if len(self.matrices) == 1:
            blend = Blend(self.kernel, gammas, (1.0,))
            return self._cut(0, rows, rows, gammas[0]), blend
        scales, total = [], None
        for number, own in enumerate(gammas):
            K = self._cut(number, rows, rows, own)
            scales.append(Centring.fit(K).scale)
            K = np.divide(K, scales[-1], dtype=np.float64)
            total = K if total is None else np.add(total, K, out=total)
        return total, Blend(self.kernel, gammas, tuple(scales))

    def cross(self, test: np.ndarray, train: np.ndarray, blend: Blend) -> np.ndarray:
        """The kernel ``[test, train]`` between rows."""
        return blend.of_bases([base[np.ix_(test, train)] for base in self.matrices])

    def _gamma(self, base: np.ndarray, rows: np.ndarray | None, gamma: float | None) -> float | None:
        if self.kernel not in WITH_GAMMA:
            return None
        if gamma is None and not self.relative:
            raise UsageError(f"kernel={self.kernel!r} needs gamma: a number > 0.")
        return (1.0 if gamma is None else gamma) / mean_distance(base, rows) if self.relative else gamma

    def _cut(self, number: int, test: np.ndarray | None, train: np.ndarray | None, gamma: float | None) -> np.ndarray:
        base = self.matrices[number]
        if test is None:
            return from_base(self.kernel, base, gamma)
        part = base[np.ix_(test, train)]
        return from_base(self.kernel, part, gamma, out=part)
