"""Hierarchical rank pooling: windows first, then the sequence of their results."""

from numbers import Integral

import torch
from torch import Tensor

from vidfeat.errors import UsageError
from vidfeat.pooling.normalise import feature_map, l2_normalise
from vidfeat.pooling.rank_windows import rank_pool_windows


def sliding_windows(T: int, window: int, stride: int) -> list[tuple[int, int]]:
    """Intervals [start, start + window) every ``stride`` frames, up to the first to reach the end, cut off there."""
    last = -(-max(0, T - window) // stride)  # the first start from which the end is reached
    return [(start, min(start + window, T)) for start in range(0, min(T, last * stride + 1), stride)]


def hierarchical_rank_pool(
    x: Tensor,
    window: int = 20,
    stride: int = 1,
    depth: int = 2,
    *,
    C: float = 2.0,
    epsilon: float = 0.1,
    smooth: bool = True,
    map: str = "none",
) -> Tensor:
    """Rank-pool windows, map and L2-normalise the results, and again, until a last level pools all that is left.

    Args:
        x: ``[T, D]``, float32 or float64.
        window, stride: vectors per window M and steps between them, on every level but the last.
        depth: levels, the last one included; 1 is plain rank pooling. Fewer than ``window`` vectors end it earlier.
        C, epsilon, smooth: as for rank pooling; smoothing restarts in every window, and vectors are L2-normalised.
        map: ``none``, ``ssr`` or ``posneg`` of every pooled window; ``posneg`` doubles its width.

    Returns:
        ``[D']`` in float64, not normalised.

    Source: B. Fernando, P. Anderson, M. Hutter, S. Gould, *Discriminative Hierarchical Rank Pooling for Activity
    Recognition*, 2016. Smoothing in windows and the short window at the end are ours.
    """
    check_hierarchy(window, stride, depth)
    for _ in range(depth - 1):
        if len(x) < window:
            break
        pooled = rank_pool_windows(x, sliding_windows(len(x), window, stride), (C,), epsilon, smooth=smooth)
        x = l2_normalise(feature_map(torch.stack([one.u[0] for one in pooled]), map))
    return rank_pool_windows(x, [(0, len(x))], (C,), epsilon, smooth=smooth)[0].u[0]


def check_hierarchy(window: int, stride: int, depth: int) -> None:
    """Raise UsageError unless these describe a hierarchy that ends."""
    for name, value, least in (("window", window, 2), ("stride", stride, 1), ("depth", depth, 1)):
        if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
            raise UsageError(f"{name}={value!r} is not allowed: it must be an integer of {least} or more.")
