"""Rank pooling of a video, with the preparation of its frames."""

import torch
from torch import Tensor

from vidfeat.encoders.base import TemporalEncoder, vectors_only
from vidfeat.errors import UsageError
from vidfeat.pooling.normalise import MAPS, feature_map, l2_normalise
from vidfeat.pooling.rank import check_rank_parameters, rank_pool
from vidfeat.pooling.smoothing import running_mean

DIRECTIONS = ("forward", "reverse", "both")


class RankPool(TemporalEncoder):
    """The direction that ranks the frames in time: x_t → m_t → map → v_t → u*, as in :func:`vidfeat.pooling.rank_pool`.

    Args:
        C, epsilon: weight of the ranking loss and tolerance in frames.
        smooth: time-varying mean m_t = (1/t) Σ_{τ≤t} x_τ first.
        map: pointwise map of m_t: ``none``, ``ssr`` (signed square root) or ``posneg`` (2D wide).
        normalize_frames: v_t = m_t / ‖m_t‖₂, frame by frame; zero frames stay zero.
        direction: ``forward``; ``reverse``, which reverses the frames before smoothing; ``both`` side by side.
        normalize: L2-normalise the code, for a linear SVM; with ``both``, each half.

    Code: ``[D]``, twice as wide for ``posneg``, twice for ``both``.

    Source: B. Fernando, S. Gould, *Learning End-to-end Video Classification with Rank-Pooling*, 2016, Eq. 5, section
    4.2. Both directions: B. Fernando, E. Gavves, J. Oramas, A. Ghodrati, T. Tuytelaars, *Modeling Video Evolution
    for Action Recognition*, 2015.
    """

    def __init__(
        self,
        C=2.0,
        epsilon=0.1,
        smooth=True,
        map="none",
        normalize_frames=True,
        direction="forward",
        normalize=True,
    ):
        self.C = C
        self.epsilon = epsilon
        self.smooth = smooth
        self.map = map
        self.normalize_frames = normalize_frames
        self.direction = direction
        self.normalize = normalize

    def _check_parameters(self) -> None:
        check_rank_parameters(self.C, self.epsilon)
        for name, value, allowed in (("map", self.map, MAPS), ("direction", self.direction, DIRECTIONS)):
            if value not in allowed:
                raise UsageError(f"{name}={value!r} is unknown. Allowed: {', '.join(allowed)}.")

    def _code(self, frames: Tensor) -> Tensor:
        x = vectors_only(frames, "rank pooling")
        orders = {"forward": [x], "reverse": [x.flip(0)], "both": [x, x.flip(0)]}[self.direction]
        return torch.cat([self._pooled(order) for order in orders])

    def _pooled(self, x: Tensor) -> Tensor:
        v = feature_map(running_mean(x, torch.float64) if self.smooth else x.to(torch.float64), self.map)
        u = rank_pool(l2_normalise(v) if self.normalize_frames else v, self.C, self.epsilon)
        return l2_normalise(u) if self.normalize else u
