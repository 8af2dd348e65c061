"""Vectors of locally aggregated descriptors."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from vidfeat.codebooks import kmeans
from vidfeat.encoders.local import LocalEncoder
from vidfeat.pooling.normalise import feature_map, l2_normalise

# Of a word, as a share: words and sums within a block are float32.
_ROUNDING = 1e-6


class VLAD(LocalEncoder):
    """Residuals of local features to their nearest visual word, summed up word by word: k·d numbers.

        v_i = Σ_{x nearest to c_i} (x − c_i)

    Args:
        n_words: k.
        norm: of the words' sums: ``intra`` L2-normalises each (an empty word stays 0), ``ssr`` takes signed square
            roots, ``none`` leaves them.
        local_norm: L2-normalise local features first.
        n_components: reduce local features to so many numbers by PCA; None leaves them.
        per: ``item``, all frames in one code; or ``frame``, one code for each, which are then pooled.
        pool: how codes of frames are pooled: ``avg`` or ``max``.
        normalize: L2-normalise the code, and with per="frame" those of the frames too.
        samples: local features that ``fit`` draws.
        seed: of drawing and k-means.
        device: to compute on.

    Attributes:
        centers_: words c ``[k, d]``, learnt by ``fit``, or set.

    Sources: H. Jégou, M. Douze, C. Schmid, P. Pérez, *Aggregating Local Descriptors into a Compact Image
    Representation*, 2010; R. Arandjelović, A. Zisserman, *All about VLAD*, 2013 (intra-normalisation).
    """

    _learned = ("centers_",)
    _norms = ("intra", "ssr", "none")

    def __init__(
        self,
        n_words=100,
        norm="intra",
        local_norm=True,
        n_components=None,
        per="item",
        pool="avg",
        normalize=True,
        samples=200_000,
        seed=0,
        device="cpu",
    ):
        self.n_words = n_words
        self.norm = norm
        self.local_norm = local_norm
        self.n_components = n_components
        self.per = per
        self.pool = pool
        self.normalize = normalize
        self.samples = samples
        self.seed = seed
        self.device = device

    @property
    def code_length(self) -> int:
        return np.asarray(self.centers_).size

    def _train(self, rows: Tensor, progress: Any) -> None:
        found = kmeans(rows, self.n_words, seed=self.seed, device=self.device, progress=progress)
        self.centers_ = found.centers

    def _statistics(self, rows: Tensor) -> Tensor:
        """``[B, k, d + 1]``: sums of the features of each word, and their number."""
        sets, _, width = rows.shape
        centers = torch.as_tensor(np.asarray(self.centers_, np.float32), device=rows.device)
        words = nearest_words(rows, centers)
        words += len(centers) * torch.arange(sets, device=rows.device)[:, None]
        words = words.flatten()
        sums = rows.new_zeros(sets * len(centers), width).index_add_(0, words, rows.reshape(-1, width))
        counts = torch.bincount(words, minlength=sets * len(centers))[:, None]
        return torch.cat([sums, counts.to(sums.dtype)], 1).unflatten(0, (sets, -1))

    def _codes(self, statistics: Tensor) -> Tensor:
        centers = torch.as_tensor(np.asarray(self.centers_, np.float64), device=statistics.device)
        residuals = statistics[..., :-1] - statistics[..., -1:] * centers
        # On the very features that a word is the mean of they vanish; what rounding leaves must not be scaled to 1.
        lengths = torch.linalg.vector_norm(residuals, dim=-1, keepdim=True)
        rounding = _ROUNDING * statistics[..., -1:] * torch.linalg.vector_norm(centers, dim=-1, keepdim=True)
        residuals = torch.where(lengths > rounding, residuals, 0.0)
        if self.norm == "intra":
            residuals = l2_normalise(residuals)
        return feature_map(residuals.flatten(1), "ssr" if self.norm == "ssr" else "none")


def nearest_words(rows: Tensor, centers: Tensor) -> Tensor:
    """Of local features ``[B, P, d]`` the nearest centre, ``[B, P]``: the largest x·c − ‖c‖²/2."""
    flat = rows.reshape(-1, rows.shape[-1])
    return torch.addmm(centers.square().sum(1) / -2, flat, centers.T).argmax(1).view(rows.shape[:2])
