"""The inner iterations of TV-L1 for a CPU: several of them in one pass over memory.

State of a pixel: u₁, u₂ and θ times the dual vectors, q₁ = (q₁ₓ, q₁ᵧ), q₂; planes ``[6, H, …]`` in that order. One
iteration is

    ρ = ρ_c + ∇W·u,    u ← u − clamp(ρ/|∇W|², ±λθ) ∇W + div q,    q ← (q + τ∇u) / (1 + (τ/θ)|∇u|)

with W the warped second image. Row y of u needs rows y and y−1 of q, and row y of q rows y and y+1 of the new u. So
iteration k can work on row y as soon as iteration k−1 has left row y of q, one row behind it: a sweep goes once through
the image with K iterations in tow, the K + 1 rows that they work on stay in the cache, and memory is read and written
once instead of K times. The first iteration goes from one state to another, the others work in place: so a sweep in
which the stopping rule is met too early can be repeated with fewer iterations.

Rows of planes have LEFT free numbers before the image, the last of which is 0 for q, and LAG or more behind it: so the
loops need no special case at the borders, and rows begin where the processor's vectors do.
"""

import numpy as np

from vidfeat.compiled import compiled
from vidfeat.flow.numba_rows import added, fused, load, never_inlined, row_address, store

LEFT = 16
# Columns and LAG together are rounded up to two of the longest vectors, of which LLVM takes so many at a time.
UNIT = 32
# Pixels by which the loop over a row of q follows the one over u: the longest vector.
LAG = 16
# Rows of a ring that stand for the one above the image, where q is 0: one that gets a new q nobody wants, and zeros
# again after it, and one to read from, as the loop from one state to another may not read where it writes.
SPARE = 2

# Images are finite. Sums are taken in the order written, and products fused with sums where that is written: not where
# LLVM finds it handy, so that fields are the same to the bit whatever is compiled together, and wherever in a sweep.
# (Only the error that decides when to stop is a sum in any order.)
FAST = {"fastmath": {"nsz", "nnan", "ninf"}, "error_model": "numpy"}
_ZERO, _ONE = np.float32(0), np.float32(1)

# Roles of memory: what is only read in a loop, and each plane that is written.
_READ, _U1, _U2, _Q1X, _Q1Y, _Q2X, _Q2Y = range(7)


@compiled(**FAST)
def sweep(u, old, new, ring, warped, inside, width, y0, y1, count, reach, tau, step, errors):
    """``count`` iterations from ``u [2, H, …]`` and the q of the state ``old`` to rows y0…y1 of the state ``new``.

    Rows around y0…y1 are computed as well, as far as those within depend on them; they are not written to ``new``.

    Args:
        ring: ``[6, count + 1 + SPARE or more, …]``, room for those rows, zeros at first.
        warped: planes ``[4, H, …]``: ∂W/∂x, ∂W/∂y, ρ_c and −1/|∇W|².
        inside: 1 for each of ``width`` columns, then 0 for those that fill up the last vectors and for LAG.
        reach, tau, step: λθ, τ and τ/θ.
        errors: float64 ``[count or more]``, set to Σ‖Δu‖² over the rows y0…y1, for each iteration.
    """
    height, rows, columns = old.shape[1], ring.shape[1] - SPARE, len(inside) - LAG
    # From one plane to the next.
    whole, part = 4 * old.shape[1] * old.shape[2], 4 * ring.shape[1] * ring.shape[2]
    mask = row_address(inside.reshape(1, 1, len(inside)), 0, 0) - 4 * LEFT
    errors[:count] = 0.0
    for front in range(max(0, y0 - count + 1), y1 + count):
        for k in range(count):
            y, margin = front - k, count - 1 - k
            if y < max(0, y0 - margin) or y > min(height, y1 + margin):
                continue
            is_mine = y0 <= y < y1
            here = (row_address(new, 0, y), whole) if is_mine else (row_address(ring, 0, y % rows), part)
            if y == 0:
                above, was_above = (row_address(ring, 0, rows), part), (row_address(ring, 0, rows + 1), part)
            elif y0 <= y - 1 < y1:
                above, was_above = (row_address(new, 0, y - 1), whole), (row_address(old, 0, y - 1), whole)
            else:
                above, was_above = (row_address(ring, 0, (y - 1) % rows), part), (row_address(old, 0, y - 1), whole)
            if y == height:
                if k == 0:
                    _last_from_old(was_above, above, columns, tau, step)
                else:
                    _last_in_place(above, above, columns, tau, step)
                continue
            around = (row_address(warped, 0, y), whole)
            if k == 0:
                of_u, was = (row_address(u, 0, y), whole), (row_address(old, 0, y), whole)
                error = _from_old(of_u, was, was_above, here, above, around, mask, columns, reach, tau, step)
            else:
                error = _in_place(here, here, above, here, above, around, mask, columns, reach, tau, step)
            if is_mine:
                errors[k] += error
            if y == 0:
                ring[2:, rows] = _ZERO
            # No difference across the border.
            for plane in (here[0], here[0] + here[1]):
                store(plane, LEFT + width, load(plane, LEFT + width - 1, _U1), _U1)


