"""Warping for TV-L1 on a CPU: the second image and its gradient at places between pixels, by cubic convolution.

Flow changes slowly from pixel to pixel, mostly. So pixels of a row go through :func:`_sample_run` together as long as
all their places lie in two columns and two rows of pixels relative to their own: then all read the same five by five
neighbours (one weight of each axis is 0), and vectors of the processor come straight from the rows of the image.
Others, and those close to a border, are sampled one by one from ``planes``, where the numbers of a pixel lie together.

Arithmetic is OpenCV 5's (see tests/oracles/tvl1.py), but for the order of sums.
"""

import numpy as np

from vidfeat.compiled import compiled
from vidfeat.flow.numba_rows import load, never_inlined, row_address, store
from vidfeat.flow.numba_sweep import FAST, LEFT
from vidfeat.flow.numba_taps import BLOCK, all_within, weighted_taps

_ZERO, _HALF, _ONE = np.float32(0), np.float32(0.5), np.float32(1)
_A = np.float32(-0.75)  # of the cubic kernel
_EPSILON = np.float32(np.finfo(np.float32).eps)

# Zeros around the planes: those at the edge are as far outside as a pixel may look.
MARGIN = 4
# Pixels that a run reads before and behind the one that a place follows.
_BEFORE, _BEHIND = 2, 4

# Numbers of a place: the pixel before it, relative to its own, and how far behind that it lies, along x and y; where it
# is sampled alone, weights along x (four) and y (four).
_COLUMN, _ROW, _RIGHT, _DOWN, _X, _Y = 0, 1, 2, 3, 4, 8
PLACES = 12
# Roles of memory.
_IMAGE, _PLACES, _WX, _WY, _W = range(5)


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
def warp(image, planes, first, u, warped, places, y0, y1):
    """Planes ∂W/∂x, ∂W/∂y, ρ_c = W − ∇W·u − I₀ and 1/|∇W|² (0 without gradient) of W, the image at x + u.

    By cubic convolution; what lies outside the image is 0. ``image [H, …]``, and ``planes`` as :func:`interleave` makes
    them of it; ``u [2, H, …]``; ``places``: room ``[PLACES, W or more]``.
    """
    width = planes.shape[1] - 2 * MARGIN
    for y in range(y0, y1):
        _find_places(u, places, y, width)
        _sample(image, planes, places, warped, y, width)
        _linearise(warped, u, first, y, width)


@compiled(**FAST)
def _find_places(u, places, y, width):
    """Where the pixels of a row are sampled."""
    for x in range(width):
        at_x, at_y = np.float32(x) + u[0, y, x + LEFT], np.float32(y) + u[1, y, x + LEFT]
        low_x, low_y = np.floor(at_x), np.floor(at_y)
        places[_COLUMN, x], places[_ROW, x] = low_x - np.float32(x), low_y - np.float32(y)
        places[_RIGHT, x], places[_DOWN, x] = at_x - low_x, at_y - low_y


@compiled(**FAST)
def _sample(image, planes, places, warped, y, width):
    """∂W/∂x, ∂W/∂y and W of a row."""
    height, whole = image.shape[0], width // BLOCK * BLOCK
    every = places.reshape(1, *places.shape)
    columns, rows = row_address(every, 0, _COLUMN), row_address(every, 0, _ROW)
    start = stop = column = row = 0  # a run so far
    for x in range(0, whole, BLOCK):
        end = x + BLOCK
        if start < stop:
            if _fits(columns + 4 * x, rows + 4 * x, column, row) and x + column < width + LEFT - _BEHIND - BLOCK:
                stop = end
                continue
            _sample_together(image, planes, places, warped, y, width, start, stop, column, row)
            start = stop = x
        column, row = _least(columns + 4 * x), _least(rows + 4 * x)
        # What a run reads of the free numbers beside a row is sampled again, but has to be memory of that row.
        if (
            _BEFORE <= y + row < height - _BEHIND
            and _BEFORE - LEFT <= x + column < width + LEFT - _BEHIND - BLOCK
            and _fits(columns + 4 * x, rows + 4 * x, column, row)
        ):
            start, stop = x, end
        else:
            _sample_each(planes, places, warped, y, x, end)
            start = stop = end
    if start < stop:
        _sample_together(image, planes, places, warped, y, width, start, stop, column, row)
    _sample_each(planes, places, warped, y, whole, width)


@compiled(**FAST)
def _least(numbers):
    """The least of a block of whole numbers, given by its address."""
    least = load(numbers, 0, _PLACES)
    for i in range(BLOCK):
        least = min(least, load(numbers, i, _PLACES))
    return int(least)


@compiled(**FAST)
def _fits(columns, rows, column, row):
    """Whether all columns of a block are ``column`` or the next, and all its rows ``row`` or the next."""
    return all_within(columns, np.float32(column)) and all_within(rows, np.float32(row))


@compiled(**FAST)
def _sample_together(image, planes, places, warped, y, width, start, stop, column, row):
    """A run, and one by one those pixels of it that are too close to the left or right border."""
    top = row_address(image.reshape(1, *image.shape), 0, y + row - _BEFORE) + 4 * (LEFT + column)
    line = row_address(warped, 0, y) + 4 * LEFT
    where = row_address(places.reshape(1, *places.shape), 0, 0)
    stride, plane, step = 4 * image.shape[1], 4 * warped.shape[1] * warped.shape[2], 4 * places.shape[1]
    _sample_run(top, stride, where, step, line, plane, start, stop, np.float32(column), np.float32(row))
    inner, outer = max(start, min(stop, _BEFORE - column)), max(start, min(stop, width - _BEHIND - column))
    _sample_each(planes, places, warped, y, start, inner)
    _sample_each(planes, places, warped, y, max(inner, outer), stop)


