"""Hierarchical rank pooling of a video."""

import torch
from torch import Tensor

from vidfeat.encoders.base import TemporalEncoder, vectors_only
from vidfeat.encoders.rank import REVERSE
from vidfeat.pooling.hierarchical import check_hierarchy, hierarchical_rank_pool
from vidfeat.pooling.normalise import l2_normalise
from vidfeat.pooling.preparation import check_preparation
from vidfeat.pooling.rank import check_rank_parameters


class HierarchicalRankPool(TemporalEncoder):
    """Rank pooling of sliding windows, then of the sequence of their results: dynamics of dynamics.

    Args:
        window, stride: vectors per window and steps between windows, on every level but the last.
        depth: levels, the last one included; it pools all that is left.
        C, epsilon, smooth: as in :class:`RankPool`; smoothing restarts in every window.
        map: pointwise map of every pooled window: ``none``, ``ssr`` or ``posneg`` (twice as wide).
        direction: ``forward``, ``reverse`` (of the whole video), or ``both`` side by side.
        normalize: L2-normalise the code; with ``both``, each half.

    Source: B. Fernando, P. Anderson, M. Hutter, S. Gould, *Discriminative Hierarchical Rank Pooling for Activity
    Recognition*, 2016.
    """

    def __init__(
        self,
        window=20,
        stride=1,
        depth=2,
        C=2.0,
        epsilon=0.1,
        smooth=True,
        map="none",
        direction="forward",
        normalize=True,
    ):
        self.window = window
        self.stride = stride
        self.depth = depth
        self.C = C
        self.epsilon = epsilon
        self.smooth = smooth
        self.map = map
        self.direction = direction
        self.normalize = normalize

    def _check_parameters(self) -> None:
        check_hierarchy(self.window, self.stride, self.depth)
        check_rank_parameters(self.C, self.epsilon)
        check_preparation(self.map, self.direction)

    def _code(self, frames: Tensor) -> Tensor:
        x = vectors_only(frames, "hierarchical rank pooling")
        halves = []
        for back in REVERSE[self.direction]:
            u = hierarchical_rank_pool(
                x.flip(0) if back else x, self.window, self.stride, self.depth,
                C=self.C, epsilon=self.epsilon, smooth=self.smooth, map=self.map,
            )  # fmt: skip
            halves.append(l2_normalise(u) if self.normalize else u)
        return torch.cat(halves)
