"""Temporal pyramid over any other temporal encoder."""

from collections.abc import Sequence

import numpy as np
from sklearn.base import clone
from torch import Tensor

from vidfeat.encoders.approximate import ApproximateRankPool
from vidfeat.encoders.base import TemporalEncoder, finite_codes, frames_of, naming
from vidfeat.encoders.hierarchical import HierarchicalRankPool
from vidfeat.encoders.local import LocalEncoder
from vidfeat.encoders.moments import AveragePool, MaxPool
from vidfeat.encoders.rank import RankPool
from vidfeat.errors import UsageError
from vidfeat.pooling.normalise import l2_normalise
from vidfeat.pooling.pyramid import check_levels, node_bounds, node_means, pool_nodes

POOLS = {
    "avg": AveragePool,
    "max": MaxPool,
    "rankpool": RankPool,
    "approx-rankpool": ApproximateRankPool,
    "hier-rankpool": HierarchicalRankPool,
}


class TemporalPyramid(TemporalEncoder):
    """Codes of the whole video, its halves, its quarters, … side by side: 2^L − 1 nodes.

    Args:
        levels: L; 1 is the whole video alone.
        pool: encoder of one node: ``avg``, ``max``, ``rankpool``, ``approx-rankpool``, ``hier-rankpool``, or an encoder
            object; one of local features must be fitted. Its ``normalize`` decides
            whether every node is L2-normalised on its own (so by default, and then all nodes weigh the same).
        normalize: L2-normalise the whole code.

    Attributes:
        blocks_: after ``fit`` on at least one video, int64 ``[2^L − 1, 3]``, rows (node, start, stop): node, from 0,
            level by level, is columns start…stop − 1 of the code.

    For a video shorter than a level has nodes, nodes overlap. With rank pooling, smoothing restarts in every node.
    """

    def __init__(self, levels=3, pool="avg", normalize=True):
        self.levels = levels
        self.pool = pool
        self.normalize = normalize

    def fit(self, X, y=None):
        """Check the parameters, and learn the width of a node from the first video."""
        super().fit(X, y)
        if len(X) == 0:
            raise UsageError("A temporal pyramid learns the width of its nodes from a video, but the list is empty.")
        nodes = 2**self.levels - 1
        edges = np.arange(nodes + 1) * (len(self._encode(X[0], "Video 0")) // nodes)
        self.blocks_ = np.column_stack([np.arange(nodes), edges[:-1], edges[1:]])
        return self

    def path(self, video, C: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
        """As :meth:`RankPool.path`, for a pyramid of rank pooling; the order error is that of the whole video."""
        self._check_parameters()
        if not isinstance(self._node_encoder(), RankPool):
            raise UsageError(f"pool={self.pool!r} has no weight C; several values need pool='rankpool'.")
        with naming("The video"):
            codes, errors = self._path(frames_of(video), C)
            return finite_codes(codes), errors

    def _frames(self, video) -> Tensor:
        return self._node_encoder()._frames(video)

    def _check_parameters(self) -> None:
        check_levels(self.levels)
        self._node_encoder()._check_parameters()

    def _node_encoder(self) -> TemporalEncoder:
        if isinstance(self.pool, LocalEncoder):
            return self.pool  # with what it has learnt
        if isinstance(self.pool, TemporalEncoder) and not isinstance(self.pool, TemporalPyramid):
            return clone(self.pool)
        if not isinstance(self.pool, str) or self.pool not in POOLS:
            raise UsageError(f"pool={self.pool!r} is unknown. Allowed: {', '.join(POOLS)}, or a temporal encoder.")
        return POOLS[self.pool]()

    def _code(self, frames: Tensor) -> Tensor:
        encoder = self._node_encoder()
        if isinstance(encoder, RankPool):
            return self._path(frames, [encoder.C])[0][0]
        if isinstance(encoder, AveragePool):
            nodes = node_means(frames, self.levels).flatten(1)  # one prefix sum instead of L passes
            nodes = l2_normalise(nodes) if encoder.normalize else nodes
        else:
            nodes = pool_nodes(frames, self.levels, encoder._code)
        code = nodes.flatten()
        return l2_normalise(code) if self.normalize else code

    def _path(self, frames: Tensor, C: Sequence[float]) -> tuple[Tensor, np.ndarray]:
        """One Gram matrix serves all nodes, directions and values of C."""
        bounds = [tuple(bound) for bound in node_bounds(len(frames), self.levels).tolist()]
        codes, errors = self._node_encoder()._node_codes(frames, bounds, C)
        codes = codes.flatten(1)
        return l2_normalise(codes) if self.normalize else codes, errors[:, 0]
