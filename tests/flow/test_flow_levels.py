"""Flow in 8 and 16 bits."""

import numpy as np
import pytest
from tolerances import FLOAT32

from vidfeat.errors import UsageError
from vidfeat.flow import dequantise, quantise, to_float16


def test_the_map_by_hand():
    flow = np.array([-np.float32(3e38), -25, -20, 0, 20, 25, 3e38], np.float32)
    assert quantise(flow, 20).tolist() == [0, 0, 0, 128, 255, 255, 255]
    # A level is 1 pixel wide; halves are rounded up, on both sides of zero.
    halves = np.array([-127.5, -127, -126.6, -1, -0.5, -0.01, 0, 0.99, 1, 127.49], np.float64)
    assert quantise(halves, 127.5).tolist() == [0, 1, 1, 127, 127, 127, 128, 128, 129, 255]
    assert quantise(np.zeros((2, 0, 3), np.float32), 20).shape == (2, 0, 3)


@pytest.mark.parametrize("bound", [1e-3, 7.3, 15, 20, 40, 333.3, 1e6])
def test_zero_is_128_and_the_ends_are_0_and_255(bound):
    assert quantise(np.array([-bound, -0.0, 0.0, bound]), bound).tolist() == [0, 128, 128, 255]


@pytest.mark.parametrize("bound", [0.7, 20, 40])
def test_the_way_back_stays_within_half_a_level(bound):
    flow = np.random.default_rng(3).uniform(-bound, bound, (7, 2, 33, 41)).astype(np.float32)
    back = dequantise(quantise(flow, bound), bound)
    assert back.dtype == np.float32 and back.shape == flow.shape
    worst = np.abs(back - flow).max()
    assert 0.99 * bound / 255 < worst <= bound / 255 + FLOAT32 * bound
    assert np.isclose(dequantise(quantise(np.zeros(1), bound), bound), bound / 255, rtol=FLOAT32)


def test_levels_go_there_and_back():
    levels = np.arange(256, dtype=np.uint8).reshape(2, 8, 16)
    for bound in (0.3, 20, 40):
        np.testing.assert_array_equal(quantise(dequantise(levels, bound), bound), levels)
        # 255 − q stands for the negative vector.
        np.testing.assert_array_equal(dequantise(255 - levels, bound), -dequantise(levels, bound))


def test_long_arrays_and_other_strides():
    flow = np.random.default_rng(5).normal(0, 9, (3, 2, 150, 200)).astype(np.float32)
    expected = np.floor((np.clip(flow.astype(np.float64), -20, 20) + 20) * 255 / 40 + 0.5)
    assert np.mean(quantise(flow, 20) != expected) < FLOAT32 * 255  # float32 rounding at the halves
    np.testing.assert_array_equal(quantise(flow[:, ::-1, ::2].swapaxes(1, 2), 20)[:, 0, 1], quantise(flow[:, 0, 0], 20))


def test_half_precision():
    flow = np.random.default_rng(5).normal(0, 9, (2, 50, 60)).astype(np.float32)
    half = to_float16(flow)
    assert half.dtype == np.float16 and (np.abs(half - flow) <= np.abs(flow) * 2**-11 + 2**-25).all()
    assert to_float16(np.array([65504.0])) == 65504
    with pytest.raises(UsageError, match=r"the flow reaches 70000 pixels, but float16 holds 65504 at most; keep it"):
        to_float16(np.array([0, -70000.0]))


@pytest.mark.parametrize("bound", [0, -20, float("nan"), float("inf"), "20", True, None])
def test_a_wrong_bound_is_said(bound):
    words = r"bound is .*; it must be (above 0|a finite number), in pixels, such as 20"
    with pytest.raises(UsageError, match=words):
        quantise(np.zeros(2), bound)
    with pytest.raises(UsageError, match=words):
        dequantise(np.zeros(2, np.uint8), bound)


def test_what_is_wrong_is_said():
    for function in (lambda flow: quantise(flow, 20), to_float16):
        with pytest.raises(UsageError, match="holds 2 components that are NaN or infinite"):
            function(np.array([1, np.nan, np.inf]))
        with pytest.raises(UsageError, match="the flow is uint8; it must be floating point, in pixels"):
            function(np.zeros(2, np.uint8))
    with pytest.raises(UsageError, match="the levels are float32; quantised flow is uint8"):
        dequantise(np.zeros(2, np.float32), 20)
