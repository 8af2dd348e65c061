"""Triton kernels of TV-L1, for batches of pairs; ``tvl1_triton`` launches them.

Images are planes of H·W pixels in raster order, a pixel's number is i = y·W + x. Programs take BLOCK consecutive
numbers, whatever the width, so that no lane idles at the ends of rows. Arrays, float32, for N pairs:

    image   [N, H·W]     grey levels 0…255
    u       [N, 2, H·W]  the flow (x, y), pixels
    p       [N, 4, H·W]  its dual: of u₁ (x, y), of u₂ (x, y)
    field   [N, 3, H·W]  of a warp: the gradient of the second image (x, y) and ρc, in the residual ρ(u) = ρc + ∇I₁·u

The algorithm is that of OpenCV's ``DualTVL1OpticalFlow``, also at the borders and in the order of its steps; only
rounding differs.
"""

import triton
import triton.language as tl

# x / W = (x · ⌈2⁴⁴ / W⌉) >> 44 exactly while x · W < 2⁴⁴: a multiplication, where a division takes twenty instructions.
DIVISION_BITS = tl.constexpr(44)
# Below this squared gradient (float32's machine epsilon, as in OpenCV) there is no data term to solve for.
FLAT = tl.constexpr(1.1920929e-07)


@triton.jit
def _row(pixel, reciprocal):
    """y of a pixel's number; reciprocal = ⌈2⁴⁴ / W⌉."""
    return ((pixel.to(tl.int64) * reciprocal) >> DIVISION_BITS).to(tl.int32)


@triton.jit
def resize_kernel(
    source, target, lefts, x_weights, tops, y_weights, height, width, new_height, new_width, reciprocal, factor,
    BLOCK: tl.constexpr,
):  # fmt: skip
    """target = factor · bilinear interpolation of source, planes of height × width, at tabulated rows and columns."""
    plane, new_size = tl.program_id(1).to(tl.int64), new_height * new_width
    pixel = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = pixel < new_size
    y = _row(pixel, reciprocal)
    x = pixel - y * new_width
    left, along = tl.load(lefts + x, mask, 0), tl.load(x_weights + x, mask, 0.0)
    top, down = tl.load(tops + y, mask, 0), tl.load(y_weights + y, mask, 0.0)
    right = tl.minimum(left + 1, width - 1)
    upper = source + plane * height * width + top * width
    lower = source + plane * height * width + tl.minimum(top + 1, height - 1) * width
    a, b = tl.load(upper + left, mask, 0.0), tl.load(upper + right, mask, 0.0)
    c, d = tl.load(lower + left, mask, 0.0), tl.load(lower + right, mask, 0.0)
    a += (b - a) * along
    c += (d - c) * along
    tl.store(target + plane * new_size + pixel, (a + (c - a) * down) * factor, mask)


@triton.jit
def gradient_kernel(image, gradient, height, width, reciprocal, BLOCK: tl.constexpr):
    """gradient [N, 2, H·W] of image [N, H·W]: half the difference of the neighbours, a missing one being the pixel."""
    pair, size = tl.program_id(1).to(tl.int64), height * width
    pixel = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = pixel < size
    x = pixel - _row(pixel, reciprocal) * width
    image += pair * size
    right = tl.load(image + tl.where(x < width - 1, pixel + 1, pixel), mask, 0.0)
    left = tl.load(image + tl.where(x > 0, pixel - 1, pixel), mask, 0.0)
    below = tl.load(image + tl.where(pixel + width < size, pixel + width, pixel), mask, 0.0)
    above = tl.load(image + tl.where(pixel >= width, pixel - width, pixel), mask, 0.0)
    gradient += pair * 2 * size + pixel
    tl.store(gradient, 0.5 * (right - left), mask)
    tl.store(gradient + size, 0.5 * (below - above), mask)


