"""The plain TV-L1 of ``tests/oracles`` against OpenCV: its parts, each parameter changed once, real pairs, shifts."""

import cv2
import numpy as np
import pytest
import torch

from tests.conftest import data_dir
from tests.oracles import tvl1 as oracle
from tests.tolerances import KNOWN_MOTION, SAME_FIELD, SAME_ITERATIONS, SAME_RESIZE, SAME_WARP

# Up to OpenCV 4 remap rounded coordinates to 1/32 pixel.
STEPS = 32 if int(cv2.__version__.split(".")[0]) < 5 else None
NAMES = {
    "scales": "nscales",
    "inner_iterations": "innnerIterations",  # as OpenCV spells it
    "outer_iterations": "outerIterations",
    "scale_step": "scaleStep",
    "median_filter": "medianFiltering",
}
CHANGES = [
    {},
    {"tau": 0.2},
    {"lambda_": 0.05},
    {"theta": 0.5},
    {"scales": 3},
    {"warps": 2},
    {"epsilon": 0.03},
    {"inner_iterations": 7},
    {"outer_iterations": 1},
    {"scale_step": 0.65},
    {"scale_step": 0.5},
    {"median_filter": 1},
    {"median_filter": 3},
]


def opencv_flow(prev, following, **parameters):
    # A new object each time: a small image lowers the number of scales of the object for good.
    tvl1 = cv2.optflow.DualTVL1OpticalFlow_create(**{NAMES.get(name, name): v for name, v in parameters.items()})
    return tvl1.calc(prev, following, None).transpose(2, 0, 1)


def oracle_flow(prev, following, **parameters):
    u, counts = oracle.tvl1(prev, following, steps=STEPS, **parameters)
    return u.numpy(), counts


def texture(height, width, dx=0.0, dy=0.0):
    """[H, W] float32 grey levels of waves, moved by (dx, dy) pixels: smooth, and known between the pixels."""
    y, x = np.mgrid[:height, :width].astype(np.float64)
    x, y = x - dx, y - dy
    rng = np.random.default_rng(7)
    image = np.zeros((height, width))
    for _ in range(12):
        angle, length, phase = rng.uniform(0, np.pi), rng.uniform(7, 30), rng.uniform(0, 2 * np.pi)
        image += np.sin(2 * np.pi * (np.cos(angle) * x + np.sin(angle) * y) / length + phase)
    return (127.5 + 20 * image).clip(0, 255).astype(np.float32)


def small(image, width):
    """uint8, reduced to ``width`` columns."""
    height = round(image.shape[0] * width / image.shape[1])
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)


def frames_of(path, first):
    capture = cv2.VideoCapture(str(path))
    frames = [capture.read()[1] for _ in range(first + 2)][first:]
    return [cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY) for frame in frames]


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Operations of torch on small images take longest when they share out their work."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def real_pairs():
    """Pairs of small motion: Middlebury's, cut out and halved, and two of a sport clip, reduced."""
    folder = data_dir()
    if not (folder / "flow").is_dir() or not (folder / "videos").is_dir():
        pytest.skip("no real pairs: set VIDFEAT_DATA to a folder that has flow/ and videos/")
    whale = [cv2.imread(str(folder / "flow" / f"rubberwhale_frame{n}.png"), cv2.IMREAD_GRAYSCALE) for n in (10, 11)]
    clip = folder / "videos" / "v_GGSY1Qvo990.mp4"
    sport = {f"sport {first}": frames_of(clip, first) for first in (100, 30)}
    return {
        "whale": [image[200:256, 300:372] for image in whale],
        "half whale": [small(image, 292) for image in whale],
    } | {
        f"{name}, {width} wide": [small(image, width) for image in pair]
        for name, pair in sport.items()
        for width in (48, 160)
    }


@pytest.mark.parametrize("change", CHANGES, ids=str)
@pytest.mark.parametrize("name", ["whale", "sport 100, 48 wide", "sport 30, 48 wide"])
def test_real_pair_with_each_parameter_changed_once(real_pairs, name, change):
    prev, following = real_pairs[name]
    expected = opencv_flow(prev, following, **change)
    flow, _ = oracle_flow(prev, following, **change)
    assert np.abs(expected).max() > 0.1
    assert np.abs(flow - expected).mean() <= SAME_FIELD
    if change:
        assert np.abs(opencv_flow(prev, following) - expected).max() > 10 * SAME_ITERATIONS, "the change has no effect"


