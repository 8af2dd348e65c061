"""Exact solver of the rank-pooling problem, in float64, with a certificate, for many videos in step.

    u* = argmin_u  f(u) = ½‖u‖² + (C/2) Σ_t max(|t − u·v_t| − ε, 0)²          t = 1…T

With the residual r_t = t − u·v_t, S = {t : |r_t| > ε}, s_t = sign r_t and e_t = r_t − ε s_t on S (0 elsewhere), the
optimum is u = Σ_t α_t v_t with α = C e, and α maximises the dual

    D(α) = −½ αᵀKα + Σ_t (t α_t − ε|α_t| − α_t²/(2C)),   K = V Vᵀ.

f is piecewise quadratic, so Newton's method that never lets f rise ends after finitely many steps: full steps as long
as they lower f, else the exact minimum along the step. Undamped Newton can cycle.
"""

import math
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
    """Iterates of a batch, with their certificates; what decides the next step is at hand as Python numbers."""

    x: Tensor  # unknown of the space [B, …]
    residual: Tensor  # t − u·v_t [B, T], 0 where there is no frame
    error: Tensor  # e_t [B, T]: the part of the residual outside the tube, with its sign
    side: Tensor  # s_t on S, 0 off S [B, T]
    objective: list[float]  # f(u) [B]
    relative_gap: list[float]  # (f(u) − D(α)) / f(u) [B], 0 when f(u) = 0

    def of_videos(self, videos: list[int]) -> "Point":
        index = _numbers(videos, self.x)
        tensors = (tensor[index] for tensor in (self.x, self.residual, self.error, self.side))
        return Point(*tensors, *([values[i] for i in videos] for values in (self.objective, self.relative_gap)))

    def replaced(self, videos: list[int], other: "Point") -> "Point":
        """This point with the videos numbered ``videos`` from ``other``."""
        if len(videos) == len(self.objective):
            return other
        index, merged = _numbers(videos, self.x), []
        for mine, theirs in zip(vars(self).values(), vars(other).values(), strict=True):
            if isinstance(mine, Tensor):
                merged.append(mine.index_copy(0, index, theirs))
            else:
                new = dict(zip(videos, theirs, strict=True))
                merged.append([new.get(i, value) for i, value in enumerate(mine)])
        return Point(*merged)


def solve(
    space: FrameSpace | FeatureSpace, epsilon: float, start: Tensor | None = None, max_steps: int = MAX_STEPS
) -> tuple[Point, list[int]]:
    """Solve the problems of all videos of ``space``, from ``start`` (default 0): the points, and Newton steps [B]."""
    target = torch.arange(1, space.real.shape[1] + 1, dtype=torch.float64, device=space.real.device) * space.real
    x = target.new_zeros(len(target), space.size) if start is None else start
    fit = torch.zeros_like(target) if start is None else space.predict(x)
    point, steps = _descend(space, _certify(space, x, fit, target, epsilon), target, epsilon, max_steps)
    doubtful = [video for video, gap in enumerate(point.relative_gap) if gap > _SUSPICIOUS]
    if doubtful and max_steps:
        slow, goal = space.of_videos(_numbers(doubtful, target)).careful(), target[_numbers(doubtful, target)]
        careful, more = _descend(slow, point.of_videos(doubtful), goal, epsilon, max_steps)
        point = point.replaced(doubtful, careful)
        for video, number in zip(doubtful, more, strict=True):
            steps[video] += number
    return point, steps


def _descend(space, point: Point, target: Tensor, epsilon: float, max_steps: int) -> tuple[Point, list[int]]:
    """Newton's method for all videos in step; those that are done leave the batch when they are the half of it."""
    best = point
    steps, idle = [0] * len(target), [0] * len(target)
    todo = list(range(len(target)))  # the video of each row
    going = [gap > _ROUNDING for gap in point.relative_gap]
    for _ in range(max_steps):
        if sum(going) * 2 <= len(todo) and not all(going):
            rows = [row for row, is_going in enumerate(going) if is_going]
            todo, going, index = [todo[row] for row in rows], [True] * len(rows), _numbers(rows, target)
            space, point, target = space.of_videos(index), point.of_videos(rows), target[index]
        if not todo:
            break
        newton = space.minimise(point.side.abs(), torch.add(target, point.side, alpha=-epsilon))
        new = _certify(space, newton, space.predict(newton), target, epsilon)
        # Where the sides repeat, the minimiser of this quadratic piece lies on it: the optimum, up to rounding.
        repeated = (new.side == point.side).all(dim=1).tolist()
        rising = [row for row in range(len(todo)) if not (repeated[row] or new.objective[row] < point.objective[row])]
        if rising:
            new = _shortened(space, point, new, rising, target, epsilon)
        closer = [row for row, video in enumerate(todo) if new.relative_gap[row] < best.relative_gap[video]]
        if closer:
            best = best.replaced(
                [todo[row] for row in closer], new if len(closer) == len(todo) else new.of_videos(closer)
            )
        for row, video in enumerate(todo):
            if going[row]:
                lower = row in closer or new.objective[row] < point.objective[row] * (1 - _ROUNDING)
                steps[video], idle[video] = steps[video] + 1, 0 if lower else idle[video] + 1
                going[row] = not repeated[row] and new.relative_gap[row] > _ROUNDING and idle[video] < _PATIENCE
        point = new
    return best, steps


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
    dots = [space.inner(x, x, fit), _dot(error, error), _dot(apart, apart), _dot(dual, dual.sign() * epsilon - tube)]
    dots = torch.stack(dots if distance is None else [*dots, distance]).T.tolist()
    objective = [0.5 * norm + 0.5 * space.C * loss for norm, loss, *_ in dots]
    gaps = [0.5 * space.C * apart + tube + sum(distance) for _, _, apart, tube, *distance in dots]
    relative = [gap / value if gap > 0 else 0.0 if gap <= 0 else math.nan
                for gap, value in zip(gaps, objective, strict=True)]  # fmt: skip
    return Point(x, residual, error, error.sign(), objective, relative)


def _dot(x: Tensor, y: Tensor) -> Tensor:
    return torch.linalg.vecdot(x, y)


def _shortened(space, here: Point, newton: Point, rising: list[int], target: Tensor, epsilon: float) -> Point:
    """The Newton points, with those of the videos ``rising`` replaced by the lowest points on their rays."""
    index = _numbers(rising, target)
    part, here, there, goal = space.of_videos(index), here.of_videos(rising), newton.of_videos(rising), target[index]
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
