"""Exact solver of the rank-pooling problem, in float64, with a certificate, for many videos in step.

    u* = argmin_u  f(u) = ½‖u‖² + (C/2) Σ_t max(|t − u·v_t| − ε, 0)²          t = 1…T

With the residual r_t = t − u·v_t, S = {t : |r_t| > ε}, s_t = sign r_t and e_t = r_t − ε s_t on S (0 elsewhere), the
optimum is u = Σ_t α_t v_t with α = C e, and α maximises the dual

    D(α) = −½ αᵀKα + Σ_t (t α_t − ε|α_t| − α_t²/(2C)),   K = V Vᵀ.

f is piecewise quadratic, so Newton's method that never lets f rise ends after finitely many steps: full steps as long
as they lower f, else the exact minimum along the step. Undamped Newton can cycle.

Matrices are the spaces' business (rank_spaces.py). The short vectors of frames here are NumPy arrays on a CPU, where
NumPy's operations on them cost a quarter of torch's, and torch tensors on a GPU; what follows is written for both.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vidfeat.pooling.rank_spaces import FeatureSpace, FrameSpace

# Relative duality gap below which rounding leaves nothing to gain, and the one that counts as converged.
_ROUNDING = 1e-14
CERTIFIED = 1e-9
# A larger gap than this after the last step comes from the solves of the Newton systems, not from the sets.
SUSPICIOUS = 1e-12
MAX_STEPS = 500
# So many steps in a row that lower neither f nor the gap say that only rounding is left.
_PATIENCE = 10


Array = Any  # np.ndarray or Tensor


@dataclass(frozen=True)
class Point:
    """Iterates of a batch, with their certificates; what decides the next step is at hand as Python numbers."""

    x: Array  # unknown of the space [B, …]
    residual: Array  # t − u·v_t [B, T], 0 where there is no frame
    error: Array  # e_t [B, T]: the part of the residual outside the tube, with its sign
    side: Array  # s_t on S, 0 off S [B, T]
    objective: list[float]  # f(u) [B]
    relative_gap: list[float]  # (f(u) − D(α)) / f(u) [B], 0 when f(u) = 0

    @property
    def arrays(self) -> tuple[Array, ...]:
        return self.x, self.residual, self.error, self.side

    def of_videos(self, videos: list[int]) -> "Point":
        if len(videos) == len(self.objective):
            return self
        figures = ([values[i] for i in videos] for values in (self.objective, self.relative_gap))
        return Point(*(array[videos] for array in self.arrays), *figures)

    def replaced(self, videos: list[int], other: "Point") -> "Point":
        """This point with the videos numbered ``videos`` from ``other``."""
        if len(videos) == len(self.objective):
            return other
        merged = [_copy(array) for array in self.arrays] + [self.objective.copy(), self.relative_gap.copy()]
        for mine, theirs in zip(merged[:4], other.arrays, strict=True):
            mine[videos] = theirs
        for row, video in enumerate(videos):
            merged[4][video], merged[5][video] = other.objective[row], other.relative_gap[row]
        return Point(*merged)


def solve(
    space: FrameSpace | FeatureSpace,
    epsilon: float,
    start: Tensor | None = None,
    max_steps: int = MAX_STEPS,
    retry: bool = True,
) -> tuple[Point, list[int]]:
    """Solve the problems of all videos of ``space``, from ``start`` (default 0): the points, and Newton steps [B].

    The arrays of the points are tensors. ``retry``: carefully, where the gap stays suspicious.
    """
    count = torch.arange(1, space.real.shape[1] + 1, dtype=torch.float64, device=space.real.device)
    target = _array(count * space.real)
    taken = [0] * len(target)
    if start is None and not space.is_compiled:
        begin = _origin(space, target, epsilon)
    else:
        x, fit, taken = space.first_steps(epsilon, start, max_steps)
        begin = _certify(space, _array(x), _array(fit), target, epsilon)
    point, steps = _descend(space, begin, target, epsilon, max_steps - max(taken))
    steps = [first + second for first, second in zip(taken, steps, strict=True)]
    doubtful = [video for video, gap in enumerate(point.relative_gap) if gap > SUSPICIOUS]
    if doubtful and max_steps and retry:
        slow = space.of_videos(doubtful).careful()
        careful, more = _descend(slow, point.of_videos(doubtful), target[doubtful], epsilon, max_steps)
        point = point.replaced(doubtful, careful)
        for video, number in zip(doubtful, more, strict=True):
            steps[video] += number
    return Point(*map(_tensor, point.arrays), point.objective, point.relative_gap), steps


def _descend(space, point: Point, target: Array, epsilon: float, max_steps: int) -> tuple[Point, list[int]]:
    """Newton's method for all videos in step; those that are done leave the batch when they are the half of it."""
    best = point
    steps, idle = [0] * len(target), [0] * len(target)
    todo = list(range(len(target)))  # the video of each row
    going = [gap > _ROUNDING for gap in point.relative_gap]
    for _ in range(max_steps):
        if not any(going):
            break
        if sum(going) * 2 <= len(todo):
            rows = [row for row, is_going in enumerate(going) if is_going]
            todo, going = [todo[row] for row in rows], [True] * len(rows)
            space, point, target = space.of_videos(rows), point.of_videos(rows), target[rows]
        arrays = abs(point.side), target - epsilon * point.side, point.x, target - point.residual
        newton = space.minimise(*map(_tensor, arrays))
        new = _certify(space, _array(newton), _array(space.predict(newton)), target, epsilon)
        # Where the sides repeat, the minimiser of this quadratic piece lies on it: the optimum, up to rounding.
        repeated = (new.side == point.side).all(axis=1).tolist()
        rising = [row for row in range(len(todo)) if not (repeated[row] or new.objective[row] < point.objective[row])]
        if rising:
            new = _shortened(space, point, new, rising, target, epsilon)
        closer = [row for row, video in enumerate(todo) if new.relative_gap[row] < best.relative_gap[video]]
        if closer:
            best = best.replaced([todo[row] for row in closer], new.of_videos(closer))
        for row, video in enumerate(todo):
            if going[row]:
                lower = row in closer or new.objective[row] < point.objective[row] * (1 - _ROUNDING)
                steps[video], idle[video] = steps[video] + 1, 0 if lower else idle[video] + 1
                going[row] = (
                    not (repeated[row] and space.is_exact)
                    and new.relative_gap[row] > _ROUNDING
                    and idle[video] < _PATIENCE
                )
        point = new
    return best, steps


