"""Colour: known YUV planes against the plain formula; rotation."""

import numpy as np
import pytest

from tests.tolerances import YUV_420, YUV_444
from tests.videos import write_planes, write_video
from vidfeat.errors import ItemError
from vidfeat.media.colour import colour_tags, quarter_turns
from vidfeat.media.video import VideoReader

KR_KB = {
    1: (0.2126, 0.0722),
    4: (0.30, 0.11),
    5: (0.299, 0.114),
    6: (0.299, 0.114),
    7: (0.212, 0.087),
    9: (0.2627, 0.0593),
}
LIMITED, FULL = 1, 2


def formula(y, u, v, matrix, full, depth):
    """Rec. BT.601/709/2020: Y'CbCr -> R'G'B' in 0 … 255, before rounding."""
    kr, kb = KR_KB[matrix]
    y, u, v = (plane / 2.0 ** (depth - 8) for plane in (y, u, v))
    luma, cb, cr = (
        (y / 255, (u - 128) / 255, (v - 128) / 255) if full else ((y - 16) / 219, (u - 128) / 224, (v - 128) / 224)
    )
    red, blue = luma + 2 * (1 - kr) * cr, luma + 2 * (1 - kb) * cb
    green = (luma - kr * red - kb * blue) / (1 - kr - kb)
    return np.clip(255 * np.stack([red, green, blue], -1), 0, 255)


def patches(shape, low, high, depth, seed):
    """Random values constant over 8x8 blocks, so that chroma may be subsampled without loss."""
    rng = np.random.default_rng(seed)
    blocks = rng.integers(low, high, (shape[0] // 8, shape[1] // 8)) << (depth - 8)
    return blocks.repeat(8, 0).repeat(8, 1).astype(np.uint8 if depth == 8 else np.uint16)


def first_frame(path):
    with VideoReader(path) as reader:
        return next(reader.frames()).image


@pytest.mark.parametrize(
    "tags",
    [None, (1, LIMITED), (5, LIMITED), (6, LIMITED), (9, LIMITED), (7, LIMITED), (4, LIMITED), (1, FULL), (5, FULL)],
)
@pytest.mark.parametrize(
    ("pixel_format", "depth", "step"),
    [("yuv444p", 8, 1), ("yuv420p", 8, 2), ("yuv444p10le", 10, 1), ("yuv420p10le", 10, 2)],
)
def test_matrix_range_and_depth_follow_the_tags(tmp_path, tags, pixel_format, depth, step):
    y, u, v = (
        patches((32, 64), 50, 200, depth, 0),
        patches((32, 64), 90, 166, depth, 1),
        patches((32, 64), 90, 166, depth, 2),
    )
    path = write_planes(
        tmp_path / "a.mkv", [y, u[::step, ::step], v[::step, ::step]], pixel_format=pixel_format, colour=tags
    )
    matrix, colour_range = tags or (5, LIMITED)  # untagged: BT.601, limited
    expected = formula(y, u, v, matrix, colour_range == FULL, depth)
    wrong = formula(y, u, v, 5 if matrix in (1, 7, 9) else 1, colour_range == FULL, depth)
    difference = np.abs(first_frame(path) - expected)
    inner = np.zeros((32, 64), bool)
    inner.reshape(4, 8, 8, 8)[:, 2:6, :, 2:6] = True  # 10-bit chroma is interpolated across the blocks' edges
    assert difference[inner].max() <= (YUV_444 if step == 1 else YUV_420)
    assert np.abs(wrong - expected)[inner].max() > 2 * YUV_420  # another matrix would be seen


def test_full_range_jpeg_formats_are_full_range(tmp_path):
    path = write_video(
        tmp_path / "a.mkv",
        1,
        codec="mjpeg",
        pixel_format="yuvj420p",
        picture=lambda i, w, h: np.full((h, w, 3), 250, np.uint8),
    )
    with VideoReader(path) as reader:
        assert reader.info.pixel_format == "yuvj420p"
        assert abs(int(next(reader.frames()).image[..., 1].mean()) - 250) <= 1  # limited range would give 255


@pytest.mark.parametrize(("tags", "expected"), [(None, 126), ((5, FULL), 126), ((5, LIMITED), 128)])
def test_grey_video(tmp_path, tags, expected):
    path = write_planes(tmp_path / "a.mkv", [np.full((32, 32), 126, np.uint8)], pixel_format="gray", colour=tags)
    assert np.unique(first_frame(path)).tolist() == [expected]  # (126 − 16)·255/219 = 128.1


def test_an_odd_width_has_no_padding_in_its_pixels(tmp_path):
    path = write_video(tmp_path / "a.mkv", 1, width=62, height=34, codec="ffv1", pixel_format="bgr0", picture=ramp)
    assert np.array_equal(first_frame(path), ramp(0, 62, 34))


def ramp(index, width, height):
    y, x = np.mgrid[:height, :width]
    return np.stack([x * 4, y * 7, x + y], -1).astype(np.uint8)


def test_an_unknown_matrix_is_refused_in_words():
    class Format:
        is_rgb, name = False, "yuv420p"

    class Picture:
        format, colorspace, color_range = Format, 14, 1

    with pytest.raises(ItemError, match=r"colour matrix has FFmpeg's number 14.*BT\.709.*Re-encode"):
        colour_tags(Picture)


@pytest.mark.parametrize(("rotation", "turns"), [(None, 0), (90, 1), (180, 2), (270, 3), (-90, 3)])
def test_a_rotated_video_comes_upright(tmp_path, rotation, turns):
    def quadrants(index, width, height):
        image = np.zeros((height, width, 3), np.uint8)
        image[: height // 2, : width // 2, 0] = image[: height // 2, width // 2 :, 1] = image[
            height // 2 :, : width // 2, 2
        ] = 255
        return image

    stored = first_frame(write_video(tmp_path / "stored.mp4", 2, picture=quadrants))
    path = write_video(tmp_path / "rotated.mp4", 2, picture=quadrants, rotation=rotation)
    with VideoReader(path) as reader:
        frame = next(reader.frames())
        size = (64, 48) if turns % 2 == 0 else (48, 64)
        assert (reader.info.width, reader.info.height, reader.info.rotation) == (*size, 90 * turns)
    assert np.array_equal(frame.image, np.rot90(stored, turns))  # counter-clockwise
    assert frame.image.flags.c_contiguous


def test_quarter_turns():
    assert [quarter_turns(a) for a in (0, 90, -90, 180, -180, 89, -1)] == [0, 1, 3, 2, 2, 1, 0]
