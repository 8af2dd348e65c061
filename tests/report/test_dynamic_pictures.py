"""Windows of a stream of frames, and the pictures made of what is pooled."""

import cv2
import numpy as np
import pytest
import torch
from tolerances import FLOAT64

from vidfeat.errors import ItemError
from vidfeat.pooling import approximate_rank_pool
from vidfeat.report import dynamic_image
from vidfeat.report.dynamic_image import GAP, DynamicImages, contact_sheet, picture, png


def frames_of(count, height=6, width=8):
    random = torch.Generator().manual_seed(count)
    return torch.randint(0, 256, (count, height, width, 3), generator=random, dtype=torch.uint8)


def dynamic(frames, window=None, hop=None):
    images = DynamicImages(window, hop)
    for index, frame in enumerate(frames):
        images.add(index / 10, frame)
    return images.finish()


@pytest.mark.parametrize(
    ("count", "window", "hop", "bounds"),
    [
        (7, None, None, [(0, 7)]),
        (7, 10, 3, [(0, 7)]),
        (1, 10, None, [(0, 1)]),
        (20, 10, None, [(0, 10), (10, 20)]),
        (23, 10, None, [(0, 10), (10, 20), (20, 23)]),
        (21, 10, None, [(0, 10), (10, 20)]),  # one frame left over shows nothing
        (20, 10, 5, [(0, 10), (5, 15), (10, 20)]),  # what is left of 15…20 has nothing new
        (22, 10, 5, [(0, 10), (5, 15), (10, 20), (15, 22)]),
        (12, 10, 1, [(0, 10), (1, 11), (2, 12)]),
        (12, 3, 5, [(0, 3), (5, 8), (10, 12)]),  # frames between windows are left out
        (11, 3, 5, [(0, 3), (5, 8)]),
    ],
)
def test_windows(count, window, hop, bounds):
    frames = frames_of(count)
    images = dynamic(frames, window, hop)
    assert [(image.first, image.last) for image in images] == [(a / 10, (b - 1) / 10) for a, b in bounds]
    for image, (a, b) in zip(images, bounds, strict=True):
        d = approximate_rank_pool(frames[a:b].double()).numpy()
        levels = (d - d.min()) / (d.max() - d.min()) * 255 if b - a > 1 else 128
        assert np.abs(image.picture - levels).max() <= 0.5 + FLOAT64


def test_a_picture_uses_all_levels_on_one_scale():
    image = np.array([[[-3.0, 0.0, 1.0], [2.0, 7.0, -1.0]]])
    assert picture(image).tolist() == [[[0, 76, 102], [128, 255, 51]]]
    assert (picture(np.full((2, 2, 3), 1e9)) == 128).all()


def test_a_sheet_is_read_like_text():
    tiles = [np.full((10, 16, 3), level, np.uint8) for level in range(5)]
    sheet = contact_sheet(tiles)
    assert sheet.shape == (3 * 10 + 2 * GAP, 2 * 16 + GAP, 3)
    assert [int(sheet[y * 14, x * 20, 0]) for y in range(3) for x in range(2)] == [0, 1, 2, 3, 4, 255]
    assert (sheet[10:14] == 255).all() and (sheet[:, 16:20] == 255).all()
    assert (contact_sheet(tiles[:1]) == tiles[0]).all()


@pytest.mark.parametrize(("height", "width"), [(1, 5000), (5000, 1)])
def test_a_sheet_of_extreme_pictures(height, width):
    assert contact_sheet([np.zeros((height, width, 3), np.uint8)] * 3).size >= 3 * 3 * height * width


def test_a_png_reads_back_as_it_was():
    image = frames_of(1)[0].numpy()
    assert (cv2.imdecode(np.frombuffer(png(image), np.uint8), cv2.IMREAD_COLOR)[..., ::-1] == image).all()


def test_what_cannot_be_drawn_is_said(monkeypatch):
    with pytest.raises(ItemError, match=r"change from 8x6 to 8x7 at 0.100 s; --size WxH"):
        dynamic([*frames_of(1), *frames_of(1, 7, 8)])
    monkeypatch.setattr(dynamic_image, "MAX_SHEET_PIXELS", 3 * 48)
    assert len(dynamic(frames_of(6), 2)) == 3
    with pytest.raises(ItemError, match=r"4 windows of 8x6, or more, do not fit on one sheet.*raise --hop"):
        dynamic(frames_of(8), 2)
    monkeypatch.setattr(dynamic_image, "MAX_SUM_BYTES", 4 * 144 * 41)
    assert len(dynamic(frames_of(4), 4, 1)) == 1
    with pytest.raises(ItemError, match=r"5 dynamic images of 8x6 at a time take .* GB of memory.*lower --size"):
        dynamic(frames_of(5), 5, 1)