def _origin(space, target: Array, epsilon: float) -> Point:
    """The point u = 0, α = 0, where all of f is gap."""
    xp = _namespace(target)
    error = xp.where(target > epsilon, target - epsilon, 0.0)
    objective = (0.5 * space.C * xp.linalg.vecdot(error, error)).tolist()
    x = _array(space.real.new_zeros(len(target), space.size))
    return Point(x, target, error, xp.sign(error), objective, [1.0 if value > 0 else 0.0 for value in objective])


def _certify(space, x: Array, fit: Array, target: Array, epsilon: float) -> Point:
    """f(u) and the duality gap, written as a sum of terms that are each ≥ 0, so that nothing cancels:

    f(u) − D(α) = ½‖u − Vᵀα‖² + Σ_t (C/2)(e_t − α_t/C)² + Σ_t (ε|α_t| − α_t clip(r_t, −ε, ε)).
    """
    xp, C = _namespace(x), space.C
    residual = target - fit
    tube = xp.clip(residual, -epsilon, epsilon)
    error = residual - tube
    norm, loss = (xp.linalg.vecdot(*pair).tolist() for pair in (space.inner(x, x, fit), (error, error)))
    objective = [0.5 * a + 0.5 * C * b for a, b in zip(norm, loss, strict=True)]
    gaps = []
    if space.defines_dual:  # the point α itself: the first term is zero
        apart = error - x / C
        inside = xp.linalg.vecdot(x, epsilon * xp.sign(x) - tube).tolist()
        gaps.append([0.5 * C * a + b for a, b in zip(xp.linalg.vecdot(apart, apart).tolist(), inside, strict=True)])
    if space.is_careful:  # the point α = C e: the other two are zero
        gaps.append(space.distance(_tensor(x), _tensor(C * error)).tolist())
    relative = [_share(min(options), value) for *options, value in zip(*gaps, objective, strict=True)]
    return Point(x, residual, error, xp.sign(error), objective, relative)


