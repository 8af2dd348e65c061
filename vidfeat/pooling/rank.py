"""Rank pooling: the direction along which a video's frames come in order."""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from vidfeat.errors import UsageError
from vidfeat.pooling.frames import Frames, put_product
from vidfeat.pooling.lengths import check_lengths
from vidfeat.pooling.rank_batch import (
    LARGEST,
    diagonal_gradient,
    exact_gradient,
    for_each,
    group_frames,
    in_groups,
    pool_group,
)
from vidfeat.pooling.rank_solver import CERTIFIED

GRADIENTS = ("exact", "diag")


class ConvergenceWarning(UserWarning):
    """A result is further from the optimum than it should be."""


@dataclass(frozen=True)
class RankPoolInfo:
    """How a solve went; tensors of shape [] for one video, [B] for a batch, on the CPU but for ``active``."""

    objective: Tensor  # f(u), float64
    relative_gap: Tensor  # certified (f(u) − f(u*)) / f(u) is at most this, float64
    steps: Tensor  # Newton steps, int64
    converged: Tensor  # relative_gap ≤ 1e-9, bool
    active: Tensor  # frames outside the tube, |t − u·v_t| > ε, bool [T] or [B, T]; padding is inside


def rank_pool(
    v: Tensor,
    C: float = 2.0,
    epsilon: float = 0.1,
    lengths=None,
    gradient: str = "exact",
    return_info: bool = False,
) -> Tensor | tuple[Tensor, RankPoolInfo]:
    """Rank-pool frames taken as they are (no smoothing, no normalising), exactly and differentiably.

        u* = argmin_u ½‖u‖² + (C/2) Σ_t max(|t − u·v_t| − ε, 0)²          t = 1…T

    the ε-insensitive squared-loss support vector regression of the frame index, without bias. LIBLINEAR's
    ``-s 11 -c c -p ε`` is the same problem with C = 2c; the authors' code has c = 1, ε = 0.1.

    With e_t the part of the residual t − u·v_t outside the tube, S the frames where it is not 0, and g = ∂L/∂u,

        ∂L/∂v_t = C (e_t w − (v_t·w) u)  for t ∈ S, 0 otherwise,     w = H⁻¹ g,     H = I + C Σ_S v_t v_tᵀ,

    exact wherever no |t − u·v_t| equals ε.

    Args:
        v: ``[T, D]``, or a padded batch ``[B, T, D]``; float32 or float64. All arithmetic is float64, but for
            the Gram matrix of float32 frames or of their features, and its factor: their error is mended, and the
            result certified, in float64.
        C: weight of the loss, > 0.
        epsilon: half-width of the tube in frames, ≥ 0; from ε = T on, u = 0.
        lengths: integers ``[B]`` for a padded batch, 1 ≤ length ≤ T; whatever the padding holds is ignored, and its
            gradient is zero.
        gradient: ``exact``, or ``diag``, which replaces H by its diagonal: the approximation of the source, which
            saves nothing here.
        return_info: also return a :class:`RankPoolInfo`.

    Returns:
        ``[D]`` or ``[B, D]`` in the dtype of ``v``. The certified relative duality gap is ≤ 1e-9; if it is not, a
        :class:`ConvergenceWarning` says how large it is.

    Raises:
        UsageError: NaN or infinite frames, C ≤ 0, ε < 0, wrong lengths, an empty video, an unknown gradient.

    Source: B. Fernando, S. Gould, *Learning End-to-end Video Classification with Rank-Pooling*, 2016, Eq. 5 and, for
    the gradient, Eq. 21 (with the sign of e_t that it needs, which is not that of Eq. 20); the diagonal: section 3.4.
    """
    _check_arguments(v, C, epsilon, gradient)
    if v.ndim == 2:
        if lengths is not None:
            check_lengths(lengths, v.shape, v.device)
        if not return_info:
            return rank_pool(v[None], C, epsilon, None, gradient)[0]
        pooled, info = rank_pool(v[None], C, epsilon, None, gradient, return_info=True)
        return pooled[0], RankPoolInfo(**{name: value[0] for name, value in vars(info).items()})
    B, T, _ = v.shape
    kept = [T] * B if lengths is None else check_lengths(lengths, v.shape, v.device).tolist()
    u, residual, objective, relative_gap, steps = _RankPool.apply(v, kept, float(C), float(epsilon), gradient)
    warn_if_short(relative_gap, steps, C, epsilon)
    if not return_info:
        return u
    gaps = torch.tensor(relative_gap, dtype=torch.float64)
    values = torch.tensor(objective, dtype=torch.float64)
    return u, RankPoolInfo(values, gaps, torch.tensor(steps), gaps <= CERTIFIED, residual.abs() > epsilon)


