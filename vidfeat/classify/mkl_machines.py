"""All machines at given weights: their coefficients, the value J(β), how sure it is, and its derivatives."""

import functools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from vidfeat.classify.active_set import FreeItems, refined, sets
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
    falls: np.ndarray  # [machines, nodes], −∂J/∂β
    turns: np.ndarray  # [machines, nodes, n]
    K: np.ndarray  # [n, n], centred
    means: np.ndarray  # [n], of the rows of K before

    @property
    def fall(self) -> np.ndarray:
        """−∂J/∂β ``[nodes]``."""
        return self.falls.sum(axis=0)


@dataclass
class Trained:
    """The best that was found of every machine."""

    A: np.ndarray  # [machines, n]
    rho: np.ndarray  # [machines]
    gaps: np.ndarray  # [machines], relative to the dual value

    def improve(self, machines: np.ndarray, A: np.ndarray, rho: np.ndarray, gaps: np.ndarray) -> None:
        """Take those of ``machines`` that are better."""
        better = gaps < self.gaps[machines]
        chosen = machines[better]
        self.A[chosen], self.rho[chosen], self.gaps[chosen] = A[better], rho[better], gaps[better]


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
        self._tolerances = list(_TOLERANCES)
        self.count = 0  # machines trained so far

    def at(self, beta: np.ndarray, near: Point | None = None) -> Point:
        """Train at ``beta``; ``near``: the machines at other weights, from which these may not be far."""
        K = self.space.gram(beta)
        means = K.mean(axis=1)
        K -= means
        K -= (means - means.mean())[:, None]
        trained = self._trained(K, near)
        values, gaps = self._values_and_gaps(np.arange(len(self._y)), K, trained.A, trained.rho)
        falls, turns = self.space.look(beta, trained.A)
        value, gap = float(values.sum()), max(float(gaps.sum()), 0.0)
        return Point(beta, trained.A, trained.rho, value, gap, falls, turns, K, means)

    def _trained(self, K: np.ndarray, near: Point | None) -> Trained:
        """From machines nearby where these lead there, or else from LIBSVM's."""
        machines = np.arange(len(self._y))
        self.count += len(machines)
        trained = Trained(np.zeros(self._y.shape), np.zeros(len(machines)), np.full(len(machines), np.inf))
        if near is not None:
            self._refine(K, machines, near.A, trained)
        problem = None
        for tol in tuple(self._tolerances):
            todo = np.flatnonzero(~(trained.gaps <= self.slack))
            if not len(todo):
                break
            problem = problem or KernelProblem(K)
            train = functools.partial(problem.train, C=self.C, tol=tol)
            found = self._each(lambda k, todo=todo, train=train: train(self.positive[:, todo[k]]), len(todo))
            A, rho = np.array([a for a, _ in found]), np.array([r for _, r in found])
            A -= A.mean(axis=1, keepdims=True)  # LIBSVM's sum is 0 but for rounding
            trained.improve(todo, A, rho, self._relative_gaps(K, todo, A, rho))
            self._refine(K, todo, A, trained)
            if tol != self._tolerances[-1] and not (trained.gaps <= self.slack).any():
                self._tolerances.remove(tol)  # will do for no machine at other weights either
        return trained

    def _refine(self, K: np.ndarray, machines: np.ndarray, start: np.ndarray, trained: Trained) -> None:
        """Improve ``machines`` by what active sets make of ``start``."""
        A, rho, at_rest = refined(K, self._y[machines], start, self.C, self._each)
        A, rho, machines = A[at_rest], rho[at_rest], machines[at_rest]
        trained.improve(machines, A, rho, self._relative_gaps(K, machines, A, rho))

    def _each(self, task: Callable[[int], Any], count: int) -> list:
        """``task`` of 0…count − 1; machines share the processors, and BLAS has one for each."""
        if count == 1:
            return [task(0)]
        with thread_controller().limit(limits=1, user_api="blas"):
            return in_threads(task, range(count), self._threads)

    def _values_and_gaps(self, machines: np.ndarray, K: np.ndarray, A: np.ndarray, rho: np.ndarray):
        """Of every machine the dual value, and the primal one less it."""
        y, decision = self._y[machines], A @ K
        half_square = 0.5 * (decision * A).sum(axis=1)
        hinge = np.maximum(0.0, 1 - y * (decision - rho[:, None])).sum(axis=1)
        values = (A * y).sum(axis=1) - half_square
        return values, half_square + self.C * hinge - values

    def _relative_gaps(self, K: np.ndarray, machines: np.ndarray, A: np.ndarray, rho: np.ndarray) -> np.ndarray:
        values, gaps = self._values_and_gaps(machines, K, A, rho)
        return np.where(values > 0, gaps / np.where(values > 0, values, 1.0), np.inf)

    def bend(self, point: Point) -> np.ndarray:
        """The part of the second derivative of J that comes from α following β, ``[nodes, nodes]``, never negative.

        On the items whose α is between the bounds, K_ff dα + 1 db = −V dβ and 1ᵀ dα = 0; so H = Vᵀ S V with S the
        inverse of K_ff on coefficients of sum 0. In concatenation J has no other curvature.
        """
        free, _ = sets(point.A, self.C)
        return sum(self._each(lambda k: _bend(point.K, np.flatnonzero(free[k]), point.turns[k]), len(free)))


def _bend(K: np.ndarray, free: np.ndarray, turns: np.ndarray) -> np.ndarray:
    try:
        if len(free) > 1:
            return FreeItems(K, free).curvature(turns[:, free].T)
    except np.linalg.LinAlgError:  # a given matrix that is no kernel: its machines exist, their derivative does not
        pass
    return np.zeros((len(turns), len(turns)))
