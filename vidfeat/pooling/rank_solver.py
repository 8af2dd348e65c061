"""Exact solver of the rank-pooling problem, in float64, with a certificate, for many videos in step.

    u* = argmin_u  f(u) = ½‖u‖² + (C/2) Σ_t max(|t − u·v_t| − ε, 0)²          t = 1…T

With the residual r_t = t − u·v_t, S = {t : |r_t| > ε}, s_t = sign r_t and e_t = r_t − ε s_t on S (0 elsewhere), the
optimum is u = Σ_t α_t v_t with α = C e, and α maximises the dual

    D(α) = −½ αᵀKα + Σ_t (t α_t − ε|α_t| − α_t²/(2C)),   K = V Vᵀ.

f is piecewise quadratic, so Newton's method that never lets f rise ends after finitely many steps: full steps as long
as they lower f, else the exact minimum along the step. Undamped Newton can cycle.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from vidfeat.pooling.rank_spaces import FeatureSpace, FrameSpace

# Relative duality gap below which rounding leaves nothing to gain, and the one that counts as converged.
_ROUNDING = 1e-14
CERTIFIED = 1e-9
# A larger gap than this after the last step comes from the solves of the Newton systems, not from the sets.
_SUSPICIOUS = 1e-12
MAX_STEPS = 500
# So many steps in a row that lower neither f nor the gap say that only rounding is left.
_PATIENCE = 10


@dataclass(frozen=True)
class Point:
    """Iterates of a batch, with their certificates."""

    x: Tensor  # unknown of the space [B, …]
    dual: Tensor  # α [B, T]
    residual: Tensor  # t − u·v_t [B, T], 0 where there is no frame
    error: Tensor  # e_t [B, T]: the part of the residual outside the tube, with its sign
    objective: Tensor  # f(u) [B]
    relative_gap: Tensor  # (f(u) − D(α)) / f(u) [B], 0 when f(u) = 0

    @property
    def side(self) -> Tensor:
        """s_t on S, 0 off S."""
        return self.error.sign()

    def of_videos(self, videos: Tensor) -> "Point":
        return Point(*(tensor[videos] for tensor in vars(self).values()))

    def replaced(self, videos: Tensor, other: "Point") -> "Point":
        """This point with the videos numbered ``videos`` from ``other``."""
        if len(videos) == len(self.objective):
            return other
        pairs = zip(vars(self).values(), vars(other).values(), strict=True)
        return Point(*(mine.index_copy(0, videos, theirs) for mine, theirs in pairs))


def solve(
    space: FrameSpace | FeatureSpace, epsilon: float, start: Tensor | None = None, max_steps: int = MAX_STEPS
) -> tuple[Point, Tensor]:
    """Solve the problems of all videos of ``space``, from ``start`` (default 0): the points, and Newton steps [B]."""
    target = torch.arange(1, space.real.shape[1] + 1, dtype=torch.float64, device=space.real.device) * space.real
    x = target.new_zeros(len(target), space.size) if start is None else start
    point = _certify(space, x, space.predict(x), target, epsilon)
    point, steps = _descend(space, point, target, epsilon, max_steps)
    doubtful = _numbers([i for i, gap in enumerate(point.relative_gap.tolist()) if gap > _SUSPICIOUS], target)
    if len(doubtful) and max_steps:
        slow = space.of_videos(doubtful).careful()
        careful, more = _descend(slow, point.of_videos(doubtful), target[doubtful], epsilon, max_steps)
        point = point.replaced(doubtful, careful)
        steps[doubtful] += more
    return point, steps


def _descend(space, point: Point, target: Tensor, epsilon: float, max_steps: int) -> tuple[Point, Tensor]:
    """Newton's method for all videos in step; those that are done leave the batch when they are the half of it."""
    best, count = point, len(target)
    smallest, objective = point.relative_gap.tolist(), point.objective.tolist()
    going = [gap > _ROUNDING for gap in smallest]
    steps, idle = [0] * count, [0] * count
    todo = list(range(count))  # the video of each row
    for _ in range(max_steps):
        if sum(going) * 2 <= len(todo) and not all(going):
            rows = [row for row, is_going in enumerate(going) if is_going]
            keep = _numbers(rows, target)
            todo, going, objective = [todo[row] for row in rows], [True] * len(rows), [objective[row] for row in rows]
            space, point, target = space.of_videos(keep), point.of_videos(keep), target[keep]
        if not todo:
            break
        side = point.side
        newton = space.minimise(side.abs(), torch.add(target, side, alpha=-epsilon))
        new = _certify(space, newton, space.predict(newton), target, epsilon)
        # Where the sides repeat, the minimiser of this quadratic piece lies on it: the optimum, up to rounding.
        values, gaps, changes = torch.stack(
            [new.objective, new.relative_gap, (new.side - side).abs().sum(dim=1)]
        ).tolist()
        rising = [row for row in range(len(todo)) if changes[row] and not values[row] < objective[row]]
        if rising:
            new = _shortened(space, point, new, _numbers(rising, target), target, epsilon)
            values, gaps = new.objective.tolist(), new.relative_gap.tolist()
        closer = [row for row, video in enumerate(todo) if going[row] and gaps[row] < smallest[video]]
        if closer:
            part = new if len(closer) == len(todo) else new.of_videos(_numbers(closer, target))
            best = best.replaced(_numbers([todo[row] for row in closer], target), part)
        for row, video in enumerate(todo):
            if going[row]:
                lower = values[row] < objective[row] * (1 - _ROUNDING) or gaps[row] < smallest[video]
                steps[video], idle[video] = steps[video] + 1, 0 if lower else idle[video] + 1
                smallest[video] = min(smallest[video], gaps[row])
                going[row] = bool(changes[row]) and gaps[row] > _ROUNDING and idle[video] < _PATIENCE
        point, objective = new, values
    return best, _numbers(steps, target)


