"""The contact sheet of a search: places, frames, marks, and what cannot be shown."""

import numpy as np
import pytest

from vidfeat.report.contact_sheet import (
    EMPTY,
    FRAME,
    GAP,
    HEIGHT,
    MARGIN,
    OTHER,
    QUERY,
    RELEVANT,
    WIDTH,
    Shot,
    retrieval_sheet,
)

STEP = WIDTH + 2 * FRAME + GAP
BLUE = np.full((60, 80, 3), (10, 20, 200), np.uint8)


def shots():
    return [
        Shot(BLUE, ["a query with a very long name that does not fit.jpg", "AP 0.500"]),
        Shot(BLUE, ["é/日本.jpg", "0.1"], True),
        Shot(BLUE, ["$x^2$", "0.2"], False),
        Shot(None, ["gone.mp4", "0.3"], True),
    ]


def tops(sheet):
    """First row of pixels of each row of frames."""
    is_query = (sheet[:, MARGIN] == QUERY).all(axis=-1)
    return np.flatnonzero(is_query & ~np.roll(is_query, 1))


def test_every_match_is_framed_by_its_relevance_and_not_by_colour_alone():
    sheet = retrieval_sheet([shots(), shots()[:2]])
    assert sheet.dtype == np.uint8
    assert sheet.shape[1] == 4 * STEP - GAP + 2 * MARGIN
    first, second = tops(sheet)
    for column, colour in enumerate((QUERY, RELEVANT, OTHER, RELEVANT)):
        left = MARGIN + column * STEP
        edge = sheet[first, left : left + WIDTH + 2 * FRAME]
        painted = (edge == colour).all(axis=-1)
        assert painted.all() if colour != OTHER else 0.3 < painted.mean() < 0.7  # broken
        assert second - first > HEIGHT + 2 * FRAME
    # The discs hold a tick and a cross, which differ where their colours do not matter.
    discs = [
        (sheet[first + FRAME : first + 40, left + WIDTH - 40 : left + WIDTH + FRAME] == 255).all(axis=-1)
        for left in (MARGIN + STEP, MARGIN + 2 * STEP)
    ]
    assert (discs[0] != discs[1]).sum() > 20
    # The second row ends early.
    assert (sheet[second:, MARGIN + 2 * STEP :] == 255).all()


@pytest.mark.parametrize("shape", [(60, 80), (10, 2000), (3000, 20), (1, 1)])
def test_pictures_of_any_shape_are_shown_whole(shape):
    picture = np.full((*shape, 3), (10, 20, 200), np.uint8)
    sheet = retrieval_sheet([[Shot(picture, ["q"])]])
    top = tops(sheet)[0] + FRAME
    inside = sheet[top : top + HEIGHT, MARGIN + FRAME : MARGIN + FRAME + WIDTH]
    shown = (inside == (10, 20, 200)).all(axis=-1)
    assert shown.any() and (shown | (inside == EMPTY).all(axis=-1)).all()
    height, width = shown.any(axis=1).sum(), shown.any(axis=0).sum()
    assert height == HEIGHT or width == WIDTH


def test_a_missing_picture_says_so():
    sheet = retrieval_sheet([[Shot(None, ["q"])]])
    top = tops(sheet)[0] + FRAME
    inside = sheet[top : top + HEIGHT, MARGIN + FRAME : MARGIN + FRAME + WIDTH]
    assert inside.max() <= EMPTY and inside.min() < 150
