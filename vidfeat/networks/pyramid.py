"""The deep temporal pyramid: nodes weighed by a learnt β on the simplex."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from vidfeat.errors import UsageError
from vidfeat.networks.batch_norm import VideoBatchNorm
from vidfeat.networks.pools import Pooling, rank_pooled, videos_of
from vidfeat.networks.values import drawn_linear
from vidfeat.pooling.moments import max_pool
from vidfeat.pooling.preparation import check_choice
from vidfeat.pooling.pyramid import node_bounds, node_means, pool_nodes
from vidfeat.pooling.rank_layer import RankPool

MERGES = ("concat", "average")
NODES = ("mean", "max", "rankpool")
HIGHEST = 6


class PyramidPooling(Pooling):
    """Nodes ψ_n of a temporal pyramid, weighed by β = softmax(β̂), then batch norm.

        z = [β_1 ψ_1, …, β_N ψ_N]  or  Σ_n β_n ψ_n,      ψ_n = mean (or maximum, rank pooling) of A x_t + a over node n

    With several pyramids each has an A, an a and a β̂ of its own; their z, side by side, go through a linear map to
    ``width`` numbers, ReLU and batch norm. The classifier that follows is the caller's.

    Args:
        features: D, length of the frame vectors.
        levels: 1…6; N = 2^levels − 1 nodes; 1 is the global average.
        merge: ``concat`` or ``average``.
        node: ``mean``, ``max`` or ``rankpool`` (with ``C``, ``epsilon``, ``gradient``; smoothing restarts in each).
        width: of the linear map before pooling; 0 leaves it out.
        pyramids: how many.
        norm: batch norm over the videos of a step.
        seed: of the values of the linear maps.

    Source: *Deep multiple aggregation networks for action recognition*; A before pooling is ours, as the text has
    128-dimensional nodes but does not say where they become so. Means commute with A, which then comes after them.
    """

    def __init__(self, features: int, levels: int = 4, merge: str = "concat", node: str = "mean", width: int = 128,
                 pyramids: int = 1, norm: bool = True, seed: int = 0, **rank):  # fmt: skip
        if isinstance(levels, bool) or not isinstance(levels, int) or not 1 <= levels <= HIGHEST:
            raise UsageError(f"levels={levels!r} is not allowed: a deep pyramid has 1…{HIGHEST} levels.")
        if pyramids < 1 or width < 0:
            raise UsageError(f"pyramids={pyramids}, width={width}: at least 1 pyramid, and a width ≥ 0 (0: no map).")
        check_choice("merge", merge, MERGES)
        check_choice("node", node, NODES)
        if rank and node != "rankpool":
            raise UsageError(f"{', '.join(sorted(rank))} belong to node='rankpool'; this pyramid has node={node!r}.")
        inner = width or features
        merged_dim = inner * (2**levels - 1 if merge == "concat" else 1)
        last = (width or 128) if pyramids > 1 else merged_dim
        super().__init__(features, last)
        self.levels, self.merge, self.node, self.merged = levels, merge, node, merged_dim * pyramids
        self.rank = RankPool(**rank) if node == "rankpool" else None
        self.logits = nn.ParameterList(nn.Parameter(torch.zeros(2**levels - 1)) for _ in range(pyramids))
        self.maps = nn.ModuleList(
            drawn_linear(features, width, f"pyramid.{p}", seed) if width else nn.Identity() for p in range(pyramids)
        )
        self.joint = drawn_linear(self.merged, last, "pyramid.joint", seed) if pyramids > 1 else None
        self.norm = VideoBatchNorm(last) if norm else None

    @property
    def beta(self) -> Tensor:
        """β of every pyramid, ``[pyramids, N]``; nodes level by level from the root, in time order."""
        return torch.stack([torch.softmax(logits, 0) for logits in self.logits])

    @property
    def reduces(self) -> bool:
        """Whether nodes can be had before the maps: means commute with them, maxima and rank pooling do not."""
        return self.node == "mean" or all(isinstance(linear, nn.Identity) for linear in self.maps)

    def forward(self, x: Tensor, lengths: Sequence[int]) -> Tensor:
        if self.reduces:
            return super().forward(x, lengths)
        videos_of(x, lengths)
        return self._finished([self._nodes(linear(x), lengths) for linear in self.maps])

    def reduce(self, x: Tensor, lengths: Sequence[int]) -> Tensor:
        """Nodes ``[B, N, D]``."""
        videos_of(x, lengths)
        return self._nodes(x, lengths)

    def finish(self, reduced: Tensor) -> Tensor:
        return self._finished([linear(reduced) for linear in self.maps])

    def _nodes(self, x: Tensor, lengths: Sequence[int]) -> Tensor:
        """``[B, N, …]``."""
        videos = x.split(list(lengths)) if lengths else ()
        if not videos:
            return x.new_zeros(0, 2**self.levels - 1, x.shape[1]) + x.sum()
        if self.rank is not None:
            bounds = [node_bounds(len(video), self.levels).tolist() for video in videos]
            parts = [video[a:b] for video, own in zip(videos, bounds, strict=True) for a, b in own]
            return rank_pooled(self.rank, parts).view(len(videos), 2**self.levels - 1, -1)
        if self.node == "mean":
            return torch.stack([node_means(video, self.levels) for video in videos])
        return torch.stack([pool_nodes(video, self.levels, max_pool) for video in videos])

    def _finished(self, nodes: Sequence[Tensor]) -> Tensor:
        """``[B, dim]`` from the nodes of every pyramid."""
        weighed = [beta[:, None] * one for one, beta in zip(nodes, self.beta, strict=True)]
        merged = [one.flatten(1) if self.merge == "concat" else one.sum(1) for one in weighed]
        z = torch.cat(merged, dim=1)
        if self.joint is not None:
            z = torch.relu(self.joint(z))
        return z if self.norm is None else self.norm(z)
