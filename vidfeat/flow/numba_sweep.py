"""The inner iterations of TV-L1 for a CPU: several of them in one pass over memory.

State of a pixel: u₁, u₂ and the dual vectors p₁ = (p₁ₓ, p₁ᵧ), p₂; planes ``[6, H, …]`` in that order. One iteration is

    ρ  = ρ_c + ∇W·u,    v = u + clamp(−ρ/|∇W|², ±λθ) ∇W,     u ← v + θ div p,     p ← (p + (τ/θ)∇u) / (1 + (τ/θ)|∇u|)

with W the warped second image. Row y of u needs rows y and y−1 of p, and row y of p rows y and y+1 of the new u. So
iteration k can work on row y as soon as iteration k−1 has left row y of p, one row behind it: a sweep goes once through
the image with K iterations in tow, the K + 2 rows that they work on stay in the cache, and memory is read and written
once instead of K times. It reads from one state and writes to another, so that a sweep in which the stopping rule is
met too early can be repeated with fewer iterations.

Rows of planes have LEFT free numbers before the image, the last of which is 0 for p, and at least one behind it: so the
loops need no special case at the borders, and rows begin where the processor's vectors do.
"""

import numpy as np

from vidfeat.compiled import compiled

LEFT = 16

# Sums may be taken in any order, products fused with sums; images are finite.
FAST = {"fastmath": {"reassoc", "contract", "nsz", "nnan", "ninf"}, "error_model": "numpy"}
_ZERO, _ONE = np.float32(0), np.float32(1)


@compiled(**FAST)
def sweep(old, new, rings, warped, inside, width, zeros, y0, y1, count, reach, theta, step, errors):
    """``count`` iterations from the state ``old`` to rows y0…y1 of ``new``.

    Rows around y0…y1 are computed as well, as far as those within depend on them; they are not written to ``new``.

    Args:
        rings: ``[2, 6, count + 3 or more, …]``, room for the rows in work. An iteration reads from one half and writes
            to the other: loops whose input and output may be the same memory are not vectorised.
        warped: planes ``[4, H, …]``: ∂W/∂x, ∂W/∂y, ρ_c and 1/|∇W|².
        inside: 1 for each of ``width`` columns of the image, then 0 for those that fill up the last vector.
        zeros: ``[6, 1, …]`` of zeros, p above the image.
        reach, step: λθ and τ/θ.
        errors: float64 ``[count or more]``, set to Σ‖Δu‖² over the rows y0…y1, for each iteration.
    """
    height, rows, columns = old.shape[1], rings.shape[2], inside.shape[0]
    errors[:count] = 0.0
    for front in range(max(0, y0 - count + 1), y1 + count):
        for k in range(count):
            y, margin = front - k, count - 1 - k
            top, bottom = max(0, y0 - margin), min(height, y1 + margin)
            if y < top or y > bottom:
                continue
            was, ring = rings[(k + 1) % 2], rings[k % 2]
            if y < height:
                is_mine = y0 <= y < y1
                source, to = (old, y) if k == 0 else (was, y % rows)
                target, into = (new, y) if k == count - 1 and is_mine else (ring, y % rows)
                above, over = (zeros, 0) if y == 0 else ((old, y - 1) if k == 0 else (was, (y - 1) % rows))
                error = _primal(source, to, above, over, warped, y, inside, columns, target, into, reach, theta)
                for i in range(2):  # no difference across the border
                    target[i, into, LEFT + width] = target[i, into, LEFT + width - 1]
                if is_mine:
                    errors[k] += error
            if y > top:
                is_last = k == count - 1
                back = y - 1
                source, to = (old, back) if k == 0 else (was, back % rows)
                target, into = (new, back) if is_last and y0 <= back < y1 else (ring, back % rows)
                below, under = (new, y) if is_last and y0 <= y < y1 else (ring, y % rows)
                if y == height:
                    below, under = target, into  # no difference
                _dual(source, to, below, under, target, into, columns, step)


@compiled(**FAST)
def _primal(source, y, above, over, warped, row, inside, columns, target, into, reach, theta):
    """Row ``into`` of u of ``target`` from row ``y`` of ``source``, p above it in row ``over`` of ``above``; Σ‖Δu‖²."""
    error = _ZERO
    for x in range(columns):
        u1, u2 = source[0, y, x + LEFT], source[1, y, x + LEFT]
        wx, wy = warped[0, row, x + LEFT], warped[1, row, x + LEFT]
        rho = warped[2, row, x + LEFT] + (wx * u1 + wy * u2)
        size = -rho * warped[3, row, x + LEFT]
        limit = reach * (wx * wx + wy * wy)
        size = reach if rho < -limit else size
        size = -reach if rho > limit else size
        across1 = source[2, y, x + LEFT] - source[2, y, x + LEFT - 1]
        across2 = source[4, y, x + LEFT] - source[4, y, x + LEFT - 1]
        change1 = size * wx + theta * (across1 + (source[3, y, x + LEFT] - above[3, over, x + LEFT]))
        change2 = size * wy + theta * (across2 + (source[5, y, x + LEFT] - above[5, over, x + LEFT]))
        change1, change2 = inside[x] * change1, inside[x] * change2
        target[0, into, x + LEFT], target[1, into, x + LEFT] = u1 + change1, u2 + change2
        error += change1 * change1 + change2 * change2
    return error


@compiled(**FAST)
def _dual(source, y, below, under, target, into, columns, step):
    """Row ``into`` of p of ``target`` from row ``y`` of ``source``; u lies in ``target`` already, the next row of it in
    row ``under`` of ``below``."""
    for x in range(columns):
        here1, here2 = target[0, into, x + LEFT], target[1, into, x + LEFT]
        right1, down1 = target[0, into, x + LEFT + 1] - here1, below[0, under, x + LEFT] - here1
        right2, down2 = target[1, into, x + LEFT + 1] - here2, below[1, under, x + LEFT] - here2
        norm1 = _ONE + step * np.sqrt(right1 * right1 + down1 * down1)
        norm2 = _ONE + step * np.sqrt(right2 * right2 + down2 * down2)
        both = _ONE / (norm1 * norm2)  # one division, the slowest operation here, for two
        share1, share2 = norm2 * both, norm1 * both
        target[2, into, x + LEFT] = (source[2, y, x + LEFT] + step * right1) * share1
        target[3, into, x + LEFT] = (source[3, y, x + LEFT] + step * down1) * share1
        target[4, into, x + LEFT] = (source[4, y, x + LEFT] + step * right2) * share2
        target[5, into, x + LEFT] = (source[5, y, x + LEFT] + step * down2) * share2
