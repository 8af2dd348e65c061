"""Warping for TV-L1 on a CPU: the second image and its gradient at places between pixels, by cubic convolution.

Flow changes slowly from pixel to pixel, mostly. So pixels of a row go through :func:`_sample_run` together as long as
all their places lie in two columns and two rows of pixels relative to their own: then all read the same five by five
neighbours (one weight of each axis is 0), and vectors of the processor come straight from the rows of the image.
Others, and those close to a border, are sampled one by one from ``planes``, where the numbers of a pixel lie together.

Arithmetic is OpenCV 5's (see tests/oracles/tvl1.py), but for the order of sums and products, and gradients below 2⁻²³,
which OpenCV takes for none unless ρ is beyond the threshold: that moves nothing by more than λθ·0.0004 pixels at once.
"""

import numpy as np

from vidfeat.compiled import compiled
from vidfeat.flow.numba_rows import fused, load, never_inlined, row_address, store
from vidfeat.flow.numba_sweep import FAST, LAG, LEFT
from vidfeat.flow.numba_taps import BLOCK, all_within, least_offset, weighted_taps

_ZERO, _HALF, _ONE = np.float32(0), np.float32(0.5), np.float32(1)
_A = np.float32(-0.75)  # of the cubic kernel
# Squares of a gradient that moves nothing by more than 1e-10·λθ pixels.
_FLAT = np.float32(1e-20)

# Zeros around the planes: those at the edge are as far outside as a pixel may look.
MARGIN = 4
# Pixels that a run reads before and behind the one that a place follows.
_BEFORE, _BEHIND = 2, 4

# Roles of memory: what is only read in a run, and each row that is written.
_READ, _WX, _WY, _REST, _INVERSE = range(5)


@compiled(**FAST)
def interleave(image, planes, y0, y1):
    """``planes [H + 2 MARGIN, W + 2 MARGIN, 4]`` of ``image [H, …]``: grey level, half the difference of the neighbours
    along x and along y, and 0; around them zeros.

    At a border the pixel itself stands for the missing one. A pixel's numbers lie together, as they are read together.
    """
    height, width = image.shape[0], planes.shape[1] - 2 * MARGIN
    for y in range(-MARGIN if y0 == 0 else y0, height + MARGIN if y1 == height else y1):
        line = planes[y + MARGIN]
        if y < 0 or y >= height:
            line[:] = _ZERO
            continue
        line[:MARGIN], line[MARGIN + width :] = _ZERO, _ZERO
        above, below = max(y - 1, 0), min(y + 1, height - 1)
        for x in range(width):
            before, after = max(x - 1, 0), min(x + 1, width - 1)
            line[x + MARGIN, 0] = image[y, x + LEFT]
            line[x + MARGIN, 1] = _HALF * (image[y, after + LEFT] - image[y, before + LEFT])
            line[x + MARGIN, 2] = _HALF * (image[below, x + LEFT] - image[above, x + LEFT])
            line[x + MARGIN, 3] = _ZERO


