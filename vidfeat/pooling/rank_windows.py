"""Rank pooling of many windows of one video, in both directions and for many values of C, from one Gram matrix.

Running means are linear, so all inner products of means follow from those of the frames: with G = X Xᵀ,

    m_s·m_t = (1/st) Σ_{σ≤s} Σ_{τ≤t} G_στ,        K_st = m_s·m_t / (‖m_s‖ ‖m_t‖),

for any window of the frames and for the reversed ones, by two running sums over a part of G. Neither means nor
normalised frames are ever computed; u* = Σ α_t v_t is gathered as weights of the frames x themselves. This is not
possible after a pointwise map, which is not linear, nor worthwhile in windows with more frames than features; their
frames are computed, and only the values of C share a Gram matrix.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from vidfeat.pooling.frames import Frames
from vidfeat.pooling.preparation import prepare_frames
from vidfeat.pooling.rank import check_rank_parameters, unusable_frames, warn_if_short
from vidfeat.pooling.rank_batch import finite_gram, similar
from vidfeat.pooling.rank_solver import Point, solve
from vidfeat.pooling.rank_spaces import FeatureSpace, FrameSpace

# Where t ‖m_t‖² is so far below the mean ‖x_τ‖², the terms of m_t cancel, and its products cannot be had from G.
_CANCELLED = 1e-3
# Frames that share a Gram matrix, at least, where windows are short.
_SPAN = 256


@dataclass(frozen=True)
class RankPooled:
    """One window, pooled in one direction with every value of C; float64."""

    u: Tensor  # [values of C, D']
    scores: Tensor  # u·v_t [values of C, T], in the order of pooling
    relative_gap: Tensor  # certified, [values of C]


def rank_pool_windows(
    x: Tensor,
    windows: Sequence[tuple[int, int]],
    C: Sequence[float] = (2.0,),
    epsilon: float = 0.1,
    *,
    smooth: bool = True,
    map: str = "none",
    normalize_frames: bool = True,
    reverse: Sequence[bool] = (False,),
) -> list[RankPooled]:
    """Rank-pool the frames start…stop − 1 of ``x [T, D]`` for every window, each on its own: smoothing restarts.

    Args:
        windows: half-open intervals [start, stop), none of them empty.
        C: values of C; each starts from the solution of the one before, so give them in order of size.
        smooth, map, normalize_frames: as in :func:`vidfeat.pooling.preparation.prepare_frames`.
        reverse: directions; True reverses the frames of a window first.

    Returns:
        Window by window, and for each window direction by direction.

    Raises:
        UsageError: as :func:`vidfeat.pooling.rank_pool`.
    """
    for value in C:
        check_rank_parameters(value, epsilon)
    result: list[RankPooled] = [None] * (len(windows) * len(reverse))
    for numbers, first, stop in _spans(windows):
        jobs = [(windows[i][0] - first, windows[i][1] - first, back) for i in numbers for back in reverse]
        places = [i * len(reverse) + k for i in numbers for k in range(len(reverse))]
        part = Frames(x[None, first:stop])
        source = _Means(part, smooth, normalize_frames) if map == "none" else None
        for chosen in similar([stop - start for start, stop, _ in jobs], x.shape[1], x.device):
            batch = _Batch.of([jobs[i] for i in chosen], x.device)
            try:
                kernel = source.kernel(batch) if source and batch.length <= x.shape[1] else None
                if kernel is not None:
                    pooled = _pool_means(source, kernel, batch, C, epsilon)
                else:
                    v = prepare_frames(x[first:stop][batch.index], smooth, map, normalize_frames)
                    pooled = _pool_frames(Frames(v, batch.real), C, epsilon)
            except FloatingPointError:
                raise unusable_frames(x[None], [len(x)]) from None
            for row, i in enumerate(chosen):
                result[places[i]] = pooled.of(row, jobs[i][1] - jobs[i][0])
    return result


def _spans(windows: Sequence[tuple[int, int]]) -> Iterator[tuple[list[int], int, int]]:
    """Windows that share a Gram matrix: their numbers, and the frames first…stop − 1 that it is of."""
    longest = max(stop - start for start, stop in windows)
    left = sorted(range(len(windows)), key=lambda i: windows[i])
    while left:
        first = windows[left[0]][0]
        chosen = [i for i in left if windows[i][1] <= first + max(2 * longest, _SPAN)]
        yield chosen, first, max(windows[i][1] for i in chosen)
        left = [i for i in left if windows[i][1] > first + max(2 * longest, _SPAN)]


@dataclass(frozen=True)
class _Batch:
    """Windows solved in step: the frames ``index [b, n]`` of each, in the order of pooling."""

    index: Tensor
    real: Tensor  # 1.0 for frames that exist, 0.0 for padding [b, n]

    @classmethod
    def of(cls, jobs: list[tuple[int, int, bool]], device: torch.device) -> "_Batch":
        """``jobs``: (start, stop, whether reversed)."""
        start, stop, back = (torch.tensor(column, device=device)[:, None] for column in zip(*jobs, strict=True))
        t = torch.arange(int((stop - start).max()), device=device)
        index = torch.where(back, stop - 1 - t, start + t)
        return cls(index.clamp(min=start, max=stop - 1), (t < stop - start).to(torch.float64))

    @property
    def length(self) -> int:
        return self.index.shape[1]

    @property
    def count(self) -> Tensor:
        """t = 1…n."""
        return torch.arange(1, self.length + 1, dtype=torch.float64, device=self.index.device)


@dataclass(frozen=True)
class _Solved:
    """A batch, pooled with every value of C."""

    u: Tensor  # [values of C, b, D']
    scores: Tensor  # [values of C, b, n]
    relative_gap: Tensor  # [values of C, b]

    def of(self, row: int, length: int) -> RankPooled:
        return RankPooled(self.u[:, row], self.scores[:, row, :length], self.relative_gap[:, row])


class _Means:
    """Inner products of running means, from those of the frames."""

    def __init__(self, frames: Frames, smooth: bool, normalize_frames: bool):
        self.frames, self.smooth, self.normalize_frames = frames, smooth, normalize_frames
        self.gram = None  # computed when it is wanted: windows may all be too long for it

    def kernel(self, batch: _Batch) -> tuple[Tensor, Tensor] | None:
        """K ``[b, n, n]`` and 1/‖m_t‖ ``[b, n]``; None if the terms of a mean cancel too much for it."""
        if self.gram is None:
            self.gram = finite_gram(self.frames.gram())[0]
        products = self.gram[batch.index[:, :, None], batch.index[:, None, :]].mul_(_outer(batch.real))
        if self.smooth:
            squares = products.diagonal(dim1=1, dim2=2).cumsum(dim=1)
            products = products.cumsum(dim=1).cumsum_(dim=2).mul_(_outer(batch.real / batch.count))
            # t ‖m_t‖² against (1/t) Σ ‖x_τ‖².
            if (products.diagonal(dim1=1, dim2=2) * batch.count**2 < _CANCELLED * squares * batch.real).any():
                return None
        norms = products.diagonal(dim1=1, dim2=2).sqrt()
        scale = torch.where(norms > 0, 1.0 / norms, 0.0) if self.normalize_frames else batch.real
        return products.mul_(_outer(scale)), scale

    def combine(self, alpha: Tensor, scale: Tensor, batch: _Batch) -> Tensor:
        """u = Σ_t α_t v_t ``[..., b, D]`` for ``alpha [..., b, n]``, as a sum Σ_τ w_τ x_τ over frames."""
        w = alpha * scale
        if self.smooth:
            w = (w / batch.count).flip(-1).cumsum(dim=-1).flip(-1)
        weights = w.new_zeros(*w.shape[:-1], self.frames.shape[1])
        weights.scatter_add_(-1, batch.index.expand_as(w), w)
        return self.frames.combine(weights.reshape(1, -1, weights.shape[-1])).reshape(*w.shape[:-1], -1)


def _pool_means(
    source: _Means, kernel: tuple[Tensor, Tensor], batch: _Batch, C: Sequence[float], epsilon: float
) -> _Solved:
    products, scale = kernel
    points = _path(lambda value: FrameSpace.of(products, batch.real, value), C, epsilon)
    return _solved(source.combine(torch.stack([point.x for point in points]), scale, batch), points, batch.real)


def _pool_frames(frames: Frames, C: Sequence[float], epsilon: float) -> _Solved:
    _, T, D = frames.shape
    if T <= D:
        kernel = finite_gram(frames.gram())
        points = _path(lambda value: FrameSpace.of(kernel, frames.real, value), C, epsilon)
        u = torch.stack([frames.combine(point.x[:, None])[:, 0] for point in points])
    else:
        matrix = finite_gram(frames.feature_gram(frames.real))
        points = _path(lambda value: FeatureSpace.of(frames, matrix, value), C, epsilon)
        u = torch.stack([point.x for point in points])
    return _solved(u, points, frames.real)


def _path(space_of: Callable[[float], FrameSpace | FeatureSpace], C: Sequence[float], epsilon: float) -> list[Point]:
    """The solutions for every C, each from the one before."""
    points: list[Point] = []
    for value in C:
        point, steps = solve(space_of(value), epsilon, start=points[-1].x if points else None)
        warn_if_short(point.relative_gap, steps, value, epsilon)
        points.append(point)
    return points


def _solved(u: Tensor, points: list[Point], real: Tensor) -> _Solved:
    target = torch.arange(1, real.shape[1] + 1, dtype=torch.float64, device=real.device) * real
    scores = torch.stack([target - point.residual for point in points])
    return _Solved(u, scores, torch.tensor([point.relative_gap for point in points], dtype=torch.float64))


def _outer(factors: Tensor) -> Tensor:
    return factors[:, :, None] * factors[:, None, :]
