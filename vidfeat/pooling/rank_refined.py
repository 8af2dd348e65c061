"""The two spaces of rank_spaces.py for float32 frames, whose matrices are computed in float32, in half the time.

Newton systems are solved with the matrix that came of it, and what they leave is measured with the frames themselves in
float64. An error shrinks with every solve by a factor of about C times that of the matrix, and the certificate is one
of the frames: a matrix that is too poor costs steps, or shows.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from vidfeat.crew import shared
from vidfeat.pooling.frames import Frames
from vidfeat.pooling.rank_factor import FeatureFactor, FrameFactor
from vidfeat.pooling.rank_spaces import FeatureSpace, FrameSpace

# Refinements of a solution at most, and the share of a right side whose square drowns in rounding.
_REFINEMENTS = 5
_REFINED = 1e-7


@dataclass(frozen=True)
class RefinedFrameSpace(FrameSpace):
    """Frame space with a kernel K̃ computed in float32, and K α = V(Vᵀα)."""

    frames: Frames | None = None

    is_exact = False

    def first_steps(self, epsilon: float, start: Tensor, max_steps: int) -> tuple[Tensor, Tensor, list[int]]:
        """One Newton step from the optimum ``start`` of K̃, and K α."""
        if not (self.is_compiled and self.frames.is_read_directly):
            return start, self.predict(start), [0] * len(start)
        from vidfeat.pooling.rank_kernels import correct

        alpha, fit = start.clone(), torch.zeros_like(start)
        rows = [
            (v, *squares, float(self.C), float(epsilon), own, its_fit[: len(own)].numpy())
            for (own, *squares), v, its_fit in zip(self._arrays(alpha), self.frames.arrays(), fit, strict=True)
        ]
        return alpha, fit, shared(correct, rows, self.threads)

    def of_videos(self, videos: list[int]) -> "RefinedFrameSpace":
        if len(videos) == len(self.real):
            return self
        return replace(super().of_videos(videos), frames=self.frames.of(torch.tensor(videos)))

    def predict(self, alpha: Tensor) -> Tensor:
        """V u."""
        return self.frames.combine_and_predict(alpha)[1]

    def minimise(self, S: Tensor, aim: Tensor, alpha: Tensor, fit: Tensor) -> Tensor:
        """As a correction of ``alpha`` with ``fit`` = K alpha."""
        right = aim - fit - alpha / self.C
        off = alpha * (1.0 - S)
        if off.any():
            right = right + super().predict(off)
        return alpha - off + super().factor(S).solve(right)

    def factor(self, S: Tensor) -> "RefinedFactor":
        """Solver of the Newton systems of the sets S ``[B, T]`` (1 on S, else 0)."""
        return RefinedFactor(self, super().factor(S), S)

    def confined(self, S: Tensor, right: Tensor) -> Tensor:
        """The part of a right side that counts."""
        return right * S

    def left(self, S: Tensor, right: Tensor, alpha: Tensor) -> Tensor:
        """What of ``right`` is left by ``alpha``, which is 0 off S."""
        return (right - self.predict(alpha) - alpha / self.C) * S

    def exact(self) -> FrameSpace:
        """The same space with a kernel computed in float64."""
        return FrameSpace.of(self.frames.gram(), self.real, self.C, self.threads)


@dataclass(frozen=True)
class RefinedFeatureSpace(FeatureSpace):
    """Feature space with matrices VᵀV computed in float32, and factors too where ``single``."""

    single: bool = False

    is_exact = False

    def minimise(self, S: Tensor, aim: Tensor, u: Tensor, fit: Tensor) -> Tensor:
        """As a correction of ``u`` with ``fit`` = V u."""
        factor = super().factor(S)
        u = u + factor.solve(self.frames.combine((aim - fit) * S) - u / self.C)
        if factor.base is not self.base:  # made anew, so that it should not be needed once more
            u = u + factor.solve(self.left(S, self.frames.combine(aim * S), u))
        return u

    def gram(self, S: Tensor) -> Tensor:
        """V_SᵀV_S ``[B, D, D]``, nearly."""
        return self.frames.single_feature_gram(S)

    def triangle(self, matrix: Tensor, careful: bool = False) -> Tensor:
        """L with L Lᵀ = matrix + I/C, nearly."""
        if self.single and not careful:
            shifted = matrix.to(torch.float32)
            shifted.diagonal(dim1=-2, dim2=-1).add_(1.0 / self.C)
            factor, failed = torch.linalg.cholesky_ex(shifted)
            if not failed.any():
                return factor.to(torch.float64)
        return super().triangle(matrix, careful)

    def factor(self, S: Tensor) -> "RefinedFactor":
        """Solver of the Newton systems of the sets S ``[B, T]`` (1 on S, else 0)."""
        return RefinedFactor(self, super().factor(S), S)

    def confined(self, S: Tensor, right: Tensor) -> Tensor:
        """The part of a right side that counts: all of it."""
        return right

    def left(self, S: Tensor, right: Tensor, u: Tensor) -> Tensor:
        """What of ``right`` is left by ``u``."""
        return right - self.frames.combine(self.frames.predict(u) * S) - u / self.C

    def exact(self) -> FeatureSpace:
        """The same space with matrices computed in float64."""
        return FeatureSpace.of(self.frames, self.frames.feature_gram(self.frames.real), self.C)


@dataclass(frozen=True)
class RefinedFactor:
    """Solves the Newton systems of S with a factor of a matrix that is only nearly theirs."""

    space: RefinedFrameSpace | RefinedFeatureSpace
    factor: FrameFactor | FeatureFactor
    S: Tensor

    def solve(self, right: Tensor) -> Tensor:
        """The solution, batch by batch like ``right``; by a factor in float64 where refinements do not get there."""
        right = self.space.confined(self.S, right)
        size = torch.linalg.vector_norm(right, dim=1)
        solution = self.factor.solve(right)
        for _ in range(_REFINEMENTS):
            left = self.space.left(self.S, right, solution)
            solution = solution + self.factor.solve(left)
            # The next one would be smaller than this by the same factor again.
            if (torch.linalg.vector_norm(left, dim=1) <= _REFINED * size).all():
                return solution
        return self.space.exact().factor(self.S).solve(right)
