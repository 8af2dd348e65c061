"""Newton's method for one video in frame space, compiled for a CPU: the steps of rank_solver.py without its calls.

A step on a few hundred frames takes some ten microseconds of arithmetic; a dozen calls of a library on short arrays
take ten times that. What this returns is a point to start from: rank_solver.py certifies it, and goes on from there
where it must. Formulas and rules are those of rank_solver.py and rank_factor.py.
"""

import numpy as np

from vidfeat.compiled import compiled
from vidfeat.pooling.frame_kernels import combine_and_predict

# Sums may be taken in any order; NaN and infinity stay what they are.
_SUMS = {"fastmath": {"reassoc", "contract", "nsz"}, "error_model": "numpy"}

_ROUNDING = 1e-14
_PATIENCE = 10
# As in rank_factor.py: of more frames than this share it is cheaper to factor anew, which is left to the caller.
_SHARE = 3
# Right sides that are solved, or multiplied with others, while a row stays in the cache.
_TOGETHER = 8


@compiled(**_SUMS)
def descend(kernel, base, C, epsilon, alpha, most):
    """Lower f from ``alpha [T]``, which becomes the point with the smallest relative gap that was met; steps taken.

    Args:
        kernel: K ``[T, T]``.
        base: lower factor of K + I/C.
        alpha: float64, where to start.
        most: steps at most. It ends earlier where only rounding is left, or too many frames lie inside the tube.
    """
    T = len(alpha)
    # L⁻¹e_t of the frames that were taken out once, by rows, and their inner products; of each frame its row.
    columns, products, place = np.empty((T, T)), np.empty((T, T)), np.full(T, -1)
    known = 0
    fit, residual, error, side = np.empty(T), np.empty(T), np.empty(T), np.empty(T)
    new, new_fit, new_residual = np.empty(T), np.empty(T), np.empty(T)
    new_error, new_side, half = np.empty(T), np.empty(T), np.empty(T)
    here = alpha.copy()
    _predict(kernel, here, fit)
    objective, gap = _certify(here, fit, C, epsilon, residual, error, side)
    least, idle, steps = gap, 0, 0
    while steps < most and gap > _ROUNDING and idle < _PATIENCE:
        out = np.nonzero(side == 0.0)[0]
        if len(out) * _SHARE > T:
            break
        known = _take_out(base, out, columns, products, place, known)
        for t in range(T):
            half[t] = (t + 1 - epsilon * side[t]) * abs(side[t])
        _newton(base, columns, products, place, out, half, new)
        _predict(kernel, new, new_fit)
        new_objective, new_gap = _certify(new, new_fit, C, epsilon, new_residual, new_error, new_side)
        repeated = np.array_equal(new_side, side)
        if not (repeated or new_objective < objective):
            size = _exact_step(here, fit, residual, error, new, new_fit, C, epsilon)
            for t in range(T):
                new[t] = here[t] + size * (new[t] - here[t])
                new_fit[t] = fit[t] + size * (new_fit[t] - fit[t])
            new_objective, new_gap = _certify(new, new_fit, C, epsilon, new_residual, new_error, new_side)
        steps += 1
        lower = new_gap < least or new_objective < objective * (1 - _ROUNDING)
        idle = 0 if lower else idle + 1
        if new_gap < least:
            least = new_gap
            alpha[:] = new
        here, new, fit, new_fit, residual, new_residual = new, here, new_fit, fit, new_residual, residual
        error, new_error, side, new_side = new_error, error, new_side, side
        objective, gap = new_objective, new_gap
        if repeated:
            break
    return steps


@compiled(**_SUMS)
def correct(v, kernel, base, C, epsilon, alpha, fit):
    """One Newton step from ``alpha [T]``, with K = V Vᵀ from the frames ``v`` themselves; 1, or 0 if too many frames
    lie inside the tube for ``base``. Sets ``fit`` to K alpha.

    Args:
        v: float32 ``[T, D]``.
        kernel, base: K with an error, and its lower factor, as for :func:`descend`.
    """
    T = len(alpha)
    u, right = np.empty(v.shape[1]), np.empty(T)
    residual, error, side = np.empty(T), np.empty(T), np.empty(T)
    combine_and_predict(v, alpha, u, fit)
    _certify(alpha, fit, C, epsilon, residual, error, side)
    out = np.nonzero(side == 0.0)[0]
    if len(out) * _SHARE > T:
        return 0
    for t in range(T):
        right[t] = t + 1 - epsilon * side[t] - fit[t] - alpha[t] / C
    for t in out:
        for i in range(T):
            right[i] += kernel[t, i] * alpha[t]
        alpha[t] = 0.0
    right[out] = 0.0
    columns, products, place = np.empty((len(out), T)), np.empty((len(out), len(out))), np.full(T, -1)
    _take_out(base, out, columns, products, place, 0)
    change = np.empty(T)
    _newton(base, columns, products, place, out, right, change)
    for t in range(T):
        alpha[t] += change[t]
    combine_and_predict(v, alpha, u, fit)
    return 1


