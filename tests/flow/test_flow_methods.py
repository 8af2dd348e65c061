"""The flow methods behind their interface: OpenCV's, and TV-L1 with OpenCV's backend."""

import json

import cv2
import numpy as np
import pytest
import torch
from tolerances import FLOAT32, KNOWN_MOTION, RUBBERWHALE

from vidfeat.errors import ItemError, UsageError
from vidfeat.flow import METHODS, TVL1Parameters, flow_method, method_settings, read_flo, tvl1
from vidfeat.flow.base import FlowMethod
from vidfeat.flow.methods import find_method
from vidfeat.metrics import endpoint_error

GREY = {"tvl1": {"backend": "opencv"}, "dis": {}, "farneback": {}}


def film(count=4, height=48, width=64, dx=1.0, dy=-0.5):
    y, x = np.mgrid[:height, :width].astype(np.float64)
    pictures = [
        128 + 50 * np.sin(0.31 * (x - dx * k) + 0.12 * (y - dy * k)) + 50 * np.cos(0.17 * (x - dx * k) - 0.29 * y)
        for k in range(count)
    ]
    return np.rint(pictures).astype(np.uint8)


@pytest.mark.parametrize("name", GREY)
def test_field_k_leads_from_frame_k_to_the_next(name):
    frames = film()
    frames[2:] = film(dx=-1.0)[2:]  # turns back between frames 1 and 2
    method = flow_method(name, threads=1, **GREY[name])
    assert isinstance(method, FlowMethod) and (method.name, method.wants, method.device) == (name, "grey", "cpu")
    assert METHODS[name].wants == method.wants
    flow = method(frames)
    assert flow.shape == (3, 2, 48, 64) and flow.dtype == np.float32 and flow.flags.c_contiguous
    for k in range(3):
        np.testing.assert_array_equal(method(frames[k : k + 2])[0], flow[k])
    np.testing.assert_array_equal(method(frames[:, ::1]), method(np.asfortranarray(frames)))
    np.testing.assert_array_equal(method(torch.from_numpy(frames)), flow)


@pytest.mark.parametrize("name", GREY)
def test_known_motion_is_found(name):
    flow = flow_method(name, threads=1, **GREY[name])(film(3, dy=0.0))
    inside = flow[:, :, 12:-12, 12:-12]
    # The coarser methods are off by some tenths, and OpenCV's Farneback is even where nothing moves.
    assert np.abs(inside[:, 0] - 1).mean() < (KNOWN_MOTION if name == "tvl1" else 10 * KNOWN_MOTION)
    if name != "farneback":
        assert np.abs(flow_method(name, threads=1, **GREY[name])(film(2, dx=0.0, dy=0.0))).max() < FLOAT32


def test_each_is_what_opencv_computes():
    frames = film(2)
    prev, next = frames
    expected = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_FAST).calc(prev, next, None)
    np.testing.assert_array_equal(flow_method("dis", preset="fast")(frames)[0], expected.transpose(2, 0, 1))
    expected = cv2.FarnebackOpticalFlow_create().calc(prev, next, None)
    np.testing.assert_array_equal(flow_method("farneback")(frames)[0], expected.transpose(2, 0, 1))
    numbers = (0.7, 3, 9, 4, 7, 1.5)
    expected = cv2.calcOpticalFlowFarneback(prev, next, None, *numbers, cv2.OPTFLOW_FARNEBACK_GAUSSIAN)
    names = ("pyr_scale", "levels", "winsize", "iterations", "poly_n", "poly_sigma")
    given = dict(zip(names, numbers, strict=True))
    np.testing.assert_array_equal(
        flow_method("farneback", **given, gaussian=True)(frames)[0], expected.transpose(2, 0, 1)
    )
    np.testing.assert_array_equal(
        flow_method("tvl1", backend="opencv", warps=2)(frames)[0], tvl1(prev, next, backend="opencv", warps=2)
    )


@pytest.mark.parametrize("name", ["dis", "farneback"])
def test_rubberwhale(real_flow, name):
    images = [cv2.imread(str(real_flow / f"rubberwhale_frame1{i}.png"), cv2.IMREAD_GRAYSCALE) for i in (0, 1)]
    truth = read_flo(real_flow / "rubberwhale_flow10.flo")
    assert endpoint_error(flow_method(name)(np.stack(images))[0], truth) < RUBBERWHALE[name]


def test_settings_are_complete_and_fit_for_a_fingerprint():
    for name, given in GREY.items():
        settings = method_settings(name, **given)
        assert settings == flow_method(name, **given).settings == json.loads(json.dumps(settings))
    assert method_settings("dis") == {"preset": "medium"}
    assert method_settings("farneback", levels=3)["levels"] == 3
    assert method_settings("farneback")["gaussian"] is False
    plain = method_settings("tvl1")
    assert plain == {"implementation": "vidfeat", **vars(TVL1Parameters())}
    # The CPU's and the GPU's are one implementation, OpenCV's is another; 1 and 1.0 are one setting.
    assert method_settings("tvl1", backend="numba") == method_settings("tvl1", backend="triton") == plain
    assert method_settings("tvl1", backend="opencv") == {**plain, "implementation": "opencv"}
    assert json.dumps(method_settings("tvl1", tau=1)) == json.dumps(method_settings("tvl1", tau=1.0))


