"""Exact solver of the rank-pooling problem, in float64, with a certificate.

    u* = argmin_u  f(u) = ½‖u‖² + (C/2) Σ_t max(|t − u·v_t| − ε, 0)²          t = 1…T

With the residual r_t = t − u·v_t, S = {t : |r_t| > ε}, s_t = sign r_t and e_t = r_t − ε s_t on S (0 elsewhere), the
optimum is u = Σ_t α_t v_t with α = C e, and α maximises the dual

    D(α) = −½ αᵀKα + Σ_t (t α_t − ε|α_t| − α_t²/(2C)),   K = V Vᵀ.

f is piecewise quadratic, so Newton's method with an exact line search ends after finitely many steps. One step solves
a T×T system (T ≤ D) or a D×D system (T > D). Undamped Newton can cycle.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

# Relative duality gap below which rounding leaves nothing to gain, and the one that counts as converged.
_ROUNDING = 1e-14
CERTIFIED = 1e-9
MAX_STEPS = 500


@dataclass(frozen=True)
class Solution:
    """What the solver knows at its last iterate; ``dual`` and ``residual`` are what a gradient needs."""

    u: Tensor  # [D]
    dual: Tensor  # α [T]
    residual: Tensor  # t − u·v_t [T]
    objective: float  # f(u)
    relative_gap: float  # (f(u) − D(α)) / f(u), 0 when f(u) = 0
    steps: int  # Newton steps taken

    @property
    def converged(self) -> bool:
        return self.relative_gap <= CERTIFIED


def solve(v: Tensor, C: float, epsilon: float, max_steps: int = MAX_STEPS) -> Solution:
    """Solve the problem for one video ``v [T, D]`` (float64, finite)."""
    space = _FrameSpace(v, C) if v.shape[0] <= v.shape[1] else _FeatureSpace(v, C)
    target = torch.arange(1, v.shape[0] + 1, dtype=v.dtype, device=v.device)
    x, fit = space.origin, torch.zeros_like(target)
    best = _certify(space, x, fit, target, C, epsilon)
    sides = _sides(target - fit, epsilon)
    steps = 0
    while best.relative_gap > _ROUNDING and steps < max_steps:
        steps += 1
        newton = space.minimise(sides, target - epsilon * sides)
        newton_fit = space.predict(newton)
        repeated = torch.equal(_sides(target - newton_fit, epsilon), sides)
        size = 1.0 if repeated else _exact_step(space, x, fit, newton, newton_fit, target, C, epsilon)
        x, fit = (newton, newton_fit) if size == 1.0 else (x + size * (newton - x), fit + size * (newton_fit - fit))
        point = _certify(space, x, fit, target, C, epsilon)
        if point.objective < best.objective or point.relative_gap < best.relative_gap:
            best = point
        if repeated:
            break  # the minimiser of this quadratic piece lies on this piece: it is the optimum, up to rounding
        sides = _sides(target - fit, epsilon)
    return Solution(space.vector(best.x), best.dual, best.residual, best.objective, best.relative_gap, steps)


def gram(v: Tensor) -> Tensor:
    """V Vᵀ; on a CPU through NumPy, whose A·Aᵀ does half the work of a general product (torch has no such routine)."""
    if v.device.type == "cpu":
        rows = v.detach().numpy()
        return torch.from_numpy(rows @ rows.T)
    return v @ v.T


@dataclass(frozen=True)
class _Point:
    """An iterate: the unknown of its space, and a :class:`Solution` without u, which costs a pass over V."""

    x: Tensor
    dual: Tensor
    residual: Tensor
    objective: float
    relative_gap: float


class _FrameSpace:
    """Unknown α [T], u = Vᵀα:  (K_SS + I/C) α_S = t_S − ε s_S, α = 0 off S.  K is all that is ever needed of V."""

    def __init__(self, v: Tensor, C: float):
        self.v, self.kernel, self.C = v, gram(v), C
        self.origin = v.new_zeros(v.shape[0])

    def minimise(self, sides: Tensor, aim: Tensor) -> Tensor:
        inside = torch.nonzero(sides, as_tuple=True)[0]
        system = self.kernel if len(inside) == len(sides) else self.kernel[inside[:, None], inside]
        alpha = torch.zeros_like(aim)
        alpha[inside] = _solve_shifted(system, 1.0 / self.C, aim[inside])
        return alpha

    def predict(self, alpha: Tensor) -> Tensor:
        return self.kernel @ alpha

    def inner(self, x: Tensor, x_fit: Tensor, y: Tensor, y_fit: Tensor) -> float:
        """⟨u_x, u_y⟩ = xᵀ K y."""
        return float(x @ y_fit)

    def vector(self, alpha: Tensor) -> Tensor:
        return self.v.T @ alpha

    def dual(self, alpha: Tensor, error: Tensor) -> tuple[Tensor, float]:
        """A dual point and ½‖u − Vᵀ(dual point)‖²: zero here, because α defines u."""
        return alpha, 0.0


class _FeatureSpace:
    """Unknown u [D]:  u = (I + C V_SᵀV_S)⁻¹ C V_Sᵀ (t_S − ε s_S)."""

    def __init__(self, v: Tensor, C: float):
        self.v, self.C = v, C
        self.origin = v.new_zeros(v.shape[1])

    def minimise(self, sides: Tensor, aim: Tensor) -> Tensor:
        inside = torch.nonzero(sides, as_tuple=True)[0]
        rows = self.v if len(inside) == len(sides) else self.v[inside]
        return _solve_shifted(gram(rows.T), 1.0 / self.C, rows.T @ aim[inside])

    def predict(self, u: Tensor) -> Tensor:
        return self.v @ u

    def inner(self, x: Tensor, x_fit: Tensor, y: Tensor, y_fit: Tensor) -> float:
        return float(x @ y)

    def vector(self, u: Tensor) -> Tensor:
        return u

    def dual(self, u: Tensor, error: Tensor) -> tuple[Tensor, float]:
        alpha = self.C * error
        return alpha, 0.5 * float((u - self.v.T @ alpha).square().sum())


def _solve_shifted(matrix: Tensor, shift: float, right: Tensor) -> Tensor:
    """Solve (matrix + shift·I) x = right for a positive semidefinite matrix."""
    shifted = matrix.clone()
    shifted.diagonal().add_(shift)
    factor, failed = torch.linalg.cholesky_ex(shifted)
    if not failed:
        return torch.cholesky_solve(right[:, None], factor)[:, 0]
    # The shift is below the rounding of the matrix: eigenvalues that should be ≥ 0 came out negative.
    values, vectors = torch.linalg.eigh(matrix)
    return vectors @ ((vectors.T @ right) / (values.clamp(min=0.0) + shift))


def _sides(residual: Tensor, epsilon: float) -> Tensor:
    """s_t on S, 0 off S."""
    return torch.where(residual.abs() > epsilon, torch.sign(residual), 0.0)


def _error(residual: Tensor, epsilon: float) -> Tensor:
    """e_t: the part of the residual outside the tube, with its sign."""
    return residual - residual.clamp(-epsilon, epsilon)


def _certify(space, x, fit, target, C: float, epsilon: float) -> _Point:
    """f(u) and the duality gap, written as a sum of terms that are each ≥ 0, so that nothing cancels:

    f(u) − D(α) = ½‖u − Vᵀα‖² + Σ_t (C/2)(e_t − α_t/C)² + Σ_t (ε|α_t| − α_t clip(r_t, −ε, ε)).
    """
    residual = target - fit
    error = _error(residual, epsilon)
    dual, distance = space.dual(x, error)
    tube = epsilon * dual.abs() - dual * residual.clamp(-epsilon, epsilon)
    gap = distance + float((0.5 * C * (error - dual / C).square() + tube).sum())
    objective = 0.5 * space.inner(x, fit, x, fit) + 0.5 * C * float(error.square().sum())
    return _Point(x, dual, residual, objective, gap / objective if gap > 0 else 0.0)


def _exact_step(space, x, fit, newton, newton_fit, target, C: float, epsilon: float) -> float:
    """The step size λ > 0 that minimises f on the ray from x through the Newton point.

    φ'(λ) = ⟨u, Δ⟩ + λ‖Δ‖² + C Σ_t e_t(λ) Δr_t rises piecewise linearly; frame t enters the tube and leaves it again at
    the λ where r_t + λ Δr_t = ∓ε. Sorting those 2T places gives φ' at each of them by one running sum.
    """
    move, move_fit = newton - x, newton_fit - fit
    residual, shift = target - fit, -move_fit
    slope = space.inner(x, fit, move, move_fit) + C * float((_error(residual, epsilon) * shift).sum())
    moving = shift != 0
    residual, shift = residual[moving], shift[moving]
    enter, leave = (-epsilon - residual * shift.sign()) / shift.abs(), (epsilon - residual * shift.sign()) / shift.abs()
    bend = C * shift.square()
    outside = (enter > 0) | (leave <= 0)
    curvature = space.inner(move, move_fit, move, move_fit) + float(bend[outside].sum())
    places, order = torch.cat([enter, leave]).sort()
    bends = torch.cat([-bend, bend])[order]
    ahead = places > 0
    places, bends = places[ahead], bends[ahead]
    start = torch.cat([places.new_zeros(1), places])
    curvatures = curvature + torch.cat([bends.new_zeros(1), bends.cumsum(0)])
    slopes = slope + torch.cat([bends.new_zeros(1), (curvatures[:-1] * start.diff()).cumsum(0)])
    last = int((slopes <= 0).sum()) - 1  # the piece on which φ' crosses zero starts here
    if last < 0:
        return 0.0
    return float(start[last] - slopes[last] / curvatures[last])