class _RankPool(torch.autograd.Function):
    @staticmethod
    def forward(ctx, v: Tensor, lengths: list[int], C: float, epsilon: float, gradient: str):
        B, T, D = v.shape
        u = v.new_empty(B, D)
        figures = {}  # per video
        residual = v.new_zeros(B, T, dtype=torch.float64)

        def solve(chosen: list[int]) -> tuple | None:
            frames = group_frames(v, lengths, chosen)
            pooled = pool_group(frames, C, epsilon)
            u[frames.videos] = pooled.u.to(v.dtype)
            residual[frames.videos, : pooled.point.residual.shape[1]] = pooled.point.residual
            rows = zip(pooled.point.objective, pooled.point.relative_gap, pooled.steps, strict=True)
            figures.update(zip(chosen, rows, strict=True))
            frames.forget()
            return (frames.videos, frames.real, pooled) if ctx.needs_input_grad[0] else None

        large, small = in_groups(lengths, D, v.device)
        try:
            solved = for_each(solve, large, small)
        except FloatingPointError:
            raise unusable_frames(v, lengths) from None
        ctx.save_for_backward(v)
        ctx.large, ctx.small, ctx.gradient = solved[: len(large)], solved[len(large) :], gradient
        objective, relative_gap, steps = zip(*(figures[video] for video in range(B)), strict=True)
        ctx.mark_non_differentiable(residual)
        return u, residual, objective, relative_gap, steps

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, g: Tensor, *_):
        (v,) = ctx.saved_tensors
        vjp = exact_gradient if ctx.gradient == "exact" else diagonal_gradient
        result = torch.zeros_like(v)

        def put(group: tuple) -> None:
            videos, real, pooled = group
            left, right = vjp(Frames(v, real, videos), pooled, g[videos].to(torch.float64))
            if v.device.type != "cpu":
                result[videos, : left.shape[1]] = (left @ right).to(v.dtype)
                return
            for video, rows, vectors in zip(videos.tolist(), left, right, strict=True):
                put_product(rows, vectors, result[video, : len(rows)])

        for_each(put, ctx.large, ctx.small)
        return result, None, None, None, None


def check_rank_parameters(C: float, epsilon: float) -> None:
    """Raise UsageError unless C and ε define a rank-pooling problem."""
    if not (math.isfinite(C) and C > 0):
        raise UsageError(
            f"C={C} is not allowed: C weighs the ranking loss and must be a finite number > 0 (default 2)."
        )
    if not (math.isfinite(epsilon) and epsilon >= 0):
        raise UsageError(
            f"epsilon={epsilon} is not allowed: it is a tolerance in frames, finite and ≥ 0 (default 0.1)."
        )


def _check_arguments(v: Tensor, C: float, epsilon: float, gradient: str) -> None:
    check_rank_parameters(C, epsilon)
    if gradient not in GRADIENTS:
        raise UsageError(f"gradient={gradient!r} is unknown. Allowed: {', '.join(GRADIENTS)}.")
    if not isinstance(v, Tensor):
        raise UsageError(f"rank_pool takes a torch tensor, not {type(v).__name__}. Wrap arrays with torch.from_numpy.")
    if v.dtype not in (torch.float32, torch.float64):
        raise UsageError(f"rank_pool takes float32 or float64 frames, not {v.dtype}. Convert them with .float().")
    if v.ndim not in (2, 3):
        raise UsageError(
            f"rank_pool takes one video [T, D] or a padded batch [B, T, D], not a tensor of shape {list(v.shape)}."
        )
    if 0 in v.shape:
        raise UsageError(f"Frames of shape {list(v.shape)} hold an empty video: leave videos without frames out.")


def unusable_frames(v: Tensor, lengths: list[int]) -> UsageError:
    """Says which frame cannot be pooled."""
    for index, (video, length) in enumerate(zip(v, lengths, strict=True)):
        name = f"video {index} of the batch" if len(v) > 1 else "the video"
        finite = torch.isfinite(video[:length])
        if not finite.all():
            frame = int((~finite).any(dim=1).nonzero()[0])
            return UsageError(f"Frame {frame} of {name} holds NaN or infinite values; rank pooling needs finite ones.")
    largest = max(float(video[:length].abs().max()) for video, length in zip(v, lengths, strict=True))
    return UsageError(f"Features reach {largest:.1e}, more than {LARGEST:.0e}: scale them down.")


def warn_if_short(relative_gap: Sequence[float], steps: Sequence[int], C: float, epsilon: float) -> None:
    """A ConvergenceWarning if a certified gap is larger than it should be, or NaN."""
    short = [video for video, gap in enumerate(relative_gap) if not gap <= CERTIFIED]
    if not short:
        return
    worst = max(short, key=lambda video: math.inf if math.isnan(relative_gap[video]) else relative_gap[video])
    warnings.warn(
        f"Rank pooling stopped at a relative duality gap of {relative_gap[worst]:.1e} after {steps[worst]} Newton "
        f"steps (video {worst}, C={C:g}, epsilon={epsilon:g}; aim {CERTIFIED:.0e}). A smaller C is easier to solve.",
        ConvergenceWarning,
        stacklevel=3,
    )
