"""Colour wheel, legend and film frames of optical flow."""

import numpy as np
import pytest

from vidfeat.errors import UsageError
from vidfeat.flow import read_flo
from vidfeat.report.flow import (
    GAP,
    FlowPicture,
    colour_wheel,
    flow_picture,
    largest_motion,
    side_by_side,
    with_legend,
)

CORNERS = [(0, 255, 0, 0), (15, 255, 255, 0), (21, 0, 255, 0), (25, 0, 255, 255), (36, 0, 0, 255), (49, 255, 0, 255)]


def baker(u: float, v: float) -> np.ndarray:
    """The colour of a vector of length ≤ 1 by the plain rule of Baker et al.: a table of 55 colours, interpolated."""
    table = []
    for (first, *start), (last, *end) in zip(CORNERS, [*CORNERS[1:], (55, 255, 0, 0)], strict=True):
        for i in range(last - first):
            step = 255 * i // (last - first)
            table.append([a + np.sign(b - a) * step for a, b in zip(start, end, strict=True)])
    place = (np.arctan2(-v, -u) / np.pi + 1) / 2 * 54
    k = int(place)
    colour = (1 - (place - k)) * np.array(table[k]) + (place - k) * np.array(table[(k + 1) % 55])
    return 255 - np.hypot(u, v) * (255 - colour)


def picture_of(*vectors, maximum=1.0):
    return flow_picture(np.array(vectors, np.float32).T[:, None], maximum).picture[0]


def test_the_corners_of_the_wheel():
    turns = np.array(CORNERS)[:, 0] / 55 * 2 * np.pi
    found = picture_of(*zip(np.cos(turns), np.sin(turns), strict=True), (0, 0))
    expected = [*np.array(CORNERS)[:, 1:], [255, 255, 255]]
    assert np.abs(found.astype(int) - expected).max() <= 1


def test_colours_are_bakers_to_a_step_of_the_wheel():
    random = np.random.default_rng(6)
    angle, length = random.uniform(0, 2 * np.pi, 500), np.sqrt(random.uniform(0, 1, 500))
    vectors = np.stack([length * np.cos(angle), length * np.sin(angle)], axis=1)
    expected = np.array([baker(u, v) for u, v in vectors])
    difference = np.abs(picture_of(*vectors) - expected)
    # One step: a channel changes by up to 255/4 from green to cyan; on average a fraction of that.
    assert difference.max() < 255 / 4 + 2 and difference.mean() < 8


def test_saturation_follows_the_length():
    full, half, beyond = picture_of((1, 0), (0.5, 0), (3, 0))
    assert full.tolist() == [255, 0, 0] and half.tolist() == [255, 128, 128] and beyond.tolist() == [191, 0, 0]
    assert picture_of((2, 0), maximum=4.0).tolist() == [half.tolist()]


def test_the_maximum_is_from_the_data_unless_given():
    flow = np.zeros((2, 3, 4), np.float32)
    flow[:, 1, 2] = 3, 4
    flow[:, 0, 0] = 1.7e9
    shown = flow_picture(flow)
    assert shown.maximum == 5 and (shown.picture[0, 0] == 0).all() and (shown.picture[2, 3] == 255).all()
    assert flow_picture(flow, 10).maximum == 10
    assert largest_motion(flow) == 5 and largest_motion(flow, 0.5) == 0
    assert largest_motion(np.stack([flow, 2 * flow])) == 10
    still = flow_picture(np.zeros((2, 3, 4), np.float32))
    assert still.maximum == 1 and (still.picture == 255).all()
    assert largest_motion(np.full((2, 1, 1), 2e9)) == 0


@pytest.mark.parametrize("size", [3, 40, 41])
def test_the_wheel_shows_directions(size):
    wheel = colour_wheel(size)
    assert wheel.shape == (size, size, 3) and (wheel[0, 0] == 255).all()
    middle = size // 2
    right = wheel[middle, -2] if size > 3 else wheel[1, 2]
    assert right[0] == 255 and right[1:].max() < 60  # red
    if size % 2:
        assert (wheel[middle, middle] == 255).all()


def test_a_legend_where_there_is_room():
    picture = np.zeros((120, 160, 3), np.uint8)
    marked = with_legend(FlowPicture(picture, 12.5))
    assert marked.shape == picture.shape and (picture == 0).all()
    assert (marked[:60] == 0).all() and (marked[:, :80] == 0).all() and marked[-1, -1].tolist() == [255, 255, 255]
    assert not np.array_equal(with_legend(FlowPicture(picture, 3.5)), marked)
    for height, width in ((20, 300), (96, 30), (1, 1)):
        tiny = np.zeros((height, width, 3), np.uint8)
        assert np.array_equal(with_legend(FlowPicture(tiny, 1.0)), tiny)


@pytest.mark.parametrize(("height", "width"), [(6, 8), (7, 9), (1, 1)])
def test_a_film_frame_has_even_sides(height, width):
    frame, picture = np.full((height, width, 3), 10, np.uint8), np.full((height, width, 3), 20, np.uint8)
    film = side_by_side(frame, picture)
    assert film.shape == (height + height % 2, 2 * width + GAP, 3) and film.shape[1] % 2 == 0
    assert (film[:height, :width] == 10).all() and (film[:height, width + GAP :] == 20).all()
    assert (film[:, width : width + GAP] == 255).all() and (film[height:] == 255).all()
    assert np.array_equal(side_by_side(frame[..., 0], picture), film)


def test_rubberwhale(real_flow):
    flow = read_flo(real_flow / "rubberwhale_flow10.flo")
    shown = flow_picture(flow)
    assert 4.6 < shown.maximum < 4.7
    assert shown.picture[100, 450, 0] < 200  # the curtain goes left: cyan
    assert shown.picture[360, 330, 1] < 150 < shown.picture[360, 330, 0]  # the shell goes right: red


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: flow_picture(np.zeros((3, 4, 2))), r"shape \[3, 4, 2\]; a picture is made of one field \[2, H, W\]"),
        (
            lambda: flow_picture(np.zeros((2, 3, 4)), 0),
            "maximal motion is 0; it must be a finite number of pixels",
        ),
        (lambda: largest_motion(np.zeros((2, 3, 4)), 0), "share is 0; it must be above 0 and at most 1"),
        (lambda: colour_wheel(2), "a colour wheel of 2 pixels cannot be seen"),
        (
            lambda: side_by_side(np.zeros((3, 4, 3), np.uint8), np.zeros((3, 5, 3), np.uint8)),
            r"the frame is uint8 \[3, 4, 3\], the picture of its flow uint8 \[3, 5, 3\]; both must be uint8",
        ),
    ],
)
def test_what_is_wrong_is_said(call, words):
    with pytest.raises(UsageError, match=words):
        call()
