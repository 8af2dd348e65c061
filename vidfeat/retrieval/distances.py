"""Squared distances of codes: fast with a bound on their error, and exact.

    l2       d = ‖a − b‖² = ‖a‖² + ‖b‖² − 2 a·b
    cosine   d = ‖a/‖a‖ − b/‖b‖‖² = 2 (1 − cos(a, b)); 2 if a or b is zero and so has no direction

The middle form of l2 takes one product of matrices, but cancels where a is close to b. So it only decides what is
certain, and whatever lies within its error is computed by the first form in float64, entry by entry: the result is
that of the first form throughout, and does not depend on blocks, threads or the device.
"""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import torch

from vidfeat.errors import UsageError
from vidfeat.precision import arithmetic
from vidfeat.retrieval.rows import Rows

Metric = Literal["l2", "cosine"]
METRICS: tuple[str, ...] = get_args(Metric)

# Numbers in one matrix of distances, or in the vectors of exact ones; and bytes of one block of vectors in float64.
CELLS, BLOCK_BYTES = 1 << 22, 1 << 26
# float32 products are summed over this many columns at a time, then in float64: the bound does not grow with D.
_COLUMNS = 1024
_UNIT = {torch.float32: 2.0**-24, torch.float64: 2.0**-53}
_TINY = 2.0**-126  # what a product in float32 may lose to underflow


@dataclass(frozen=True)
class Vectors:
    """values ``[n, D]`` in the type of the product, squares ``[n]`` float64: their squared norms."""

    values: torch.Tensor
    squares: torch.Tensor


def check_rows(queries: Rows, database: Rows, metric: str) -> None:
    """UsageError unless both are ``[n, D]`` with one D, and the metric is known."""
    if metric not in METRICS:
        raise UsageError(f"the metric is {metric!r}; allowed are {', '.join(METRICS)}.")
    if len(queries.shape) != 2 or len(database.shape) != 2 or queries.shape[1] != database.shape[1]:
        raise UsageError(
            f"the queries have shape {list(queries.shape)}, the database {list(database.shape)}; both must be "
            "[items, D] with the same D: encode them in the same way."
        )


def prepare(rows: np.ndarray, metric: str, device: torch.device, dtype: torch.dtype) -> Vectors:
    """Rows ``[n, D]`` float32 on the device; for the cosine divided by their norms. UsageError for NaN or infinity."""
    values = torch.from_numpy(np.require(rows, np.float32, ["C", "W"])).to(device)
    norms = torch.linalg.vector_norm(values, dim=1, dtype=torch.float64)
    if not bool(norms.isfinite().all()):
        raise UsageError("a code has NaN or infinite values, which have no distance; encode it again.")
    if metric == "l2":
        return Vectors(values.to(dtype), norms.square())
    units = values.double() / torch.where(norms > 0, norms, 1.0)[:, None]
    # A zero row counts as a unit vector at right angles to all others.
    return Vectors(units.to(dtype), torch.ones_like(norms))


def approximate(a: Vectors, b: Vectors) -> tuple[torch.Tensor, torch.Tensor]:
    """Squared distances ``[n_a, n_b]`` float64, and what they may differ from :func:`exact_distances`, of that shape.

    Not finite where float32 overflows.
    """
    with arithmetic("fp32", a.values.device):
        products = _products(a.values, b.values)
        total = a.squares[:, None] + b.squares[None]
        return total - 2 * products, error_bound(total, a.values)


def error_bound(total: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """Largest error where ‖a‖² + ‖b‖² is ``total`` and the product is computed in the type of ``values`` ``[n, D]``.

    A sum of n products in any order is off by at most n·u·Σ|aᵢ bᵢ| (1 + …) ≤ n·u·(‖a‖² + ‖b‖²)/2, u the unit of
    rounding (N. J. Higham, *Accuracy and Stability of Numerical Algorithms*, 2002, eq. 3.5). The rest, in float64, is:
    norms, division by them, and the exact form itself; 16 and 8 leave room for single roundings.
    """
    columns, dtype = values.shape[1], values.dtype
    relative = 8 * (columns + 8) * _UNIT[torch.float64]
    if dtype == torch.float64:
        return relative * total
    return (relative + (min(columns, _COLUMNS) + 16) * _UNIT[dtype]) * total + 4 * columns * _TINY


def _products(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    if a.dtype == torch.float64 or a.shape[1] <= _COLUMNS:
        return (a @ b.T).double()
    total = torch.zeros(len(a), len(b), dtype=torch.float64, device=a.device)
    for first in range(0, a.shape[1], _COLUMNS):
        total += a[:, first : first + _COLUMNS] @ b[:, first : first + _COLUMNS].T
    return total


def exact_distances(a: np.ndarray, a_rows: np.ndarray, b: np.ndarray, b_rows: np.ndarray, metric: str) -> np.ndarray:
    """Squared distances ``[n]`` float64 of the pairs ``a[a_rows[i]], b[b_rows[i]]``, each by differences of entries."""
    found = np.empty(len(a_rows))
    step = max(1, CELLS // max(1, a.shape[1]))
    for first in range(0, len(a_rows), step):
        own = slice(first, first + step)
        x, x_norms = _directions(a[a_rows[own]], metric)
        y, y_norms = _directions(b[b_rows[own]], metric)
        np.subtract(x, y, out=x)
        found[own] = np.square(x, out=x).sum(axis=1)
        if metric == "cosine":
            found[own][(x_norms == 0) | (y_norms == 0)] = 2.0
    return found


def _directions(rows: np.ndarray, metric: str) -> tuple[np.ndarray, np.ndarray]:
    values = rows.astype(np.float64)
    if metric == "l2":
        return values, np.empty(0)
    norms = np.sqrt(np.square(values).sum(axis=1))
    values /= np.where(norms > 0, norms, 1.0)[:, None]
    return values, norms


def in_words(squared: np.ndarray, metric: str) -> np.ndarray:
    """Squared distances as they are told: ‖a − b‖, or 1 − cos(a, b)."""
    return np.sqrt(squared) if metric == "l2" else squared / 2
