"""All machines at given weights: their coefficients, the value J(β), how sure it is, and its derivatives."""

import functools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from vidfeat.classify.active_set import refined, sets, solved
from vidfeat.classify.libsvm import KernelProblem, in_threads, thread_controller
from vidfeat.classify.mkl_spaces import Streams

# Of LIBSVM, one after the other as needed; below, the float32 of its kernel cache lets it turn in circles.
_TOLERANCES = (1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7)


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
        slack: largest share of its value by which a machine may be short of the optimum; LIBSVM's tolerance is
            lowered until it is not.
    """

    def __init__(self, space: Streams, positive: np.ndarray, C: float, slack: float, threads: ThreadPoolExecutor):
        self.space, self.positive, self.C, self.slack, self._threads = space, positive, C, slack, threads
        self._y = np.where(positive.T, 1.0, -1.0)  # [machines, n]
        self.solved = 0  # machines trained so far

    def at(self, beta: np.ndarray, near: Point | None = None) -> Point:
        """Train at ``beta``; ``near``: the machines at other weights, from which these may not be far."""
        K = self.space.gram(beta)
        means = K.mean(axis=1)
        K -= means
        K -= (means - means.mean())[:, None]
        A, rho = self._trained(K, near)
        lengths, values, gaps = self._judged(np.arange(len(A)), K, A, rho)
        falls, turns = self.space.look(beta, A)
        value, gap, linear = float(values.sum()), max(float(gaps.sum()), 0.0), float(lengths.sum())
        return Point(beta, A, rho, value, gap, linear, falls, turns, K, means)

    def _trained(self, K: np.ndarray, near: Point | None) -> tuple[np.ndarray, np.ndarray]:
        """Coefficients and ρ, from those nearby where these lead there, or else from LIBSVM's."""
        self.solved += len(self._y)
        A, rho, gaps = np.zeros(self._y.shape), np.zeros(len(self._y)), np.full(len(self._y), np.inf)
        todo = np.arange(len(self._y))
        if near is not None:
            self._take_better(K, todo, near.A, (A, rho, gaps))
        problem = None
        for tol in _TOLERANCES:
            todo = np.flatnonzero(gaps > self.slack)
            if not len(todo):
                break
            problem = problem or KernelProblem(K)
            train = functools.partial(problem.train, C=self.C, tol=tol)
            trained = self._each(lambda k, todo=todo, train=train: train(self.positive[:, todo[k]]), len(todo))
            found, shift = np.array([a for a, _ in trained]), np.array([r for _, r in trained])
            found -= found.mean(axis=1, keepdims=True)  # LIBSVM's sum is 0 but for rounding
            A[todo], rho[todo] = found, shift
            gaps[todo] = self._relative_gaps(K, todo, found, shift)
            self._take_better(K, todo, found, (A, rho, gaps))
        return A, rho

    def _take_better(self, K: np.ndarray, todo: np.ndarray, start: np.ndarray, best: tuple) -> None:
        """Of machines ``todo`` those refined from ``start`` in place of the best so far, where they are better."""
        found = refined(K, self._y[todo], start, self.C, self._each)
        gaps = np.where(found[2], self._relative_gaps(K, todo, *found[:2]), np.inf)
        better = gaps < best[2][todo]
        for known, new in zip(best, (*found[:2], gaps), strict=True):
            known[todo[better]] = new[better]

    def _each(self, task: Callable[[int], Any], count: int) -> list:
        """``task`` of 0…count − 1; machines share the processors, and BLAS has one for each."""
        if count == 1:
            return [task(0)]
        with thread_controller().limit(limits=1, user_api="blas"):
            return in_threads(task, range(count), self._threads)

    def _judged(self, machines: np.ndarray, K: np.ndarray, A: np.ndarray, rho: np.ndarray):
        """Of every machine 1ᵀα, the dual value, and the primal one less it."""
        y, decision = self._y[machines], A @ K
        half_square = 0.5 * (decision * A).sum(axis=1)
        lengths = (A * y).sum(axis=1)
        hinge = np.maximum(0.0, 1 - y * (decision - rho[:, None])).sum(axis=1)
        values = lengths - half_square
        return lengths, values, half_square + self.C * hinge - values

    def _relative_gaps(self, K: np.ndarray, machines: np.ndarray, A: np.ndarray, rho: np.ndarray) -> np.ndarray:
        _, values, gaps = self._judged(machines, K, A, rho)
        return gaps / np.abs(values)

    def bend(self, point: Point) -> np.ndarray:
        """The part of the second derivative of J that comes from α following β, ``[nodes, nodes]``, never negative.

        On the items whose α is between the bounds, K_ff dα + 1 db = −V dβ and 1ᵀ dα = 0; so H = Vᵀ S V with S the
        inverse of K_ff on coefficients of sum 0. In concatenation J has no other curvature.
        """
        free, _ = sets(point.A, self.C)
        return sum(self._each(lambda k: _bend(point.K, np.flatnonzero(free[k]), point.turns[k]), len(free)))


def _bend(K: np.ndarray, free: np.ndarray, turns: np.ndarray) -> np.ndarray:
    nodes = len(turns)
    if len(free) < 2:
        return np.zeros((nodes, nodes))
    V = turns[:, free].T  # [free, nodes]
    found = solved(K, free, np.column_stack([V, np.ones(len(free))]))
    SV, s1 = found[:, :-1], found[:, -1]
    return V.T @ SV - np.outer(SV.sum(axis=0), SV.sum(axis=0)) / s1.sum()
