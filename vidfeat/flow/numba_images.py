"""Images for TV-L1 on a CPU: pyramid, gradient, warping, median filter. Each function does rows y0…y1 of its result.

Pixel x of a row is number x + LEFT of a plane. Arithmetic is OpenCV 5's (see tests/oracles/tvl1.py).
"""

import numpy as np

from vidfeat.compiled import compiled
from vidfeat.flow.numba_sweep import FAST, LEFT
from vidfeat.flow.numba_taps import weighted_taps

_HALF, _ONE = np.float32(0.5), np.float32(1)
_A = np.float32(-0.75)  # of the cubic kernel
_EPSILON = np.float32(np.finfo(np.float32).eps)


@compiled(**FAST)
def resize(source, width, target, new_width, step_y, step_x, scale, y0, y1):
    """Bilinear: pixel k of the result lies at (k + ½)·step − ½ of ``source [h, …]``, whose edges are repeated; times
    ``scale``."""
    height = source.shape[0]
    for y in range(y0, y1):
        top, down = _place(y, step_y, height)
        bottom = min(top + 1, height - 1)
        for x in range(new_width):
            left, right = _place(x, step_x, width)
            after = min(left + 1, width - 1)
            upper = source[top, left + LEFT] + right * (source[top, after + LEFT] - source[top, left + LEFT])
            lower = source[bottom, left + LEFT] + right * (source[bottom, after + LEFT] - source[bottom, left + LEFT])
            target[y, x + LEFT] = (upper + down * (lower - upper)) * scale


@compiled(**FAST)
def _place(k, step, length):
    """The pixel before that place, and the share of the one behind it."""
    place = min(max((k + 0.5) * step - 0.5, 0.0), length - 1.0)
    low = int(place)
    return low, np.float32(place - low)


@compiled(**FAST)
def interleave(image, width, planes, y0, y1):
    """``planes [H, W, 4]``: grey level, half the difference of the neighbours along x and along y, and 0.

    At a border the pixel itself stands for the missing one. A pixel's numbers lie together, as warping reads them all.
    """
    height = image.shape[0]
    for y in range(y0, y1):
        above, below = max(y - 1, 0), min(y + 1, height - 1)
        for x in range(width):
            before, after = max(x - 1, 0), min(x + 1, width - 1)
            planes[y, x, 0] = image[y, x + LEFT]
            planes[y, x, 1] = _HALF * (image[y, after + LEFT] - image[y, before + LEFT])
            planes[y, x, 2] = _HALF * (image[below, x + LEFT] - image[above, x + LEFT])
            planes[y, x, 3] = np.float32(0)


@compiled(**FAST)
def warp(planes, first, u, warped, places, y0, y1):
    """Planes ∂W/∂x, ∂W/∂y, ρ_c = W − ∇W·u − I₀ and 1/|∇W|² (0 without gradient) of W, the image at x + u.

    By cubic convolution; what lies outside the image is 0. ``u [2, H, …]``; ``places``: room ``[11, W or more]``.
    """
    for y in range(y0, y1):
        _find_places(u, places, y, planes.shape[1])
        _sample(planes, places, warped, y)
        _linearise(warped, u, first, y, planes.shape[1])


@compiled(**FAST)
def _find_places(u, places, y, width):
    """Where the pixels of a row are sampled: weights along x, weights along y, and the pixel before, x and y."""
    for x in range(width):
        at_x, at_y = np.float32(x) + u[0, y, x + LEFT], np.float32(y) + u[1, y, x + LEFT]
        places[8, x], places[9, x] = np.floor(at_x), np.floor(at_y)
        places[0, x], places[1, x], places[2, x], places[3, x] = _cubic(at_x - np.floor(at_x))
        places[4, x], places[5, x], places[6, x], places[7, x] = _cubic(at_y - np.floor(at_y))


@compiled(**FAST)
def _sample(planes, places, warped, y):
    """∂W/∂x, ∂W/∂y and W of a row."""
    height, width = planes.shape[:2]
    beyond = 0
    for x in range(width):
        column, row = int(places[8, x]), int(places[9, x])
        if 1 <= column < width - 2 and 1 <= row < height - 2:
            value, wx, wy = weighted_taps(
                planes, row - 1, column - 1, places[0, x], places[1, x], places[2, x], places[3, x],
                places[4, x], places[5, x], places[6, x], places[7, x],
            )  # fmt: skip
            warped[0, y, x + LEFT], warped[1, y, x + LEFT], warped[2, y, x + LEFT] = wx, wy, value
        else:
            places[10, beyond] = x
            beyond += 1
    _sample_borders(planes, places, warped, y, beyond)  # apart: the loop above is three times slower with that within


@compiled(**FAST)
def _linearise(warped, u, first, y, width):
    """ρ_c in the place of W, and 1/|∇W|²."""
    for x in range(width):
        wx, wy = warped[0, y, x + LEFT], warped[1, y, x + LEFT]
        moved = wx * u[0, y, x + LEFT] + wy * u[1, y, x + LEFT]
        warped[2, y, x + LEFT] = warped[2, y, x + LEFT] - moved - first[y, x + LEFT]
        square = wx * wx + wy * wy
        warped[3, y, x + LEFT] = _ONE / square if square > _EPSILON else np.float32(0)


@compiled(**FAST)
def _cubic(t):
    """Weights of the pixels at −1, 0, 1, 2 for a place t in 0…1."""
    s = _ONE - t
    before, after = _A * (t * (s * s)), _A * (t * t * s)
    near = ((_A + np.float32(2)) * t - (_A + np.float32(3))) * (t * t) + _ONE
    return before, near, _ONE - before - near - after, after


