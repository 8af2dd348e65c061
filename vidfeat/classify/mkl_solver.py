"""Weights of nodes by multiple-kernel learning: SimpleMKL's problem, and the alternating scheme of Eq. 3."""

import warnings
from dataclasses import dataclass

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from vidfeat.classify.mkl_machines import Machines, Point
from vidfeat.classify.mkl_simplex import excess, simplex_qp, uniform_weights

_TRIALS = 12  # step lengths
_ARMIJO = 1e-4
_NO_STEP = 1e-13  # expected fall of J, as a share of it, that rounding cannot tell from none


@dataclass(frozen=True)
class Solution:
    """Weights, the machines trained at them, and what is certain about both."""

    point: Point
    gap: float  # relative: duality gap (concatenation), else stationarity with the gap of the machines
    stationarity: float  # Σ over simplices of max_n fall_n − Σ β_n fall_n, at the machines' α
    steps: int
    converged: bool


def judged(point: Point, groups: list[np.ndarray], steps: int, tol: float = np.inf) -> Solution:
    """What is certain at a point.

    In concatenation the minimum of J over β lies between Σ_c 1ᵀα_c − max_n q_n (any α will do) and the primal values
    of the machines, so that the gap, (max_n q_n − Σ β_n q_n + the machines' own gaps) / J, is a certificate.
    """
    stationarity = excess(point.fall, point.beta, groups)
    gap = (max(stationarity, 0.0) + point.svm_gap) / abs(point.value)
    return Solution(point, gap, stationarity, steps, gap <= tol)


def simplemkl(machines: Machines, groups: list[np.ndarray], averaging: bool, tol: float, max_iter: int) -> Solution:
    """min over β on the simplices of J(β) = Σ_c max_α (1ᵀα − ½ aᵀK(β)a), from uniform weights.

    Each step minimises a quadratic model over the simplices, of −1/J as far as that is convex, with ∇J = −falls and
    :func:`_hessian`, and goes as far towards its minimum as J falls. J is convex for concatenation; for averaging a
    local minimum is found.

    Source: A. Rakotomamonjy, F. Bach, S. Canu, Y. Grandvalet, *SimpleMKL*, 2008 (problem and gradient; its reduced
    gradient step takes many more machines); O. Chapelle, A. Rakotomamonjy, *Second order optimization of kernel
    parameters*, 2008 (second derivative).
    """
    found = judged(machines.at(uniform_weights(groups)), groups, 0, tol)
    while not found.converged and found.steps < max_iter:
        point = found.point
        hessian = _hessian(machines, point, averaging)
        target = simplex_qp(hessian, -point.fall - hessian @ point.beta, point.beta, groups)
        step = _line_search(machines, point, target - point.beta)
        if step is None:
            break
        found = judged(step, groups, found.steps + 1, tol)
    _warn(found, tol)
    return found


def _hessian(machines: Machines, point: Point, averaging: bool) -> np.ndarray:
    """Second derivative ``[nodes, nodes]`` of what a step minimises: J² times that of −1/J, as far as it is positive.

    Averaging kernels are quadratic in β, so that to the bend of J comes what K does while α stays: −M. The negative
    part of the sum is left out.

    Where no item is at the bound, J(sβ) = J(β)/s, and 1/J (of one machine, its squared margin) is concave with little
    curvature: a quadratic model of it holds from β = 1/N to β = 1, one of J only as far as β doubles.
    """
    hessian = machines.bend(point)
    if averaging:
        values, vectors = np.linalg.eigh(hessian - machines.space.cross(point.A))
        hessian = (vectors * np.maximum(values, 0.0)) @ vectors.T
    ridge = 1e-6 * max(float(np.trace(hessian)) / len(hessian), 1e-6 * float(point.fall.max()))
    hessian[np.diag_indices(len(hessian))] += ridge
    slope = -point.fall
    share = min(2.0 / point.value, 0.999 / float(slope @ np.linalg.solve(hessian, slope)))
    return hessian - share * np.outer(slope, slope)


def _line_search(machines: Machines, point: Point, direction: np.ndarray) -> Point | None:
    """The first point on the way that has a lower J; None if there is none that rounding can tell."""
    slope = -float(point.fall @ direction)
    if not slope < -_NO_STEP * abs(point.value):
        return None
    length = 1.0
    for _ in range(_TRIALS):
        beta = np.maximum(point.beta + length * direction, 0.0)
        new = machines.at(beta, point)
        if new.value <= point.value + _ARMIJO * length * slope:
            return new
        end = -float(new.fall @ direction)
        # Where a straight line through both slopes is 0.
        length *= float(np.clip(slope / (slope - end), 0.05, 0.7)) if end > slope else 0.5
    return None


def alternating(machines: Machines, groups: list[np.ndarray], averaging: bool, max_iter: int) -> Solution:
    """Eq. 3 as printed: in turn α by the SVM and β = argmin of Σ_n β_n q_n (a vertex) or ½ βᵀMβ, until β stays.

    Minimising over α and β alike *raises* J(β) over β: the scheme looks for the nodes that separate worst. It is here
    for the record.

    Source: A. Mazari, H. Sahbi, *Action Recognition with Deep Multiple Aggregation Networks*, 2020, Eq. 3.
    """
    point = machines.at(uniform_weights(groups))
    for step in range(1, max_iter + 1):
        if averaging:
            M = machines.space.cross(point.A)
            beta = simplex_qp(M, np.zeros(len(M)), point.beta, groups)
        else:
            beta = np.zeros_like(point.beta)
            for group in groups:
                beta[group[np.argmin(point.fall[group])]] = 1.0
        if np.abs(beta - point.beta).max() < 1e-6:
            return judged(point, groups, step)
        point = machines.at(beta, point)
    warnings.warn(
        f"The alternating scheme did not come to rest within {max_iter} steps.", ConvergenceWarning, stacklevel=4
    )
    return judged(point, groups, max_iter, 0.0)


def _warn(found: Solution, tol: float) -> None:
    if not found.converged:
        warnings.warn(
            f"The weights were found to a relative gap of {found.gap:.2g} only, not {tol:g}, in {found.steps} steps.",
            ConvergenceWarning,
            stacklevel=4,
        )