@compiled(**FAST)
def _sample_run(image, stride, places, step, warped, plane, start, stop, column, row):
    """∂W/∂x, ∂W/∂y and W of pixels ``start``…``stop``, whose places are in columns ``column`` and the next, and in rows
    ``row`` and the next, relative to their own.

    Addresses: of ``image`` the number two rows above and in the column of a place of pixel 0; of ``places``; of
    ``warped`` the number of pixel 0. Steps in bytes: ``stride`` from row to row, ``step`` from number to number of a
    place, ``plane`` from plane to plane.
    """
    never_inlined()
    for x in range(start, stop):
        across = _five(load(places + _RIGHT * step, x, _PLACES), load(places + _COLUMN * step, x, _PLACES) - column)
        down = _five(load(places + _DOWN * step, x, _PLACES), load(places + _ROW * step, x, _PLACES) - row)
        v0 = _across(image, x, across)
        v1, d1 = _with_difference(image + stride, x, across)
        v2, d2 = _with_difference(image + 2 * stride, x, across)
        v3, d3 = _with_difference(image + 3 * stride, x, across)
        v4, d4 = _with_difference(image + 4 * stride, x, across)
        v5, d5 = _with_difference(image + 5 * stride, x, across)
        v6 = _across(image + 6 * stride, x, across)
        store(warped, x, _HALF * _weighted(down, d1, d2, d3, d4, d5), _WX)
        store(warped + plane, x, _HALF * _weighted(down, v2 - v0, v3 - v1, v4 - v2, v5 - v3, v6 - v4), _WY)
        store(warped + 2 * plane, x, _weighted(down, v1, v2, v3, v4, v5), _W)


@compiled(**FAST)
def _five(t, shift):
    """The four weights as five: behind a 0, or before it where ``shift`` is 0."""
    a, b, c, d = _cubic(t)
    return a - shift * a, b + shift * (a - b), c + shift * (b - c), d + shift * (c - d), shift * d


@compiled(**FAST)
def _across(image, x, weights):
    """Σ_i weight_i I(x + i) for i = −1…3."""
    a, b, c = load(image, x - 1, _IMAGE), load(image, x, _IMAGE), load(image, x + 1, _IMAGE)
    return _weighted(weights, a, b, c, load(image, x + 2, _IMAGE), load(image, x + 3, _IMAGE))


@compiled(**FAST)
def _with_difference(image, x, weights):
    """The same, and Σ_i weight_i (I(x + i + 1) − I(x + i − 1))."""
    a, b, c = load(image, x - 2, _IMAGE), load(image, x - 1, _IMAGE), load(image, x, _IMAGE)
    d, e = load(image, x + 1, _IMAGE), load(image, x + 2, _IMAGE)
    f, g = load(image, x + 3, _IMAGE), load(image, x + 4, _IMAGE)
    return _weighted(weights, b, c, d, e, f), _weighted(weights, c - a, d - b, e - c, f - d, g - e)


@compiled(**FAST)
def _weighted(weights, a, b, c, d, e):
    return weights[0] * a + weights[1] * b + weights[2] * c + weights[3] * d + weights[4] * e


@compiled(**FAST)
def _sample_each(planes, places, warped, y, start, stop):
    """Pixels ``start``…``stop`` one by one."""
    if start >= stop:
        return
    for x in range(start, stop):
        places[_X, x], places[_X + 1, x], places[_X + 2, x], places[_X + 3, x] = _cubic(places[_RIGHT, x])
        places[_Y, x], places[_Y + 1, x], places[_Y + 2, x], places[_Y + 3, x] = _cubic(places[_DOWN, x])
    most_row, most_column = planes.shape[0] - 4, planes.shape[1] - 4
    for x in range(start, stop):
        # Far outside all is 0, as it is in the margins.
        row = min(max(y + int(places[_ROW, x]) + MARGIN - 1, 0), most_row)
        column = min(max(x + int(places[_COLUMN, x]) + MARGIN - 1, 0), most_column)
        value, wx, wy = weighted_taps(
            planes, row, column, places[_X, x], places[_X + 1, x], places[_X + 2, x], places[_X + 3, x],
            places[_Y, x], places[_Y + 1, x], places[_Y + 2, x], places[_Y + 3, x],
        )  # fmt: skip
        warped[0, y, x + LEFT], warped[1, y, x + LEFT], warped[2, y, x + LEFT] = wx, wy, value


@compiled(**FAST)
def _linearise(warped, u, first, y, width):
    """ρ_c in the place of W, and 1/|∇W|²."""
    for x in range(width):
        wx, wy = warped[0, y, x + LEFT], warped[1, y, x + LEFT]
        moved = wx * u[0, y, x + LEFT] + wy * u[1, y, x + LEFT]
        warped[2, y, x + LEFT] = warped[2, y, x + LEFT] - moved - first[y, x + LEFT]
        square = wx * wx + wy * wy
        warped[3, y, x + LEFT] = _ONE / square if square > _EPSILON else _ZERO


@compiled(**FAST)
def _cubic(t):
    """Weights of the pixels at −1, 0, 1, 2 for a place t in 0…1."""
    s = _ONE - t
    before, after = _A * (t * (s * s)), _A * (t * t * s)
    near = ((_A + np.float32(2)) * t - (_A + np.float32(3))) * (t * t) + _ONE
    return before, near, _ONE - before - near - after, after
