"""Rank pooling of many videos of any lengths: which are solved in step, and in which space."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

from vidfeat.crew import crew, torch_threads
from vidfeat.pooling.frames import Frames
from vidfeat.pooling.rank_refined import RefinedFeatureSpace, RefinedFrameSpace
from vidfeat.pooling.rank_solver import SUSPICIOUS, Point, solve
from vidfeat.pooling.rank_spaces import FeatureSpace, FrameSpace

Group, Result = TypeVar("Group"), TypeVar("Result")

# Videos of a group may be this much shorter than its longest: padding then wastes at most a third of the matrices.
_SHORTEST = 0.8
# Numbers in the matrices of a group: in cache on a CPU, 1 GB on a GPU.
_CPU_GROUP, _CUDA_GROUP = 1 << 22, 1 << 27
# Multiplications in the Gram matrices of a group that a thread has for itself: some milliseconds, so that what a group
# costs in Python is little, and there are groups for all threads.
_CPU_WORK = 1 << 29

# Frames and features from which on a Gram matrix in float32 saves more than it costs to mend it.
_FEWEST_REFINED = 100
# Frames from which on torch may share a matrix of theirs among threads. Where that gains little, torch's threads, which
# stay busy waiting for more, would be in the way of those that compute the Gram matrix.
_FEWEST_SHARED = 500
# C T max K_tt times this bounds how much of an error a refinement leaves, with K from products in float32; pessimistic.
_SINGLE_ROUNDING = 1e-6
# C tr VᵀV times these should be below 1 for VᵀV from products in float32, and for its factor in float32: a refinement
# then leaves a hundredth or less (measured).
_SINGLE_PRODUCTS, _SINGLE_FACTOR = 1e-7, 1e-6
# Newton steps and refinements of a solution at most, before all is done again in float64.
_MOST_REFINED = 50

# Inner products of features up to this size stay far from float64 overflow.
LARGEST = 1e100


@dataclass(frozen=True)
class Pooled:
    """The solution of a group."""

    u: Tensor  # [b, D], float64
    point: Point
    steps: list[int]  # [b]
    space: FrameSpace | FeatureSpace


def similar(lengths: list[int], D: int, device: torch.device) -> Iterator[list[int]]:
    """Cut videos of D features into groups of similar lengths, each to be solved in step: their numbers."""
    room = _CPU_GROUP if device.type == "cpu" else _CUDA_GROUP
    left = sorted(range(len(lengths)), key=lambda i: -lengths[i])
    while left:
        longest = lengths[left[0]]
        most = max(1, room // min(longest, D) ** 2)
        size = sum(lengths[i] >= _SHORTEST * longest for i in left[:most])
        yield left[:size]
        left = left[size:]


def in_groups(lengths: list[int], D: int, device: torch.device) -> tuple[list[list[int]], list[list[int]]]:
    """Videos of D features in groups, each to be solved in step: large groups, of which there should be one at a time,
    and small ones, of which every thread of a CPU may have its own."""
    large, small = [], []
    for chosen in similar(lengths, D, device):
        longest, size = lengths[chosen[0]], min(lengths[chosen[0]], D)
        if device.type == "cpu" and size * size <= _CPU_GROUP:
            few = max(1, _CPU_WORK // (longest * size * D))
            small += [chosen[start : start + few] for start in range(0, len(chosen), few)]
        else:
            large.append(chosen)
    return large, small


def for_each(work: Callable[[Group], Result], large: Sequence[Group], small: Sequence[Group]) -> list[Result]:
    """``work`` on large groups, one after the other, and on small ones, side by side where that keeps all threads
    busy."""
    done = [work(group) for group in large]
    with crew(len(small) >= torch.get_num_threads()) as run:
        return done + list(run(work, small))


def group_frames(v: Tensor, lengths: list[int], chosen: list[int]) -> Frames:
    """The videos numbered ``chosen`` of a padded batch ``v [B, T, D]``."""
    videos, kept = (torch.tensor(values, device=v.device) for values in (chosen, [lengths[i] for i in chosen]))
    real = torch.arange(int(kept[0]), device=v.device) < kept[:, None]
    return Frames(v, real.to(torch.float64), videos)


def pool_group(frames: Frames, C: float, epsilon: float) -> Pooled:
    """Solve a group. FloatingPointError if frames are not finite, or too large for products of them to be."""
    _, T, D = frames.shape
    if frames.are_single and min(T, D) >= _FEWEST_REFINED:
        refined = _pool_refined_frames(frames, C, epsilon) if T <= D else _pool_refined_features(frames, C, epsilon)
        if refined is not None:
            return refined
    if T <= D:
        space = FrameSpace.of(finite_gram(frames.gram()), frames.real, C, frames.threads)
        point, steps = solve(space, epsilon)
        return Pooled(frames.combine(point.x), point, steps, space)
    space = FeatureSpace.of(frames, finite_gram(frames.feature_gram(frames.real)), C)
    point, steps = solve(space, epsilon)
    return Pooled(point.x, point, steps, space)


def _pool_refined_frames(frames: Frames, C: float, epsilon: float) -> Pooled | None:
    """Solve a group with a Gram matrix computed in float32, the optimum of which is then corrected in float64.

    None where that is not certain to reach the accuracy of float64.
    """
    T = frames.shape[1]
    with torch_threads(1 if T < _FEWEST_SHARED else None):
        kernel = frames.single_gram()
        if not (C * T * kernel.diagonal(dim1=-2, dim2=-1).amax() * _SINGLE_ROUNDING < 1):
            return None
        rough = FrameSpace.of(kernel, frames.real, C, frames.threads)
        point, steps = solve(rough, epsilon, retry=False)
        space = RefinedFrameSpace(kernel, frames.real, C, rough.base, frames.threads, frames)
        point, more = solve(space, epsilon, start=point.x, max_steps=_MOST_REFINED, retry=False)
        if not all(gap <= SUSPICIOUS for gap in point.relative_gap):
            return None
        steps = [first + second for first, second in zip(steps, more, strict=True)]
        return Pooled(frames.combine(point.x), point, steps, space)


def _pool_refined_features(frames: Frames, C: float, epsilon: float) -> Pooled | None:
    """The same in feature space."""
    matrix = frames.single_feature_gram(frames.real)
    size = C * float(matrix.diagonal(dim1=-2, dim2=-1).sum(dim=-1).amax())
    if not size * _SINGLE_PRODUCTS < 1:
        return None
    space = RefinedFeatureSpace.of(frames, matrix, C, single=size * _SINGLE_FACTOR < 1)
    del matrix  # the space has its factor
    point, steps = solve(space, epsilon, max_steps=_MOST_REFINED, retry=False)
    if not all(gap <= SUSPICIOUS for gap in point.relative_gap):
        return None
    return Pooled(point.x, point, steps, space)


def finite_gram(matrix: Tensor) -> Tensor:
    """The Gram matrix of frames; FloatingPointError if its diagonal shows that they cannot be pooled."""
    if not (matrix.diagonal(dim1=-2, dim2=-1).amax() <= LARGEST**2 * matrix.shape[-1]):
        raise FloatingPointError
    return matrix


def exact_gradient(frames: Frames, pooled: Pooled, g: Tensor) -> tuple[Tensor, Tensor]:
    """∂L/∂v of a group for g = ∂L/∂u ``[b, D]``, as factors ``[b, t, 2]`` and ``[b, 2, D]`` of a matrix of rank two.

        w = H⁻¹ g,   H = I + C Σ_S v_t v_tᵀ
        ∂L/∂v_t = C (e_t w − (v_t·w) u)   for t ∈ S, 0 otherwise

    In frame space w = g − V_Sᵀ q with q = (K_SS + I/C)⁻¹ V_S g, and there v_t·w = q_t / C: nothing is multiplied twice.
    """
    space, S = pooled.space, pooled.point.side.abs()
    factor = space.factor(S)
    if isinstance(space, FrameSpace):
        q = factor.solve(frames.predict(g))
        return _factors(pooled, g - frames.combine(q), q)
    w = factor.solve(g) / space.C
    return _factors(pooled, w, space.C * frames.predict(w) * S)


def diagonal_gradient(frames: Frames, pooled: Pooled, g: Tensor) -> tuple[Tensor, Tensor]:
    """As :func:`exact_gradient` with H replaced by its diagonal, I + C Σ_S diag(v_t ⊙ v_t)."""
    S, C = pooled.point.side.abs(), pooled.space.C
    w = g / (1.0 + C * frames.squares(S))
    return _factors(pooled, w, C * frames.predict(w) * S)


def _factors(pooled: Pooled, w: Tensor, q: Tensor) -> tuple[Tensor, Tensor]:
    """C e_t w − q_t u."""
    left = torch.stack([pooled.space.C * pooled.point.error, -q], dim=2)
    return left, torch.stack([w, pooled.u], dim=1)
