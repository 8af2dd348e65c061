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
from vidfeat.flow.numba_rows import ROLES, load, never_inlined, row_address, store

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
            to the other.
        warped: planes ``[4, H, …]``: ∂W/∂x, ∂W/∂y, ρ_c and 1/|∇W|².
        inside: 1 for each of ``width`` columns of the image, then 0 for those that fill up the last vector.
        zeros: ``[6, 1, …]`` of zeros, p above the image.
        reach, step: λθ and τ/θ.
        errors: float64 ``[count or more]``, set to Σ‖Δu‖² over the rows y0…y1, for each iteration.
    """
    height, rows, columns = old.shape[1], rings.shape[2], inside.shape[0]
    # Numbers from one plane to the next, and the first pixel of a row.
    whole, part, none = old.shape[1] * old.shape[2] * 4, rings.shape[2] * rings.shape[3] * 4, zeros.shape[2] * 4
    mask = row_address(inside.reshape(1, 1, columns), 0, 0)
    errors[:count] = 0.0
    for front in range(max(0, y0 - count + 1), y1 + count):
        for k in range(count):
            y, margin = front - k, count - 1 - k
            top, bottom = max(0, y0 - margin), min(height, y1 + margin)
            if y < top or y > bottom:
                continue
            was, ring = rings[(k + 1) % 2], rings[k % 2]
            is_last = k == count - 1
            if y < height:
                is_mine = y0 <= y < y1
                if k == 0:
                    source, from_step = row_address(old, 0, y), whole
                    above, above_step = row_address(old, 0, y - 1), whole
                else:
                    source, from_step = row_address(was, 0, y % rows), part
                    above, above_step = row_address(was, 0, (y - 1) % rows), part
                if y == 0:
                    above, above_step = row_address(zeros, 0, 0), none
                if is_last and is_mine:
                    target, to_step = row_address(new, 0, y), whole
                else:
                    target, to_step = row_address(ring, 0, y % rows), part
                around = row_address(warped, 0, y)
                error = _primal(
                    source,
                    from_step,
                    above,
                    above_step,
                    around,
                    whole,
                    mask,
                    columns,
                    width,
                    target,
                    to_step,
                    reach,
                    theta,
                )
                if is_mine:
                    errors[k] += error
            back = y - 1
            if back >= top:
                if k == 0:
                    source, from_step = row_address(old, 0, back), whole
                else:
                    source, from_step = row_address(was, 0, back % rows), part
                if is_last and y0 <= back < y1:
                    target, to_step = row_address(new, 0, back), whole
                else:
                    target, to_step = row_address(ring, 0, back % rows), part
                if y == height:
                    below, below_step = target, to_step  # no difference across the border
                elif is_last and y0 <= y < y1:
                    below, below_step = row_address(new, 0, y), whole
                else:
                    below, below_step = row_address(ring, 0, y % rows), part
                _dual(source, from_step, below, below_step, columns, target, to_step, step)


# Roles of rows; those of u and p in the target are two, as the one is read while the other is written.
_SOURCE, _ABOVE, _AROUND, _MASK, _U1, _U2, _P1X, _P1Y, _P2X, _P2Y = range(ROLES)


@compiled(**FAST)
def _primal(
    source, from_step, above, above_step, around, around_step, mask, columns, width, target, to_step, reach, theta
):  # fmt: skip
    """A row of u; Σ‖Δu‖². Addresses of rows, with the steps from plane to plane: what it was, p above it, the warped
    image, and where it goes."""
    never_inlined()
    error = _ZERO
    for x in range(LEFT, LEFT + columns):
        u1, u2 = load(source, x, _SOURCE), load(source + from_step, x, _SOURCE)
        wx, wy = load(around, x, _AROUND), load(around + around_step, x, _AROUND)
        rho = load(around + 2 * around_step, x, _AROUND) + (wx * u1 + wy * u2)
        size = -rho * load(around + 3 * around_step, x, _AROUND)
        limit = reach * (wx * wx + wy * wy)
        size = reach if rho < -limit else size
        size = -reach if rho > limit else size
        across1 = load(source + 2 * from_step, x, _SOURCE) - load(source + 2 * from_step, x - 1, _SOURCE)
        across2 = load(source + 4 * from_step, x, _SOURCE) - load(source + 4 * from_step, x - 1, _SOURCE)
        down1 = load(source + 3 * from_step, x, _SOURCE) - load(above + 3 * above_step, x, _ABOVE)
        down2 = load(source + 5 * from_step, x, _SOURCE) - load(above + 5 * above_step, x, _ABOVE)
        change1, change2 = size * wx + theta * (across1 + down1), size * wy + theta * (across2 + down2)
        store(target, x, u1 + change1, _U1)
        store(target + to_step, x, u2 + change2, _U2)
        error += load(mask, x - LEFT, _MASK) * (change1 * change1 + change2 * change2)
    # No difference across the border.
    store(target, LEFT + width, load(target, LEFT + width - 1, _U1), _U1)
    store(target + to_step, LEFT + width, load(target + to_step, LEFT + width - 1, _U2), _U2)
    return error


@compiled(**FAST)
def _dual(source, from_step, below, below_step, columns, target, to_step, step):
    """A row of p, where the row of u and the next one, ``below``, are new already; addresses as in :func:`_primal`."""
    never_inlined()
    for x in range(LEFT, LEFT + columns):
        here1, here2 = load(target, x, _U1), load(target + to_step, x, _U2)
        right1, down1 = load(target, x + 1, _U1) - here1, load(below, x, _U1) - here1
        right2, down2 = load(target + to_step, x + 1, _U2) - here2, load(below + below_step, x, _U2) - here2
        norm1 = _ONE + step * np.sqrt(right1 * right1 + down1 * down1)
        norm2 = _ONE + step * np.sqrt(right2 * right2 + down2 * down2)
        both = _ONE / (norm1 * norm2)  # one division, the slowest operation here, for two
        share1, share2 = norm2 * both, norm1 * both
        store(target + 2 * to_step, x, (load(source + 2 * from_step, x, _SOURCE) + step * right1) * share1, _P1X)
        store(target + 3 * to_step, x, (load(source + 3 * from_step, x, _SOURCE) + step * down1) * share1, _P1Y)
        store(target + 4 * to_step, x, (load(source + 4 * from_step, x, _SOURCE) + step * right2) * share2, _P2X)
        store(target + 5 * to_step, x, (load(source + 5 * from_step, x, _SOURCE) + step * down2) * share2, _P2Y)
