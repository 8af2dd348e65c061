"""Fisher vectors."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from vidfeat.codebooks import gmm
from vidfeat.encoders.local import LocalEncoder
from vidfeat.pooling.normalise import feature_map

# Local features in work at a time: their products stay in the cache of a core.
_ROWS = 512


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

    def _codebook(self, device: torch.device) -> Any:
        parts, middle = self._mixture(device), self._middle().to(device)
        return _Mixture(*parts, middle) if device.type == "cpu" else (*parts, middle)

    def _statistics(self, rows: Tensor, codebook: Any) -> Tensor:
        """``[B, K, 2d + 1]``: Σγ(x − μ)/σ, Σγ((x − μ)/σ)² and Σγ, float64.

        On a CPU, products in float32 find the Gaussians that matter to a local feature; these are then computed
        exactly, from differences. Where a Gaussian is narrow, such products alone would lose all digits.
        """
        if isinstance(codebook, _Mixture):
            return torch.stack([codebook.moments(own) for own in rows])
        return _sums_by_products(rows, *codebook)

    def _codes(self, statistics: Tensor) -> Tensor:
        weights, _, _ = self._mixture(statistics.device)
        first, second = statistics[..., :-1].chunk(2, -1)
        zeroth = statistics[..., -1:]
        count = zeroth.sum(1, keepdim=True)
        by_mean = first / (count * weights[:, None].sqrt())
        by_deviation = (second - zeroth) / (count * (2 * weights[:, None]).sqrt())
        return feature_map(torch.cat([by_mean.flatten(1), by_deviation.flatten(1)], 1), self.norm)

    def _mixture(self, device: Any) -> tuple[Tensor, Tensor, Tensor]:
        parts = (self.weights_, self.means_, self.variances_)
        return tuple(torch.as_tensor(np.asarray(part, np.float64), device=device) for part in parts)

    def _middle(self) -> Tensor:
        """Mean of the mixture ``[d]``, float64."""
        return torch.from_numpy(np.asarray(self.weights_, np.float64) @ np.asarray(self.means_, np.float64))


def _sums_by_products(rows: Tensor, weights: Tensor, means: Tensor, variances: Tensor, middle: Tensor) -> Tensor:
    """The sums of :meth:`FisherVector._statistics` by products of matrices in float64, for a GPU."""
    rows, near = rows.to(torch.float64) - middle, means - middle
    both = torch.cat([rows, rows.square()], -1)
    factors = torch.cat([near / variances, -0.5 / variances], 1)
    constants = weights.log() - 0.5 * (variances.log() + near.square() / variances).sum(1)
    posteriors = torch.softmax(both @ factors.T + constants, -1)
    first, second = (posteriors.transpose(1, 2) @ both).chunk(2, -1)
    zeroth = posteriors.sum(1)[..., None]
    apart = (first - zeroth * near) / variances.sqrt()
    spread = (second - 2 * near * first + zeroth * near.square()) / variances
    return torch.cat([apart, spread, zeroth], -1)


class _Mixture:
    """A mixture as the compiled sums need it."""

    def __init__(self, weights: Tensor, means: Tensor, variances: Tensor, middle: Tensor) -> None:
        near = means - middle
        constants = weights.log() - 0.5 * variances.log().sum(1)
        self._exact = [part.numpy() for part in (means, variances.rsqrt(), constants)]
        factors = torch.cat([near / variances, -0.5 / variances], 1)
        shift = constants - 0.5 * (near.square() / variances).sum(1)
        self._factors, self._shift = factors.to(torch.float32).T.contiguous(), shift.to(torch.float32)
        self._sizes = [part.numpy() for part in (middle.to(torch.float32), factors.abs(), shift.abs())]

    def moments(self, rows: Tensor) -> Tensor:
        """The sums of :func:`~vidfeat.encoders.fisher_kernels.add_moments` over ``rows [n, d]``."""
        from vidfeat.encoders.fisher_kernels import add_moments, prepare

        K, d = self._exact[0].shape
        sums, margins = np.zeros((K, 2 * d + 1)), np.empty(K, np.float32)
        # Written anew for every piece: threads that take new memory wait for each other.
        terms, rough = torch.empty(_ROWS, 2 * d), torch.empty(_ROWS, K)
        for own in rows.split(_ROWS):
            these, products = terms[: len(own)], rough[: len(own)]
            prepare(own.numpy(), *self._sizes, these.numpy(), margins)
            torch.addmm(self._shift, these, self._factors, out=products)
            add_moments(own.numpy(), products.numpy(), margins, *self._exact, sums)
        return torch.from_numpy(sums)
