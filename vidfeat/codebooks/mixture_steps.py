"""One pass of a Gaussian mixture over all rows, as products of [x, x²] with matrices.

With diagonal covariances, ln π_k N(x; μ_k, σ_k²) is linear in x and x², so that one product gives it for all samples
and components of a block, and another one the sums that the next mixture is made of. Those products are float32; what
they lose to cancellation is kept small by taking every dimension from its mean and in units of its deviation.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from vidfeat.codebooks.rows import Rows, Run, Span


@dataclass(frozen=True)
class Units:
    """x̂ = (x − mean) / scale, per dimension; float64 ``[d]``."""

    mean: np.ndarray
    scale: np.ndarray


@dataclass(frozen=True)
class Sums:
    """Over all rows, with the posteriors γ of each: Σγ ``[k]``, Σγx̂ and Σγx̂² ``[k, d]``, Σ ln p(x̂); float64."""

    counts: np.ndarray
    first: np.ndarray
    second: np.ndarray
    log_likelihood: float


class Posteriors:
    """γ_k(x) ∝ π_k N(x̂; μ_k, σ_k²) of blocks of rows, for weights ``[k]``, means and variances ``[k, d]`` in units."""

    def __init__(self, weights: np.ndarray, means: np.ndarray, variances: np.ndarray, device: torch.device):
        self.k = len(means)
        linear = np.concatenate([means / variances, -0.5 / variances], axis=1)
        constant = np.log(weights) - 0.5 * (np.log(2 * math.pi * variances) + means**2 / variances).sum(axis=1)
        self.linear, self.constant = _to(linear.T, device), _to(constant, device)

    def __call__(self, augmented: Tensor, start: int, out: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """γ ``[n, k]`` and ln p(x̂) ``[n, 1]`` of rows ``[x̂, x̂²]``, of which the first has number ``start``."""
        scores = torch.addmm(self.constant, augmented, self.linear, out=out)
        largest = scores.amax(dim=1, keepdim=True)
        total = scores.sub_(largest).exp_().sum(dim=1, keepdim=True)
        return scores.div_(total), largest.add_(total.log_())


class Words:
    """Posteriors that are 1 for one component of each row, given by ``words [n]``, and 0 for the others."""

    def __init__(self, words: np.ndarray, k: int, device: torch.device):
        self.words, self.k = torch.from_numpy(words).to(device), k

    def __call__(self, augmented: Tensor, start: int, out: Tensor | None = None) -> tuple[Tensor, Tensor]:
        words = self.words[start : start + len(augmented), None]
        gamma = augmented.new_zeros(len(augmented), self.k) if out is None else out.zero_()
        return gamma.scatter_(1, words, 1.0), augmented.new_zeros(len(augmented), 1)


class Augmented:
    """Blocks of rows as ``[x̂, x̂²]``, float32 ``[n, 2 d]``."""

    def __init__(self, rows: Rows, units: Units):
        self.rows = rows
        self.mean, self.inverse = _to(units.mean, rows.device), _to(1.0 / units.scale, rows.device)

    def block(self, start: int, stop: int, memory: Tensor | None = None) -> Tensor:
        d = self.rows.d
        if memory is None:
            memory = torch.empty(stop - start, 2 * d, device=self.rows.device)
        linear, squares = memory[: stop - start, :d], memory[: stop - start, d:]
        torch.sub(self.rows.block(start, stop), self.mean, out=linear).mul_(self.inverse)
        torch.mul(linear, linear, out=squares)
        return memory[: stop - start]


def sums_of(rows: Rows, units: Units, posteriors: Posteriors | Words, run: Run) -> Sums:
    """One pass over the rows."""
    k, d = posteriors.k, rows.d
    augmented = Augmented(rows, units)
    counts, moments, log_likelihood = np.zeros(k), np.zeros((k, 2 * d)), 0.0
    parts = rows.parts(2 * d + k, sums=2 * k * d)
    for part in run(lambda spans: _part(augmented, posteriors, spans), parts):
        counts += part[0]
        moments += part[1]
        log_likelihood += part[2]
    return Sums(counts, moments[:, :d], moments[:, d:], log_likelihood)


def _part(augmented: Augmented, posteriors: Posteriors | Words, spans: list[Span]) -> tuple:
    device, k, width = augmented.rows.device, posteriors.k, 2 * augmented.rows.d
    most = max(stop - start for start, stop in spans)
    x_memory, gamma_memory = (torch.empty(most, size, device=device) for size in (width, k))
    counts = torch.zeros(k, dtype=torch.float64, device=device)
    moments = torch.zeros(k, width, dtype=torch.float64, device=device)
    log_likelihood = torch.zeros((), dtype=torch.float64, device=device)
    for start, stop in spans:
        x = augmented.block(start, stop, x_memory)
        gamma, values = posteriors(x, start, gamma_memory[: stop - start])
        counts += gamma.sum(dim=0)
        moments += gamma.T @ x
        log_likelihood += values.sum(dtype=torch.float64)
    return counts.cpu().numpy(), moments.cpu().numpy(), float(log_likelihood)


def _to(values: np.ndarray, device: torch.device) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32)).to(device)
