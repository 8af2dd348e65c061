"""The steps of the compiled TV-L1 before its iterations, each against the plain one of ``tests/oracles``."""

import itertools
from itertools import pairwise

import numpy as np
import pytest
import torch
from oracles import tvl1 as oracle
from test_tvl1_numba import pixels, plane
from tolerances import SAME_RESIZE, SAME_WARP

from vidfeat.flow import numba_images, numba_median, numba_warp
from vidfeat.flow.numba_solver import stride_of
from vidfeat.flow.numba_sweep import LEFT
from vidfeat.flow.numba_taps import BLOCK


@pytest.mark.parametrize("shape", [(1, 1), (2, 5), (16, 17), (31, 40), (9, numba_median._STRIP + 30)])
@pytest.mark.parametrize("size", [3, 5])
@pytest.mark.parametrize("bands", [1, 3])
def test_median_filters(shape, size, bands):
    # Few values, so that many are equal.
    image = np.random.default_rng(0).integers(0, 9, shape).astype(np.float32)
    source, width = plane(image), shape[1]
    result = np.full((shape[0], stride_of(width)), -1, np.float32)
    edges = [shape[0] * band // bands for band in range(bands + 1)]
    for y0, y1 in pairwise(edges):
        if size == 3:
            numba_median.median3(source, width, result, np.zeros((3, width + 4), np.float32), y0, y1)
        else:
            numba_median.repeat_edges(source, width, 0, shape[0])
            room = np.full(numba_median.MEDIAN_ROOM, np.nan, np.float32)
            numba_median.median5(source, width, result, room, y0, y1)
    expected = oracle.filtered(torch.from_numpy(image)[None], size)[0].numpy()
    assert np.array_equal(pixels(result, width), expected)
    assert (result[:, :LEFT] == -1).all()


def test_medians_of_all_windows_of_zeros_and_ones():
    """What compares and exchanges is right for all numbers if it is for zeros and ones: rows with 0…5 ones each."""
    random = np.random.default_rng(0)
    ones = np.array(list(itertools.product(range(6), repeat=5)))
    windows = random.permuted(np.arange(5) < ones[..., None], axis=2).astype(np.float32)
    image = windows.transpose(1, 0, 2).reshape(5, -1)
    source, result = plane(image), plane(image)
    numba_median.repeat_edges(source, image.shape[1], 0, 5)
    room = np.zeros(numba_median.MEDIAN_ROOM, np.float32)
    numba_median.median5(source, image.shape[1], result, room, 0, 5)
    assert np.array_equal(pixels(result, image.shape[1])[2, 2::5], ones.sum(1) > 12)


@pytest.mark.parametrize(("shape", "new"), [((48, 64), (38, 51)), ((16, 20), (33, 41)), ((1, 5), (1, 9))])
def test_resize(shape, new):
    image = np.random.default_rng(0).uniform(0, 255, shape).astype(np.float32)
    result = np.zeros((new[0], stride_of(new[1])), np.float32)
    steps = shape[0] / new[0], shape[1] / new[1]
    numba_images.resize(plane(image), shape[1], result, new[1], *steps, np.float32(2), 0, new[0])
    expected = 2 * oracle.resize(torch.from_numpy(image)[None], new, steps)[0].numpy()
    assert np.abs(pixels(result, new[1]) - expected).max() <= 2 * SAME_RESIZE


def flows(shape):
    """Fields by name, ``[2, H, W]``."""
    random = np.random.default_rng(1)
    y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    return {
        "zero": np.zeros((2, *shape)),
        "trembling about zero": random.normal(0, 0.2, (2, *shape)),
        "wild": random.normal(0, 6, (2, *shape)),
        "moved": np.stack([np.full(shape, 3.3), np.full(shape, -2.6)]),
        "moved by whole pixels": np.stack([np.full(shape, -5.0), np.full(shape, 1.0)]),
        "zoomed": np.stack([0.12 * (x - 30), 0.1 * (y - 9)]),
        "turned": np.stack([-0.2 * (y - 12), 0.2 * (x - 40)]),
        "torn": np.where(x > 37, 4.7, -0.4) + np.zeros((2, 1, 1)),
        "out of the image": np.stack([1e4 * np.sign(x - 20), random.normal(0, 1e6, shape)]),
    }


@pytest.mark.parametrize("bands", [1, 3])
@pytest.mark.parametrize("name", flows((1, 1)))
@pytest.mark.parametrize("shape", [(1, 1), (3, 4), (24, 40), (30, 4 * BLOCK), (23, 5 * BLOCK + 7)])
def test_warp_inside_across_and_beyond_the_border(shape, name, bands):
    random = np.random.default_rng(0)
    height, width = shape
    image, first = (torch.from_numpy(random.uniform(0, 255, shape).astype(np.float32)) for _ in range(2))
    u = torch.from_numpy(flows(shape)[name].astype(np.float32))
    margin = 2 * numba_warp.MARGIN
    planes = np.full((height + margin, width + margin, 4), np.nan, np.float32)
    edges = [height * band // bands for band in range(bands + 1)]
    for y0, y1 in pairwise(edges):
        numba_warp.interleave(plane(image), planes, y0, y1)
    warped = np.zeros((4, height, stride_of(width)), np.float32)
    moved = np.stack([plane(one) for one in u.numpy()])
    for y0, y1 in pairwise(edges):
        numba_warp.warp(plane(image), planes, plane(first), moved, warped, y0, y1)
    there, wx, wy = oracle.warp(torch.stack([image, *oracle.centred_gradient(image)]), u)
    square = wx**2 + wy**2
    # The inverse of a small number says little; where there is none it is 0.
    sure = ((square > 1e-2) | (square == 0)).float()
    expected = wx, wy, there - wx * u[0] - wy * u[1] - first, -((square > 1e-2).float())
    warped[3, :, LEFT : LEFT + width] *= (torch.where(square > 0, square, 1) * sure).numpy()
    for ours, theirs in zip(pixels(warped, width), expected, strict=True):
        assert np.abs(ours - theirs.numpy()).max() <= 3 * SAME_WARP


def test_smooth_flow_goes_through_the_vectors():
    """Pixels one by one read ``planes`` only, runs the image only: here one of the two is missing."""
    height, width = 24, 6 * BLOCK
    image = np.random.default_rng(0).uniform(0, 255, (height, width)).astype(np.float32)
    warped = np.zeros((4, height, stride_of(width)), np.float32)
    trembling = np.random.default_rng(1).normal(0, 0.1, (2, height, stride_of(width))).astype(np.float32)
    planes = np.zeros((height + 2 * numba_warp.MARGIN, width + 2 * numba_warp.MARGIN, 4), np.float32)
    numba_warp.warp(plane(image), planes, plane(image), trembling, warped, 0, height)
    inside = pixels(warped, width)[0, 4:-6, 4:-6]
    assert (inside != 0).all() and (pixels(warped, width)[0, 0] == 0).all()
