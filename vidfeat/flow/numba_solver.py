"""TV-L1 of one pair on a CPU, by one or more threads that all run :func:`solve` and share out the rows.

The algorithm is OpenCV's ``DualTVL1OpticalFlow``; tests/oracles/tvl1.py states every step.
"""

import numpy as np

from vidfeat.compiled import compiled
from vidfeat.flow.numba_barrier import wait_for_all
from vidfeat.flow.numba_images import resize
from vidfeat.flow.numba_median import median3, median5, repeat_edges
from vidfeat.flow.numba_sweep import LAG, LEFT, SPARE, UNIT, sweep
from vidfeat.flow.numba_warp import MARGIN, interleave, warp

# Infinities stand for errors that are not known yet, so nothing may be assumed of numbers here.
EXACT = {"error_model": "numpy"}

# Iterations of one sweep at most.
MOST_AT_ONCE = 8

# Share of the iterations expected by experience that are done without a look at the error, as to go back costs more
# than to look; of so few or less all are, and all that extrapolation expects.
_EXPECTED, _FEW = 0.85, 2

_ZERO, _ONE = np.float32(0), np.float32(1)


def stride_of(width: int) -> int:
    """Numbers from one row of a plane to the next."""
    return LEFT + -(-(width + LAG) // UNIT) * UNIT


@compiled(**EXACT)
def solve(rank, threads, counter, prev, next, shapes, room, constants, limits, flow, iterations):
    """The flow of one pair.

    Args:
        rank, threads: this is number ``rank`` of ``threads`` that call this with the same arrays.
        counter: for :func:`wait_for_all`.
        prev, next: grey levels ``[H, W]``, float32.
        shapes: int64 ``[levels, 3]``, heights, widths and strides of the pyramid, the finest first.
        room: memory, see ``_room`` of tvl1_numba.py.
        constants: float64 ``[5]``: λθ, τ, τ/θ, scale_step, ε.
        limits: int64 ``[4]``: warps, inner and outer iterations, side of the median filter.
        flow: the result ``[2, H, W]``, float32.
        iterations: int64 ``[levels, warps]``, set to the iterations of each level and warp.
    """
    images, states, filtered, all_warped, all_planes, coarse, all_rings, all_inside, columns, sorting, errors = room
    _build_pyramid(rank, threads, counter, prev, next, shapes, images, 1.0 / constants[3])
    offset = images.shape[1]
    expected = np.zeros(limits[0], np.int64)  # iterations of each warp of the level before
    for level in range(shapes.shape[0] - 1, -1, -1):
        height, width, stride = shapes[level]
        size = height * stride
        offset -= size
        y0, y1 = height * rank // threads, height * (rank + 1) // threads
        first = images[0, offset : offset + size].reshape(height, stride)
        second = images[1, offset : offset + size].reshape(height, stride)
        old, new = states[0, : 6 * size].reshape(6, height, stride), states[1, : 6 * size].reshape(6, height, stride)
        warped = all_warped[: 4 * size].reshape(4, height, stride)
        planes_height, planes_width = height + 2 * MARGIN, width + 2 * MARGIN
        planes = all_planes[: 4 * planes_height * planes_width].reshape(planes_height, planes_width, 4)
        medians = filtered[: 2 * size].reshape(2, height, stride)
        rows = min(all_rings.shape[1] // (6 * stride), MOST_AT_ONCE + 1 + SPARE)
        ring = all_rings[rank, : 6 * rows * stride].reshape(6, rows, stride)
        inside = all_inside[rank, : stride - LEFT]
        inside[:width], inside[width:] = _ONE, _ZERO
        old[:, y0:y1], ring[:] = _ZERO, _ZERO
        # Of the others only what lies beside the image is read before it is written: what a level before left there may
        # be too large to be squared.
        new[:, y0:y1, :LEFT], new[:, y0:y1, LEFT + width :] = _ZERO, _ZERO
        medians[:, y0:y1, LEFT + width :], warped[:, y0:y1, LEFT + width :] = _ZERO, _ZERO
        if level + 1 < shapes.shape[0]:
            was_height, was_width, was_stride = shapes[level + 1]
            was = coarse[: 2 * was_height * was_stride].reshape(2, was_height, was_stride)
            scale = np.float32(1.0 / constants[3])
            for i in range(2):
                resize(was[i], was_width, old[i], width, was_height / height, was_width / width, scale, y0, y1)
        interleave(second, planes, y0, y1)
        wait_for_all(counter, threads)
        for number in range(limits[0]):
            warp(second, planes, first, old[:2], warped, y0, y1)
            old, new, count = _minimise(
                rank, threads, counter, old, new, medians, ring, warped, inside, width, columns[rank],
                sorting[rank], errors, constants, limits, y0, y1, expected[number],
            )  # fmt: skip
            expected[number] = count
            if rank == 0:
                iterations[level, number] = count
        if level > 0:
            coarse[: 2 * size].reshape(2, height, stride)[:, y0:y1] = old[:2, y0:y1]
        else:
            flow[:, y0:y1] = old[:2, y0:y1, LEFT : LEFT + width]
        wait_for_all(counter, threads)


@compiled(**EXACT)
def _build_pyramid(rank, threads, counter, prev, next, shapes, images, step):
    """Levels of both images one behind the other in ``images [2, …]``."""
    height, width, stride = shapes[0]
    y0, y1 = height * rank // threads, height * (rank + 1) // threads
    images[0, : height * stride].reshape(height, stride)[y0:y1, LEFT : LEFT + width] = prev[y0:y1]
    images[1, : height * stride].reshape(height, stride)[y0:y1, LEFT : LEFT + width] = next[y0:y1]
    offset = 0
    for level in range(1, shapes.shape[0]):
        wait_for_all(counter, threads)
        to = offset + height * stride
        new_height, new_width, new_stride = shapes[level]
        y0, y1 = new_height * rank // threads, new_height * (rank + 1) // threads
        for i in range(2):
            source = images[i, offset:to].reshape(height, stride)
            target = images[i, to : to + new_height * new_stride].reshape(new_height, new_stride)
            resize(source, width, target, new_width, step, step, _ONE, y0, y1)
        offset, height, width, stride = to, new_height, new_width, new_stride
    wait_for_all(counter, threads)


@compiled(**EXACT)
def _minimise(
    rank, threads, counter, old, new, medians, ring, warped, inside, width, columns, sorting, errors, constants, limits,
    y0, y1, expected,
):  # fmt: skip
    """The iterations of one warp: both states, the valid one first, and their number, ``expected`` by experience."""
    reach, tau, step = np.float32(constants[0]), np.float32(constants[1]), np.float32(constants[2])
    limit = constants[4] * constants[4] * old.shape[1] * width
    most = ring.shape[1] - 1 - SPARE
    error, total, parity = np.inf, 0, 0
    for _ in range(limits[2]):
        if not error > limit:
            break
        if limits[3] == 5:
            for i in range(2):
                repeat_edges(old[i], width, y0, y1)
        wait_for_all(counter, threads)
        u = old[:2]
        if limits[3] > 1:
            u = medians
            for i in range(2):
                if limits[3] == 3:
                    median3(old[i], width, u[i], columns, y0, y1)
                else:
                    median5(old[i], width, u[i], sorting, y0, y1)
            wait_for_all(counter, threads)
        left, to_come = limits[1], float(expected - total)
        if to_come > _FEW:
            to_come *= _EXPECTED
        while left > 0 and error > limit:
            count, earlier, done = max(1, min(left, most, int(to_come))), error, 0
            while done < count:
                count = done if done else count  # went too far: once more, with fewer
                own = errors[parity, rank]
                sweep(u, old, new, ring, warped, inside, width, y0, y1, count, reach, tau, step, own)
                wait_for_all(counter, threads)
                before, error, done = _until_met(limit, errors[parity], earlier, count)
                parity = 1 - parity
            old, new = new, old
            u = old[:2]
            left -= done
            total += done
            to_come = _iterations_to(limit, error, before)
    return old, new, total


@compiled(**EXACT)
def _until_met(limit, errors, earlier, count):
    """Of ``count`` iterations with errors ``[threads, …]``, after one with the error ``earlier``: how many there were
    until the stopping rule was met, and the errors of the last two of those: (last but one, last, number)."""
    error, before = earlier, earlier
    for k in range(count):
        before, error = error, 0.0
        for own in errors:  # one after the other, so that all threads come to the same sum
            error += own[k]
        if not error > limit:
            return before, error, k + 1
    return before, error, count


@compiled(**EXACT)
def _iterations_to(limit, error, before):
    """How many more there will be if the error goes on falling as from ``before``; mostly it takes a few more."""
    if limit <= 0.0 or not error < before:
        return 1000.0
    return np.log(limit / error) / np.log(error / before)
