"""Approximate rank pooling of a video."""

import torch
from torch import Tensor

from vidfeat.encoders.base import TemporalEncoder, vectors_only
from vidfeat.encoders.rank import REVERSE
from vidfeat.pooling.approximate import approximate_rank_pool
from vidfeat.pooling.normalise import l2_normalise
from vidfeat.pooling.preparation import check_preparation, prepare_frames


class ApproximateRankPool(TemporalEncoder):
    """u = Σ_t (2t − T − 1) m_t: one step towards rank pooling instead of its optimum, at the price of a mean.

    Args:
        smooth: m_t = (1/t) Σ_{τ≤t} x_τ, which makes u = Σ_t a_t x_t with the weights a_t of
            :func:`vidfeat.pooling.approximate_weights`; else m_t = x_t.
        map: pointwise map of m_t: ``none``, ``ssr`` or ``posneg`` (twice as wide).
        direction: ``forward``, ``reverse``, or ``both`` side by side.
        normalize: L2-normalise the code; with ``both``, each half.

    A video of one frame gives zero.

    Source: H. Bilen, B. Fernando, E. Gavves, A. Vedaldi, S. Gould, *Dynamic Image Networks for Action Recognition*,
    2016.
    """

    def __init__(self, smooth=True, map="none", direction="forward", normalize=True):
        self.smooth = smooth
        self.map = map
        self.direction = direction
        self.normalize = normalize

    def _check_parameters(self) -> None:
        check_preparation(self.map, self.direction)

    def _code(self, frames: Tensor) -> Tensor:
        x = vectors_only(frames, "approximate rank pooling")
        halves = [self._pooled(x.flip(0) if back else x) for back in REVERSE[self.direction]]
        return torch.cat([l2_normalise(u) if self.normalize else u for u in halves])

    def _pooled(self, x: Tensor) -> Tensor:
        if self.smooth and self.map == "none":
            return approximate_rank_pool(x.to(torch.float64))
        m = prepare_frames(x, self.smooth, self.map, normalize_frames=False)
        return torch.arange(1 - len(m), len(m), 2, dtype=torch.float64) @ m
