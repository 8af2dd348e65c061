"""Geometry against torchvision, bit for bit, and against Pillow within a grey level."""

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms.v2 import functional as tv

from vidfeat.errors import UsageError
from vidfeat.media.transforms import Geometry, stack_frames

SIZES = [(240, 320), (256, 340), (320, 240), (100, 60), (37, 200), (256, 256), (480, 641), (256, 300)]


def noise(height, width):
    return np.random.default_rng(height * width).integers(0, 256, (height, width, 3), np.uint8)


def as_tensor(image):
    return torch.from_numpy(image).permute(2, 0, 1).contiguous()


# torchvision chooses its 8-bit kernel by the CPU; where it computes in floats instead, values are one level apart.
torchvision_uses_8_bits = pytest.mark.skipif(
    torch.backends.cpu.get_cpu_capability() not in ("AVX2", "AVX512"),
    reason="torchvision resizes in float32 on this CPU",
)


@torchvision_uses_8_bits
@pytest.mark.parametrize("antialias", [True, False])
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("size", SIZES)
def test_equal_to_torchvision(size, interpolation, antialias):
    image = noise(*size)
    mode = tv.InterpolationMode(interpolation)
    resized = tv.resize(as_tensor(image), 256, interpolation=mode, antialias=antialias)
    warped = tv.resize(as_tensor(image), [224, 224], interpolation=mode, antialias=antialias)
    oblong = tv.resize(as_tensor(image), [120, 250], interpolation=mode, antialias=antialias)
    common = {"interpolation": interpolation, "antialias": antialias}
    crop = Geometry("crop", 256, 224, **common)
    assert torch.equal(crop(image), tv.center_crop(resized, [224, 224]))
    assert torch.equal(Geometry("keep", 256, None, **common)(image), resized)
    assert torch.equal(Geometry("warp", None, 224, **common)(image), warped)
    assert torch.equal(Geometry("warp", None, (120, 250), **common)(image), oblong)
    ten = Geometry("crop", 256, 224, ten_crop=True, **common)(image)
    assert torch.equal(ten, torch.stack(tv.ten_crop(resized, [224, 224])))


@pytest.mark.parametrize("size", SIZES)
def test_close_to_pillow(size):
    image = noise(*size)
    got = Geometry("warp", None, 224)(image).permute(1, 2, 0).numpy()
    expected = np.asarray(Image.fromarray(image).resize((224, 224), Image.Resampling.BILINEAR))
    difference = np.abs(got.astype(int) - expected)
    assert difference.max() <= 1
    assert (difference > 0).mean() < 0.3  # most sizes: below 0.01


def test_what_lies_between_resize_and_crop_may_have_any_channels():
    """Flow is computed on the whole resized frame, and cropped after."""
    geometry = Geometry("crop", 40, 32, ten_crop=True)
    resized = geometry.resized(noise(60, 100))
    assert resized.shape == (3, *geometry.target(60, 100)) == (3, 40, 66)
    assert torch.equal(geometry.cropped(resized), geometry(noise(60, 100)))
    fields = torch.arange(5 * 40 * 66).reshape(5, 40, 66)
    crops = geometry.cropped(fields, lambda view: -view.flip(-1))
    assert (crops.shape, crops.dtype) == ((10, 5, 32, 32), torch.int64)
    assert torch.equal(crops[4], fields[:, 4:36, 17:49])
    assert torch.equal(crops[9], -fields[:, 4:36, 17:49].flip(-1))


def test_keep_changes_nothing():
    image = noise(33, 47)
    assert torch.equal(Geometry("keep", None, None)(image), as_tensor(image))


def test_crops_of_odd_margins():
    image = noise(225, 227)
    assert torch.equal(Geometry("crop", 225, 224)(image), tv.center_crop(as_tensor(image), [224, 224]))


@pytest.mark.parametrize(
    "geometry",
    [Geometry(), Geometry("warp", None, 64), Geometry("keep", None, None), Geometry("crop", 40, 32, ten_crop=True)],
)
def test_stacks_are_channels_last(geometry):
    frames = [geometry(noise(60, 80) // (i + 1)) for i in range(3)]
    batch = stack_frames(frames)
    expected = torch.stack(frames)
    assert torch.equal(batch, expected if expected.ndim == 4 else expected.flatten(0, 1))
    assert batch.is_contiguous(memory_format=torch.channels_last)
    assert batch.dtype == torch.uint8


def test_any_strip_of_a_picture_can_be_resized():
    assert Geometry()(noise(1, 700)).shape == Geometry()(noise(700, 1)).shape == (3, 224, 224)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"mode": "stretch"}, "resize mode is 'stretch'; allowed are crop, warp, keep"),
        ({"interpolation": "lanczos"}, "interpolation is 'lanczos'; allowed are bilinear, bicubic"),
        ({"size": 0}, "size is 0; it must be a whole number of pixels"),
        ({"size": (240, 320)}, r"size is \(240, 320\); it must be a whole number of pixels, 1 or more\."),
        ({"mode": "warp", "shorter_side": (2, 3), "size": 9}, r"shorter_side is \(2, 3\); .* 1 or more\."),
        (
            {"mode": "warp", "shorter_side": None, "size": (240, 0)},
            r"size is \(240, 0\); .*, or a pair \(height, width\)",
        ),
        (
            {"mode": "warp", "shorter_side": None, "size": (1, 2, 3)},
            r"size is \(1, 2, 3\); .*, or a pair \(height, width\)",
        ),
        ({"size": None}, "resize mode 'crop' needs size"),
        ({"mode": "warp"}, "resize mode 'warp' has no use for shorter_side"),
        ({"mode": "keep", "shorter_side": None}, "resize mode 'keep' has no use for size"),
        ({"shorter_side": 200}, "shorter_side 200 is smaller than the crop of 224"),
        ({"mode": "warp", "shorter_side": None, "ten_crop": True}, "ten_crop needs resize mode 'crop', not 'warp'"),
    ],
)
def test_refused_geometries(options, words):
    with pytest.raises(UsageError, match=words):
        Geometry(**options)