@triton.jit
def _cubic(t):
    """Weights of the taps at −1, 0, 1, 2 for the fraction t: cubic convolution with a = −0.75."""
    before = -0.75 * (t * ((1 - t) * (1 - t)))
    near = (1.25 * t - 2.25) * (t * t) + 1
    after = -0.75 * ((t * t) * (1 - t))
    return before, near, 1 - before - near - after, after


@triton.jit
def warp_kernel(
    first, second, gradient, u, field, height, width, reciprocal, BLOCK: tl.constexpr
):  # fmt: skip
    """field from ``second`` and its gradient at x + u, by cubic convolution; a tap outside the image counts as 0."""
    pair, size = tl.program_id(1).to(tl.int64), height * width
    pixel = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = pixel < size
    first, second, gradient = first + pair * size, second + pair * size, gradient + pair * 2 * size
    u, field = u + pair * 2 * size + pixel, field + pair * 3 * size + pixel
    u1, u2 = tl.load(u, mask, 0.0), tl.load(u + size, mask, 0.0)
    row = _row(pixel, reciprocal)
    # Far outside every tap is 0 alike; the bound keeps the conversion to int32 defined.
    x = tl.minimum(tl.maximum((pixel - row * width).to(tl.float32) + u1, -8.0), width + 8.0)
    y = tl.minimum(tl.maximum(row.to(tl.float32) + u2, -8.0), height + 8.0)
    x0, y0 = tl.floor(x), tl.floor(y)
    along, down = _cubic(x - x0), _cubic(y - y0)
    column, line = x0.to(tl.int32) - 1, y0.to(tl.int32) - 1
    image, image_x, image_y = tl.zeros_like(u1), tl.zeros_like(u1), tl.zeros_like(u1)
    for j in tl.static_range(4):
        sum_, sum_x, sum_y = tl.zeros_like(u1), tl.zeros_like(u1), tl.zeros_like(u1)
        for i in tl.static_range(4):
            inside = mask & (column + i >= 0) & (column + i < width) & (line + j >= 0) & (line + j < height)
            tap = (line + j) * width + column + i
            sum_ += tl.load(second + tap, inside, 0.0) * along[i]
            sum_x += tl.load(gradient + tap, inside, 0.0) * along[i]
            sum_y += tl.load(gradient + size + tap, inside, 0.0) * along[i]
        image += sum_ * down[j]
        image_x += sum_x * down[j]
        image_y += sum_y * down[j]
    tl.store(field, image_x, mask)
    tl.store(field + size, image_y, mask)
    tl.store(field + 2 * size, image - image_x * u1 - image_y * u2 - tl.load(first + pixel, mask, 0.0), mask)


