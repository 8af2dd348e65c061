"""Bags of visual words."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from vidfeat.codebooks import kmeans
from vidfeat.codebooks.kmeans_steps import Prepared, prepare_centers
from vidfeat.encoders.local import LocalEncoder
from vidfeat.encoders.vlad import nearest_words, word_scores
from vidfeat.errors import UsageError
from vidfeat.pooling.normalise import feature_map

ASSIGNMENTS = ("hard", "soft")


class BagOfWords(LocalEncoder):
    """Histogram over visual words, as shares of all local features: k numbers.

        hard: h_i = |{x nearest to c_i}| / n
        soft: h_i = (1/n) Σ_x exp(−‖x − c_i‖²/2σ²) / Σ_j exp(−‖x − c_j‖²/2σ²)

    Args:
        n_words: k.
        assignment: ``hard`` or ``soft``.
        sigma: width σ of soft assignment; None for the root mean square distance of the training samples from their
            nearest word.
        norm: ``ssr`` takes square roots, after which a linear kernel is the Hellinger kernel of the histograms;
            ``none`` leaves the shares.
        local_norm, n_components, per, pool, normalize, samples, seed, device: as :class:`~vidfeat.encoders.VLAD`.

    Attributes:
        centers_: words c ``[k, d]``, learnt by ``fit``, or set.
        sigma_: σ.

    Sources: J. Sivic, A. Zisserman, *Video Google: A Text Retrieval Approach to Object Matching in Videos*, 2003;
    J. van Gemert, J.-M. Geusebroek, C. Veenman, A. Smeulders, *Kernel Codebooks for Scene Categorization*, 2008 (soft).
    """

    _learned = ("sigma_", "centers_")
    _norms = ("ssr", "none")

    def __init__(
        self,
        n_words=1000,
        assignment="hard",
        sigma=None,
        norm="ssr",
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
        self.assignment = assignment
        self.sigma = sigma
        self.norm = norm
        self.local_norm = local_norm
        self.n_components = n_components
        self.per = per
        self.pool = pool
        self.normalize = normalize
        self.samples = samples
        self.seed = seed
        self.device = device

    def _check_parameters(self) -> None:
        super()._check_parameters()
        if self.assignment not in ASSIGNMENTS:
            raise UsageError(f"assignment={self.assignment!r} is unknown. Allowed: {', '.join(ASSIGNMENTS)}.")
        if self.sigma is not None and not 0 < self.sigma < np.inf:
            raise UsageError(f"sigma={self.sigma!r}; it must be a number above 0, or None.")

    @property
    def code_length(self) -> int:
        return len(self.centers_)

    def _train(self, rows: Tensor, progress: Any) -> None:
        found = kmeans(rows, self.n_words, seed=self.seed, device=self.device, progress=progress)
        self.centers_ = found.centers
        spread = np.sqrt(found.objective[-1] / len(rows))
        self.sigma_ = np.float64(self.sigma or spread or 1.0)  # all samples are words: any width

    def _codebook(self, device: torch.device) -> Prepared:
        return prepare_centers(self.centers_, device)

    def _statistics(self, rows: Tensor, codebook: Prepared) -> Tensor:
        """``[B, k + 1]``: features of each word, and of all."""
        sets, each, _ = rows.shape
        k = len(self.centers_)
        if self.assignment == "hard":
            words = nearest_words(rows, codebook) + k * torch.arange(sets, device=rows.device)[:, None]
            counts = torch.bincount(words.flatten(), minlength=sets * k).view(sets, -1).to(torch.float32)
        else:
            scores = word_scores(rows, codebook) / float(self.sigma_) ** 2
            counts = torch.softmax(scores, 1).view(sets, each, -1).sum(1)
        return torch.cat([counts, counts.new_full((sets, 1), each)], 1)

    def _codes(self, statistics: Tensor) -> Tensor:
        shares = statistics[:, :-1] / statistics[:, -1:]
        return feature_map(shares, self.norm)
