"""Temporal pyramid: the same pooling over the whole video, its halves, quarters, …"""

from collections.abc import Callable
from itertools import pairwise
from numbers import Integral

import torch
from torch import Tensor

from vidfeat.errors import UsageError
from vidfeat.pooling.smoothing import prefix_sum

# 2^12 − 1 nodes of 4096 dimensions make a code of 67 MB per video: more is a typing error.
MAX_LEVELS = 12


def node_bounds(T: int, levels: int) -> Tensor:
    """Frames of every pyramid node, as half-open intervals [start, stop) counted from 0.

    Level l = 1…L has n = 2^(l−1) nodes; node k of n covers [⌊kT/n⌋, max(⌊(k+1)T/n⌋, ⌊kT/n⌋ + 1)): never empty, a
    partition of the video when T ≥ n, overlapping otherwise.

    Args:
        T: number of frames, ≥ 1.
        levels: L, 1…12.

    Returns:
        int64 ``[2^L − 1, 2]``, level by level from the root, in time order within a level.
    """
    check_levels(levels)
    if T < 1:
        raise UsageError(f"A temporal pyramid over {T} frames does not exist: leave videos without frames out.")
    bounds = []
    for level in range(levels):
        n = 2**level
        start = [k * T // n for k in range(n + 1)]
        bounds += [(a, max(b, a + 1)) for a, b in pairwise(start)]
    return torch.tensor(bounds, dtype=torch.int64)


def check_levels(levels: int) -> None:
    """Raise UsageError unless ``levels`` is a possible height of a pyramid."""
    if isinstance(levels, bool) or not isinstance(levels, Integral) or not 1 <= levels <= MAX_LEVELS:
        raise UsageError(
            f"levels={levels!r} is not allowed: a temporal pyramid has 1…{MAX_LEVELS} levels (1 = no pyramid)."
        )


def node_means(x: Tensor, levels: int) -> Tensor:
    """Mean of every node of ``x [T, …]``, ``[2^L − 1, …]`` in the dtype of ``x``, by one float64 prefix sum."""
    bounds = node_bounds(x.shape[0], levels).to(x.device)
    before = torch.cat([x.new_zeros(1, *x.shape[1:], dtype=torch.float64), prefix_sum(x, dim=0)])
    start, stop = bounds.unbind(1)
    size = (stop - start).to(torch.float64).reshape(-1, *[1] * (x.ndim - 1))
    return ((before[stop] - before[start]) / size).to(x.dtype)


def pool_nodes(x: Tensor, levels: int, pool: Callable[[Tensor], Tensor]) -> Tensor:
    """``pool`` applied to the frames of every node of ``x [T, …]`` on its own, stacked ``[2^L − 1, …]``.

    For rank pooling ``pool`` does its own smoothing, so that smoothing restarts in every node.
    """
    return torch.stack([pool(x[start:stop]) for start, stop in node_bounds(x.shape[0], levels).tolist()])