FRAMES = film(2)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: find_method("brox"), r"unknown flow method 'brox'; allowed are tvl1 \(.*; dis \(.*; raft \("),
        (lambda: method_settings("pwc"), "unknown flow method 'pwc'"),
        (lambda: flow_method("dis", "cuda"), r"'dis' computes on cpu only, not on 'cuda'; .*one of tvl1, raft"),
        (lambda: flow_method("tvl1", "tpu"), "unknown device 'tpu'; allowed are cpu, cuda and cuda:N"),
        (lambda: flow_method("dis", threads=0), "threads is 0; it must be a whole number, 1 or more, or None"),
        (lambda: flow_method("dis", speed=1), "unknown setting speed of dis; allowed are preset"),
        (lambda: flow_method("dis", preset="slow"), "preset is 'slow'; dis has ultrafast, fast, medium"),
        (lambda: flow_method("farneback", window=3), "unknown setting window of farneback; allowed are pyr_scale, lev"),
        (lambda: flow_method("farneback", pyr_scale=1), "pyr_scale is 1; it must lie between 0 and 1, both excluded"),
        (lambda: flow_method("farneback", poly_sigma=0), "poly_sigma is 0; it must be above 0"),
        (lambda: flow_method("farneback", winsize=1.5), "winsize is 1.5; it must be a whole number, 1 or more"),
        (lambda: flow_method("farneback", poly_n=6), "poly_n is 6; allowed are 5 and 7"),
        (lambda: flow_method("farneback", gaussian=1), "gaussian is 1; allowed are True and False"),
        (lambda: flow_method("tvl1", levels=1), "unknown TV-L1 parameter levels"),
        (lambda: flow_method("tvl1", backend="cv"), "unknown TV-L1 backend 'cv'; allowed are numba, triton, opencv"),
        (lambda: flow_method("tvl1", backend="triton"), "'triton' computes on cuda, not on cpu"),
        (lambda: flow_method("dis")(FRAMES[:1]), r"1 frame\(s\) have no flow; give two or more"),
        (lambda: flow_method("dis")(FRAMES[0]), r"uint8 \[48, 64\]; dis wants grey frames, uint8 \[T, H, W\]"),
        (lambda: flow_method("dis")(FRAMES[..., None].repeat(3, 3)), r"uint8 \[2, 48, 64, 3\]; dis wants grey frames"),
        (lambda: flow_method("dis")(FRAMES / 255), r"float64 \[2, 48, 64\]; dis wants grey frames, uint8"),
        (lambda: flow_method("farneback")(FRAMES[:, :0]), r"uint8 \[2, 0, 64\]; farneback wants"),
    ],
)
def test_what_is_wrong_is_said(call, words):
    with pytest.raises(UsageError, match=words):
        call()


@pytest.mark.parametrize("preset", ["ultrafast", "fast", "medium"])
def test_dis_gives_a_pair_the_same_field_whatever_came_before(preset):
    frames = FRAMES[:, :32, :40][[0, 1, 0, 1]]
    together = flow_method("dis", preset=preset)(frames)
    for k in range(3):
        np.testing.assert_array_equal(together[k], flow_method("dis", preset=preset)(frames[k : k + 2])[0])


def test_pictures_too_low_for_dis():
    """OpenCV 5.0 crashes on these."""
    wide = np.tile(FRAMES, (1, 1, 4))
    for height, width in ((16, 128), (16, 200), (30, 100), (30, 240)):
        with pytest.raises(ItemError, match=f"dis cannot take pictures of {width}x{height} pixels, which are too low"):
            flow_method("dis", preset="fast")(wide[:, :height, :width])
    assert flow_method("dis", preset="fast")(wide[:, :40, :100]).shape == (1, 2, 40, 100)
    assert flow_method("dis")(wide[:, :16, :128]).shape == (1, 2, 16, 128)


def test_pictures_too_small_for_dis():
    assert flow_method("dis", preset="fast")(FRAMES[:, :12, :12]).shape == (1, 2, 12, 12)
    with pytest.raises(ItemError, match="dis cannot take pictures of 11x40 pixels: both sides must be 12 or more"):
        flow_method("dis")(FRAMES[:, :40, :11])


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_no_cpu():
    for name in ("tvl1", "raft"):
        with pytest.raises(UsageError, match=r"device 'cuda' was asked for, but torch .* sees no CUDA GPU here"):
            flow_method(name, "cuda")
