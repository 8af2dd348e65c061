"""Bridge to LIBSVM's C library: many two-class machines over one Gram matrix in memory.

LIBSVM reads a precomputed kernel as rows of (index, value) pairs. Its Python package builds them entry by entry; here
they are one NumPy structured array, built by three assignments and shared by all classes, of which only the labels
differ. ctypes releases the GIL during ``svm_train``, so machines train in threads.

Source: C.-C. Chang, C.-J. Lin, *LIBSVM: A Library for Support Vector Machines*, 2011 (and its README, "Precomputed
Kernels").
"""

import ctypes
import functools
import math
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from libsvm import svm as lib
from threadpoolctl import ThreadpoolController

from vidfeat.errors import UsageError
from vidfeat.kernels import Centring

_NODE = np.dtype([("index", np.int32), ("value", np.float64)], align=True)
_MOST_CACHE_MB = 500.0
_ROWS = 512  # of the kernel that are centred and copied at one time


class KernelProblem:
    """A training kernel in LIBSVM's layout.

    Args:
        K: ``[n, n]`` real, symmetric and finite; copied (16 bytes an entry).
        centring: applied on the way, without another copy of the whole.
    """

    def __init__(self, K: np.ndarray, centring: Centring | None = None):
        K = np.asarray(K)
        if K.ndim != 2 or K.shape[0] != K.shape[1] or K.shape[0] == 0:
            raise UsageError(f"A training kernel is a square matrix [items, items], not one of shape {K.shape}.")
        n = len(K)
        # A row is 0:serial 1:K(i,1) … n:K(i,n), closed by index −1.
        self._nodes = np.empty((n, n + 2), dtype=_NODE)
        for i in range(0, n, _ROWS):
            rows = K[i : i + _ROWS] if centring is None else centring.train_rows(K, i, i + _ROWS)
            if not np.isfinite(rows).all():
                raise UsageError(
                    "The training kernel holds NaN or infinite values: check the codes it was computed from."
                )
            self._nodes["index"][i : i + _ROWS] = np.append(np.arange(n + 1), -1)
            self._nodes["value"][i : i + _ROWS, 1:-1] = rows
        self._nodes["value"][:, 0] = np.arange(1, n + 1)
        self._nodes["value"][:, -1] = 0.0
        starts = self._nodes.ctypes.data + self._nodes.strides[0] * np.arange(n, dtype=np.uintp)
        self._rows = starts.astype(np.uintp)

    def __len__(self) -> int:
        return len(self._nodes)

    def train(
        self,
        positive: np.ndarray,
        C: float,
        tol: float = 1e-3,
        rows: np.ndarray | None = None,
        weights: tuple[float, float] = (1.0, 1.0),
    ) -> tuple[np.ndarray, float]:
        """Train the C-SVM that separates the items ``positive`` (bool) from the others.

        Args:
            positive: ``[n]``, or one for each of ``rows``.
            rows: numbers of the items that take part; None for all. No part of the kernel is copied.
            weights: factors of C for the positive and the other items.

        Returns:
            α ``[n]``, dual coefficients with sign (> 0 only for positive items), and ρ: the decision value of an item
            with kernel row k is k·α − ρ, and is > 0 on the positive side.
        """
        positive = np.asarray(positive, dtype=bool)
        n = len(self) if rows is None else len(rows)
        if positive.shape != (n,):
            raise UsageError(f"{positive.shape} labels came with a kernel of {n} items: one for each is needed.")
        if positive.all() or not positive.any():
            kind = "positive" if positive.all() else "negative"
            raise UsageError(f"All {n} training items are {kind}: a machine needs items on both sides.")
        y, x = np.where(positive, 1.0, -1.0), self._rows if rows is None else self._rows[rows]
        problem = lib.svm_problem.__new__(lib.svm_problem)  # its __init__ would loop over all entries
        problem.l = n
        problem.y = y.ctypes.data_as(ctypes.POINTER(ctypes.c_double))
        problem.x = x.ctypes.data_as(ctypes.POINTER(ctypes.POINTER(lib.svm_node)))
        parameter = self._parameter(n, C, tol, weights)
        refused = lib.libsvm.svm_check_parameter(problem, parameter)
        if refused:
            raise UsageError(f"LIBSVM refuses C={C}, tol={tol}: {refused.decode()}.")
        # LIBSVM may be compiled with OpenMP, which shares out every single row of the kernel: on a busy machine its
        # threads wait for one another a thousand times longer than a row takes. Machines are what runs in parallel.
        with thread_controller().limit(limits=1, user_api="openmp"):  # holds for the calling thread alone
            model = lib.libsvm.svm_train(problem, parameter)
        try:
            return self._read(model.contents, rows)
        finally:
            lib.libsvm.svm_free_and_destroy_model(ctypes.byref(model))

    def _parameter(self, n: int, C: float, tol: float, weights: tuple[float, float]):
        named = (("C", C), ("tol", tol), ("weight of a class", weights[0]), ("weight of a class", weights[1]))
        for name, value in named:
            if not (math.isfinite(value) and value > 0):
                raise UsageError(f"{name}={value} is not allowed: it must be a finite number > 0.")
        parameter = lib.svm_parameter("-s 0 -t 4 -q")  # -q: LIBSVM prints to stdout otherwise
        parameter.C, parameter.eps = C, tol
        if weights != (1.0, 1.0):
            parameter.nr_weight = 2
            parameter.weight_label, parameter.weight = (ctypes.c_int * 2)(1, -1), (ctypes.c_double * 2)(*weights)
        parameter.cache_size = min(1.0 + 4.0 * n**2 / 2**20, _MOST_CACHE_MB)
        return parameter

    def _read(self, model, rows: np.ndarray | None) -> tuple[np.ndarray, float]:
        # LIBSVM's decision value is positive for the label it met first, unless its version swaps −1 and +1.
        sign = 1.0 if model.label[0] == 1 else -1.0
        alpha = np.zeros(len(self))
        support = np.ctypeslib.as_array(model.sv_indices, (model.l,)) - 1
        alpha[support if rows is None else rows[support]] = sign * np.ctypeslib.as_array(model.sv_coef[0], (model.l,))
        return alpha, sign * model.rho[0]


@functools.cache
def thread_controller() -> ThreadpoolController:
    """What limits the threads of the libraries in this process; to find them takes a while."""
    return ThreadpoolController()


def in_threads(task: Callable, arguments: Iterable, threads: ThreadPoolExecutor | None) -> list:
    """``task`` of every argument, in order; errors are raised here. Without a pool, one after another."""
    return list(map(task, arguments) if threads is None else threads.map(task, arguments))
