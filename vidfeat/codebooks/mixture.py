"""Gaussian mixtures with diagonal covariances, by expectation maximisation: codebooks of Fisher vectors."""

import math
from dataclasses import dataclass

import numpy as np

from vidfeat.codebooks.kmeans_steps import nearest_centers
from vidfeat.codebooks.lloyd import Progress, check_tolerance, check_whole, lloyd
from vidfeat.codebooks.mixture_steps import Augmented, Posteriors, Sums, Units, Words, sums_of
from vidfeat.codebooks.rows import Rows, Run, Span, threads
from vidfeat.errors import UsageError
from vidfeat.precision import check_device

_START_ITERATIONS = 10  # of k-means
# A component with less than this many samples is given half of the heaviest one.
_STARVED = 0.5
# Variances are differences of float32 products: of a component three deviations off, they are right to 0.5 % at 1e-4
# of the variance of all samples, and to nothing below this.
_LEAST_FLOOR = 1e-6


@dataclass(frozen=True)
class GMM:
    """p(x) = Σ_k π_k Π_j N(x_j; μ_kj, σ_kj²), and how it was found; arrays are float64."""

    weights: np.ndarray  # π [k], positive, of sum 1
    means: np.ndarray  # μ [k, d]
    variances: np.ndarray  # σ² [k, d]
    log_likelihood: tuple[float, ...] = ()  # mean ln p(x) over the samples at the beginning of each iteration


def gmm(
    samples,
    k: int,
    *,
    iterations: int = 100,
    seed: int = 0,
    tolerance: float = 1e-3,
    variance_floor: float = 1e-4,
    device: str = "cpu",
    progress: Progress | None = None,
) -> GMM:
    """A mixture of k Gaussians with diagonal covariances that makes the samples likely, by expectation maximisation.

        γ_ik = π_k N(x_i; μ_k, σ_k²) / Σ_l π_l N(x_i; μ_l, σ_l²),       N_k = Σ_i γ_ik
        π_k = N_k / n,   μ_k = Σ_i γ_ik x_i / N_k,   σ_k² = max(Σ_i γ_ik x_i² / N_k − μ_k², floor)

    γ is computed in the log domain. It starts from the clusters of :func:`~vidfeat.codebooks.kmeans` after at most 10
    iterations: their shares, means and variances. A component left with less than half a sample takes half of the
    heaviest one. Products are float32, of samples in units of each dimension's mean and deviation, their sums float64.

    Args:
        samples: ``[n, d]``, n ≥ k, as for :func:`~vidfeat.codebooks.kmeans`; read block by block in every iteration.
        k: number of Gaussians, ≥ 1.
        iterations: at most so many, ≥ 1.
        seed: of the start, an integer ≥ 0.
        tolerance: ends when an iteration raises the mean log-likelihood per sample by at most this, in nats, ≥ 0.
        variance_floor: lower bound on variances, as a share of the samples' own variance in the same dimension, 1e-6
            to 1. A dimension in which all samples are equal counts with the mean variance of the others.
        device: ``cpu``, with as many threads as torch uses, or ``cuda``, ``cuda:N``.
        progress: called after each iteration with its number, from 1, and its mean log-likelihood.

    Returns:
        A :class:`GMM`.

    Raises:
        UsageError: fewer samples than k, NaN or infinite samples, another shape or type, a parameter out of range.

    Source: C. Bishop, *Pattern Recognition and Machine Learning*, 2006, Eq. 9.23 to 9.27. A floor of 1e-4 is that of
    VLFeat's recipe for Fisher vectors, which takes the largest variance of all dimensions for each of them.
    """
    check_whole(k, "k", "the number of Gaussians", 1)
    check_whole(iterations, "iterations", "the most iterations", 1)
    check_whole(seed, "seed", "the seed of the random numbers", 0)
    check_tolerance(tolerance)
    if not _LEAST_FLOOR <= variance_floor <= 1:
        raise UsageError(
            f"variance_floor={variance_floor} is not allowed: it is a share of the samples' variance, "
            f"{_LEAST_FLOOR:.0e} to 1."
        )
    rows = Rows(samples, check_device(device))
    if rows.n < k:
        raise UsageError(f"{k} Gaussians need at least as many samples, but there are {rows.n}: lower k or add some.")
    with threads(rows.device) as run:
        units = _units_of(rows, run)
        mixture = start(rows, units, k, seed, variance_floor, run)
        found: list[float] = []
        for iteration in range(1, iterations + 1):
            sums = sums_of(rows, units, Posteriors(*mixture, rows.device), run)
            mixture, revived = maximise(sums, rows.n, variance_floor)
            found.append(sums.log_likelihood / rows.n - float(np.log(units.scale).sum()))
            if progress is not None:
                progress(iteration, found[-1])
            if iteration > 1 and not revived and found[-1] - found[-2] <= tolerance:
                break
    weights, means, variances = mixture
    return GMM(weights, units.mean + units.scale * means, units.scale**2 * variances, tuple(found))


