"""The deep temporal pyramid: nodes weighed by a learnt β on the simplex."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from vidfeat.errors import UsageError
from vidfeat.networks.batch_norm import VideoBatchNorm
from vidfeat.networks.pools import Pooling, videos_of
from vidfeat.networks.values import drawn_linear
from vidfeat.pooling.moments import max_pool
from vidfeat.pooling.preparation import check_choice
from vidfeat.pooling.pyramid import node_means, pool_nodes
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

    def forward(self, x: Tensor, lengths: Sequence[int]) -> Tensor:
        videos = videos_of(x, lengths)
        z = self.pooled(x, videos) if videos else x.new_zeros(0, self.merged) + x.sum()
        if self.joint is not None:
            z = torch.relu(self.joint(z))
        return z if self.norm is None else self.norm(z)

    def pooled(self, x: Tensor, videos: Sequence[Tensor]) -> Tensor:
        lengths = [len(video) for video in videos]
        means = torch.stack([node_means(video, self.levels) for video in videos]) if self.node == "mean" else None
        merged = []
        for linear, beta in zip(self.maps, self.beta, strict=True):
            if means is not None:
                nodes = linear(means)
            else:
                pool = max_pool if self.rank is None else self.rank
                mapped = linear(x).split(lengths)
                nodes = torch.stack([pool_nodes(video, self.levels, pool) for video in mapped])
            weighed = beta[:, None] * nodes
            merged.append(weighed.flatten(1) if self.merge == "concat" else weighed.sum(1))
        return torch.cat(merged, dim=1)
