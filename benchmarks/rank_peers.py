"""Peers of rank pooling: solvers of the same problem, and ways to differentiate it.

    f(u) = ½‖u‖² + (C/2) Σ_t max(|t − u·v_t| − ε, 0)²

LIBLINEAR's and scikit-learn's own C is half of ours. A peer that is not installed is None.
"""

import importlib.metadata
import time
import warnings
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

try:
    from liblinear import liblinear, liblinearutil
    from scipy import sparse
except ImportError:
    liblinear = None
try:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.svm import LinearSVR
except ImportError:
    LinearSVR = None

EPSILON = 0.1
TARGET = 1e-6
TOLERANCES = [10.0**-k for k in range(1, 14)]
# A solver: tolerance (None: its default) -> one u [D] per video.
Solver = Callable[[float | None], list[np.ndarray]]


def versions() -> dict[str, str | None]:
    found = {}
    for name in ("liblinear-official", "scikit-learn", "scipy", "cvxpy", "cvxpylayers", "diffcp", "numba"):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = None
    return found


def objective(v: np.ndarray, u: np.ndarray, C: float) -> float:
    """f(u) in float64."""
    u = np.asarray(u, dtype=np.float64)
    loss = np.maximum(np.abs(np.arange(1, len(v) + 1) - v @ u) - EPSILON, 0.0)
    return float(0.5 * u @ u + 0.5 * C * loss @ loss)


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    a, b = np.ravel(a).astype(np.float64), np.ravel(b).astype(np.float64)
    return float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))


# ---- LIBLINEAR ----


def liblinear_problem(v: np.ndarray, path: str = "csr"):
    """Rows in LIBLINEAR's own structure: its loop over dense rows, or its (numba-compiled) path for sparse matrices."""
    targets = np.arange(1, len(v) + 1, dtype=np.float64)
    return liblinear.problem(targets, sparse.csr_matrix(v) if path == "csr" else v)


def liblinear_solver(problems: Sequence, D: int, C: float) -> Solver:
    """The compiled solver on prepared problems: ``-s 11``, Newton in a trust region, no bias."""

    def solve(tolerance: float | None) -> list[np.ndarray]:
        stop = "" if tolerance is None else f" -e {tolerance}"
        options = f"-s 11 -c {C / 2} -p {EPSILON} -B -1 -q{stop}"
        found = []
        for problem in problems:
            model = liblinearutil.train(problem, options)
            u = np.zeros(D)  # trailing features that are zero throughout do not reach the model
            u[: model.nr_feature] = np.ctypeslib.as_array(model.w, (model.nr_feature,))
            found.append(u)
        return found

    return solve


# ---- scikit-learn ----


