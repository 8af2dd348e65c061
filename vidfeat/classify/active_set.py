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

# Rounds at most, and such in a row that have no fewer contradictions than the best one before.
_ROUNDS, _PATIENCE = 25, 4
_FREE = 1e-6  # of C, or of the largest coefficient: what is closer to a bound is at it
_CONTRADICTS = 1e-10  # of the largest coefficient, and of the margin: less is rounding
_ROUNDING = 1e-14  # of the sum of what a margin is the sum of
# Of the mean diagonal, added to it: kernels of more free items than dimensions are singular, or with entries in float32
# not even positive semidefinite. The least that will do is taken.
_RIDGES = (1e-10, 1e-8, 1e-6, 1e-4)


def refined(
    K: np.ndarray, y: np.ndarray, A: np.ndarray, C: float, each: Callable[[Callable, int], list]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Machines at their optimum, from coefficients near it.

    Args:
        K: ``[n, n]``. y: ±1 ``[machines, n]``. A: ``[machines, n]``.
        each: calls a function with each number from 0 to a count, in threads or not; its results in order.

    Returns:
        coefficients ``[machines, n]``, intercepts ρ ``[machines]``, and whether a machine came to rest ``[machines]``;
        for the others nothing has changed, and ρ is 0.
    """
    A, rho, at_rest = A.copy(), np.zeros(len(A)), np.zeros(len(A), bool)
    free, bound = sets(A, C)
    todo = np.arange(len(A))
    fewest, patience = np.full(len(A), A.shape[1] + 1), np.full(len(A), _PATIENCE)
    for _ in range(_ROUNDS):
        found = each(lambda k, todo=todo: _solved(K, y[todo[k]], free[todo[k]], bound[todo[k]], C), len(todo))
        a, shift = np.array([coefficients for coefficients, _ in found]), np.array([r for _, r in found])
        alpha, margin = a * y[todo], y[todo] * (a @ K - shift[:, None])
        was_free, was_bound = free[todo], bound[todo]
        largest = np.abs(a).max(axis=1, keepdims=True)
        beyond = _CONTRADICTS * np.minimum(largest, C)
        to_zero, to_bound = was_free & (alpha < -beyond), was_free & (alpha > C + beyond)
        rounding = np.maximum(_CONTRADICTS, _ROUNDING * np.abs(a).sum(axis=1, keepdims=True) * K.diagonal().max())
        to_free = np.where(was_bound, margin > 1 + rounding, ~was_free & (margin < 1 - rounding))
        contradictions, has_solution = (to_zero | to_bound | to_free).sum(axis=1), np.isfinite(shift)
        rest = has_solution & (contradictions == 0)
        A[todo[rest]], rho[todo[rest]], at_rest[todo[rest]] = a[rest], shift[rest], True
        patience[todo] = np.where(contradictions < fewest[todo], _PATIENCE, patience[todo] - 1)
        fewest[todo] = np.minimum(fewest[todo], contradictions)
        free[todo] = (was_free & ~to_zero & ~to_bound) | to_free
        bound[todo] = (was_bound & ~to_free) | to_bound
        todo = todo[has_solution & ~rest & (patience[todo] > 0)]
        if not len(todo):
            break
    return A, rho, at_rest


def sets(A: np.ndarray, C: float) -> tuple[np.ndarray, np.ndarray]:
    """Which items of machines ``[machines, n]`` have α between the bounds, and which have α = C."""
    alpha = np.abs(A)
    bound = alpha >= (1 - _FREE) * C
    return (alpha > _FREE * np.minimum(alpha.max(axis=1, keepdims=True), C)) & ~bound, bound


class FreeItems:
    """K_ff of the free items, factored: K_ff + m 11ᵀ with m the mean diagonal.

    The addition changes nothing for coefficients of a given sum. A centred kernel needs it: with all items free, K_ff
    has no inverse along 1. LinAlgError where no ridge makes it positive definite.
    """

    def __init__(self, K: np.ndarray, free: np.ndarray):
        self.K = K.take(free, axis=0).take(free, axis=1)
        self.mean = max(float(np.trace(self.K)) / len(free), np.finfo(float).tiny)
        for ridge in _RIDGES:
            matrix = (self.K + self.mean).T  # in LAPACK's order
            matrix[np.diag_indices(len(free))] += ridge * self.mean
            try:
                self._factor = cho_factor(matrix, lower=True, overwrite_a=True, check_finite=False)
            except np.linalg.LinAlgError:
                continue
            self._ones = self.inverse(np.ones(len(free)))
            return
        raise np.linalg.LinAlgError("no ridge makes the kernel of the free items positive definite")

    def inverse(self, right: np.ndarray) -> np.ndarray:
        """(K_ff + m 11ᵀ)⁻¹ right."""
        return cho_solve(self._factor, right, check_finite=False)

    def on_sums(self, right: np.ndarray, total: float) -> tuple[np.ndarray, float]:
        """a and ρ with K_ff a − ρ 1 = right and Σ a = total."""
        towards = self.inverse(right)
        rho = (total - towards.sum()) / self._ones.sum()
        return towards + rho * self._ones, float(rho - self.mean * total)

    def curvature(self, V: np.ndarray) -> np.ndarray:
        """Vᵀ S V for V ``[free, nodes]``, with S the inverse of K_ff on coefficients of sum 0."""
        V = V - V.mean(axis=0)  # S does not see it
        SV = self.inverse(V)
        return V.T @ SV - np.outer(SV.sum(axis=0), SV.sum(axis=0)) / self._ones.sum()


def _solved(K: np.ndarray, y: np.ndarray, free: np.ndarray, bound: np.ndarray, C: float) -> tuple[np.ndarray, float]:
    """a and ρ of the linear system K_ff a_f − ρ 1 = y_f − K_fb a_b with Σ a = 0; ρ is NaN where it has no solution."""
    free, bound = np.flatnonzero(free), np.flatnonzero(bound)
    a = np.zeros(len(y))
    a[bound] = y[bound] * C
    if not len(free):
        return a, np.nan
    right, total = y[free].copy(), -a.sum()
    if len(bound):
        right -= K.take(free, axis=0) @ a
    try:
        items = FreeItems(K, free)
    except np.linalg.LinAlgError:
        return a, np.nan
    found, rho = items.on_sums(right, total)
    # Once more for what the ridge has left.
    more, shift = items.on_sums(right - items.K @ found + rho, total - found.sum())
    a[free] = found + more
    return a, rho + shift
