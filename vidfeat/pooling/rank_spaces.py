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
        # LAPACK's are by columns, compiled code reads rows.
        return cls(kernel, real, C, triangular_factor(kernel, 1.0 / C).contiguous(), threads)

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
class FeatureSpace:
    """Unknown u [B, D]:  (V_SᵀV_S + I/C) u = V_Sᵀ (t_S − ε s_S), for videos with more frames than features."""

    frames: Frames
    C: float
    base: Tensor | None = None  # factor of VᵀV + I/C; None: factor every set anew, carefully

    @classmethod
    def of(cls, frames: Frames, gram: Tensor, C: float, **options) -> "FeatureSpace":
        """``gram`` is VᵀV ``[B, D, D]``."""
        space = cls(frames, C, **options)
        return replace(space, base=space.triangle(gram))

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
        return FeatureFactor(self.triangle(self.gram(S), careful=self.base is None), None)

    def triangle(self, matrix: Tensor, careful: bool = False) -> Tensor:
        """L with L Lᵀ = matrix + I/C."""
        return triangular_factor(matrix, 1.0 / self.C, careful)

    def gram(self, S: Tensor) -> Tensor:
        """V_SᵀV_S ``[B, D, D]``."""
        return self.frames.feature_gram(S)

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