def _numbers(values: list[int], like: Tensor) -> Tensor:
    return torch.tensor(values, dtype=torch.int64, device=like.device)


def _certify(space, x: Tensor, fit: Tensor, target: Tensor, epsilon: float) -> Point:
    """f(u) and the duality gap, written as a sum of terms that are each ≥ 0, so that nothing cancels:

    f(u) − D(α) = ½‖u − Vᵀα‖² + Σ_t (C/2)(e_t − α_t/C)² + Σ_t (ε|α_t| − α_t clip(r_t, −ε, ε)).
    """
    residual = target - fit
    tube = residual.clamp(-epsilon, epsilon)
    error = residual - tube
    dual, distance = space.dual(x, error)
    apart = torch.add(error, dual, alpha=-1.0 / space.C)
    gap = distance + torch.linalg.vecdot(apart, apart) * (0.5 * space.C)
    gap = gap + (epsilon * dual.abs() - dual * tube).sum(dim=1)
    objective = 0.5 * space.inner(x, x, fit) + 0.5 * space.C * torch.linalg.vecdot(error, error)
    return Point(x, dual, residual, error, objective, torch.where(gap > 0, gap / objective, 0.0))


def _shortened(space, here: Point, newton: Point, rising: Tensor, target: Tensor, epsilon: float) -> Point:
    """The Newton points, with those of the videos ``rising`` replaced by the lowest points on their rays."""
    part, here, there, goal = space.of_videos(rising), here.of_videos(rising), newton.of_videos(rising), target[rising]
    move, move_fit = there.x - here.x, here.residual - there.residual
    size = _exact_step(part, here, move, move_fit, epsilon)[:, None]
    lowest = _certify(part, here.x + size * move, goal - here.residual + size * move_fit, goal, epsilon)
    return newton.replaced(rising, lowest)


def _exact_step(space, here: Point, move: Tensor, move_fit: Tensor, epsilon: float) -> Tensor:
    """The step size λ ≥ 0 ``[B]`` that minimises φ(λ) = f(u + λΔ).

    φ'(λ) = ⟨u, Δ⟩ + λ‖Δ‖² + C Σ_t e_t(λ) Δr_t rises piecewise linearly; frame t enters the tube and leaves it again at
    the λ where r_t + λ Δr_t = ∓ε. Sorting those 2T places gives φ' at each of them by one running sum.
    """
    slope = space.inner(here.x, move, move_fit) - space.C * (here.error * move_fit).sum(dim=1)  # φ'(0)
    shift = -move_fit
    toward, speed = here.residual * shift.sign(), shift.abs()
    never = torch.where(speed > 0, 0.0, torch.inf)  # frames that do not move bend nothing
    enter, leave = (-epsilon - toward) / speed + never, (epsilon - toward) / speed + never
    bend = space.C * shift.square()
    outside = (enter > 0) | (leave <= 0)
    curvature = space.inner(move, move, move_fit) + (bend * outside).sum(dim=1)
    places, order = torch.cat([enter, leave], dim=1).nan_to_num(torch.inf, torch.inf, 0.0).sort(dim=1)
    bends = torch.cat([-bend, bend], dim=1).gather(1, order) * ((places > 0) & places.isfinite())
    places = places.clamp(min=0.0)
    start = torch.cat([places.new_zeros(len(places), 1), places], dim=1)
    curvatures = curvature[:, None] + torch.cat([bends.new_zeros(len(bends), 1), bends.cumsum(dim=1)], dim=1)
    lengths = start.diff(dim=1).nan_to_num(torch.inf)
    rises = torch.cat([slope[:, None], curvatures[:, :-1] * lengths], dim=1).cumsum(dim=1)
    last = ((rises <= 0).sum(dim=1) - 1)[:, None]  # the piece on which φ' crosses zero starts here
    first = last.clamp(min=0)
    size = start.gather(1, first) - rises.gather(1, first) / curvatures.gather(1, first)
    return torch.where(last < 0, 0.0, size)[:, 0]
