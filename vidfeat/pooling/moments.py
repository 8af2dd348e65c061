"""Average and maximum over time: the order-blind poolings."""

import torch
from torch import Tensor

from vidfeat.pooling.lengths import pool_videos

# Frames reduced together before the partial results are. Sums: 16 numbers in float32 cost at most 15 roundings, and
# only then does the sum move to float64, because a float64 sum of float32 data runs several times slower than memory
# delivers it. Maxima: torch reduces the middle axis of [T/16, 16, D] at memory speed, the first axis of [T, D] not.
_BLOCK = 16


def average_pool(x: Tensor, lengths=None) -> Tensor:
    """Mean over time, accumulated in float64.

    Args:
        x: ``[T, …]``, one video of vectors or maps; with ``lengths``, a padded batch ``[B, T, …]``.
        lengths: integers ``[B]``, 1 ≤ length ≤ T; whatever the padding holds is ignored.

    Returns:
        ``[…]`` or ``[B, …]`` in the dtype of ``x``.
    """
    return pool_videos(x, lengths, lambda video: _sum(video).div_(video.shape[0]).to(x.dtype))


def max_pool(x: Tensor, lengths=None) -> Tensor:
    """Maximum over time; arguments and shapes as in :func:`average_pool`. NaN in a frame gives NaN."""
    return pool_videos(x, lengths, _maximum)


def _sum(video: Tensor) -> Tensor:
    if video.dtype != torch.float32:
        return video.sum(dim=0, dtype=torch.float64)
    blocks, tail = _blocks(video)
    return blocks.sum(dim=1).sum(dim=0, dtype=torch.float64) + tail.sum(dim=0, dtype=torch.float64)


def _maximum(video: Tensor) -> Tensor:
    blocks, tail = _blocks(video)
    parts = [part.amax(dim=0) for part in (blocks.amax(dim=1), tail) if len(part)]
    return parts[0] if len(parts) == 1 else torch.maximum(*parts)


def _blocks(video: Tensor) -> tuple[Tensor, Tensor]:
    """[T, …] as whole blocks [T // 16, 16, …] and the frames left over [T % 16, …]."""
    whole = video.shape[0] // _BLOCK * _BLOCK
    return video[:whole].unflatten(0, (-1, _BLOCK)), video[whole:]
