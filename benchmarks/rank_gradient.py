"""Gradient through rank pooling: exact and diagonal against the forward pass, plain autograd and cvxpylayers.

``newton_unrolled`` and ``steps_unrolled`` are what one would write with autograd alone: a Newton solver, and as many
accelerated gradient steps as bring the objective within 1e-6 of the optimum. ``difference_to_exact`` is
‖G − G_exact‖ / ‖G_exact‖; for ``steps_unrolled`` it holds what those steps still lack, and for cvxpylayers the
tolerance of its solver.
"""

import numpy as np
import rank_peers as peers
import torch
from rank_data import SOURCES, frames, prepared
from rank_timing import Run, Settings, measure, medians, ratio, shown, to_numpy

from vidfeat.errors import UsageError
from vidfeat.pooling import rank_pool

MOST_UNROLLED = 1000  # T above which the gradient steps would take minutes


def gradient_section(settings: Settings) -> list[dict]:
    try:
        rank_pool(torch.eye(3, requires_grad=True), gradient="exact").sum().backward()
    except (TypeError, UsageError) as error:
        return [shown({"not_available": str(error)})]
    sizes = [(60, 512)] if settings.quick else [(T, D) for T in (60, 200, 1000) for D in (512, 4096)]
    sizes = [(T, D) for T, D in sizes if settings.longest >= T]
    sources = SOURCES[:1] if settings.quick else settings.sources
    cases = [gradient_case(settings, source, T, D, C) for source in sources for T, D in sizes for C in (2.0, 200.0)]
    return [*cases, *(cvxpy_case(settings, T, D, 2.0) for T, D in ((20, 10), (60, 128), (100, 256)))]


def gradient_case(settings: Settings, source: str, T: int, D: int, C: float) -> dict:
    v32 = prepared(frames(source, T, D))
    v64 = v32.astype(np.float64)
    t32, t64 = settings.tensor(v32), settings.tensor(v64)
    upstream = settings.tensor(direction(D))
    pools = {
        "forward": lambda v: rank_pool(v, C),
        "exact": lambda v: rank_pool(v, C, gradient="exact"),
        "diag": lambda v: rank_pool(v, C, gradient="diag"),
    }
    unrolled = {"newton_unrolled": lambda v: peers.newton_unrolled(v, C)}
    case = {"source": source, "T": T, "D": D, "C": C}
    if T < MOST_UNROLLED:
        optimum = peers.objective(v64, to_numpy(rank_pool(t64, C)), C)
        steps, case["gradient_steps_excess"] = peers.steps_needed(v64, C, optimum)
        case["gradient_steps"] = steps
        unrolled["steps_unrolled"] = lambda v: peers.gradient_steps(v, C, steps)
    runs: dict[str, Run] = {}
    for dtype, v in (("float64", t64), ("float32", t32)):
        for name, pool in pools.items():
            runs[f"{name}_{dtype}"] = (
                forward(pool, v) if name == "forward" else forward_backward(pool, v, upstream.to(v.dtype))
            )
    for name, pool in unrolled.items():
        runs[name] = forward_backward(pool, t64, upstream)
    gradients = {name: run() for name, run in runs.items() if not name.startswith("forward")}
    exact = gradients["exact_float64"]
    case["difference_to_exact"] = {name: difference(found, exact) for name, found in gradients.items()}
    case["cosine_of_diag"] = peers.cosine(to_numpy(gradients["diag_float64"]), to_numpy(exact))
    seconds = measure(runs, settings)
    case |= {"seconds": medians(seconds), "rounds": seconds}
    case["over_forward"] = {
        f"{kind}_{dtype}": ratio(seconds[f"{kind}_{dtype}"], seconds[f"forward_{dtype}"])
        for kind in ("exact", "diag")
        for dtype in ("float64", "float32")
    }
    case["exact_over_diag"] = ratio(seconds["exact_float64"], seconds["diag_float64"])
    case["speedup"] = {name: ratio(seconds[name], seconds["exact_float64"]) for name in unrolled}
    return shown(case)


def cvxpy_case(settings: Settings, T: int, D: int, C: float) -> dict:
    """Small sizes, all that a generic differentiable layer can do in reasonable time; on the CPU on both sides."""
    case = {"peer": "cvxpylayers", "T": T, "D": D, "C": C}
    try:
        layer = peers.cvxpy_layer(T, D, C)
    except ImportError as error:
        return shown(case | {"not_available": str(error)})
    v, upstream = (
        torch.from_numpy(prepared(frames("synthetic", T, D)).astype(np.float64)),
        torch.from_numpy(direction(D)),
    )
    fine = {"eps": 1e-8, "max_iters": 100_000}
    pools = {
        "ours": lambda v: rank_pool(v, C),
        "cvxpylayers_default": lambda v: layer(v)[0],
        "cvxpylayers_1e-8": lambda v: layer(v, solver_args=fine)[0],
        "newton_unrolled": lambda v: peers.newton_unrolled(v, C),
    }
    runs = {name: forward_backward(pool, v, upstream) for name, pool in pools.items()}
    exact = runs["ours"]()
    case["difference_to_exact"] = {name: difference(run(), exact) for name, run in runs.items()}
    seconds = measure(runs, settings)
    case |= {"seconds": medians(seconds), "rounds": seconds}
    case["speedup"] = {name: ratio(seconds[name], seconds["ours"]) for name in pools if name != "ours"}
    return shown(case)


def forward(pool, v: torch.Tensor) -> Run:
    def run() -> torch.Tensor:
        with torch.no_grad():
            return pool(v)

    return run


def forward_backward(pool, v: torch.Tensor, upstream: torch.Tensor) -> Run:
    def run() -> torch.Tensor:
        leaf = v.detach().requires_grad_()
        pool(leaf).backward(upstream)
        return leaf.grad

    return run


def direction(D: int) -> np.ndarray:
    """∂L/∂u of an imagined loss."""
    return np.random.Generator(np.random.PCG64(1)).standard_normal(D)


def difference(found: torch.Tensor, exact: torch.Tensor) -> float:
    return float((found.to(exact.dtype) - exact).norm() / exact.norm())