def sklearn_solver(v: np.ndarray, C: float, dual: bool, max_iter: int = 1000) -> Solver:
    """LinearSVR as called from Python, its conversion in C included.

    ``dual``: coordinate descent, which ``dual="auto"`` takes where T < D; else Newton as in LIBLINEAR's ``-s 11``.
    """
    targets = np.arange(1, len(v) + 1, dtype=np.float64)
    problem = {"loss": "squared_epsilon_insensitive", "epsilon": EPSILON, "C": C / 2, "fit_intercept": False}

    def solve(tolerance: float | None) -> list[np.ndarray]:
        machine = LinearSVR(**problem, dual=dual, tol=tolerance or 1e-4, max_iter=max_iter, random_state=0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            machine.fit(v, targets)
        solve.iterations = int(machine.n_iter_)
        return [machine.coef_]

    return solve


def sklearn_patient(v: np.ndarray, C: float, dual: bool, cap: float) -> Solver:
    """The same with as many iterations as ``cap`` seconds allow."""
    trial = sklearn_solver(v, C, dual, max_iter=20)
    start = time.perf_counter()
    trial(1e-13)
    each = (time.perf_counter() - start) / max(trial.iterations, 1)
    return sklearn_solver(v, C, dual, max_iter=max(1000, int(cap / each)))


# ---- the time that the same objective takes ----


def tighten(solve: Solver, excess: Callable[[list[np.ndarray]], float], cap: float, default: dict) -> dict:
    """The loosest power of ten that comes within 1e-6 of the optimum. Where a run takes longer than ``cap`` seconds
    before that: the least excess so far, that of ``default`` settings included."""
    best = default
    for tolerance in TOLERANCES:
        attempt = timed_solution(solve, excess, tolerance)
        if attempt["reached"]:
            return attempt
        best = min(best, attempt, key=lambda one: one["excess"])
        if attempt["seconds_once"] > cap:
            break
    return best


def timed_solution(solve: Solver, excess: Callable[[list[np.ndarray]], float], tolerance: float | None) -> dict:
    start = time.perf_counter()
    u = solve(tolerance)
    seconds = time.perf_counter() - start
    above = excess(u)
    return {"tolerance": tolerance, "excess": above, "reached": above <= TARGET, "seconds_once": seconds, "u": u}


# ---- differentiation by plain autograd ----


def newton_unrolled(v: Tensor, C: float, steps: int = 20) -> Tensor:
    """Undamped Newton in the dual as one would write it, recorded step by step by autograd. Stops when S repeats."""
    target = torch.arange(1, len(v) + 1, dtype=v.dtype, device=v.device)
    kernel = v @ v.T
    alpha, sides = torch.zeros_like(target), None
    for _ in range(steps):
        residual = target - kernel @ alpha
        now = torch.where(residual.abs() > EPSILON, residual.sign(), 0.0)
        if sides is not None and torch.equal(now, sides):
            break
        sides = now
        inside = sides.nonzero()[:, 0]
        system = kernel[inside][:, inside] + torch.eye(len(inside), dtype=v.dtype, device=v.device) / C
        solution = torch.linalg.solve(system, target[inside] - EPSILON * sides[inside])
        alpha = torch.zeros_like(target).index_put((inside,), solution)
    return v.T @ alpha


def gradient_steps(v: Tensor, C: float, steps: int) -> Tensor:
    """Nesterov's accelerated gradient for the strongly convex f, step 1/L with L = 1 + C λ_max(V Vᵀ)."""
    target = torch.arange(1, len(v) + 1, dtype=v.dtype, device=v.device)
    with torch.no_grad():
        L = 1 + C * float(torch.linalg.matrix_norm(v, 2)) ** 2
    momentum = (L**0.5 - 1) / (L**0.5 + 1)
    u = before = v.new_zeros(v.shape[1])
    for _ in range(steps):
        ahead = u + momentum * (u - before)
        residual = target - v @ ahead
        error = residual - residual.clamp(-EPSILON, EPSILON)
        before, u = u, ahead - (ahead - C * (v.T @ error)) / L
    return u


def steps_needed(v: np.ndarray, C: float, optimum: float, most: int = 20_000) -> tuple[int, float]:
    """Accelerated gradient steps (in hundreds) until f is within 1e-6 of the optimum, and the excess there."""
    rows = torch.from_numpy(v)
    steps = 100
    while True:
        excess = objective(v, gradient_steps(rows, C, steps).numpy(), C) / optimum - 1
        if excess <= TARGET or steps >= most:
            return steps, excess
        steps = min(most, steps * 2 if steps >= 800 else steps + 100)


def cvxpy_layer(T: int, D: int, C: float):
    """The problem as a cvxpylayers layer: V [T, D] -> u [D]."""
    import cvxpy
    from cvxpylayers.torch import CvxpyLayer

    v, u = cvxpy.Parameter((T, D)), cvxpy.Variable(D)
    loss = cvxpy.pos(cvxpy.abs(np.arange(1, T + 1) - v @ u) - EPSILON)
    problem = cvxpy.Problem(cvxpy.Minimize(0.5 * cvxpy.sum_squares(u) + 0.5 * C * cvxpy.sum_squares(loss)))
    return CvxpyLayer(problem, parameters=[v], variables=[u])
