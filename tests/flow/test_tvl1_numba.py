"""The compiled TV-L1 against the plain one of ``tests/oracles``."""

import threading
from itertools import pairwise

import cv2
import numpy as np
import pytest
from oracles import tvl1 as oracle
from test_tvl1_oracle import texture
from tolerances import KNOWN_MOTION, SAME_FIELD, SAME_ITERATIONS

from vidfeat.flow import tvl1_numba
from vidfeat.flow.numba_barrier import wait_for_all
from vidfeat.flow.numba_sweep import LEFT, SPARE, sweep
from vidfeat.flow.parameters import TVL1Parameters
from vidfeat.flow.tvl1_numba import flow_fields, stride_of


def scene(height, width, dx=0.0, dy=0.0, zoom=1.0, angle=0.0, seed=3):
    """Grey levels of a smooth texture, moved, zoomed and turned about its middle; whole numbers, as of a camera."""
    random = np.random.default_rng(seed)
    wide = cv2.GaussianBlur(random.normal(size=(height + 60, width + 60)).astype(np.float32), (0, 0), 1.5)
    wide = 127 + 45 * wide / wide.std()
    turn = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), angle, zoom)
    turn[:, 2] += dx, dy
    whole = np.vstack([turn, [0, 0, 1]]) @ np.array([[1, 0, -30], [0, 1, -30], [0, 0, 1]])
    image = cv2.warpAffine(wide, whole[:2], (width, height), flags=cv2.INTER_CUBIC)
    return np.clip(np.rint(image), 0, 255).astype(np.float32)


def field(prev, following, threads=1, **parameters):
    flow, iterations = flow_fields(prev[None], following[None], TVL1Parameters(**parameters), threads=threads)
    return flow[0], int(iterations[0])


def plane(image):
    rows = np.zeros((image.shape[0], stride_of(image.shape[1])), np.float32)
    rows[:, LEFT : LEFT + image.shape[1]] = image
    return rows


def pixels(rows, width):
    return rows[..., LEFT : LEFT + width]


CHANGES = [
    {},
    {"tau": 0.2},
    {"lambda_": 0.05},
    {"theta": 0.5},
    {"scales": 2},
    {"warps": 2},
    {"epsilon": 0.03},
    {"epsilon": 0.0, "inner_iterations": 11, "outer_iterations": 3},
    {"inner_iterations": 7},
    {"outer_iterations": 1},
    {"scale_step": 0.5},
    {"median_filter": 1},
    {"median_filter": 3},
]


@pytest.mark.parametrize("change", CHANGES, ids=str)
def test_field_and_iterations_of_the_oracle(change):
    prev, following = np.rint(texture(48, 64)), np.rint(texture(48, 64, 0.8, -0.4))
    flow, iterations = field(prev, following, **change)
    expected, counts = oracle.tvl1(prev.astype(np.uint8), following.astype(np.uint8), **change)
    assert np.abs(flow - expected.numpy()).mean() <= SAME_FIELD
    # Rounding moves the end of a warp by an iteration now and then.
    assert abs(iterations - sum(counts)) <= 0.05 * sum(counts)


@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("median", [1, 3, 5])
def test_iterations_of_one_warp_are_equal(median, threads):
    prev, following = scene(37, 52), scene(37, 52, 0.7)
    options = {"scales": 1, "warps": 1, "epsilon": 0.0, "inner_iterations": 15, "outer_iterations": 4}
    flow, iterations = field(prev, following, threads, median_filter=median, **options)
    expected, _ = oracle.tvl1(prev.astype(np.uint8), following.astype(np.uint8), median_filter=median, **options)
    assert iterations == 60
    assert np.abs(flow - expected.numpy()).max() <= SAME_ITERATIONS


@pytest.mark.parametrize("shape", [(1, 1), (1, 30), (30, 1), (2, 3), (16, 16), (17, 15), (64, 16), (45, 33)])
@pytest.mark.parametrize("threads", [1, 3])
def test_any_size(shape, threads):
    prev, following = scene(*shape), scene(*shape, 0.6, -0.4)
    # So few iterations that rounding is not amplified.
    options = {"warps": 2, "epsilon": 0.0, "inner_iterations": 10, "outer_iterations": 2}
    flow, _ = field(prev, following, threads, **options)
    expected, _ = oracle.tvl1(prev.astype(np.uint8), following.astype(np.uint8), **options)
    assert np.abs(flow - expected.numpy()).mean() <= SAME_ITERATIONS
    # With the stopping rule, which may go back, and with more threads than rows.
    whole, count = field(prev, following, threads)
    alone, same = field(prev, following, 1)
    assert np.array_equal(whole, alone) and count == same


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("median", [3, 5])
def test_nothing_is_read_before_it_is_written(monkeypatch, median, threads):
    """Memory holds what the pair before left there, of other levels even: here NaN, but for what lies beside images."""
    pair = scene(61, 77), scene(61, 77, 1.7, 0.3)
    expected, iterations = field(*pair, median_filter=median)

    def spoilt(shapes):
        arrays = given(shapes)
        for array in arrays[1:]:
            array[:] = np.nan
        return arrays

    given = tvl1_numba._arrays
    monkeypatch.setattr(tvl1_numba, "_arrays", spoilt)
    monkeypatch.setattr(tvl1_numba, "_kept", [])
    flow, count = field(*pair, threads, median_filter=median)
    assert np.array_equal(flow, expected) and count == iterations


