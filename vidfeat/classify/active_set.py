"""C-SVMs whose sets of items are nearly known: at neighbouring weights, or after LIBSVM's first digits.

For coefficients a = Y α of a machine over a kernel K the optimum has decision values d = K a − ρ with

    y_i d_i = 1 where 0 < α_i < C (free),     y_i d_i ≥ 1 where α_i = 0,     y_i d_i ≤ 1 where α_i = C (at the bound),

and Σ a_i = 0. The primal-dual active set method takes the three sets as given, solves what is then a linear system,
and moves the items that contradict, until none does: Newton's method on these conditions, exact in float64 after a few
rounds where the start was near. From far away it may go in circles; it is given up where contradictions get no fewer.

Source: M. Hintermüller, K. Ito, K. Kunisch, *The Primal-Dual Active Set Strategy as a Semismooth Newton Method*, 2002.
"""

from collections.abc import Callable

import numpy as np
from scipy.linalg import cho_factor, cho_solve

_PATIENCE = 4  # rounds without fewer contradictions than ever before
_FREE = 1e-6  # of C: coefficients closer to a bound are at it
_CONTRADICTS = 1e-10  # of the margin, and of C: less is rounding
_RIDGE = 1e-10  # of the mean diagonal: kernels of more free items than dimensions are singular


def refined(
    K: np.ndarray, y: np.ndarray, A: np.ndarray, C: float, each: Callable[[Callable, int], list]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Machines at their optimum, from coefficients near it.

    Args:
        K: ``[n, n]``. y: ±1 ``[machines, n]``. A: ``[machines, n]``.
        each: calls a function with each number from 0 to a count, in threads or not; its results in order.

    Returns:
        coefficients ``[machines, n]``, intercepts ρ ``[machines]``, and which machines came to rest ``[machines]``; of
        the others nothing has changed, and ρ is 0.
    """
    A, rho, rests = A.copy(), np.zeros(len(A)), np.zeros(len(A), bool)
    free, bound = sets(A, C)
    going = np.arange(len(A))
    fewest, patience = np.full(len(A), A.shape[1] + 1), np.full(len(A), _PATIENCE)
    while len(going):
        found = each(lambda k, at=going: _solve(K, y[at[k]], free[at[k]], bound[at[k]], C), len(going))
        a, shift = np.array([coefficients for coefficients, _ in found]), np.array([r for _, r in found])
        alpha, margin = a * y[going], y[going] * (a @ K - shift[:, None])
        was_free, was_bound = free[going], bound[going]
        to_zero, to_bound = was_free & (alpha < -_CONTRADICTS * C), was_free & (alpha > (1 + _CONTRADICTS) * C)
        to_free = np.where(was_bound, margin > 1 + _CONTRADICTS, ~was_free & (margin < 1 - _CONTRADICTS))
        count, solvable = (to_zero | to_bound | to_free).sum(axis=1), np.isfinite(shift)
        rest = solvable & (count == 0)
        A[going[rest]], rho[going[rest]], rests[going[rest]] = a[rest], shift[rest], True
        patience[going] = np.where(count < fewest[going], _PATIENCE, patience[going] - 1)
        fewest[going] = np.minimum(fewest[going], count)
        free[going] = (was_free & ~to_zero & ~to_bound) | to_free
        bound[going] = (was_bound & ~to_free) | to_bound
        going = going[solvable & ~rest & (patience[going] > 0)]
    return A, rho, rests


def sets(A: np.ndarray, C: float) -> tuple[np.ndarray, np.ndarray]:
    """Which items have α between the bounds, and which have α = C."""
    alpha = np.abs(A)
    bound = alpha >= (1 - _FREE) * C
    return (alpha > _FREE * C) & ~bound, bound


def solved(K: np.ndarray, free: np.ndarray, right: np.ndarray) -> np.ndarray:
    """K_ff⁻¹ right, with a ridge that rounding needs; ``free``: numbers of items."""
    own = K.take(free, axis=0).take(free, axis=1).T  # in LAPACK's order
    own[np.diag_indices(len(free))] += _RIDGE * max(float(np.trace(own)) / len(free), np.finfo(float).tiny)
    return cho_solve(cho_factor(own, lower=True, overwrite_a=True, check_finite=False), right, check_finite=False)


def _solve(K: np.ndarray, y: np.ndarray, free: np.ndarray, bound: np.ndarray, C: float) -> tuple[np.ndarray, float]:
    """a and ρ of the linear system K_ff a_f − ρ 1 = y_f − K_fb a_b with Σ a = 0; ρ is NaN where it has no solution."""
    free, bound = np.flatnonzero(free), np.flatnonzero(bound)
    a = np.zeros(len(y))
    a[bound] = y[bound] * C
    if not len(free):
        return a, np.nan
    at_bound = K[free] @ a if len(bound) else 0.0
    right = np.column_stack([y[free] - at_bound, np.ones(len(free))])
    try:
        towards, ones = solved(K, free, right).T
    except np.linalg.LinAlgError:  # not positive definite in spite of the ridge
        return a, np.nan
    rho = -(towards.sum() + a[bound].sum()) / ones.sum()
    a[free] = towards + rho * ones
    return a, float(rho)
