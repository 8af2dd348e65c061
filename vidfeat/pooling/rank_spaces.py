"""The two unknowns that the rank-pooling problem can be solved in: weights of frames, or the pooled vector itself.

Both offer the solver the same few operations; all tensors are float64 and carry a batch of videos.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from vidfeat.crew import shared
from vidfeat.pooling.frames import Frames
from vidfeat.pooling.rank_factor import FeatureFactor, FrameFactor, Without, triangular_factor

# Refinements of a solution at most, and the share of a right side whose square drowns in rounding.
_REFINEMENTS = 5
_REFINED = 1e-7


@dataclass(frozen=True)
class FrameSpace:
    """Unknown α [B, T], u = Vᵀα:  (K_SS + I/C) α_S = t_S − ε s_S, α = 0 off S.  K is all that is ever needed of V."""

    kernel: Tensor  # K [B, T, T]; zero where there is no frame
    real: Tensor  # 1.0 for frames that exist, 0.0 for padding [B, T]
    C: float
    base: Tensor | None = None  # factor of K + I/C; None: factor every set anew, carefully
    threads: int = 1  # that share the videos' compiled steps

    @classmethod
    def of(cls, kernel: Tensor, real: Tensor, C: float, threads: int = 1) -> "FrameSpace":
        return cls(kernel, real, C, triangular_factor(kernel, 1.0 / C), threads)

    @property
    def size(self) -> int:
        return self.kernel.shape[1]

    @property
    def lengths(self) -> list[int]:
        """Frames of each video."""
        return [int(length) for length in self.real.sum(dim=1).tolist()]

    @property
    def is_compiled(self) -> bool:
        """Whether compiled code takes the first steps."""
        return self.base is not None and self.real.device.type == "cpu"

    def first_steps(self, epsilon: float, start: Tensor | None, max_steps: int) -> tuple[Tensor, Tensor, list[int]]:
        """α ``[B, T]`` after as many Newton steps from ``start`` as compiled code can take, K α, and their numbers."""
        alpha = self.real.new_zeros(self.real.shape) if start is None else start.clone()
        if not self.is_compiled:
            return alpha, self.predict(alpha), [0] * len(alpha)
        from vidfeat.pooling.rank_kernels import descend

        rows = [(*squares, float(self.C), float(epsilon), own, max_steps) for own, *squares in self._arrays(alpha)]
        steps = shared(descend, rows, self.threads)
        return alpha, self.predict(alpha), steps

    def _arrays(self, alpha: Tensor) -> Iterator[tuple[np.ndarray, ...]]:
        """α ``[t]``, K and its factor ``[t, t]`` of each video."""
        for own, kernel, base, length in zip(alpha, self.kernel, self.base, self.lengths, strict=True):
            square = (matrix[:length, :length].contiguous().numpy() for matrix in (kernel, base))
            yield own[:length].numpy(), *square

    def careful(self) -> "FrameSpace":
        """The same space with slower, more accurate solves."""
        return replace(self, base=None)

    defines_dual = True  # α is a dual point itself
    is_exact = True  # minimise() is, but for rounding

    @property
    def is_careful(self) -> bool:
        """Whether C e is tried as the dual point too: where K is singular and C huge, α is large and inaccurate in
        directions that do not touch u."""
        return self.base is None

    def of_videos(self, videos: list[int]) -> "FrameSpace":
        if len(videos) == len(self.real):
            return self
        base = None if self.base is None else self.base[videos]
        return replace(self, kernel=self.kernel[videos], real=self.real[videos], base=base)

    def factor(self, S: Tensor) -> FrameFactor:
        """Solver of the Newton systems of the sets S ``[B, T]`` (1 on S, else 0)."""
        if self.base is not None:
            without = Without.of(self.real - S)
            if without.is_few(self.size):
                return FrameFactor(self.base, S, without)
        kernel = self.kernel * S[:, :, None] * S[:, None, :]
        return FrameFactor(triangular_factor(kernel, 1.0 / self.C, careful=self.base is None), S, Without())

    def minimise(self, S: Tensor, aim: Tensor, alpha: Tensor, fit: Tensor) -> Tensor:
        """The lowest point of the quadratic piece of S ``[B, T]`` (1 on S, else 0), wherever ``alpha`` is."""
        return self.factor(S).solve(aim)

    def predict(self, alpha: Tensor) -> Tensor:
        """V u = K α."""
        return (self.kernel @ alpha[:, :, None])[:, :, 0]

    @staticmethod
    def inner(x, y, y_fit) -> tuple:
        """Arrays whose dot products over the last axis are ⟨u_x, u_y⟩ = xᵀ K y."""
        return x, y_fit

    def distance(self, alpha: Tensor, dual: Tensor) -> Tensor:
        """½‖u − Vᵀ(dual point)‖² ``[B]``."""
        apart = alpha - dual
        return 0.5 * torch.linalg.vecdot(apart, self.predict(apart))


@dataclass(frozen=True)
class RefinedSpace(FrameSpace):
    """Frame space of float32 frames whose kernel K̃ was computed in float32.

    Newton systems are solved with K̃, what they leave is measured with the frames in float64: K α = V(Vᵀα). An error
    of α shrinks by a factor of about C‖K̃ − K‖ with every solve, and the certificate is one of the frames.
    """

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

    def of_videos(self, videos: list[int]) -> "RefinedSpace":
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


@dataclass(frozen=True)
class RefinedFactor:
    """Solves (K_SS + I/C) a_S = b_S, a = 0 off S, with a factor of K̃ in place of K."""

    space: RefinedSpace
    factor: FrameFactor
    S: Tensor

    def solve(self, right: Tensor) -> Tensor:
        """a ``[B, T]`` of b ``[B, T]``."""
        right = right * self.S
        solution = self.factor.solve(right)
        size = torch.linalg.vector_norm(right, dim=1)
        for _ in range(_REFINEMENTS):
            left = (right - self.space.predict(solution) - solution / self.space.C) * self.S
            solution = solution + self.factor.solve(left)
            # The next one would be smaller than this by the same factor again.
            if (torch.linalg.vector_norm(left, dim=1) <= _REFINED * size).all():
                break
        return solution


@dataclass(frozen=True)
class FeatureSpace:
    """Unknown u [B, D]:  (V_SᵀV_S + I/C) u = V_Sᵀ (t_S − ε s_S), for videos with more frames than features."""

    frames: Frames
    C: float
    base: Tensor | None = None  # factor of VᵀV + I/C; None: factor every set anew, carefully

    @classmethod
    def of(cls, frames: Frames, gram: Tensor, C: float) -> "FeatureSpace":
        """``gram`` is VᵀV ``[B, D, D]``."""
        return cls(frames, C, triangular_factor(gram, 1.0 / C))

    @property
    def real(self) -> Tensor:
        """1.0 for frames that exist, 0.0 for padding ``[B, T]``."""
        return self.frames.real

    @property
    def size(self) -> int:
        return self.frames.shape[2]

    def careful(self) -> "FeatureSpace":
        """The same space with slower, more accurate solves."""
        return replace(self, base=None)

    defines_dual, is_careful = False, True  # C e is the dual point
    is_compiled = False
    is_exact = True  # minimise() is, but for rounding

    def first_steps(self, epsilon: float, start: Tensor, max_steps: int) -> tuple[Tensor, Tensor, list[int]]:
        """``start``, V u, and that no step was taken."""
        return start, self.predict(start), [0] * len(start)

    def of_videos(self, videos: list[int]) -> "FeatureSpace":
        if len(videos) == len(self.real):
            return self
        base = None if self.base is None else self.base[videos]
        return replace(self, frames=self.frames.of(videos), base=base)

    def factor(self, S: Tensor) -> FeatureFactor:
        """Solver of the Newton systems of the sets S ``[B, T]`` (1 on S, else 0)."""
        if self.base is not None:
            without = Without.of(self.real - S)
            if without.is_few(self.size):
                removed = self.frames.take(without.index) * without.real[:, :, None] if without.count else None
                return FeatureFactor(self.base, removed)
        matrix = self.frames.feature_gram(S)
        return FeatureFactor(triangular_factor(matrix, 1.0 / self.C, careful=self.base is None), None)

    def minimise(self, S: Tensor, aim: Tensor, u: Tensor, fit: Tensor) -> Tensor:
        """The lowest point of the quadratic piece of S ``[B, T]`` (1 on S, else 0), wherever ``u`` is."""
        return self.factor(S).solve(self.frames.combine(aim * S))

    def predict(self, u: Tensor) -> Tensor:
        """V u."""
        return self.frames.predict(u)

    @staticmethod
    def inner(x, y, y_fit) -> tuple:
        """Arrays whose dot products over the last axis are ⟨u_x, u_y⟩."""
        return x, y

    def distance(self, u: Tensor, dual: Tensor) -> Tensor:
        """½‖u − Vᵀ(dual point)‖² ``[B]``."""
        return 0.5 * (u - self.frames.combine(dual)).square().sum(dim=1)