@triton.jit
def _without_ends(values, COUNT: tl.constexpr):
    """The COUNT values but for one smallest and one largest, in 3/2·COUNT exchanges."""
    low, high = tl.minimum(values[0], values[1]), tl.maximum(values[0], values[1])
    rest = ()
    for k in tl.static_range(1, COUNT // 2):
        a, b = tl.minimum(values[2 * k], values[2 * k + 1]), tl.maximum(values[2 * k], values[2 * k + 1])
        rest = rest + (tl.maximum(low, a), tl.minimum(high, b))  # noqa: RUF005 (Triton has no starred expressions)
        low, high = tl.minimum(low, a), tl.maximum(high, b)
    if COUNT % 2 == 1:
        last = values[COUNT - 1]
        rest = rest + (tl.minimum(tl.maximum(low, last), high),)  # noqa: RUF005
    return rest


@triton.jit
def _median(plane, x, y, mask, height, width, SIDE: tl.constexpr):
    """Median of the SIDE × SIDE pixels around (x, y); the border repeats the edge pixel.

    Of n numbers whose median is sought, the smallest and the largest of any n//2 + 2 are not it. So those many are held
    in registers, both ends dropped, and the next number taken in, until one is left.
    """
    HELD: tl.constexpr = SIDE * SIDE // 2 + 2
    kept = ()
    for k in tl.static_range(SIDE * SIDE):
        line = tl.minimum(tl.maximum(y + (k // SIDE - SIDE // 2), 0), height - 1)
        column = tl.minimum(tl.maximum(x + (k % SIDE - SIDE // 2), 0), width - 1)
        kept = kept + (tl.load(plane + line * width + column, mask, 0.0),)  # noqa: RUF005
        if k + 1 >= HELD:
            kept = _without_ends(kept, 2 * HELD - k - 1)
    return kept[0]


@triton.jit
def _meet(arrivals, target):
    """Wait until ``target`` programs have arrived; what all of them stored before is seen by all of them after."""
    tl.debug_barrier()
    tl.atomic_add(arrivals, 1, sem="acq_rel", scope="gpu")
    while tl.atomic_add(arrivals, 0, sem="acquire", scope="gpu") < target:
        pass
    tl.debug_barrier()


@triton.jit
def _update_flow(u, p, field, pixel, x, mask, size, width, reach, theta):
    """u ← v(u) + θ·div p at these pixels; returns |change|² of each."""
    u1, u2 = tl.load(u + pixel, mask, 0.0), tl.load(u + size + pixel, mask, 0.0)
    gx, gy = tl.load(field + pixel, mask, 0.0), tl.load(field + size + pixel, mask, 0.0)
    rho = tl.load(field + 2 * size + pixel, mask, 0.0) + (gx * u1 + gy * u2)
    square = gx * gx + gy * gy
    move = tl.where(square > FLAT, -rho / square, 0.0)
    move = tl.where(rho > reach * square, -reach, move)
    move = tl.where(rho < -reach * square, reach, move)
    left, above = mask & (x > 0), mask & (pixel >= width)
    div1 = tl.load(p + pixel, mask, 0.0) - tl.load(p + pixel - 1, left, 0.0)
    div1 += tl.load(p + size + pixel, mask, 0.0) - tl.load(p + size + pixel - width, above, 0.0)
    p += 2 * size
    div2 = tl.load(p + pixel, mask, 0.0) - tl.load(p + pixel - 1, left, 0.0)
    div2 += tl.load(p + size + pixel, mask, 0.0) - tl.load(p + size + pixel - width, above, 0.0)
    new1, new2 = u1 + move * gx + theta * div1, u2 + move * gy + theta * div2
    tl.store(u + pixel, new1, mask)
    tl.store(u + size + pixel, new2, mask)
    return tl.where(mask, (new1 - u1) * (new1 - u1) + (new2 - u2) * (new2 - u2), 0.0)


@triton.jit
def _update_dual(u, p, pixel, x, mask, size, width, step):
    """p ← (p + step·∇u) / (1 + step·|∇u|) at these pixels, for u₁ and u₂."""
    inner, over = mask & (x < width - 1), mask & (pixel + width < size)
    for _ in tl.static_range(2):
        here = tl.load(u + pixel, mask, 0.0)
        qx = tl.where(inner, tl.load(u + pixel + 1, inner, 0.0) - here, 0.0)
        qy = tl.where(over, tl.load(u + pixel + width, over, 0.0) - here, 0.0)
        shrink = 1 / (1 + step * tl.sqrt(qx * qx + qy * qy))
        tl.store(p + pixel, (tl.load(p + pixel, mask, 0.0) + step * qx) * shrink, mask)
        tl.store(p + size + pixel, (tl.load(p + size + pixel, mask, 0.0) + step * qy) * shrink, mask)
        u += size
        p += 2 * size


@triton.jit
def _filter_flow(u, spare, start, stop, height, size, width, reciprocal, SIDE: tl.constexpr, BLOCK: tl.constexpr):
    """spare ← median filtered u, for pixels start…stop."""
    for block in range(start, stop, BLOCK):
        pixel = block + tl.arange(0, BLOCK)
        mask = pixel < stop
        y = _row(pixel, reciprocal)
        x = pixel - y * width
        tl.store(spare + pixel, _median(u, x, y, mask, height, width, SIDE), mask)
        tl.store(spare + size + pixel, _median(u + size, x, y, mask, height, width, SIDE), mask)


@triton.jit
def _copy_flow(spare, u, start, stop, size, BLOCK: tl.constexpr):
    for block in range(start, stop, BLOCK):
        pixel = block + tl.arange(0, BLOCK)
        mask = pixel < stop
        tl.store(u + pixel, tl.load(spare + pixel, mask, 0.0), mask)
        tl.store(u + size + pixel, tl.load(spare + size + pixel, mask, 0.0), mask)


@triton.jit
def solve_kernel(
    u, p, field, spare, errors, arrivals, iterations, height, width, reciprocal, limit, reach, step, theta, inner, most,
    SIDE: tl.constexpr, GROUP: tl.constexpr, BLOCK: tl.constexpr, FILTER_BLOCK: tl.constexpr,
):  # fmt: skip
    """All iterations of one warp with the stopping rule, u and p in place; GROUP programs for each pair.

    limit = ε²·H·W, reach = λ·θ, step = τ/θ; a median filter of SIDE × SIDE pixels, or none if SIDE is 1, before each
    ``inner`` iterations, and ``most`` iterations at most.

    One sweep updates u and, a row behind, p: the dual of pixel i needs the new u of i, i + 1 and i + W, while the new u
    of i needs the old dual of i, i − 1 and i − W. So both can stay in place, and what the second update reads has just
    been in the cache. Between u of one block and p of the block a row behind there is a barrier; p of a block and u of
    the next touch different pixels.

    With GROUP > 1 each program has a stripe of rows, the last row of which waits for u in the first row of the next
    stripe, and the programs of a pair meet twice in an iteration: all have to be resident, a cooperative launch.
    """
    pair, member = tl.program_id(0) // GROUP, tl.program_id(0) % GROUP
    size = height * width
    rows = (height + GROUP - 1) // GROUP
    start, stop = tl.minimum(member * rows * width, size), tl.minimum((member + 1) * rows * width, size)
    swept = tl.where(stop < size, tl.maximum(stop - width, start), stop)
    far = pair.to(tl.int64) * size
    u, p, field, spare = u + 2 * far, p + 4 * far, field + 3 * far, spare + 2 * far
    errors, arrivals, target = errors + pair * GROUP, arrivals + pair, 0
    count, error = 0, float("inf")
    while (error > limit) & (count < most):
        if SIDE > 1:  # noqa: SIM102 (the first is settled in compilation)
            if count % inner == 0:
                _filter_flow(u, spare, start, stop, height, size, width, reciprocal, SIDE, FILTER_BLOCK)
                if GROUP > 1:
                    target += GROUP
                    _meet(arrivals, target)
                tl.debug_barrier()
                _copy_flow(spare, u, start, stop, size, BLOCK)
                tl.debug_barrier()
        change = tl.zeros([BLOCK], tl.float32)
        for block in range(start, stop + width, BLOCK):
            pixel = block + tl.arange(0, BLOCK)
            x = pixel - _row(pixel, reciprocal) * width
            change += _update_flow(u, p, field, pixel, x, pixel < stop, size, width, reach, theta)
            tl.debug_barrier()
            # The column is the same in the row above.
            behind = pixel - width
            _update_dual(u, p, behind, x, (behind >= start) & (behind < swept), size, width, step)
        error = tl.sum(change)
        if GROUP > 1:
            tl.store(errors + member, error)
            target += GROUP
            _meet(arrivals, target)
            error = tl.sum(tl.load(errors + tl.arange(0, GROUP)))
            for block in range(swept, stop, BLOCK):
                pixel = block + tl.arange(0, BLOCK)
                x = pixel - _row(pixel, reciprocal) * width
                _update_dual(u, p, pixel, x, pixel < stop, size, width, step)
            target += GROUP
            _meet(arrivals, target)
        tl.debug_barrier()
        count += 1
    if member == 0:
        tl.store(iterations + pair, tl.load(iterations + pair) + count)
