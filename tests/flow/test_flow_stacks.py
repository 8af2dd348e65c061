"""Stacks, flips, sizes, and flow as the picture of three channels."""

import numpy as np
import pytest
import torch
from tolerances import FLOAT32

from vidfeat.errors import UsageError
from vidfeat.flow import (
    dequantise,
    flip_flow,
    flow_image,
    flow_method,
    flow_pixels,
    flow_stacks,
    inflate_conv1,
    quantise,
    resize_flow,
    stack_starts,
    subtract_mean,
)

RANDOM = np.random.default_rng(11)
FIELDS = RANDOM.normal(0, 4, (13, 2, 6, 8)).astype(np.float32)


@pytest.mark.parametrize(
    ("fields", "length", "stride", "starts"),
    [
        (13, 10, 1, [0, 1, 2, 3]),
        (10, 10, 1, [0]),
        (9, 10, 1, []),
        (0, 10, 1, []),
        (13, 10, 2, [0, 2]),
        (3, 1, 1, [0, 1, 2]),
        (25, 10, 10, [0, 10]),
    ],
)
def test_starts(fields, length, stride, starts):
    assert list(stack_starts(fields, length, stride)) == starts


@pytest.mark.parametrize("kind", [np.asarray, torch.from_numpy], ids=["array", "tensor"])
@pytest.mark.parametrize("dtype", [np.float32, np.uint8])
def test_stacks_hold_x1_y1_x2_y2(kind, dtype):
    fields = kind(FIELDS.astype(dtype))
    starts = stack_starts(len(fields))
    stacks = flow_stacks(fields, starts)
    assert stacks.shape == (4, 20, 6, 8) and stacks.dtype == fields.dtype and type(stacks) is type(fields)
    for number, start in enumerate(starts):
        for k in range(10):
            assert bool((stacks[number, 2 * k] == fields[start + k, 0]).all())
            assert bool((stacks[number, 2 * k + 1] == fields[start + k, 1]).all())
    stacks[...] = 0
    assert bool((fields[0] == kind(FIELDS.astype(dtype))[0]).all())
    assert flow_stacks(fields, []).shape == (0, 20, 6, 8)
    assert flow_stacks(fields[:, :, ::2], [5, 2], length=3).shape == (2, 6, 3, 8)


def test_flipping_twice_is_nothing_and_once_is_the_mirrored_motion():
    for flow in (FIELDS, FIELDS[0], quantise(FIELDS, 20), flow_stacks(FIELDS, [0, 3])):
        once = flip_flow(flow)
        assert once.dtype == flow.dtype and not np.shares_memory(once, flow)
        np.testing.assert_array_equal(flip_flow(once), flow)
        np.testing.assert_array_equal(flip_flow(torch.from_numpy(flow)).numpy(), once)
        np.testing.assert_array_equal(once[..., 1::2, :, :], flow[..., 1::2, :, ::-1])
    np.testing.assert_array_equal(flip_flow(FIELDS)[:, 0], -FIELDS[:, 0, :, ::-1])
    levels = quantise(FIELDS, 20)
    np.testing.assert_array_equal(dequantise(flip_flow(levels), 20), flip_flow(dequantise(levels, 20)))


def test_a_flip_is_what_the_method_finds_in_mirrored_frames():
    y, x = np.mgrid[:48, :64]
    frames = np.stack([128 + 60 * np.sin(0.3 * (x - 2 * k) + 0.2 * y) for k in range(2)]).astype(np.uint8)
    method = flow_method("farneback", threads=1)
    found, expected = method(frames[:, :, ::-1]), flip_flow(method(frames))
    assert np.abs(expected[:, 0]).mean() > 0.5
    assert np.abs(found - expected).mean() < 0.01 * np.abs(expected[:, 0]).mean()


@pytest.mark.parametrize("kind", [np.asarray, torch.from_numpy], ids=["array", "tensor"])
def test_resizing_scales_the_vectors(kind):
    flow = np.broadcast_to(np.array([3.0, -2.0], np.float32)[:, None, None], (5, 2, 12, 16))
    resized = resize_flow(kind(flow.copy()), 6, 40)
    assert resized.shape == (5, 2, 6, 40) and type(resized) is type(kind(flow.copy()))
    np.testing.assert_allclose(np.asarray(resized)[:, 0], 3 * 40 / 16, rtol=FLOAT32)
    np.testing.assert_allclose(np.asarray(resized)[:, 1], -2 * 6 / 12, rtol=FLOAT32)
    stack = kind(flow.reshape(1, 10, 12, 16).copy())
    np.testing.assert_array_equal(np.asarray(resize_flow(stack, 6, 40)).reshape(5, 2, 6, 40), np.asarray(resized))


