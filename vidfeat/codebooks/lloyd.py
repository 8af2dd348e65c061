"""k-means: vocabularies of local features, and the word of each feature."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from vidfeat.codebooks.kmeans_steps import cluster_sums, nearest_centers
from vidfeat.codebooks.rows import Rows, Run, threads
from vidfeat.codebooks.seeding import seed_centers
from vidfeat.errors import UsageError
from vidfeat.precision import check_device

Progress = Callable[[int, float], None]


@dataclass(frozen=True)
class KMeans:
    """A vocabulary, and how it was found."""

    centers: np.ndarray  # float32 [k, d]
    counts: np.ndarray  # samples of each centre in the last iteration, int64 [k]
    objective: tuple[float, ...]  # Σ min‖x − c‖² with the centres that each iteration began with

    @property
    def iterations(self) -> int:
        return len(self.objective)


def kmeans(
    samples,
    k: int,
    *,
    iterations: int = 20,
    seed: int = 0,
    tolerance: float = 1e-4,
    device: str = "cpu",
    progress: Progress | None = None,
) -> KMeans:
    """k centres c that make Σ_i min_c ‖x_i − c‖² small, by Lloyd's algorithm from a greedy k-means++ start.

    Every iteration replaces each centre by the mean of the samples nearest to it. A centre that lost all its samples
    moves to one of the samples furthest from theirs. Scores are float32 products, sums and objective float64. Results
    depend on the seed, not on the number of threads (on a CPU, wherever there are several, bit for bit).

    Args:
        samples: ``[n, d]``, n ≥ k, NumPy array, memmap or torch tensor; float16, bfloat16, float32 or float64. Only
            blocks of rows are converted or copied, and distances are held for one block at a time.
        k: number of centres, ≥ 1.
        iterations: at most so many, ≥ 1.
        seed: of the start, an integer ≥ 0.
        tolerance: ends when an iteration lowers the objective by at most this share of it, ≥ 0.
        device: ``cpu``, with as many threads as torch uses, or ``cuda``, ``cuda:N``.
        progress: called after each iteration with its number, from 1, and its objective.

    Returns:
        A :class:`KMeans`. If there are fewer different samples than k, centres occur again, with a count of 0.

    Raises:
        UsageError: fewer samples than k, NaN or infinite samples, another shape or type, a parameter out of range.
    """
    check_whole(k, "k", "the number of centres", 1)
    check_whole(iterations, "iterations", "the most iterations", 1)
    check_whole(seed, "seed", "the seed of the random numbers", 0)
    check_tolerance(tolerance)
    rows = Rows(samples, check_device(device))
    if rows.n < k:
        raise UsageError(f"{k} centres need at least as many samples, but there are {rows.n}: lower k or add samples.")
    with threads(rows.device) as run:
        return lloyd(rows, k, iterations, seed, tolerance, progress, run)


def nearest(samples, centers, *, device: str = "cpu") -> tuple[np.ndarray, np.ndarray]:
    """The nearest centre of every sample.

    Args:
        samples: ``[n, d]``, as for :func:`kmeans`.
        centers: ``[k, d]``, a NumPy array or torch tensor.
        device: as for :func:`kmeans`.

    Returns:
        words int64 ``[n]``, and squared distances float32 ``[n]``, computed from differences. Of centres that are
        equally near, as float32 products tell, the first.

    Raises:
        UsageError: NaN or infinite numbers, another shape or type, a different d.
    """
    rows = Rows(samples, check_device(device))
    book = Rows(centers, check_device("cpu"), "centers")
    if book.d != rows.d:
        raise UsageError(f"The samples have {rows.d} dimensions, the centers {book.d}: they must be of the same kind.")
    with threads(rows.device) as run:
        return nearest_centers(rows, book.block(0, book.n).numpy(), run)


def check_whole(value, name: str, what: str, least: int) -> None:
    """Raise UsageError unless ``value`` is an integer of at least ``least``."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise UsageError(f"{name}={value!r} is not allowed: it is {what}, an integer ≥ {least}.")


def check_tolerance(tolerance: float) -> None:
    """Raise UsageError unless it is a finite number ≥ 0."""
    if not (math.isfinite(tolerance) and tolerance >= 0):
        raise UsageError(f"tolerance={tolerance} is not allowed: it ends the iteration, a finite number ≥ 0.")


def lloyd(
    rows: Rows, k: int, iterations: int, seed: int, tolerance: float, progress: Progress | None, run: Run
) -> KMeans:
    mean, variance = rows.mean_and_variance(run)
    spread = rows.n * variance.sum()
    # One thread: which row is drawn may hang on the rounding of a product, which several would split otherwise.
    (centers,) = run(lambda random: seed_centers(rows, k, random), [np.random.Generator(np.random.PCG64(seed))])
    objective: list[float] = []
    for iteration in range(1, iterations + 1):
        counts, sums = cluster_sums(rows, centers, run)
        objective.append(_objective(centers - mean, counts, sums - counts[:, None] * mean, spread))
        filled = counts > 0
        moved = np.where(filled[:, None], sums / np.maximum(counts, 1)[:, None], centers)
        refilled = _refill(rows, centers, moved, np.flatnonzero(~filled), run)
        centers = moved
        if progress is not None:
            progress(iteration, objective[-1])
        if iteration > 1 and not refilled and objective[-2] - objective[-1] <= tolerance * objective[-2]:
            break
    return KMeans(centers.astype(np.float32), counts, tuple(objective))


def _objective(centers: np.ndarray, counts: np.ndarray, sums: np.ndarray, spread: float) -> float:
    """Σ ‖x − c‖² = Σ ‖x‖² − 2 Σ_c c · Σ_{x of c} x + Σ_c n_c ‖c‖², everything relative to the mean of the samples."""
    return max(float(spread - 2.0 * (centers * sums).sum() + counts @ np.square(centers).sum(axis=1)), 0.0)


def _refill(rows: Rows, centers: np.ndarray, moved: np.ndarray, empty: np.ndarray, run: Run) -> bool:
    """Put the ``empty`` ones of the centres ``moved`` where samples are furthest from ``centers``; whether any went."""
    if not len(empty):
        return False
    _, distances = nearest_centers(rows, centers.astype(np.float32), run)
    furthest = np.argsort(-distances, kind="stable")[: len(empty)]
    furthest = furthest[distances[furthest] > 0.0]
    for center, row in zip(empty, furthest, strict=False):
        moved[center] = rows.take(np.array([row])).cpu().numpy()[0]
    return len(furthest) > 0
