"""Vectors of locally aggregated descriptors."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from vidfeat.codebooks import kmeans
from vidfeat.codebooks.kmeans_steps import Prepared, prepare_centers
from vidfeat.encoders.local import LocalEncoder
from vidfeat.pooling.normalise import feature_map, l2_normalise

# Of a word, as a share: words and local features are float32.
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

    def _codebook(self, device: torch.device) -> Prepared:
        return prepare_centers(self.centers_, device)

    def _statistics(self, rows: Tensor, codebook: Prepared) -> Tensor:
        """``[B, k, d + 1]``, float64: sums of the features of each word, and their number.

        Residuals are what is left when a multiple of the word is taken off a sum, so that sums in float32 would leave
        their rounding where features are almost equal.
        """
        sets, _, width = rows.shape
        k = len(self.centers_)
        words = nearest_words(rows, codebook)
        words += k * torch.arange(sets, device=rows.device)[:, None]
        sums_of = _sums_compiled if rows.device.type == "cpu" else _sums_torch
        sums, counts = sums_of(words.flatten(), rows.reshape(-1, width), sets * k)
        return torch.cat([sums, counts[:, None].to(torch.float64)], 1).unflatten(0, (sets, -1))

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


def _sums_compiled(words: Tensor, rows: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Sums ``[k, d]``, float64, and number ``[k]`` of the ``rows [n, d]`` of each word ``[n]``."""
    from vidfeat.codebooks.kmeans_kernels import add_rows

    sums, counts = torch.zeros(k, rows.shape[1], dtype=torch.float64), torch.zeros(k, dtype=torch.int64)
    add_rows(words.to(torch.int32).numpy(), rows.contiguous().numpy(), counts.numpy(), sums.numpy())
    return sums, counts


def _sums_torch(words: Tensor, rows: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The same on any device."""
    sums = torch.zeros(k, rows.shape[1], dtype=torch.float64, device=rows.device)
    return sums.index_add_(0, words, rows.to(torch.float64)), torch.bincount(words, minlength=k)


def nearest_words(rows: Tensor, words: Prepared) -> Tensor:
    """Of local features ``[B, P, d]`` the nearest of k ``words``, int64 ``[B, P]``; the first of several."""
    return word_scores(rows, words).argmax(1).view(rows.shape[:2])


def word_scores(rows: Tensor, words: Prepared) -> Tensor:
    """−‖x − c‖²/2 of local features ``[B, P, d]`` and k ``words`` c, but for a part that has no c in it:
    ``[B·P, k]``, float32."""
    shifted, offsets = words
    return torch.addmm(-offsets, rows.reshape(-1, rows.shape[-1]), shifted.T)