def posteriors(samples, gmm: GMM, *, device: str = "cpu") -> tuple[np.ndarray, np.ndarray]:
    """ln p(x), float32 ``[n]``, and γ, float32 ``[n, k]``, of ``samples [n, d]``.

    Raises:
        UsageError: NaN or infinite samples, another shape or type than for :func:`gmm`, a different d.
    """
    rows, units, mixture = _in_units(samples, gmm, device)
    log_likelihood, gamma = np.empty(rows.n, np.float32), np.empty((rows.n, len(gmm.weights)), np.float32)
    augmented, of_block = Augmented(rows, units), Posteriors(*mixture, rows.device)
    shift = float(np.log(units.scale).sum())

    def work(spans: list[Span]) -> None:
        for begin, end in spans:
            block, values = of_block(augmented.block(begin, end), begin)
            gamma[begin:end] = block.cpu().numpy()
            log_likelihood[begin:end] = values[:, 0].cpu().numpy() - shift

    with threads(rows.device) as run:
        for _ in run(work, rows.parts(2 * rows.d + len(gmm.weights))):
            pass
    if not np.isfinite(log_likelihood).all():
        raise rows.not_finite()
    return log_likelihood, gamma


def start(rows: Rows, units: Units, k: int, seed: int, variance_floor: float, run: Run) -> tuple[np.ndarray, ...]:
    """Weights, means and variances of the clusters of k-means, in units."""
    centers = lloyd(rows, k, _START_ITERATIONS, seed, 0.0, None, run).centers
    words, _ = nearest_centers(rows, centers, run)
    sums = sums_of(rows, units, Words(words, k, rows.device), run)
    return maximise(sums, rows.n, variance_floor)[0]


def maximise(sums: Sums, n: int, variance_floor: float) -> tuple[tuple[np.ndarray, ...], bool]:
    """The mixture that ``sums`` call for, in units, and whether a component had to be given part of another."""
    counts = sums.counts.copy()
    starved = np.flatnonzero(counts < _STARVED)
    safe = np.maximum(counts, _STARVED)[:, None]
    means = sums.first / safe
    variances = np.maximum(sums.second / safe - means**2, variance_floor)
    for component in starved:
        heaviest = int(counts.argmax())
        axis = int(variances[heaviest].argmax())
        half = 0.5 * math.sqrt(variances[heaviest, axis])
        counts[heaviest] /= 2
        counts[component] = counts[heaviest]
        means[component], variances[component] = means[heaviest], variances[heaviest]
        means[component, axis] += half
        means[heaviest, axis] -= half
    return (counts / counts.sum(), means, variances), len(starved) > 0


def _units_of(rows: Rows, run: Run) -> Units:
    mean, variance = rows.mean_and_variance(run)
    varies = variance > 0.0
    typical = variance[varies].mean() if varies.any() else 1.0
    return Units(mean, np.sqrt(np.where(varies, variance, typical)))


def _in_units(samples, gmm: GMM, device: str) -> tuple[Rows, Units, tuple[np.ndarray, ...]]:
    """Rows, and the mixture in units of the mean and deviation that it has itself."""
    rows = Rows(samples, check_device(device))
    weights, means, variances = (np.asarray(values, np.float64) for values in (gmm.weights, gmm.means, gmm.variances))
    if means.shape[1] != rows.d:
        raise UsageError(
            f"The samples have {rows.d} dimensions, the mixture {means.shape[1]}: they must be of the same kind."
        )
    mean = weights @ means
    units = Units(mean, np.sqrt(weights @ (variances + (means - mean) ** 2)))
    return rows, units, (weights, (means - units.mean) / units.scale, variances / units.scale**2)
