"""Rank pooling of a video, with the preparation of its frames."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from vidfeat.encoders.base import TemporalEncoder, finite_codes, frames_of, naming, vectors_only
from vidfeat.metrics import temporal_order_error
from vidfeat.pooling.normalise import l2_normalise
from vidfeat.pooling.preparation import check_preparation
from vidfeat.pooling.rank import check_rank_parameters
from vidfeat.pooling.rank_windows import rank_pool_windows

REVERSE = {"forward": (False,), "reverse": (True,), "both": (False, True)}


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

    def path(self, video, C: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
        """The codes of one video for several values of C, from one Gram matrix, each from the solution before it.

        Returns:
            Codes float32 ``[values of C, D']``, and the temporal order error ``[values of C]``: the share of pairs of
            frames that u·v_t puts in the wrong order, the mean of both directions for ``both``; NaN for one frame.
        """
        self._check_parameters()
        with naming("The video"):
            codes, errors = self._path(frames_of(video), C)
            return finite_codes(codes), errors

    def _check_parameters(self) -> None:
        check_rank_parameters(self.C, self.epsilon)
        check_preparation(self.map, self.direction)

    def _code(self, frames: Tensor) -> Tensor:
        return self._node_codes(frames, [(0, len(frames))], [self.C])[0][0, 0]

    def _path(self, frames: Tensor, C: Sequence[float]) -> tuple[Tensor, np.ndarray]:
        codes, errors = self._node_codes(frames, [(0, len(frames))], C)
        return codes[:, 0], errors[:, 0]

    def _node_codes(
        self, frames: Tensor, nodes: Sequence[tuple[int, int]], C: Sequence[float]
    ) -> tuple[Tensor, np.ndarray]:
        """Codes ``[values of C, nodes, D']`` and order errors ``[values of C, nodes]`` of parts of a video."""
        directions = REVERSE[self.direction]
        pooled = rank_pool_windows(
            vectors_only(frames, "rank pooling"), nodes, C, self.epsilon, smooth=self.smooth, map=self.map,
            normalize_frames=self.normalize_frames, reverse=directions,
        )  # fmt: skip
        u = torch.stack([one.u for one in pooled], dim=1)  # [values of C, nodes · directions, D']
        codes = (l2_normalise(u) if self.normalize else u).reshape(len(C), len(nodes), -1)
        errors = [[temporal_order_error(scores) for scores in one.scores.numpy()] for one in pooled]
        return codes, np.reshape(errors, (len(nodes), len(directions), len(C))).mean(axis=1).T
