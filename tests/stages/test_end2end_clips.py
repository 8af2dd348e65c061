"""What the network sees of a video: crops and stacks against plain loops, and the same pixels in every reading."""

import numpy as np
import pytest
import torch

from vidfeat.flow.stacks import flip_flow
from vidfeat.media.transforms import Geometry
from vidfeat.stages.end2end_clips import Crop, FlowClip, RgbClip, View, drawn_view

RNG = np.random.default_rng(3)
FRAMES = RNG.integers(0, 256, (9, 20, 30, 3), dtype=np.uint8)
FIELDS = RNG.integers(0, 256, (9, 2, 20, 30), dtype=np.uint8)


def test_the_centre_is_that_of_extract():
    geometry = Geometry("crop", shorter_side=20, size=16)
    clip = RgbClip(FRAMES, Crop(16))
    expected = torch.stack([geometry(frame) for frame in FRAMES])
    assert torch.equal(clip[:], expected)
    assert len(clip) == 9


@pytest.mark.parametrize("rows", [slice(0, 4), slice(3, 9, 2), slice(8, 9), slice(5, 5)])
@pytest.mark.parametrize("view", [View(), View(1.0, 0.1, 0.9, True), View(0.7, 0.0, 0.3)])
def test_any_slice_gives_the_pixels_of_the_whole(rows, view):
    for clip in (RgbClip(FRAMES, Crop(16), view), FlowClip(FIELDS, Crop(16), view, length=3)):
        assert torch.equal(clip[rows], clip[:][rows])
        assert clip[rows].dtype == torch.uint8 and clip[rows].shape[2:] == (16, 16)


def test_a_corner_and_its_mirror_image():
    corner = RgbClip(FRAMES, Crop(16), View(1.0, 0.0, 1.0))[2:3]
    assert torch.equal(corner[0].movedim(0, -1), torch.from_numpy(FRAMES[2, :16, 14:]))
    assert torch.equal(RgbClip(FRAMES, Crop(16), View(1.0, 0.0, 1.0, True))[2:3], corner.flip(-1))


def test_stacks_are_consecutive_fields_from_every_start():
    clip = FlowClip(FIELDS, Crop(20), length=4, stride=2)
    assert len(clip) == 3
    for k in range(3):
        for j in range(4):
            for axis in range(2):
                expected = FIELDS[2 * k + j, axis, :, 5:25]
                np.testing.assert_array_equal(clip[k : k + 1][0, 2 * j + axis], expected)
    assert len(FlowClip(FIELDS[:3], Crop(20), length=4)) == 0


def test_mirrored_flow_has_x_turned_around():
    plain, mirrored = FlowClip(FIELDS, Crop(20), length=2), FlowClip(FIELDS, Crop(20), View(flip=True), length=2)
    assert torch.equal(mirrored[:], flip_flow(plain[:]))
    assert torch.equal(mirrored[0:1][0, 0], 255 - plain[0:1][0, 0].flip(-1))
    assert torch.equal(mirrored[0:1][0, 1], plain[0:1][0, 1].flip(-1))


def test_an_enlarged_square_has_longer_vectors():
    """A field of 10 levels to the right in a square of half the side: 20 levels after enlarging, zero flow stays."""
    fields = np.full((2, 2, 20, 20), 128, np.uint8)
    fields[:, 0] = 138
    seen = FlowClip(fields, Crop(20), View(side=0.5), length=2)[:]
    assert set(seen[0, 0].unique().tolist()) == {round((138 - 127.5) * 2 + 127.5)}
    assert abs(int(seen[0, 1, 0, 0]) - 128) <= 1
    fields[:, 0] = 250
    assert FlowClip(fields, Crop(20), View(side=0.5), length=2)[:][0, 0].unique().tolist() == [255]


def test_a_view_depends_on_seed_epoch_and_video_alone():
    assert drawn_view(0, 3, "a") == drawn_view(0, 3, "a")
    others = {drawn_view(0, 4, "a"), drawn_view(1, 3, "a"), drawn_view(0, 3, "b")}
    assert len(others | {drawn_view(0, 3, "a")}) == 4


def test_views_cover_places_scales_and_mirrors():
    views = [drawn_view(0, epoch, "a", smallest=0.6) for epoch in range(400)]
    for values in ([v.y for v in views], [v.x for v in views], [(v.side - 0.6) / 0.4 for v in views]):
        assert min(values) >= 0 and max(values) <= 1
        assert abs(np.mean(values) - 0.5) < 0.06  # 4 sd of 400 uniform numbers
    assert 160 < sum(v.flip for v in views) < 240
    assert not any(drawn_view(0, epoch, "a", flip=False).flip for epoch in range(50))
    assert {drawn_view(0, epoch, "a", smallest=1.0).side for epoch in range(50)} == {1.0}
