"""Approximate rank pooling: a weighted sum of the frames with fixed weights, and so linear in them.

    u = Σ_t a_t x_t,    a_t = 2(T − t + 1) − (T + 1)(h_T − h_{t−1}),    h_n = Σ_{i≤n} 1/i,  h_0 = 0,    t = 1…T

It is, up to a factor, the first step of gradient descent from 0 on the pairwise hinge loss that ranks the running means
m_t = (1/t) Σ_{τ≤t} x_τ, and so the same as Σ_t (2t − T − 1) m_t. Of raw RGB frames it is the *dynamic image*.

Source: H. Bilen, B. Fernando, E. Gavves, A. Vedaldi, S. Gould, *Dynamic Image Networks for Action Recognition*, 2016.
"""

import torch
from torch import Tensor

from vidfeat.errors import UsageError
from vidfeat.pooling.lengths import pool_videos

# Frames gathered before they are multiplied by their weights, and numbers of each multiplied at a time: a piece
# [_BLOCK, _PIECE] in float64 stays in the cache of a core, which makes a frame several times cheaper than adding it to
# three sums by itself.
_BLOCK, _PIECE = 16, 8192


def approximate_weights(T: int, device: torch.device | str | None = None) -> Tensor:
    """The weights a_1 … a_T, ``[T]`` float64.

    They sum to 0: what does not change leaves no trace. T = 1 gives (0), T = 2 gives (−½, ½), T = 3 (−4/3, 2/3, 2/3).
    They are not antisymmetric, as running means look back only: a reversed video of three or more frames does not give
    −u.

    UsageError unless T is a whole number above 0.
    """
    if isinstance(T, bool) or not isinstance(T, int) or T < 1:
        raise UsageError(f"T is {T!r}; it must be a whole number of frames, 1 or more.")
    t = torch.arange(1, T + 1, dtype=torch.float64, device=device)
    rest = (1 / t).flip(0).cumsum(0).flip(0)  # h_T − h_{t−1}
    return 2 * (T - t + 1) - (T + 1) * rest


def approximate_rank_pool(x: Tensor, lengths=None) -> Tensor:
    """Σ_t a_t x_t over time, in float64; differentiable.

    Args:
        x: ``[T, …]``, one video of vectors, maps or pictures; with ``lengths``, a padded batch ``[B, T, …]``.
        lengths: integers ``[B]``, 1 ≤ length ≤ T; whatever the padding holds is ignored.

    Returns:
        ``[…]`` or ``[B, …]`` in the dtype of ``x``. One frame gives 0.

    UsageError: no frame, wrong lengths, or a tensor that is not floating point.
    """
    return pool_videos(x, lengths, _pool)


def _pool(video: Tensor) -> Tensor:
    weights = approximate_weights(video.shape[0], video.device).split(_BLOCK)
    blocks = video.split(_BLOCK)  # so that there is never a float64 copy of the whole video
    parts = (torch.tensordot(a, x.to(torch.float64), dims=1) for a, x in zip(weights, blocks, strict=True))
    return sum(parts).to(video.dtype)


class ApproximateRankPooling:
    """``approximate_rank_pool`` of frames that come one by one, in memory that does not depend on their number.

    T is known only in the end, so three sums are kept: with S_0 = Σ x_t, S_1 = Σ t x_t, S_2 = Σ h_{t−1} x_t,

        u = (T + 1) ((2 − h_T) S_0 + S_2) − 2 S_1 .

    As the weights sum to 0, the first frame is taken off every frame: what stands still then gives 0 without rounding.
    """

    BYTES = 3 * 8 + _BLOCK + 1
    """Memory for each number of a frame of bytes."""

    def __init__(self) -> None:
        self.count = 0
        self._harmonic = 0.0  # h of ``count``
        self._gathered = 0

    def add(self, frame: Tensor) -> None:
        """One more frame, ``[…]`` of any real type. UsageError if it has another shape or type than those before."""
        if self.count == 0:
            self._begin(frame)
        if frame.shape != self._first.shape or frame.dtype != self._first.dtype:
            raise UsageError(
                f"Frame {self.count} has shape {list(frame.shape)} and type {frame.dtype}, those before have "
                f"{list(self._first.shape)} and {self._first.dtype}; all frames of a video must have the same."
            )
        self._block[self._gathered] = frame
        self._weights[:, self._gathered] = torch.tensor([1.0, self.count + 1, self._harmonic], dtype=torch.float64)
        self._gathered += 1
        self.count += 1
        self._harmonic += 1 / self.count
        if self._gathered == _BLOCK:
            self._add_block()

    def result(self) -> Tensor:
        """u of the frames so far, ``[…]`` float64; more may be added. UsageError if there is none."""
        if self.count == 0:
            raise UsageError("No frame was added, so there is nothing to pool. Leave empty videos out.")
        self._add_block()
        T, (s0, s1, s2) = self.count, self._sums
        return ((T + 1) * ((2 - self._harmonic) * s0 + s2) - 2 * s1).reshape(self._first.shape)

    def _begin(self, frame: Tensor) -> None:
        self._first = frame.clone(memory_format=torch.contiguous_format)
        self._block = frame.new_empty(_BLOCK, *frame.shape)
        self._weights = torch.empty(3, _BLOCK, dtype=torch.float64)
        self._sums = torch.zeros(3, frame.numel(), dtype=torch.float64, device=frame.device)

    def _add_block(self) -> None:
        """S += weights · (block − first frame), piece by piece."""
        weights = self._weights[:, : self._gathered].to(self._sums.device)
        block, first = self._block[: self._gathered].flatten(1), self._first.flatten()
        pieces = (values.split(_PIECE, dim=-1) for values in (self._sums, block, first))
        for sums, frames, still in zip(*pieces, strict=True):
            sums.addmm_(weights, frames.to(torch.float64) - still)
        self._gathered = 0
