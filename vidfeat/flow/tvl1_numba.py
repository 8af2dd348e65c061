"""TV-L1 on a CPU, compiled by Numba: the threads and the memory of :func:`vidfeat.flow.numba_solver.solve`."""

import logging
import math
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress

import numpy as np

from vidfeat.compiled import has_machine_code
from vidfeat.flow.numba_median import MEDIAN_ROOM
from vidfeat.flow.numba_solver import MOST_AT_ONCE, solve, stride_of
from vidfeat.flow.numba_sweep import SPARE
from vidfeat.flow.numba_warp import MARGIN
from vidfeat.flow.parameters import TVL1Parameters

log = logging.getLogger("vidfeat")

# Held by the thread that compiles, while others wait.
_compiling = threading.Lock()

# What threads worked in, kept for the next pairs of that shape, each if it is no more than so many bytes: to get and
# clear it anew costs as much as some iterations.
_KEPT = 64 << 20
_kept: list[tuple[np.ndarray, tuple[np.ndarray, ...]]] = []

# Side of a level that is made by scaling.
_SMALLEST = 16
# Numbers in the rows in work during a sweep: they stay in a core's own cache.
_IN_WORK = 1 << 17


def flow_fields(
    prev: np.ndarray, next: np.ndarray, parameters: TVL1Parameters, threads: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Fields of N pairs.

    Every thread computes pairs of its own; what is left over of N / threads is computed by all of them together, each
    with its share of the rows.

    Args:
        prev, next: ``[N, H, W]`` float32 grey levels 0…255.
        parameters: of the method.
        threads: None for one per core that this process may use.

    Returns:
        (flow ``[N, 2, H, W]`` float32 pixels, iterations ``[N]`` int64 over all levels and warps).
    """
    prepare()
    return _flow_fields(prev, next, parameters, threads)


def prepare() -> None:
    """Compile what :func:`flow_fields` needs, where that was never done, and say so."""
    with _compiling:
        if not has_machine_code(solve):
            log.info("Compiling TV-L1 for this CPU: about 20 seconds, once.")
            blank = np.zeros((1, _SMALLEST, _SMALLEST), np.float32)
            _flow_fields(blank, blank, TVL1Parameters(), 1)


def _flow_fields(
    prev: np.ndarray, next: np.ndarray, parameters: TVL1Parameters, threads: int | None
) -> tuple[np.ndarray, np.ndarray]:
    threads = threads or len(os.sched_getaffinity(0))
    pairs, height, width = prev.shape
    shapes = pyramid_shapes(height, width, parameters)
    flow = np.empty((pairs, 2, height, width), np.float32)
    iterations = np.zeros((pairs, len(shapes), parameters.warps), np.int64)
    p = parameters
    constants = np.array([p.lambda_ * p.theta, p.tau, p.tau / p.theta, p.scale_step, p.epsilon])
    limits = np.array([p.warps, p.inner_iterations, p.outer_iterations, p.median_filter])

    def compute(pair: int, rank: int, together: int, counter: np.ndarray, room: tuple) -> None:
        images = prev[pair], next[pair]
        solve(rank, together, counter, *images, shapes, room, constants, limits, flow[pair], iterations[pair])

    alone = iter(range(pairs // threads * threads))

    def work_alone(_: int) -> None:
        with _kept_room(shapes) as room:
            for pair in alone:  # the next one that no thread has taken
                compute(pair, 0, 1, np.zeros(1, np.int64), room)

    if threads == 1:
        work_alone(0)
        return flow, iterations.sum(axis=(1, 2))
    with _crew(threads) as crew:
        if pairs >= threads:
            list(crew.map(work_alone, range(threads)))
        shared = _room(shapes, threads) if pairs % threads else ()
        for pair in range(pairs // threads * threads, pairs):
            counter = np.zeros(1, np.int64)
            jobs = [crew.submit(compute, pair, rank, threads, counter, shared) for rank in range(threads)]
            for job in jobs:
                job.result()
    return flow, iterations.sum(axis=(1, 2))


def pyramid_shapes(height: int, width: int, parameters: TVL1Parameters) -> np.ndarray:
    """Heights, widths and strides of the levels, int64 ``[levels, 3]``, the finest first."""
    shapes = [(height, width, stride_of(width))]
    while len(shapes) < parameters.scales:
        height, width = round(height * parameters.scale_step), round(width * parameters.scale_step)
        if min(height, width) < _SMALLEST:
            break
        shapes.append((height, width, stride_of(width)))
    return np.array(shapes, np.int64)


@contextmanager
def _crew(threads: int) -> Iterator[ThreadPoolExecutor]:
    """So many threads, all of them running: in compiled code they wait for one another, for ever if one is missing."""
    with ThreadPoolExecutor(threads) as pool:
        present = threading.Barrier(threads)
        try:
            for job in [pool.submit(present.wait) for _ in range(threads)]:
                job.result()
        except RuntimeError:  # no thread to be had
            present.abort()
            raise
        yield pool


@contextmanager
def _kept_room(shapes: np.ndarray) -> Iterator[tuple[np.ndarray, ...]]:
    """Memory for one pair at a time on one thread, as another pair of that shape has left it, if there was one."""
    room: tuple[np.ndarray, ...] = ()
    with suppress(IndexError):  # another thread may take the last one
        known, room = _kept.pop()
        room = room if np.array_equal(known, shapes) else ()
    room = room or _room(shapes, 1)
    yield room
    if sum(part.nbytes for part in room) <= _KEPT and len(_kept) < len(os.sched_getaffinity(0)):
        _kept.append((shapes, room))


def _room(shapes: np.ndarray, threads: int) -> tuple[np.ndarray, ...]:
    """Memory for one pair at a time, as :func:`solve` takes it."""
    stride = int(shapes[0, 2])
    level = int(shapes[0, 0]) * stride
    rows = max(2, min(MOST_AT_ONCE + 1, _IN_WORK // (10 * stride)))
    floats = (
        (2, int((shapes[:, 0] * shapes[:, 2]).sum())),  # images: all levels of both, zeros beside them for good
        (2, 6 * level),  # states
        (2 * level,),  # filtered: medians of the flow
        (4 * level,),  # warped
        (4 * int((shapes[0, 0] + 2 * MARGIN) * (shapes[0, 1] + 2 * MARGIN)),),  # planes
        (2 * level,),  # coarse: the flow of the level before
        (threads, 6 * (rows + SPARE) * stride),  # rings
        (threads, stride),  # inside
        (threads, 3, stride),  # columns: sorted, of the 3 × 3 median
        (threads, *MEDIAN_ROOM),  # sorting
    )
    return *_arrays(floats), np.zeros((2, threads, MOST_AT_ONCE))


def _arrays(shapes: tuple[tuple[int, ...], ...]) -> list[np.ndarray]:
    """Zeros, each from the beginning of a cache line on, of one memory: NumPy asks for large pages if it is large."""
    line = 64
    starts = np.cumsum([0] + [-(-4 * math.prod(shape) // line) * line for shape in shapes])
    memory = np.zeros(int(starts[-1]) + line, np.uint8)
    memory = memory[-memory.ctypes.data % line :]
    return [
        memory[start : start + 4 * math.prod(shape)].view(np.float32).reshape(shape)
        for start, shape in zip(starts, shapes, strict=False)
    ]