@compiled(**FAST)
def _sample_borders(planes, places, warped, y, count):
    """As :func:`_sample`, for the ``count`` pixels whose places are too close to a border for it."""
    height, width = planes.shape[:2]
    for number in range(count):
        x = int(places[10, number])
        column, row = int(places[8, x]), int(places[9, x])
        value = wx = wy = np.float32(0)
        for j in range(max(0, 1 - row), min(4, height - row + 1)):
            for i in range(max(0, 1 - column), min(4, width - column + 1)):
                weight = places[i, x] * places[4 + j, x]
                value += weight * planes[row - 1 + j, column - 1 + i, 0]
                wx += weight * planes[row - 1 + j, column - 1 + i, 1]
                wy += weight * planes[row - 1 + j, column - 1 + i, 2]
        warped[0, y, x + LEFT], warped[1, y, x + LEFT], warped[2, y, x + LEFT] = wx, wy, value


@compiled(**FAST)
def median3(source, width, target, columns, y0, y1):
    """3 × 3 median; edge pixels are repeated. ``columns``: room ``[5, width + 4]``."""
    height = source.shape[0]
    for y in range(y0, y1):
        above, below = max(y - 1, 0), min(y + 1, height - 1)
        for x in range(width):
            a, b, c = _sorted3(source[above, x + LEFT], source[y, x + LEFT], source[below, x + LEFT])
            columns[0, x + 1], columns[1, x + 1], columns[2, x + 1] = a, b, c
        for i in range(3):
            columns[i, 0], columns[i, width + 1] = columns[i, 1], columns[i, width]
        for x in range(width):
            low = _max(_max(columns[0, x], columns[0, x + 1]), columns[0, x + 2])
            high = _min(_min(columns[2, x], columns[2, x + 1]), columns[2, x + 2])
            middle = _sorted3(columns[1, x], columns[1, x + 1], columns[1, x + 2])[1]
            target[y, x + LEFT] = _sorted3(low, middle, high)[1]


@compiled(**FAST)
def median5(source, width, target, columns, y0, y1):
    """5 × 5 median; edge pixels are repeated. ``columns``: room ``[5, width + 4]``.

    With the columns of the window sorted, and then its rows, both ways are in order, and the median of all is that of
    three: the median of the diagonal from below left to above right, the largest of the diagonal before it and the
    smallest of the one behind it. Each column is sorted once for the five windows that it is in.
    """
    height = source.shape[0]
    for y in range(y0, y1):
        y_0, y_1 = max(y - 2, 0), max(y - 1, 0)
        y_3, y_4 = min(y + 1, height - 1), min(y + 2, height - 1)
        for x in range(width):
            top, upper, middle = source[y_0, x + LEFT], source[y_1, x + LEFT], source[y, x + LEFT]
            a, b, c, d, e = _sorted5(top, upper, middle, source[y_3, x + LEFT], source[y_4, x + LEFT])
            columns[0, x + 2], columns[1, x + 2], columns[2, x + 2] = a, b, c
            columns[3, x + 2], columns[4, x + 2] = d, e
        for i in range(5):
            columns[i, 0] = columns[i, 1] = columns[i, 2]
            columns[i, width + 2] = columns[i, width + 3] = columns[i, width + 1]
        for x in range(width):
            _, _, _, a3, a4 = _sorted5(
                columns[0, x], columns[0, x + 1], columns[0, x + 2], columns[0, x + 3], columns[0, x + 4]
            )
            _, _, b2, b3, b4 = _sorted5(
                columns[1, x], columns[1, x + 1], columns[1, x + 2], columns[1, x + 3], columns[1, x + 4]
            )
            _, c1, c2, c3, _ = _sorted5(
                columns[2, x], columns[2, x + 1], columns[2, x + 2], columns[2, x + 3], columns[2, x + 4]
            )
            d0, d1, d2, _, _ = _sorted5(
                columns[3, x], columns[3, x + 1], columns[3, x + 2], columns[3, x + 3], columns[3, x + 4]
            )
            e0, e1, _, _, _ = _sorted5(
                columns[4, x], columns[4, x + 1], columns[4, x + 2], columns[4, x + 3], columns[4, x + 4]
            )
            low = _max(_max(a3, b2), _max(c1, d0))
            middle = _sorted5(a4, b3, c2, d1, e0)[2]
            high = _min(_min(b4, c3), _min(d2, e1))
            target[y, x + LEFT] = _sorted3(low, middle, high)[1]


@compiled(**FAST)
def _sorted3(a, b, c):
    a, b = _min(a, b), _max(a, b)
    b, c = _min(b, c), _max(b, c)
    a, b = _min(a, b), _max(a, b)
    return a, b, c


@compiled(**FAST)
def _sorted5(a, b, c, d, e):
    a, b = _min(a, b), _max(a, b)
    d, e = _min(d, e), _max(d, e)
    c, e = _min(c, e), _max(c, e)
    c, d = _min(c, d), _max(c, d)
    a, d = _min(a, d), _max(a, d)
    a, c = _min(a, c), _max(a, c)
    b, e = _min(b, e), _max(b, e)
    b, d = _min(b, d), _max(b, d)
    b, c = _min(b, c), _max(b, c)
    return a, b, c, d, e


@compiled(**FAST)
def _min(a, b):
    return a if a < b else b


@compiled(**FAST)
def _max(a, b):
    return a if a > b else b