def _loops(in_place):
    """The loops over a row, from one state to another or ``in_place``.

    Rows are given by their address in plane 0 and the step from plane to plane. For LLVM to vectorise a loop, what is
    read and written must be told apart by roles, or else be the same address by name.
    """
    u1, u2, q1x, q1y, q2x, q2y = (_U1, _U2, _Q1X, _Q1Y, _Q2X, _Q2Y) if in_place else 6 * (_READ,)

    @compiled(**FAST)
    def advance(of_u, was, was_above, here, above, around, mask, columns, reach, tau, step):
        """A row of u, then the row of q above it; Σ‖Δu‖²."""
        never_inlined()
        if in_place:
            of_u, was, was_above = here, here, above
        error = _ZERO
        for x in range(LEFT, LEFT + columns + LAG):
            old1, old2 = load(of_u[0], x, u1), load(of_u[0] + of_u[1], x, u2)
            wx, wy = load(around[0], x, _READ), load(around[0] + around[1], x, _READ)
            rho = fused(wx, old1, fused(wy, old2, load(around[0] + 2 * around[1], x, _READ)))
            size = rho * load(around[0] + 3 * around[1], x, _READ)
            size = size if size < reach else reach
            size = size if size > -reach else -reach
            across1 = load(was[0] + 2 * was[1], x, _READ) - load(was[0] + 2 * was[1], x - 1, _READ)
            across2 = load(was[0] + 4 * was[1], x, _READ) - load(was[0] + 4 * was[1], x - 1, _READ)
            down1 = load(was[0] + 3 * was[1], x, _READ) - load(was_above[0] + 3 * was_above[1], x, q1y)
            down2 = load(was[0] + 5 * was[1], x, _READ) - load(was_above[0] + 5 * was_above[1], x, q2y)
            change1, change2 = fused(size, wx, across1 + down1), fused(size, wy, across2 + down2)
            store(here[0], x, old1 + change1, _U1)
            store(here[0] + here[1], x, old2 + change2, _U2)
            error = added(error, load(mask, x, _READ) * fused(change1, change1, change2 * change2))
            # A vector behind, so that both can be worked on at the same time.
            z = x - LAG
            above1, above2 = load(above[0], z, _READ), load(above[0] + above[1], z, _READ)
            right1, below1 = load(above[0], z + 1, _READ) - above1, load(here[0], z, _U1) - above1
            right2, below2 = load(above[0] + above[1], z + 1, _READ) - above2, load(here[0] + here[1], z, _U2) - above2
            share1, share2 = _shares(right1, below1, right2, below2, step)
            next1x = fused(tau, right1, load(was_above[0] + 2 * was_above[1], z, q1x)) * share1
            next1y = fused(tau, below1, load(was_above[0] + 3 * was_above[1], z, q1y)) * share1
            next2x = fused(tau, right2, load(was_above[0] + 4 * was_above[1], z, q2x)) * share2
            next2y = fused(tau, below2, load(was_above[0] + 5 * was_above[1], z, q2y)) * share2
            store(above[0] + 2 * above[1], z, next1x, _Q1X)
            store(above[0] + 3 * above[1], z, next1y, _Q1Y)
            store(above[0] + 4 * above[1], z, next2x, _Q2X)
            store(above[0] + 5 * above[1], z, next2y, _Q2Y)
        store(above[0] + 2 * above[1], LEFT - 1, _ZERO, _Q1X)
        store(above[0] + 4 * above[1], LEFT - 1, _ZERO, _Q2X)
        return error

    @compiled(**FAST)
    def finish(was_above, above, columns, tau, step):
        """The last row of q: below it is no difference."""
        never_inlined()
        if in_place:
            was_above = above
        for x in range(LEFT, LEFT + columns):
            right1 = load(above[0], x + 1, _READ) - load(above[0], x, _READ)
            right2 = load(above[0] + above[1], x + 1, _READ) - load(above[0] + above[1], x, _READ)
            share1, share2 = _shares(right1, _ZERO, right2, _ZERO, step)
            next1x = fused(tau, right1, load(was_above[0] + 2 * was_above[1], x, q1x)) * share1
            next2x = fused(tau, right2, load(was_above[0] + 4 * was_above[1], x, q2x)) * share2
            store(above[0] + 2 * above[1], x, next1x, _Q1X)
            store(above[0] + 3 * above[1], x, load(was_above[0] + 3 * was_above[1], x, q1y) * share1, _Q1Y)
            store(above[0] + 4 * above[1], x, next2x, _Q2X)
            store(above[0] + 5 * above[1], x, load(was_above[0] + 5 * was_above[1], x, q2y) * share2, _Q2Y)

    return advance, finish


@compiled(**FAST)
def _shares(right1, down1, right2, down2, step):
    """1 / (1 + (τ/θ)|∇u|) for u₁ and u₂."""
    norm1 = fused(step, np.sqrt(fused(right1, right1, down1 * down1)), _ONE)
    norm2 = fused(step, np.sqrt(fused(right2, right2, down2 * down2)), _ONE)
    both = _ONE / (norm1 * norm2)  # one division, the slowest operation here, for two
    return norm2 * both, norm1 * both


_from_old, _last_from_old = _loops(in_place=False)
_in_place, _last_in_place = _loops(in_place=True)
