"""The pyramid of TV-L1 on a CPU.

Pixel x of a row is number x + LEFT of a plane. Arithmetic is OpenCV 5's (see tests/oracles/tvl1.py).
"""

import numpy as np

from vidfeat.compiled import compiled
from vidfeat.flow.numba_rows import fused
from vidfeat.flow.numba_sweep import FAST, LEFT


@compiled(**FAST)
def resize(source, width, target, new_width, step_y, step_x, scale, y0, y1):
    """Bilinear: pixel k of the result lies at (k + ½)·step − ½ of ``source [h, …]``, whose edges are repeated; times
    ``scale``. Along x first, each row of the source once."""
    height = source.shape[0]
    left, share = np.empty(new_width, np.int64), np.empty(new_width, np.float32)
    for x in range(new_width):
        left[x], share[x] = _place(x, step_x, width)
    rows = np.empty((2, new_width), np.float32)
    known = np.full(2, -1)  # the rows of the source that these are, row y in place y % 2
    for y in range(y0, y1):
        top, down = _place(y, step_y, height)
        bottom = min(top + 1, height - 1)
        for row in (top, bottom):
            if known[row % 2] != row:
                _resize_row(source[row], rows[row % 2], left, share)
                known[row % 2] = row
        upper, lower, out = rows[top % 2], rows[bottom % 2], target[y]
        for x in range(new_width):
            out[x + LEFT] = fused(down, lower[x] - upper[x], upper[x]) * scale


@compiled(**FAST)
def _resize_row(source, target, left, share):
    # Behind the last pixel, whose share is 0, is any number.
    for x in range(len(target)):
        near = source[left[x] + LEFT]
        target[x] = fused(share[x], source[left[x] + LEFT + 1] - near, near)


@compiled(**FAST)
def _place(k, step, length):
    """The pixel before that place, and the share of the one behind it."""
    place = min(max((k + 0.5) * step - 0.5, 0.0), length - 1.0)
    low = int(place)
    return low, np.float32(place - low)
