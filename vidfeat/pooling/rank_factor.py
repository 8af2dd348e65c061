"""Factors of the Newton systems of rank pooling, for changing sets S of frames outside the tube.

The systems of successive sets differ by few frames, so the matrix of all frames is factored once and the frames off S
are taken out of it at the price of one triangular solve each. Far more of them, or a matrix too close to singular for
that, is factored anew. A factor that rounding has spoilt shows in the duality gap, and the solver then asks for a
careful one; so the small inner factors here are not checked.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

# Taking out more frames than this share costs more than another factor.
_SHARE = 3


def triangular_factor(matrix: Tensor, shift: float, careful: bool = False) -> Tensor:
    """Lower triangular L with L Lᵀ = matrix + shift·I, for positive semidefinite matrices ``[B, n, n]``.

    Where the shift drowns in the rounding of the matrix, Cholesky's method fails or loses its digits; its eigenvalues,
    those below zero set to zero, give L through a QR decomposition instead: L Lᵀ = Q(Λ + shift·I)Qᵀ.
    """
    if not careful:
        shifted = matrix.clone()
        shifted.diagonal(dim1=-2, dim2=-1).add_(shift)
        factor, failed = torch.linalg.cholesky_ex(shifted)
        if not failed.any():
            return factor
    values, vectors = torch.linalg.eigh(matrix)
    roots = (values.clamp(min=0.0) + shift).sqrt()
    upper = torch.linalg.qr(roots[..., None] * vectors.mT, mode="r").R
    return upper.mT


def lower_solve(factor: Tensor, right: Tensor) -> Tensor:
    """L⁻¹ right for ``right [B, n]`` or ``[B, n, m]``."""
    columns = right[..., None] if right.ndim == 2 else right
    return torch.linalg.solve_triangular(factor, columns, upper=False).reshape(right.shape)


def upper_solve(factor: Tensor, right: Tensor) -> Tensor:
    """L⁻ᵀ right for ``right [B, n]``."""
    return torch.linalg.solve_triangular(factor.mT, right[..., None], upper=True)[..., 0]


@dataclass(frozen=True)
class Without:
    """The frames off S of a batch: at most ``count`` of each video."""

    count: int = 0
    index: Tensor | None = None  # their numbers [B, count], filled up with any others for videos with fewer
    real: Tensor | None = None  # 1.0 for them, 0.0 for the fill [B, count]

    @classmethod
    def of(cls, outside: Tensor) -> "Without":
        """``outside [B, T]``: 1 for frames that exist and are off S, else 0."""
        count = int(outside.sum(dim=1).max())
        return cls(count, *reversed(outside.topk(count, dim=1))) if count else cls()

    def is_few(self, size: int) -> bool:
        """Whether taking them out of a factor of ``size`` rows is cheaper than another factor."""
        return self.count * _SHARE <= size


class FrameFactor:
    """Solves (K_SS + I/C) a_S = b_S, a = 0 off S, for kernels ``[B, T, T]`` and S ``[B, T]`` (padding is off S)."""

    def __init__(self, base: Tensor, S: Tensor, without: Without):
        """``base``: the factor of all frames with those to take out ``without``, or the factor of S itself."""
        self.base, self.S = base, S
        self.columns = None
        if without.count:
            unit = base.new_zeros(*S.shape, without.count)
            unit.scatter_(1, without.index[:, None, :], without.real[:, None, :])
            self.columns = lower_solve(base, unit)  # Z = L⁻¹E
            inner = self.columns.mT @ self.columns  # EᵀM⁻¹E
            inner.diagonal(dim1=-2, dim2=-1).add_(1.0 - without.real)
            self.inner = torch.linalg.cholesky_ex(inner).L

    def solve(self, right: Tensor) -> Tensor:
        """a ``[B, T]`` of b ``[B, T]``; a = M⁻¹(b + Eμ) with the μ that makes a vanish on the columns of E."""
        if self.columns is None:
            return torch.cholesky_solve((right * self.S)[..., None], self.base)[..., 0] * self.S
        half = lower_solve(self.base, right * self.S)
        pull = torch.cholesky_solve(self.columns.mT @ half[..., None], self.inner)
        return upper_solve(self.base, half - (self.columns @ pull)[..., 0]) * self.S


class FeatureFactor:
    """Solves (V_SᵀV_S + I/C) x = b for ``[B, D, D]`` systems."""

    def __init__(self, base: Tensor, removed: Tensor | None):
        """``base``: the factor of all frames with ``removed [B, m, D]`` to take out, or the factor of S itself."""
        self.base = base
        self.columns = None
        if removed is not None:
            self.columns = lower_solve(base, removed.mT)  # Z = L⁻¹V_Nᵀ
            inner = -(self.columns.mT @ self.columns)
            inner.diagonal(dim1=-2, dim2=-1).add_(1.0)  # I − V_N M⁻¹V_Nᵀ
            self.inner = torch.linalg.cholesky_ex(inner).L

    def solve(self, right: Tensor) -> Tensor:
        """x ``[B, D]`` of b ``[B, D]``: (M − V_NᵀV_N)⁻¹ = M⁻¹ + M⁻¹V_Nᵀ(I − V_N M⁻¹V_Nᵀ)⁻¹V_N M⁻¹."""
        half = lower_solve(self.base, right)
        if self.columns is not None:
            push = torch.cholesky_solve(self.columns.mT @ half[..., None], self.inner)
            half = half + (self.columns @ push)[..., 0]
        return upper_solve(self.base, half)