def test_pairs_of_a_batch_do_not_depend_on_one_another_nor_on_the_threads():
    prev = np.stack([scene(40, 50, seed=seed) for seed in range(5)])
    following = np.stack([scene(40, 50, 0.4 * seed, 0.5, seed=seed) for seed in range(5)])
    alone = [field(*pair) for pair in zip(prev, following, strict=True)]
    for threads in (1, 2, 3, 8):
        flow, iterations = flow_fields(prev, following, TVL1Parameters(), threads=threads)
        assert np.array_equal(flow, np.stack([one for one, _ in alone]))
        assert np.array_equal(iterations, [count for _, count in alone])


def test_no_motion():
    image = scene(48, 64)
    flow, iterations = field(image, image)
    assert not flow.any()
    assert iterations == 5 * 5  # one for each warp of five levels


def test_flat_images():
    flow, _ = field(np.full((32, 40), 90, np.float32), np.full((32, 40), 90, np.float32))
    assert not flow.any()


@pytest.mark.parametrize(
    "motion",
    [{"dx": 0.5}, {"dx": -1.25, "dy": 0.75}, {"dx": 3.0, "dy": -2.0}, {"angle": 2.0}, {"zoom": 1.04}],
    ids=str,
)
def test_motion_is_recovered(motion):
    height, width = 96, 128
    flow, _ = field(scene(height, width), scene(height, width, **motion))
    turn = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), motion.get("angle", 0), motion.get("zoom", 1))
    turn[:, 2] += motion.get("dx", 0), motion.get("dy", 0)
    y, x = np.mgrid[:height, :width]
    there = np.einsum("ij,jhw->ihw", turn, np.stack([x, y, np.ones_like(x)]))
    error = np.linalg.norm(flow - (there - np.stack([x, y])), axis=0)
    assert error[10:-10, 10:-10].mean() <= KNOWN_MOTION


def test_a_sweep_of_many_iterations_is_that_many_sweeps_of_one_whatever_the_bands():
    random = np.random.default_rng(0)
    height, width, stride = 23, 37, stride_of(37)
    start, warped = np.zeros((6, height, stride), np.float32), np.zeros((4, height, stride), np.float32)
    start[:, :, LEFT : LEFT + width] = random.normal(size=(6, height, width))
    warped[:3, :, LEFT : LEFT + width] = 10 * random.normal(size=(3, height, width))
    square = warped[0] ** 2 + warped[1] ** 2
    warped[3] = np.divide(-1, square, out=np.zeros_like(square), where=square > 0)

    def run(counts, bands):
        old, errors = start, []
        edges = [height * band // bands for band in range(bands + 1)]
        for count in counts:
            new, total = np.zeros_like(start), np.zeros(count)
            for y0, y1 in pairwise(edges):
                part, ring = np.zeros(count), np.zeros((6, count + 1 + SPARE, stride), np.float32)
                inside = (np.arange(stride - LEFT) < width).astype(np.float32)
                constants = map(np.float32, (0.045, 0.25, 0.25 / 0.3))
                sweep(old[:2], old, new, ring, warped, inside, width, y0, y1, count, *constants, part)
                total += part
            old, errors = new, [*errors, *total]
        return pixels(old, width), errors

    expected, errors = run([1] * 9, 1)
    for counts, bands in (([9], 1), ([4, 5], 1), ([9], 2), ([2, 7], 5), ([3, 3, 3], 23)):
        state, own = run(counts, bands)
        assert np.array_equal(state, expected)
        np.testing.assert_allclose(own, errors, rtol=1e-6)


def test_the_barrier_lets_nobody_through_before_all_have_come():
    counter, arrived, seen = np.zeros(1, np.int64), [], []

    def work(number):
        for turn in range(50):
            arrived.append(turn)
            wait_for_all(counter, 3)
            seen.append(arrived.count(turn))
            wait_for_all(counter, 3)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert seen == [3] * 150
