"""Rank pooling: the direction along which a video's frames come in order."""

import math
import warnings
from dataclasses import dataclass

import torch
from torch import Tensor

from vidfeat.errors import UsageError
from vidfeat.pooling.lengths import check_lengths
from vidfeat.pooling.rank_solver import CERTIFIED, Solution, solve

# Inner products of frames up to this size stay far from float64 overflow.
_LARGEST = 1e100


class ConvergenceWarning(UserWarning):
    """A result is further from the optimum than it should be."""


@dataclass(frozen=True)
class RankPoolInfo:
    """How a solve went; tensors of shape [] for one video, [B] for a batch."""

    objective: Tensor  # f(u), float64
    relative_gap: Tensor  # certified (f(u) − f(u*)) / f(u) is at most this, float64
    steps: Tensor  # Newton steps, int64
    converged: Tensor  # relative_gap ≤ 1e-9, bool


def rank_pool(
    v: Tensor, C: float = 2.0, epsilon: float = 0.1, lengths=None, return_info: bool = False
) -> Tensor | tuple[Tensor, RankPoolInfo]:
    """Rank-pool frames taken as they are (no smoothing, no normalising), exactly.

        u* = argmin_u ½‖u‖² + (C/2) Σ_t max(|t − u·v_t| − ε, 0)²          t = 1…T

    the ε-insensitive squared-loss support vector regression of the frame index, without bias. LIBLINEAR's
    ``-s 11 -c c -p ε`` is the same problem with C = 2c; the authors' code has c = 1, ε = 0.1.

    Args:
        v: ``[T, D]``, or a padded batch ``[B, T, D]``; float32 or float64. All arithmetic is float64.
        C: weight of the loss, > 0.
        epsilon: half-width of the tube in frames, ≥ 0; from ε = T on, u = 0.
        lengths: integers ``[B]`` for a padded batch, 1 ≤ length ≤ T; whatever the padding holds is ignored.
        return_info: also return a :class:`RankPoolInfo`.

    Returns:
        ``[D]`` or ``[B, D]`` in the dtype of ``v``. The certified relative duality gap is ≤ 1e-9; if it is not, a
        :class:`ConvergenceWarning` says how large it is.

    Raises:
        UsageError: NaN or infinite frames, C ≤ 0, ε < 0, wrong lengths, an empty video, or a gradient asked for.

    Source: B. Fernando, S. Gould, *Learning End-to-end Video Classification with Rank-Pooling*, 2016, Eq. 5.
    """
    _check_parameters(v, C, epsilon)
    if v.ndim == 2:
        if lengths is not None:
            check_lengths(lengths, v.shape, v.device)
        videos = [v]
    else:
        kept = [v.shape[1]] * v.shape[0] if lengths is None else check_lengths(lengths, v.shape, v.device).tolist()
        videos = [video[:length] for video, length in zip(v, kept, strict=True)]
    for index, video in enumerate(videos):
        _check_frames(video, f"video {index} of the batch" if v.ndim == 3 else "the video")
    solutions = [solve(video.detach().to(torch.float64), float(C), float(epsilon)) for video in videos]
    _warn_if_short(solutions, C, epsilon)
    pooled = torch.stack([solution.u for solution in solutions]).to(v.dtype)
    u = pooled if v.ndim == 3 else pooled[0]
    return (u, _info(solutions, v.ndim == 3)) if return_info else u


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


def _check_parameters(v: Tensor, C: float, epsilon: float) -> None:
    check_rank_parameters(C, epsilon)
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
    if v.requires_grad and torch.is_grad_enabled():
        raise UsageError(
            "rank_pool computes the forward value only, but its input requires a gradient. "
            "Pass v.detach(), or call it under torch.no_grad()."
        )


def _check_frames(video: Tensor, name: str) -> None:
    low, high = (float(extreme) for extreme in torch.aminmax(video))  # NaN anywhere makes both NaN
    if not (math.isfinite(low) and math.isfinite(high)):
        frame = int((~torch.isfinite(video)).any(dim=1).nonzero()[0])
        raise UsageError(f"Frame {frame} of {name} holds NaN or infinite values: rank pooling needs finite features.")
    largest = max(-low, high)
    if largest > _LARGEST:
        raise UsageError(f"Features of {name} reach {largest:.1e}, more than {_LARGEST:.0e}: scale them down.")


def _warn_if_short(solutions: list[Solution], C: float, epsilon: float) -> None:
    short = [(solution.relative_gap, index) for index, solution in enumerate(solutions) if not solution.converged]
    if short:
        gap, index = max(short)
        warnings.warn(
            f"Rank pooling stopped at a relative duality gap of {gap:.1e} after {solutions[index].steps} Newton steps "
            f"(video {index}, C={C:g}, epsilon={epsilon:g}; aim {CERTIFIED:.0e}). A smaller C is easier to solve.",
            ConvergenceWarning,
            stacklevel=3,
        )


def _info(solutions: list[Solution], batched: bool) -> RankPoolInfo:
    fields = {
        name: torch.tensor([getattr(solution, name) for solution in solutions])
        if name in ("steps", "converged")
        else torch.tensor([getattr(solution, name) for solution in solutions], dtype=torch.float64)
        for name in ("objective", "relative_gap", "steps", "converged")
    }
    return RankPoolInfo(**(fields if batched else {name: value[0] for name, value in fields.items()}))
