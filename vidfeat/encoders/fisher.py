"""Fisher vectors."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from vidfeat.codebooks import gmm
from vidfeat.encoders.local import LocalEncoder
from vidfeat.pooling.normalise import feature_map


class FisherVector(LocalEncoder):
    """Gradient of the log-likelihood of local features under a Gaussian mixture, by its means and deviations: 2Kd
    numbers, all G_μ before all G_σ.

        G_μ = Σ_x γ(x) (x − μ)/σ / (n √π),    G_σ = Σ_x γ(x) [((x − μ)/σ)² − 1] / (n √(2π))

    for every Gaussian of weight π, mean μ and deviations σ, with the posteriors γ.

    Args:
        n_words: Gaussians K.
        norm: ``ssr``, signed square roots (together with L2 the *improved* Fisher vector), or ``none``.
        n_components: reduce local features to so many numbers d by PCA; None leaves them.
        local_norm, per, pool, normalize, samples, seed, device: as :class:`~vidfeat.encoders.VLAD`.

    Attributes:
        weights_, means_, variances_: π ``[K]``, μ and σ² ``[K, d]``, learnt by ``fit``, or set.

    Source: F. Perronnin, J. Sánchez, T. Mensink, *Improving the Fisher Kernel for Large-Scale Image Classification*,
    2010.
    """

    _learned = ("weights_", "variances_", "means_")
    _norms = ("ssr", "none")

    def __init__(
        self,
        n_words=256,
        norm="ssr",
        local_norm=True,
        n_components=64,
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
        return 2 * np.asarray(self.means_).size

    def _train(self, rows: Tensor, progress: Any) -> None:
        found = gmm(rows, self.n_words, seed=self.seed, device=self.device, progress=progress)
        self.weights_, self.means_, self.variances_ = found.weights, found.means, found.variances

    def _statistics(self, rows: Tensor) -> Tensor:
        """``[B, K, 2d + 1]``: Σγ(x − m), Σγ(x − m)² and Σγ, with m the mean of the mixture.

        Distances are products of matrices; relative to m they lose few digits.
        """
        weights, means, variances = self._mixture(rows.device, rows.dtype)
        middle = self._middle().to(rows)
        rows, means = rows - middle, means - middle
        both = torch.cat([rows, rows.square()], -1)
        factors = torch.cat([means / variances, -0.5 / variances], 1)
        constant = weights.log() - 0.5 * (variances.log() + means.square() / variances).sum(1)
        posteriors = torch.softmax(torch.addmm(constant, both.flatten(0, 1), factors.T), 1).unflatten(0, rows.shape[:2])
        sums = posteriors.transpose(1, 2) @ both
        return torch.cat([sums, posteriors.sum(1)[..., None]], -1)

    def _codes(self, statistics: Tensor) -> Tensor:
        weights, means, variances = self._mixture(statistics.device, torch.float64)
        means = means - self._middle().to(statistics.device)
        first, second = statistics[..., :-1].chunk(2, -1)
        zeroth = statistics[..., -1:]
        count = zeroth.sum(1, keepdim=True)
        by_mean = (first - zeroth * means) / variances.sqrt() / (count * weights[:, None].sqrt())
        spread = (second - 2 * means * first + zeroth * (means.square() - variances)) / variances
        by_deviation = spread / (count * (2 * weights[:, None]).sqrt())
        return feature_map(torch.cat([by_mean.flatten(1), by_deviation.flatten(1)], 1), self.norm)

    def _mixture(self, device: Any, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
        parts = (self.weights_, self.means_, self.variances_)
        return tuple(torch.as_tensor(np.asarray(part, np.float64), device=device).to(dtype) for part in parts)

    def _middle(self) -> Tensor:
        """Mean of the mixture ``[d]``, float64."""
        return torch.from_numpy(np.asarray(self.weights_, np.float64) @ np.asarray(self.means_, np.float64))
