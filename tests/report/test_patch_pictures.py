"""The grid of patches over a picture, and the sheets of pictures made of them."""

import math

import numpy as np
import pytest

from vidfeat.report.labels import text_line
from vidfeat.report.patches import (
    GAP,
    MARGIN,
    TILE,
    Cluster,
    Grid,
    Rebuilt,
    Section,
    average,
    cluster_pixels,
    cluster_sheet,
    correspondence_pixels,
    correspondence_sheet,
)


def noise(size, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (size, size, 3), dtype=np.uint8)


@pytest.mark.parametrize(("size", "rows", "columns"), [(12, 3, 4), (224, 13, 13), (224, 55, 55), (7, 1, 2), (5, 8, 8)])
def test_patches_cover_the_picture_and_put_it_together_again(size, rows, columns):
    grid, picture = Grid(size, rows, columns), noise(size)
    assert grid.shape == (math.ceil(size / rows), math.ceil(size / columns))
    patches = [grid.patch(picture, cell) for cell in range(len(grid))]
    assert {patch.shape[:2] for patch in patches} == {grid.shape}
    assert (grid.rebuilt(patches) == picture).all()
    # Centres are those of equal parts, to a pixel.
    for cell in range(len(grid)):
        (top, left), (row, column) = grid.corner(cell), divmod(cell, columns)
        assert abs(top + grid.shape[0] / 2 - (row + 0.5) * size / rows) <= 1
        assert abs(left + grid.shape[1] / 2 - (column + 0.5) * size / columns) <= 1


def test_parts_that_divide_the_picture_do_not_overlap():
    grid = Grid(12, 3, 4)
    assert [grid.corner(cell) for cell in (0, 1, 4, 11)] == [(0, 0), (0, 3), (4, 0), (8, 9)]


def test_the_average_is_rounded():
    patches = [np.full((2, 2, 3), level, np.uint8) for level in (0, 255, 255)]
    assert (average(patches) == 170).all()
    assert average(patches).dtype == np.uint8
    assert (average([noise(4)]) == noise(4)).all()


def test_a_correspondence_sheet_has_the_pictures_beside_each_other():
    rows = [Rebuilt(f"row {i}", noise(224, i), [noise(224, 10 + i), noise(224, 20 + i)]) for i in range(3)]
    sheet = correspondence_sheet(["conv3, 1 nearest", "conv3, 5 nearest"], rows)
    assert sheet.shape[1] == 3 * 224 + 2 * GAP + 2 * MARGIN
    assert (sheet[:MARGIN] == 255).all() and (sheet[:, -MARGIN:] == 255).all()
    last = sheet[-MARGIN - 224 : -MARGIN]
    for column, picture in enumerate([rows[2].picture, *rows[2].versions]):
        left = MARGIN + column * (224 + GAP)
        assert (last[:, left : left + 224] == picture).all()
    assert abs(correspondence_pixels(3, 2, 224) / (sheet.shape[0] * sheet.shape[1]) - 1) < 0.2


def test_small_pictures_are_enlarged_so_that_headings_can_be_read():
    sheet = correspondence_sheet(["a", "b"], [Rebuilt("r", noise(32), [noise(32, 1), noise(32, 2)])])
    side = 7 * 32
    assert sheet.shape[1] == 3 * side + 2 * GAP + 2 * MARGIN
    enlarged = sheet[-MARGIN - side : -MARGIN, MARGIN : MARGIN + side]
    assert (enlarged[::7, ::7] == noise(32)).all() and (enlarged[6::7, 6::7] == noise(32)).all()


def test_a_cluster_sheet_has_a_row_for_each_reference():
    grid, picture = Grid(64, 4, 4), np.full((64, 64, 3), 90, np.uint8)
    picture[16:32, 32:48] = (10, 200, 30)
    patches = [np.full((16, 16, 3), level, np.uint8) for level in (50, 150)]
    cluster = Cluster("é $x$", picture, 6, patches, [("a", "0.1"), ("b", "0.2")])
    one, two = (cluster_sheet([Section("conv", grid, [cluster] * count)]) for count in (1, 2))
    assert one.shape[1] == 4 * (TILE + GAP) - GAP + 2 * MARGIN
    step = two.shape[0] - one.shape[0]
    assert TILE < step < 1.6 * TILE
    colours = {tuple(colour) for colour in one.reshape(-1, 3)}
    assert {(10, 200, 30), (50,) * 3, (150,) * 3, (90,) * 3} <= colours
    assert abs(cluster_pixels(2, 2) / (two.shape[0] * two.shape[1]) - 1) < 0.3
    stacked = cluster_sheet([Section("conv", grid, [cluster])] * 2)
    assert stacked.shape[0] > two.shape[0]


def test_text_has_the_asked_width_and_loses_its_middle():
    assert text_line("", 50).shape == (20, 50, 3)
    assert (text_line("", 50) == 255).all()
    line = text_line("short", 200)
    assert line.shape == (20, 200, 3) and line.min() < 128
    ink = np.flatnonzero((text_line("a name that is far too long for this" * 3, 90) < 128).any((0, 2)))
    assert 60 < np.ptp(ink) <= 90  # shortened, and not cut off
    for odd in ("$a_b$ $", "日本\n\t", "\\alpha"):
        assert text_line(odd, 200).min() < 200
    centred = np.flatnonzero((text_line("mm", 101, align="center") < 128).any((0, 2)))
    assert abs(centred.mean() - 50) < 3
