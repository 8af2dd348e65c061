"""Contact sheet of a search: each row a query and its best matches, framed by whether they are relevant.

Relevant matches have a green solid frame and a tick, others a red broken one and a cross, so that nobody needs to tell
the colours apart.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vidfeat.report.labels import BLACK, GREY, text_line

# M. Okabe, K. Ito, *Color Universal Design*, 2008: bluish green and vermilion, apart for every kind of colour vision.
RELEVANT, OTHER, QUERY = (0, 158, 115), (213, 94, 0), (70, 70, 70)
WHITE, EMPTY = 255, 235  # paper, and what surrounds a picture of another shape
WIDTH, HEIGHT = 168, 126  # of a picture within its frame, pixels
FRAME, GAP, MARGIN = 5, 12, 16
_DASH = 12  # pixels of one dash of a broken frame, and of the gap after it
_BADGE = 11  # radius of the disc with the tick or cross


@dataclass(frozen=True)
class Shot:
    """One picture of the sheet.

    picture: [H, W, 3] uint8 RGB of any size, or None if it cannot be had. captions: lines below it. relevant: None for
    the query itself.
    """

    picture: np.ndarray | None
    captions: Sequence[str]
    relevant: bool | None = None


def retrieval_sheet(rows: Sequence[Sequence[Shot]]) -> np.ndarray:
    """[H, W, 3] uint8 RGB: in each row the query and then its matches, the best first; rows may differ in length."""
    columns = max(len(row) for row in rows)
    headings = ["query", *(str(rank) for rank in range(1, columns))]
    tiles = [[_tile(shot) for shot in row] for row in rows]
    width = WIDTH + 2 * FRAME
    top = _row([text_line(text, width, colour=GREY, align="center") for text in headings], columns)
    parts = [top, *(_row(row, columns) for row in tiles)]
    parts = [part for each in parts for part in (each, _blank(GAP, each.shape[1]))][:-1]
    return np.pad(np.concatenate(parts), ((MARGIN, MARGIN), (MARGIN, MARGIN), (0, 0)), constant_values=WHITE)


def _tile(shot: Shot) -> np.ndarray:
    """Picture, frame and mark, with its captions below."""
    tile = np.full((HEIGHT + 2 * FRAME, WIDTH + 2 * FRAME, 3), EMPTY, np.uint8)
    tile[FRAME:-FRAME, FRAME:-FRAME] = _fitted(shot.picture)
    colour = {True: RELEVANT, False: OTHER, None: QUERY}[shot.relevant]
    tile[_frame(tile.shape[:2], broken=shot.relevant is False)] = colour
    if shot.relevant is not None:
        _draw_badge(tile, colour, shot.relevant)
    lines = [
        text_line(text, tile.shape[1], size=12 if number == 0 else 11, colour=BLACK if number == 0 else GREY)
        for number, text in enumerate(shot.captions)
    ]
    return np.concatenate([tile, _blank(3, tile.shape[1]), *lines])


def _fitted(picture: np.ndarray | None) -> np.ndarray:
    """The whole picture, as large as it can be in its place."""
    import cv2

    place = np.full((HEIGHT, WIDTH, 3), EMPTY, np.uint8)
    if picture is None:
        words = text_line("no picture", WIDTH, colour=GREY, align="center")
        top = (HEIGHT - len(words)) // 2
        place[top : top + len(words)] = np.minimum(words, EMPTY)
        return place
    scale = min(WIDTH / picture.shape[1], HEIGHT / picture.shape[0])
    width, height = (max(1, round(side * scale)) for side in (picture.shape[1], picture.shape[0]))
    shown = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    top, left = (HEIGHT - height) // 2, (WIDTH - width) // 2
    place[top : top + height, left : left + width] = shown
    return place


def _frame(shape: tuple[int, int], broken: bool) -> np.ndarray:
    """Which pixels of ``[H, W]`` the frame covers."""
    y, x = np.indices(shape)
    across = (y < FRAME) | (y >= shape[0] - FRAME)
    along = (x < FRAME) | (x >= shape[1] - FRAME)
    if not broken:
        return across | along
    return (across & (x // _DASH % 2 == 0)) | (along & (y // _DASH % 2 == 0))


def _draw_badge(tile: np.ndarray, colour: tuple[int, int, int], relevant: bool) -> None:
    """A disc with a tick or a cross in the upper right corner."""
    import cv2

    x, y = tile.shape[1] - FRAME - _BADGE - 3, FRAME + _BADGE + 3
    cv2.circle(tile, (x, y), _BADGE + 2, (WHITE,) * 3, -1, cv2.LINE_AA)
    cv2.circle(tile, (x, y), _BADGE, colour, -1, cv2.LINE_AA)
    strokes = [[(-5, 0), (-1, 4), (6, -5)]] if relevant else [[(-4, -4), (4, 4)], [(-4, 4), (4, -4)]]
    for stroke in strokes:
        points = np.array([(x + right, y + down) for right, down in stroke], np.int32)
        cv2.polylines(tile, [points], False, (WHITE,) * 3, 2, cv2.LINE_AA)


def _row(tiles: Sequence[np.ndarray], columns: int) -> np.ndarray:
    """Side by side, filled up with white to the height of the highest and to ``columns``."""
    height, width = max(len(tile) for tile in tiles), WIDTH + 2 * FRAME
    row = np.full((height, columns * (width + GAP) - GAP, 3), WHITE, np.uint8)
    for number, tile in enumerate(tiles):
        left = number * (width + GAP)
        row[: len(tile), left : left + width] = tile
    return row


def _blank(height: int, width: int) -> np.ndarray:
    return np.full((height, width, 3), WHITE, np.uint8)