@compiled(**FAST)
def warp(image, planes, first, u, warped, y0, y1):
    """Planes ∂W/∂x, ∂W/∂y, ρ_c = W − ∇W·u − I₀ and −1/|∇W|² (0 without gradient) of W, the image at x + u.

    By cubic convolution; what lies outside the image is 0. ``image [H, …]``, and ``planes`` as :func:`interleave` makes
    them of it; ``u [2, H, …]``: what fills up the last block of a row is set to the last pixel's. Behind the image
    ``warped`` is written in vain.
    """
    height, width = image.shape[0], planes.shape[1] - 2 * MARGIN
    columns = -(-width // BLOCK) * BLOCK
    most = columns + LAG - _BEHIND - BLOCK
    to_planes = 4 * height * image.shape[1]
    for y in range(y0, y1):
        for i in range(2):
            u[i, y, LEFT + width : LEFT + columns] = u[i, y, LEFT + width - 1]
        u1 = row_address(u, 0, y) + 4 * LEFT
        u2 = u1 + to_planes
        start = stop = column = row = 0  # a run so far
        for x in range(0, columns, BLOCK):
            if start < stop:
                if x + column < most and _fits(u1 + 4 * x, u2 + 4 * x, x, y, column, row):
                    stop = x + BLOCK
                    continue
                _sample_together(image, planes, first, u, warped, y, width, start, stop, column, row)
                start = stop = x
            column = int(least_offset(u1 + 4 * x, np.float32(x), _ONE))
            row = int(least_offset(u2 + 4 * x, np.float32(y), _ZERO))
            # What a run reads of the free numbers beside a row is sampled again, but has to be memory of that row.
            if (
                _BEFORE <= y + row < height - _BEHIND
                and _BEFORE - LEFT <= x + column < most
                and _fits(u1 + 4 * x, u2 + 4 * x, x, y, column, row)
            ):
                start, stop = x, x + BLOCK
            else:
                _sample_each(planes, first, u, warped, y, x, min(x + BLOCK, width))
                start = stop = x + BLOCK
        if start < stop:
            _sample_together(image, planes, first, u, warped, y, width, start, stop, column, row)


@compiled(**FAST)
def _fits(u1, u2, x, y, column, row):
    """Whether all places of a block are in ``column`` or the next and ``row`` or the next, relative to their pixels."""
    across = all_within(u1, np.float32(x), _ONE, np.float32(column))
    return across and all_within(u2, np.float32(y), _ZERO, np.float32(row))


@compiled(**FAST)
def _sample_together(image, planes, first, u, warped, y, width, start, stop, column, row):
    """A run, and one by one those pixels of it that are too close to the left or right border."""
    top = row_address(image.reshape(1, *image.shape), 0, y + row - _BEFORE) + 4 * (LEFT + column)
    gray = row_address(first.reshape(1, *first.shape), 0, y) + 4 * LEFT
    moves, line = row_address(u, 0, y) + 4 * LEFT, row_address(warped, 0, y) + 4 * LEFT
    stride, to_planes = 4 * image.shape[1], 4 * first.shape[0] * first.shape[1]
    _sample_run(
        top, stride, gray, moves, line, to_planes, start, stop, np.float32(y), np.float32(column), np.float32(row)
    )
    inner, outer = max(start, min(stop, _BEFORE - column)), max(start, min(stop, width - _BEHIND - column))
    _sample_each(planes, first, u, warped, y, start, min(inner, width))
    _sample_each(planes, first, u, warped, y, max(inner, outer), min(stop, width))


@compiled(**FAST)
def _sample_run(image, stride, first, u, warped, to_planes, start, stop, y, column, row):
    """Pixels ``start``…``stop`` of row ``y``, whose places are in columns ``column`` and the next, and in rows ``row``
    and the next, relative to their own.

    Addresses: of ``image`` the number two rows above and in the column of a place of pixel 0; of the others pixel 0.
    Steps in bytes: ``stride`` from row to row, ``to_planes`` from plane to plane.
    """
    never_inlined()
    for x in range(start, stop):
        u1, u2 = load(u, x, _READ), load(u + to_planes, x, _READ)
        at_x, at_y = np.float32(x) + u1, y + u2
        low_x, low_y = np.floor(at_x), np.floor(at_y)
        across = _five(at_x - low_x, low_x - np.float32(x) == column)
        down = _five(at_y - low_y, low_y - y == row)
        v0 = _across(image, x, across)
        v1, d1 = _with_difference(image + stride, x, across)
        v2, d2 = _with_difference(image + 2 * stride, x, across)
        v3, d3 = _with_difference(image + 3 * stride, x, across)
        v4, d4 = _with_difference(image + 4 * stride, x, across)
        v5, d5 = _with_difference(image + 5 * stride, x, across)
        v6 = _across(image + 6 * stride, x, across)
        wx = _HALF * _weighted(down, d1, d2, d3, d4, d5)
        wy = _HALF * _weighted(down, v2 - v0, v3 - v1, v4 - v2, v5 - v3, v6 - v4)
        rest, inverse = _linearised(wx, wy, _weighted(down, v1, v2, v3, v4, v5), u1, u2, load(first, x, _READ))
        store(warped, x, wx, _WX)
        store(warped + to_planes, x, wy, _WY)
        store(warped + 2 * to_planes, x, rest, _REST)
        store(warped + 3 * to_planes, x, inverse, _INVERSE)


@compiled(**FAST)
def _five(t, first):
    """The four weights as five: before a 0 if they are of the ``first`` four pixels, or else behind it."""
    a, b, c, d = _cubic(t)
    return a if first else _ZERO, b if first else a, c if first else b, d if first else c, _ZERO if first else d


@compiled(**FAST)
def _across(image, x, weights):
    """Σ_i weight_i I(x + i) for i = −1…3."""
    a, b, c = load(image, x - 1, _READ), load(image, x, _READ), load(image, x + 1, _READ)
    return _weighted(weights, a, b, c, load(image, x + 2, _READ), load(image, x + 3, _READ))


@compiled(**FAST)
def _with_difference(image, x, weights):
    """The same, and Σ_i weight_i (I(x + i + 1) − I(x + i − 1))."""
    a, b, c = load(image, x - 2, _READ), load(image, x - 1, _READ), load(image, x, _READ)
    d, e = load(image, x + 1, _READ), load(image, x + 2, _READ)
    f, g = load(image, x + 3, _READ), load(image, x + 4, _READ)
    return _weighted(weights, b, c, d, e, f), _weighted(weights, c - a, d - b, e - c, f - d, g - e)


@compiled(**FAST)
def _weighted(weights, a, b, c, d, e):
    outer = fused(weights[1], b, weights[0] * a)
    return fused(weights[4], e, fused(weights[3], d, fused(weights[2], c, outer)))


@compiled(**FAST)
def _sample_each(planes, first, u, warped, y, start, stop):
    """Pixels ``start``…``stop`` one by one."""
    most_row, most_column = planes.shape[0] - 4, planes.shape[1] - 4
    for x in range(start, stop):
        u1, u2 = u[0, y, x + LEFT], u[1, y, x + LEFT]
        at_x, at_y = np.float32(x) + u1, np.float32(y) + u2
        low_x, low_y = np.floor(at_x), np.floor(at_y)
        # Far outside all is 0, as it is in the margins.
        row = min(max(int(low_y) + MARGIN - 1, 0), most_row)
        column = min(max(int(low_x) + MARGIN - 1, 0), most_column)
        across, down = _cubic(at_x - low_x), _cubic(at_y - low_y)
        value, wx, wy = weighted_taps(planes, row, column, *across, *down)
        rest, inverse = _linearised(wx, wy, value, u1, u2, first[y, x + LEFT])
        warped[0, y, x + LEFT], warped[1, y, x + LEFT] = wx, wy
        warped[2, y, x + LEFT], warped[3, y, x + LEFT] = rest, inverse


@compiled(**FAST)
def _linearised(wx, wy, value, u1, u2, first):
    """ρ_c and −1/|∇W|²."""
    square = fused(wx, wx, wy * wy)
    return value - fused(wx, u1, wy * u2) - first, -_ONE / square if square > _FLAT else _ZERO


@compiled(**FAST)
def _cubic(t):
    """Weights of the pixels at −1, 0, 1, 2 for a place t in 0…1."""
    s = _ONE - t
    both = (_A * t) * s
    before, after = both * s, both * t
    near = fused(fused(_A + np.float32(2), t, -(_A + np.float32(3))), t * t, _ONE)
    return before, near, _ONE - before - near - after, after
