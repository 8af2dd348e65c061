"""All machines at given weights: their coefficients, the value J(β), how sure it is, and its derivatives."""

import functools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from vidfeat.classify.libsvm import KernelProblem, in_threads, thread_controller
from vidfeat.classify.mkl_spaces import Streams

_LEAST_TOL, _FIRST_TOL = 1e-7, 1e-3  # below, the float32 of its kernel cache lets LIBSVM turn in circles
_RIDGE = 1e-10  # of the mean diagonal: kernels of more free items than dimensions are singular
_FREE = 1e-6  # of C: coefficients closer to a bound are at it


@dataclass(frozen=True)
class Point:
    """Machines trained at weights β."""

    beta: np.ndarray  # [nodes]
    A: np.ndarray  # [machines, n], a_c = Y_c α_c
    rho: np.ndarray  # [machines], for the centred kernel
    value: float  # J(β) as the sum of dual values
    svm_gap: float  # primal less dual values of the machines at this β: how far ``value`` can be below J(β)
    linear: float  # Σ_c 1ᵀα_c
    falls: np.ndarray  # [machines, nodes], −∂J/∂β
    turns: np.ndarray  # [machines, nodes, n]
    K: np.ndarray  # [n, n], centred
    means: np.ndarray  # [n], of the rows of K before

    @property
    def fall(self) -> np.ndarray:
        """−∂J/∂β ``[nodes]``."""
        return self.falls.sum(axis=0)


class Machines:
    """The C-SVMs of all classes over the kernels of ``space``.

    The SVM has a bias, so Σ_i a_i = 0 and centring the kernel changes nothing but the intercept; it is done because
    LIBSVM keeps its kernel in float32, where what all items have in common would drown what tells them apart.

    Args:
        positive: bool ``[n, machines]``.
        slack: largest share of J(β) by which the machines may be short of the optimum; LIBSVM's tolerance is
            lowered until they are not.
    """

    def __init__(self, space: Streams, positive: np.ndarray, C: float, slack: float, threads: ThreadPoolExecutor):
        self.space, self.positive, self.C, self.slack, self._threads = space, positive, C, slack, threads
        self._y = np.where(positive.T, 1.0, -1.0)  # [machines, n]
        self._tol = _FIRST_TOL
        self.solved = 0  # machines trained so far

    def at(self, beta: np.ndarray) -> Point:
        """Train at ``beta``."""
        K = self.space.gram(beta)
        means = K.mean(axis=1)
        K -= means
        K -= (means - means.mean())[:, None]
        problem = KernelProblem(K)
        while True:
            train = functools.partial(problem.train, C=self.C, tol=self._tol)
            trained = self._each(lambda machine, train=train: train(self.positive[:, machine]))
            self.solved += len(trained)
            A, rho = np.array([a for a, _ in trained]), np.array([r for _, r in trained])
            A -= A.mean(axis=1, keepdims=True)  # LIBSVM's sum is 0 but for rounding
            linear, values, gaps = self._judged(K, A, rho)
            if gaps.sum() > self.slack * abs(values.sum()):
                A, rho = self._polished(K, A, rho, gaps)
                linear, values, gaps = self._judged(K, A, rho)
            value, gap = float(values.sum()), float(gaps.sum())
            if gap <= self.slack * abs(value) or self._tol <= _LEAST_TOL:
                break
            self._tol = max(self._tol / 10, _LEAST_TOL)
        falls, turns = self.space.look(beta, A)
        return Point(beta, A, rho, value, max(gap, 0.0), linear, falls, turns, K, means)

    def _each(self, task: Callable[[int], Any]) -> list:
        """``task`` of every machine; with several, the machines share the processors, and BLAS has one for each."""
        machines = range(len(self._y))
        if len(machines) == 1:
            return [task(0)]
        with thread_controller().limit(limits=1, user_api="blas"):
            return in_threads(task, machines, self._threads)

    def _judged(self, K: np.ndarray, A: np.ndarray, rho: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
        """Σ_c 1ᵀα_c, and of every machine the dual value and the primal one less it."""
        decision = A @ K
        half_square = 0.5 * (decision * A).sum(axis=1)
        lengths = (A * self._y).sum(axis=1)
        hinge = np.maximum(0.0, 1 - self._y * (decision - rho[:, None])).sum(axis=1)
        values = lengths - half_square
        return float(lengths.sum()), values, half_square + self.C * hinge - values

    def _polished(self, K: np.ndarray, A: np.ndarray, rho: np.ndarray, gaps: np.ndarray):
        """Machines whose optimality conditions are solved exactly, where that helps.

        K_ff a_f − ρ 1 = y_f − K_fb a_b with Σ a = 0, in float64, for the free items f and those b at the bound C that
        LIBSVM found. Its float32 kernel makes the last digits the slowest; once f and b are right, this has them all.
        """
        found = self._each(lambda machine: self._polish(K, self._y[machine], A[machine]))
        new = np.array([a for a, _ in found]), np.array([r for _, r in found])
        better = self._judged(K, *new)[2] < gaps
        return np.where(better[:, None], new[0], A), np.where(better, new[1], rho)

    def _polish(self, K: np.ndarray, y: np.ndarray, a: np.ndarray) -> tuple[np.ndarray, float]:
        free, bound = self._free(a)
        polished = np.zeros_like(a)
        polished[bound] = y[bound] * self.C
        if not len(free):
            return polished, 0.0
        right = np.column_stack([y[free] - K[np.ix_(free, bound)] @ polished[bound], np.ones(len(free))])
        towards, ones = _solved(K, free, right).T
        rho = -(towards.sum() + polished[bound].sum()) / ones.sum()
        polished[free] = towards + rho * ones
        if not ((polished[free] * y[free] >= 0) & (polished[free] * y[free] <= self.C)).all():
            return a, np.inf  # the sides have changed: no solution, and never better
        return polished, float(rho)

    def _free(self, a: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Items with α between the bounds, and those with α = C."""
        alpha = np.abs(a)
        at_bound = alpha >= (1 - _FREE) * self.C
        return np.flatnonzero((alpha > _FREE * self.C) & ~at_bound), np.flatnonzero(at_bound)

    def bend(self, point: Point) -> np.ndarray:
        """The part of the second derivative of J that comes from α following β, ``[nodes, nodes]``, never negative.

        On the items whose α is between the bounds, K_ff dα + 1 db = −V dβ and 1ᵀ dα = 0; so H = Vᵀ S V with S the
        inverse of K_ff on coefficients of sum 0. In concatenation J has no other curvature.
        """
        return sum(self._each(lambda machine: self._bend(point, machine)))

    def _bend(self, point: Point, machine: int) -> np.ndarray:
        free, _ = self._free(point.A[machine])
        N = point.turns.shape[1]
        if len(free) < 2:
            return np.zeros((N, N))
        V = point.turns[machine][:, free].T  # [free, nodes]
        solved = _solved(point.K, free, np.column_stack([V, np.ones(len(free))]))
        SV, s1 = solved[:, :-1], solved[:, -1]
        return V.T @ SV - np.outer(SV.sum(axis=0), SV.sum(axis=0)) / s1.sum()


def _solved(K: np.ndarray, free: np.ndarray, right: np.ndarray) -> np.ndarray:
    """K_ff⁻¹ right, with a ridge that rounding needs."""
    own = K[np.ix_(free, free)]
    own[np.diag_indices(len(free))] += _RIDGE * max(float(np.trace(own)) / len(free), np.finfo(float).tiny)
    return cho_solve(cho_factor(own, check_finite=False), right, check_finite=False)