@compiled(**_SUMS)
def _certify(alpha, fit, C, epsilon, residual, error, side):
    """f(u) and the relative duality gap; sets residual, error and side."""
    norm = loss = apart = inside = 0.0
    for t in range(len(alpha)):
        residual[t] = t + 1 - fit[t]
        tube = min(max(residual[t], -epsilon), epsilon)
        error[t] = residual[t] - tube
        side[t] = np.sign(error[t])
        norm += alpha[t] * fit[t]
        loss += error[t] * error[t]
        apart += (error[t] - alpha[t] / C) ** 2
        inside += alpha[t] * (epsilon * np.sign(alpha[t]) - tube)
    objective, gap = 0.5 * norm + 0.5 * C * loss, 0.5 * C * apart + inside
    if gap <= 0.0:
        return objective, 0.0
    return objective, gap / objective if objective > 0.0 else np.nan


@compiled(**_SUMS)
def _predict(kernel, alpha, fit):
    """K α."""
    for t in range(len(fit)):
        row, total = kernel[t], 0.0
        for i in range(len(alpha)):
            total += row[i] * alpha[i]
        fit[t] = total


@compiled(**_SUMS)
def _take_out(base, out, columns, products, place, known):
    """Adds L⁻¹e_t of those of the frames ``out`` that are not among the ``known`` rows of ``columns`` yet, and their
    inner products with all before, ``products [i, k]``, k ≤ i; how many are known then."""
    T, first = len(base), known
    frames = np.empty(len(out), np.int64)
    for t in out:
        if place[t] < 0:
            frames[known - first] = t
            place[t] = known
            known += 1
    for start in range(first, known, _TOGETHER):
        stop = min(start + _TOGETHER, known)
        for c in range(start, stop):
            t = frames[c - first]
            columns[c, :t] = 0.0
            columns[c, t] = 1.0 / base[t, t]
        for i in range(frames[start - first] + 1, T):
            row = base[i]
            for c in range(start, stop):
                t = frames[c - first]
                if t < i:
                    columns[c, i] = -_dot(row[t:i], columns[c, t:i]) / row[i]
        for k in range(stop):
            for c in range(max(start, k), stop):
                t = frames[c - first]
                products[c, k] = _dot(columns[c, t:], columns[k, t:])
    return known


@compiled(**_SUMS)
def _newton(base, columns, products, place, out, half, result):
    """(K_SS + I/C)⁻¹ of the right side ``half``, 0 on the frames ``out``; ``half`` is overwritten."""
    T, count = len(half), len(out)
    for i in range(T):
        row, total = base[i], 0.0
        for k in range(i):
            total += row[k] * half[k]
        half[i] = (half[i] - total) / row[i]
    if count:
        inner, pull = np.empty((count, count)), np.empty(count)
        for i in range(count):
            column = columns[place[out[i]]]
            pull[i] = _dot(column[out[i] :], half[out[i] :])
            for k in range(i + 1):
                one, other = place[out[i]], place[out[k]]
                inner[i, k] = products[max(one, other), min(one, other)]
        _solve_in_place(inner, pull)
        for i in range(count):
            column, rest = columns[place[out[i]], out[i] :], half[out[i] :]
            for t in range(len(rest)):
                rest[t] -= pull[i] * column[t]
    for i in range(T - 1, -1, -1):
        row = base[i]
        result[i] = half[i] / row[i]
        for k in range(i):
            half[k] -= row[k] * result[i]
    for t in out:
        result[t] = 0.0


@compiled(**_SUMS)
def _dot(x, y):
    """Of whole arrays: loops that begin elsewhere are not vectorised, as Numba takes negative numbers from the end."""
    total = 0.0
    for t in range(len(x)):
        total += x[t] * y[t]
    return total


@compiled(**_SUMS)
def _solve_in_place(matrix, right):
    """right = matrix⁻¹ right for a positive definite matrix, of which the lower half is read and overwritten."""
    n = len(right)
    for i in range(n):
        for k in range(i + 1):
            total = matrix[i, k]
            for m in range(k):
                total -= matrix[i, m] * matrix[k, m]
            matrix[i, k] = np.sqrt(total) if i == k else total / matrix[k, k]
    for i in range(n):
        for k in range(i):
            right[i] -= matrix[i, k] * right[k]
        right[i] /= matrix[i, i]
    for i in range(n - 1, -1, -1):
        for k in range(i + 1, n):
            right[i] -= matrix[k, i] * right[k]
        right[i] /= matrix[i, i]


@compiled(**_SUMS)
def _exact_step(here, fit, residual, error, new, new_fit, C, epsilon):
    """The λ ≥ 0 that minimises f on the ray from ``here`` through ``new``; see ``_exact_step`` of rank_solver.py."""
    T = len(here)
    slope = curvature = 0.0
    places, bends = np.empty(2 * T), np.empty(2 * T)
    for t in range(T):
        move, speed = new[t] - here[t], new_fit[t] - fit[t]
        slope += here[t] * speed - C * error[t] * speed
        curvature += move * speed
        toward, size = -residual[t] * np.sign(speed), abs(speed)
        whole = size if size > 0.0 else 1.0
        enter, leave, bend = (-epsilon - toward) / whole, (epsilon - toward) / whole, C * size * size
        if enter > 0.0 or leave <= 0.0:
            curvature += bend
        places[t], places[T + t] = max(enter, 0.0), max(leave, 0.0)
        bends[t] = -bend if enter > 0.0 else 0.0
        bends[T + t] = bend if leave > 0.0 else 0.0
    if not slope <= 0.0:
        return 0.0
    rise, start = slope, 0.0
    for k in np.argsort(places):
        ahead = rise + curvature * (places[k] - start)
        if ahead > 0.0:
            break
        rise, start = ahead, places[k]
        curvature += bends[k]
    return start - rise / curvature