@pytest.mark.parametrize("name", ["half whale", "sport 100, 160 wide", "sport 30, 160 wide"])
def test_larger_real_pair(real_pairs, name):
    prev, following = real_pairs[name]
    flow, counts = oracle_flow(prev, following)
    assert np.abs(flow - opencv_flow(prev, following)).mean() <= SAME_FIELD
    assert len(counts) == 25
    assert 25 < sum(counts) < 1500


@pytest.mark.parametrize("median", [1, 3, 5])
def test_iterations_of_one_warp_are_equal(median):
    """No pyramid, no warp but by 0, no stopping: threshold, divergence, dual update, median and their borders."""
    prev, following = (texture(37, 52, dx).astype(np.uint8) for dx in (0, 0.7))
    options = {"scales": 1, "warps": 1, "epsilon": 0.0, "inner_iterations": 15, "outer_iterations": 4}
    flow, counts = oracle_flow(prev, following, median_filter=median, **options)
    assert counts == [60]
    assert np.abs(flow).max() > 0.3
    assert np.abs(flow - opencv_flow(prev, following, median_filter=median, **options)).max() <= SAME_ITERATIONS


@pytest.mark.parametrize("shape", [(16, 16), (19, 64), (45, 33), (10, 24), (61, 83)])
def test_any_size(shape):
    prev, following = (texture(*shape, dx, dy).astype(np.uint8) for dx, dy in ((0, 0), (0.6, -0.4)))
    flow, _ = oracle_flow(prev, following)
    assert np.abs(flow - opencv_flow(prev, following)).mean() <= SAME_FIELD


@pytest.mark.parametrize("shift", [(0.5, 0.0), (-1.25, 0.75), (3.0, -2.0)])
def test_translation_is_recovered(shift):
    prev, following = texture(60, 80), texture(60, 80, *shift)
    flow, _ = oracle_flow(prev.astype(np.uint8), following.astype(np.uint8))
    assert np.abs(flow[:, 8:-8, 8:-8] - np.reshape(shift, (2, 1, 1))).mean() <= KNOWN_MOTION


def test_equal_images_stop_at_once():
    image = texture(40, 50).astype(np.uint8)
    flow, counts = oracle_flow(image, image)
    assert not flow.any()
    assert set(counts) == {1}


def test_float_images_are_multiplied_by_255():
    images = [texture(40, 50, dx).astype(np.uint8) for dx in (0, 1)]
    floats = [image.astype(np.float32) / np.float32(255) for image in images]
    expected = opencv_flow(*floats)
    assert np.abs(oracle_flow(*floats)[0] - expected).mean() <= SAME_FIELD
    assert np.abs(oracle_flow(*images)[0] - expected).mean() <= SAME_FIELD


@pytest.mark.parametrize(("shape", "step"), [((48, 64), 0.8), ((47, 61), 0.8), ((50, 35), 0.5), ((50, 35), 0.65)])
def test_resize_is_opencvs(shape, step):
    image = np.random.default_rng(0).uniform(0, 255, shape).astype(np.float32)
    down = cv2.resize(image, None, fx=step, fy=step, interpolation=cv2.INTER_LINEAR)
    ours = oracle.pyramid(torch.from_numpy(image)[None], 2, step)[1][0].numpy()
    assert ours.shape == down.shape
    assert np.abs(ours - down).max() <= SAME_RESIZE
    up = cv2.resize(down, image.shape[::-1], interpolation=cv2.INTER_LINEAR)
    ratio = [down.shape[0] / shape[0], down.shape[1] / shape[1]]
    assert np.abs(oracle.resize(torch.from_numpy(down)[None], shape, ratio)[0].numpy() - up).max() <= SAME_RESIZE


def test_warp_is_opencvs_inside_across_and_beyond_the_border():
    rng = np.random.default_rng(0)
    image = rng.uniform(0, 255, (40, 64)).astype(np.float32)
    u = rng.normal(0, 8, (2, 40, 64)).astype(np.float32)
    y, x = np.mgrid[:40, :64].astype(np.float32)
    expected = cv2.remap(image, x + u[0], y + u[1], cv2.INTER_CUBIC)
    ours = oracle.warp(torch.from_numpy(image)[None], torch.from_numpy(u), STEPS)[0].numpy()
    assert (expected == 0).any()
    assert np.abs(ours - expected).max() <= SAME_WARP


@pytest.mark.parametrize("size", [3, 5])
def test_median_filter_is_opencvs(size):
    image = np.random.default_rng(0).normal(0, 1, (21, 30)).astype(np.float32)
    ours = oracle.filtered(torch.from_numpy(image)[None], size)[0].numpy()
    assert np.array_equal(ours, cv2.medianBlur(image, size))