def _share(gap: float, objective: float) -> float:
    if gap <= 0:  # by rounding
        return 0.0
    return gap / objective if objective > 0 else math.nan


def _shortened(space, here: Point, newton: Point, rising: list[int], target: Array, epsilon: float) -> Point:
    """The Newton points, with those of the videos ``rising`` replaced by the lowest points on their rays."""
    part, goal, here, there = space.of_videos(rising), target[rising], here.of_videos(rising), newton.of_videos(rising)
    move, move_fit = there.x - here.x, here.residual - there.residual
    size = _exact_step(part, here, move, move_fit, epsilon)[:, None]
    lowest = _certify(part, here.x + size * move, goal - here.residual + size * move_fit, goal, epsilon)
    return newton.replaced(rising, lowest)


def _exact_step(space, here: Point, move: Array, move_fit: Array, epsilon: float) -> Array:
    """The step size λ ≥ 0 ``[B]`` that minimises φ(λ) = f(u + λΔ).

    φ'(λ) = ⟨u, Δ⟩ + λ‖Δ‖² + C Σ_t e_t(λ) Δr_t rises piecewise linearly; frame t enters the tube and leaves it again at
    the λ where r_t + λ Δr_t = ∓ε. Sorting those 2T places gives φ' at each of them by one running sum.
    """
    xp, dot = _namespace(move), _namespace(move).linalg.vecdot
    slope = dot(*space.inner(here.x, move, move_fit)) - space.C * dot(here.error, move_fit)  # φ'(0)
    toward, speed = -here.residual * xp.sign(move_fit), abs(move_fit)
    whole = xp.where(speed > 0, speed, 1.0)
    # A frame that does not move bends nothing, wherever its places are.
    enter, leave = (-epsilon - toward) / whole, (epsilon - toward) / whole
    bend = space.C * speed * speed
    outside = (enter > 0) | (leave <= 0)
    curvature = dot(*space.inner(move, move, move_fit)) + (bend * outside).sum(axis=1)
    places = xp.concatenate([enter, leave], axis=1)
    order, row = xp.argsort(places, axis=1), xp.arange(len(places), device=places.device)[:, None]
    places, bends = places[row, order], xp.concatenate([-bend, bend], axis=1)[row, order]
    bends, places = bends * (places > 0), xp.where(places > 0, places, 0.0)
    start = xp.concatenate([places[:, :1] * 0.0, places], axis=1)
    curvatures = curvature[:, None] + xp.concatenate([bends[:, :1] * 0.0, bends.cumsum(axis=1)], axis=1)
    rises = xp.concatenate([slope[:, None], curvatures[:, :-1] * (start[:, 1:] - start[:, :-1])], axis=1).cumsum(axis=1)
    last = (rises <= 0).sum(axis=1)[:, None] - 1  # the piece on which φ' crosses zero starts here
    first = xp.where(last > 0, last, 0)
    size = start[row, first] - rises[row, first] / curvatures[row, first]
    return xp.where(last < 0, 0.0, size)[:, 0]


def _namespace(array: Array) -> Any:
    return torch if isinstance(array, Tensor) else np


def _array(tensor: Tensor) -> Array:
    return tensor.numpy() if tensor.device.type == "cpu" else tensor


def _tensor(array: Array) -> Tensor:
    return array if isinstance(array, Tensor) else torch.from_numpy(array)


def _copy(array: Array) -> Array:
    return array.clone() if isinstance(array, Tensor) else array.copy()