def test_resizing_to_the_same_size_changes_nothing_and_copies():
    same = resize_flow(FIELDS, 6, 8)
    np.testing.assert_array_equal(same, FIELDS)
    assert not np.shares_memory(same, FIELDS)
    frozen = FIELDS.copy()
    frozen.setflags(write=False)
    np.testing.assert_array_equal(resize_flow(frozen[..., ::-1, :], 6, 8), FIELDS[..., ::-1, :])
    # Shrinking averages: nothing between the pixels that are kept is lost.
    assert np.abs(resize_flow(FIELDS, 1, 1)[..., 0, 0] * [8, 6] - FIELDS.mean((2, 3))).max() < np.abs(FIELDS).max() / 2


def test_the_mean_is_taken_per_field_and_component():
    for flow in (FIELDS, torch.from_numpy(FIELDS)):
        centred = np.asarray(subtract_mean(flow))
        np.testing.assert_allclose(centred, FIELDS - FIELDS.mean((2, 3), keepdims=True), atol=10 * FLOAT32)


def test_the_third_channel_of_a_flow_image_is_zero():
    levels = quantise(FIELDS, 20)
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    image = flow_image(levels, mean, std)
    assert image.shape == (13, 3, 6, 8) and image.dtype == np.float32
    assert (image[:, 2] == 0).all()
    for c in range(2):
        np.testing.assert_allclose(image[:, c], (levels[:, c] / 255 - mean[c]) / std[c], atol=10 * FLOAT32)
    plain = flow_image(levels[0])
    assert plain.shape == (3, 6, 8) and np.abs(plain).max() <= 0.5
    pixels = flow_pixels(levels, mean)
    assert pixels.shape == (13, 6, 8, 3) and pixels.dtype == np.uint8
    np.testing.assert_array_equal(pixels[..., 0], levels[:, 0])
    assert np.abs(pixels[..., 2] / 255 - mean[2]).max() <= 1 / 510
    assert (flow_pixels(levels)[..., 2] == 128).all()


def test_inflated_weights():
    weight = torch.randn(5, 3, 7, 7, generator=torch.Generator().manual_seed(1))
    inflated = inflate_conv1(weight)
    assert inflated.shape == (5, 20, 7, 7)
    for channel in range(20):
        torch.testing.assert_close(inflated[:, channel], weight.sum(1) / 3)
    # With scale 3/channels a picture whose channels are equal gets the same response.
    grey = torch.randn(1, 1, 9, 9, generator=torch.Generator().manual_seed(2))
    torch.testing.assert_close(
        torch.conv2d(grey.expand(1, 20, 9, 9), inflate_conv1(weight, scale=3 / 20)),
        torch.conv2d(grey.expand(1, 3, 9, 9), weight),
        atol=100 * FLOAT32,
        rtol=FLOAT32,
    )
    assert inflate_conv1(weight.half(), 2).dtype == torch.float16


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: stack_starts(5, 0), "length is 0; it must be a whole number, 1 or more"),
        (lambda: stack_starts(5, 2, 1.5), "stride is 1.5; it must be a whole number"),
        (
            lambda: flow_stacks(FIELDS, [4]),
            r"10 fields from 4 needs fields 4…13, and there are 13; stack_starts",
        ),
        (lambda: flow_stacks(FIELDS, [-1]), "a stack of 10 fields from -1"),
        (lambda: flow_stacks(FIELDS[:, :1], [0]), r"\[13, 1, 6, 8\]; stacks are made of \[T, 2, H, W\]"),
        (lambda: flip_flow(FIELDS[:, :1]), r"\[13, 1, 6, 8\]; it must be \[…, C, H, W\] with C even"),
        (lambda: flip_flow(FIELDS.astype(int)), "the flow is int64; allowed are floating point"),
        (lambda: resize_flow(quantise(FIELDS, 20), 3, 3), "uint8; vectors are rescaled in pixels. Call dequantise"),
        (lambda: resize_flow(FIELDS, 0, 3), "height is 0; it must be a whole number, 1 or more"),
        (lambda: subtract_mean(quantise(FIELDS, 20)), "uint8; means are subtracted in pixels"),
        (lambda: flow_image(FIELDS), r"float32 \[13, 2, 6, 8\]; .*Call quantise first"),
        (lambda: flow_image(quantise(FIELDS, 20), mean=(0.5, 0.5)), "mean has 2 values; a flow image has 3 channels"),
        (lambda: inflate_conv1(torch.zeros(5, 4, 3, 3)), r"shape \[5, 4, 3, 3\]; a first layer of an RGB network has"),
        (
            lambda: inflate_conv1(torch.zeros(5, 3, 3, 3), 0),
            "channels is 0; it must be a whole number, 1 or more",
        ),
    ],
)
def test_what_is_wrong_is_said(call, words):
    with pytest.raises(UsageError, match=words):
        call()
